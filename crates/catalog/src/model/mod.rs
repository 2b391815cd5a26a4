//! What goes into the catalog and what comes out, one file per family of tables.

mod chunking;
mod deed;
mod directory;
mod documents;
mod feed;
mod firewall;
mod jobs;
mod places;
mod quotas;
mod record;
mod sources;
mod tenants;

use catena_audit::LeafRef;

pub use chunking::{Chunking, Cutting};
pub use deed::{Deed, KeptAnswer, Once};
pub use directory::{Group, GroupRow, Member, Quarantined};
pub use documents::{
    Amount, Besides, Change, Changed, CurrentVersion, Cut, DeletedRow, Document, DocumentRow, DocumentState, Expect,
    NewChunk, NewDocument, PendingPurge, PurgeStep, PutOutcome, Restorable, Version, VersionRow,
};
pub use feed::{ChunksPut, IndexChanges, IndexRow, IndexedVersion, PassageKey, StoredPassage, StoredText};
pub use firewall::{
    Admission, CurrentScreening, DetectorTally, DocumentFindings, FoundCounts, FoundSpan, NewSuspect, Screening,
    Suspect, SuspectRow,
};
pub use jobs::{
    Approval, Claimed, Count, Fence, Job, JobControl, JobEnd, JobFailure, JobItem, JobKind, JobState, Lease, NewJob,
    NewJobItem, Rate, Run, Taking, Tally, WorkerReach,
};
pub use places::{Noticed, Place, Places, Position};
pub use quotas::{Exceeded, Held, Quota, Quotas, Spending, Usage, UsageKind, Used};
pub use record::{ContextCitation, ContextReceipt, NewContext, StoredLeaf};
pub use sources::{
    GainedReaders, ItemChanges, ItemState, Move, Restated, SealedCredentials, SourceDescription, SourceItem, SourceRow,
    SourceState,
};
pub use tenants::{
    Answering, Cuttings, GenerationRow, GenerationState, KeyRow, LiveIndex, NewKey, Service, Standing, Statistics,
    StoredKey, Successor, Tenant, TenantChange, TenantState,
};

/// What a write returns: its value, and the leaf that recorded it in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    /// What was written.
    pub value: T,
    /// The leaf that says so.
    pub leaf: LeafRef,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The id of the last item, when more follow: hand it in as `after` for the next page.
    pub next: Option<String>,
}

/// The hash that stands for the text that is embedded of a chunk.
pub type ChunkHash = [u8; 32];

/// A vector and the chunk hash that it belongs to.
pub type Embedding = (ChunkHash, Vec<half::f16>);
