//! A change becomes searchable: bytes in, a committed version and a published segment out; and the jobs that rebuild.
//!
//! Promises: parsing and embedding happen before the catalog's transaction and outside it; what is acknowledged is in
//! the catalog; what the catalog holds reaches the index sooner or later, whatever was cut off in between.
//! Does not: answer questions, know the wire, or decide who may see a document.

pub mod error;
mod firewall;
pub mod follow;
pub mod import;
pub mod jobs;
pub mod mend;
pub mod pipeline;
mod progress;
pub mod publish;
pub mod purge;
pub mod purge_job;
pub mod recipe;
mod reindex;
mod removal;
pub mod restore;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod verify;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use catena_access::Scope;
use catena_catalog::{
    Catalog, CatalogError, Change, Changed, Chunking, Deed, Expect, PutOutcome, WorkerReach, Written,
};
use catena_domain::{DocumentId, RecipeId, TenantId};
use catena_embedding::Embedder;
use catena_formats::Formats;
use catena_index::Index;
use catena_runtime::Compute;
use tokio::sync::{Mutex, Notify, Semaphore};

pub use error::IngestError;
pub use firewall::{KeptBack, WouldBe};
pub use import::{Import, ImportChange};
pub use jobs::Workers;
pub use mend::Mended;
pub use pipeline::{Put, Submission};
pub use publish::Freshness;
pub use purge::{Purged, Thoroughness};
pub use purge_job::Purging;
pub use restore::Restore;
pub use verify::{Condition, Verdict};

use publish::Publisher;
use sync::SourceAccess;

/// Documents that are parsed and embedded at once; further writes wait their turn.
const WRITES_AT_ONCE: usize = 32;

/// Plans of syncs that are made at once; further ones are turned away.
const PLANS_AT_ONCE: usize = 2;

/// The way in. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Ingest(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) catalog: Catalog,
    pub(crate) embedder: Embedder,
    pub(crate) formats: Formats,
    pub(crate) index: Arc<Index>,
    pub(crate) compute: Compute,
    /// Where segments are merged; nobody waits there but those who erase.
    pub(crate) merges: Compute,
    pub(crate) recipe: RecipeId,
    /// Whether the index that answers is this process's own.
    pub(crate) reach: WorkerReach,
    pub(crate) publishers: Mutex<HashMap<TenantId, Arc<Publisher>>>,
    pub(crate) writes: Semaphore,
    /// Purges are finished one after the other.
    pub(crate) erasing: Mutex<()>,
    pub(crate) jobs_waiting: Notify,
    pub(crate) removals_waiting: Notify,
    /// How sources are opened, once that was said.
    pub(crate) sources: OnceLock<SourceAccess>,
    /// Plans that are made at once.
    pub(crate) plans: Semaphore,
}

impl Ingest {
    /// The way into `catalog` and `index`, by the recipe that `embedder` belongs to. `formats`
    /// reads documents. Segments are merged by `merges`, everything else is computed by `compute`.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        embedder: Embedder,
        formats: Formats,
        index: Arc<Index>,
        compute: Compute,
        merges: Compute,
    ) -> Self {
        let recipe = recipe::of(&embedder, &Chunking::default());
        Self(Arc::new(Shared {
            catalog,
            embedder,
            formats,
            index,
            compute,
            merges,
            recipe,
            reach: WorkerReach::Index,
            publishers: Mutex::new(HashMap::new()),
            writes: Semaphore::new(WRITES_AT_ONCE),
            erasing: Mutex::new(()),
            jobs_waiting: Notify::new(),
            removals_waiting: Notify::new(),
            sources: OnceLock::new(),
            plans: Semaphore::new(PLANS_AT_ONCE),
        }))
    }

    /// The same for a worker beside the service: what it writes is made searchable there, and it never publishes.
    #[must_use]
    pub fn beside_the_index(mut self) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.reach = WorkerReach::CatalogAlone;
        }
        self
    }

    /// The recipe of whatever is written for a tenant that has set nothing about it.
    #[must_use]
    pub fn recipe(&self) -> &RecipeId {
        &self.0.recipe
    }

    /// The length of this recipe's vectors.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.0.embedder.dimension()
    }

    /// Writes a document. When this returns, the write is durable; `freshness` says whether it is searchable as well.
    pub async fn put(
        &self,
        scope: &Scope,
        submission: Submission,
        freshness: Freshness,
        deed: impl Into<Deed<PutOutcome>>,
    ) -> Result<Written<Put>, IngestError> {
        let deed = deed.into();
        let _turn = self.0.writes.acquire().await.map_err(|_| IngestError::Stopping)?;
        let mut written = match pipeline::put(&self.0, scope, &submission, deed.clone()).await {
            // A purge has taken a vector away that was known a moment before, or the tenant's settings were changed.
            Err(IngestError::Catalog(CatalogError::VectorsMissing { .. } | CatalogError::ChunkingChanged)) => {
                pipeline::put(&self.0, scope, &submission, deed).await?
            }
            written => written?,
        };
        if written.value.change != Change::Quarantined {
            written.value.searchable = self.publish_after(scope, written.value.seq, freshness).await?;
        }
        Ok(written)
    }

    /// Deletes a document. It is invisible from the next query on; its versions stay until they are purged.
    pub async fn delete(
        &self,
        scope: &Scope,
        id: &DocumentId,
        expect: Expect,
        deed: impl Into<Deed<Changed>>,
    ) -> Result<Option<Written<Changed>>, IngestError> {
        let written = self.0.catalog.delete_document(scope, id, expect, deed).await?;
        if let Some(written) = &written {
            self.publish_after(scope, Some(written.value.seq), Freshness::Durable).await?;
        }
        Ok(written)
    }

    /// Replaces a document's access list. The next query obeys it; nothing is embedded or indexed again.
    pub async fn set_acl(
        &self,
        scope: &Scope,
        id: &DocumentId,
        acl: &catena_access::Acl,
        expect: Expect,
        deed: impl Into<Deed<Changed>>,
    ) -> Result<Option<Written<Changed>>, IngestError> {
        let written = self.0.catalog.set_acl(scope, id, acl, expect, deed).await?;
        if let Some(written) = &written {
            self.publish_after(scope, Some(written.value.seq), Freshness::Durable).await?;
        }
        Ok(written)
    }

    pub(crate) async fn publisher(&self, tenant: &TenantId) -> Arc<Publisher> {
        let mut publishers = self.0.publishers.lock().await;
        Arc::clone(publishers.entry(tenant.clone()).or_default())
    }
}
