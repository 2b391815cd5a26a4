//! The rows that a query may find, and those that scores are counted over.
//!
//! BM25 asks how many rows there are, how long they are, and how many have a word. Counted are rows of the whole tenant,
//! wherever they lie, never dead ones: a merge changes no score, and a deleted document leaves no trace. Strictly counted,
//! they are the visible rows alone: then nothing that the asker may not see has any part in the answer.

use tantivy::postings::{BlockSegmentPostings, TermInfo};

use crate::bits::Bits;
use crate::lexical::language::Language;
use crate::lexical::part::Part;
use crate::words::{FIELDS, LANGUAGE};

/// One segment's part, and which of its rows count.
pub(crate) struct Shelf<'a> {
    pub(crate) part: &'a Part,
    pub(crate) visible: &'a Bits,
    pub(crate) counted: &'a Bits,
}

/// All that a query is held against.
pub(crate) struct Corpus<'a> {
    pub(crate) shelves: Vec<Shelf<'a>>,
    /// Rows that count.
    pub(crate) rows: u64,
    /// Their terms, field by field.
    pub(crate) tokens: [u64; FIELDS],
}

/// Looking one row up in postings costs about as much as walking over so many.
const LOOK_UP_ROWS: u64 = 16;

impl Shelf<'_> {
    /// How many of the rows that count have the term.
    pub(crate) fn frequency(&self, field: usize, term: &TermInfo) -> tantivy::Result<u64> {
        let (ones, rows) = (u64::from(self.counted.ones()), u64::from(self.part.rows()));
        let all = u64::from(term.doc_freq);
        if ones == 0 || ones == rows {
            return Ok(if ones == 0 { 0 } else { all });
        }
        let mut postings = self.part.postings_alone(field, term)?;
        if ones * LOOK_UP_ROWS < all {
            return Ok(self.counted.iter().filter(|&row| holds(&mut postings, row)).count() as u64);
        }
        if (rows - ones) * LOOK_UP_ROWS < all {
            let absent = self.counted.absent(self.part.rows());
            return Ok(all - absent.filter(|&row| holds(&mut postings, row)).count() as u64);
        }
        let mut frequency = 0;
        while !postings.docs().is_empty() {
            frequency += postings.docs().iter().map(|&row| u64::from(self.counted.has(row))).sum::<u64>();
            postings.advance();
        }
        Ok(frequency)
    }

    /// Whether a visible row has the term.
    pub(crate) fn shows(&self, field: usize, term: &TermInfo) -> tantivy::Result<bool> {
        let ones = u64::from(self.visible.ones());
        if ones == 0 || self.visible.ones() == self.part.rows() {
            return Ok(ones != 0);
        }
        let mut postings = self.part.postings_alone(field, term)?;
        if ones * LOOK_UP_ROWS < u64::from(term.doc_freq) {
            return Ok(self.visible.iter().any(|row| holds(&mut postings, row)));
        }
        while !postings.docs().is_empty() {
            if postings.docs().iter().any(|&row| self.visible.has(row)) {
                return Ok(true);
            }
            postings.advance();
        }
        Ok(false)
    }
}

/// Whether postings hold `row`; rows are asked for in order.
fn holds(postings: &mut BlockSegmentPostings, row: u32) -> bool {
    let at = postings.seek(row);
    postings.docs().get(at) == Some(&row)
}

impl Corpus<'_> {
    /// Whether no row is visible.
    pub(crate) fn shows_nothing(&self) -> bool {
        self.shelves.iter().all(|shelf| shelf.visible.ones() == 0)
    }

    /// How many of the rows that count have the term.
    pub(crate) fn frequency(&self, field: usize, term: &str) -> tantivy::Result<u64> {
        let mut frequency = 0;
        for shelf in &self.shelves {
            if let Some(info) = shelf.part.term(field, term)? {
                frequency += shelf.frequency(field, &info)?;
            }
        }
        Ok(frequency)
    }

    /// Whether a visible row has the term.
    pub(crate) fn shows(&self, field: usize, term: &str) -> tantivy::Result<bool> {
        for shelf in &self.shelves {
            if let Some(info) = shelf.part.term(field, term)?
                && shelf.shows(field, &info)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The languages of the visible rows: those in which a query's words are read.
    pub(crate) fn languages(&self) -> tantivy::Result<Vec<Language>> {
        let mut languages = Vec::new();
        for language in Language::all() {
            if self.shows(LANGUAGE, language.code())? {
                languages.push(language);
            }
        }
        Ok(languages)
    }
}
