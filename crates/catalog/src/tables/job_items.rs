//! What an import is to write, stored with its job until it is written.
//!
//! Promises: an item leaves in the transaction that does it, so that it is done once, whoever is killed when; one that
//! failed stays for a retry, for some days, unless a later one about its document is done. Does not: know what an item
//! holds.

use std::collections::BTreeMap;

use catena_access::Scope;
use catena_domain::{JobId, TenantId, limits};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{JobFailure, JobItem, NewJobItem};
use crate::store::{Connection, in_task, insert_rows, sql};
use crate::tables::codec::{corrupt, long};
use crate::tables::{job_runs, page};

const ZSTD_LEVEL: i32 = 3;
/// Longest item, in bytes: a document and what is said of it.
const ITEM_BYTES_MAX: usize = 2 * limits::DOCUMENT_BODY_BYTES_MAX;
/// What a list of items holds at most, in bytes, but for its first.
const LIST_BYTES_MAX: usize = limits::DOCUMENT_BODY_BYTES_MAX;
/// Jobs whose items one round forgets.
const JOBS_PER_ROUND: i64 = 16;

impl NewJobItem {
    /// The item of this place that is about a document. What is to be done is compressed.
    pub fn pack(item: u64, document: &str, content: &[u8]) -> Result<Self> {
        let invalid = |reason| CatalogError::Invalid { what: "a document of an import", reason };
        if content.len() > ITEM_BYTES_MAX {
            return Err(invalid(format!("is longer than {ITEM_BYTES_MAX} bytes")));
        }
        let zstd = zstd::bulk::compress(content, ZSTD_LEVEL)
            .map_err(|error| invalid(format!("cannot be compressed: {error}")))?;
        Ok(Self { item, document: document.to_owned(), zstd })
    }

    /// What document it is about.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }
}

impl Catalog {
    /// What an import has still to write, from its first line on: at most so many items, and fewer when they are large.
    pub async fn job_items(&self, scope: &Scope, id: &JobId, limit: usize) -> Result<Vec<JobItem>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT item, document, zstd FROM job_items
             WHERE tenant = $1 AND job = $2 AND failed = 0 ORDER BY item LIMIT $3")
        .bind(scope.tenant().as_str())
        .bind(id.as_str())
        .bind(long(page::limit(limit) as u64))
        .fetch_all(&mut tx)
        .await?;
        let (mut items, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            let content = zstd::bulk::decompress(&row.blob("zstd")?, ITEM_BYTES_MAX)
                .map_err(|_| corrupt("what an import is to write", id))?;
            bytes += content.len();
            if bytes > LIST_BYTES_MAX && !items.is_empty() {
                break;
            }
            items.push(JobItem { item: row.u64("item")?, document: row.text("document")?, content });
        }
        Ok(items)
    }

    /// How many items of an import are still to be written.
    pub async fn job_items_left(&self, scope: &Scope, id: &JobId) -> Result<u64> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT count(*) AS items FROM job_items WHERE tenant = $1 AND job = $2 AND failed = 0")
            .bind(scope.tenant().as_str())
            .bind(id.as_str())
            .fetch_one(&mut tx)
            .await?;
        row.u64("items")
    }

    /// Forgets what imports that were over long ago could not write.
    pub async fn sweep_job_items(&self, scope: &Scope) -> Result<()> {
        let (store, tenant) = (self.store.clone(), scope.tenant().clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let before = job_runs::moment(tx.connection()).await?.0 - limits::JOB_ITEMS_KEPT_DAYS * 86_400 * 1_000_000;
            sql("DELETE FROM job_items WHERE tenant = $1 AND job IN (
                     SELECT j.job FROM jobs j
                     WHERE j.tenant = $1 AND j.state IN ('succeeded', 'failed', 'cancelled') AND j.finished_at < $2
                       AND EXISTS (SELECT 1 FROM job_items i WHERE i.tenant = j.tenant AND i.job = j.job)
                     LIMIT $3)")
            .bind(tenant.as_str())
            .bind(before)
            .bind(JOBS_PER_ROUND)
            .execute(tx.connection())
            .await?;
            tx.commit().await
        })
        .await
    }
}

/// Refuses an import beside which the tenant's others would hold too much.
pub(super) async fn require_room(connection: &mut Connection, tenant: &TenantId, items: &[NewJobItem]) -> Result<()> {
    let row = sql("SELECT CAST(coalesce(sum(items_bytes), 0) AS BIGINT) AS bytes FROM jobs
         WHERE tenant = $1 AND state IN ('queued', 'running', 'paused', 'held')")
    .bind(tenant.as_str())
    .fetch_one(connection)
    .await?;
    let bytes = bytes_of(items);
    if bytes > 0 && row.u64("bytes")? + bytes > limits::IMPORTS_WAITING_BYTES_MAX {
        return Err(CatalogError::Busy { what: "the tenant's room for imports that wait" });
    }
    Ok(())
}

fn bytes_of(items: &[NewJobItem]) -> u64 {
    items.iter().map(|item| (item.document.len() + item.zstd.len()) as u64).sum()
}

pub(super) async fn write(
    connection: &mut Connection,
    tenant: &TenantId,
    id: &JobId,
    items: &[NewJobItem],
) -> Result<()> {
    let into = "INSERT INTO job_items (tenant, job, item, document, zstd)";
    insert_rows(connection, into, &[tenant.as_str().into(), id.as_str().into()], items, |item| {
        [long(item.item).into(), item.document.as_str().into(), item.zstd.as_slice().into()]
    })
    .await?;
    sql("UPDATE jobs SET items_bytes = $3 WHERE tenant = $1 AND job = $2")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(long(bytes_of(items)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes what is known from the beginning not to be writable: each document once, with all its reasons, and beyond a number
/// counted alone.
pub(super) async fn refuse(
    connection: &mut Connection,
    tenant: &TenantId,
    id: &JobId,
    failures: Vec<JobFailure>,
) -> Result<()> {
    let mut by_document: BTreeMap<String, String> = BTreeMap::new();
    for JobFailure { document, reason } in failures {
        let reasons = by_document.entry(job_runs::cut(&document)).or_default();
        if !reasons.is_empty() {
            reasons.push_str("; ");
        }
        reasons.push_str(&reason);
        *reasons = job_runs::cut(reasons);
    }
    let failures = by_document;
    let listed: Vec<_> =
        failures.iter().take(usize::try_from(limits::JOB_FAILURES_MAX).unwrap_or(usize::MAX)).collect();
    let into = "INSERT INTO job_failures (tenant, job, document, reason)";
    let common = [tenant.as_str().into(), id.as_str().into()];
    let row = |(document, reason): &(&String, &String)| [document.as_str().into(), reason.as_str().into()];
    insert_rows(connection, into, &common, &listed, row).await?;
    sql("UPDATE jobs SET failed_documents = $3 WHERE tenant = $1 AND job = $2")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(long(failures.len() as u64))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes an item off the list, and with it those before it that failed of the same document: tried again, they would put
/// what is older in the place of what was done now.
pub(super) async fn done(connection: &mut Connection, tenant: &TenantId, id: &JobId, item: u64) -> Result<()> {
    let row = sql("DELETE FROM job_items WHERE tenant = $1 AND job = $2 AND item = $3 RETURNING document")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(long(item))
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(()) };
    let document = row.text("document")?;
    let overtaken =
        sql("DELETE FROM job_items WHERE tenant = $1 AND job = $2 AND failed = 1 AND document = $3 AND item < $4")
            .bind(tenant.as_str())
            .bind(id.as_str())
            .bind(document.as_str())
            .bind(long(item))
            .execute(&mut *connection)
            .await?;
    if overtaken == 0 {
        return Ok(());
    }
    let known = sql("SELECT reason FROM job_failures WHERE tenant = $1 AND job = $2 AND document = $3")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(document.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(known) = known else { return Ok(()) };
    let reason = format!("{}; line {item} was done after it, so it is not tried again", known.text("reason")?);
    sql("UPDATE job_failures SET reason = $4 WHERE tenant = $1 AND job = $2 AND document = $3")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(document)
        .bind(job_runs::cut(&reason))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn set_failed(connection: &mut Connection, tenant: &TenantId, id: &JobId, item: u64) -> Result<()> {
    sql("UPDATE job_items SET failed = 1 WHERE tenant = $1 AND job = $2 AND item = $3")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .bind(long(item))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn count(connection: &mut Connection, tenant: &TenantId, id: &JobId) -> Result<u64> {
    let row = sql("SELECT count(*) AS items FROM job_items WHERE tenant = $1 AND job = $2")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .fetch_one(connection)
        .await?;
    row.u64("items")
}

/// Gives what is left of one job to another, to be tried.
pub(super) async fn hand_on(connection: &mut Connection, tenant: &TenantId, from: &JobId, to: &JobId) -> Result<()> {
    sql("UPDATE job_items SET job = $3, failed = 0 WHERE tenant = $1 AND job = $2")
        .bind(tenant.as_str())
        .bind(from.as_str())
        .bind(to.as_str())
        .execute(&mut *connection)
        .await?;
    sql("UPDATE jobs SET items_bytes = (SELECT coalesce(sum(length(i.zstd)), 0) FROM job_items i
                                        WHERE i.tenant = $1 AND i.job = $2)
         WHERE tenant = $1 AND job = $2")
    .bind(tenant.as_str())
    .bind(to.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes what a job will not write any more.
pub(super) async fn forget(connection: &mut Connection, tenant: &TenantId, id: &JobId) -> Result<()> {
    sql("DELETE FROM job_items WHERE tenant = $1 AND job = $2")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
