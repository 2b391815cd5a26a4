//! The live table: which version of which document counts, and who may see it.
//!
//! A delete, a revocation or a superseding version is a change of this table and of nothing else: the index is not
//! written to, and the next query obeys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use catena_access::{Acl, LiveChanges, LiveDocument, Liveness};
use catena_domain::{AclId, DocNo, Seq, VersionNo};

use crate::pages::Pages;

/// Tells live tables of one process apart: tables with equal ids say the same. A later one has a higher id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableId(u64);

impl TableId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The documents of a tenant at one seq. A changed copy shares what did not change.
#[derive(Debug, Clone)]
pub struct LiveTable {
    id: TableId,
    seq: Seq,
    documents: Pages<LiveDocument>,
    acls: Pages<Arc<Acl>>,
}

impl LiveTable {
    /// The table before the first write.
    #[must_use]
    pub fn empty() -> Self {
        Self { id: TableId::next(), seq: Seq(0), documents: Pages::default(), acls: Pages::default() }
    }

    /// The table at `seq`: this one with some documents replaced or added, and some access lists added.
    #[must_use]
    pub fn with(&self, seq: Seq, changed: Vec<LiveDocument>, acls: Vec<(AclId, Arc<Acl>)>) -> Self {
        let mut next = Self { id: TableId::next(), seq, ..self.clone() };
        for (id, acl) in acls {
            next.acls.set(id.0, acl);
        }
        for document in changed {
            next.documents.set(document.doc.0, document);
        }
        next
    }

    /// The table with what the catalog says has changed since.
    #[must_use]
    pub fn after(&self, changes: LiveChanges) -> Self {
        self.with(changes.seq, changes.documents, changes.acls)
    }

    pub(crate) fn id(&self) -> TableId {
        self.id
    }

    /// The write that the table includes last.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// One document; `None` when the table never heard of it.
    #[must_use]
    pub fn document(&self, doc: DocNo) -> Option<&LiveDocument> {
        self.documents.get(doc.0)
    }

    /// One access list; `None` when the table never heard of it, which admits nobody.
    #[must_use]
    pub fn acl(&self, id: AclId) -> Option<&Arc<Acl>> {
        self.acls.get(id.0)
    }

    /// The document, when its current version is `version` and it is there.
    pub(crate) fn current(&self, doc: DocNo, version: VersionNo) -> Option<&LiveDocument> {
        self.document(doc).filter(|document| document.version == version && document.live == Liveness::Live)
    }
}
