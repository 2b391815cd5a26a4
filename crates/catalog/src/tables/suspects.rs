//! Submissions that the policy keeps back, until an administrator lets them in or turns them away.
//!
//! Promises: what waits is in no table that a search, a list or a read of documents looks into; it is there for those of the
//! tenant's administrators alone whom its own access list admits; of a document the last submission waits, and whatever
//! is written to the document after it, or its deletion, takes it away; equal bytes are kept once. Each tenant's share is bounded.
//! Does not: search in what waits, or keep it in a backup any differently from everything else.

use catena_access::Scope;
use catena_audit::{Draft, Object};
use catena_domain::{DocNo, DocumentId, Seq, TenantId, VersionNo, limits};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{
    Amount, Change, Deed, Expect, NewSuspect, Page, PutOutcome, Suspect, SuspectRow, UsageKind, Written,
};
use crate::store::{Connection, Row, in_task, sql};
use crate::tables::codec::{acl_text, corrupt, hex, json, long, sha256};
use crate::tables::page::{self, Items as _};
use crate::tables::{documents, tenants, usage};

const ZSTD_LEVEL: i32 = 3;
/// Bytes compressed before other tasks get a turn.
const BYTES_PER_TURN: usize = 512 * 1024;
/// The status of a write that is accepted and waits.
const ACCEPTED: u16 = 202;

impl Catalog {
    /// Keeps a submission back. Nothing of the document changes. The value says what is there now; of a document that
    /// is not, its version is 0.
    pub async fn keep_back(
        &self,
        scope: &Scope,
        suspect: NewSuspect,
        expect: Expect,
        deed: impl Into<Deed<PutOutcome>>,
    ) -> Result<Written<PutOutcome>> {
        let (store, tenant, mut deed) = (self.store.clone(), scope.tenant().clone(), deed.into());
        in_task(async move {
            let zstd = compress(&suspect.bytes).await?;
            let mut tx = store.write(&tenant).await?;
            let before = documents::find(tx.connection(), &tenant, &suspect.document).await?;
            documents::require(before.as_ref(), &suspect.document, expect)?;
            let base = before.as_ref().map(|before| before.changed_seq);
            insert(tx.connection(), &tenant, &suspect, base, zstd).await?;
            require_room(tx.connection(), &tenant).await?;
            usage::add(tx.connection(), &tenant, UsageKind::Writes, 1).await?;
            let live = before.filter(documents::Stored::is_live).map(|before| before.current);
            let value = PutOutcome {
                doc: live.as_ref().map_or(DocNo(0), |live| live.doc),
                version: live.as_ref().map_or(VersionNo(0), |live| live.version),
                seq: None,
                change: Change::Quarantined,
                at: tenants::seq(tx.connection(), &tenant).await?,
                cut: Amount::default(),
                embedded: Amount::default(),
            };
            deed.draft.status = ACCEPTED;
            name(&mut deed.draft, &suspect.document, &suspect.bytes_sha256);
            let found =
                suspect.found.iter().map(|(detector, times)| Object::new("found", format!("{detector}={times}")));
            deed.draft.objects.extend(found);
            deed.done(tx, &tenant, value).await
        })
        .await
    }

    /// What waits after `after` and admits the principal, in the order of the documents' ids. To all but administrators
    /// of the tenant who act as themselves, nothing does.
    pub async fn suspects(&self, scope: &Scope, after: Option<&DocumentId>, limit: usize) -> Result<Page<SuspectRow>> {
        if !scope.principal().is_administrator() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let (mut items, mut after) = (Vec::new(), after.map_or_else(String::new, ToString::to_string));
        loop {
            let rows = sql("SELECT document, handed_in_at, base_seq, policy, bytes_sha256, bytes, found, acl
                 FROM quarantine WHERE tenant = $1 AND document > $2 ORDER BY document LIMIT $3")
            .bind(scope.tenant().as_str())
            .bind(after.as_str())
            .bind(long(limit as u64 + 1))
            .fetch_all(&mut tx)
            .await?;
            for row in &rows {
                if is_shown(scope, row)? {
                    items.push(row_of(row)?);
                }
            }
            match rows.last() {
                Some(last) if rows.len() > limit && items.len() <= limit => after = last.text("document")?,
                _ => return Ok(items.into_page(limit, |item: &SuspectRow| item.document.to_string())),
            }
        }
    }

    /// What waits of a document, whole; `None` for all but administrators of the tenant who act as themselves, and for
    /// those whom its access list does not admit.
    pub async fn suspect(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Suspect>> {
        if !scope.principal().is_administrator() {
            return Ok(None);
        }
        let mut tx = self.store.read(scope).await?;
        let row =
            sql("SELECT document, handed_in_at, base_seq, policy, bytes_sha256, bytes, found, zstd, acl, said, spans
             FROM quarantine WHERE tenant = $1 AND document = $2")
            .bind(scope.tenant().as_str())
            .bind(id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        if !is_shown(scope, &row)? {
            return Ok(None);
        }
        let damaged = || corrupt("what is kept back of document", id);
        let bytes = zstd::decode_all(row.blob("zstd")?.as_slice()).map_err(|_| damaged())?;
        let listed = row_of(&row)?;
        if sha256(&bytes) != listed.bytes_sha256 {
            return Err(damaged());
        }
        Ok(Some(Suspect {
            row: listed,
            bytes,
            acl: row.acl("acl")?,
            said: row.text("said")?,
            spans: row.json("spans")?,
        }))
    }

    /// The hash of the bytes that wait of a document, and of the policy that keeps them back, for whoever writes and
    /// asks whether the same need be handed in again.
    pub async fn waiting(&self, scope: &Scope, id: &DocumentId) -> Result<Option<([u8; 32], [u8; 32])>> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT bytes_sha256, policy FROM quarantine WHERE tenant = $1 AND document = $2")
            .bind(scope.tenant().as_str())
            .bind(id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        row.map(|row| Ok((row.hash("bytes_sha256")?, row.hash("policy")?))).transpose()
    }

    /// Turns away what waits of a document; `None` when nothing does, or not for this principal.
    pub async fn reject(
        &self,
        scope: &Scope,
        id: &DocumentId,
        deed: impl Into<Deed<()>>,
    ) -> Result<Option<Written<()>>> {
        if !scope.principal().is_administrator() {
            return Ok(None);
        }
        let (store, scope, id, mut deed) = (self.store.clone(), scope.clone(), id.clone(), deed.into());
        in_task(async move {
            let tenant = scope.tenant();
            let mut tx = store.write(tenant).await?;
            let waits = sql("SELECT bytes_sha256, acl FROM quarantine WHERE tenant = $1 AND document = $2")
                .bind(tenant.as_str())
                .bind(id.as_str())
                .fetch_optional(tx.connection())
                .await?;
            let Some(waits) = waits else { return Ok(None) };
            if !is_shown(&scope, &waits)? {
                return Ok(None);
            }
            drop_of(tx.connection(), tenant, &id).await?;
            name(&mut deed.draft, &id, &waits.hash("bytes_sha256")?);
            deed.done(tx, tenant, ()).await.map(Some)
        })
        .await
    }
}

/// Whether what waits is there for an administrator, as a document of this access list would be.
fn is_shown(scope: &Scope, row: &Row) -> Result<bool> {
    Ok(row.acl("acl")?.decide(scope.principal(), clock::now()).is_admitted())
}

/// Takes away what waits of a document, because something newer is known of it.
pub(crate) async fn drop_of(connection: &mut Connection, tenant: &TenantId, id: &DocumentId) -> Result<()> {
    sql("DELETE FROM quarantine WHERE tenant = $1 AND document = $2")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

fn name(draft: &mut Draft, id: &DocumentId, bytes_sha256: &[u8; 32]) {
    draft.objects.push(Object { sha256: Some(hex(bytes_sha256)), ..Object::new("quarantined", id.as_str()) });
}

/// Puts the submission in the place of what waited of the document. When that was the same under the same policy, its
/// time stays.
async fn insert(
    connection: &mut Connection,
    tenant: &TenantId,
    suspect: &NewSuspect,
    base: Option<Seq>,
    zstd: Vec<u8>,
) -> Result<()> {
    sql("INSERT INTO quarantine (tenant, document, handed_in_at, base_seq, policy, bytes_sha256, bytes, zstd, acl,
                                 said, found, spans)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (tenant, document) DO UPDATE SET
             handed_in_at = CASE WHEN quarantine.bytes_sha256 = excluded.bytes_sha256
                                 THEN quarantine.handed_in_at ELSE excluded.handed_in_at END,
             base_seq = excluded.base_seq, policy = excluded.policy, bytes_sha256 = excluded.bytes_sha256,
             bytes = excluded.bytes, zstd = excluded.zstd, acl = excluded.acl, said = excluded.said, found = excluded.found,
             spans = excluded.spans")
    .bind(tenant.as_str())
    .bind(suspect.document.as_str())
    .bind(clock::now().0)
    .bind(base.map(|base| long(base.0)))
    .bind(suspect.policy.to_vec())
    .bind(suspect.bytes_sha256.to_vec())
    .bind(long(suspect.bytes.len() as u64))
    .bind(zstd)
    .bind(acl_text(&suspect.acl))
    .bind(suspect.said.as_str())
    .bind(json(&suspect.found))
    .bind(json(&suspect.spans))
    .execute(connection)
    .await?;
    Ok(())
}

async fn require_room(connection: &mut Connection, tenant: &TenantId) -> Result<()> {
    let row = sql("SELECT count(*) AS documents, CAST(coalesce(sum(bytes), 0) AS BIGINT) AS bytes
         FROM quarantine WHERE tenant = $1")
    .bind(tenant.as_str())
    .fetch_one(connection)
    .await?;
    if row.u64("documents")? > limits::QUARANTINED_MAX || row.u64("bytes")? > limits::QUARANTINED_BYTES_MAX {
        let what = format!("the firewall's quarantine of tenant {tenant}");
        return Err(CatalogError::Conflict { what, reason: "is full; release or reject what waits there first" });
    }
    Ok(())
}

/// The bytes in frames that follow one another, which any reader of zstd takes for one.
async fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut zstd = Vec::with_capacity(bytes.len() / 3);
    for piece in bytes.chunks(BYTES_PER_TURN) {
        let failed = |error: std::io::Error| CatalogError::Invalid {
            what: "the document",
            reason: format!("cannot be compressed: {error}"),
        };
        zstd.extend(zstd::bulk::compress(piece, ZSTD_LEVEL).map_err(failed)?);
        tokio::task::yield_now().await;
    }
    Ok(zstd)
}

fn row_of(row: &Row) -> Result<SuspectRow> {
    let base = row.long_or_null("base_seq")?.map(|_| row.u64("base_seq")).transpose()?;
    Ok(SuspectRow {
        document: row.name("document")?,
        handed_in_at: row.time("handed_in_at")?,
        base: base.map(Seq),
        policy: row.hash("policy")?,
        bytes_sha256: row.hash("bytes_sha256")?,
        bytes: row.u64("bytes")?,
        found: row.json("found")?,
    })
}
