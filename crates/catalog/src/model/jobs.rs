//! Background work.

use catena_domain::{JobId, Timestamp};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Builds a new generation from the stored texts and puts it in the place of the live one.
    Reindex,
}

impl JobKind {
    /// The kind's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reindex => "reindex",
        }
    }
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// It is done.
    Succeeded,
    /// It ended without being done.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl JobState {
    /// The state's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A piece of background work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Where it is in its life.
    pub state: JobState,
    /// Steps done.
    pub done: u64,
    /// Steps in all, as far as known.
    pub total: u64,
    /// What it is doing.
    pub note: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When a worker took it, the first time.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The right to run one job, until somebody else gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Which claim of the job this is. A later claim has a greater number, and an earlier one is worth nothing then.
    pub attempt: u32,
    /// Until when nobody else gets it; every report of progress moves this on.
    pub until: Timestamp,
}

/// What a worker is told when it reports progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobControl {
    /// Go on.
    Continue,
    /// Stop: somebody cancelled the job.
    Cancel,
    /// Stop for now: the tenant is suspended, and its jobs wait until it is resumed.
    Wait,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// It is done.
    Succeeded,
    /// It cannot be done, for this reason.
    Failed(String),
    /// It stopped because it was cancelled.
    Cancelled,
    /// It stopped because its tenant is suspended, and waits again.
    Deferred,
}
