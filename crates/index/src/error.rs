//! What can go wrong, with its facts and the way out.

use std::io;
use std::path::{Path, PathBuf};

use catena_domain::{DocNo, ErrorKind, RecipeId, Seq};

/// Why the index refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}; check the disk's space and the folder's owner", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Stored bytes are not those that were written.
    #[error("{} is damaged: {what}; put the generation aside, it is rebuilt from the catalog", path.display())]
    Corrupt {
        /// The damaged file or folder.
        path: PathBuf,
        /// How it shows.
        what: String,
    },
    /// Written by a version of Catena that lays out its index in another way.
    #[error("{} has index format {found}, this version reads {expected}; put the generation aside, it is rebuilt from \
             the catalog", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The format of this version.
        expected: u32,
    },
    /// Two recipes met that must not: their vectors cannot be compared.
    #[error("the index has recipe {index}, {given} was given; embed with the index's recipe or re-index")]
    Recipe {
        /// The generation's recipe.
        index: RecipeId,
        /// The other one.
        given: RecipeId,
    },
    /// A vector, or a generation, of another length.
    #[error("the index has vectors of {index} numbers, {given} were given; embed with the index's recipe or re-index")]
    Dimension {
        /// The generation's dimension.
        index: usize,
        /// The other one.
        given: usize,
    },
    /// A vector that points nowhere.
    #[error("the vector of document {doc}, chunk {chunk} is {what}; embed the chunk again")]
    RowVector {
        /// The row's document.
        doc: DocNo,
        /// The row's chunk.
        chunk: u32,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A query's vector that points nowhere.
    #[error("the query's vector is {what}; embed the query again")]
    QueryVector {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A phrase or a prefix that cannot be looked for.
    #[error("{what}")]
    LexicalOption {
        /// What is wrong, and what to do.
        what: String,
    },
    /// A write that lies before what the index has applied.
    #[error("the index has applied seq {applied}, seq {upto} lies before it; read the index's seq, then go on from it")]
    Order {
        /// Applied.
        applied: Seq,
        /// Offered.
        upto: Seq,
    },
    /// A generation whose vectors would have no numbers, or too many.
    #[error("vectors of {given} numbers cannot be indexed; the limit is {limit}; use another model")]
    DimensionLimit {
        /// Numbers wanted.
        given: usize,
        /// Numbers allowed.
        limit: usize,
    },
    /// The same row twice in one call.
    #[error("document {doc}, chunk {chunk} was given twice")]
    RowTwice {
        /// The row's document.
        doc: DocNo,
        /// The row's chunk.
        chunk: u32,
    },
    /// The plan names a segment that is no longer there.
    #[error("segment {segment} of the merge plan is gone; make a new plan")]
    StalePlan {
        /// The missing segment.
        segment: String,
    },
    /// The generation was put aside, discarded, or lost track of its folder while somebody held it.
    #[error("generation {generation} was closed; open it again")]
    Closed {
        /// Its name.
        generation: String,
    },
    /// Nothing of that name on the disk.
    #[error("generation {generation} is not on the disk")]
    Absent {
        /// Its name.
        generation: String,
    },
    /// A row or a visible set of another snapshot: a mistake of the caller's.
    #[error("{what} belongs to another snapshot")]
    OtherSnapshot {
        /// Which argument.
        what: &'static str,
    },
    /// The lexical engine failed on bytes that verified.
    #[error("the lexical engine cannot {doing}: {source}")]
    Engine {
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl IndexError {
    /// Whether the disk has no room for what was to be written.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        let is_full =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Io { source, .. } if is_full(source))
    }

    /// Whether what was read is not what was written, or cannot be read as such. It will not be better the next time.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Format { .. } | Self::Engine { .. })
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Format { .. }
            | Self::Recipe { .. }
            | Self::Dimension { .. }
            | Self::Order { .. }
            | Self::StalePlan { .. }
            | Self::Closed { .. } => ErrorKind::Conflict,
            Self::RowVector { .. }
            | Self::QueryVector { .. }
            | Self::LexicalOption { .. }
            | Self::DimensionLimit { .. } => ErrorKind::Invalid,
            Self::Absent { .. } => ErrorKind::NotFound,
            Self::RowTwice { .. } | Self::OtherSnapshot { .. } | Self::Engine { .. } => ErrorKind::Internal,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn engine(doing: &'static str) -> impl FnOnce(tantivy::TantivyError) -> Self {
        move |source| Self::Engine { doing, source: Box::new(source) }
    }
}
