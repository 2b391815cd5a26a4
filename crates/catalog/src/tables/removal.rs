//! Removing a tenant: marked in one transaction, emptied in many small ones, ended in one.
//!
//! Promises: from the mark on nothing is written for the tenant but its record; each step is a transaction of bounded
//! size, so that others are not held up; a removal that was cut off goes on from where it was; at the end the tenant's
//! id, its state and its record are left, and how many rows of each table there were. Does not: touch the index.

use std::collections::BTreeMap;

use catena_access::Operator;
use catena_audit::{Draft, Object};
use catena_domain::TenantId;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Tenant, TenantState, Written};
use crate::store::{Connection, Reach, in_task, sql};
use crate::tables::codec::json;
use crate::tables::{chain, tenants};

/// Most rows that one step removes.
const ROWS_PER_STEP: i64 = 500;

/// A table that holds a tenant's data.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Removes some of its rows.
    delete: &'static str,
}

/// A table by its name and its key.
macro_rules! table {
    ($name:literal, $key:literal) => {
        Table {
            name: $name,
            delete: concat!(
                "DELETE FROM ",
                $name,
                " WHERE (",
                $key,
                ") IN (SELECT ",
                $key,
                " FROM ",
                $name,
                " WHERE tenant = $1 LIMIT $2)"
            ),
        }
    };
}

/// Every table that has a tenant, but for the tenants and their record: what refers to others stands before them. Keys
/// go first, so that nobody comes in any more, whatever else is left.
pub(crate) const TABLES: [Table; 26] = [
    table!("api_keys", "tenant, key"),
    table!("group_members", "tenant, group_name, user_name"),
    table!("group_nesting", "tenant, group_name, member_group"),
    table!("groups", "tenant, group_name"),
    table!("labels", "tenant, label"),
    table!("answers", "tenant, place"),
    table!("source_schedules", "tenant, source"),
    table!("source_items", "tenant, source, document"),
    table!("sources", "tenant, source"),
    table!("purges", "tenant, doc"),
    table!("job_items", "tenant, job, item"),
    table!("job_failures", "tenant, job, document"),
    table!("jobs", "tenant, job"),
    table!("generations", "tenant, generation"),
    table!("contexts", "tenant, context"),
    table!("chunks", "tenant, doc, version, recipe, chunk"),
    table!("chunkings", "tenant, doc, version, recipe"),
    table!("embeddings", "tenant, recipe, hash"),
    table!("quarantine", "tenant, document"),
    table!("screenings", "tenant, doc, version"),
    table!("version_text", "tenant, doc, version, start_byte"),
    table!("version_places", "tenant, doc, version, start_byte"),
    table!("versions", "tenant, doc, version"),
    table!("documents", "tenant, doc"),
    table!("acls", "tenant, acl"),
    table!("usage", "tenant, day, kind"),
];

/// How far a removal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// There may be more to remove.
    More,
    /// Nothing is left but what stays.
    Emptied,
}

impl Catalog {
    /// Marks a tenant as being removed; `None` when there is no such tenant. From here on nothing answers for it, and its
    /// name and its secret are gone. A tenant that is gone already stays as it is.
    pub async fn delete_tenant(
        &self,
        operator: &Operator,
        id: &TenantId,
        mut draft: Draft,
    ) -> Result<Option<Written<Tenant>>> {
        draft.actor.get_or_insert_with(|| operator.actor().to_string());
        let (store, id) = (self.store.clone(), id.clone());
        in_task(async move {
            let mut tx = store.write(Reach::Remains(&id)).await?;
            sql("UPDATE tenants SET state = 'deleting', name = tenant, secret = $2, firewall = '{}', chunking = '{}'
                 WHERE tenant = $1 AND state <> 'deleted'")
            .bind(id.as_str())
            .bind(vec![0; 32])
            .execute(tx.connection())
            .await?;
            let Some(value) = tenants::find(tx.connection(), &id).await? else { return Ok(None) };
            draft.objects.push(Object::new("tenant", id.as_str()));
            let leaf = chain::append(tx.connection(), &id, &draft).await?;
            tx.commit().await?;
            Ok(Some(Written { value, leaf }))
        })
        .await
    }

    /// Tenants whose removal was begun and not ended.
    pub async fn tenants_to_remove(&self) -> Result<Vec<TenantId>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let rows =
            sql("SELECT tenant FROM tenants WHERE state = 'deleting' ORDER BY tenant").fetch_all(&mut tx).await?;
        rows.iter().map(|row| row.name("tenant")).collect()
    }

    /// Takes the next step of a removal that was begun.
    pub async fn remove_some(&self, id: &TenantId) -> Result<Removal> {
        let (store, id) = (self.store.clone(), id.clone());
        in_task(async move {
            let mut tx = store.write(Reach::Remains(&id)).await?;
            let mut removed = under_way(tx.connection(), &id).await?;
            for Table { name, delete } in TABLES {
                let rows = sql(delete).bind(id.as_str()).bind(ROWS_PER_STEP).execute(tx.connection()).await?;
                if rows > 0 {
                    *removed.entry(name.to_owned()).or_default() += rows;
                    sql("UPDATE tenants SET removed = $2 WHERE tenant = $1")
                        .bind(id.as_str())
                        .bind(json(&removed))
                        .execute(tx.connection())
                        .await?;
                    tx.commit().await?;
                    return Ok(Removal::More);
                }
            }
            Ok(Removal::Emptied)
        })
        .await
    }

    /// Ends the removal of a tenant of which nothing is left, also not in the log beside the database's file.
    pub async fn finish_removal(&self, id: &TenantId, mut draft: Draft) -> Result<()> {
        let (store, id) = (self.store.clone(), id.clone());
        in_task(async move {
            store.empty_log().await?;
            let mut tx = store.write(Reach::Remains(&id)).await?;
            let removed = under_way(tx.connection(), &id).await?;
            sql("UPDATE tenants SET state = 'deleted', quotas = '{}', documents = 0, text_bytes = 0, chunks = 0
                 WHERE tenant = $1")
            .bind(id.as_str())
            .execute(tx.connection())
            .await?;
            draft.objects.push(Object::new("tenant", id.as_str()));
            let counts = removed.iter().map(|(table, rows)| Object::new("removed", format!("{table}={rows}")));
            draft.objects.extend(counts);
            chain::append(tx.connection(), &id, &draft).await?;
            tx.commit().await
        })
        .await
    }
}

/// What a removal took so far. Refused where none is under way.
async fn under_way(connection: &mut Connection, id: &TenantId) -> Result<BTreeMap<String, u64>> {
    let found = tenants::find(connection, id).await?.filter(|tenant| tenant.state == TenantState::Deleting);
    let reason = "is not being removed; ask for its deletion first";
    Ok(found.ok_or_else(|| CatalogError::Conflict { what: format!("tenant {id}"), reason })?.removed)
}
