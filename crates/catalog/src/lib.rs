//! The catalog: what is true. Tenants, keys, groups, documents, versions, texts, chunks, vectors, generations, jobs and
//! the record, in one database with one commit point.
//!
//! Promises: every function that touches a tenant's data takes a [`catena_access::Scope`] and puts its tenant into
//! every statement; a write is one transaction that holds the change, its sequence number and its leaf of the record,
//! and a caller who goes away does not cut it in half; text leaves only when the current ACL, read in the same
//! transaction, admits the principal.
//! Does not: parse, embed, search, or know the wire. It is the only crate with SQL.

mod backup;
mod catalog;
mod error;
mod folder;
mod model;
mod store;
mod stored_acl;
mod tables;
#[cfg(test)]
mod tests;

pub use backup::{BackupReport, DamagedRecord, RestoreReport, SectionReport, back_up, check_backup, restore};
pub use catalog::Catalog;
pub use error::CatalogError;
pub use model::{
    Admission, Amount, Answering, Approval, Besides, Change, Changed, ChunkHash, Chunking, ChunksPut, Claimed,
    ContextCitation, ContextReceipt, Count, CurrentScreening, CurrentVersion, Cut, Cutting, Cuttings, Deed, DeletedRow,
    DetectorTally, Document, DocumentFindings, DocumentRow, DocumentState, Embedding, Exceeded, Expect, Fence,
    FoundCounts, FoundSpan, GainedReaders, GenerationRow, GenerationState, Group, GroupRow, Held, IndexChanges,
    IndexRow, IndexedVersion, ItemChanges, ItemState, Job, JobControl, JobEnd, JobFailure, JobItem, JobKind, JobState,
    KeptAnswer, KeyRow, Lease, LiveIndex, Member, Move, NewChunk, NewContext, NewDocument, NewJob, NewJobItem, NewKey,
    NewSuspect, Noticed, Once, Page, PassageKey, PendingPurge, Place, Places, Position, PurgeStep, PutOutcome,
    Quarantined, Quota, Quotas, Rate, Restated, Restorable, Run, Screening, SealedCredentials, Service,
    SourceDescription, SourceItem, SourceRow, SourceState, Spending, Standing, Statistics, StoredKey, StoredLeaf,
    StoredPassage, StoredText, Successor, Suspect, SuspectRow, Taking, Tally, Tenant, TenantChange, TenantState, Usage,
    UsageKind, Used, Version, VersionRow, WorkerReach, Written,
};
pub use store::{Database, PostgresPlace};
pub use stored_acl::{acl_of, acl_text};
pub use tables::{CatalogReader, Disused, Dropped, Removal, verify_record};
