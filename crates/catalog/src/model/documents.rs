//! Documents and their versions.

use catena_access::acl::Rule;
use catena_access::{Acl, Attributes, Decision, Liveness};
use catena_domain::{DocNo, DocumentId, RecipeId, Seq, Span, Timestamp, VersionNo};

use super::{ChunkHash, Chunking, CurrentScreening, Embedding, Noticed, Place, Screening};

/// What a writer believes is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Anything.
    #[default]
    Any,
    /// No document of that id, or a deleted one.
    Absent,
    /// A document whose current version is this one; of a deleted one, the last.
    Version(VersionNo),
    /// A document, deleted or not, that was changed last by this write.
    ChangedBy(Seq),
}

/// A document to be stored, fetched, parsed, cut and embedded already.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// Its id inside the tenant.
    pub id: DocumentId,
    /// Its title, which is part of what was embedded.
    pub title: String,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// What its bytes are.
    pub content_type: String,
    /// Typed by whoever handed it in.
    pub attributes: Attributes,
    /// The source that it came from, if it was not pushed.
    pub source: Option<String>,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// Who may see it.
    pub acl: Acl,
    /// The hash of its bytes.
    pub bytes_sha256: [u8; 32],
    /// Its normalised text.
    pub text: String,
    /// The hash of that text.
    pub text_sha256: [u8; 32],
    /// The recipe by which it was cut and embedded.
    pub recipe: RecipeId,
    /// Its chunks, in the order of the text.
    pub chunks: Vec<NewChunk>,
    /// The vectors of those chunks that the tenant had none for under this recipe.
    pub embeddings: Vec<Embedding>,
    /// What was found in it; `None` when nothing looked.
    pub screening: Option<Screening>,
    /// What the writer believes is there now.
    pub expect: Expect,
    /// What else is known of it.
    pub besides: Besides,
}

/// What may be known of a document that is written, and need not be.
#[derive(Debug, Clone, Default)]
pub struct Besides {
    /// Where in the original the text comes from, in the order of the text.
    pub places: Vec<Place>,
    /// What was found in the original and is no part of the text.
    pub noticed: Noticed,
    /// The text cut by another recipe as well: that of the generation which answers until another is built.
    pub also: Option<Cut>,
    /// The tenant's settings by which it was cut; refused when they are others by now.
    pub chunking: Option<Chunking>,
}

/// A text's chunks under a recipe, and the vectors that the tenant had none of.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The recipe.
    pub recipe: RecipeId,
    /// The chunks, in the order of the text.
    pub chunks: Vec<NewChunk>,
    /// The vectors.
    pub embeddings: Vec<Embedding>,
}

/// A chunk to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChunk {
    /// The bytes of the text.
    pub span: Span,
    /// The headings above it, outermost first.
    pub headings: Vec<String>,
    /// Its first and its last line, from one.
    pub lines: (u32, u32),
    /// Its length in the model's tokens.
    pub tokens: u32,
    /// The hash of what is embedded for it.
    pub hash: ChunkHash,
}

/// What a write changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was no such document, or it was deleted.
    Created,
    /// What is searched for changed: there is a new version.
    NewVersion,
    /// Only what is said about the document changed: ACL, URI, attributes, source, time of change.
    Metadata,
    /// Nothing.
    None,
    /// Nothing: the policy keeps what was handed in back until somebody decides.
    Quarantined,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOutcome {
    /// The document's number inside the tenant.
    pub doc: DocNo,
    /// Its current version.
    pub version: VersionNo,
    /// The tenant's sequence number that the change got; `None` when nothing changed.
    pub seq: Option<Seq>,
    /// What changed.
    pub change: Change,
    /// The tenant's sequence number after the write.
    pub at: Seq,
    /// What the text that came was cut into; nothing where no text came.
    pub cut: Amount,
    /// Of that, what came with a vector.
    pub embedded: Amount,
}

/// Chunks, and the tokens that are in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Chunks.
    pub chunks: u64,
    /// Their tokens.
    pub tokens: u64,
}

impl Amount {
    /// How much some chunks are.
    pub fn of<'a>(chunks: impl IntoIterator<Item = &'a NewChunk>) -> Self {
        let mut amount = Self::default();
        for chunk in chunks {
            amount += Self { chunks: 1, tokens: u64::from(chunk.tokens) };
        }
        amount
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, more: Self) {
        self.chunks += more.chunks;
        self.tokens += more.tokens;
    }
}

/// What a write to a document did that is not a new text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The document's current version, or its last one.
    pub version: VersionNo,
    /// The sequence number from which on the change holds.
    pub seq: Seq,
}

/// What is there now, for whoever writes. Holds no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentVersion {
    /// The document's number inside the tenant.
    pub doc: DocNo,
    /// Its current version.
    pub version: VersionNo,
    /// The hash of that version's bytes.
    pub bytes_sha256: [u8; 32],
    /// The hash of that version's text.
    pub text_sha256: [u8; 32],
    /// Its title.
    pub title: String,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// What its bytes are.
    pub content_type: String,
    /// Typed by whoever handed it in.
    pub attributes: Attributes,
    /// The source that it came from.
    pub source: Option<String>,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// Who may see it.
    pub acl: Acl,
    /// The recipes under which the version is cut, each with its number of chunks.
    pub chunked: Vec<(RecipeId, u32)>,
    /// What was found in it when it came in; `None` when nothing looked.
    pub screening: Option<CurrentScreening>,
}

impl CurrentVersion {
    /// Whether the version is cut under `recipe`.
    #[must_use]
    pub fn has_chunks(&self, recipe: &RecipeId) -> bool {
        self.chunks(recipe).is_some()
    }

    /// How many chunks the version has under `recipe`.
    #[must_use]
    pub fn chunks(&self, recipe: &RecipeId) -> Option<u32> {
        self.chunked.iter().find(|(of, _)| of == recipe).map(|&(_, chunks)| chunks)
    }
}

/// A document with its text, for a principal whom its ACL admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Its number inside the tenant.
    pub doc: DocNo,
    /// Its title.
    pub title: String,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// What its bytes were.
    pub content_type: String,
    /// Typed by whoever handed it in.
    pub attributes: Attributes,
    /// The source that it came from.
    pub source: Option<String>,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// When the current version was written.
    pub indexed_at: Timestamp,
    /// Its current version.
    pub version: VersionNo,
    /// How many versions it has had.
    pub versions: u32,
    /// Who may see it.
    pub acl: Acl,
    /// Its normalised text.
    pub text: String,
    /// The hash of that text.
    pub text_sha256: [u8; 32],
    /// What was found in the original of the current version and is no part of its text.
    pub noticed: Noticed,
    /// The classes of what the firewall found in it.
    pub flags: Vec<String>,
    /// The rule that admitted the principal.
    pub rule: Rule,
}

/// A document as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Its id.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// What its bytes were.
    pub content_type: String,
    /// The source that it came from.
    pub source: Option<String>,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// When the current version was written.
    pub indexed_at: Timestamp,
    /// Its current version.
    pub version: VersionNo,
}

/// A version as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its number.
    pub version: VersionNo,
    /// When it was written.
    pub created_at: Timestamp,
    /// The hash of its bytes.
    pub bytes_sha256: [u8; 32],
    /// The hash of its text.
    pub text_sha256: [u8; 32],
    /// The length of its text.
    pub bytes: u64,
    /// Its chunks under the recipe of the generation that answers; zero when it is not cut under that one.
    pub chunks: u32,
    /// How it came to be: [`Change::Created`] or [`Change::NewVersion`].
    pub change: Change,
}

/// One version of a document with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub version: VersionNo,
    /// The document's title then.
    pub title: String,
    /// What its bytes were.
    pub content_type: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// The hash of its bytes.
    pub bytes_sha256: [u8; 32],
    /// Its normalised text.
    pub text: String,
    /// The hash of that text.
    pub text_sha256: [u8; 32],
    /// The rule that admitted the principal.
    pub rule: Rule,
}

/// A version that is to be brought back, and what is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restorable {
    /// The document's title then.
    pub title: String,
    /// What the version's bytes were.
    pub content_type: String,
    /// The hash of its bytes.
    pub bytes_sha256: [u8; 32],
    /// Its normalised text.
    pub text: String,
    /// Where in the original the text comes from.
    pub places: Vec<Place>,
    /// What was found in the original and is no part of the text.
    pub noticed: Noticed,
    /// Whether the document is there.
    pub state: Liveness,
    /// The write that changed the document last.
    pub changed_seq: Seq,
    /// What is there now, or was before the deletion.
    pub current: CurrentVersion,
}

/// A deleted document as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedRow {
    /// What it was.
    pub row: DocumentRow,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// A purge that was begun and is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingPurge {
    /// The document's number.
    pub doc: DocNo,
    /// The last version that is to go.
    pub upto: VersionNo,
}

/// What a step of a purge found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeStep {
    /// Something, which is gone; there may be more.
    More,
    /// Nothing: the catalog holds nothing of it any more.
    Nothing,
}

/// What the catalog says of a document to those who administrate it, whoever may see it: no title and no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentState {
    /// The document.
    pub doc: DocNo,
    /// Its current version, or the last one that it had.
    pub version: VersionNo,
    /// Whether it is there.
    pub live: Liveness,
    /// The write that changed it last.
    pub changed_seq: Seq,
    /// Its chunks under the recipe that was asked about; none when the version is not cut under it.
    pub chunks: Option<u32>,
    /// What its access list says to the principal that was asked about, now.
    pub decision: Decision,
}
