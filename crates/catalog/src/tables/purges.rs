//! Purging: what is left of a deleted document goes for good.
//!
//! Promises: beginning a purge is one write with its number and its leaf, and from then on nothing of the document can
//! be read or restored; what remains is taken away in bounded steps that a stop or a crash only interrupts, because the
//! purge stays on a list until everything is gone, the index included. The document's number is never given to another,
//! and its versions go on counting, so that an old citation never meets new text. A vector stays as long as a chunk of
//! the tenant needs it. Does not: know the index.

use std::collections::BTreeMap;

use catena_access::Scope;
use catena_audit::Object;
use catena_domain::{DocNo, DocumentId, RecipeId, Seq, TenantId, Timestamp, VersionNo};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Changed, ChunkHash, Deed, Expect, PendingPurge, PurgeStep, Written};
use crate::store::{Connection, Row, in_task, sql, sql_of};
use crate::tables::codec::{hex, json, long};
use crate::tables::documents::{self, Standing, Stored};
use crate::tables::{chain, suspects};

/// Rows of one kind that one step takes away, each about one kibibyte or, for blocks of text, a few.
const ROWS_PER_STEP: i64 = 1_000;
/// Purges that are listed at once.
const PENDING_LISTED: i64 = 100;

impl Catalog {
    /// Begins to purge a deleted document; `None` when there is no such document, or nothing of it any more. Refused
    /// when it is not deleted. Asked again while the purge goes on, it says which write began it.
    pub async fn purge_document(
        &self,
        scope: &Scope,
        id: &DocumentId,
        expect: Expect,
        deed: impl Into<Deed<Changed>>,
    ) -> Result<Option<Written<Changed>>> {
        let (store, tenant, id, mut deed) = (self.store.clone(), scope.tenant().clone(), id.clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let Some(stored) = documents::find(tx.connection(), &tenant, &id).await? else { return Ok(None) };
            suspects::drop_of(tx.connection(), &tenant, &id).await?;
            let version = stored.current.version;
            if let Expect::Version(expected) = expect
                && expected != version
            {
                let reason = "is not at the expected version; list the deleted documents again, then decide";
                return Err(CatalogError::Precondition { document: id, reason });
            }
            let seq = match stored.standing {
                Standing::Live => {
                    let what = format!("document {id}");
                    return Err(CatalogError::Conflict { what, reason: "is not deleted; delete it first" });
                }
                Standing::Deleted => begin(tx.connection(), &tenant, &stored).await?,
                Standing::Purged => match pending_seq(tx.connection(), &tenant, stored.current.doc).await? {
                    Some(seq) => seq,
                    None => return Ok(None),
                },
            };
            if stored.standing == Standing::Deleted {
                deed.draft.seq = Some(seq.0);
            }
            let hash = (stored.standing == Standing::Deleted).then(|| hex(&stored.current.text_sha256));
            let object = Object { version: Some(version.0), sha256: hash, ..Object::new("document", id.as_str()) };
            deed.draft.objects.push(object);
            deed.done(tx, &tenant, Changed { version, seq }).await.map(Some)
        })
        .await
    }

    /// The documents of the tenant that were deleted before `before`, at most so many, the earliest first.
    pub async fn deleted_before(&self, scope: &Scope, before: Timestamp, limit: usize) -> Result<Vec<DocumentId>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT document FROM documents
             WHERE tenant = $1 AND deleted_at <= $2 AND live = 0 AND purged_at IS NULL ORDER BY deleted_at LIMIT $3")
        .bind(scope.tenant().as_str())
        .bind(before.0)
        .bind(long(limit as u64))
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(|row| row.name("document")).collect()
    }

    /// The deleted documents of a source that nobody purged, after `after`, at most so many.
    pub async fn deleted_of_source(
        &self,
        scope: &Scope,
        source: &str,
        after: Option<DocNo>,
        limit: usize,
    ) -> Result<Vec<(DocNo, DocumentId)>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT doc, document FROM documents
             WHERE tenant = $1 AND live = 0 AND purged_at IS NULL AND source = $2 AND doc > $3 ORDER BY doc LIMIT $4")
        .bind(scope.tenant().as_str())
        .bind(source)
        .bind(after.map_or(-1, |after| i64::from(after.0)))
        .bind(long(limit as u64))
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(|row| Ok((DocNo(row.u32("doc")?), row.name("document")?))).collect()
    }

    /// How many those are.
    pub async fn deleted_of_source_count(&self, scope: &Scope, source: &str) -> Result<u64> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT count(*) AS documents FROM documents
             WHERE tenant = $1 AND live = 0 AND purged_at IS NULL AND source = $2")
        .bind(scope.tenant().as_str())
        .bind(source)
        .fetch_one(&mut tx)
        .await?;
        row.u64("documents")
    }

    /// Purges of the tenant that were begun and are not finished, the earliest first; not necessarily all.
    pub async fn pending_purges(&self, scope: &Scope) -> Result<Vec<PendingPurge>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT doc, version FROM purges WHERE tenant = $1 ORDER BY seq, doc LIMIT $2")
            .bind(scope.tenant().as_str())
            .bind(PENDING_LISTED)
            .fetch_all(&mut tx)
            .await?;
        let pending =
            |row: &Row| Ok(PendingPurge { doc: DocNo(row.u32("doc")?), upto: VersionNo(row.u32("version")?) });
        rows.iter().map(pending).collect()
    }

    /// Takes one more bounded part of a purge's texts, chunks and vectors away.
    pub async fn purge_step(&self, scope: &Scope, purge: PendingPurge) -> Result<PurgeStep> {
        let (store, tenant) = (self.store.clone(), scope.tenant().clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let step = step(tx.connection(), &tenant, purge).await?;
            tx.commit().await?;
            Ok(step)
        })
        .await
    }

    /// Takes a purge off the list: the catalog and the index hold nothing of it any more.
    pub async fn finish_purge(&self, scope: &Scope, purge: PendingPurge) -> Result<()> {
        let (store, tenant) = (self.store.clone(), scope.tenant().clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            // A later purge of the same document, which reaches further, stays.
            sql("DELETE FROM purges WHERE tenant = $1 AND doc = $2 AND version <= $3")
                .bind(tenant.as_str())
                .bind(purge.doc.0)
                .bind(purge.upto.0)
                .execute(tx.connection())
                .await?;
            tx.commit().await
        })
        .await
    }

    /// Empties the database's log of earlier states of its pages, so that what was purged is not in it either. Where
    /// that is the database's own business, as in PostgreSQL, it does nothing.
    pub async fn forget_earlier_pages(&self) -> Result<()> {
        let store = self.store.clone();
        in_task(async move { store.empty_log().await }).await
    }
}

/// Marks the document and empties its row.
async fn begin(connection: &mut Connection, tenant: &TenantId, stored: &Stored) -> Result<Seq> {
    let (now, doc) = (clock::now(), stored.current.doc);
    let seq = chain::next_seq(connection, tenant).await?;
    sql("UPDATE documents SET purged_at = $3, changed_seq = $4, title = '', uri = NULL, content_type = '',
                              attributes = '{}', source = NULL, modified_at = NULL
         WHERE tenant = $1 AND doc = $2")
    .bind(tenant.as_str())
    .bind(doc.0)
    .bind(now.0)
    .bind(long(seq.0))
    .execute(&mut *connection)
    .await?;
    sql("INSERT INTO purges (tenant, doc, version, seq, begun_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, doc) DO UPDATE SET version = excluded.version, seq = excluded.seq,
                                                 begun_at = excluded.begun_at")
    .bind(tenant.as_str())
    .bind(doc.0)
    .bind(stored.current.version.0)
    .bind(long(seq.0))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(seq)
}

async fn pending_seq(connection: &mut Connection, tenant: &TenantId, doc: DocNo) -> Result<Option<Seq>> {
    let row = sql("SELECT seq FROM purges WHERE tenant = $1 AND doc = $2")
        .bind(tenant.as_str())
        .bind(doc.0)
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.u64("seq").map(Seq)).transpose()
}

async fn step(connection: &mut Connection, tenant: &TenantId, purge: PendingPurge) -> Result<PurgeStep> {
    let chunks = sql("DELETE FROM chunks WHERE tenant = $1 AND doc = $2 AND (version, recipe, chunk) IN (
             SELECT version, recipe, chunk FROM chunks WHERE tenant = $1 AND doc = $2 AND version <= $3
             ORDER BY version, recipe, chunk LIMIT $4)
         RETURNING recipe, hash")
    .bind(tenant.as_str())
    .bind(purge.doc.0)
    .bind(purge.upto.0)
    .bind(ROWS_PER_STEP)
    .fetch_all(&mut *connection)
    .await?;
    if !chunks.is_empty() {
        drop_unused_vectors(connection, tenant, &chunks).await?;
        return Ok(PurgeStep::More);
    }
    for statement in [
        "DELETE FROM version_text WHERE tenant = $1 AND doc = $2 AND (version, start_byte) IN (
             SELECT version, start_byte FROM version_text WHERE tenant = $1 AND doc = $2 AND version <= $3
             ORDER BY version, start_byte LIMIT $4)",
        "DELETE FROM version_places WHERE tenant = $1 AND doc = $2 AND (version, start_byte) IN (
             SELECT version, start_byte FROM version_places WHERE tenant = $1 AND doc = $2 AND version <= $3
             ORDER BY version, start_byte LIMIT $4)",
        "DELETE FROM chunkings WHERE tenant = $1 AND doc = $2 AND (version, recipe) IN (
             SELECT version, recipe FROM chunkings WHERE tenant = $1 AND doc = $2 AND version <= $3
             ORDER BY version, recipe LIMIT $4)",
        "DELETE FROM screenings WHERE tenant = $1 AND doc = $2 AND version IN (
             SELECT version FROM screenings WHERE tenant = $1 AND doc = $2 AND version <= $3
             ORDER BY version LIMIT $4)",
        "DELETE FROM versions WHERE tenant = $1 AND doc = $2 AND version IN (
             SELECT version FROM versions WHERE tenant = $1 AND doc = $2 AND version <= $3
             ORDER BY version LIMIT $4)",
    ] {
        let delete = sql(statement).bind(tenant.as_str()).bind(purge.doc.0).bind(purge.upto.0).bind(ROWS_PER_STEP);
        if delete.execute(&mut *connection).await? > 0 {
            return Ok(PurgeStep::More);
        }
    }
    Ok(PurgeStep::Nothing)
}

/// Removes the vectors of chunks that are gone, unless another chunk of the tenant needs them.
pub(crate) async fn drop_unused_vectors(connection: &mut Connection, tenant: &TenantId, chunks: &[Row]) -> Result<()> {
    let mut hashes: BTreeMap<RecipeId, Vec<ChunkHash>> = BTreeMap::new();
    for chunk in chunks {
        hashes.entry(chunk.name("recipe")?).or_default().push(chunk.hash("hash")?);
    }
    for (recipe, hashes) in hashes {
        sql_of(
            "DELETE FROM embeddings WHERE tenant = $1 AND recipe = $2
               AND hash IN (SELECT unhex(value) FROM json_each($3))
               AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.tenant = embeddings.tenant
                                 AND c.hash = embeddings.hash AND c.recipe = embeddings.recipe)",
            "DELETE FROM embeddings WHERE tenant = $1 AND recipe = $2
               AND hash IN (SELECT decode(value, 'hex') FROM jsonb_array_elements_text($3::JSONB) AS value)
               AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.tenant = embeddings.tenant
                                 AND c.hash = embeddings.hash AND c.recipe = embeddings.recipe)",
        )
        .bind(tenant.as_str())
        .bind(recipe.as_str())
        .bind(json(&hashes.iter().map(hex).collect::<Vec<_>>()))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
