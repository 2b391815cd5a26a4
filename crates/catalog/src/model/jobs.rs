//! Background work.

use std::time::Duration;

use catena_domain::{JobId, TenantId, Timestamp};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Builds a new generation from the stored texts and puts it in the place of the live one.
    Reindex,
    /// Brings a tenant up to what a source holds now.
    Sync,
    /// Writes documents that were handed in all at once.
    Import,
    /// Takes what is left of deleted documents away for good.
    Purge,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Reindex, Self::Sync, Self::Import, Self::Purge];

    /// The kind's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reindex => "reindex",
            Self::Sync => "sync",
            Self::Import => "import",
            Self::Purge => "purge",
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
    /// Somebody paused it.
    Paused,
    /// It waits for somebody to approve what it would do.
    Held,
    /// It is done, but perhaps for single documents.
    Succeeded,
    /// It ended without being done.
    Failed,
    /// Somebody cancelled it, or refused what it would have done.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Running, Self::Paused, Self::Held, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The state's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Held => "held",
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

/// How much of something is done, of how much as far as known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Done.
    pub done: u64,
    /// In all, as far as known.
    pub total: u64,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Documents.
    pub documents: Count,
    /// Their chunks.
    pub chunks: Count,
    /// The chunks' tokens.
    pub tokens: Count,
}

impl Tally {
    /// Reckons how much there is in all, as if what is left were like what is done.
    pub fn reckon(&mut self) {
        let Count { done, total } = self.documents;
        if done == 0 {
            return;
        }
        let in_all = |of: u64| of.max((of as f64 * total as f64 / done as f64) as u64);
        self.chunks.total = in_all(self.chunks.done);
        self.tokens.total = in_all(self.tokens.done);
    }
}

/// The present run of a job: from when a worker took it to its last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When the worker took it.
    pub started_at: Timestamp,
    /// When it said last how far it is.
    pub reported_at: Timestamp,
    /// What was done of it before.
    pub before: Tally,
}

/// What a job gets done in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Documents.
    pub documents: f64,
    /// Chunks.
    pub chunks: f64,
    /// Tokens.
    pub tokens: f64,
}

/// What a job would do, and whether it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// What it would do, as JSON.
    pub plan: String,
    /// The SHA-256 of that text. An approval is for exactly this plan.
    pub digest: [u8; 32],
}

/// A piece of background work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// What it does it to: for a sync, the source.
    pub subject: Option<String>,
    /// Where it is in its life.
    pub state: JobState,
    /// How far it is.
    pub tally: Tally,
    /// Its present run, while it runs.
    pub run: Option<Run>,
    /// Documents that could not be done, each with its reason on a list of its own.
    pub failed_documents: u64,
    /// What it waits for somebody to approve, while it is held.
    pub approval: Option<Approval>,
    /// The key that asked for it; `service` when nobody did.
    pub ordered_by: String,
    /// The job whose failed documents it does again.
    pub retry_of: Option<JobId>,
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

impl Job {
    /// What it gets done in a second, measured over its present run.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let run = self.run?;
        let micros = u64::try_from(run.reported_at.0.saturating_sub(run.started_at.0)).ok().filter(|&of| of > 0)?;
        let seconds = Duration::from_micros(micros).as_secs_f64();
        let rate = |now: Count, before: Count| now.done.saturating_sub(before.done) as f64 / seconds;
        Some(Rate {
            documents: rate(self.tally.documents, run.before.documents),
            chunks: rate(self.tally.chunks, run.before.chunks),
            tokens: rate(self.tally.tokens, run.before.tokens),
        })
    }

    /// How long it will take at that rate: by tokens if their number is known, else by chunks, else by documents.
    #[must_use]
    pub fn eta(&self) -> Option<Duration> {
        let (rate, tally) = (self.rate()?, self.tally);
        [(tally.tokens, rate.tokens), (tally.chunks, rate.chunks), (tally.documents, rate.documents)]
            .into_iter()
            .find(|(count, rate)| count.total > count.done && *rate > 0.0)
            .and_then(|(count, rate)| Duration::try_from_secs_f64((count.total - count.done) as f64 / rate).ok())
    }
}

/// Work that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// What it does it to. Of re-indexes and syncs, one for each subject waits or runs at a time.
    pub subject: Option<String>,
    /// What is to be done, as JSON.
    pub spec: String,
    /// How much that is, as far as known.
    pub tally: Tally,
}

impl NewJob {
    /// Work of this kind, with nothing else said of it.
    #[must_use]
    pub fn of(kind: JobKind) -> Self {
        Self { kind, subject: None, spec: "{}".to_owned(), tally: Tally::default() }
    }
}

/// A job as the worker gets it that is to do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Whose it is.
    pub tenant: TenantId,
    /// The job.
    pub job: Job,
    /// What is to be done, as JSON. After a retry, `only` in it names the documents.
    pub spec: String,
    /// From where it goes on, as JSON, if it was at work before.
    pub checkpoint: Option<String>,
    /// The plan that was approved, if one was.
    pub approved: Option<[u8; 32]>,
    /// The right to do it.
    pub lease: Lease,
}

impl Claimed {
    /// What ties a write to this job: it is done only as long as the job is this worker's.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence { job: self.job.id.clone(), attempt: self.lease.attempt, item: None }
    }
}

/// What a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taking {
    /// How long the worker may be silent before another may take its job.
    pub lease: Duration,
    /// Jobs of one tenant that run at once, in all processes together.
    pub at_once_per_tenant: u32,
    /// Whether it takes work that needs the index at hand.
    pub reach: WorkerReach,
}

/// What a worker's process has at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerReach {
    /// The index that answers.
    Index,
    /// The catalog and a model.
    CatalogAlone,
}

/// The right to run one job, until somebody else gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Which claim of the job this is. A later claim has a greater number, and an earlier one is worth nothing then.
    pub attempt: u32,
    /// How long after each report nobody else gets it, by the database's clock.
    pub length: Duration,
}

/// Ties a write to the job that does it: when another worker has the job by then, the write is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The job.
    pub job: JobId,
    /// The claim under which the write is done.
    pub attempt: u32,
    /// The item of an import that this write is. It leaves the list in the same transaction, so it is done once.
    pub item: Option<u64>,
}

/// What a worker is told when it reports progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobControl {
    /// Go on.
    Continue,
    /// Stop: somebody cancelled the job.
    Cancel,
    /// Stop: somebody paused the job.
    Pause,
    /// Stop for now: the tenant is suspended, and its jobs wait until it is resumed.
    Wait,
}

/// How a job's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// It is done.
    Succeeded,
    /// It cannot be done, for this reason.
    Failed(String),
    /// It stopped because it was cancelled.
    Cancelled,
    /// It stopped because it was paused.
    Paused,
    /// It waits for somebody to approve this plan, which is JSON.
    Held(String),
    /// It waits again: its tenant is suspended, or its worker stops.
    Deferred,
    /// It waits for a worker that has the index at hand.
    HandedOver,
}

/// A document that a job could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// The document's id, or what else names it, as `line 17` of an import.
    pub document: String,
    /// Why, for people.
    pub reason: String,
}

/// A part of an import, to be stored with its job until it is done.
#[derive(Clone, PartialEq, Eq)]
pub struct NewJobItem {
    pub(crate) item: u64,
    pub(crate) document: String,
    pub(crate) zstd: Vec<u8>,
}

impl std::fmt::Debug for NewJobItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewJobItem({})", self.item)
    }
}

/// A part of an import that is not done yet.
#[derive(Clone, PartialEq, Eq)]
pub struct JobItem {
    /// Its place: the line that it came on.
    pub item: u64,
    /// The document.
    pub document: String,
    /// What is to be done.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for JobItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JobItem({})", self.item)
    }
}
