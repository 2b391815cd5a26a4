//! From the catalog to the index: every committed change becomes part of a segment, in order, exactly once.
//!
//! Promises: one publication at a time for each tenant; a publication that was cut off is made again from the catalog; an
//! index that cannot be read is put aside and begun again, while other tenants are served. Does not: hold up writers, who only wait
//! when they ask to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_access::Scope;
use catena_catalog::{CatalogError, GenerationRow, IndexRow, WorkerReach};
use catena_domain::{Seq, TenantId};
use catena_index::{Generation, IndexError, Language, LiveTable, MergePlan, RowInput};
use catena_runtime::clock::{self, Stopwatch};
use tokio::sync::{Mutex, RwLock};

use crate::{Ingest, IngestError, Shared, mend};

/// Documents of one segment, at most.
pub(crate) const DOCUMENTS_PER_SEGMENT: usize = 256;

/// Fewer segments than this are left alone, without reading the whole live table to find out.
const MERGE_FROM_SEGMENTS: usize = 8;

/// How long a failed publication waits before it is tried again, each time.
const RETRY_AFTER: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// How long a writer waits for its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Until it is durable, as one of many that a job writes. They become searchable together, soon enough.
    Bulk,
    /// Until it is durable. It becomes searchable soon after.
    Durable,
    /// Until a search finds it.
    Searchable,
}

/// How far apart publications are that nobody waits for. One alone is made at once; of an import, what comes in between
/// becomes one segment, which spares the disk that questions are recorded on.
const APART: Duration = Duration::from_millis(200);
/// The same of what a job writes: whoever wants all of it waits for the job's end anyway.
const BULK_APART: Duration = Duration::from_secs(1);

/// One tenant's turn-taking.
#[derive(Default)]
pub(crate) struct Publisher {
    /// Whose turn it is, and when the last one ended.
    pub(crate) turn: Mutex<Option<Stopwatch>>,
    /// Held by each job of the tenant that is at work; a removal holds it alone.
    pub(crate) jobs: RwLock<()>,
    scheduled: AtomicBool,
    bulk_scheduled: AtomicBool,
    /// Segments are being merged.
    compacts: AtomicBool,
    /// The last publication failed because the disk was full.
    lacks_room: AtomicBool,
}

impl Ingest {
    /// Publishes after a write: now when the writer waits for it, else soon. Says whether everything up to the write is
    /// searchable, which for a write that changed nothing is everything before it.
    pub(crate) async fn publish_after(
        &self,
        scope: &Scope,
        seq: Option<Seq>,
        freshness: Freshness,
    ) -> Result<bool, IngestError> {
        if freshness != Freshness::Searchable {
            match freshness {
                _ if seq.is_none() => {}
                Freshness::Bulk => self.publish_in_bulk(scope.tenant()).await,
                _ => self.publish_soon(scope.tenant()).await,
            }
            return Ok(false);
        }
        let upto = match seq {
            Some(seq) => seq,
            None => self.0.catalog.seq(scope).await?,
        };
        match self.publish(scope.tenant()).await {
            Ok(applied) => Ok(applied >= upto),
            Err(error) => {
                // The write itself is done and acknowledged as such; the next publication takes it along.
                tracing::error!(tenant = %scope.tenant(), %error, "publishing after a write failed");
                Ok(false)
            }
        }
    }

    /// Publishes whatever the catalog holds, in the background. Any number of calls before it begins are one.
    pub async fn publish_soon(&self, tenant: &TenantId) {
        self.publish_apart(tenant, APART, |publisher| &publisher.scheduled).await;
    }

    /// The same for what a job writes: less often, and with whatever is published meanwhile.
    pub(crate) async fn publish_in_bulk(&self, tenant: &TenantId) {
        self.publish_apart(tenant, BULK_APART, |publisher| &publisher.bulk_scheduled).await;
    }

    async fn publish_apart(&self, tenant: &TenantId, apart: Duration, scheduled: fn(&Publisher) -> &AtomicBool) {
        if self.0.reach == WorkerReach::CatalogAlone {
            return;
        }
        let publisher = self.publisher(tenant).await;
        if scheduled(&publisher).swap(true, Ordering::AcqRel) {
            return;
        }
        let (ingest, tenant) = (self.clone(), tenant.clone());
        tokio::spawn(async move {
            let last = *publisher.turn.lock().await;
            clock::pause(last.map_or(Duration::ZERO, |last| apart.saturating_sub(last.elapsed()))).await;
            if !scheduled(&publisher).load(Ordering::Acquire) {
                // Another publication took it along.
                return;
            }
            for wait in RETRY_AFTER {
                let error = match ingest.publish(&tenant).await {
                    // What was to be published went with its tenant.
                    Ok(_) | Err(IngestError::Catalog(CatalogError::TenantGone { .. })) => return,
                    Err(error) => error,
                };
                tracing::error!(%tenant, %error, kind = error.kind().as_str(), ?wait, "publishing failed; it is tried again");
                if scheduled(&publisher).swap(true, Ordering::AcqRel) {
                    // A later write's publication is on its way and takes this one along.
                    return;
                }
                clock::pause(wait).await;
            }
            scheduled(&publisher).store(false, Ordering::Release);
            tracing::error!(%tenant, "publishing is given up until the next write or start");
        });
    }

    /// Publishes whatever the catalog holds and says up to where. A dropped caller does not stop it.
    pub async fn publish(&self, tenant: &TenantId) -> Result<Seq, IngestError> {
        let publisher = self.publisher(tenant).await;
        let (shared, scope) = (Arc::clone(&self.0), Scope::service(tenant));
        let work = tokio::spawn(async move {
            let mut turn = publisher.turn.lock().await;
            publisher.scheduled.store(false, Ordering::Release);
            publisher.bulk_scheduled.store(false, Ordering::Release);
            let published = publish(&shared, &scope).await;
            if let Ok(generation) = &published {
                compact_soon(&shared, &scope, &publisher, generation);
            }
            let published = published.map(|generation| generation.applied_seq());
            *turn = Some(Stopwatch::start());
            let lacks_room = published.as_ref().is_err_and(IngestError::is_for_want_of_room);
            publisher.lacks_room.store(lacks_room, Ordering::Release);
            published
        });
        work.await.map_err(|_| IngestError::Stopping)?
    }

    /// Publishes one more segment of a generation that is being built. Other publications wait, and so does a purge: rows
    /// that were read before it must not be written after it.
    pub(crate) async fn step_in_turn(
        &self,
        scope: &Scope,
        generation: &Arc<Generation>,
    ) -> Result<Option<usize>, IngestError> {
        let publisher = self.publisher(scope.tenant()).await;
        let _turn = publisher.turn.lock().await;
        step(&self.0, scope, generation).await
    }

    /// Whether a tenant's last publication failed because the disk was full.
    pub async fn lacks_room(&self) -> bool {
        let publishers = self.0.publishers.lock().await;
        publishers.values().any(|publisher| publisher.lacks_room.load(Ordering::Acquire))
    }

    /// There is room again: publishes what could not be published without waiting for the next write.
    pub async fn use_room(&self) {
        let publishers = self.0.publishers.lock().await;
        let waiting = publishers.iter().filter(|(_, publisher)| publisher.lacks_room.swap(false, Ordering::AcqRel));
        let tenants: Vec<TenantId> = waiting.map(|(tenant, _)| tenant.clone()).collect();
        drop(publishers);
        for tenant in tenants {
            self.publish_soon(&tenant).await;
        }
    }

    /// Makes a tenant's new generation the one that answers, after bringing it up to the last write. Writers wait
    /// meanwhile; readers do not.
    pub(crate) async fn swap<F>(
        &self,
        scope: &Scope,
        generation: &Arc<Generation>,
        promote: F,
    ) -> Result<(), IngestError>
    where
        F: AsyncFnOnce() -> Result<(), IngestError>,
    {
        let publisher = self.publisher(scope.tenant()).await;
        let _turn = publisher.turn.lock().await;
        catch_up(&self.0, scope, generation).await?;
        if generation.snapshot().lacks_rows() {
            mend::all(&self.0, scope, generation).await?;
        }
        promote().await
    }
}

/// Opens a generation; one that is damaged, or of a format that this program does not read, is put aside and begun anew.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    scope: &Scope,
    row: &GenerationRow,
) -> Result<Arc<Generation>, IngestError> {
    let (index, scope, row) = (Arc::clone(&shared.index), scope.clone(), row.clone());
    let opened = shared.compute.run(move || {
        let dimension = row.dimension as usize;
        match index.generation(&scope, &row.id, &row.recipe, dimension) {
            Err(error) if error.is_damage() => {
                let (aside, generation) = index.begin_again(&scope, &row.id, &row.recipe, dimension)?;
                tracing::error!(tenant = %scope.tenant(), generation = %row.id, %error, aside = %aside.display(),
                    "an index that cannot be read was put aside; it is being rebuilt from the catalog");
                Ok(generation)
            }
            other => other,
        }
    });
    Ok(opened.await??)
}

/// Brings a tenant's live generation up to the catalog.
async fn publish(shared: &Arc<Shared>, scope: &Scope) -> Result<Arc<Generation>, IngestError> {
    let row = shared.catalog.live_generation(scope).await?;
    let generation = open(shared, scope, &row).await?;
    catch_up(shared, scope, &generation).await?;
    Ok(generation)
}

/// Publishes segment after segment until the index has applied what the catalog holds.
async fn catch_up(shared: &Arc<Shared>, scope: &Scope, generation: &Arc<Generation>) -> Result<(), IngestError> {
    while step(shared, scope, generation).await?.is_some() {}
    Ok(())
}

/// Publishes one more segment and says how many documents it took along; `None` when nothing is left to publish.
async fn step(shared: &Arc<Shared>, scope: &Scope, generation: &Arc<Generation>) -> Result<Option<usize>, IngestError> {
    let applied = generation.applied_seq();
    let changes = shared.catalog.index_changes(scope, generation.recipe(), applied, DOCUMENTS_PER_SEGMENT).await?;
    if changes.upto <= applied {
        return Ok(None);
    }
    let documents = distinct_documents(&changes.rows);
    let rows = changes.rows.into_iter().map(row_input).collect();
    let (target, upto) = (Arc::clone(generation), changes.upto);
    shared.compute.run(move || target.publish(rows, upto)).await??;
    Ok(Some(documents))
}

/// Merges what the merge policy names, while publications and searches go on. One merge at a time in the whole service.
fn compact_soon(shared: &Arc<Shared>, scope: &Scope, publisher: &Arc<Publisher>, generation: &Arc<Generation>) {
    if generation.segments() < MERGE_FROM_SEGMENTS || publisher.compacts.swap(true, Ordering::AcqRel) {
        return;
    }
    let (shared, scope) = (Arc::clone(shared), scope.clone());
    let (publisher, generation) = (Arc::clone(publisher), Arc::clone(generation));
    tokio::spawn(async move {
        let compacted = compact(&shared, &scope, &generation).await;
        publisher.compacts.store(false, Ordering::Release);
        match compacted {
            // The generation was replaced, or its tenant has gone.
            Ok(())
            | Err(IngestError::Index(IndexError::Closed { .. }))
            | Err(IngestError::Catalog(CatalogError::TenantGone { .. })) => {}
            Err(error) => {
                let tenant = scope.tenant();
                tracing::error!(%tenant, %error, kind = error.kind().as_str(), "merging failed; the next write tries again");
            }
        }
    });
}

async fn compact(shared: &Arc<Shared>, scope: &Scope, generation: &Arc<Generation>) -> Result<(), IngestError> {
    while generation.segments() >= MERGE_FROM_SEGMENTS {
        let live = LiveTable::empty().after(shared.catalog.live_changes(scope, Seq(0)).await?);
        let Some(plan) = generation.merge_plan(&live) else { return Ok(()) };
        match merge(shared, generation, plan).await {
            // Somebody erased a document meanwhile.
            Err(IngestError::Index(IndexError::StalePlan { .. })) => {}
            merged => merged?,
        }
    }
    Ok(())
}

/// Merges by a plan, after whatever is being merged.
pub(crate) async fn merge(
    shared: &Arc<Shared>,
    generation: &Arc<Generation>,
    plan: MergePlan,
) -> Result<(), IngestError> {
    let target = Arc::clone(generation);
    Ok(shared.merges.run(move || target.merge(&plan)).await??)
}

pub(crate) fn row_input(row: IndexRow) -> RowInput {
    RowInput {
        doc: row.doc,
        version: row.version,
        chunk: row.chunk,
        title: row.title,
        headings: row.headings.join("\n"),
        body: row.body,
        language: row.lang.as_deref().and_then(Language::of_tag),
        vector: row.vector,
    }
}

fn distinct_documents(rows: &[IndexRow]) -> usize {
    let mut documents: Vec<_> = rows.iter().map(|row| row.doc).collect();
    documents.dedup();
    documents.len()
}
