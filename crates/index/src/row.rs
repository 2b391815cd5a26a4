//! Rows: what goes in, how one is named, what comes out.

use catena_domain::{DocNo, VersionNo};
use half::f16;

use crate::lexical::Language;

/// A chunk of a version, ready to be indexed.
#[derive(Debug, Clone, PartialEq)]
pub struct RowInput {
    /// The document.
    pub doc: DocNo,
    /// Its version.
    pub version: VersionNo,
    /// The chunk's number inside the version.
    pub chunk: u32,
    /// The document's title.
    pub title: String,
    /// The headings above the chunk.
    pub headings: String,
    /// The chunk's text.
    pub body: String,
    /// The language that the document says it is in; `None` when it does not say.
    pub language: Option<Language>,
    /// The chunk's embedding under the generation's recipe; its length does not matter, its direction does.
    pub vector: Vec<f16>,
}

impl RowInput {
    /// What names the row.
    #[must_use]
    pub fn key(&self) -> RowKey {
        RowKey { doc: self.doc, version: self.version, chunk: self.chunk }
    }
}

/// A row's place in one snapshot. Means nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The segment's position in the snapshot.
    pub segment: u32,
    /// The row's position in the segment.
    pub row: u32,
}

/// What a row is, in every snapshot that holds it. The order is the one that breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// The document.
    pub doc: DocNo,
    /// Its version.
    pub version: VersionNo,
    /// The chunk's number inside the version.
    pub chunk: u32,
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Where it lies.
    pub row: RowId,
    /// How well it fits; only comparable inside one answer of one arm.
    pub score: f32,
}
