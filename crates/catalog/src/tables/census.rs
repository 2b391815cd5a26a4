//! Which rows the index should hold, counted by version: what an index is held against.
//!
//! Promises: the same answer from an open [`Catalog`] and from a [`CatalogReader`], which takes no lock and so looks beside
//! a service that runs. Does not: read texts or vectors.

use std::path::{Path, PathBuf};

use catena_access::Scope;
use catena_domain::{DocNo, RecipeId, Seq, TenantId, VersionNo};

use crate::Catalog;
use crate::error::Result;
use crate::folder;
use crate::model::{IndexedVersion, LiveIndex};
use crate::store::{Connection, Database, Reach, Reader, Row, sql};
use crate::tables::codec::long;
use crate::tables::{generations, verify};

/// Versions read at once.
const VERSIONS_PER_READ: usize = 4_096;

impl Catalog {
    /// The live generation of every tenant that is not gone, and how far the tenant is.
    pub async fn live_indexes(&self) -> Result<Vec<LiveIndex>> {
        live_indexes(&mut self.store.read(Reach::Installation).await?).await
    }

    /// Current versions of live documents that are cut under the recipe, in the order of their documents' numbers, from
    /// the one behind `after` on; none when there are no more.
    pub async fn indexed_versions(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        after: Option<DocNo>,
    ) -> Result<Vec<IndexedVersion>> {
        let mut tx = self.store.read(scope).await?;
        versions(&mut tx, scope.tenant(), recipe, after).await
    }
}

/// A way to look into a catalog without having it.
pub struct CatalogReader(Source);

enum Source {
    Embedded(PathBuf),
    Postgres(Reader),
}

impl CatalogReader {
    /// Looks into the catalog in `database`, which lies in `folder` if it is the embedded one.
    pub async fn open(folder: &Path, database: &Database) -> Result<Self> {
        Ok(Self(match database {
            Database::Embedded => Source::Embedded(folder::database(folder)),
            Database::Postgres(place) => Source::Postgres(Reader::open(place).await?),
        }))
    }

    /// As [`Catalog::live_indexes`].
    pub async fn live_indexes(&self) -> Result<Vec<LiveIndex>> {
        live_indexes(&mut self.read(Reach::Installation).await?).await
    }

    /// Where a tenant is now, and every version that [`Catalog::indexed_versions`] names, all as of one moment.
    pub async fn census(&self, tenant: &TenantId, recipe: &RecipeId) -> Result<Vec<IndexedVersion>> {
        let mut tx = self.read(Reach::Tenant(tenant)).await?;
        let mut all: Vec<IndexedVersion> = Vec::new();
        loop {
            let more = versions(&mut tx, tenant, recipe, all.last().map(|last| last.doc)).await?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    async fn read(&self, reach: Reach<'_>) -> Result<Connection> {
        match &self.0 {
            Source::Embedded(path) => verify::open(path).await,
            Source::Postgres(reader) => reader.read(reach).await,
        }
    }
}

async fn live_indexes(tx: &mut Connection) -> Result<Vec<LiveIndex>> {
    let rows = sql("SELECT t.tenant, t.seq, g.generation, g.recipe, g.dimension, g.state, g.created_at, g.promoted_at,
                g.chunking, t.chunking AS wanted
         FROM tenants t JOIN generations g ON g.tenant = t.tenant AND g.state = 'live'
         WHERE t.state IN ('active', 'suspended') ORDER BY t.tenant")
    .fetch_all(tx)
    .await?;
    rows.iter().map(live_index_of).collect()
}

fn live_index_of(row: &Row) -> Result<LiveIndex> {
    let (tenant, seq) = (row.name("tenant")?, Seq(row.u64("seq")?));
    Ok(LiveIndex { tenant, seq, generation: generations::row_of(row)?, chunking: row.json("wanted")? })
}

async fn versions(
    tx: &mut Connection,
    tenant: &TenantId,
    recipe: &RecipeId,
    after: Option<DocNo>,
) -> Result<Vec<IndexedVersion>> {
    let rows = sql("SELECT d.doc, d.version, d.version_seq, k.chunks FROM documents d
         JOIN chunkings k ON k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version AND k.recipe = $2
         WHERE d.tenant = $1 AND d.doc > $3 AND d.live = 1 ORDER BY d.doc LIMIT $4")
    .bind(tenant.as_str())
    .bind(recipe.as_str())
    .bind(after.map_or(-1, |after| i64::from(after.0)))
    .bind(long(VERSIONS_PER_READ as u64))
    .fetch_all(tx)
    .await?;
    rows.iter().map(version_of).collect()
}

fn version_of(row: &Row) -> Result<IndexedVersion> {
    Ok(IndexedVersion {
        doc: DocNo(row.u32("doc")?),
        version: VersionNo(row.u32("version")?),
        seq: Seq(row.u64("version_seq")?),
        chunks: row.u32("chunks")?,
    })
}
