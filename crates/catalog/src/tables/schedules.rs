//! When sources are looked at by themselves.
//!
//! Promises: what is due is given to one claimant. Does not: know what a schedule says; whoever claims works out the next
//! time.

use catena_access::Scope;
use catena_domain::{SourceName, TenantId, Timestamp};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::Result;
use crate::store::{Connection, Reach, in_task, sql, sql_of};
use crate::tables::codec::long;
use crate::tables::sources::find;

impl Catalog {
    /// Takes a source whose time has come, of whichever tenant, and puts its next time off until `then`, which its
    /// claimant corrects. Of many that ask at once, one gets it.
    pub async fn claim_due_source(&self, then: Timestamp) -> Result<Option<(TenantId, SourceName)>> {
        let store = self.store.clone();
        in_task(async move {
            let mut tx = store.write(Reach::Installation).await?;
            let row = sql_of(
                "UPDATE source_schedules SET next_at = $2 WHERE (tenant, source) IN (
                     SELECT tenant, source FROM source_schedules WHERE next_at <= $1
                       AND tenant IN (SELECT tenant FROM tenants WHERE state = 'active')
                     ORDER BY next_at, tenant, source LIMIT 1)
                 RETURNING tenant, source",
                // Materialized, so that it is asked once.
                "WITH due AS MATERIALIZED (
                     SELECT tenant, source FROM source_schedules WHERE next_at <= $1
                       AND tenant IN (SELECT tenant FROM tenants WHERE state = 'active')
                     ORDER BY next_at, tenant, source LIMIT 1 FOR UPDATE SKIP LOCKED)
                 UPDATE source_schedules SET next_at = $2 WHERE (tenant, source) IN (SELECT tenant, source FROM due)
                 RETURNING tenant, source",
            )
            .bind(clock::now().0)
            .bind(then.0)
            .fetch_optional(tx.connection())
            .await?;
            let Some(row) = row else { return Ok(None) };
            tx.commit().await?;
            Ok(Some((row.name("tenant")?, row.name("source")?)))
        })
        .await
    }

    /// Every source that is looked at by itself, of whichever tenant, at most so many.
    pub async fn scheduled_sources(&self, limit: usize) -> Result<Vec<(TenantId, SourceName)>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let rows = sql("SELECT tenant, source FROM source_schedules
             WHERE tenant IN (SELECT tenant FROM tenants WHERE state = 'active') ORDER BY tenant, source LIMIT $1")
        .bind(long(limit as u64))
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(|row| Ok((row.name("tenant")?, row.name("source")?))).collect()
    }

    /// Says when a source is looked at next; never by itself without a time.
    pub async fn schedule_source(&self, scope: &Scope, name: &SourceName, next_at: Option<Timestamp>) -> Result<()> {
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            if find(tx.connection(), &tenant, &name).await?.is_some() {
                schedule(tx.connection(), &tenant, &name, next_at).await?;
            }
            tx.commit().await
        })
        .await
    }
}

pub(crate) async fn schedule(
    connection: &mut Connection,
    tenant: &TenantId,
    name: &SourceName,
    next_at: Option<Timestamp>,
) -> Result<()> {
    let statement = match next_at {
        Some(next_at) => sql("INSERT INTO source_schedules (tenant, source, next_at) VALUES ($1, $2, $3)
             ON CONFLICT (tenant, source) DO UPDATE SET next_at = excluded.next_at")
        .bind(tenant.as_str())
        .bind(name.as_str())
        .bind(next_at.0),
        None => sql("DELETE FROM source_schedules WHERE tenant = $1 AND source = $2")
            .bind(tenant.as_str())
            .bind(name.as_str()),
    };
    statement.execute(connection).await?;
    Ok(())
}
