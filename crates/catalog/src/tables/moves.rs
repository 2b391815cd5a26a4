//! What changes about a document while its text stays: what is said of it, and its id.
//!
//! Promises: a document that moves keeps its number, its versions, its chunks and its vectors; its old id is free from
//! then on. Does not: rename what stands in the record, or in what the index holds of its title.

use catena_access::Scope;
use catena_audit::Object;
use catena_domain::DocumentId;

use crate::Catalog;
use crate::error::Result;
use crate::model::{Amount, Change, Changed, Deed, Move, PutOutcome, Restated, UsageKind, Written};
use crate::store::{in_task, sql};
use crate::tables::codec::{acl_text, hex, json, long, sha256};
use crate::tables::documents::{self, intern};
use crate::tables::{chain, tenants, usage};

impl Catalog {
    /// Says of a document what is true now, as a write of the same bytes would; `None` when there is no live document
    /// of that id with these bytes. Equal to what is there, it changes nothing and takes no number.
    pub async fn restate_document(
        &self,
        scope: &Scope,
        restated: Restated,
        deed: impl Into<Deed<PutOutcome>>,
    ) -> Result<Option<Written<PutOutcome>>> {
        let (store, tenant, mut deed) = (self.store.clone(), scope.tenant().clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let found = documents::find(tx.connection(), &tenant, &restated.id).await?;
            let Some(stored) = found.filter(|stored| stored.is_live()) else { return Ok(None) };
            let now = &stored.current;
            if now.bytes_sha256 != restated.bytes_sha256 {
                return Ok(None);
            }
            let same = (&now.uri, &now.attributes, &now.source, now.modified_at, &now.acl)
                == (&restated.uri, &restated.attributes, &restated.source, restated.modified_at, &restated.acl);
            let (change, seq) = if same {
                (Change::None, None)
            } else {
                let seq = chain::next_seq(tx.connection(), &tenant).await?;
                let acl = intern(tx.connection(), &tenant, &restated.acl, seq).await?;
                sql("UPDATE documents SET uri = $3, attributes = $4, source = $5, modified_at = $6, acl = $7,
                                          changed_seq = $8 WHERE tenant = $1 AND doc = $2")
                .bind(tenant.as_str())
                .bind(now.doc.0)
                .bind(restated.uri.as_deref())
                .bind(json(&restated.attributes))
                .bind(restated.source.as_deref())
                .bind(restated.modified_at.map(|at| at.0))
                .bind(acl.0)
                .bind(long(seq.0))
                .execute(tx.connection())
                .await?;
                (Change::Metadata, Some(seq))
            };
            usage::add(tx.connection(), &tenant, UsageKind::Writes, 1).await?;
            let at = match seq {
                Some(seq) => seq,
                None => tenants::seq(tx.connection(), &tenant).await?,
            };
            let (doc, version) = (now.doc, now.version);
            deed.draft.seq = seq.map(|seq| seq.0);
            deed.draft.objects.push(documents::object(&restated.id, version, &now.text_sha256));
            deed.draft.policy.get_or_insert_with(|| hex(&sha256(acl_text(&restated.acl).as_bytes())));
            let value =
                PutOutcome { doc, version, seq, change, at, cut: Amount::default(), embedded: Amount::default() };
            deed.done(tx, &tenant, value).await.map(Some)
        })
        .await
    }

    /// Gives a document of a source another id; `None` when there is no such live document of that source, or when the
    /// new id is, or was, another's.
    pub async fn move_document(
        &self,
        scope: &Scope,
        moved: Move,
        deed: impl Into<Deed<Changed>>,
    ) -> Result<Option<Written<Changed>>> {
        let (store, tenant, mut deed) = (self.store.clone(), scope.tenant().clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let found = documents::find(tx.connection(), &tenant, &moved.from).await?;
            let Some(stored) = found.filter(|stored| stored.is_live()) else { return Ok(None) };
            let now = &stored.current;
            let is_free = documents::find(tx.connection(), &tenant, &moved.to).await?.is_none();
            if !is_free || now.source.as_deref() != Some(moved.source.as_str()) {
                return Ok(None);
            }
            let title = match &moved.title_from_id {
                Some((old, new)) if *old == now.title => new,
                _ => &now.title,
            };
            let seq = chain::next_seq(tx.connection(), &tenant).await?;
            sql("UPDATE documents SET document = $3, title = $4, changed_seq = $5 WHERE tenant = $1 AND doc = $2")
                .bind(tenant.as_str())
                .bind(now.doc.0)
                .bind(moved.to.as_str())
                .bind(title.as_str())
                .bind(long(seq.0))
                .execute(tx.connection())
                .await?;
            for (from, to) in [(&moved.to, None), (&moved.from, Some(&moved.to))] {
                rename_item(tx.connection(), scope_of(&tenant, &moved), from, to).await?;
            }
            usage::add(tx.connection(), &tenant, UsageKind::Writes, 1).await?;
            deed.draft.seq = Some(seq.0);
            deed.draft.objects.push(documents::object(&moved.to, now.version, &now.text_sha256));
            deed.draft.objects.push(Object::new("moved-from", moved.from.as_str()));
            deed.done(tx, &tenant, Changed { version: now.version, seq }).await.map(Some)
        })
        .await
    }
}

type OfSource<'a> = (&'a catena_domain::TenantId, &'a catena_domain::SourceName);

fn scope_of<'a>(tenant: &'a catena_domain::TenantId, moved: &'a Move) -> OfSource<'a> {
    (tenant, &moved.source)
}

/// What is known of a document in its source goes with it, or goes away. It is read at its new place whatever its tag is,
/// since others may see it there.
async fn rename_item(
    connection: &mut crate::store::Connection,
    (tenant, source): OfSource<'_>,
    from: &DocumentId,
    to: Option<&DocumentId>,
) -> Result<()> {
    let statement = match to {
        Some(to) => {
            sql("UPDATE source_items SET document = $4, tag = '' WHERE tenant = $1 AND source = $2 AND document = $3")
                .bind(tenant.as_str())
                .bind(source.as_str())
                .bind(from.as_str())
                .bind(to.as_str())
        }
        None => sql("DELETE FROM source_items WHERE tenant = $1 AND source = $2 AND document = $3")
            .bind(tenant.as_str())
            .bind(source.as_str())
            .bind(from.as_str()),
    };
    statement.execute(connection).await?;
    Ok(())
}
