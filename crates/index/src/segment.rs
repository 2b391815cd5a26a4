//! One segment: a few files that are written once, verified, and never change.

use std::path::Path;

use catena_domain::{DocNo, VersionNo};

use crate::coarse::{self, Coarse};
use crate::columns::Columns;
use crate::disk;
use crate::error::IndexError;
use crate::lexical::Part;
use crate::manifest::SegmentEntry;
use crate::row::RowKey;
use crate::vectors::Vectors;

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
    lexical: Part,
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
        let lexical = Part::open(&path(0), map(0)?, entry.rows)?;
        let columns = Columns::open(&path(1), map(1)?, entry.rows)?;
        let vectors = Vectors::open((&path(2), map(2)?), (&path(3), map(3)?), entry.rows, dimension)?;
        let coarse = match entry.files.get(4) {
            Some(_) => Some(Coarse::open(&path(4), map(4)?, entry.rows, dimension)?),
            None => None,
        };
        Ok(Self { entry: entry.clone(), columns, vectors, coarse, lexical })
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

    pub(crate) fn lexical(&self) -> &Part {
        &self.lexical
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
