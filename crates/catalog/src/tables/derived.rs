//! What is derived from a version by a recipe: chunks and vectors. It can be made again at any time.

use std::collections::HashSet;

use catena_access::Scope;
use catena_domain::{DocNo, RecipeId, TenantId, VersionNo, limits};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{ChunkHash, ChunksPut, Count, Cut, Embedding, Fence, NewChunk, Spending, StoredText, Tally};
use crate::store::{Connection, Insertion, in_task, insert_rows, sql, sql_of};
use crate::tables::codec::{hex, json, long, names_json, vector_bytes};
use crate::tables::text::{self, TextOf};
use crate::tables::{held, job_runs};

/// Most bytes of texts handed out at once, but for one text that is longer by itself.
const TEXTS_BYTES_MAX: u64 = 32 * 1024 * 1024;

const CHUNKS: &str = "INSERT INTO chunks (tenant, recipe, doc, version, chunk, start_byte, end_byte, headings,
                                     line_first, line_last, tokens, hash)";
const EMBEDDINGS: Insertion = Insertion {
    head: "INSERT INTO embeddings (tenant, recipe, hash, vector)",
    tail: "ON CONFLICT (tenant, recipe, hash) DO NOTHING",
};

/// A version's chunks and vectors under one recipe, ready to be stored.
pub(crate) struct Derived {
    pub(crate) recipe: RecipeId,
    pub(crate) chunks: Vec<NewChunk>,
    pub(crate) embeddings: Vec<Embedding>,
}

impl From<Cut> for Derived {
    fn from(cut: Cut) -> Self {
        Self { recipe: cut.recipe, chunks: cut.chunks, embeddings: cut.embeddings }
    }
}

impl Catalog {
    /// Which of these chunks the tenant has vectors for under a recipe, or under another one of the same model, from
    /// which they are taken when the chunks are stored. Never answers from another tenant's.
    pub async fn embeddings_known(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        hashes: &[ChunkHash],
    ) -> Result<HashSet<ChunkHash>> {
        if hashes.is_empty() {
            return Ok(HashSet::new());
        }
        let mut tx = self.store.read(scope).await?;
        let recipes = of_one_model(&mut tx, scope.tenant(), recipe).await?;
        let rows = sql_of(
            "SELECT DISTINCT hash FROM embeddings
             WHERE tenant = $1 AND recipe IN (SELECT value FROM json_each($2))
               AND hash IN (SELECT unhex(value) FROM json_each($3))",
            "SELECT DISTINCT hash FROM embeddings
             WHERE tenant = $1 AND recipe IN (SELECT value FROM jsonb_array_elements_text($2::JSONB) AS value)
               AND hash IN (SELECT decode(value, 'hex') FROM jsonb_array_elements_text($3::JSONB) AS value)",
        )
        .bind(scope.tenant().as_str())
        .bind(names_json(&recipes))
        .bind(hashes_json(hashes))
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(|row| row.hash("hash")).collect()
    }

    /// How much of the tenant's live documents is cut under a recipe: `done`. Of the documents, `total` is how many there
    /// are.
    pub async fn chunked(&self, scope: &Scope, recipe: &RecipeId) -> Result<Tally> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT count(*) AS total, count(k.doc) AS documents,
                    CAST(coalesce(sum(k.chunks), 0) AS BIGINT) AS chunks
             FROM documents d
             LEFT JOIN chunkings k ON k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version AND k.recipe = $2
             WHERE d.tenant = $1 AND d.live = 1")
        .bind(scope.tenant().as_str())
        .bind(recipe.as_str())
        .fetch_one(&mut tx)
        .await?;
        let tokens = sql("SELECT CAST(coalesce(sum(c.tokens), 0) AS BIGINT) AS tokens
             FROM documents d
             JOIN chunks c ON c.tenant = d.tenant AND c.doc = d.doc AND c.version = d.version AND c.recipe = $2
             WHERE d.tenant = $1 AND d.live = 1")
        .bind(scope.tenant().as_str())
        .bind(recipe.as_str())
        .fetch_one(&mut tx)
        .await?;
        let count = |done, total| Count { done, total };
        Ok(Tally {
            documents: count(row.u64("documents")?, row.u64("total")?),
            chunks: count(row.u64("chunks")?, 0),
            tokens: count(tokens.u64("tokens")?, 0),
        })
    }

    /// Documents whose current version is not cut under a recipe, after `after`, in the order of their numbers. May be
    /// fewer than `limit` when the texts are long; none means that there are no more.
    pub async fn documents_unchunked(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        after: Option<DocNo>,
        limit: usize,
    ) -> Result<Vec<StoredText>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT d.document, d.doc, d.version, d.content_type, d.source, d.title, v.text_bytes
             FROM documents d
             JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
             WHERE d.tenant = $1 AND d.doc > $3 AND d.live = 1 AND NOT EXISTS (
                 SELECT 1 FROM chunkings k
                 WHERE k.tenant = d.tenant AND k.recipe = $2 AND k.doc = d.doc AND k.version = d.version)
             ORDER BY d.doc LIMIT $4")
        .bind(scope.tenant().as_str())
        .bind(recipe.as_str())
        .bind(after.map_or(-1, |after| i64::from(after.0)))
        .bind(long(limit.clamp(1, limits::PAGE_ITEMS_MAX) as u64))
        .fetch_all(&mut tx)
        .await?;
        let (mut texts, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            let text_bytes = row.u64("text_bytes")?;
            bytes += text_bytes;
            if bytes > TEXTS_BYTES_MAX && !texts.is_empty() {
                break;
            }
            let (doc, version) = (DocNo(row.u32("doc")?), VersionNo(row.u32("version")?));
            let of = TextOf { tenant: scope.tenant(), doc, version };
            texts.push(StoredText {
                document: row.name("document")?,
                doc,
                version,
                content_type: row.text("content_type")?,
                source: row.text_or_null("source")?,
                title: row.text("title")?,
                text: text::read(&mut tx, of, text_bytes).await?,
            });
        }
        Ok(texts)
    }

    /// Stores what a recipe made of a version, in place of what was stored before. Takes no sequence number and
    /// writes no leaf, because nothing becomes true by it. Refused when it is part of a job that another worker has.
    pub async fn put_chunks(
        &self,
        scope: &Scope,
        doc: DocNo,
        version: VersionNo,
        cut: Cut,
        fence: Option<&Fence>,
    ) -> Result<ChunksPut> {
        let (store, tenant, fence) = (self.store.clone(), scope.tenant().clone(), fence.cloned());
        let derived = Derived::from(cut);
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            job_runs::require_held_if_any(tx.connection(), &tenant, fence.as_ref()).await?;
            let row = sql("SELECT d.document, v.text_bytes FROM documents d
                 JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
                 WHERE d.tenant = $1 AND d.doc = $2 AND d.version = $3 AND d.live = 1")
            .bind(tenant.as_str())
            .bind(doc.0)
            .bind(version.0)
            .fetch_optional(tx.connection())
            .await?;
            let Some(row) = row else { return Ok(ChunksPut::Superseded) };
            let of = TextOf { tenant: &tenant, doc, version };
            let text = text::read(tx.connection(), of, row.u64("text_bytes")?).await?;
            derived.check(&text)?;
            let before = held::of(tx.connection(), &tenant, doc).await?;
            sql("DELETE FROM chunkings WHERE tenant = $1 AND recipe = $2 AND doc = $3 AND version = $4")
                .bind(tenant.as_str())
                .bind(derived.recipe.as_str())
                .bind(doc.0)
                .bind(version.0)
                .execute(tx.connection())
                .await?;
            derived.insert(tx.connection(), of).await?;
            held::settle(tx.connection(), &tenant, doc, before, Spending::Regardless).await?;
            job_runs::went_well(tx.connection(), &tenant, fence.as_ref(), &row.text("document")?).await?;
            tx.commit().await?;
            Ok(ChunksPut::Stored)
        })
        .await
    }
}

impl Derived {
    /// Checks what can be checked without the database: every chunk is a piece of the text, every vector a vector.
    pub(crate) fn check(&self, text: &str) -> Result<()> {
        let invalid = |what, reason: String| Err(CatalogError::Invalid { what, reason });
        for chunk in &self.chunks {
            if chunk.span.of(text).is_none() {
                let (start, end) = (chunk.span.start, chunk.span.end);
                return invalid("a chunk", format!("spans bytes {start} to {end}, which is not a piece of the text"));
            }
        }
        let length = self.embeddings.first().map_or(0, |(_, vector)| vector.len());
        for (_, vector) in &self.embeddings {
            if vector.is_empty() || vector.len() != length || !vector.iter().all(|value| value.is_finite()) {
                return invalid(
                    "a vector",
                    "is empty, of another length than its neighbours, or not finite".to_owned(),
                );
            }
        }
        Ok(())
    }

    /// Stores chunks and vectors of a version that has none under this recipe.
    pub(crate) async fn insert(&self, connection: &mut Connection, of: TextOf<'_>) -> Result<()> {
        self.check_dimension(connection, of.tenant).await?;
        self.insert_embeddings(connection, of.tenant).await?;
        sql("INSERT INTO chunkings (tenant, recipe, doc, version, chunks) VALUES ($1, $2, $3, $4, $5)")
            .bind(of.tenant.as_str())
            .bind(self.recipe.as_str())
            .bind(of.doc.0)
            .bind(of.version.0)
            .bind(long(self.chunks.len() as u64))
            .execute(&mut *connection)
            .await?;
        let common = [of.tenant.as_str().into(), self.recipe.as_str().into(), of.doc.0.into(), of.version.0.into()];
        let chunks: Vec<(u32, &NewChunk)> = (0..).zip(&self.chunks).collect();
        insert_rows(connection, CHUNKS, &common, &chunks, |(number, chunk)| {
            let NewChunk { span, headings, lines: (first, last), tokens, hash } = chunk;
            let (number, start, end) = ((*number).into(), span.start.into(), span.end.into());
            let hash = hash.to_vec().into();
            [number, start, end, json(headings).into(), (*first).into(), (*last).into(), (*tokens).into(), hash]
        })
        .await?;
        self.require_embeddings(connection, of.tenant).await
    }

    async fn insert_embeddings(&self, connection: &mut Connection, tenant: &TenantId) -> Result<()> {
        let common = [tenant.as_str().into(), self.recipe.as_str().into()];
        let row = |(hash, vector): &Embedding| [hash.to_vec().into(), vector_bytes(vector).into()];
        insert_rows(connection, EMBEDDINGS, &common, &self.embeddings, row).await
    }

    /// Vectors of one recipe have one length, the one that its generation was begun with.
    async fn check_dimension(&self, connection: &mut Connection, tenant: &TenantId) -> Result<()> {
        let Some((_, vector)) = self.embeddings.first() else { return Ok(()) };
        let row = sql("SELECT dimension FROM generations WHERE tenant = $1 AND recipe = $2 LIMIT 1")
            .bind(tenant.as_str())
            .bind(self.recipe.as_str())
            .fetch_optional(connection)
            .await?;
        let Some(row) = row else { return Ok(()) };
        let dimension = row.u32("dimension")?;
        if vector.len() as u64 == u64::from(dimension) {
            return Ok(());
        }
        let reason = format!("has {} values; recipe {} has vectors of {dimension}", vector.len(), self.recipe);
        Err(CatalogError::Invalid { what: "a vector", reason })
    }

    /// Every chunk has a vector, from now or from before. One that was believed to be there may have been dropped.
    async fn require_embeddings(&self, connection: &mut Connection, tenant: &TenantId) -> Result<()> {
        let hashes: Vec<ChunkHash> = self.chunks.iter().map(|chunk| chunk.hash).collect();
        if self.missing(connection, tenant, &hashes).await? == 0 {
            return Ok(());
        }
        self.take_over(connection, tenant, &hashes).await?;
        match self.missing(connection, tenant, &hashes).await? {
            0 => Ok(()),
            missing => Err(CatalogError::VectorsMissing { missing }),
        }
    }

    /// Takes vectors over that the tenant has under other recipes of the same model.
    async fn take_over(&self, connection: &mut Connection, tenant: &TenantId, hashes: &[ChunkHash]) -> Result<()> {
        let recipes = of_one_model(connection, tenant, &self.recipe).await?;
        for recipe in recipes.iter().filter(|recipe| **recipe != self.recipe) {
            sql_of(
                "INSERT INTO embeddings (tenant, recipe, hash, vector)
                 SELECT tenant, $2, hash, vector FROM embeddings
                 WHERE tenant = $1 AND recipe = $4 AND hash IN (SELECT unhex(value) FROM json_each($3))
                 ON CONFLICT (tenant, recipe, hash) DO NOTHING",
                "INSERT INTO embeddings (tenant, recipe, hash, vector)
                 SELECT tenant, $2, hash, vector FROM embeddings
                 WHERE tenant = $1 AND recipe = $4
                   AND hash IN (SELECT decode(value, 'hex') FROM jsonb_array_elements_text($3::JSONB) AS value)
                 ON CONFLICT (tenant, recipe, hash) DO NOTHING",
            )
            .bind(tenant.as_str())
            .bind(self.recipe.as_str())
            .bind(hashes_json(hashes))
            .bind(recipe.as_str())
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// How many of these chunks have no vector.
    async fn missing(&self, connection: &mut Connection, tenant: &TenantId, hashes: &[ChunkHash]) -> Result<u64> {
        let row = sql_of(
            "SELECT count(*) AS missing FROM json_each($3) h WHERE NOT EXISTS (
                 SELECT 1 FROM embeddings WHERE tenant = $1 AND recipe = $2 AND hash = unhex(h.value))",
            "SELECT count(*) AS missing FROM jsonb_array_elements_text($3::JSONB) AS value WHERE NOT EXISTS (
                 SELECT 1 FROM embeddings WHERE tenant = $1 AND recipe = $2 AND hash = decode(value, 'hex'))",
        )
        .bind(tenant.as_str())
        .bind(self.recipe.as_str())
        .bind(hashes_json(hashes))
        .fetch_one(connection)
        .await?;
        row.u64("missing")
    }
}

/// The recipe, and the others by which the tenant has generations and that make vectors with the same model.
async fn of_one_model(connection: &mut Connection, tenant: &TenantId, recipe: &RecipeId) -> Result<Vec<RecipeId>> {
    let rows = sql("SELECT DISTINCT recipe FROM generations WHERE tenant = $1 AND recipe <> $2 ORDER BY recipe")
        .bind(tenant.as_str())
        .bind(recipe.as_str())
        .fetch_all(connection)
        .await?;
    let mut recipes = vec![recipe.clone()];
    for row in &rows {
        let other: RecipeId = row.name("recipe")?;
        if other.has_model_of(recipe) {
            recipes.push(other);
        }
    }
    Ok(recipes)
}

fn hashes_json(hashes: &[ChunkHash]) -> String {
    json(&hashes.iter().map(hex).collect::<Vec<_>>())
}
