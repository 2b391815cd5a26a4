//! Reading documents. Each answer is decided on the ACL that the same transaction reads.

use catena_access::acl::Rule;
use catena_access::{Acl, Decision, Scope};
use catena_domain::{DocNo, DocumentId, TenantId, Timestamp, VersionNo};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::Result;
use crate::model::{Change, Document, DocumentRow, Noticed, Page, VersionRow};
use crate::store::{Connection, Row, sql, sql_of};
use crate::tables::codec::{corrupt, hex, json, long, sha256};
use crate::tables::page::{self, Items as _};
use crate::tables::screenings;
use crate::tables::text::{self, TextOf};

/// A live document whose ACL admits the principal.
pub(crate) struct Admitted {
    pub(crate) row: Row,
    pub(crate) doc: DocNo,
    acl: Acl,
    pub(crate) rule: Rule,
}

/// A version with its text, whose hash was checked. Versions from before there was a place for it have no title and no
/// content type of their own.
pub(crate) struct VersionWithText {
    pub(crate) created_at: Timestamp,
    pub(crate) title: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes_sha256: [u8; 32],
    pub(crate) text: String,
    pub(crate) text_sha256: [u8; 32],
    pub(crate) noticed: Noticed,
}

impl Catalog {
    /// A document with its text; `None` when there is none, or none for this principal.
    pub async fn document(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>> {
        let mut tx = self.store.read(scope).await?;
        let Some(Admitted { row, doc, acl, rule }) = admitted(&mut tx, scope, id).await? else { return Ok(None) };
        let version = VersionNo(row.u32("version")?);
        let stored = version_with_text(&mut tx, scope.tenant(), doc, version)
            .await?
            .ok_or_else(|| corrupt("the version", id))?;
        let flags = screenings::flags(&mut tx, TextOf { tenant: scope.tenant(), doc, version }).await?;
        Ok(Some(Document {
            id: id.clone(),
            doc,
            title: row.text("title")?,
            uri: row.text_or_null("uri")?,
            content_type: row.text("content_type")?,
            attributes: row.json("attributes")?,
            source: row.text_or_null("source")?,
            modified_at: row.time_or_null("modified_at")?,
            indexed_at: stored.created_at,
            version,
            versions: version.0,
            acl,
            text: stored.text,
            text_sha256: stored.text_sha256,
            noticed: stored.noticed,
            flags,
            rule,
        }))
    }

    /// The text of a version, also of one that is not current any more, with its hash; the document's current ACL
    /// decides. `None` when there is none, or none for this principal.
    pub async fn version_text(
        &self,
        scope: &Scope,
        id: &DocumentId,
        version: VersionNo,
    ) -> Result<Option<(String, [u8; 32])>> {
        let mut tx = self.store.read(scope).await?;
        let Some(admitted) = admitted(&mut tx, scope, id).await? else { return Ok(None) };
        let found = version_with_text(&mut tx, scope.tenant(), admitted.doc, version).await?;
        Ok(found.map(|version| (version.text, version.text_sha256)))
    }

    /// A document's versions, the oldest first; `None` when there is no such document, or none for this principal.
    pub async fn versions(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Vec<VersionRow>>> {
        let mut tx = self.store.read(scope).await?;
        let Some(admitted) = admitted(&mut tx, scope, id).await? else { return Ok(None) };
        let rows = sql("SELECT v.version, v.created_at, v.change, v.bytes_sha256, v.text_sha256, v.text_bytes,
                    coalesce(k.chunks, 0) AS chunks
             FROM versions v
             JOIN generations g ON g.tenant = v.tenant AND g.state = 'live'
             LEFT JOIN chunkings k
                 ON k.tenant = v.tenant AND k.doc = v.doc AND k.version = v.version AND k.recipe = g.recipe
             WHERE v.tenant = $1 AND v.doc = $2 AND NOT EXISTS (
                 SELECT 1 FROM purges p WHERE p.tenant = v.tenant AND p.doc = v.doc AND p.version >= v.version)
             ORDER BY v.version")
        .bind(scope.tenant().as_str())
        .bind(admitted.doc.0)
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(version_of).collect::<Result<_>>().map(Some)
    }

    /// The documents that the principal may see, after `after`, in the order of their ids. Those that it may not see
    /// leave no trace, neither a gap nor a short page.
    pub async fn documents(
        &self,
        scope: &Scope,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Page<DocumentRow>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let acls = admitting(&mut tx, scope).await?;
        let rows = sql_of(
            "SELECT d.document, d.title, d.uri, d.content_type, d.source, d.modified_at, d.version, v.created_at
             FROM documents d
             JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
             WHERE d.tenant = $1 AND d.document > $2 AND d.live = 1
               AND d.acl IN (SELECT value FROM json_each($3))
             ORDER BY d.document LIMIT $4",
            "SELECT d.document, d.title, d.uri, d.content_type, d.source, d.modified_at, d.version, v.created_at
             FROM documents d
             JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
             WHERE d.tenant = $1 AND d.document > $2 AND d.live = 1
               AND d.acl IN (SELECT value::BIGINT FROM jsonb_array_elements_text($3::JSONB) AS value)
             ORDER BY d.document LIMIT $4",
        )
        .bind(scope.tenant().as_str())
        .bind(after.map_or("", |after| after.as_str()))
        .bind(json(&acls))
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let items: Vec<DocumentRow> = rows.iter().map(document_row_of).collect::<Result<_>>()?;
        Ok(items.into_page(limit, |row| row.id.to_string()))
    }
}

/// The numbers of the tenant's ACLs that admit the principal.
pub(crate) async fn admitting(connection: &mut Connection, scope: &Scope) -> Result<Vec<u32>> {
    let rows = sql("SELECT acl, entries FROM acls WHERE tenant = $1")
        .bind(scope.tenant().as_str())
        .fetch_all(connection)
        .await?;
    let (mut acls, now) = (Vec::new(), clock::now());
    for row in rows {
        if row.acl("entries")?.decide(scope.principal(), now).is_admitted() {
            acls.push(row.u32("acl")?);
        }
    }
    Ok(acls)
}

pub(crate) async fn admitted(connection: &mut Connection, scope: &Scope, id: &DocumentId) -> Result<Option<Admitted>> {
    let row =
        sql("SELECT d.doc, d.version, d.title, d.uri, d.content_type, d.attributes, d.source, d.modified_at, a.entries
         FROM documents d JOIN acls a ON a.tenant = d.tenant AND a.acl = d.acl
         WHERE d.tenant = $1 AND d.document = $2 AND d.live = 1")
        .bind(scope.tenant().as_str())
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let acl = row.acl("entries")?;
    match acl.decide(scope.principal(), clock::now()) {
        Decision::Admitted(rule) => Ok(Some(Admitted { doc: DocNo(row.u32("doc")?), row, acl, rule })),
        Decision::Refused(_) | Decision::Unknown(_) => Ok(None),
    }
}

/// A version, unless it is being purged.
pub(crate) async fn version_with_text(
    connection: &mut Connection,
    tenant: &TenantId,
    doc: DocNo,
    version: VersionNo,
) -> Result<Option<VersionWithText>> {
    let row =
        sql("SELECT created_at, title, content_type, bytes_sha256, text_sha256, text_bytes, noticed FROM versions v
         WHERE tenant = $1 AND doc = $2 AND version = $3 AND NOT EXISTS (
             SELECT 1 FROM purges p WHERE p.tenant = v.tenant AND p.doc = v.doc AND p.version >= v.version)")
        .bind(tenant.as_str())
        .bind(doc.0)
        .bind(version.0)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let text = text::read(connection, TextOf { tenant, doc, version }, row.u64("text_bytes")?).await?;
    let text_sha256 = row.hash("text_sha256")?;
    if sha256(text.as_bytes()) != text_sha256 {
        return Err(corrupt("the text with hash", hex(&text_sha256)));
    }
    Ok(Some(VersionWithText {
        created_at: row.time("created_at")?,
        title: row.text_or_null("title")?,
        content_type: row.text_or_null("content_type")?,
        bytes_sha256: row.hash("bytes_sha256")?,
        text,
        text_sha256,
        noticed: row.text_or_null("noticed")?.map_or_else(|| Ok(Noticed::new()), |_| row.json("noticed"))?,
    }))
}

fn version_of(row: &Row) -> Result<VersionRow> {
    let change = match row.text("change")?.as_str() {
        "created" => Change::Created,
        "changed" => Change::NewVersion,
        other => return Err(corrupt("a version's change", other)),
    };
    Ok(VersionRow {
        version: VersionNo(row.u32("version")?),
        created_at: row.time("created_at")?,
        bytes_sha256: row.hash("bytes_sha256")?,
        text_sha256: row.hash("text_sha256")?,
        bytes: row.u64("text_bytes")?,
        chunks: row.u32("chunks")?,
        change,
    })
}

pub(crate) fn document_row_of(row: &Row) -> Result<DocumentRow> {
    Ok(DocumentRow {
        id: row.name("document")?,
        title: row.text("title")?,
        uri: row.text_or_null("uri")?,
        content_type: row.text("content_type")?,
        source: row.text_or_null("source")?,
        modified_at: row.time_or_null("modified_at")?,
        indexed_at: row.time("created_at")?,
        version: VersionNo(row.u32("version")?),
    })
}
