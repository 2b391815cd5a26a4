//! Tenants, and the operator's key.

use catena_access::{KeyHash, Operator, Scope};
use catena_audit::Object;
use catena_domain::{RecipeId, Seq, TenantId, limits};
use catena_runtime::{clock, random};

use crate::error::{CatalogError, Result};
use crate::model::{Deed, GenerationState, Page, Tenant, Written};
use crate::store::{Connection, Reach, Row, in_task, sql};
use crate::tables::codec::long;
use crate::tables::{generations, page};
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
            let mut tx = store.write(&id).await?;
            let done = sql("INSERT INTO tenants (tenant, name, created_at, secret) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant) DO NOTHING")
            .bind(id.as_str())
            .bind(name.as_str())
            .bind(clock::now().0)
            .bind(secret.to_vec())
            .execute(tx.connection())
            .await?;
            if done == 0 {
                return Err(CatalogError::Conflict { what: format!("tenant {id}"), reason: "exists already" });
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
        let rows = sql("SELECT t.tenant, t.name, t.created_at, t.seq, t.documents, g.generation
             FROM tenants t JOIN generations g ON g.tenant = t.tenant AND g.state = 'live'
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

    /// Every tenant's id, for the service's own start.
    pub async fn all_tenants(&self) -> Result<Vec<TenantId>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let rows = sql("SELECT tenant FROM tenants ORDER BY tenant").fetch_all(&mut tx).await?;
        rows.iter().map(|row| row.name("tenant")).collect()
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

async fn find(connection: &mut Connection, id: &TenantId) -> Result<Option<Tenant>> {
    let row = sql("SELECT t.tenant, t.name, t.created_at, t.seq, t.documents, g.generation
         FROM tenants t JOIN generations g ON g.tenant = t.tenant AND g.state = 'live'
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
        documents: row.u64("documents")?,
        live_generation: row.name("generation")?,
    })
}
