//! Requests that their caller named: each is done once, and its answer is kept for a while.
//!
//! Promises: the answer is in the transaction of the write that it answers, so either both are there or neither; a
//! second write under the same name does not take place. A tenant keeps a bounded number of answers: beyond it the
//! oldest goes, because refusing would stop a tenant that names all its writes, and a request is sent again soon or not
//! at all. Does not: keep refusals, so that they can be mended and sent again under the same name.

use catena_access::Scope;
use catena_domain::{KeyId, RequestKey, TenantId, limits};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Deed, KeptAnswer, Once, Written};
use crate::store::{Connection, WriteTx, in_task, sql};
use crate::tables::codec::long;
use crate::tables::{chain, job_runs};

/// Answers that one write sweeps away at most; it adds one.
const SWEPT_BESIDE_A_WRITE: u64 = 16;
/// Answers that one transaction of the sweep removes at most.
const SWEPT_AT_ONCE: u64 = 1_000;
/// How long an answer is kept, in microseconds.
const KEPT_MICROS: i64 = limits::ANSWERS_KEPT_HOURS * 3_600 * 1_000_000;

impl Catalog {
    /// The door's look-up: what was answered to the request of this name by this key, as long as that is kept.
    pub async fn kept_answer(&self, tenant: &TenantId, holder: &KeyId, key: &RequestKey) -> Result<Option<KeptAnswer>> {
        let mut tx = self.store.read(tenant).await?;
        let row = sql("SELECT request_sha256, answer FROM answers
             WHERE tenant = $1 AND holder = $2 AND key = $3 AND kept_at > $4")
        .bind(tenant.as_str())
        .bind(holder.as_str())
        .bind(key.as_str())
        .bind(oldest())
        .fetch_optional(&mut tx)
        .await?;
        row.map(|row| Ok(KeptAnswer { request_sha256: row.hash("request_sha256")?, answer: row.text("answer")? }))
            .transpose()
    }

    /// Removes answers of the tenant that have been kept long enough; says whether there may be more.
    pub async fn sweep_answers(&self, scope: &Scope) -> Result<bool> {
        let (store, tenant) = (self.store.clone(), scope.tenant().clone());
        let due = sql("SELECT 1 FROM answers WHERE tenant = $1 AND kept_at <= $2
                         AND place = (SELECT min(a.place) FROM answers a WHERE a.tenant = $1)")
        .bind(tenant.as_str())
        .bind(oldest())
        .fetch_optional(&mut self.store.read(scope).await?)
        .await?;
        if due.is_none() {
            return Ok(false);
        }
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let swept = sweep(tx.connection(), &tenant, SWEPT_AT_ONCE).await?;
            tx.commit().await?;
            Ok(swept == SWEPT_AT_ONCE)
        })
        .await
    }
}

impl<T> Deed<T> {
    /// Ends a write: refuses it where it belongs to a job that another worker has, appends its leaf, keeps its answer if the request has a name, and commits.
    pub(crate) async fn done(self, mut tx: WriteTx, tenant: &TenantId, value: T) -> Result<Written<T>> {
        if let Some(fence) = &self.fence {
            job_runs::require_held(tx.connection(), tenant, fence).await?;
        }
        let leaf = chain::append(tx.connection(), tenant, &self.draft).await?;
        if let Some(once) = &self.once {
            keep(tx.connection(), tenant, once, &value).await?;
        }
        tx.commit().await?;
        Ok(Written { value, leaf })
    }
}

/// When what is kept now was kept at the earliest.
fn oldest() -> i64 {
    clock::now().0.saturating_sub(KEPT_MICROS)
}

async fn keep<T>(connection: &mut Connection, tenant: &TenantId, once: &Once<T>, value: &T) -> Result<()> {
    sweep(connection, tenant, SWEPT_BESIDE_A_WRITE).await?;
    sql("DELETE FROM answers WHERE tenant = $1 AND holder = $2 AND key = $3 AND kept_at <= $4")
        .bind(tenant.as_str())
        .bind(once.holder.as_str())
        .bind(once.key.as_str())
        .bind(oldest())
        .execute(&mut *connection)
        .await?;
    let kept = sql("INSERT INTO answers (tenant, place, holder, key, request_sha256, kept_at, answer)
         VALUES ($1, (SELECT coalesce(max(a.place), 0) + 1 FROM answers a WHERE a.tenant = $1), $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, holder, key) DO NOTHING RETURNING place")
    .bind(tenant.as_str())
    .bind(once.holder.as_str())
    .bind(once.key.as_str())
    .bind(once.request_sha256.to_vec())
    .bind(clock::now().0)
    .bind((once.answer)(value))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(kept) = kept else { return Err(CatalogError::Repeated) };
    sql("DELETE FROM answers WHERE tenant = $1 AND place <= $2")
        .bind(tenant.as_str())
        .bind(kept.long("place")? - long(limits::ANSWERS_KEPT_MAX))
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes what is too old among the tenant's `most` oldest answers; how many those were.
async fn sweep(connection: &mut Connection, tenant: &TenantId, most: u64) -> Result<u64> {
    sql("DELETE FROM answers WHERE tenant = $1 AND kept_at <= $2
           AND place IN (SELECT place FROM answers WHERE tenant = $1 ORDER BY place LIMIT $3)")
    .bind(tenant.as_str())
    .bind(oldest())
    .bind(long(most))
    .execute(connection)
    .await
}
