//! One segment: four files that are written once, verified, and never change.

use std::path::{Path, PathBuf};

use catena_domain::{DocNo, VersionNo};
use tantivy::directory::{Directory, OwnedBytes, RamDirectory};
use tantivy::schema::Field;
use tantivy::store::Compressor;
use tantivy::tokenizer::PreTokenizedString;
use tantivy::{
    IndexReader, IndexSettings, ReloadPolicy, Searcher, SegmentReader, SingleSegmentIndexWriter, TantivyDocument,
};

use crate::analyser::Analyser;
use crate::columns::{Columns, ColumnsBuilder};
use crate::disk;
use crate::error::IndexError;
use crate::manifest::{FileEntry, SegmentEntry};
use crate::row::{RowInput, RowKey};
use crate::sealed::SealedDirectory;
use crate::vectors::{Vectors, VectorsBuilder};
use crate::{bundle, words};

/// Most rows of one segment. A merge holds its rows in memory, with their texts and vectors: about 2 KB each.
pub(crate) const ROWS_MAX: usize = 65_536;

const LEXICAL: &str = "lexical";
const ROWS: &str = "rows";
const EIGHT: &str = "vectors.i8";
const SIXTEEN: &str = "vectors.f16";
/// Every file of a segment, in the manifest's order.
const FILES: [&str; 4] = [LEXICAL, ROWS, EIGHT, SIXTEEN];
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
    searcher: Searcher,
}

impl Segment {
    /// Verifies every file that the manifest names, then opens them.
    pub(crate) fn open(generation: &Path, entry: &SegmentEntry, dimension: usize) -> Result<Self, IndexError> {
        let folder = generation.join(&entry.name);
        let named: Vec<&str> = entry.files.iter().map(|file| file.name.as_str()).collect();
        if number(&entry.name).is_none() || named != FILES {
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
        Ok(Self { entry: entry.clone(), columns, vectors, searcher })
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
        self.find(key).is_ok()
    }

    /// The chunks of a version that the segment holds.
    pub(crate) fn chunks_of(&self, doc: DocNo, version: VersionNo) -> impl Iterator<Item = u32> + '_ {
        let (Ok(first) | Err(first)) = self.find(RowKey { doc, version, chunk: 0 });
        let keys = (first..self.rows()).map(|row| self.columns.key(row));
        keys.take_while(move |key| (key.doc, key.version) == (doc, version)).map(|key| key.chunk)
    }

    fn find(&self, key: RowKey) -> Result<u32, u32> {
        let (mut low, mut high) = (0, self.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.columns.key(middle).cmp(&key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The versions in the segment with how many rows each has.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (DocNo, VersionNo, u32)> + '_ {
        self.columns.runs().map(|run| (run.doc, run.version, run.rows.len() as u32))
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

/// Brings rows into the order in which a segment holds them: neighbours are of one version, and a key is found by halving.
pub(crate) fn sort(rows: &mut [RowInput]) -> Result<(), IndexError> {
    rows.sort_unstable_by_key(RowInput::key);
    match rows.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
        Some(twice) => Err(IndexError::RowTwice { doc: twice[0].doc, chunk: twice[0].chunk }),
        None => Ok(()),
    }
}

/// Writes a segment of sorted rows, at most [`ROWS_MAX`], into `generation`: durable, name included, but named by no
/// manifest yet.
pub(crate) fn write(
    generation: &Path,
    name: &str,
    rows: &[RowInput],
    dimension: usize,
) -> Result<SegmentEntry, IndexError> {
    debug_assert!(rows.len() <= ROWS_MAX, "the caller splits");
    let contents = build(rows, dimension)?;
    let folder = generation.join(name);
    disk::remove(&folder)?;
    disk::make_folder(&folder)?;
    let mut files = Vec::with_capacity(FILES.len());
    for (name, content) in FILES.into_iter().zip(contents) {
        disk::write_sealed(&folder.join(name), &content)?;
        let blake3 = blake3::hash(&content).to_hex().to_string();
        files.push(FileEntry { name: name.to_owned(), bytes: content.len() as u64, blake3 });
    }
    disk::sync_folder(&folder)?;
    Ok(SegmentEntry { name: name.to_owned(), rows: rows.len() as u32, files })
}

/// The contents of a segment's files, in the manifest's order.
fn build(rows: &[RowInput], dimension: usize) -> Result<[Vec<u8>; FILES.len()], IndexError> {
    let mut columns = ColumnsBuilder::new();
    let mut vectors = VectorsBuilder::new(rows.len(), dimension);
    let engine = || IndexError::engine("build a segment");
    let mut lexical = LexicalBuilder::new(rows.len()).map_err(engine())?;
    for row in rows {
        if row.vector.len() != dimension {
            return Err(IndexError::Dimension { index: dimension, given: row.vector.len() });
        }
        let pointless = |what| IndexError::RowVector { doc: row.doc, chunk: row.chunk, what };
        vectors.push(&row.vector).map_err(pointless)?;
        let tokens = lexical.push(row).map_err(engine())?;
        columns.push(row.key(), tokens);
    }
    let (eight, sixteen) = vectors.into_bytes();
    let files = lexical.finish().map_err(engine())?;
    let bundle = bundle::pack(&files)
        .map_err(|source| IndexError::Engine { doing: "bundle a segment", source: source.into() })?;
    Ok([bundle, columns.into_bytes(), eight, sixteen])
}

/// The lexical part of a segment that is being built, in memory: the rows are there already.
struct LexicalBuilder {
    analyser: Analyser,
    directory: RamDirectory,
    writer: SingleSegmentIndexWriter,
}

impl LexicalBuilder {
    fn new(rows: usize) -> tantivy::Result<Self> {
        let directory = RamDirectory::create();
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let (least, most) = ENGINE_BUDGET_BYTES.into_inner();
        let budget = (rows * ENGINE_BUDGET_BYTES_PER_ROW).clamp(least, most);
        let writer = tantivy::Index::builder()
            .schema(words::schema())
            .settings(settings)
            .single_segment_index_writer(directory.clone(), budget)?;
        Ok(Self { analyser: Analyser::new(), directory, writer })
    }

    /// Adds a row and says how many terms each field has.
    fn push(&mut self, row: &RowInput) -> tantivy::Result<[u32; words::FIELDS]> {
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
    fn finish(self) -> tantivy::Result<Vec<(String, Vec<u8>)>> {
        let index = self.writer.finalize()?;
        let mut paths: Vec<PathBuf> = index.directory().list_managed_files().into_iter().collect();
        paths.push(PathBuf::from(ENGINE_META));
        paths.sort();
        paths.dedup();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            if self.directory.exists(&path)? {
                files.push((path.to_string_lossy().into_owned(), self.directory.atomic_read(&path)?));
            }
        }
        Ok(files)
    }
}
