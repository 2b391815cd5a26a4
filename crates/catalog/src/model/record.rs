//! Leaves and contexts as they are stored.

use catena_audit::{LeafHash, LeafRef};
use catena_domain::{ContextId, DocumentId, KeyId, Span, Timestamp, UserName, VersionNo};

/// A leaf as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaf {
    /// Its place in the chain, from zero.
    pub index: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its hash.
    pub hash: LeafHash,
}

/// One citation of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextCitation {
    /// The document.
    pub document: DocumentId,
    /// Its version.
    pub version: VersionNo,
    /// The bytes of the version's text.
    pub span: Span,
    /// The hash of the quote.
    pub quote_sha256: [u8; 32],
}

/// A context to be recorded: what it was made of, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContext {
    /// Its id.
    pub id: ContextId,
    /// The hash of the request.
    pub request_sha256: [u8; 32],
    /// The hash of the text that was answered.
    pub text_sha256: [u8; 32],
    /// Tokens of that text.
    pub tokens_used: u64,
    /// Its citations, in the order of their markers.
    pub citations: Vec<ContextCitation>,
}

/// What is known of a context afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextReceipt {
    /// What was recorded.
    pub context: NewContext,
    /// The key that asked.
    pub actor: KeyId,
    /// The user concerned.
    pub user: Option<UserName>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The leaf that recorded it.
    pub leaf: LeafRef,
}
