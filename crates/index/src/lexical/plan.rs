//! A query against a corpus: which terms it comes to, what each is worth, and where their rows are.
//!
//! Promises: made once for all segments, from counts that do not depend on how rows lie in them, so a row's score does
//! not either. Variants of one word count as one: a row has the word as often as it has the variant that it has most.

use std::collections::BTreeMap;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::TermInfo;

use crate::analyser::{Analyser, Word};
use crate::bits::Bits;
use crate::lexical::corpus::{Corpus, Shelf};
use crate::lexical::language::Language;
use crate::lexical::postings::{Cursor, Gain, Gathered};
use crate::lexical::query::{LexicalQuery, Typos};
use crate::lexical::{expand, phrase};
use crate::words::{self, B, BODY, FIELDS, FORMS, K1, OPTION_WEIGHT};

/// A query, ready to be walked in each segment.
pub(crate) struct Plan {
    clauses: Vec<Clause>,
    paces: [[f32; 256]; FIELDS],
}

/// A word in one field, a phrase, or the words with a prefix.
struct Clause {
    /// The field whose lengths count.
    field: usize,
    weight: f32,
    /// Segment by segment.
    found: Vec<Found>,
}

/// Where a clause's rows of one segment are.
enum Found {
    Nowhere,
    Stored(TermInfo),
    Gathered(Gathered),
}

impl Plan {
    /// `None` when no row that counts has anything of the query.
    pub(crate) fn of(query: &LexicalQuery, corpus: &Corpus<'_>) -> tantivy::Result<Option<Self>> {
        let mut clauses = Vec::new();
        for (variants, times) in distinct_words(query, corpus)? {
            for (field, weight) in words::WEIGHTS.into_iter().enumerate().filter(|(_, weight)| *weight > 0.0) {
                let weight = weight * words::repetition(times);
                clauses.extend(clause(corpus, field, weight, |shelf| any_of(shelf, field, &variants))?);
            }
        }
        for forms in query.phrases() {
            clauses.extend(clause(corpus, BODY, OPTION_WEIGHT, |shelf| {
                Ok(gathered(phrase::rows(shelf, forms)?.into_iter(), shelf.visible))
            })?);
        }
        for prefix in query.prefixes() {
            let forms = expand::beginning_with(corpus, prefix)?;
            clauses.extend(clause(corpus, BODY, OPTION_WEIGHT, |shelf| any_of(shelf, FORMS, &forms))?);
        }
        let paces = std::array::from_fn(|field| pace(corpus, field));
        Ok((!clauses.is_empty()).then_some(Self { clauses, paces }))
    }

    /// The query's postings in the segment at `at`.
    pub(crate) fn cursors<'a>(&'a self, shelf: &Shelf<'a>, at: usize) -> tantivy::Result<Vec<Cursor<'a>>> {
        let mut cursors = Vec::with_capacity(self.clauses.len());
        for clause in &self.clauses {
            let lengths = shelf.part.lengths(clause.field);
            let gain = Gain { weight: clause.weight, pace: &self.paces[clause.field], lengths };
            match &clause.found[at] {
                Found::Nowhere => {}
                Found::Stored(term) => {
                    let postings = shelf.part.postings(clause.field, term)?;
                    cursors.push(Cursor::stored(postings, shelf.part.bounds(clause.field, term), gain));
                }
                Found::Gathered(gathered) => cursors.push(Cursor::gathered(gathered, gain)),
            }
        }
        Ok(cursors)
    }
}

/// The query's words by what they come to in the rows' languages, with how often the query has each.
pub(crate) fn distinct_words(query: &LexicalQuery, corpus: &Corpus<'_>) -> tantivy::Result<BTreeMap<Vec<String>, u32>> {
    let mut distinct = BTreeMap::new();
    if query.repeated_words().is_empty() {
        return Ok(distinct);
    }
    let languages = corpus.languages()?;
    let mut analyser = Analyser::new();
    for (word, times) in query.repeated_words() {
        let mut variants = analyser.variants(word, &languages);
        if query.typos() == Typos::Auto && !shows_any(corpus, &variants)? {
            variants.extend(meant(&mut analyser, corpus, word, &languages)?);
            variants.sort_unstable();
            variants.dedup();
        }
        *distinct.entry(variants).or_insert(0) += times;
    }
    Ok(distinct)
}

fn shows_any(corpus: &Corpus<'_>, variants: &[String]) -> tantivy::Result<bool> {
    for variant in variants {
        if corpus.shows(BODY, variant)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The stems of the words that a word may have been meant for.
fn meant(
    analyser: &mut Analyser,
    corpus: &Corpus<'_>,
    word: &Word,
    languages: &[Language],
) -> tantivy::Result<Vec<String>> {
    let near = expand::near(corpus, &word.form)?;
    Ok(near.iter().flat_map(|form| analyser.variants(&Word::plain(form), languages)).collect())
}

/// A clause over all segments. `None` when no row that counts has it.
fn clause(
    corpus: &Corpus<'_>,
    field: usize,
    weight: f32,
    find: impl Fn(&Shelf<'_>) -> tantivy::Result<(Found, u64)>,
) -> tantivy::Result<Option<Clause>> {
    let mut found = Vec::with_capacity(corpus.shelves.len());
    let mut frequency = 0;
    for shelf in &corpus.shelves {
        let (here, having) = find(shelf)?;
        frequency += having;
        found.push(here);
    }
    let weight = weight * words::rarity(corpus.rows, frequency) * (K1 + 1.0);
    Ok((frequency > 0).then_some(Clause { field, weight, found }))
}

/// The rows with any of `terms`, and how many of those that count there are.
fn any_of(shelf: &Shelf<'_>, field: usize, terms: &[String]) -> tantivy::Result<(Found, u64)> {
    let mut infos = Vec::new();
    for term in terms {
        infos.extend(shelf.part.term(field, term)?);
    }
    match infos.as_slice() {
        [] => Ok((Found::Nowhere, 0)),
        // The postings of forms are not those of a scored field, whose bounds a cursor would ask for.
        [one] if field < FIELDS => {
            let frequency = shelf.frequency(field, one)?;
            Ok((Found::Stored(one.clone()), frequency))
        }
        several => {
            let mut frequencies = vec![0; shelf.part.rows() as usize];
            for term in several {
                let mut postings = shelf.part.postings(field, term)?;
                while !postings.docs().is_empty() {
                    for (&row, &frequency) in postings.docs().iter().zip(postings.freqs()) {
                        let most = &mut frequencies[row as usize];
                        *most = frequency.max(*most);
                    }
                    postings.advance();
                }
            }
            let counted = shelf.counted.iter().map(|row| (row, frequencies[row as usize]));
            Ok(gathered(counted.filter(|(_, frequency)| *frequency > 0), shelf.visible))
        }
    }
}

/// Keeps the visible ones of rows that count, and says how many there were.
fn gathered(counted: impl Iterator<Item = (u32, u32)>, visible: &Bits) -> (Found, u64) {
    let mut kept = Gathered::default();
    let mut having = 0;
    for (row, frequency) in counted {
        having += 1;
        if visible.has(row) {
            kept.rows.push(row);
            kept.frequencies.push(frequency);
        }
    }
    (if kept.rows.is_empty() { Found::Nowhere } else { Found::Gathered(kept) }, having)
}

/// How quickly frequency brings a word's weight to a row, for each length that the engine tells apart.
fn pace(corpus: &Corpus<'_>, field: usize) -> [f32; 256] {
    let average = (corpus.tokens[field] as f32 / corpus.rows.max(1) as f32).max(1.0);
    std::array::from_fn(|id| {
        let length = FieldNormReader::id_to_fieldnorm(id as u8) as f32;
        1.0 / (K1 * (1.0 - B + B * length / average))
    })
}
