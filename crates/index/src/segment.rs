//! One segment: four files that are written once, verified, and never change.

use std::path::Path;

use crate::bundle;
use crate::columns::{Columns, ColumnsBuilder};
use crate::disk;
use crate::error::IndexError;
use crate::lexical::{Builder as LexicalBuilder, Part};
use crate::manifest::{FileEntry, SegmentEntry};
use crate::row::{RowInput, RowKey};
use crate::vectors::{Vectors, VectorsBuilder};
use catena_domain::{DocNo, VersionNo};

/// Most rows of one segment. A merge holds its rows in memory, with their texts and vectors: about 2 KB each.
pub(crate) const ROWS_MAX: usize = 65_536;

const LEXICAL: &str = "lexical";
const ROWS: &str = "rows";
const EIGHT: &str = "vectors.i8";
const SIXTEEN: &str = "vectors.f16";
/// Every file of a segment, in the manifest's order.
const FILES: [&str; 4] = [LEXICAL, ROWS, EIGHT, SIXTEEN];
const NAME_DIGITS: usize = 10;

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
    lexical: Part,
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
        let lexical = Part::open(&path(0), map(0)?, entry.rows)?;
        let columns = Columns::open(&path(1), map(1)?, entry.rows)?;
        let vectors = Vectors::open((&path(2), map(2)?), (&path(3), map(3)?), entry.rows, dimension)?;
        Ok(Self { entry: entry.clone(), columns, vectors, lexical })
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

    pub(crate) fn lexical(&self) -> &Part {
        &self.lexical
    }

    /// Whether the segment holds `key`.
    pub(crate) fn has(&self, key: RowKey) -> bool {
        self.find(key).is_ok()
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
    let mut lexical = LexicalBuilder::new(rows.len())?;
    for row in rows {
        if row.vector.len() != dimension {
            return Err(IndexError::Dimension { index: dimension, given: row.vector.len() });
        }
        let pointless = |what| IndexError::RowVector { doc: row.doc, chunk: row.chunk, what };
        vectors.push(&row.vector).map_err(pointless)?;
        let tokens = lexical.push(row)?;
        columns.push(row.key(), tokens);
    }
    let (eight, sixteen) = vectors.into_bytes();
    let files = lexical.finish()?;
    let bundle = bundle::pack(&files)
        .map_err(|source| IndexError::Engine { doing: "bundle a segment", source: source.into() })?;
    Ok([bundle, columns.into_bytes(), eight, sixteen])
}
