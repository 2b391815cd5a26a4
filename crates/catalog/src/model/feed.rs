//! What the index and the gate read.

use catena_access::Attributes;
use catena_access::acl::Rule;
use catena_domain::{AclId, DocNo, DocumentId, Seq, Span, Timestamp, VersionNo};
use half::f16;

use super::Places;

/// One row of the index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRow {
    /// The document.
    pub doc: DocNo,
    /// Its version.
    pub version: VersionNo,
    /// The chunk of that version, from zero.
    pub chunk: u32,
    /// The document's title.
    pub title: String,
    /// The headings above the chunk, outermost first.
    pub headings: Vec<String>,
    /// The chunk's text.
    pub body: String,
    /// What the document's attribute `lang` says; `None` when it has none.
    pub lang: Option<String>,
    /// Its vector.
    pub vector: Vec<f16>,
}

/// Rows to be indexed, and up to where they bring the index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexChanges {
    /// The rows, document by document in the order of their sequence numbers.
    pub rows: Vec<IndexRow>,
    /// With these rows, the index holds everything up to this number.
    pub upto: Seq,
}

/// A version whose chunks the index should hold as rows, numbered from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedVersion {
    /// The document.
    pub doc: DocNo,
    /// Its current version.
    pub version: VersionNo,
    /// The write that made it so: an index which has applied that should hold the rows.
    pub seq: Seq,
    /// How many chunks it has.
    pub chunks: u32,
}

/// A passage that somebody wants to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PassageKey {
    /// The document.
    pub doc: DocNo,
    /// Its version.
    pub version: VersionNo,
    /// The chunk of that version.
    pub chunk: u32,
}

/// A passage that the principal may see, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPassage {
    /// The document's id.
    pub document: DocumentId,
    /// The document's number.
    pub doc: DocNo,
    /// Its version, which is the current one.
    pub version: VersionNo,
    /// Its title.
    pub title: String,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// Its attributes.
    pub attributes: Attributes,
    /// The source that it came from.
    pub source: Option<String>,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// When the version was written.
    pub indexed_at: Timestamp,
    /// The chunk.
    pub chunk: u32,
    /// How many chunks the version has under the recipe.
    pub chunks_total: u32,
    /// The bytes of the version's text.
    pub span: Span,
    /// The headings above it, outermost first.
    pub headings: Vec<String>,
    /// Its first and its last line, from one.
    pub lines: (u32, u32),
    /// Where in the original it comes from, as far as that is known.
    pub places: Places,
    /// What lies between the chunk before and this one; empty for the first.
    pub lead: String,
    /// The text under the span.
    pub text: String,
    /// The hash of the version's whole text.
    pub text_sha256: [u8; 32],
    /// The classes of what the firewall found in the version.
    pub flags: Vec<String>,
    /// The rule that admitted the principal.
    pub rule: Rule,
    /// The ACL that the rule is in.
    pub acl: AclId,
}

/// A stored text that is to be cut again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredText {
    /// The document's id.
    pub document: DocumentId,
    /// The document's number.
    pub doc: DocNo,
    /// Its current version.
    pub version: VersionNo,
    /// What its bytes were.
    pub content_type: String,
    /// The source that it came from.
    pub source: Option<String>,
    /// Its title.
    pub title: String,
    /// Its normalised text.
    pub text: String,
}

/// What became of chunks that were cut again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunksPut {
    /// They are stored.
    Stored,
    /// The version is not current any more, or the document was deleted: they are of no use.
    Superseded,
}
