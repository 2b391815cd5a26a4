//! What recipes left behind that answer nothing any more: found, and dropped bit by bit.
//!
//! Promises: each step is a short transaction, so that writers pass between two of them; the counters stay what the
//! tables hold. Nothing becomes untrue by it: it takes no sequence number and writes no leaf. Does not: know which
//! recipe the tenant wants.

use std::collections::BTreeSet;

use catena_access::Scope;
use catena_domain::{DocNo, RecipeId, TenantId, VersionNo};

use crate::Catalog;
use crate::error::Result;
use crate::model::{Fence, Spending};
use crate::store::{Connection, in_task, sql};
use crate::tables::codec::long;
use crate::tables::{held, job_runs};

/// Versions of one step, and their chunks, but for a version that has more by itself.
const VERSIONS_PER_STEP: u64 = 256;
const CHUNKS_PER_STEP: u64 = 2_000;
/// Vectors of one step.
const VECTORS_PER_STEP: u64 = 1_000;

/// Up to where a recipe's chunks were dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped(Option<(DocNo, VersionNo)>);

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

    /// Drops some of what is derived by a recipe, from where the last step ended; `None` when nothing is left. Refused
    /// when it is part of a job that another worker has.
    pub async fn drop_derived(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        last: Dropped,
        fence: Option<&Fence>,
    ) -> Result<Option<Dropped>> {
        let (store, tenant, recipe) = (self.store.clone(), scope.tenant().clone(), recipe.clone());
        let fence = fence.cloned();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_runs::require_held_if_any(tx.connection(), &tenant, fence.as_ref()).await?;
            let dropped = match drop_chunks(tx.connection(), &tenant, &recipe, last).await? {
                Some(dropped) => Some(dropped),
                None => drop_vectors(tx.connection(), &tenant, &recipe).await?.then_some(last),
            };
            tx.commit().await?;
            Ok(dropped)
        })
        .await
    }
}

async fn drop_chunks(
    connection: &mut Connection,
    tenant: &TenantId,
    recipe: &RecipeId,
    last: Dropped,
) -> Result<Option<Dropped>> {
    let (doc, version) = last.0.map_or((-1, -1), |(doc, version)| (i64::from(doc.0), i64::from(version.0)));
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
    let docs: BTreeSet<DocNo> = step.iter().map(|(doc, _)| *doc).collect();
    for doc in docs {
        let before = held::of(connection, tenant, doc).await?;
        for (_, version) in step.iter().filter(|(of, _)| *of == doc) {
            sql("DELETE FROM chunkings WHERE tenant = $1 AND doc = $2 AND version = $3 AND recipe = $4")
                .bind(tenant.as_str())
                .bind(doc.0)
                .bind(version.0)
                .bind(recipe.as_str())
                .execute(&mut *connection)
                .await?;
        }
        held::settle(connection, tenant, doc, before, Spending::Regardless).await?;
    }
    Ok(step.last().map(|last| Dropped(Some(*last))))
}

async fn drop_vectors(connection: &mut Connection, tenant: &TenantId, recipe: &RecipeId) -> Result<bool> {
    let dropped = sql("DELETE FROM embeddings WHERE tenant = $1 AND recipe = $2 AND hash IN (
             SELECT hash FROM embeddings WHERE tenant = $1 AND recipe = $2 ORDER BY hash LIMIT $3)")
    .bind(tenant.as_str())
    .bind(recipe.as_str())
    .bind(long(VECTORS_PER_STEP))
    .execute(connection)
    .await?;
    Ok(dropped > 0)
}
