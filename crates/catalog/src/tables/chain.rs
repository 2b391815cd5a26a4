//! Appending to a chain of the record, inside the transaction that is recorded.

use catena_audit::{Chain, Draft, LeafHash, LeafRef, Sealed, seal};
use catena_domain::{Seq, TenantId};
use catena_runtime::clock;

use crate::error::{CatalogError, Result};
use crate::store::{Connection, Row, sql};
use crate::tables::codec::{corrupt, long};

/// A leaf that has its place but is not stored yet.
pub(crate) struct Next<'a> {
    chain: Chain<'a>,
    sealed: Sealed,
    pub(crate) leaf: LeafRef,
}

/// Appends a leaf to a tenant's chain. Refuses when the tenant is gone.
pub(crate) async fn append(connection: &mut Connection, tenant: &TenantId, draft: &Draft) -> Result<LeafRef> {
    let next = next(connection, Chain::Tenant(tenant), draft).await?;
    next.store(connection).await
}

/// Gives a draft its place after the chain's head.
pub(crate) async fn next<'a>(connection: &mut Connection, chain: Chain<'a>, draft: &Draft) -> Result<Next<'a>> {
    let (index, previous) = match head(connection, chain).await? {
        Some(head) => (head.index + 1, head.hash),
        None => (0, LeafHash::GENESIS),
    };
    let sealed = seal(chain, index, clock::now(), &previous, draft);
    let leaf = LeafRef { index, hash: sealed.hash };
    Ok(Next { chain, sealed, leaf })
}

impl Next<'_> {
    /// Stores the leaf and moves the chain's head on to it.
    pub(crate) async fn store(self, connection: &mut Connection) -> Result<LeafRef> {
        let Self { chain, sealed, leaf } = self;
        let insert = match chain {
            Chain::Tenant(tenant) => {
                sql("INSERT INTO audit_outbox (leaf_index, bytes, hash, tenant) VALUES ($1, $2, $3, $4)")
                    .bind(long(leaf.index))
                    .bind(sealed.bytes)
                    .bind(leaf.hash.0.to_vec())
                    .bind(tenant.as_str())
            }
            Chain::Service => sql("INSERT INTO service_outbox (leaf_index, bytes, hash) VALUES ($1, $2, $3)")
                .bind(long(leaf.index))
                .bind(sealed.bytes)
                .bind(leaf.hash.0.to_vec()),
        };
        insert.execute(&mut *connection).await?;
        let update = match chain {
            Chain::Tenant(tenant) => sql("UPDATE tenants SET leaves = $1, head = $2 WHERE tenant = $3")
                .bind(long(leaf.index + 1))
                .bind(leaf.hash.0.to_vec())
                .bind(tenant.as_str()),
            Chain::Service => sql("UPDATE installation SET leaves = $1, head = $2 WHERE one = 1")
                .bind(long(leaf.index + 1))
                .bind(leaf.hash.0.to_vec()),
        };
        update.execute(connection).await?;
        Ok(leaf)
    }
}

/// A chain's last leaf, as its head says.
pub(crate) async fn head(connection: &mut Connection, chain: Chain<'_>) -> Result<Option<LeafRef>> {
    match chain {
        Chain::Tenant(tenant) => {
            let row = sql("SELECT leaves, head FROM tenants WHERE tenant = $1")
                .bind(tenant.as_str())
                .fetch_optional(connection)
                .await?;
            head_of(&row.ok_or_else(|| CatalogError::TenantGone { tenant: tenant.clone() })?)
        }
        Chain::Service => {
            head_of(&sql("SELECT leaves, head FROM installation WHERE one = 1").fetch_one(connection).await?)
        }
    }
}

/// The head in a row with the columns `leaves` and `head`.
pub(crate) fn head_of(row: &Row) -> Result<Option<LeafRef>> {
    match row.u64("leaves")?.checked_sub(1) {
        None => Ok(None),
        Some(index) => {
            let hash = row.hash("head").map_err(|_| corrupt("the head", "a chain of the record"))?;
            Ok(Some(LeafRef { index, hash: LeafHash(hash) }))
        }
    }
}

/// Takes the tenant's next sequence number.
pub(crate) async fn next_seq(connection: &mut Connection, tenant: &TenantId) -> Result<Seq> {
    let row = sql("UPDATE tenants SET seq = seq + 1 WHERE tenant = $1 RETURNING seq")
        .bind(tenant.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(Seq(row.ok_or_else(|| CatalogError::TenantGone { tenant: tenant.clone() })?.u64("seq")?))
}
