//! Background work: claimed from the catalog, run under a lease, reported as it goes.
//!
//! Promises: a job that was cut off runs again from what it had stored; a worker that lost its lease changes nothing
//! more; what somebody asks of a running job holds at its next step; when the workers stop, their jobs are put back.
//! Does not: schedule by time.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_audit::Draft;
use catena_catalog::{
    CatalogError, Claimed, Deed, Job, JobEnd, JobKind, LiveIndex, NewJob, Taking, WorkerReach, Written,
};
use catena_domain::TenantId;
use catena_runtime::clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::progress::{Interrupted, Progress};
use crate::{Freshness, Ingest, IngestError, import, purge_job, reindex};

/// How often a worker looks for work that nobody announced.
const POLL: Duration = Duration::from_secs(2);

/// How jobs are run in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Jobs that run at once; none where other processes run them.
    pub at_once: u32,
    /// Of these of one tenant, in all processes together.
    pub at_once_per_tenant: u32,
    /// How long a worker may be silent before another may take its job.
    pub lease: Duration,
}

impl Workers {
    /// Most jobs that one process runs at once.
    pub const AT_ONCE_MAX: u32 = 64;
    /// How long a lease may be.
    pub const LEASES: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(3_600);
}

impl Default for Workers {
    fn default() -> Self {
        Self { at_once: 2, at_once_per_tenant: 1, lease: Duration::from_secs(60) }
    }
}

impl Ingest {
    /// Asks for a tenant's index to be built anew from its stored texts.
    pub async fn request_reindex(
        &self,
        scope: &Scope,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Written<Job>, IngestError> {
        self.request_job(scope, NewJob::of(JobKind::Reindex), deed).await
    }

    /// Asks for background work.
    pub(crate) async fn request_job(
        &self,
        scope: &Scope,
        job: NewJob,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Written<Job>, IngestError> {
        let job = self.0.catalog.enqueue_job(scope, job, deed).await?;
        self.announce_jobs();
        Ok(job)
    }

    /// Says that jobs may be waiting which could not be run before.
    pub fn announce_jobs(&self) {
        self.0.jobs_waiting.notify_one();
    }

    /// Runs jobs, some at once, until `stop`. Those at work are put back at their next step. Before the first, what
    /// sources left on the disk goes that there are not any more.
    pub async fn run_jobs(&self, workers: Workers, stop: CancellationToken) {
        if let Err(error) = self.forget_gone_sources().await {
            tracing::warn!(%error, "what is kept of sources that are gone is still there; the next start tries again");
        }
        let mut loops = JoinSet::new();
        for _ in 0..workers.at_once {
            let (ingest, stop) = (self.clone(), stop.clone());
            loops.spawn(async move { ingest.run_jobs_in_turn(workers, stop).await });
        }
        while loops.join_next().await.is_some() {}
    }

    /// One worker: one job after the other.
    async fn run_jobs_in_turn(&self, workers: Workers, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.run_next_job(&workers, &stop).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, kind = error.kind().as_str(), "the job queue cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.jobs_waiting.notified() => {}
                () = clock::pause(POLL) => {}
            }
        }
    }

    /// Runs the next job, if there is one, to its end, or until `stop`.
    pub async fn run_next_job(&self, workers: &Workers, stop: &CancellationToken) -> Result<bool, IngestError> {
        let Workers { lease, at_once_per_tenant, .. } = *workers;
        let taking = Taking { lease, at_once_per_tenant, reach: self.0.reach };
        let Some(claimed) = self.0.catalog.claim_job(&taking).await? else { return Ok(false) };
        // Another worker may find the next one.
        self.announce_jobs();
        let (scope, id, lease) = (Scope::service(&claimed.tenant), claimed.job.id.clone(), claimed.lease);
        let is_reindex = claimed.job.kind == JobKind::Reindex;
        let work = tokio::spawn({
            let (ingest, stop) = (self.clone(), stop.clone());
            async move { Box::pin(ingest.run_job(&claimed, &stop)).await }
        });
        let broke_off = |_| Some(JobEnd::Failed("the job broke off inside; the service's log says where".to_owned()));
        let Some(end) = work.await.unwrap_or_else(broke_off) else { return Ok(true) };
        let may_have_changed = is_reindex && matches!(end, JobEnd::Succeeded);
        let finished = self.0.catalog.finish_job(&scope, &id, &lease, end).await.map_err(IngestError::from);
        // Settings that were changed while it ran could not ask for another one.
        let finished = match finished {
            Ok(()) if may_have_changed => self.reindex_if_changed(scope.tenant()).await,
            finished => finished,
        };
        match finished {
            // The job goes with its tenant, or another worker has it.
            Ok(()) | Err(IngestError::Catalog(CatalogError::TenantGone { .. } | CatalogError::LeaseLost { .. })) => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs a job and says how its run ended; nothing when another worker has the job.
    async fn run_job(&self, claimed: &Claimed, stop: &CancellationToken) -> Option<JobEnd> {
        let scope = Scope::service(&claimed.tenant);
        // A removal waits here for the job's end, so that no job builds what was removed.
        let publisher = self.publisher(&claimed.tenant).await;
        let _at_work = publisher.jobs.read().await;
        let progress = Progress::new(&self.0.catalog, &scope, claimed, stop);
        let outcome = tokio::select! {
            outcome = self.run_kind(&scope, &progress, claimed) => outcome,
            () = progress.keep_lease() => Err(Interrupted::Stopping),
        };
        end_of(claimed, outcome)
    }

    async fn run_kind(&self, scope: &Scope, progress: &Progress<'_>, claimed: &Claimed) -> Result<(), Interrupted> {
        match claimed.job.kind {
            JobKind::Reindex => reindex::run(self, scope, progress, claimed).await,
            JobKind::Import => self.found_at_its_end(scope, import::run(self, scope, progress, claimed)).await,
            JobKind::Purge => purge_job::run(self, scope, progress, claimed).await,
            JobKind::Sync => {
                self.found_at_its_end(scope, Box::pin(crate::sync::run(self, scope, progress, claimed))).await
            }
        }
    }

    /// Whoever sees that such a job has succeeded finds all that it wrote.
    async fn found_at_its_end(
        &self,
        scope: &Scope,
        work: impl Future<Output = Result<(), Interrupted>>,
    ) -> Result<(), Interrupted> {
        let before = self.0.catalog.seq(scope).await?;
        work.await?;
        // What was done is done, whatever becomes of this.
        if let Ok(after) = self.0.catalog.seq(scope).await
            && after > before
            && self.0.reach == WorkerReach::Index
        {
            self.publish_after(scope, Some(after), Freshness::Searchable).await?;
        }
        Ok(())
    }

    /// Brings every tenant's index up to the catalog, as after a start: what was cut off is published now, and a tenant
    /// whose index was built by another recipe is re-indexed. Opens no index of which the manifest says that it is up to
    /// date, so that it does not take longer with every tenant at rest.
    pub async fn recover(&self) -> Result<(), IngestError> {
        self.0.catalog.release_leases().await?;
        let live = self.0.catalog.live_indexes().await?;
        for LiveIndex { tenant, generation, chunking, .. } in self.unsettled(live).await? {
            self.publish(&tenant).await?;
            let wanted = self.recipe_of(&chunking);
            if generation.recipe != wanted {
                tracing::warn!(%tenant, from = %generation.recipe, to = %wanted,
                    "the recipe changed: the tenant is re-indexed; until then only the lexical arm answers if the model is another");
                self.request_reindex_after_change(&Scope::service(&tenant)).await?;
            }
        }
        Ok(())
    }

    /// Those whose index has something to be done for.
    pub(crate) async fn unsettled(&self, live: Vec<LiveIndex>) -> Result<Vec<LiveIndex>, IngestError> {
        let (index, ingest) = (Arc::clone(&self.0.index), self.clone());
        let is_settled = move |LiveIndex { tenant, seq, generation, chunking }: &LiveIndex| {
            let glance = index.glance(&Scope::service(tenant), &generation.id).ok().flatten();
            let is_whole = glance.is_some_and(|seen| seen.applied_seq == *seq && !seen.lacks_rows);
            is_whole && generation.recipe == ingest.recipe_of(chunking)
        };
        Ok(self.0.compute.run(move || live.into_iter().filter(|live| !is_settled(live)).collect()).await?)
    }

    /// Asks for the index to be built anew if the tenant wants its documents cut in another way than they are.
    pub async fn reindex_if_changed(&self, tenant: &TenantId) -> Result<(), IngestError> {
        let scope = Scope::service(tenant);
        if self.is_current(&scope).await? {
            return Ok(());
        }
        self.request_reindex_after_change(&scope).await
    }

    async fn request_reindex_after_change(&self, scope: &Scope) -> Result<(), IngestError> {
        let draft = Draft::of_service("reindex.request");
        match self.request_reindex(scope, draft).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == catena_domain::ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What a run comes to; nothing when another worker has the job.
pub(crate) fn end_of(claimed: &Claimed, outcome: Result<(), Interrupted>) -> Option<JobEnd> {
    let (tenant, job, kind) = (&claimed.tenant, &claimed.job.id, claimed.job.kind.as_str());
    let (end, what) = match outcome {
        Ok(()) => (JobEnd::Succeeded, "a job succeeded"),
        Err(Interrupted::Cancelled) => (JobEnd::Cancelled, "a job was cancelled"),
        Err(Interrupted::Paused) => (JobEnd::Paused, "a job was paused"),
        Err(Interrupted::Suspended) => (JobEnd::Deferred, "a job waits, because its tenant is suspended"),
        Err(Interrupted::Stopping) => (JobEnd::Deferred, "a job was put back, because its worker stops"),
        Err(Interrupted::HandedOver) => (JobEnd::HandedOver, "a job waits for a process that has the index"),
        Err(Interrupted::Held { plan }) => (JobEnd::Held(plan), "a job waits for an approval"),
        // It goes on from where it was, a few times.
        Err(Interrupted::Failed(IngestError::Catalog(CatalogError::Busy { what }))) => {
            tracing::warn!(%tenant, %job, kind, what, "a job was put back, because the catalog is busy");
            return Some(JobEnd::Deferred);
        }
        Err(Interrupted::Failed(IngestError::Catalog(CatalogError::TenantGone { .. }))) => {
            (JobEnd::Cancelled, "a job ended, because its tenant was deleted")
        }
        Err(Interrupted::Failed(IngestError::Catalog(CatalogError::LeaseLost { .. }))) => {
            tracing::warn!(%tenant, %job, kind, "another worker has the job by now; nothing more is done for it here");
            return None;
        }
        Err(Interrupted::Failed(error)) => {
            tracing::error!(%tenant, %job, kind, %error, error_kind = error.kind().as_str(), "a job failed");
            return Some(JobEnd::Failed(error.told()));
        }
    };
    tracing::info!(%tenant, %job, kind, "{what}");
    Some(end)
}
