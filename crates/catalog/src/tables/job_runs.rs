//! Background work, as workers see it: claimed, reported on, ended. A worker holds a job by a lease; the number of its
//! claim fences off whoever held it before.
//!
//! Promises: a job has one worker at a time; one that is cut off again and again before it gets any further is ended;
//! tenants take turns, however many jobs one of them has waiting; leases run by the database's clock, so that a worker's
//! own may stand or jump; whatever a worker changes of its job, and each write that carries its [`Fence`], is checked
//! against the claim in the same transaction. Does not: know what a job does.

use catena_access::Scope;
use catena_domain::{JobId, TenantId, Timestamp, limits};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{
    Claimed, Fence, JobControl, JobEnd, JobFailure, JobState, Lease, Taking, Tally, TenantState, WorkerReach,
};
use crate::store::{Connection, Reach, Row, in_task, sql, sql_of};
use crate::tables::codec::long;
use crate::tables::jobs::{digest, job_columns, job_of};
use crate::tables::{job_items, tenants};

/// Whose turn it is: the tenant with the fewest jobs at work, then the one whose last job was taken longest ago. Its
/// oldest job is next. Both are materialized, so that they are asked once. Asked again for another row, as some plans
/// do, the second would pass over the job that this very statement has taken, and take the next one too.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "WITH turns AS MATERIALIZED (
                 SELECT w.tenant,
                        (SELECT count(*) FROM jobs r
                         WHERE r.tenant = w.tenant AND r.state = 'running' AND r.lease_until >= $1) AS running,
                        (SELECT coalesce(max(l.claimed_at), 0) FROM jobs l WHERE l.tenant = w.tenant) AS last
                 FROM (SELECT DISTINCT tenant FROM jobs
                       WHERE state IN ('queued', 'running') AND (state = 'queued' OR lease_until < $1)
                         AND needs_index <= $3) AS w
                 WHERE w.tenant IN (SELECT tenant FROM tenants WHERE state = 'active')),
             next AS MATERIALIZED (
                 SELECT j.tenant, j.job FROM jobs j JOIN turns t ON t.tenant = j.tenant
                 WHERE j.state IN ('queued', 'running') AND (j.state = 'queued' OR j.lease_until < $1)
                   AND j.needs_index <= $3 AND t.running < $4
                 ORDER BY t.running, t.last, j.created_at, j.tenant, j.job LIMIT 1 ",
            $lock,
            ")
             UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_until = $2, claimed_at = $1, reported_at = $1,
                             started_at = coalesce(started_at, $1), documents_before = done,
                             chunks_before = chunks_done, tokens_before = tokens_done,
                             runs_without_progress = runs_without_progress + 1
             WHERE (tenant, job) IN (SELECT tenant, job FROM next)
             RETURNING tenant, attempt, spec, checkpoint, approved_sha256, runs_without_progress, ",
            job_columns!()
        )
    };
}

impl Catalog {
    /// Takes the job whose turn it is, of whichever tenant is served.
    pub async fn claim_job(&self, taking: &Taking) -> Result<Option<Claimed>> {
        let (store, taking) = (self.store.clone(), *taking);
        in_task(async move {
            let mut tx = store.write(Reach::Installation).await?;
            // One claim after another, so that each sees whose turn the one before has used.
            sql_of("SELECT 1 AS one", "SELECT pg_advisory_xact_lock(427856195918) IS NULL AS one")
                .execute(tx.connection())
                .await?;
            let now = moment(tx.connection()).await?;
            let claimed = loop {
                let row = sql_of(claim!(""), claim!("FOR UPDATE OF j SKIP LOCKED"))
                    .bind(now.0)
                    .bind(until(now, &taking.lease).0)
                    .bind(i64::from(taking.reach == WorkerReach::Index))
                    .bind(taking.at_once_per_tenant)
                    .fetch_optional(tx.connection())
                    .await?;
                let Some(row) = row else { break None };
                let claimed = claimed_of(&row, &taking)?;
                if row.u32("runs_without_progress")? <= limits::JOB_RUNS_WITHOUT_PROGRESS_MAX {
                    break Some(claimed);
                }
                give_up(tx.connection(), &claimed, now).await?;
            };
            tx.commit().await?;
            Ok(claimed)
        })
        .await
    }

    /// Says how far a job is, keeps its lease, and learns whether to go on.
    pub async fn progress_job(
        &self,
        scope: &Scope,
        id: &JobId,
        lease: &Lease,
        tally: &Tally,
        note: &str,
    ) -> Result<JobControl> {
        self.held(scope, id, lease, Step::Report(*tally, cut(note))).await
    }

    /// Keeps the lease of a job whose step takes long.
    pub async fn keep_lease(&self, scope: &Scope, id: &JobId, lease: &Lease) -> Result<JobControl> {
        self.held(scope, id, lease, Step::Nothing).await
    }

    /// Stores from where a job goes on when it is cut off.
    pub async fn checkpoint_job(
        &self,
        scope: &Scope,
        id: &JobId,
        lease: &Lease,
        checkpoint: &str,
    ) -> Result<JobControl> {
        if checkpoint.len() > limits::JOB_SPEC_BYTES_MAX {
            let reason = format!("is longer than {} bytes", limits::JOB_SPEC_BYTES_MAX);
            return Err(CatalogError::Invalid { what: "a job's checkpoint", reason });
        }
        self.held(scope, id, lease, Step::Checkpoint(checkpoint.to_owned())).await
    }

    /// Notes that a job cannot do a document, once for each document. Beyond a number they are counted, not listed. Of an
    /// import, `item` is what stays for a retry.
    pub async fn job_failed(
        &self,
        scope: &Scope,
        id: &JobId,
        lease: &Lease,
        failure: &JobFailure,
        item: Option<u64>,
    ) -> Result<JobControl> {
        self.held(scope, id, lease, Step::Failure(failure.clone(), item)).await
    }

    /// Takes an item of an import off the list for which there was nothing to write.
    pub async fn job_item_done(&self, scope: &Scope, id: &JobId, lease: &Lease, item: u64) -> Result<JobControl> {
        self.held(scope, id, lease, Step::ItemDone(item)).await
    }

    /// Ends a job's run. Refused when the lease is lost. What somebody asked meanwhile is done. A plan that is too long to
    /// be kept is a failure: nobody could approve it.
    pub async fn finish_job(&self, scope: &Scope, id: &JobId, lease: &Lease, end: JobEnd) -> Result<()> {
        let (store, tenant, id, attempt) = (self.store.clone(), scope.tenant().clone(), id.clone(), lease.attempt);
        in_task(async move {
            let end = match end {
                JobEnd::Held(plan) if plan.len() > limits::JOB_SPEC_BYTES_MAX => JobEnd::Failed(format!(
                    "what waits for approval cannot be kept: its list is longer than {} bytes",
                    limits::JOB_SPEC_BYTES_MAX
                )),
                end => end,
            };
            let needs_index = end == JobEnd::HandedOver;
            let (state, error, plan) = match end {
                JobEnd::Succeeded => (JobState::Succeeded, None, None),
                JobEnd::Failed(reason) => (JobState::Failed, Some(cut(&reason)), None),
                JobEnd::Cancelled => (JobState::Cancelled, None, None),
                JobEnd::Paused => (JobState::Paused, None, None),
                JobEnd::Held(plan) => (JobState::Held, None, Some(plan)),
                JobEnd::Deferred | JobEnd::HandedOver => (JobState::Queued, None, None),
            };
            let mut tx = store.write(&tenant).await?;
            let now = moment(tx.connection()).await?;
            let row = sql(END)
                .bind(tenant.as_str())
                .bind(id.as_str())
                .bind(attempt)
                .bind(state.as_str())
                .bind(error)
                .bind(now.0)
                .bind(plan.as_deref().map(digest).map(Vec::from))
                .bind(plan)
                .bind(i64::from(needs_index))
                .fetch_optional(tx.connection())
                .await?;
            let row = row.ok_or_else(|| CatalogError::LeaseLost { job: id.to_string() })?;
            if row.text("state")? == JobState::Cancelled.as_str() {
                job_items::forget(tx.connection(), &tenant, &id).await?;
            }
            tx.commit().await
        })
        .await
    }

    /// Takes every job back from its worker, at the start of the process that alone runs jobs here: whoever held one is
    /// gone. Where other processes may run jobs too, those alone whose lease is over. What was asked of a job is done.
    pub async fn release_leases(&self) -> Result<()> {
        let store = self.store.clone();
        in_task(async move {
            let mut tx = store.write(Reach::Installation).await?;
            let now = moment(tx.connection()).await?;
            sql_of(
                "UPDATE jobs SET lease_until = NULL, pause_requested = 0,
                     finished_at = CASE cancel_requested WHEN 1 THEN $1 ELSE NULL END,
                     state = CASE WHEN cancel_requested = 1 THEN 'cancelled' WHEN pause_requested = 1 THEN 'paused'
                                  ELSE 'queued' END
                 WHERE state = 'running'",
                "UPDATE jobs SET lease_until = NULL, pause_requested = 0,
                     finished_at = CASE cancel_requested WHEN 1 THEN $1 ELSE NULL END,
                     state = CASE WHEN cancel_requested = 1 THEN 'cancelled' WHEN pause_requested = 1 THEN 'paused'
                                  ELSE 'queued' END
                 WHERE state = 'running' AND lease_until < $1",
            )
            .bind(now.0)
            .execute(tx.connection())
            .await?;
            tx.commit().await
        })
        .await
    }

    /// Changes something of a job that this worker holds, keeps the lease, and learns whether to go on.
    async fn held(&self, scope: &Scope, id: &JobId, lease: &Lease, step: Step) -> Result<JobControl> {
        let (store, tenant, id, lease) = (self.store.clone(), scope.tenant().clone(), id.clone(), *lease);
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let (now, control) = renew(tx.connection(), &tenant, &id, &lease).await?;
            step.take(tx.connection(), &tenant, &id, now).await?;
            tx.commit().await?;
            Ok(control)
        })
        .await
    }
}

/// Ends a job whose workers were all cut off.
async fn give_up(connection: &mut Connection, claimed: &Claimed, now: Timestamp) -> Result<()> {
    let most = limits::JOB_RUNS_WITHOUT_PROGRESS_MAX;
    let reason = format!(
        "it was cut off {most} times in a row without getting any further; the service's log may say why. Retry it once \
         that is mended"
    );
    sql("UPDATE jobs SET state = 'failed', error = $3, finished_at = $4, lease_until = NULL, pause_requested = 0
         WHERE tenant = $1 AND job = $2")
    .bind(claimed.tenant.as_str())
    .bind(claimed.job.id.as_str())
    .bind(reason)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// What a worker says of its job.
enum Step {
    Nothing,
    Report(Tally, String),
    Checkpoint(String),
    Failure(JobFailure, Option<u64>),
    ItemDone(u64),
}

impl Step {
    async fn take(self, connection: &mut Connection, tenant: &TenantId, id: &JobId, now: Timestamp) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Report(tally, note) => report(connection, tenant, id, now, &tally, note).await,
            Self::Checkpoint(checkpoint) => {
                sql("UPDATE jobs SET checkpoint = $3, runs_without_progress =
                         CASE WHEN coalesce(checkpoint, '') <> $3 THEN 0 ELSE runs_without_progress END
                     WHERE tenant = $1 AND job = $2")
                .bind(tenant.as_str())
                .bind(id.as_str())
                .bind(checkpoint)
                .execute(connection)
                .await?;
                Ok(())
            }
            Self::Failure(failure, item) => {
                if let Some(item) = item {
                    job_items::set_failed(connection, tenant, id, item).await?;
                }
                note_failure(connection, tenant, id, &failure).await
            }
            Self::ItemDone(item) => job_items::done(connection, tenant, id, item).await,
        }
    }
}

async fn report(
    connection: &mut Connection,
    tenant: &TenantId,
    id: &JobId,
    now: Timestamp,
    tally: &Tally,
    note: String,
) -> Result<()> {
    sql("UPDATE jobs SET done = $3, total = $4, chunks_done = $5, chunks_total = $6, tokens_done = $7,
                         tokens_total = $8, note = $9, reported_at = $10,
                         runs_without_progress = CASE WHEN $3 > done_most THEN 0 ELSE runs_without_progress END,
                         done_most = CASE WHEN $3 > done_most THEN $3 ELSE done_most END
         WHERE tenant = $1 AND job = $2")
    .bind(tenant.as_str())
    .bind(id.as_str())
    .bind(long(tally.documents.done))
    .bind(long(tally.documents.total))
    .bind(long(tally.chunks.done))
    .bind(long(tally.chunks.total))
    .bind(long(tally.tokens.done))
    .bind(long(tally.tokens.total))
    .bind(note)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// The end of a run. What somebody asked meanwhile comes before what the worker would have it be, unless that is the end.
const END: &str = "UPDATE jobs SET error = $5, lease_until = NULL, pause_requested = 0, runs_without_progress = 0,
         needs_index = CASE $9 WHEN 1 THEN 1 ELSE needs_index END,
         plan_sha256 = coalesce($7, plan_sha256), plan = coalesce($8, plan),
         state = CASE WHEN $4 IN ('queued', 'paused', 'held') AND cancel_requested = 1 THEN 'cancelled'
                      WHEN $4 = 'paused' AND pause_requested = 0 THEN 'queued'
                      WHEN $4 = 'queued' AND pause_requested = 1 THEN 'paused' ELSE $4 END,
         finished_at = CASE WHEN $4 IN ('queued', 'paused', 'held') AND cancel_requested = 0 THEN NULL ELSE $6 END
     WHERE tenant = $1 AND job = $2 AND attempt = $3 AND state = 'running' RETURNING state";

/// Keeps the lease that a worker has, or says that it has it no longer.
async fn renew(
    connection: &mut Connection,
    tenant: &TenantId,
    id: &JobId,
    lease: &Lease,
) -> Result<(Timestamp, JobControl)> {
    let now = moment(connection).await?;
    let row = sql("UPDATE jobs SET lease_until = $4
         WHERE tenant = $1 AND job = $2 AND attempt = $3 AND state = 'running'
         RETURNING cancel_requested, pause_requested, (SELECT state FROM tenants WHERE tenant = $1) AS tenant_state")
    .bind(tenant.as_str())
    .bind(id.as_str())
    .bind(lease.attempt)
    .bind(until(now, &lease.length).0)
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or_else(|| CatalogError::LeaseLost { job: id.to_string() })?;
    let is_active = tenants::state_of(&row, "tenant_state")? == TenantState::Active;
    let control = match (row.flag("cancel_requested")?, row.flag("pause_requested")?) {
        (true, _) => JobControl::Cancel,
        (false, true) => JobControl::Pause,
        (false, false) if is_active => JobControl::Continue,
        (false, false) => JobControl::Wait,
    };
    Ok((now, control))
}

/// Refuses a write whose job another worker has by now. As long as the write's transaction goes on, nobody takes the job.
pub(super) async fn require_held(connection: &mut Connection, tenant: &TenantId, fence: &Fence) -> Result<()> {
    let held = sql_of(
        "SELECT 1 AS one FROM jobs WHERE tenant = $1 AND job = $2 AND attempt = $3 AND state = 'running'",
        "SELECT 1 AS one FROM jobs WHERE tenant = $1 AND job = $2 AND attempt = $3 AND state = 'running' FOR SHARE",
    )
    .bind(tenant.as_str())
    .bind(fence.job.as_str())
    .bind(fence.attempt)
    .fetch_optional(connection)
    .await?;
    if held.is_none() {
        return Err(CatalogError::LeaseLost { job: fence.job.to_string() });
    }
    match fence.item {
        Some(item) => job_items::done(connection, tenant, &fence.job, item).await,
        None => Ok(()),
    }
}

/// Notes that the job of a write got further.
pub(super) async fn got_further(connection: &mut Connection, tenant: &TenantId, fence: Option<&Fence>) -> Result<()> {
    let Some(fence) = fence else { return Ok(()) };
    sql("UPDATE jobs SET runs_without_progress = 0 WHERE tenant = $1 AND job = $2 AND runs_without_progress > 0")
        .bind(tenant.as_str())
        .bind(fence.job.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Refuses a write that is part of a job which another worker has by now, if it is part of any.
pub(super) async fn require_held_if_any(
    connection: &mut Connection,
    tenant: &TenantId,
    fence: Option<&Fence>,
) -> Result<()> {
    match fence {
        Some(fence) => require_held(connection, tenant, fence).await,
        None => Ok(()),
    }
}

/// Keeps workers from changing a job until the transaction ends.
pub(super) async fn hold(connection: &mut Connection, tenant: &TenantId, id: &JobId) -> Result<()> {
    sql_of(
        "SELECT 1 AS one FROM jobs WHERE tenant = $1 AND job = $2",
        "SELECT 1 AS one FROM jobs WHERE tenant = $1 AND job = $2 FOR UPDATE",
    )
    .bind(tenant.as_str())
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// Notes a document that failed, once.
async fn note_failure(connection: &mut Connection, tenant: &TenantId, id: &JobId, failure: &JobFailure) -> Result<()> {
    let document = cut(&failure.document);
    let known = sql("UPDATE job_failures SET reason = $4 WHERE tenant = $1 AND job = $2 AND document = $3")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(document.as_str())
        .bind(cut(&failure.reason))
        .execute(connection)
        .await?;
    if known > 0 {
        return Ok(());
    }
    sql("INSERT INTO job_failures (tenant, job, document, reason)
         SELECT tenant, job, $3, $4 FROM jobs WHERE tenant = $1 AND job = $2 AND failed_documents < $5")
    .bind(tenant.as_str())
    .bind(id.as_str())
    .bind(document)
    .bind(cut(&failure.reason))
    .bind(long(limits::JOB_FAILURES_MAX))
    .execute(connection)
    .await?;
    sql("UPDATE jobs SET failed_documents = failed_documents + 1, runs_without_progress = 0 WHERE tenant = $1 AND job = $2")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a document off the list of what failed, because a later run did it. Of an import, a line that failed is named
/// for good.
pub(super) async fn went_well(
    connection: &mut Connection,
    tenant: &TenantId,
    fence: Option<&Fence>,
    document: &str,
) -> Result<()> {
    let Some(Fence { job, item: None, .. }) = fence else { return Ok(()) };
    let known = sql("DELETE FROM job_failures WHERE tenant = $1 AND job = $2 AND document = $3")
        .bind(tenant.as_str())
        .bind(job.as_str())
        .bind(document)
        .execute(&mut *connection)
        .await?;
    if known > 0 {
        sql("UPDATE jobs SET failed_documents = failed_documents - 1 WHERE tenant = $1 AND job = $2")
            .bind(tenant.as_str())
            .bind(job.as_str())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// What time it is for everybody who uses this database.
pub(super) async fn moment(connection: &mut Connection) -> Result<Timestamp> {
    sql_of(
        "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS moment",
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT AS moment",
    )
    .fetch_one(connection)
    .await?
    .time("moment")
}

fn until(now: Timestamp, lease: &std::time::Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)))
}

/// Notes and reasons are for people; nobody reads a long one.
pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(limits::ATTRIBUTE_BYTES_MAX)].to_owned()
}

fn claimed_of(row: &Row, taking: &Taking) -> Result<Claimed> {
    Ok(Claimed {
        tenant: row.name("tenant")?,
        job: job_of(row)?,
        spec: row.text("spec")?,
        checkpoint: row.text_or_null("checkpoint")?,
        approved: row.hash_or_null("approved_sha256")?,
        lease: Lease { attempt: row.u32("attempt")?, length: taking.lease },
    })
}
