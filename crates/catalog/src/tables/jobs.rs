//! Background work, as people see it: asked for, listed, paused, resumed, cancelled, approved, tried again.
//!
//! Promises: of re-indexes and syncs one for each subject waits or runs at a time; a tenant keeps a bounded number of
//! jobs, waiting and over; what somebody asks of a job holds at once when it waits, and at its next report when it runs;
//! an approval is for exactly the plan that it names. Does not: run anything; `job_runs` beside it is the workers' side.

use catena_access::Scope;
use catena_audit::{Draft, Object};
use catena_domain::{JobId, TenantId, limits};
use catena_runtime::random;
use sha2::{Digest as _, Sha256};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{
    Approval, Count, Deed, Job, JobFailure, JobKind, JobState, NewJob, NewJobItem, Page, Run, Tally, Written,
};
use crate::store::{Connection, Row, WriteTx, in_task, sql};
use crate::tables::codec::{corrupt, hex, json, long};
use crate::tables::page::{self, Items as _};
use crate::tables::{chain, job_items, job_runs, tenants};

/// What is read of a job.
macro_rules! job_columns {
    () => {
        "job, kind, subject, state, done, total, chunks_done, chunks_total, tokens_done, tokens_total, failed_documents, \
         note, error, ordered_by, retry_of, created_at, started_at, finished_at, claimed_at, reported_at, documents_before, \
         chunks_before, tokens_before, CASE state WHEN 'held' THEN plan END AS plan, plan_sha256"
    };
}
pub(super) use job_columns;

/// Jobs that are over and go when one more is asked for, at most.
const SWEPT_AT_ONCE: u64 = 16;

/// What somebody asks of a job.
enum Wish {
    Cancel,
    Pause,
    Resume,
    Approve([u8; 32]),
    Refuse,
}

impl Catalog {
    /// Asks for background work. Refused while work of the kind on the same subject waits or runs for the tenant, and
    /// beyond a number of jobs that wait.
    pub async fn enqueue_job(&self, scope: &Scope, job: NewJob, deed: impl Into<Deed<Job>>) -> Result<Written<Job>> {
        self.enqueue_import(scope, job, Vec::new(), Vec::new(), deed).await
    }

    /// The same with what is to be written, and with what is known already not to be writable.
    pub async fn enqueue_import(
        &self,
        scope: &Scope,
        job: NewJob,
        items: Vec<NewJobItem>,
        failures: Vec<JobFailure>,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Written<Job>> {
        let (store, tenant, deed) = (self.store.clone(), scope.tenant().clone(), deed.into());
        if job.spec.len() > limits::JOB_SPEC_BYTES_MAX {
            let reason = format!("is longer than {} bytes; ask for less at once", limits::JOB_SPEC_BYTES_MAX);
            return Err(CatalogError::Invalid { what: "what a job is to do", reason });
        }
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_items::require_room(tx.connection(), &tenant, &items).await?;
            let id = insert(&mut tx, &tenant, &job, None, &deed.draft).await?;
            sweep(tx.connection(), &tenant, None).await?;
            job_items::write(tx.connection(), &tenant, &id, &items).await?;
            job_items::refuse(tx.connection(), &tenant, &id, failures).await?;
            ended(tx, &tenant, &id, deed).await
        })
        .await
    }

    /// Asks for what failed of a job that is over: a new job of its kind on its subject. Where single documents failed,
    /// it is told to do those alone.
    pub async fn retry_job(
        &self,
        scope: &Scope,
        id: &JobId,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Option<Written<Job>>> {
        let (store, tenant, id, deed) = (self.store.clone(), scope.tenant().clone(), id.clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let Some(old) = find(tx.connection(), &tenant, &id).await? else { return Ok(None) };
            let refused = |reason| CatalogError::Conflict { what: format!("job {id}"), reason };
            match old.state {
                JobState::Failed => {}
                JobState::Succeeded if old.failed_documents > 0 => {}
                JobState::Succeeded => return Err(refused("has nothing to try again: no document failed")),
                JobState::Cancelled => return Err(refused("was cancelled; ask for a new one")),
                _ => return Err(refused("is not over; wait for its end, or cancel it")),
            }
            let spec = spec_of_retry(tx.connection(), &tenant, &old).await?;
            let waiting = job_items::count(tx.connection(), &tenant, &id).await?;
            if old.kind == JobKind::Import && waiting == 0 {
                return Err(refused("keeps nothing to try again; hand the documents in once more"));
            }
            let total = if old.kind == JobKind::Import { waiting } else { 0 };
            let tally = Tally { documents: Count { done: 0, total }, ..Tally::default() };
            let job = NewJob { kind: old.kind, subject: old.subject.clone(), spec, tally };
            let new = insert(&mut tx, &tenant, &job, Some(&id), &deed.draft).await?;
            job_items::hand_on(tx.connection(), &tenant, &id, &new).await?;
            sweep(tx.connection(), &tenant, Some(&id)).await?;
            ended(tx, &tenant, &new, deed).await.map(Some)
        })
        .await
    }

    /// Cancels a job: at once when it waits, at its next report when it runs. `None` when there is no such job.
    pub async fn cancel_job(&self, scope: &Scope, id: &JobId, draft: Draft) -> Result<Option<Written<Job>>> {
        self.wish(scope, id, Wish::Cancel, draft).await
    }

    /// Pauses a job: at once when it waits, at its next report when it runs.
    pub async fn pause_job(&self, scope: &Scope, id: &JobId, draft: Draft) -> Result<Option<Written<Job>>> {
        self.wish(scope, id, Wish::Pause, draft).await
    }

    /// Lets a paused job wait for a worker again. It goes on from where it was.
    pub async fn resume_job(&self, scope: &Scope, id: &JobId, draft: Draft) -> Result<Option<Written<Job>>> {
        self.wish(scope, id, Wish::Resume, draft).await
    }

    /// Approves what a held job would do, which is the plan of this digest and nothing else.
    pub async fn approve_job(
        &self,
        scope: &Scope,
        id: &JobId,
        digest: [u8; 32],
        draft: Draft,
    ) -> Result<Option<Written<Job>>> {
        self.wish(scope, id, Wish::Approve(digest), draft).await
    }

    /// Refuses what a held job would do: it is cancelled.
    pub async fn refuse_job(&self, scope: &Scope, id: &JobId, draft: Draft) -> Result<Option<Written<Job>>> {
        self.wish(scope, id, Wish::Refuse, draft).await
    }

    async fn wish(&self, scope: &Scope, id: &JobId, wish: Wish, mut draft: Draft) -> Result<Option<Written<Job>>> {
        let (store, tenant, id) = (self.store.clone(), scope.tenant().clone(), id.clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            // Held against workers, who take jobs without waiting for the tenant's other writes.
            let Some(job) = find_to_change(tx.connection(), &tenant, &id).await? else { return Ok(None) };
            let object =
                Object { sha256: job.approval.as_ref().map(|of| hex(&of.digest)), ..Object::new("job", id.as_str()) };
            grant(tx.connection(), &tenant, &job, &wish).await?;
            draft.objects.push(object);
            let leaf = chain::append(tx.connection(), &tenant, &draft).await?;
            let value = find(tx.connection(), &tenant, &id).await?.unwrap_or(job);
            tx.commit().await?;
            Ok(Some(Written { value, leaf }))
        })
        .await
    }

    /// One job of the tenant.
    pub async fn job(&self, scope: &Scope, id: &JobId) -> Result<Option<Job>> {
        let mut tx = self.store.read(scope).await?;
        find(&mut tx, scope.tenant(), id).await
    }

    /// The tenant's jobs, the newest first.
    pub async fn jobs(&self, scope: &Scope, limit: usize) -> Result<Vec<Job>> {
        self.jobs_after(scope, None, limit).await.map(|page| page.items)
    }

    /// The tenant's jobs that were asked for before `after`, the newest first.
    pub async fn jobs_after(&self, scope: &Scope, after: Option<&JobId>, limit: usize) -> Result<Page<Job>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let rows = sql(concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE tenant = $1
                AND ($2 = '' OR (created_at, job) < (SELECT j.created_at, j.job FROM jobs j WHERE j.tenant = $1 AND j.job = $2))
              ORDER BY created_at DESC, job DESC LIMIT $3"
        ))
        .bind(scope.tenant().as_str())
        .bind(after.map(JobId::as_str).unwrap_or_default())
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let jobs: Result<Vec<Job>> = rows.iter().map(job_of).collect();
        Ok(jobs?.into_page(limit, |job| job.id.to_string()))
    }

    /// The documents that a job could not do, after `after`, by their names. A job keeps a bounded number of them.
    pub async fn job_failures(
        &self,
        scope: &Scope,
        id: &JobId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<JobFailure>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT document, reason FROM job_failures
             WHERE tenant = $1 AND job = $2 AND document > $3 ORDER BY document LIMIT $4")
        .bind(scope.tenant().as_str())
        .bind(id.as_str())
        .bind(after.unwrap_or_default())
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let failures: Result<Vec<JobFailure>> = rows.iter().map(failure_of).collect();
        Ok(failures?.into_page(limit, |failure| failure.document.clone()))
    }
}

/// Does what somebody asks of a job, or says why not.
async fn grant(connection: &mut Connection, tenant: &TenantId, job: &Job, wish: &Wish) -> Result<()> {
    let refused = |reason| Err(CatalogError::Conflict { what: format!("job {}", job.id), reason });
    let statement = match (wish, job.state) {
        (Wish::Cancel, state) if state.is_over() => return refused("is over already"),
        (Wish::Cancel, JobState::Running) => "UPDATE jobs SET cancel_requested = 1 WHERE tenant = $1 AND job = $2",
        (Wish::Cancel, _) | (Wish::Refuse, JobState::Held) => {
            "UPDATE jobs SET state = 'cancelled', finished_at = $3 WHERE tenant = $1 AND job = $2"
        }
        (Wish::Pause, JobState::Queued) => "UPDATE jobs SET state = 'paused' WHERE tenant = $1 AND job = $2",
        (Wish::Pause, JobState::Running) => "UPDATE jobs SET pause_requested = 1 WHERE tenant = $1 AND job = $2",
        (Wish::Pause, _) => return refused("neither waits nor runs, so it cannot be paused"),
        (Wish::Resume, JobState::Paused | JobState::Running) => {
            "UPDATE jobs SET pause_requested = 0, state = CASE state WHEN 'paused' THEN 'queued' ELSE state END
             WHERE tenant = $1 AND job = $2"
        }
        (Wish::Resume, _) => return refused("is not paused"),
        (Wish::Approve(digest), JobState::Held) if job.approval.as_ref().is_some_and(|of| of.digest == *digest) => {
            "UPDATE jobs SET state = 'queued', approved_sha256 = plan_sha256 WHERE tenant = $1 AND job = $2"
        }
        (Wish::Approve(_), JobState::Held) => {
            return refused("has another plan than the one that was approved; read it again, then decide");
        }
        (Wish::Approve(_) | Wish::Refuse, _) => return refused("does not wait for an approval"),
    };
    let is_end = matches!((wish, job.state), (Wish::Cancel | Wish::Refuse, state) if state != JobState::Running);
    let mut update = sql(statement).bind(tenant.as_str()).bind(job.id.as_str());
    if is_end {
        update = update.bind(job_runs::moment(connection).await?.0);
    }
    update.execute(connection).await?;
    if is_end {
        job_items::forget(connection, tenant, &job.id).await?;
    }
    Ok(())
}

/// Stores a new job and says its id.
async fn insert(
    tx: &mut WriteTx,
    tenant: &TenantId,
    job: &NewJob,
    retry_of: Option<&JobId>,
    draft: &Draft,
) -> Result<JobId> {
    let id = random::identifier().map_err(CatalogError::chance)?;
    let connection = tx.connection();
    tenants::seq(connection, tenant).await?;
    let waiting = sql("SELECT count(*) AS waiting FROM jobs
         WHERE tenant = $1 AND state IN ('queued', 'running', 'paused', 'held')")
    .bind(tenant.as_str())
    .fetch_one(connection)
    .await?;
    if waiting.u64("waiting")? >= limits::JOBS_WAITING_MAX {
        return Err(CatalogError::Busy { what: "the tenant's list of waiting jobs" });
    }
    let now = job_runs::moment(connection).await?;
    let row =
        sql("INSERT INTO jobs (tenant, job, kind, subject, state, spec, total, chunks_total, tokens_total, ordered_by,
                           retry_of, needs_index, created_at)
         VALUES ($1, $2, $3, $4, 'queued', $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT DO NOTHING RETURNING job")
        .bind(tenant.as_str())
        .bind(id)
        .bind(job.kind.as_str())
        .bind(job.subject.as_deref().unwrap_or_default())
        .bind(job.spec.as_str())
        .bind(long(job.tally.documents.total))
        .bind(long(job.tally.chunks.total))
        .bind(long(job.tally.tokens.total))
        .bind(draft.actor.as_deref().unwrap_or("service"))
        .bind(retry_of.map(JobId::as_str))
        .bind(i64::from(job.kind == JobKind::Purge))
        .bind(now.0)
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or_else(|| CatalogError::Conflict {
        what: match &job.subject {
            Some(subject) => format!("a {} job of {subject}", job.kind.as_str()),
            None => format!("a {} job", job.kind.as_str()),
        },
        reason: "waits or runs already for this tenant; wait for its end, or cancel it",
    })?;
    row.name("job")
}

/// Jobs that were over long before others are forgotten, but for the one that is tried again.
async fn sweep(connection: &mut Connection, tenant: &TenantId, retried: Option<&JobId>) -> Result<()> {
    sql("DELETE FROM jobs WHERE tenant = $1 AND job <> $4 AND job IN (
             SELECT job FROM jobs WHERE tenant = $1 AND state IN ('succeeded', 'failed', 'cancelled')
             ORDER BY created_at DESC, job DESC LIMIT $2 OFFSET $3)")
    .bind(tenant.as_str())
    .bind(long(SWEPT_AT_ONCE))
    .bind(long(limits::JOBS_KEPT_MAX))
    .bind(retried.map(JobId::as_str).unwrap_or_default())
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the write that made a job.
async fn ended(mut tx: WriteTx, tenant: &TenantId, id: &JobId, mut deed: Deed<Job>) -> Result<Written<Job>> {
    let job = find(tx.connection(), tenant, id).await?.ok_or_else(|| corrupt("a job", id))?;
    deed.draft.objects.push(Object::new("job", id.as_str()));
    deed.done(tx, tenant, job).await
}

/// What a new job is told to do so that it does what an old one did not.
async fn spec_of_retry(connection: &mut Connection, tenant: &TenantId, old: &Job) -> Result<String> {
    let row = sql("SELECT spec FROM jobs WHERE tenant = $1 AND job = $2")
        .bind(tenant.as_str())
        .bind(old.id.as_str())
        .fetch_one(connection)
        .await?;
    let spec = row.text("spec")?;
    // One that broke off has documents that were never tried, too.
    if old.state == JobState::Failed || old.kind == JobKind::Import {
        return Ok(spec);
    }
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&spec).map_err(|_| corrupt("what a job is to do", &old.id))?;
    let rows = sql("SELECT document FROM job_failures WHERE tenant = $1 AND job = $2 ORDER BY document")
        .bind(tenant.as_str())
        .bind(old.id.as_str())
        .fetch_all(connection)
        .await?;
    let only: Result<Vec<String>> = rows.iter().map(|row| row.text("document")).collect();
    fields.insert("only".to_owned(), only?.into());
    Ok(json(&fields))
}

pub(super) async fn find(connection: &mut Connection, tenant: &TenantId, id: &JobId) -> Result<Option<Job>> {
    let row = sql(concat!("SELECT ", job_columns!(), " FROM jobs WHERE tenant = $1 AND job = $2"))
        .bind(tenant.as_str())
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(job_of).transpose()
}

/// The same, and nobody changes it until the transaction ends.
async fn find_to_change(connection: &mut Connection, tenant: &TenantId, id: &JobId) -> Result<Option<Job>> {
    job_runs::hold(connection, tenant, id).await?;
    find(connection, tenant, id).await
}

fn failure_of(row: &Row) -> Result<JobFailure> {
    Ok(JobFailure { document: row.text("document")?, reason: row.text("reason")? })
}

/// The hash that an approval names.
pub(super) fn digest(plan: &str) -> [u8; 32] {
    Sha256::digest(plan.as_bytes()).into()
}

pub(super) fn job_of(row: &Row) -> Result<Job> {
    let (kind, state) = (row.text("kind")?, row.text("state")?);
    let state = JobState::ALL
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| corrupt("a job's state", state))?;
    let count = |done, total| Ok::<_, CatalogError>(Count { done: row.u64(done)?, total: row.u64(total)? });
    let before = |done| Ok::<_, CatalogError>(Count { done: row.u64(done)?, total: 0 });
    let run = match (state, row.time_or_null("claimed_at")?, row.time_or_null("reported_at")?) {
        (JobState::Running, Some(started_at), Some(reported_at)) => Some(Run {
            started_at,
            reported_at,
            before: Tally {
                documents: before("documents_before")?,
                chunks: before("chunks_before")?,
                tokens: before("tokens_before")?,
            },
        }),
        _ => None,
    };
    let approval = match row.text_or_null("plan")? {
        Some(plan) => Some(Approval { plan, digest: row.hash("plan_sha256")? }),
        None => None,
    };
    Ok(Job {
        id: row.name("job")?,
        kind: JobKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| corrupt("a job's kind", kind))?,
        subject: Some(row.text("subject")?).filter(|subject| !subject.is_empty()),
        state,
        tally: Tally {
            documents: count("done", "total")?,
            chunks: count("chunks_done", "chunks_total")?,
            tokens: count("tokens_done", "tokens_total")?,
        },
        run,
        failed_documents: row.u64("failed_documents")?,
        approval,
        ordered_by: row.text("ordered_by")?,
        retry_of: row.name_or_null("retry_of")?,
        note: row.text("note")?,
        created_at: row.time("created_at")?,
        started_at: row.time_or_null("started_at")?,
        finished_at: row.time_or_null("finished_at")?,
        error: row.text_or_null("error")?,
    })
}
