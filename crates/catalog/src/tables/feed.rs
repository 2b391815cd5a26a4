//! What the index is built from, and the live table that decides what in it may be seen.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use catena_access::{Attribute, Attributes, LiveChanges, LiveDocument, Liveness, Scope};
use catena_domain::{AclId, DocNo, RecipeId, Seq, Span, TenantId, VersionNo};

use crate::Catalog;
use crate::error::Result;
use crate::model::{IndexChanges, IndexRow};
use crate::store::{Connection, Row, sql};
use crate::tables::codec::{corrupt, long, vector_of};
use crate::tables::tenants;
use crate::tables::text::{self, TextOf};

/// Most bytes of texts in one answer, but for one document that is longer by itself.
const TEXTS_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The attribute that says which language a document is in.
const LANG: &str = "lang";

impl Catalog {
    /// What the index of a recipe must take in after `after`: current versions of live documents, in the order of
    /// their sequence numbers. Stops early after `documents_max` documents, after much text, and before a document
    /// that is not cut under the recipe; `upto` says where.
    pub async fn index_changes(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        after: Seq,
        documents_max: usize,
    ) -> Result<IndexChanges> {
        let documents_max = documents_max.max(1);
        let mut tx = self.store.read(scope).await?;
        let mut upto = tenants::seq(&mut tx, scope.tenant()).await?.max(after);
        let found = sql("SELECT d.doc, d.version, d.title, d.attributes, d.version_seq, v.text_bytes, k.chunks
             FROM documents d
             JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
             LEFT JOIN chunkings k
                 ON k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version AND k.recipe = $2
             WHERE d.tenant = $1 AND d.version_seq > $3 AND d.live = 1
             ORDER BY d.version_seq LIMIT $4")
        .bind(scope.tenant().as_str())
        .bind(recipe.as_str())
        .bind(long(after.0))
        .bind(long(documents_max as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for (number, row) in found.iter().enumerate() {
            let is_cut = row.long_or_null("chunks")?.is_some();
            bytes += row.u64("text_bytes")?;
            if number == documents_max || !is_cut || (number > 0 && bytes > TEXTS_BYTES_MAX) {
                // Everything before this document's number is covered: what lies between changed no current version.
                upto = Seq(row.u64("version_seq")? - 1);
                break;
            }
            rows.append(&mut rows_of(&mut tx, scope.tenant(), recipe, row).await?);
        }
        Ok(IndexChanges { rows, upto })
    }

    /// The rows of those versions that are current, live, and cut under the recipe.
    pub async fn index_rows(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        documents: &[(DocNo, VersionNo)],
    ) -> Result<Vec<IndexRow>> {
        let mut tx = self.store.read(scope).await?;
        let mut rows = Vec::new();
        for (doc, version) in documents {
            let found = sql("SELECT d.doc, d.version, d.title, d.attributes, v.text_bytes
                 FROM documents d
                 JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
                 WHERE d.tenant = $1 AND d.doc = $2 AND d.version = $3 AND d.live = 1")
            .bind(scope.tenant().as_str())
            .bind(doc.0)
            .bind(version.0)
            .fetch_optional(&mut tx)
            .await?;
            if let Some(row) = found {
                rows.append(&mut rows_of(&mut tx, scope.tenant(), recipe, &row).await?);
            }
        }
        Ok(rows)
    }

    /// What changed in the live table after `after`; everything, when that is zero.
    pub async fn live_changes(&self, scope: &Scope, after: Seq) -> Result<LiveChanges> {
        let mut tx = self.store.read(scope).await?;
        let seq = tenants::seq(&mut tx, scope.tenant()).await?;
        let documents = sql("SELECT doc, version, acl, live, source, attributes FROM documents
             WHERE tenant = $1 AND changed_seq > $2 ORDER BY changed_seq")
        .bind(scope.tenant().as_str())
        .bind(long(after.0))
        .fetch_all(&mut tx)
        .await?;
        let acls = sql("SELECT acl, entries FROM acls WHERE tenant = $1 AND first_seq > $2 ORDER BY first_seq, acl")
            .bind(scope.tenant().as_str())
            .bind(long(after.0))
            .fetch_all(&mut tx)
            .await?;
        let acl_of = |row: &Row| Ok((AclId(row.u32("acl")?), Arc::new(row.acl("entries")?)));
        Ok(LiveChanges {
            seq,
            documents: live_documents(&documents)?,
            acls: acls.iter().map(acl_of).collect::<Result<_>>()?,
        })
    }
}

/// The index rows of one version, given a row with `doc`, `version`, `title`, `attributes` and `text_bytes`.
async fn rows_of(
    connection: &mut Connection,
    tenant: &TenantId,
    recipe: &RecipeId,
    document: &Row,
) -> Result<Vec<IndexRow>> {
    let (doc, version) = (DocNo(document.u32("doc")?), VersionNo(document.u32("version")?));
    let title = document.text("title")?;
    let attributes: Attributes = document.json("attributes")?;
    let lang = attributes.get(LANG).and_then(Attribute::text);
    let found = sql("SELECT c.chunk, c.start_byte, c.end_byte, c.headings, e.vector
         FROM chunks c
         LEFT JOIN embeddings e ON e.tenant = c.tenant AND e.recipe = c.recipe AND e.hash = c.hash
         WHERE c.tenant = $1 AND c.doc = $2 AND c.version = $3 AND c.recipe = $4 ORDER BY c.chunk")
    .bind(tenant.as_str())
    .bind(doc.0)
    .bind(version.0)
    .bind(recipe.as_str())
    .fetch_all(&mut *connection)
    .await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let text = text::read(connection, TextOf { tenant, doc, version }, document.u64("text_bytes")?).await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        let chunk = row.u32("chunk")?;
        let span = span_of(&row)?;
        let damaged = |what| corrupt(what, format!("document {doc} version {version} chunk {chunk}"));
        rows.push(IndexRow {
            doc,
            version,
            chunk,
            title: title.clone(),
            headings: row.json("headings")?,
            body: span.of(&text).ok_or_else(|| damaged("the span"))?.to_owned(),
            lang: lang.map(str::to_owned),
            vector: vector_of(&row.blob("vector").map_err(|_| damaged("the vector"))?)?,
        });
    }
    Ok(rows)
}

/// The span in a row with the columns `start_byte` and `end_byte`.
pub(crate) fn span_of(row: &Row) -> Result<Span> {
    Span::new(row.u32("start_byte")?, row.u32("end_byte")?).ok_or_else(|| corrupt("a span", "chunks"))
}

/// The documents of these rows. Equal attributes are read once and shared: most documents of a tenant state few things.
fn live_documents(rows: &[Row]) -> Result<Vec<LiveDocument>> {
    let mut known: HashMap<String, Arc<Attributes>> = HashMap::new();
    let mut document = |row: &Row| -> Result<LiveDocument> {
        let attributes = match known.entry(row.text("attributes")?) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => Arc::clone(new.insert(Arc::new(row.json("attributes")?))),
        };
        Ok(LiveDocument {
            doc: DocNo(row.u32("doc")?),
            version: VersionNo(row.u32("version")?),
            acl: AclId(row.u32("acl")?),
            live: if row.flag("live")? { Liveness::Live } else { Liveness::Deleted },
            source: row.text_or_null("source")?.map(Arc::from),
            attributes,
        })
    };
    rows.iter().map(&mut document).collect()
}
