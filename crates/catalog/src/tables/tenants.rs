//! Tenants, and the operator's key.

use catena_access::{KeyHash, Operator, Scope};
use catena_audit::{Draft, Object};
use catena_domain::{RecipeId, Seq, TenantId, limits};
use catena_runtime::{clock, random};

use crate::error::{CatalogError, Result};
use crate::model::{
    Deed, GenerationState, Held, Page, Service, Standing, Statistics, Tenant, TenantChange, TenantState, Written,
};
use crate::store::{Connection, Reach, Row, in_task, sql};
use crate::tables::codec::{corrupt, hex, json, long, sha256};
use crate::tables::{chain, generations, page};
use crate::{Catalog, tables::page::Items as _};

impl Catalog {
    /// What the operator's key is checked against, once one was set.
    pub async fn operator_key_hash(&self) -> Result<Option<KeyHash>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let row = sql("SELECT operator_key_hash FROM installation WHERE operator_key_hash IS NOT NULL")
            .fetch_optional(&mut tx)
            .await?;
        row.map(|row| Ok(KeyHash::from_bytes(row.hash("operator_key_hash")?))).transpose()
    }

    /// Sets what the operator's key is checked against. The key before it is worth nothing from here on.
    pub async fn set_operator_key_hash(&self, hash: KeyHash) -> Result<()> {
        let store = self.store.clone();
        in_task(async move {
            let mut tx = store.write(Reach::Installation).await?;
            sql("UPDATE installation SET operator_key_hash = $1 WHERE one = 1")
                .bind(hash.as_bytes().to_vec())
                .execute(tx.connection())
                .await?;
            tx.commit().await
        })
        .await
    }

    /// Makes a tenant, with its secret and its first generation, which answers from the beginning.
    pub async fn create_tenant(
        &self,
        operator: &Operator,
        id: &TenantId,
        name: &str,
        recipe: &RecipeId,
        dimension: u32,
        deed: impl Into<Deed<Tenant>>,
    ) -> Result<Written<Tenant>> {
        check_name("a tenant's name", name)?;
        let mut deed = deed.into();
        deed.draft.actor.get_or_insert_with(|| operator.actor().to_string());
        let (store, id, name, recipe) = (self.store.clone(), id.clone(), name.to_owned(), recipe.clone());
        in_task(async move {
            let secret: [u8; 32] = random::bytes().map_err(CatalogError::chance)?;
            let mut tx = store.write(Reach::Remains(&id)).await?;
            let done = sql("INSERT INTO tenants (tenant, name, created_at, secret) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant) DO NOTHING")
            .bind(id.as_str())
            .bind(name.as_str())
            .bind(clock::now().0)
            .bind(secret.to_vec())
            .execute(tx.connection())
            .await?;
            if done == 0 {
                let before = find(tx.connection(), &id).await?;
                let reason = if before.is_some_and(|tenant| tenant.state.is_gone()) {
                    "was deleted, and its id is never given again; choose another"
                } else {
                    "exists already"
                };
                return Err(CatalogError::Conflict { what: format!("tenant {id}"), reason });
            }
            let generation =
                generations::insert(tx.connection(), &id, &recipe, dimension, GenerationState::Live).await?;
            deed.draft.objects.push(Object::new("tenant", id.as_str()));
            deed.draft.generation = Some(generation.id.to_string());
            deed.draft.recipe = Some(recipe.to_string());
            let gone = || CatalogError::TenantGone { tenant: id.clone() };
            let value = find(tx.connection(), &id).await?.ok_or_else(gone)?;
            deed.done(tx, &id, value).await
        })
        .await
    }

    /// The tenants after `after`, in the order of their ids.
    pub async fn tenants(&self, _operator: &Operator, after: Option<&TenantId>, limit: usize) -> Result<Page<Tenant>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(Reach::Installation).await?;
        let rows = sql("SELECT t.tenant, t.name, t.created_at, t.seq, t.state, t.quotas, t.documents, t.text_bytes,
                    t.chunks, t.removed, t.statistics, g.generation
             FROM tenants t LEFT JOIN generations g ON g.tenant = t.tenant AND g.state = 'live'
             WHERE t.tenant > $1 ORDER BY t.tenant LIMIT $2")
        .bind(after.map_or("", |after| after.as_str()))
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let items: Vec<Tenant> = rows.iter().map(tenant_of).collect::<Result<_>>()?;
        Ok(items.into_page(limit, |tenant| tenant.id.to_string()))
    }

    /// One tenant.
    pub async fn tenant(&self, _operator: &Operator, id: &TenantId) -> Result<Option<Tenant>> {
        let mut tx = self.store.read(id).await?;
        find(&mut tx, id).await
    }

    /// The id of every tenant that is not gone, for the service's own start.
    pub async fn all_tenants(&self) -> Result<Vec<TenantId>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let rows = sql("SELECT tenant FROM tenants WHERE state IN ('active', 'suspended') ORDER BY tenant")
            .fetch_all(&mut tx)
            .await?;
        rows.iter().map(|row| row.name("tenant")).collect()
    }

    /// How many writes there were of all tenants together, which is cheap to ask and changes with every write.
    pub async fn seq_sum(&self) -> Result<u64> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let row = sql("SELECT CAST(coalesce(sum(seq), 0) AS BIGINT) AS seqs FROM tenants").fetch_one(&mut tx).await?;
        row.u64("seqs")
    }

    /// How far each tenant is that is not gone.
    pub async fn seqs(&self) -> Result<Vec<(TenantId, Seq)>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let rows =
            sql("SELECT tenant, seq FROM tenants WHERE state IN ('active', 'suspended')").fetch_all(&mut tx).await?;
        rows.iter().map(|row| Ok((row.name("tenant")?, Seq(row.u64("seq")?)))).collect()
    }

    /// The door's look-up, before there is a scope: whether a tenant is served, and how much it may.
    pub async fn standing(&self, tenant: &TenantId) -> Result<Option<Standing>> {
        let mut tx = self.store.read(tenant).await?;
        let row = sql("SELECT state, quotas FROM tenants WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(&mut tx)
            .await?;
        row.map(|row| Ok(Standing { state: state_of(&row, "state")?, quotas: row.json("quotas")? })).transpose()
    }

    /// Changes a tenant's name, quotas, statistics, or whether it is served; `None` when there is no such tenant. The next request
    /// obeys it.
    pub async fn change_tenant(
        &self,
        operator: &Operator,
        id: &TenantId,
        change: TenantChange,
        mut draft: Draft,
    ) -> Result<Option<Written<Tenant>>> {
        check(&change)?;
        draft.actor.get_or_insert_with(|| operator.actor().to_string());
        let (store, id) = (self.store.clone(), id.clone());
        in_task(async move {
            let mut tx = store.write(Reach::Remains(&id)).await?;
            let Some(before) = find(tx.connection(), &id).await? else { return Ok(None) };
            if before.state.is_gone() {
                let reason = "is deleted, or is being deleted, and cannot be changed any more";
                return Err(CatalogError::Conflict { what: format!("tenant {id}"), reason });
            }
            let mut quotas = before.quotas;
            change.quotas.iter().for_each(|(&quota, &limit)| quotas.set(quota, limit));
            let state = match change.service {
                None => before.state,
                Some(Service::Resumed) => TenantState::Active,
                Some(Service::Suspended) => TenantState::Suspended,
            };
            sql("UPDATE tenants SET name = $2, state = $3, quotas = $4, statistics = $5 WHERE tenant = $1")
                .bind(id.as_str())
                .bind(change.name.clone().unwrap_or(before.name))
                .bind(state.as_str())
                .bind(json(&quotas))
                .bind(change.statistics.unwrap_or(before.statistics).as_str())
                .execute(tx.connection())
                .await?;
            draft.objects.extend(changes(&id, &change));
            let leaf = chain::append(tx.connection(), &id, &draft).await?;
            let value = find(tx.connection(), &id).await?.ok_or(CatalogError::TenantGone { tenant: id })?;
            tx.commit().await?;
            Ok(Some(Written { value, leaf }))
        })
        .await
    }

    /// What the tenant's boundaries and other unguessable texts are derived from. It never leaves the process.
    pub async fn tenant_secret(&self, scope: &Scope) -> Result<[u8; 32]> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT secret FROM tenants WHERE tenant = $1")
            .bind(scope.tenant().as_str())
            .fetch_optional(&mut tx)
            .await?;
        row.ok_or_else(|| gone(scope))?.hash("secret")
    }

    /// The tenant's write sequence number.
    pub async fn seq(&self, scope: &Scope) -> Result<Seq> {
        let mut tx = self.store.read(scope).await?;
        seq(&mut tx, scope.tenant()).await
    }

    /// Documents of the tenant that are not deleted, whoever may see them.
    pub async fn document_count(&self, scope: &Scope) -> Result<u64> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT documents FROM tenants WHERE tenant = $1")
            .bind(scope.tenant().as_str())
            .fetch_optional(&mut tx)
            .await?;
        row.ok_or_else(|| gone(scope))?.u64("documents")
    }
}

/// The tenant's sequence number as this transaction sees it.
pub(crate) async fn seq(connection: &mut Connection, tenant: &TenantId) -> Result<Seq> {
    let row = sql("SELECT seq FROM tenants WHERE tenant = $1").bind(tenant.as_str()).fetch_optional(connection).await?;
    Ok(Seq(row.ok_or_else(|| CatalogError::TenantGone { tenant: tenant.clone() })?.u64("seq")?))
}

pub(crate) fn gone(scope: &Scope) -> CatalogError {
    CatalogError::TenantGone { tenant: scope.tenant().clone() }
}

/// A name that people give, which is bounded but else free.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<()> {
    let limit_bytes = limits::NAME_BYTES_MAX;
    if name.is_empty() || name.len() > limit_bytes {
        let reason = format!("is {} bytes long; use 1 to {limit_bytes}", name.len());
        return Err(CatalogError::Invalid { what, reason });
    }
    Ok(())
}

fn check(change: &TenantChange) -> Result<()> {
    if let Some(name) = &change.name {
        check_name("a tenant's name", name)?;
    }
    for (quota, limit) in &change.quotas {
        let (least, most) = quota.bounds();
        if let Some(limit) = limit.filter(|limit| !(least..=most).contains(limit)) {
            let reason = format!("{quota} cannot be {limit}; it must lie between {least} and {most}");
            return Err(CatalogError::Invalid { what: "the quota", reason });
        }
    }
    Ok(())
}

/// What the record says of a change. A name is there by its hash.
fn changes(id: &TenantId, change: &TenantChange) -> Vec<Object> {
    let mut objects = vec![Object::new("tenant", id.as_str())];
    if let Some(name) = &change.name {
        objects.push(Object { sha256: Some(hex(&sha256(name.as_bytes()))), ..Object::new("name", id.as_str()) });
    }
    match change.service {
        None => {}
        Some(Service::Resumed) => objects.push(Object::new("state", TenantState::Active.as_str())),
        Some(Service::Suspended) => objects.push(Object::new("state", TenantState::Suspended.as_str())),
    }
    objects.extend(change.quotas.iter().map(|(quota, limit)| {
        let limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        Object::new("quota", format!("{quota}={limit}"))
    }));
    objects.extend(change.statistics.map(|statistics| Object::new("statistics", statistics.as_str())));
    objects
}

/// A tenant's state in a row.
pub(crate) fn state_of(row: &Row, column: &'static str) -> Result<TenantState> {
    let text = row.text(column)?;
    let known = TenantState::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| corrupt("a tenant's state", text))
}

/// What a tenant's scores are counted over, in a row of its table.
pub(crate) fn statistics_of(row: &Row) -> Result<Statistics> {
    let text = row.text("statistics")?;
    let known = Statistics::ALL.into_iter().find(|statistics| statistics.as_str() == text);
    known.ok_or_else(|| corrupt("a tenant's statistics", text))
}

/// What the tenant holds, in a row of its table.
pub(crate) fn held_of(row: &Row) -> Result<Held> {
    Ok(Held { documents: row.u64("documents")?, text_bytes: row.u64("text_bytes")?, chunks: row.u64("chunks")? })
}

pub(crate) async fn find(connection: &mut Connection, id: &TenantId) -> Result<Option<Tenant>> {
    let row =
        sql("SELECT t.tenant, t.name, t.created_at, t.seq, t.state, t.quotas, t.documents, t.text_bytes, t.chunks,
                t.removed, t.statistics, g.generation
         FROM tenants t LEFT JOIN generations g ON g.tenant = t.tenant AND g.state = 'live'
         WHERE t.tenant = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(tenant_of).transpose()
}

fn tenant_of(row: &Row) -> Result<Tenant> {
    Ok(Tenant {
        id: row.name("tenant")?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
        seq: Seq(row.u64("seq")?),
        state: state_of(row, "state")?,
        held: held_of(row)?,
        quotas: row.json("quotas")?,
        statistics: statistics_of(row)?,
        live_generation: row.name_or_null("generation")?,
        removed: row.json("removed")?,
    })
}
