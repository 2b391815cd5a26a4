//! Mending: an index that lacks rows gets them back from the catalog.
//!
//! Promises: what is missing is found by comparing, so a repair that was cut off goes on where it was; it is done in
//! bounded steps, between which writes of the tenant are published; the note that rows are missing goes last; other
//! tenants notice nothing. Does not: notice damage, which is the index's, or look for it in files that nobody opens, but
//! for one look at everything after a start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_catalog::{CatalogError, IndexedVersion, LiveIndex};
use catena_domain::{DocNo, TenantId, VersionNo};
use catena_index::Generation;
use catena_runtime::clock::{self, Stopwatch};
use tokio_util::sync::CancellationToken;

use crate::publish::{DOCUMENTS_PER_SEGMENT, open, row_input};
use crate::{Ingest, IngestError, Shared};

/// How often it is asked whose index was found damaged. Asking costs a look at a list in memory.
const POLL: Duration = Duration::from_secs(1);
/// How long a repair that failed waits.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended {
    /// Rows that were brought back.
    pub rows: u64,
    /// Documents that they belong to.
    pub documents: u64,
}

/// Tenants whose index could not be mended, and when that was tried last.
struct Waiting {
    failed: BTreeSet<TenantId>,
    tried: Stopwatch,
}

impl Ingest {
    /// Opens every tenant's index once, so that damage is found, then mends whatever is found damaged, until `stop`.
    pub async fn run_mending(&self, stop: CancellationToken) {
        let mut waiting = Waiting { failed: BTreeSet::new(), tried: Stopwatch::start() };
        if let Err(error) = self.look_at_all(&stop, &mut waiting).await {
            tracing::error!(%error, kind = error.kind().as_str(), "not every index could be looked at after the start");
        }
        loop {
            self.mend_unwell(&mut waiting).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock::pause(POLL) => {}
            }
        }
    }

    async fn look_at_all(&self, stop: &CancellationToken, waiting: &mut Waiting) -> Result<(), IngestError> {
        for LiveIndex { tenant, generation, .. } in self.0.catalog.live_indexes().await? {
            if stop.is_cancelled() {
                return Ok(());
            }
            let opened = open(&self.0, &Scope::service(&tenant), &generation).await;
            if !opened.is_ok_and(|generation| !generation.snapshot().lacks_rows()) {
                self.mend_or_wait(tenant, waiting).await;
            }
            self.mend_unwell(waiting).await;
        }
        Ok(())
    }

    /// Mends those whose index was found damaged since the last time, and now and then those for whom it did not work.
    async fn mend_unwell(&self, waiting: &mut Waiting) {
        let mut unwell: BTreeSet<TenantId> = self.0.index.take_unwell().into_iter().collect();
        if waiting.tried.elapsed() >= RETRY_AFTER {
            unwell.append(&mut waiting.failed);
            waiting.tried = Stopwatch::start();
        }
        for tenant in unwell {
            self.mend_or_wait(tenant, waiting).await;
        }
    }

    async fn mend_or_wait(&self, tenant: TenantId, waiting: &mut Waiting) {
        match self.mend(&tenant).await {
            Ok(mended) if mended.rows == 0 => {}
            Ok(Mended { rows, documents }) => {
                tracing::info!(%tenant, rows, documents, "an index was mended: what it lacked is there again");
            }
            Err(IngestError::Catalog(CatalogError::TenantGone { .. } | CatalogError::NotFound { .. })) => {}
            Err(error) => {
                tracing::error!(%tenant, %error, kind = error.kind().as_str(), ?RETRY_AFTER,
                    "an index could not be mended; it is tried again");
                waiting.failed.insert(tenant);
            }
        }
    }

    /// Publishes what the catalog holds, then brings back every row that the tenant's live generation lacks. A dropped
    /// caller does not stop it.
    pub async fn mend(&self, tenant: &TenantId) -> Result<Mended, IngestError> {
        let (ingest, tenant) = (self.clone(), tenant.clone());
        let work = tokio::spawn(async move { ingest.mend_live(&tenant).await });
        work.await.map_err(|_| IngestError::Stopping)?
    }

    async fn mend_live(&self, tenant: &TenantId) -> Result<Mended, IngestError> {
        self.publish(tenant).await?;
        let (scope, publisher) = (Scope::service(tenant), self.publisher(tenant).await);
        let row = self.0.catalog.live_generation(&scope).await?;
        let generation = open(&self.0, &scope, &row).await?;
        let (mut mended, mut after) = (Mended::default(), None);
        loop {
            // A turn for each step: a purge must not come between reading rows and writing them, writes may wait so long.
            let _turn = publisher.turn.lock().await;
            after = step(&self.0, &scope, &generation, after, &mut mended).await?;
            if after.is_none() {
                return Ok(mended);
            }
        }
    }
}

/// Brings back every row that a generation lacks. In the tenant's turn.
pub(crate) async fn all(
    shared: &Arc<Shared>,
    scope: &Scope,
    generation: &Arc<Generation>,
) -> Result<Mended, IngestError> {
    let (mut mended, mut after) = (Mended::default(), None);
    loop {
        after = step(shared, scope, generation, after, &mut mended).await?;
        if after.is_none() {
            return Ok(mended);
        }
    }
}

/// Brings back what is lacking of some documents behind `after`, and says which was the last; `None` when there are no
/// more, and the generation is whole.
async fn step(
    shared: &Arc<Shared>,
    scope: &Scope,
    generation: &Arc<Generation>,
    after: Option<DocNo>,
    mended: &mut Mended,
) -> Result<Option<DocNo>, IngestError> {
    let versions = shared.catalog.indexed_versions(scope, generation.recipe(), after).await?;
    let last = versions.last().map(|version| version.doc);
    let target = Arc::clone(generation);
    if last.is_none() {
        shared.compute.run(move || target.mended()).await??;
        return Ok(None);
    }
    let lacking = shared.compute.run(move || lacking(&target, &versions)).await?;
    for part in lacking.chunks(DOCUMENTS_PER_SEGMENT) {
        let rows = shared.catalog.index_rows(scope, generation.recipe(), part).await?;
        let rows = rows.into_iter().map(row_input).collect();
        let target = Arc::clone(generation);
        let brought = shared.compute.run(move || {
            let before = target.snapshot();
            // What is there already is left out.
            target.publish(rows, before.applied_seq()).map(|()| target.snapshot().rows() - before.rows())
        });
        mended.rows += brought.await?? as u64;
        mended.documents += part.len() as u64;
    }
    Ok(last)
}

/// The versions that the generation says it has applied, and of which it does not have every row.
fn lacking(generation: &Generation, versions: &[IndexedVersion]) -> Vec<(DocNo, VersionNo)> {
    let snapshot = generation.snapshot();
    let is_lacking = |version: &&IndexedVersion| {
        version.seq <= snapshot.applied_seq() && snapshot.rows_of(version.doc, version.version) < version.chunks
    };
    versions.iter().filter(is_lacking).map(|version| (version.doc, version.version)).collect()
}
