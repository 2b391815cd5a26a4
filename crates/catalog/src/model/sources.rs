//! Sources, and what is known of their documents.

use catena_access::Acl;
use catena_domain::{DocumentId, SourceName, Timestamp};

/// Whether a source is looked at by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SourceState {
    /// By its schedule, and when somebody asks.
    #[default]
    Active,
    /// Only when somebody asks.
    Paused,
}

impl SourceState {
    /// The state's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }
}

/// What opens a source, sealed by whoever can open it again, with the names of what is sealed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SealedCredentials {
    /// The sealed bytes; none where nothing is needed.
    pub sealed: Option<Vec<u8>>,
    /// What is sealed, by name.
    pub names: Vec<String>,
}

impl std::fmt::Debug for SealedCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCredentials").field("names", &self.names).finish_non_exhaustive()
    }
}

/// A source as an administrator describes it. Description, schedule and guards are JSON in the engine's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDescription {
    /// What it is and where.
    pub spec: String,
    /// What opens it.
    pub credentials: SealedCredentials,
    /// When it is looked at by itself.
    pub schedule: Option<String>,
    /// What waits for approval.
    pub guards: String,
    /// Whether it is looked at by itself.
    pub state: SourceState,
    /// When it is looked at next, if by itself.
    pub next_at: Option<Timestamp>,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Its name.
    pub name: SourceName,
    /// How it is described.
    pub description: SourceDescription,
    /// When it was made.
    pub created_at: Timestamp,
    /// Looks that were begun.
    pub looks: u64,
    /// Where the next look may begin.
    pub cursor: Option<String>,
    /// What the last sync did, in the engine's words.
    pub last: Option<String>,
}

/// What became of a document of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemState {
    /// It is in the tenant as it is in the source.
    Ok,
    /// It could not be read; what was there before is there still.
    Failed,
    /// It is in the tenant, and nobody may see it, because the source could not say who may.
    Quarantined,
    /// It is no document.
    Skipped,
}

impl ItemState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::Quarantined, Self::Skipped];

    /// The state's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Skipped => "skipped",
        }
    }
}

/// What is known of a document of a source since it was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceItem {
    /// The document.
    pub id: DocumentId,
    /// The tag of what was read; empty where it is to be read again whatever the source says.
    pub tag: String,
    /// The hash of its bytes; none where they were never written.
    pub bytes_sha256: Option<[u8; 32]>,
    /// A hash of what was said about it: title, address, attributes, kind of text.
    pub said_sha256: Option<[u8; 32]>,
    /// Who may see it, as the source said last.
    pub acl: Option<Acl>,
    /// What became of it.
    pub state: ItemState,
    /// Why it is not as it should be.
    pub reason: Option<String>,
}

/// What the catalog is told of a look while it goes on: rows to keep, rows that are gone.
#[derive(Debug, Clone, Default)]
pub struct ItemChanges {
    /// Rows in place of those there were.
    pub kept: Vec<SourceItem>,
    /// Rows that go.
    pub gone: Vec<DocumentId>,
}

/// What is said of a document whose bytes are as they were.
#[derive(Debug, Clone)]
pub struct Restated {
    /// The document.
    pub id: DocumentId,
    /// The hash of the bytes that the current version must have.
    pub bytes_sha256: [u8; 32],
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// Typed by whoever handed it in.
    pub attributes: catena_access::Attributes,
    /// The source that it came from.
    pub source: Option<String>,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// Who may see it.
    pub acl: Acl,
}

/// A document that gets another id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The source that both ids are of.
    pub source: SourceName,
    /// Its id until now.
    pub from: DocumentId,
    /// Its id from now on.
    pub to: DocumentId,
    /// The title that it has if it was called after the last part of its old id.
    pub title_from_id: Option<(String, String)>,
}

/// Who reads more after an access list changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GainedReaders {
    /// Users that the directory knows of.
    pub users: u64,
    /// Groups that the directory does not know: nobody can say how many are in them.
    pub unknown_groups: u64,
}
