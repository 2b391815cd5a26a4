//! What recipes left behind that answer nothing any more: found, and dropped bit by bit.
//!
//! Promises: each step is a short transaction, so that writers pass between two of them; the counters stay what the
//! tables hold. Nothing becomes untrue by it: it takes no sequence number and writes no leaf. Does not: know which
//! recipe the tenant wants.

use catena_access::Scope;
use catena_domain::{DocNo, RecipeId, TenantId, VersionNo};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{ChunkHash, Chunking, Fence, Spending};
use crate::store::{Connection, in_task, sql};
use crate::tables::codec::long;
use crate::tables::{held, job_runs, purges, tenants};

/// Versions of one step, and their chunks, but for a version that has more by itself: few, because the tenant's other
/// writes and its questions wait meanwhile.
const VERSIONS_PER_STEP: u64 = 32;
const CHUNKS_PER_STEP: u64 = 1_000;
/// Vectors of one step that no chunk has.
const VECTORS_PER_STEP: u64 = 500;

/// Up to where what a recipe made was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped(UpTo);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpTo {
    /// The chunks of this version, with their vectors.
    Version(Option<(DocNo, VersionNo)>),
    /// This one of the vectors that are left.
    Vector(ChunkHash),
}

impl Default for Dropped {
    fn default() -> Self {
        Self(UpTo::Version(None))
    }
}

/// What is to be dropped, and how the tenant wants its documents cut meanwhile.
#[derive(Debug, Clone)]
pub struct Disused {
    /// The recipe.
    pub recipe: RecipeId,
    /// By which it was found to be of no use. What is wanted later may be this very recipe.
    pub chunking: Chunking,
}

impl Catalog {
    /// Recipes by which something of the tenant is derived, without any use: not `wanted`, and of no generation that
    /// answers or is being built.
    pub async fn disused_recipes(&self, scope: &Scope, wanted: &RecipeId) -> Result<Vec<RecipeId>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT recipe FROM chunkings WHERE tenant = $1
             UNION SELECT recipe FROM embeddings WHERE tenant = $1
             EXCEPT SELECT recipe FROM generations WHERE tenant = $1 AND state <> 'retired'
             ORDER BY recipe")
        .bind(scope.tenant().as_str())
        .fetch_all(&mut tx)
        .await?;
        let recipes: Vec<RecipeId> = rows.iter().map(|row| row.name("recipe")).collect::<Result<_>>()?;
        Ok(recipes.into_iter().filter(|recipe| recipe != wanted).collect())
    }

    /// Drops some of what is derived by a recipe, from where the last step ended; `None` when nothing is left. A chunk
    /// goes with its vector, so that whoever purges its document meanwhile leaves nothing. Refused when the tenant wants
    /// its documents cut in another way by now, and when it is part of a job that another worker has.
    pub async fn drop_derived(
        &self,
        scope: &Scope,
        disused: &Disused,
        last: Dropped,
        fence: Option<&Fence>,
    ) -> Result<Option<Dropped>> {
        let (store, tenant, disused) = (self.store.clone(), scope.tenant().clone(), disused.clone());
        let fence = fence.cloned();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_runs::require_held_if_any(tx.connection(), &tenant, fence.as_ref()).await?;
            if tenants::chunking(tx.connection(), &tenant).await? != disused.chunking {
                return Err(CatalogError::ChunkingChanged);
            }
            let dropped = drop_some(tx.connection(), &tenant, &disused.recipe, last).await?;
            if dropped.is_some() {
                job_runs::got_further(tx.connection(), &tenant, fence.as_ref()).await?;
            }
            tx.commit().await?;
            Ok(dropped)
        })
        .await
    }
}

async fn drop_some(
    connection: &mut Connection,
    tenant: &TenantId,
    recipe: &RecipeId,
    Dropped(last): Dropped,
) -> Result<Option<Dropped>> {
    let last = match last {
        UpTo::Version(last) => match drop_chunks(connection, tenant, recipe, last).await? {
            Some(version) => return Ok(Some(Dropped(UpTo::Version(Some(version))))),
            None => [0; 32],
        },
        UpTo::Vector(last) => last,
    };
    Ok(drop_vectors(connection, tenant, recipe, last).await?.map(|hash| Dropped(UpTo::Vector(hash))))
}

async fn drop_chunks(
    connection: &mut Connection,
    tenant: &TenantId,
    recipe: &RecipeId,
    last: Option<(DocNo, VersionNo)>,
) -> Result<Option<(DocNo, VersionNo)>> {
    let (doc, version) = last.map_or((-1, -1), |(doc, version)| (i64::from(doc.0), i64::from(version.0)));
    let rows = sql("SELECT doc, version, chunks FROM chunkings
         WHERE tenant = $1 AND recipe = $2 AND (doc, version) > ($3, $4) ORDER BY doc, version LIMIT $5")
    .bind(tenant.as_str())
    .bind(recipe.as_str())
    .bind(doc)
    .bind(version)
    .bind(long(VERSIONS_PER_STEP))
    .fetch_all(&mut *connection)
    .await?;
    let (mut step, mut chunks) = (Vec::new(), 0);
    for row in rows {
        chunks += row.u64("chunks")?;
        if chunks > CHUNKS_PER_STEP && !step.is_empty() {
            break;
        }
        step.push((DocNo(row.u32("doc")?), VersionNo(row.u32("version")?)));
    }
    for (doc, version) in &step {
        let before = held::of(connection, tenant, *doc).await?;
        let delete = |text| sql(text).bind(tenant.as_str()).bind(doc.0).bind(version.0).bind(recipe.as_str());
        let chunks = delete(
            "DELETE FROM chunks WHERE tenant = $1 AND doc = $2 AND version = $3 AND recipe = $4
             RETURNING recipe, hash",
        )
        .fetch_all(&mut *connection)
        .await?;
        delete("DELETE FROM chunkings WHERE tenant = $1 AND doc = $2 AND version = $3 AND recipe = $4")
            .execute(&mut *connection)
            .await?;
        purges::drop_unused_vectors(connection, tenant, &chunks).await?;
        held::settle(connection, tenant, *doc, before, Spending::Regardless).await?;
    }
    Ok(step.last().copied())
}

/// Drops vectors that no chunk has: says the last one of this step.
async fn drop_vectors(
    connection: &mut Connection,
    tenant: &TenantId,
    recipe: &RecipeId,
    last: ChunkHash,
) -> Result<Option<ChunkHash>> {
    let rows = sql("DELETE FROM embeddings WHERE tenant = $1 AND recipe = $2 AND hash IN (
             SELECT e.hash FROM embeddings e WHERE e.tenant = $1 AND e.recipe = $2 AND e.hash > $3 AND NOT EXISTS (
                 SELECT 1 FROM chunks c WHERE c.tenant = e.tenant AND c.hash = e.hash AND c.recipe = e.recipe)
             ORDER BY e.hash LIMIT $4)
         RETURNING hash")
    .bind(tenant.as_str())
    .bind(recipe.as_str())
    .bind(last.to_vec())
    .bind(long(VECTORS_PER_STEP))
    .fetch_all(connection)
    .await?;
    let hashes: Vec<ChunkHash> = rows.iter().map(|row| row.hash("hash")).collect::<Result<_>>()?;
    Ok(hashes.into_iter().max())
}
