//! Background work: claimed from the catalog, run under a lease, reported as it goes.
//!
//! Promises: a job that was cut off runs again from what it had stored; a worker that lost its lease changes nothing
//! more; a cancelled job stops at the next step. Does not: schedule by time.

use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_audit::Draft;
use catena_catalog::{CatalogError, Deed, Job, JobEnd, JobKind, Lease, LiveIndex, Written};
use catena_domain::TenantId;
use catena_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::progress::{Interrupted, Progress};
use crate::{Ingest, IngestError, reindex};

/// How often a worker looks for work that nobody announced.
const POLL: Duration = Duration::from_secs(2);

impl Ingest {
    /// Asks for a tenant's index to be built anew from its stored texts.
    pub async fn request_reindex(
        &self,
        scope: &Scope,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Written<Job>, IngestError> {
        let job = self.0.catalog.enqueue_job(scope, JobKind::Reindex, deed).await?;
        self.0.jobs_waiting.notify_one();
        Ok(job)
    }

    /// Says that jobs may be waiting which could not be run before.
    pub fn announce_jobs(&self) {
        self.0.jobs_waiting.notify_one();
    }

    /// Runs jobs, one after the other, until `stop`.
    pub async fn run_jobs(&self, stop: CancellationToken) {
        loop {
            match self.run_next_job().await {
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

    /// Runs the next job, if there is one, to its end.
    pub async fn run_next_job(&self) -> Result<bool, IngestError> {
        let Some((tenant, job, lease)) = self.0.catalog.claim_job().await? else { return Ok(false) };
        let scope = Scope::service(&tenant);
        // A removal waits here for the job's end, so that no job builds what was removed.
        let publisher = self.publisher(&tenant).await;
        let _at_work = publisher.job.lock().await;
        let end = self.run_job(&tenant, &scope, &job, &lease).await;
        let has_succeeded = matches!(end, JobEnd::Succeeded);
        match self.0.catalog.finish_job(&scope, &job.id, &lease, end).await {
            Ok(()) => {
                // Settings that were changed while it ran could not ask for another one.
                let asked = if has_succeeded { self.reindex_if_changed(&tenant).await } else { Ok(()) };
                match asked {
                    Err(IngestError::Catalog(CatalogError::TenantGone { .. })) => Ok(true),
                    asked => asked.map(|()| true),
                }
            }
            // The job goes with its tenant.
            Err(CatalogError::TenantGone { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn run_job(&self, tenant: &TenantId, scope: &Scope, job: &Job, lease: &Lease) -> JobEnd {
        let progress = Progress { catalog: &self.0.catalog, scope, job, lease };
        let outcome = match job.kind {
            JobKind::Reindex => reindex::run(self, scope, &progress).await,
        };
        match outcome {
            Ok(()) => {
                tracing::info!(%tenant, job = %job.id, "a job succeeded");
                JobEnd::Succeeded
            }
            Err(Interrupted::Cancelled) => {
                tracing::info!(%tenant, job = %job.id, "a job was cancelled");
                JobEnd::Cancelled
            }
            Err(Interrupted::Failed(IngestError::Catalog(CatalogError::TenantGone { .. }))) => {
                tracing::info!(%tenant, job = %job.id, "a job ended, because its tenant was deleted");
                JobEnd::Cancelled
            }
            Err(Interrupted::Suspended) => {
                tracing::info!(%tenant, job = %job.id, "a job waits, because its tenant is suspended");
                JobEnd::Deferred
            }
            Err(Interrupted::Failed(error)) => {
                tracing::error!(%tenant, job = %job.id, %error, kind = error.kind().as_str(), "a job failed");
                JobEnd::Failed(error.told())
            }
        }
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
    async fn unsettled(&self, live: Vec<LiveIndex>) -> Result<Vec<LiveIndex>, IngestError> {
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
