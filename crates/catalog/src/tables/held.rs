//! What a tenant holds, counted in the transaction that changes it.
//!
//! Promises: whoever asks [`of`] before a change of one document and [`settle`]s after it leaves the tenant's counters
//! equal to what the tables hold, and does not take the tenant over its quotas. Every change of whether a document is
//! live, of its current version, or of that version's chunks is made between the two. Does not: guess from the change
//! what it did; it looks.

use catena_domain::{DocNo, TenantId};

use crate::error::{CatalogError, Result};
use crate::model::{Exceeded, Held, Quotas, Spending};
use crate::store::{Connection, sql};
use crate::tables::codec::long;
use crate::tables::tenants::held_of;

/// What the tenant holds in one document: nothing, when the document is deleted.
pub(crate) async fn of(connection: &mut Connection, tenant: &TenantId, doc: DocNo) -> Result<Held> {
    let row = sql("SELECT CAST(1 AS BIGINT) AS documents, v.text_bytes, (
                    SELECT coalesce(max(k.chunks), 0) FROM chunkings k
                    WHERE k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version) AS chunks
         FROM documents d
         JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
         WHERE d.tenant = $1 AND d.doc = $2 AND d.live = 1")
    .bind(tenant.as_str())
    .bind(doc.0)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map_or(Ok(Held::default()), held_of)
}

/// Brings the tenant's counters up to what became of a document of which it held `before`. Within the quota, a change
/// that takes one of them over its limit is refused; one that makes less of it never is.
pub(crate) async fn settle(
    connection: &mut Connection,
    tenant: &TenantId,
    doc: DocNo,
    before: Held,
    spending: Spending,
) -> Result<()> {
    let after = of(connection, tenant, doc).await?;
    if after == before {
        return Ok(());
    }
    let more = |after: u64, before: u64| long(after) - long(before);
    let row = sql("UPDATE tenants
         SET documents = documents + $2, text_bytes = text_bytes + $3, chunks = chunks + $4
         WHERE tenant = $1 RETURNING documents, text_bytes, chunks, quotas")
    .bind(tenant.as_str())
    .bind(more(after.documents, before.documents))
    .bind(more(after.text_bytes, before.text_bytes))
    .bind(more(after.chunks, before.chunks))
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or_else(|| CatalogError::TenantGone { tenant: tenant.clone() })?;
    match spending {
        Spending::WithinQuota => require(&row.json("quotas")?, before, after, held_of(&row)?),
        Spending::Regardless => Ok(()),
    }
}

/// Whether what grew stays within its quota.
fn require(quotas: &Quotas, before: Held, after: Held, total: Held) -> Result<()> {
    let grown = before.amounts().into_iter().zip(after.amounts()).zip(total.amounts());
    for (((quota, before), (_, after)), (_, total)) in grown {
        let wanted = after.saturating_sub(before);
        if let Some(limit) = quotas.limit(quota).filter(|&limit| wanted > 0 && total > limit) {
            let used = total.saturating_sub(wanted);
            return Err(CatalogError::QuotaExceeded(Exceeded { quota, limit, used, wanted, retry_after_s: None }));
        }
    }
    Ok(())
}
