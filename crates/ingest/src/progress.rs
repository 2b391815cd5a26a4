//! How a running job says how far it is, and learns that it is no longer wanted.
//!
//! Promises: a job whose worker is busy, but alive, stays that worker's, because its lease is kept beside the work; one
//! whose lease is lost ends at its next step, and the writes that it makes through [`Progress::deed`] are refused from
//! that moment on. Does not: decide what a step is; between two reports nobody is heard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_access::Scope;
use catena_audit::{Draft, Object};
use catena_catalog::{Catalog, CatalogError, Claimed, Deed, Fence, JobControl, JobFailure, Tally};
use catena_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::IngestError;

/// How many times a lease is kept before it would be over.
const BEATS_PER_LEASE: u32 = 4;

/// Why a job ended before its end.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// Somebody cancelled it.
    Cancelled,
    /// Somebody paused it.
    Paused,
    /// Its tenant is suspended: it waits until that is over.
    Suspended,
    /// Its worker stops: it waits for another.
    Stopping,
    /// It goes on where the index is at hand.
    HandedOver,
    /// It waits for somebody to approve this plan, which is JSON.
    Held {
        /// What it would do.
        plan: String,
    },
    /// It failed.
    Failed(IngestError),
}

impl<E: Into<IngestError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a running job reports through.
pub(crate) struct Progress<'a> {
    catalog: &'a Catalog,
    scope: &'a Scope,
    claimed: &'a Claimed,
    stop: &'a CancellationToken,
    is_lost: AtomicBool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        scope: &'a Scope,
        claimed: &'a Claimed,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { catalog, scope, claimed, stop, is_lost: AtomicBool::new(false) }
    }

    /// Says how far the job is, and learns whether to go on.
    pub(crate) async fn report(&self, tally: &Tally, note: &str) -> Result<(), Interrupted> {
        self.go_on()?;
        let Claimed { job, lease, .. } = self.claimed;
        self.obey(self.catalog.progress_job(self.scope, &job.id, lease, tally, note).await?)
    }

    /// Stores from where the job goes on when it is cut off.
    pub(crate) async fn checkpoint(&self, json: &str) -> Result<(), Interrupted> {
        self.go_on()?;
        let Claimed { job, lease, .. } = self.claimed;
        self.obey(self.catalog.checkpoint_job(self.scope, &job.id, lease, json).await?)
    }

    /// Notes that the job cannot do a document, and goes on with the others.
    pub(crate) async fn failed(&self, document: &str, reason: &str) -> Result<(), Interrupted> {
        self.failed_item(document, reason, None).await
    }

    /// The same of an item of an import, which stays for a retry.
    pub(crate) async fn failed_item(&self, document: &str, reason: &str, item: Option<u64>) -> Result<(), Interrupted> {
        let failure = JobFailure { document: document.to_owned(), reason: reason.to_owned() };
        let Claimed { job, lease, .. } = self.claimed;
        self.obey(self.catalog.job_failed(self.scope, &job.id, lease, &failure, item).await?)
    }

    /// Takes an item of an import off the list for which there was nothing to write.
    pub(crate) async fn item_done(&self, item: u64) -> Result<(), Interrupted> {
        let Claimed { job, lease, .. } = self.claimed;
        self.obey(self.catalog.job_item_done(self.scope, &job.id, lease, item).await?)
    }

    /// The leaf of something that the job does, which names the job and who asked for it.
    pub(crate) fn draft(&self, action: &'static str) -> Draft {
        let mut draft = Draft::of_service(action);
        draft.objects.push(Object::new("job", self.claimed.job.id.as_str()));
        draft.objects.push(Object::new("ordered_by", self.claimed.job.ordered_by.as_str()));
        draft
    }

    /// What ties a write to the job.
    pub(crate) fn fence(&self) -> Fence {
        self.claimed.fence()
    }

    /// A write that the job does: refused once another worker has the job.
    pub(crate) fn deed<T>(&self, action: &'static str) -> Deed<T> {
        Deed::from(self.draft(action)).fenced(self.claimed.fence())
    }

    /// The same of an item of an import, which leaves the list in the same transaction.
    pub(crate) fn deed_of_item<T>(&self, action: &'static str, item: u64) -> Deed<T> {
        let mut fence = self.claimed.fence();
        fence.item = Some(item);
        Deed::from(self.draft(action)).fenced(fence)
    }

    /// Keeps the lease as long as it is polled. Never ends.
    pub(crate) async fn keep_lease(&self) {
        let Claimed { job, lease, tenant, .. } = self.claimed;
        loop {
            clock::pause(beat(lease.length)).await;
            match self.catalog.keep_lease(self.scope, &job.id, lease).await {
                Ok(_) => {}
                Err(CatalogError::LeaseLost { .. } | CatalogError::TenantGone { .. }) => {
                    self.is_lost.store(true, Ordering::Release);
                }
                // The lease outlives some of these; if it does not, the next step says so.
                Err(error) => {
                    tracing::warn!(%tenant, job = %job.id, %error, "a job's lease could not be kept this time")
                }
            }
        }
    }

    fn go_on(&self) -> Result<(), Interrupted> {
        if self.is_lost.load(Ordering::Acquire) {
            return Err(CatalogError::LeaseLost { job: self.claimed.job.id.to_string() }.into());
        }
        Ok(())
    }

    fn obey(&self, control: JobControl) -> Result<(), Interrupted> {
        match control {
            JobControl::Cancel => Err(Interrupted::Cancelled),
            JobControl::Pause => Err(Interrupted::Paused),
            JobControl::Wait => Err(Interrupted::Suspended),
            JobControl::Continue if self.stop.is_cancelled() => Err(Interrupted::Stopping),
            JobControl::Continue => Ok(()),
        }
    }
}

fn beat(lease: Duration) -> Duration {
    lease / BEATS_PER_LEASE
}
