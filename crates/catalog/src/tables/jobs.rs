//! The queue of background work. A worker holds a job by a lease; the number of its claim fences off whoever held it
//! before.

use std::time::Duration;

use catena_access::Scope;
use catena_audit::{Draft, Object};
use catena_domain::{JobId, TenantId, Timestamp, limits};
use catena_runtime::{clock, random};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Deed, Job, JobControl, JobEnd, JobKind, JobState, Lease, TenantState, Written};
use crate::store::{Connection, Reach, Row, in_task, sql, sql_of};
use crate::tables::codec::{corrupt, long};
use crate::tables::{chain, page, tenants};

/// How long a worker may be silent before another may take its job.
const LEASE: Duration = Duration::from_secs(60);

impl Catalog {
    /// Asks for background work. Refused while work of the kind waits or runs for the tenant.
    pub async fn enqueue_job(&self, scope: &Scope, kind: JobKind, deed: impl Into<Deed<Job>>) -> Result<Written<Job>> {
        let (store, tenant, mut deed) = (self.store.clone(), scope.tenant().clone(), deed.into());
        in_task(async move {
            let id = random::identifier().map_err(CatalogError::chance)?;
            let mut tx = store.write(&tenant).await?;
            deed.draft.objects.push(Object::new("job", id.as_str()));
            tenants::seq(tx.connection(), &tenant).await?;
            let row = sql("INSERT INTO jobs (tenant, job, kind, state, created_at) VALUES ($1, $2, $3, 'queued', $4)
                 ON CONFLICT DO NOTHING
                 RETURNING job, kind, state, done, total, note, error, created_at, started_at, finished_at")
            .bind(tenant.as_str())
            .bind(id)
            .bind(kind.as_str())
            .bind(clock::now().0)
            .fetch_optional(tx.connection())
            .await?;
            let value = job_of(&row.ok_or_else(|| CatalogError::Conflict {
                what: format!("a {} job", kind.as_str()),
                reason: "waits or runs already for this tenant; wait for its end, or cancel it",
            })?)?;
            deed.done(tx, &tenant, value).await
        })
        .await
    }

    /// Takes the job that has waited longest, of whichever tenant is served, for the service's own workers.
    pub async fn claim_job(&self) -> Result<Option<(TenantId, Job, Lease)>> {
        let store = self.store.clone();
        in_task(async move {
            let now = clock::now();
            let until = lease_from(now);
            let mut tx = store.write(Reach::Installation).await?;
            let row = sql_of(
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_until = $2,
                                 started_at = coalesce(started_at, $1)
                 WHERE (tenant, job) IN (
                     SELECT tenant, job FROM jobs
                     WHERE state IN ('queued', 'running') AND (state = 'queued' OR lease_until < $1)
                       AND tenant IN (SELECT tenant FROM tenants WHERE state = 'active')
                     ORDER BY created_at, tenant, job LIMIT 1)
                 RETURNING tenant, attempt, job, kind, state, done, total, note, error, created_at, started_at,
                           finished_at",
                // Materialized, so that it is asked once. Asked again for another row, as some plans do, it would pass over
                // the job that this very statement has taken, and take the next one too.
                "WITH next AS MATERIALIZED (
                     SELECT tenant, job FROM jobs
                     WHERE state IN ('queued', 'running') AND (state = 'queued' OR lease_until < $1)
                       AND tenant IN (SELECT tenant FROM tenants WHERE state = 'active')
                     ORDER BY created_at, tenant, job LIMIT 1 FOR UPDATE SKIP LOCKED)
                 UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_until = $2,
                                 started_at = coalesce(started_at, $1)
                 WHERE (tenant, job) IN (SELECT tenant, job FROM next)
                 RETURNING tenant, attempt, job, kind, state, done, total, note, error, created_at, started_at,
                           finished_at",
            )
            .bind(now.0)
            .bind(until.0)
            .fetch_optional(tx.connection())
            .await?;
            let Some(row) = row else { return Ok(None) };
            tx.commit().await?;
            Ok(Some((row.name("tenant")?, job_of(&row)?, Lease { attempt: row.u32("attempt")?, until })))
        })
        .await
    }

    /// Says how far a job is, keeps its lease, and learns whether to go on.
    pub async fn progress_job(
        &self,
        scope: &Scope,
        id: &JobId,
        lease: &Lease,
        done: u64,
        total: u64,
        note: &str,
    ) -> Result<JobControl> {
        let (store, tenant, id, attempt) = (self.store.clone(), scope.tenant().clone(), id.clone(), lease.attempt);
        let note = cut(note);
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let row = sql("UPDATE jobs SET done = $4, total = $5, note = $6, lease_until = $7
                 WHERE tenant = $1 AND job = $2 AND attempt = $3 AND state = 'running'
                 RETURNING cancel_requested, (SELECT state FROM tenants WHERE tenant = $1) AS tenant_state")
            .bind(tenant.as_str())
            .bind(id.as_str())
            .bind(attempt)
            .bind(long(done))
            .bind(long(total))
            .bind(note)
            .bind(lease_from(clock::now()).0)
            .fetch_optional(tx.connection())
            .await?;
            let row = row.ok_or_else(|| CatalogError::LeaseLost { job: id.to_string() })?;
            let control = match (row.flag("cancel_requested")?, tenants::state_of(&row, "tenant_state")?) {
                (true, _) => JobControl::Cancel,
                (false, TenantState::Active) => JobControl::Continue,
                (false, _) => JobControl::Wait,
            };
            tx.commit().await?;
            Ok(control)
        })
        .await
    }

    /// Ends a job. Refused when the lease is lost.
    pub async fn finish_job(&self, scope: &Scope, id: &JobId, lease: &Lease, end: JobEnd) -> Result<()> {
        let (store, tenant, id, attempt) = (self.store.clone(), scope.tenant().clone(), id.clone(), lease.attempt);
        in_task(async move {
            let (state, error) = match end {
                JobEnd::Succeeded => (JobState::Succeeded, None),
                JobEnd::Failed(reason) => (JobState::Failed, Some(cut(&reason))),
                JobEnd::Cancelled => (JobState::Cancelled, None),
                JobEnd::Deferred => (JobState::Queued, None),
            };
            let finished_at = state.is_over().then(|| clock::now().0);
            let mut tx = store.write(&tenant).await?;
            let done = sql("UPDATE jobs SET state = $4, error = $5, finished_at = $6, lease_until = NULL
                 WHERE tenant = $1 AND job = $2 AND attempt = $3 AND state = 'running'")
            .bind(tenant.as_str())
            .bind(id.as_str())
            .bind(attempt)
            .bind(state.as_str())
            .bind(error)
            .bind(finished_at)
            .execute(tx.connection())
            .await?;
            if done == 0 {
                return Err(CatalogError::LeaseLost { job: id.to_string() });
            }
            tx.commit().await
        })
        .await
    }

    /// Cancels a job: at once when it waits, at its next report when it runs. `None` when there is no such job.
    pub async fn cancel_job(&self, scope: &Scope, id: &JobId, mut draft: Draft) -> Result<Option<Written<Job>>> {
        let (store, tenant, id) = (self.store.clone(), scope.tenant().clone(), id.clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let Some(job) = find(tx.connection(), &tenant, &id).await? else { return Ok(None) };
            if job.state.is_over() {
                return Err(CatalogError::Conflict { what: format!("job {id}"), reason: "is over already" });
            }
            sql("UPDATE jobs SET cancel_requested = 1,
                     finished_at = CASE state WHEN 'queued' THEN $3 ELSE finished_at END,
                     state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END
                 WHERE tenant = $1 AND job = $2")
            .bind(tenant.as_str())
            .bind(id.as_str())
            .bind(clock::now().0)
            .execute(tx.connection())
            .await?;
            draft.objects.push(Object::new("job", id.as_str()));
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
        let mut tx = self.store.read(scope).await?;
        let rows =
            sql("SELECT job, kind, state, done, total, note, error, created_at, started_at, finished_at FROM jobs
             WHERE tenant = $1 ORDER BY created_at DESC, job DESC LIMIT $2")
            .bind(scope.tenant().as_str())
            .bind(long(page::limit(limit) as u64))
            .fetch_all(&mut tx)
            .await?;
        rows.iter().map(job_of).collect()
    }

    /// Takes every job back from its worker, at the start of the process that alone runs jobs here: whoever held one is
    /// gone. A job that was to be cancelled is.
    pub async fn release_leases(&self) -> Result<()> {
        let store = self.store.clone();
        in_task(async move {
            let mut tx = store.write(Reach::Installation).await?;
            sql("UPDATE jobs SET lease_until = NULL,
                     finished_at = CASE cancel_requested WHEN 1 THEN $1 ELSE NULL END,
                     state = CASE cancel_requested WHEN 1 THEN 'cancelled' ELSE 'queued' END
                 WHERE state = 'running'")
            .bind(clock::now().0)
            .execute(tx.connection())
            .await?;
            tx.commit().await
        })
        .await
    }
}

fn lease_from(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX)))
}

/// Notes and reasons are for people; nobody reads a long one.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(limits::ATTRIBUTE_BYTES_MAX)].to_owned()
}

async fn find(connection: &mut Connection, tenant: &TenantId, id: &JobId) -> Result<Option<Job>> {
    let row = sql("SELECT job, kind, state, done, total, note, error, created_at, started_at, finished_at FROM jobs
         WHERE tenant = $1 AND job = $2")
    .bind(tenant.as_str())
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(job_of).transpose()
}

fn job_of(row: &Row) -> Result<Job> {
    let (kind, state) = (row.text("kind")?, row.text("state")?);
    let states = [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];
    Ok(Job {
        id: row.name("job")?,
        kind: [JobKind::Reindex]
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| corrupt("a job's kind", kind))?,
        state: states
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| corrupt("a job's state", state))?,
        done: row.u64("done")?,
        total: row.u64("total")?,
        note: row.text("note")?,
        created_at: row.time("created_at")?,
        started_at: row.time_or_null("started_at")?,
        finished_at: row.time_or_null("finished_at")?,
        error: row.text_or_null("error")?,
    })
}
