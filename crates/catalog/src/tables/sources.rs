//! Sources: how they are described, and what is known of their documents.
//!
//! Promises: a change of a source and its leaf are one transaction; whoever ends a look, or writes down what it found,
//! is refused once a later look was begun; a job whose worker lost it begins none. Does not: open what is sealed, read what
//! a description says, or show credentials to anybody.

use catena_access::Scope;
use catena_audit::Object;
use catena_domain::{DocumentId, SourceName, TenantId};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{
    Deed, Fence, ItemChanges, ItemState, Page, SealedCredentials, SourceDescription, SourceItem, SourceRow,
    SourceState, Written,
};
use crate::store::{Connection, Row, in_task, sql};
use crate::tables::codec::{acl_text, corrupt, json, long};
use crate::tables::page::{self, Items as _};
use crate::tables::schedules::schedule;
use crate::tables::{job_runs, tenants};

/// Most sources of a tenant.
const SOURCES_MAX: u64 = 1_000;
/// Rows that one step of a source's removal takes away.
const ITEMS_PER_STEP: i64 = 5_000;
/// Documents of a source that are read at once.
const ITEMS_PER_READ: i64 = 5_000;

impl Catalog {
    /// Makes a source. Refused when there is one of that name.
    pub async fn create_source(
        &self,
        scope: &Scope,
        name: &SourceName,
        description: SourceDescription,
        deed: impl Into<Deed<SourceRow>>,
    ) -> Result<Written<SourceRow>> {
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        let mut deed = deed.into();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            tenants::seq(tx.connection(), &tenant).await?;
            require_room(tx.connection(), &tenant).await?;
            let made =
                sql("INSERT INTO sources (tenant, source, spec, credentials, credential_names, schedule, guards,
                                                 state, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant, source) DO NOTHING")
                .bind(tenant.as_str())
                .bind(name.as_str())
                .bind(description.spec.as_str())
                .bind(description.credentials.sealed.clone())
                .bind(json(&description.credentials.names))
                .bind(description.schedule.as_deref())
                .bind(description.guards.as_str())
                .bind(description.state.as_str())
                .bind(clock::now().0)
                .execute(tx.connection())
                .await?;
            if made == 0 {
                let reason = "exists already; change it, or choose another name";
                return Err(CatalogError::Conflict { what: format!("source {name}"), reason });
            }
            schedule(tx.connection(), &tenant, &name, description.next_at).await?;
            let value = find(tx.connection(), &tenant, &name).await?.ok_or_else(|| corrupt("a source", &name))?;
            deed.draft.objects.push(Object::new("source", name.as_str()));
            deed.done(tx, &tenant, value).await
        })
        .await
    }

    /// Describes a source in place of how it was; `None` when there is none. Described as something else, it is read
    /// anew: every document's tag and the cursor are forgotten.
    pub async fn describe_source(
        &self,
        scope: &Scope,
        name: &SourceName,
        description: SourceDescription,
        deed: impl Into<Deed<SourceRow>>,
    ) -> Result<Option<Written<SourceRow>>> {
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        let mut deed = deed.into();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let Some(before) = find(tx.connection(), &tenant, &name).await? else { return Ok(None) };
            sql("UPDATE sources SET spec = $3, credentials = $4, credential_names = $5, schedule = $6, guards = $7,
                                    state = $8 WHERE tenant = $1 AND source = $2")
            .bind(tenant.as_str())
            .bind(name.as_str())
            .bind(description.spec.as_str())
            .bind(description.credentials.sealed.clone())
            .bind(json(&description.credentials.names))
            .bind(description.schedule.as_deref())
            .bind(description.guards.as_str())
            .bind(description.state.as_str())
            .execute(tx.connection())
            .await?;
            if before.description.spec != description.spec {
                forget(tx.connection(), &tenant, &name).await?;
            }
            schedule(tx.connection(), &tenant, &name, description.next_at).await?;
            let value = find(tx.connection(), &tenant, &name).await?.unwrap_or(before);
            deed.draft.objects.push(Object::new("source", name.as_str()));
            deed.done(tx, &tenant, value).await.map(Some)
        })
        .await
    }

    /// Removes a source, and what was known of its documents, in bounded steps; `None` when there is none. Documents
    /// stay. Cut off, it is a source that knows less, and reads more at its next sync.
    pub async fn delete_source(
        &self,
        scope: &Scope,
        name: &SourceName,
        deed: impl Into<Deed<()>>,
    ) -> Result<Option<Written<()>>> {
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        let mut deed = deed.into();
        in_task(async move {
            loop {
                let mut tx = store.write(&tenant).await?;
                job_runs::require_held_if_any(tx.connection(), &tenant, deed.fence.as_ref()).await?;
                if find(tx.connection(), &tenant, &name).await?.is_none() {
                    return Ok(None);
                }
                // Whoever looks now ends nothing, and writes down no more rows.
                sql("UPDATE sources SET looks = looks + 1, cursor = NULL WHERE tenant = $1 AND source = $2")
                    .bind(tenant.as_str())
                    .bind(name.as_str())
                    .execute(tx.connection())
                    .await?;
                let rows = sql(
                    "DELETE FROM source_items WHERE (tenant, source, document) IN (
                         SELECT tenant, source, document FROM source_items WHERE tenant = $1 AND source = $2 LIMIT $3)",
                )
                .bind(tenant.as_str())
                .bind(name.as_str())
                .bind(ITEMS_PER_STEP)
                .execute(tx.connection())
                .await?;
                if rows < ITEMS_PER_STEP.unsigned_abs() {
                    schedule(tx.connection(), &tenant, &name, None).await?;
                    sql("DELETE FROM sources WHERE tenant = $1 AND source = $2")
                        .bind(tenant.as_str())
                        .bind(name.as_str())
                        .execute(tx.connection())
                        .await?;
                    deed.draft.objects.push(Object::new("source", name.as_str()));
                    return deed.done(tx, &tenant, ()).await.map(Some);
                }
                tx.commit().await?;
            }
        })
        .await
    }

    /// A source; `None` when there is none of that name.
    pub async fn source(&self, scope: &Scope, name: &SourceName) -> Result<Option<SourceRow>> {
        let mut tx = self.store.read(scope).await?;
        find(&mut tx, scope.tenant(), name).await
    }

    /// The tenant's sources after `after`, in the order of their names.
    pub async fn sources(&self, scope: &Scope, after: Option<&SourceName>, limit: usize) -> Result<Page<SourceRow>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT s.source, s.spec, s.credentials, s.credential_names, s.schedule, s.guards, s.state,
                               s.created_at, s.looks, s.cursor, s.last, n.next_at
             FROM sources s LEFT JOIN source_schedules n ON n.tenant = s.tenant AND n.source = s.source
             WHERE s.tenant = $1 AND s.source > $2 ORDER BY s.source LIMIT $3")
        .bind(scope.tenant().as_str())
        .bind(after.map_or("", SourceName::as_str))
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let items: Vec<SourceRow> = rows.iter().map(source_of).collect::<Result<_>>()?;
        Ok(items.into_page(limit, |source| source.name.to_string()))
    }

    /// Begins a look: its number, by which what it finds is written down. Looks that were begun before end nothing now.
    /// Refused when it is part of a job that another worker has.
    pub async fn begin_look(&self, scope: &Scope, name: &SourceName, fence: Option<&Fence>) -> Result<u64> {
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        let fence = fence.cloned();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_runs::require_held_if_any(tx.connection(), &tenant, fence.as_ref()).await?;
            let row = sql("UPDATE sources SET looks = looks + 1 WHERE tenant = $1 AND source = $2 RETURNING looks")
                .bind(tenant.as_str())
                .bind(name.as_str())
                .fetch_optional(tx.connection())
                .await?;
            let look = row.ok_or_else(|| gone(&name))?.u64("looks")?;
            tx.commit().await?;
            Ok(look)
        })
        .await
    }

    /// Writes down what a look found. Refused when it is not the source's latest, or part of a job that another worker
    /// has.
    pub async fn note_items(
        &self,
        scope: &Scope,
        name: &SourceName,
        look: u64,
        changes: ItemChanges,
        fence: Option<&Fence>,
    ) -> Result<()> {
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        let fence = fence.cloned();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_runs::require_held_if_any(tx.connection(), &tenant, fence.as_ref()).await?;
            require_latest(tx.connection(), &tenant, &name, look).await?;
            for document in &changes.gone {
                sql("DELETE FROM source_items WHERE tenant = $1 AND source = $2 AND document = $3")
                    .bind(tenant.as_str())
                    .bind(name.as_str())
                    .bind(document.as_str())
                    .execute(tx.connection())
                    .await?;
            }
            for item in &changes.kept {
                keep(tx.connection(), &tenant, &name, look, item).await?;
            }
            job_runs::got_further(tx.connection(), &tenant, fence.as_ref()).await?;
            tx.commit().await
        })
        .await
    }

    /// Ends a look: what came of it, and where the next may begin if everything before that was written. Refused when
    /// it is not the source's latest.
    pub async fn end_look(
        &self,
        scope: &Scope,
        name: &SourceName,
        look: u64,
        cursor: Option<String>,
        last: String,
        deed: impl Into<Deed<()>>,
    ) -> Result<Written<()>> {
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        let mut deed = deed.into();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            require_latest(tx.connection(), &tenant, &name, look).await?;
            sql("UPDATE sources SET cursor = coalesce($3, cursor), last = $4 WHERE tenant = $1 AND source = $2")
                .bind(tenant.as_str())
                .bind(name.as_str())
                .bind(cursor)
                .bind(last)
                .execute(tx.connection())
                .await?;
            deed.draft.objects.push(Object::new("source", name.as_str()));
            deed.done(tx, &tenant, ()).await
        })
        .await
    }

    /// What is known of a source's documents, after `after`, in the order of their ids; some thousands at once.
    pub async fn known_items(
        &self,
        scope: &Scope,
        name: &SourceName,
        after: Option<&DocumentId>,
    ) -> Result<Vec<SourceItem>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT document, tag, bytes_sha256, said_sha256, acl, state, reason FROM source_items
             WHERE tenant = $1 AND source = $2 AND document > $3 ORDER BY document LIMIT $4")
        .bind(scope.tenant().as_str())
        .bind(name.as_str())
        .bind(after.map_or("", DocumentId::as_str))
        .bind(ITEMS_PER_READ)
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(item_of).collect()
    }

    /// Live documents that a source wrote, after `after`, whose bytes nothing says here, as when whoever wrote them was
    /// killed before it could write that down; some thousands at once.
    pub async fn unnoted_items(
        &self,
        scope: &Scope,
        name: &SourceName,
        after: Option<&DocumentId>,
    ) -> Result<Vec<SourceItem>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT d.document, v.bytes_sha256, a.entries FROM documents d
             JOIN acls a ON a.tenant = d.tenant AND a.acl = d.acl
             JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
             WHERE d.tenant = $1 AND d.source = $2 AND d.document > $3 AND d.live = 1 AND NOT EXISTS (
                 SELECT 1 FROM source_items i WHERE i.tenant = d.tenant AND i.source = d.source
                     AND i.document = d.document AND i.bytes_sha256 IS NOT NULL)
             ORDER BY d.document LIMIT $4")
        .bind(scope.tenant().as_str())
        .bind(name.as_str())
        .bind(after.map_or("", DocumentId::as_str))
        .bind(ITEMS_PER_READ)
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(unnoted).collect()
    }

    /// The documents of a source in one state, after `after`, in the order of their ids.
    pub async fn items_in(
        &self,
        scope: &Scope,
        name: &SourceName,
        state: ItemState,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<SourceItem>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT document, tag, bytes_sha256, said_sha256, acl, state, reason FROM source_items
             WHERE tenant = $1 AND source = $2 AND state = $3 AND document > $4 ORDER BY document LIMIT $5")
        .bind(scope.tenant().as_str())
        .bind(name.as_str())
        .bind(state.as_str())
        .bind(after.unwrap_or_default())
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let items: Vec<SourceItem> = rows.iter().map(item_of).collect::<Result<_>>()?;
        Ok(items.into_page(limit, |item| item.id.to_string()))
    }

    /// How many documents of a source are in which state.
    pub async fn item_counts(&self, scope: &Scope, name: &SourceName) -> Result<Vec<(ItemState, u64)>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT state, count(*) AS count FROM source_items
             WHERE tenant = $1 AND source = $2 GROUP BY state ORDER BY state")
        .bind(scope.tenant().as_str())
        .bind(name.as_str())
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(|row| Ok((state_of(&row.text("state")?)?, row.u64("count")?))).collect()
    }
}

/// A document of which nothing is known but what it is here.
fn unnoted(row: &Row) -> Result<SourceItem> {
    let acl = row.acl("entries")?;
    Ok(SourceItem {
        id: row.name("document")?,
        tag: String::new(),
        bytes_sha256: Some(row.hash("bytes_sha256")?),
        said_sha256: None,
        acl: acl.lists().is_some().then_some(acl),
        state: ItemState::Ok,
        reason: None,
    })
}

fn gone(name: &SourceName) -> CatalogError {
    CatalogError::NotFound { what: "source", id: name.to_string() }
}

async fn require_room(connection: &mut Connection, tenant: &TenantId) -> Result<()> {
    let row = sql("SELECT count(*) AS count FROM sources WHERE tenant = $1")
        .bind(tenant.as_str())
        .fetch_one(connection)
        .await?;
    if row.u64("count")? < SOURCES_MAX {
        return Ok(());
    }
    let reason = "has 1000 sources, and that is the limit; delete those that are not used";
    Err(CatalogError::Conflict { what: format!("tenant {tenant}"), reason })
}

async fn require_latest(connection: &mut Connection, tenant: &TenantId, name: &SourceName, look: u64) -> Result<()> {
    let row = sql("SELECT looks FROM sources WHERE tenant = $1 AND source = $2")
        .bind(tenant.as_str())
        .bind(name.as_str())
        .fetch_optional(connection)
        .await?;
    if row.ok_or_else(|| gone(name))?.u64("looks")? == look {
        return Ok(());
    }
    let reason = "is being looked at by somebody else since; this look ends here";
    Err(CatalogError::Conflict { what: format!("source {name}"), reason })
}

/// Lets the next look at every source of the tenant read every document again, and one under way count for nothing.
pub(crate) async fn forget_what_was_read(connection: &mut Connection, tenant: &TenantId) -> Result<()> {
    sql("UPDATE source_items SET tag = '' WHERE tenant = $1").bind(tenant.as_str()).execute(connection).await?;
    sql("UPDATE sources SET cursor = NULL, looks = looks + 1 WHERE tenant = $1")
        .bind(tenant.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn forget(connection: &mut Connection, tenant: &TenantId, name: &SourceName) -> Result<()> {
    for forgotten in [
        sql("UPDATE sources SET cursor = NULL, looks = looks + 1 WHERE tenant = $1 AND source = $2"),
        sql("UPDATE source_items SET tag = '' WHERE tenant = $1 AND source = $2"),
    ] {
        forgotten.bind(tenant.as_str()).bind(name.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn keep(
    connection: &mut Connection,
    tenant: &TenantId,
    name: &SourceName,
    look: u64,
    item: &SourceItem,
) -> Result<()> {
    sql("INSERT INTO source_items (tenant, source, document, tag, bytes_sha256, said_sha256, acl, state, reason, look)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (tenant, source, document) DO UPDATE SET
             tag = excluded.tag, bytes_sha256 = excluded.bytes_sha256, said_sha256 = excluded.said_sha256,
             acl = excluded.acl, state = excluded.state, reason = excluded.reason, look = excluded.look")
    .bind(tenant.as_str())
    .bind(name.as_str())
    .bind(item.id.as_str())
    .bind(item.tag.as_str())
    .bind(item.bytes_sha256.map(|hash| hash.to_vec()))
    .bind(item.said_sha256.map(|hash| hash.to_vec()))
    .bind(item.acl.as_ref().map(acl_text))
    .bind(item.state.as_str())
    .bind(item.reason.as_deref())
    .bind(long(look))
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn find(
    connection: &mut Connection,
    tenant: &TenantId,
    name: &SourceName,
) -> Result<Option<SourceRow>> {
    let row = sql("SELECT s.source, s.spec, s.credentials, s.credential_names, s.schedule, s.guards, s.state,
                          s.created_at, s.looks, s.cursor, s.last, n.next_at
         FROM sources s LEFT JOIN source_schedules n ON n.tenant = s.tenant AND n.source = s.source
         WHERE s.tenant = $1 AND s.source = $2")
    .bind(tenant.as_str())
    .bind(name.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(source_of).transpose()
}

fn source_of(row: &Row) -> Result<SourceRow> {
    let state = match row.text("state")?.as_str() {
        "active" => SourceState::Active,
        "paused" => SourceState::Paused,
        other => return Err(corrupt("a source's state", other)),
    };
    Ok(SourceRow {
        name: row.name("source")?,
        description: SourceDescription {
            spec: row.text("spec")?,
            credentials: SealedCredentials {
                sealed: row.blob_or_null("credentials")?,
                names: row.json("credential_names")?,
            },
            schedule: row.text_or_null("schedule")?,
            guards: row.text("guards")?,
            state,
            next_at: row.time_or_null("next_at")?,
        },
        created_at: row.time("created_at")?,
        looks: row.u64("looks")?,
        cursor: row.text_or_null("cursor")?,
        last: row.text_or_null("last")?,
    })
}

fn state_of(text: &str) -> Result<ItemState> {
    let known = ItemState::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| corrupt("the state of a document in a source", text))
}

fn item_of(row: &Row) -> Result<SourceItem> {
    let hash = |column: &'static str| -> Result<Option<[u8; 32]>> {
        let bytes = row.blob_or_null(column)?;
        bytes.map(|bytes| bytes.try_into().map_err(|_| corrupt("a hash", column))).transpose()
    };
    Ok(SourceItem {
        id: row.name("document")?,
        tag: row.text("tag")?,
        bytes_sha256: hash("bytes_sha256")?,
        said_sha256: hash("said_sha256")?,
        acl: match row.text_or_null("acl")? {
            Some(_) => Some(row.acl("acl")?),
            None => None,
        },
        state: state_of(&row.text("state")?)?,
        reason: row.text_or_null("reason")?,
    })
}
