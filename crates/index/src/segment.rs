//! One segment: a few files that are written once, verified, and never change.

use std::path::{Path, PathBuf};

use catena_domain::{DocNo, VersionNo};
use tantivy::directory::{Directory, OwnedBytes, RamDirectory};
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::schema::Field;
use tantivy::store::Compressor;
use tantivy::tokenizer::PreTokenizedString;
use tantivy::{
    BitSet, IndexReader, IndexSettings, ReloadPolicy, Searcher, SegmentReader, SingleSegmentIndexWriter,
    TantivyDocument,
};

use crate::analyser::Analyser;
use crate::coarse::{self, Coarse};
use crate::columns::Columns;
use crate::disk;
use crate::error::IndexError;
use crate::manifest::SegmentEntry;
use crate::row::{RowInput, RowKey};
use crate::sealed::SealedDirectory;
use crate::vectors::Vectors;
use crate::write::Part;
use crate::{bundle, words};

/// Most rows of one segment. A merge holds its rows' postings in memory, and what it writes of them but for their vectors.
pub(crate) const ROWS_MAX: usize = 4_194_304;

pub(crate) const LEXICAL: &str = "lexical";
pub(crate) const ROWS: &str = "rows";
pub(crate) const EIGHT: &str = "vectors.i8";
pub(crate) const SIXTEEN: &str = "vectors.f16";
pub(crate) const ONE: &str = "vectors.b1";
/// Every file of a segment, in the manifest's order; the last from some thousands of rows on.
const FILES: [&str; 5] = [LEXICAL, ROWS, EIGHT, SIXTEEN, ONE];

/// The files of a segment of so many rows.
fn files_of(rows: u32) -> &'static [&'static str] {
    if rows < coarse::FROM_ROWS { &FILES[..FILES.len() - 1] } else { &FILES }
}
const NAME_DIGITS: usize = 10;
/// The engine's list of segments, and the one file beside it that a reader does not need.
const ENGINE_META: &str = "meta.json";
/// The engine sizes its first hash table by this: small for a handful of rows, never more than it would take.
const ENGINE_BUDGET_BYTES: std::ops::RangeInclusive<usize> = 1_000_000..=50_000_000;
const ENGINE_BUDGET_BYTES_PER_ROW: usize = 4_096;

/// The name of the `number`th segment of a generation.
pub(crate) fn name(number: u64) -> String {
    format!("{number:0NAME_DIGITS$}")
}

/// The number of the segment of that name; `None` when it is no segment's name.
pub(crate) fn number(name: &str) -> Option<u64> {
    (name.len() >= NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}

/// A sealed segment, open.
pub(crate) struct Segment {
    entry: SegmentEntry,
    columns: Columns,
    vectors: Vectors,
    coarse: Option<Coarse>,
    searcher: Searcher,
}

impl Segment {
    /// Verifies every file that the manifest names, then opens them.
    pub(crate) fn open(generation: &Path, entry: &SegmentEntry, dimension: usize) -> Result<Self, IndexError> {
        let folder = generation.join(&entry.name);
        let named: Vec<&str> = entry.files.iter().map(|file| file.name.as_str()).collect();
        if number(&entry.name).is_none() || named != files_of(entry.rows) {
            return Err(IndexError::corrupt(&folder, "the manifest names it in an unknown way"));
        }
        let path = |at: usize| folder.join(FILES[at]);
        let map = |at: usize| {
            let file = &entry.files[at];
            disk::open_sealed(&path(at), file.bytes, &file.blake3)
        };
        let searcher = open_lexical(&path(0), map(0)?, entry.rows)?;
        let columns = Columns::open(&path(1), map(1)?, entry.rows)?;
        let vectors = Vectors::open((&path(2), map(2)?), (&path(3), map(3)?), entry.rows, dimension)?;
        let coarse = match entry.files.get(4) {
            Some(_) => Some(Coarse::open(&path(4), map(4)?, entry.rows, dimension)?),
            None => None,
        };
        Ok(Self { entry: entry.clone(), columns, vectors, coarse, searcher })
    }

    pub(crate) fn entry(&self) -> &SegmentEntry {
        &self.entry
    }

    pub(crate) fn rows(&self) -> u32 {
        self.columns.rows()
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// The lists of its rows, if it is large enough for them.
    pub(crate) fn coarse(&self) -> Option<&Coarse> {
        self.coarse.as_ref()
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// The engine's reader of the segment.
    pub(crate) fn reader(&self) -> &SegmentReader {
        // Opening has checked that there is one.
        self.searcher.segment_reader(0)
    }

    /// Whether the segment holds `key`.
    pub(crate) fn has(&self, key: RowKey) -> bool {
        self.columns.has(key)
    }

    /// The chunks of a version that the segment holds.
    pub(crate) fn chunks_of(&self, doc: DocNo, version: VersionNo) -> impl Iterator<Item = u32> + '_ {
        self.columns.chunks_of(doc, version)
    }

    /// The versions in the segment with how many rows each has.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (DocNo, VersionNo, u32)> + '_ {
        self.columns.runs().iter().map(|run| (run.doc(), run.version(), run.rows().len() as u32))
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("entry", &self.entry).finish_non_exhaustive()
    }
}

fn open_lexical(path: &Path, map: catena_kernels::Map, rows: u32) -> Result<Searcher, IndexError> {
    let files = bundle::list(&map).map_err(|what| IndexError::corrupt(path, what))?;
    let bytes = OwnedBytes::new(map);
    let directory = SealedDirectory::new(files.into_iter().map(|(name, range)| (name, bytes.slice(range))));
    let open = || -> tantivy::Result<Searcher> {
        let index = tantivy::Index::open(directory)?;
        let reader: IndexReader =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).doc_store_cache_num_blocks(0).try_into()?;
        Ok(reader.searcher())
    };
    let searcher = open().map_err(IndexError::engine("open a segment"))?;
    match searcher.segment_readers() {
        [reader] if reader.max_doc() == rows && reader.num_docs() == rows => Ok(searcher),
        _ => Err(IndexError::corrupt(path, format!("its lexical part does not have the {rows} rows of the rest"))),
    }
}

/// The engine's files, by name, for rows of several segments, one segment's rows after the other's.
pub(crate) fn merge_lexical(parts: &[Part<'_>]) -> tantivy::Result<Vec<(String, Vec<u8>)>> {
    let (mut segments, mut alive) = (Vec::new(), Vec::new());
    for part in parts.iter().filter(|part| part.count() > 0) {
        segments.extend(part.segment.searcher.index().searchable_segments()?);
        let mut kept = BitSet::with_max_value(part.segment.rows());
        for row in part.rows.iter().cloned().flatten() {
            kept.insert(row);
        }
        let mut bytes = Vec::new();
        write_alive_bitset(&kept, &mut bytes)?;
        alive.push(Some(AliveBitSet::open(OwnedBytes::new(bytes))));
    }
    let directory = RamDirectory::create();
    let index = tantivy::indexer::merge_filtered_segments(&segments, settings(), alive, directory.clone())?;
    engine_files(&index, &directory)
}

/// How the engine lays out its files.
fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

/// What the engine has written, by name.
fn engine_files(index: &tantivy::Index, directory: &RamDirectory) -> tantivy::Result<Vec<(String, Vec<u8>)>> {
    let mut paths: Vec<PathBuf> = index.directory().list_managed_files().into_iter().collect();
    paths.push(PathBuf::from(ENGINE_META));
    paths.sort();
    paths.dedup();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        if directory.exists(&path)? {
            files.push((path.to_string_lossy().into_owned(), directory.atomic_read(&path)?));
        }
    }
    Ok(files)
}

/// The lexical part of a segment that is being built, in memory: the rows are there already.
pub(crate) struct LexicalBuilder {
    analyser: Analyser,
    directory: RamDirectory,
    writer: SingleSegmentIndexWriter,
}

impl LexicalBuilder {
    pub(crate) fn new(rows: usize) -> tantivy::Result<Self> {
        let directory = RamDirectory::create();
        let (least, most) = ENGINE_BUDGET_BYTES.into_inner();
        let budget = (rows * ENGINE_BUDGET_BYTES_PER_ROW).clamp(least, most);
        let writer = tantivy::Index::builder()
            .schema(words::schema())
            .settings(settings())
            .single_segment_index_writer(directory.clone(), budget)?;
        Ok(Self { analyser: Analyser::new(), directory, writer })
    }

    /// Adds a row and says how many terms each field has.
    pub(crate) fn push(&mut self, row: &RowInput) -> tantivy::Result<[u32; words::FIELDS]> {
        let mut document = TantivyDocument::default();
        let mut counts = [0; words::FIELDS];
        let texts = words::texts(row);
        for (at, (text, (field, _))) in texts.iter().zip(words::fields()).enumerate() {
            counts[at] = self.add(&mut document, field, text);
        }
        self.writer.add_document(document)?;
        Ok(counts)
    }

    fn add(&mut self, document: &mut TantivyDocument, field: Field, text: &str) -> u32 {
        let tokens = self.analyser.tokens(text);
        let count = tokens.len() as u32;
        document.add_pre_tokenized_text(field, PreTokenizedString { text: String::new(), tokens });
        count
    }

    /// The engine's files, by name.
    pub(crate) fn finish(self) -> tantivy::Result<Vec<(String, Vec<u8>)>> {
        let index = self.writer.finalize()?;
        engine_files(&index, &self.directory)
    }
}
