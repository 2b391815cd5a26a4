//! Earlier versions and deleted documents: for administrators to read, for writers to bring back.

use catena_access::Scope;
use catena_domain::{DocumentId, VersionNo};

use crate::Catalog;
use crate::error::Result;
use crate::model::{DeletedRow, Page, Restorable, Version};
use crate::store::sql_of;
use crate::tables::codec::{corrupt, json, long};
use crate::tables::page::{self, Items as _};
use crate::tables::reads::{admitted, admitting, document_row_of, version_with_text};
use crate::tables::text::TextOf;
use crate::tables::{documents, places};

impl Catalog {
    /// One version of a document with its text, also one that is not current any more. For the tenant's administrators
    /// alone, as far as the current ACL admits them: what admits others today may be wider than what did then.
    pub async fn version(&self, scope: &Scope, id: &DocumentId, version: VersionNo) -> Result<Option<Version>> {
        if !scope.principal().is_administrator() {
            return Ok(None);
        }
        let mut tx = self.store.read(scope).await?;
        let Some(admitted) = admitted(&mut tx, scope, id).await? else { return Ok(None) };
        let Some(stored) = version_with_text(&mut tx, scope.tenant(), admitted.doc, version).await? else {
            return Ok(None);
        };
        Ok(Some(Version {
            version,
            title: stored.title.map_or_else(|| admitted.row.text("title"), Ok)?,
            content_type: stored.content_type.map_or_else(|| admitted.row.text("content_type"), Ok)?,
            created_at: stored.created_at,
            bytes_sha256: stored.bytes_sha256,
            text: stored.text,
            text_sha256: stored.text_sha256,
            rule: admitted.rule,
        }))
    }

    /// What a writer needs to bring a version back: the version, and what is there now, deleted or not. `None` when
    /// there is no such version, or not any more.
    pub async fn restorable(&self, scope: &Scope, id: &DocumentId, version: VersionNo) -> Result<Option<Restorable>> {
        let mut tx = self.store.read(scope).await?;
        let Some(stored) = documents::find(&mut tx, scope.tenant(), id).await? else { return Ok(None) };
        let Some(old) = version_with_text(&mut tx, scope.tenant(), stored.current.doc, version).await? else {
            return Ok(None);
        };
        let of = TextOf { tenant: scope.tenant(), doc: stored.current.doc, version };
        Ok(Some(Restorable {
            places: places::read(&mut tx, of).await?,
            noticed: old.noticed,
            title: old.title.unwrap_or_else(|| stored.current.title.clone()),
            content_type: old.content_type.unwrap_or_else(|| stored.current.content_type.clone()),
            bytes_sha256: old.bytes_sha256,
            text: old.text,
            state: stored.liveness(),
            changed_seq: stored.changed_seq,
            current: stored.current,
        }))
    }

    /// The deleted documents whose purge was not begun, after `after`, in the order of their ids, as far as their last
    /// ACL admits the principal.
    pub async fn deleted_documents(
        &self,
        scope: &Scope,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Page<DeletedRow>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let acls = admitting(&mut tx, scope).await?;
        let rows = sql_of(
            "SELECT d.document, d.title, d.uri, d.content_type, d.source, d.modified_at, d.version, v.created_at,
                    d.deleted_at
             FROM documents d
             JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
             WHERE d.tenant = $1 AND d.document > $2 AND d.live = 0 AND d.purged_at IS NULL
               AND d.acl IN (SELECT value FROM json_each($3))
             ORDER BY d.document LIMIT $4",
            "SELECT d.document, d.title, d.uri, d.content_type, d.source, d.modified_at, d.version, v.created_at,
                    d.deleted_at
             FROM documents d
             JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
             WHERE d.tenant = $1 AND d.document > $2 AND d.live = 0 AND d.purged_at IS NULL
               AND d.acl IN (SELECT value::BIGINT FROM jsonb_array_elements_text($3::JSONB) AS value)
             ORDER BY d.document LIMIT $4",
        )
        .bind(scope.tenant().as_str())
        .bind(after.map_or("", |after| after.as_str()))
        .bind(json(&acls))
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let deleted_at =
                row.time_or_null("deleted_at")?.ok_or_else(|| corrupt("the time of a deletion", "documents"))?;
            items.push(DeletedRow { row: document_row_of(row)?, deleted_at });
        }
        Ok(items.into_page(limit, |deleted: &DeletedRow| deleted.row.id.to_string()))
    }
}
