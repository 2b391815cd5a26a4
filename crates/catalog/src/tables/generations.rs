//! Generations: which build of a tenant's index answers.

use catena_access::Scope;
use catena_audit::Object;
use catena_domain::{GenerationId, RecipeId, TenantId};
use catena_runtime::{clock, random};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Answering, Chunking, Cuttings, Deed, Fence, GenerationRow, GenerationState, Written};
use crate::store::{Connection, Row, in_task, sql};
use crate::tables::codec::{corrupt, json};
use crate::tables::tenants::{gone, statistics_of};
use crate::tables::{job_runs, tenants};

impl Catalog {
    /// The tenant's generations, the oldest first.
    pub async fn generations(&self, scope: &Scope) -> Result<Vec<GenerationRow>> {
        let mut tx = self.store.read(scope).await?;
        let rows =
            sql("SELECT generation, recipe, dimension, state, created_at, promoted_at, chunking FROM generations
             WHERE tenant = $1 ORDER BY created_at, generation")
            .bind(scope.tenant().as_str())
            .fetch_all(&mut tx)
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// The generation that answers.
    pub async fn live_generation(&self, scope: &Scope) -> Result<GenerationRow> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT generation, recipe, dimension, state, created_at, promoted_at, chunking FROM generations
             WHERE tenant = $1 AND state = 'live'")
        .bind(scope.tenant().as_str())
        .fetch_optional(&mut tx)
        .await?;
        row_of(&row.ok_or_else(|| gone(scope))?)
    }

    /// The generation that answers, and by which of the tenant's settings it does.
    pub async fn answering(&self, scope: &Scope) -> Result<Answering> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT g.generation, g.recipe, g.dimension, g.state, g.created_at, g.promoted_at, g.chunking,
                    t.statistics
             FROM generations g JOIN tenants t ON t.tenant = g.tenant WHERE g.tenant = $1 AND g.state = 'live'")
        .bind(scope.tenant().as_str())
        .fetch_optional(&mut tx)
        .await?;
        let row = row.ok_or_else(|| gone(scope))?;
        Ok(Answering { generation: row_of(&row)?, statistics: statistics_of(&row)? })
    }

    /// How the tenant's documents are to be cut, and which generation answers.
    pub async fn cuttings(&self, scope: &Scope) -> Result<Cuttings> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT g.generation, g.recipe, g.dimension, g.state, g.created_at, g.promoted_at, g.chunking,
                    t.chunking AS wanted
             FROM generations g JOIN tenants t ON t.tenant = g.tenant WHERE g.tenant = $1 AND g.state = 'live'")
        .bind(scope.tenant().as_str())
        .fetch_optional(&mut tx)
        .await?;
        let row = row.ok_or_else(|| gone(scope))?;
        Ok(Cuttings { wanted: row.json("wanted")?, live: row_of(&row)? })
    }

    /// Begins a generation, which does not answer yet. `chunking` is how its documents are cut. Refused when it is part of
    /// a job that another worker has.
    pub async fn create_generation(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        dimension: u32,
        chunking: &Chunking,
        fence: Option<&Fence>,
    ) -> Result<GenerationRow> {
        let (store, tenant, recipe) = (self.store.clone(), scope.tenant().clone(), recipe.clone());
        let (chunking, fence) = (chunking.clone(), fence.cloned());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_runs::require_held_if_any(tx.connection(), &tenant, fence.as_ref()).await?;
            let row =
                insert(tx.connection(), &tenant, &recipe, dimension, (GenerationState::Building, &chunking)).await?;
            tx.commit().await?;
            Ok(row)
        })
        .await
    }

    /// Lets a generation answer in the place of the one that does now. Refused when the tenant wants its documents cut in
    /// another way by now: what is written meanwhile would be missing in it.
    pub async fn promote_generation(
        &self,
        scope: &Scope,
        id: &GenerationId,
        deed: impl Into<Deed<()>>,
    ) -> Result<Written<()>> {
        let (store, tenant, id, mut deed) = (self.store.clone(), scope.tenant().clone(), id.clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            sql("UPDATE generations SET state = 'retired' WHERE tenant = $1 AND state = 'live'")
                .bind(tenant.as_str())
                .execute(tx.connection())
                .await?;
            let row =
                sql("UPDATE generations SET state = 'live', promoted_at = $3 WHERE tenant = $1 AND generation = $2
                 RETURNING recipe, chunking")
                .bind(tenant.as_str())
                .bind(id.as_str())
                .bind(clock::now().0)
                .fetch_optional(tx.connection())
                .await?;
            let row = row.ok_or_else(|| CatalogError::NotFound { what: "generation", id: id.to_string() })?;
            if row.json::<Chunking>("chunking")? != tenants::chunking(tx.connection(), &tenant).await? {
                return Err(CatalogError::ChunkingChanged);
            }
            deed.draft.objects.push(Object::new("generation", id.as_str()));
            deed.draft.generation = Some(id.to_string());
            deed.draft.recipe = Some(row.text("recipe")?);
            deed.done(tx, &tenant, ()).await
        })
        .await
    }

    /// Forgets a generation that does not answer. One that is not there is forgotten already. Refused when it is part of
    /// a job that another worker has.
    pub async fn forget_generation(&self, scope: &Scope, id: &GenerationId, fence: Option<&Fence>) -> Result<()> {
        let (store, tenant, id) = (self.store.clone(), scope.tenant().clone(), id.clone());
        let fence = fence.cloned();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_runs::require_held_if_any(tx.connection(), &tenant, fence.as_ref()).await?;
            let row = sql("DELETE FROM generations WHERE tenant = $1 AND generation = $2 RETURNING state")
                .bind(tenant.as_str())
                .bind(id.as_str())
                .fetch_optional(tx.connection())
                .await?;
            if row.map(|row| row.text("state")).transpose()?.as_deref() == Some("live") {
                return Err(CatalogError::Conflict {
                    what: format!("generation {id}"),
                    reason: "is the one that answers",
                });
            }
            tx.commit().await
        })
        .await
    }
}

/// Whether a generation of the recipe answers, or is being built.
pub(crate) async fn is_in_use(connection: &mut Connection, tenant: &TenantId, recipe: &RecipeId) -> Result<bool> {
    let row = sql("SELECT count(*) AS generations FROM generations
         WHERE tenant = $1 AND recipe = $2 AND state <> 'retired'")
    .bind(tenant.as_str())
    .bind(recipe.as_str())
    .fetch_one(connection)
    .await?;
    Ok(row.u64("generations")? > 0)
}

/// Stores a new generation of a tenant.
pub(crate) async fn insert(
    connection: &mut Connection,
    tenant: &TenantId,
    recipe: &RecipeId,
    dimension: u32,
    (state, chunking): (GenerationState, &Chunking),
) -> Result<GenerationRow> {
    if dimension == 0 {
        return Err(CatalogError::Invalid { what: "the vectors' length", reason: "is zero".to_owned() });
    }
    let id = random::identifier().map_err(CatalogError::chance)?;
    let now = clock::now();
    let promoted_at = (state == GenerationState::Live).then_some(now);
    sql("INSERT INTO generations (tenant, generation, recipe, dimension, state, created_at, promoted_at, chunking)
         SELECT tenant, $2, $3, $4, $5, $6, $7, $8 FROM tenants WHERE tenant = $1")
    .bind(tenant.as_str())
    .bind(id.as_str())
    .bind(recipe.as_str())
    .bind(dimension)
    .bind(state_text(state))
    .bind(now.0)
    .bind(promoted_at.map(|at| at.0))
    .bind(json(chunking))
    .execute(&mut *connection)
    .await?;
    let row = sql("SELECT generation, recipe, dimension, state, created_at, promoted_at, chunking FROM generations
         WHERE tenant = $1 AND generation = $2")
    .bind(tenant.as_str())
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row_of(&row.ok_or_else(|| CatalogError::TenantGone { tenant: tenant.clone() })?)
}

fn state_text(state: GenerationState) -> &'static str {
    match state {
        GenerationState::Building => "building",
        GenerationState::Live => "live",
        GenerationState::Retired => "retired",
    }
}

pub(crate) fn row_of(row: &Row) -> Result<GenerationRow> {
    let state = match row.text("state")?.as_str() {
        "building" => GenerationState::Building,
        "live" => GenerationState::Live,
        "retired" => GenerationState::Retired,
        other => return Err(corrupt("a generation's state", other)),
    };
    Ok(GenerationRow {
        id: row.name("generation")?,
        recipe: row.name("recipe")?,
        dimension: row.u32("dimension")?,
        state,
        created_at: row.time("created_at")?,
        promoted_at: row.time_or_null("promoted_at")?,
        chunking: row.json("chunking")?,
    })
}
