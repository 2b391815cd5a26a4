//! How a running job says how far it is, and learns that it is no longer wanted.

use catena_access::Scope;
use catena_catalog::{Catalog, Job, JobControl, Lease};

use crate::IngestError;

/// Why a job ended before its end.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// Somebody cancelled it.
    Cancelled,
    /// Its tenant is suspended: it waits until that is over.
    Suspended,
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
    pub(crate) catalog: &'a Catalog,
    pub(crate) scope: &'a Scope,
    pub(crate) job: &'a Job,
    pub(crate) lease: &'a Lease,
}

impl Progress<'_> {
    /// Says how far the job is, and learns whether to go on.
    pub(crate) async fn report(&self, done: u64, total: u64, note: &str) -> Result<(), Interrupted> {
        match self.catalog.progress_job(self.scope, &self.job.id, self.lease, done, total, note).await? {
            JobControl::Continue => Ok(()),
            JobControl::Cancel => Err(Interrupted::Cancelled),
            JobControl::Wait => Err(Interrupted::Suspended),
        }
    }
}
