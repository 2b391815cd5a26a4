//! What the document table says of each document: its current version, its access list, whether it is there.
//!
//! The catalog gives these, the index decides by them what may be seen; neither needs the other for it.

use std::sync::Arc;

use catena_domain::{AclId, DocNo, Seq, VersionNo};

use crate::acl::Acl;
use crate::attribute::Attributes;

/// Whether a document is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It is.
    Live,
    /// It was.
    Deleted,
}

/// What the document table says of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDocument {
    /// The document.
    pub doc: DocNo,
    /// Its current version: rows of any other are dead.
    pub version: VersionNo,
    /// Its access list.
    pub acl: AclId,
    /// Whether it is there.
    pub live: Liveness,
    /// The source that it came from, if any.
    pub source: Option<Arc<str>>,
    /// Its attributes, for filters. Documents with equal ones may share them.
    pub attributes: Arc<Attributes>,
}

/// What changed in a tenant's document table between two writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveChanges {
    /// The last write that is included.
    pub seq: Seq,
    /// The documents that changed.
    pub documents: Vec<LiveDocument>,
    /// The access lists that are new.
    pub acls: Vec<(AclId, Arc<Acl>)>,
}
