//! The lexical part of a segment that is being made: from rows, or from parts that are open.
//!
//! Promises: a row's place is the order in which it was pushed, and a merge stacks the rows that stay in the parts' order;
//! a part that was merged answers and scores as one that was built from the same rows. Does not: touch the disk.

use std::path::PathBuf;

use tantivy::directory::{Directory, OwnedBytes, RamDirectory};
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::indexer::merge_filtered_segments;
use tantivy::store::Compressor;
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{IndexSettings, SegmentReader, SingleSegmentIndexWriter, TantivyDocument};

use crate::analyser::{Analyser, Word};
use crate::bits::Bits;
use crate::error::IndexError;
use crate::lexical::bounds;
use crate::lexical::language::Language;
use crate::lexical::part::{BOUNDS, Part};
use crate::row::RowInput;
use crate::words::{self, BODY, FIELDS, FORMS, LANGUAGE};

/// The engine's list of segments, and the one file beside it that a reader does not need.
const ENGINE_META: &str = "meta.json";
/// The engine sizes its first hash table by this: small for a handful of rows, never more than it would take.
const ENGINE_BUDGET_BYTES: std::ops::RangeInclusive<usize> = 1_000_000..=50_000_000;
const ENGINE_BUDGET_BYTES_PER_ROW: usize = 4_096;
/// Places left free between title, headings and text, so that no phrase reaches from one into another.
const POSITION_GAP: usize = 16;

/// A part that is being built in memory: the rows are there already.
pub(crate) struct Builder {
    analyser: Analyser,
    directory: RamDirectory,
    writer: SingleSegmentIndexWriter,
}

impl Builder {
    pub(crate) fn new(rows: usize) -> Result<Self, IndexError> {
        let directory = RamDirectory::create();
        let (least, most) = ENGINE_BUDGET_BYTES.into_inner();
        let budget = (rows * ENGINE_BUDGET_BYTES_PER_ROW).clamp(least, most);
        let writer = tantivy::Index::builder()
            .schema(words::schema())
            .settings(settings())
            .single_segment_index_writer(directory.clone(), budget)
            .map_err(failed())?;
        Ok(Self { analyser: Analyser::new(), directory, writer })
    }

    /// Adds a row and says how many terms each scored field has.
    pub(crate) fn push(&mut self, row: &RowInput) -> Result<[u32; FIELDS], IndexError> {
        let texts = [&row.title, &row.headings, &row.body];
        let language = row.language.or_else(|| Language::detect(&row.body)).unwrap_or(Language::ENGLISH);
        let parts = texts.map(|text| self.analyser.words(text));
        let mut document = TantivyDocument::default();
        let mut counts = [0; FIELDS];
        let stemmed = parts.each_ref().map(|part| self.stems(part, language));
        for (at, tokens) in stemmed.iter().enumerate().filter(|(at, _)| *at != BODY) {
            counts[at] = add(&mut document, at, tokens.clone());
        }
        counts[BODY] = add(&mut document, BODY, stemmed.concat());
        add(&mut document, FORMS, forms(&parts));
        add(&mut document, LANGUAGE, vec![token(language.code().to_owned(), 0)]);
        self.writer.add_document(document).map_err(failed())?;
        Ok(counts)
    }

    fn stems(&mut self, words: &[Word], language: Language) -> Vec<Token> {
        let stemmer = language.stemmer();
        let mut tokens = Vec::with_capacity(words.len());
        for (position, word) in words.iter().enumerate() {
            let (stem, other) = self.analyser.stems(word, stemmer);
            tokens.push(token(stem, position));
            tokens.extend(other.map(|other| token(other, position)));
        }
        tokens
    }

    /// The part's files, by name.
    pub(crate) fn finish(self) -> Result<Vec<(String, Vec<u8>)>, IndexError> {
        let index = self.writer.finalize().map_err(failed())?;
        files(&index, &self.directory).map_err(failed())
    }
}

/// Stacks the rows of `parts` that are in `alive`, in their order, into the files of one part. There is at least one row.
pub(crate) fn merge(parts: &[(&Part, &Bits)]) -> Result<Vec<(String, Vec<u8>)>, IndexError> {
    let failed = || IndexError::engine("merge segments");
    let (mut segments, mut alive) = (Vec::new(), Vec::new());
    for (part, bits) in parts.iter().filter(|(_, bits)| bits.ones() > 0) {
        segments.push(part.engine_segment().clone());
        alive.push(Some(alive_bits(part.rows(), bits).map_err(failed())?));
    }
    let directory = RamDirectory::create();
    let index = merge_filtered_segments(&segments, settings(), alive, directory.clone()).map_err(failed())?;
    files(&index, &directory).map_err(failed())
}

fn alive_bits(rows: u32, bits: &Bits) -> tantivy::Result<AliveBitSet> {
    let mut set = tantivy::BitSet::with_max_value(rows);
    for row in bits.iter() {
        set.insert(row);
    }
    let mut bytes = Vec::new();
    write_alive_bitset(&set, &mut bytes)?;
    Ok(AliveBitSet::open(OwnedBytes::new(bytes)))
}

fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

fn failed() -> impl FnOnce(tantivy::TantivyError) -> IndexError {
    IndexError::engine("build a segment")
}

fn token(text: String, position: usize) -> Token {
    Token { text, position, ..Token::default() }
}

/// The forms of a row's words, each part of the row at some distance from the one before.
fn forms(parts: &[Vec<Word>; FIELDS]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut position = 0;
    for part in parts {
        for word in part {
            tokens.push(token(word.form.clone(), position));
            position += 1;
        }
        position += POSITION_GAP;
    }
    tokens
}

fn add(document: &mut TantivyDocument, field: usize, tokens: Vec<Token>) -> u32 {
    let count = tokens.len() as u32;
    document.add_pre_tokenized_text(words::field(field), PreTokenizedString { text: String::new(), tokens });
    count
}

/// The engine's files of a segment that it has finished, with ours beside them.
fn files(index: &tantivy::Index, directory: &RamDirectory) -> tantivy::Result<Vec<(String, Vec<u8>)>> {
    let mut paths: Vec<PathBuf> = index.directory().list_managed_files().into_iter().collect();
    paths.push(PathBuf::from(ENGINE_META));
    paths.sort();
    paths.dedup();
    let mut files = Vec::with_capacity(paths.len() + 1);
    for path in paths {
        if directory.exists(&path)? {
            files.push((path.to_string_lossy().into_owned(), directory.atomic_read(&path)?));
        }
    }
    let segments = index.searchable_segments()?;
    if let Some(segment) = segments.first() {
        files.push((BOUNDS.to_owned(), bounds::build(&SegmentReader::open(segment)?)?));
    }
    Ok(files)
}
