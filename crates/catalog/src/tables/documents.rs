//! Writing documents: one short transaction for version, text, chunks, vectors, ACL, sequence number and leaf.
//!
//! What is searched for is the text under its title; a change of either, or of the kind of text, makes a version. What
//! is only said about the document does not.

use std::collections::HashSet;

use catena_access::{Acl, Liveness, Scope, attribute};
use catena_audit::{Draft, Object};
use catena_domain::{AclId, DocNo, DocumentId, Seq, TenantId, VersionNo, limits};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{
    Amount, Change, Changed, CurrentVersion, Deed, Expect, Held, NewDocument, PutOutcome, Screening, Spending,
    UsageKind, Written,
};
use crate::store::{Connection, Store, WriteTx, in_task, sql};
use crate::tables::codec::{acl_text, corrupt, hex, json, long, sha256};
use crate::tables::derived::Derived;
use crate::tables::text::{self, Block, TextOf};
use crate::tables::{chain, generations, held, job_runs, places, screenings, suspects, tenants, usage};

/// Longest normalised text, in bytes: normalising may lengthen what came in.
const TEXT_BYTES_MAX: usize = 4 * limits::DOCUMENT_BODY_BYTES_MAX;

/// A document's row, whether it is live, deleted or purged. Of a purged one, `current` tells the number and the last
/// version alone.
pub(crate) struct Stored {
    pub(crate) standing: Standing,
    pub(crate) changed_seq: Seq,
    pub(crate) current: CurrentVersion,
}

/// Where a document is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Live,
    Deleted,
    Purged,
}

impl Stored {
    pub(crate) fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    pub(crate) fn liveness(&self) -> Liveness {
        if self.is_live() { Liveness::Live } else { Liveness::Deleted }
    }
}

impl Catalog {
    /// What is there now, for whoever writes; `None` when there is no such document, or not any more.
    pub async fn current(&self, scope: &Scope, id: &DocumentId) -> Result<Option<CurrentVersion>> {
        let mut tx = self.store.read(scope).await?;
        Ok(find(&mut tx, scope.tenant(), id).await?.filter(Stored::is_live).map(|stored| stored.current))
    }

    /// Writes a document. Equal to what is there, it changes nothing and takes no sequence number; the leaf is written
    /// all the same.
    pub async fn put_document(
        &self,
        scope: &Scope,
        document: NewDocument,
        deed: impl Into<Deed<PutOutcome>>,
    ) -> Result<Written<PutOutcome>> {
        check(&document)?;
        in_task(put(self.store.clone(), scope.tenant().clone(), document, deed.into())).await
    }

    /// Replaces a document's ACL; `None` when there is no such document. The value is the sequence number from which
    /// on the ACL is in force: an old one, when the ACL is the one that was there.
    pub async fn set_acl(
        &self,
        scope: &Scope,
        id: &DocumentId,
        acl: &Acl,
        expect: Expect,
        deed: impl Into<Deed<Changed>>,
    ) -> Result<Option<Written<Changed>>> {
        let (store, tenant, id, acl) = (self.store.clone(), scope.tenant().clone(), id.clone(), acl.clone());
        let mut deed = deed.into();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let Some(stored) = find_live(tx.connection(), &tenant, &id).await? else { return Ok(None) };
            require(Some(&stored), &id, expect)?;
            let (mut seq, draft) = (stored.changed_seq, &mut deed.draft);
            if stored.current.acl != acl {
                seq = chain::next_seq(tx.connection(), &tenant).await?;
                let acl = intern(tx.connection(), &tenant, &acl, seq).await?;
                sql("UPDATE documents SET acl = $3, changed_seq = $4 WHERE tenant = $1 AND doc = $2")
                    .bind(tenant.as_str())
                    .bind(stored.current.doc.0)
                    .bind(acl.0)
                    .bind(long(seq.0))
                    .execute(tx.connection())
                    .await?;
                draft.seq = Some(seq.0);
            }
            draft.objects.push(object(&id, stored.current.version, &stored.current.text_sha256));
            draft.policy.get_or_insert_with(|| hex(&sha256(acl_text(&acl).as_bytes())));
            usage::add(tx.connection(), &tenant, UsageKind::Writes, 1).await?;
            deed.done(tx, &tenant, Changed { version: stored.current.version, seq }).await.map(Some)
        })
        .await
    }

    /// Deletes a document; `None` when there is no such document. From the next query on it is invisible to all; its
    /// versions stay until they are purged.
    pub async fn delete_document(
        &self,
        scope: &Scope,
        id: &DocumentId,
        expect: Expect,
        deed: impl Into<Deed<Changed>>,
    ) -> Result<Option<Written<Changed>>> {
        let (store, tenant, id, mut deed) = (self.store.clone(), scope.tenant().clone(), id.clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let Some(stored) = find_live(tx.connection(), &tenant, &id).await? else { return Ok(None) };
            require(Some(&stored), &id, expect)?;
            let doc = stored.current.doc;
            let before = held::of(tx.connection(), &tenant, doc).await?;
            let seq = chain::next_seq(tx.connection(), &tenant).await?;
            sql("UPDATE documents SET live = 0, changed_seq = $3, deleted_at = $4 WHERE tenant = $1 AND doc = $2")
                .bind(tenant.as_str())
                .bind(doc.0)
                .bind(long(seq.0))
                .bind(clock::now().0)
                .execute(tx.connection())
                .await?;
            held::settle(tx.connection(), &tenant, doc, before, Spending::WithinQuota).await?;
            suspects::drop_of(tx.connection(), &tenant, &id).await?;
            usage::add(tx.connection(), &tenant, UsageKind::Writes, 1).await?;
            deed.draft.seq = Some(seq.0);
            deed.draft.objects.push(object(&id, stored.current.version, &stored.current.text_sha256));
            deed.done(tx, &tenant, Changed { version: stored.current.version, seq }).await.map(Some)
        })
        .await
    }
}

/// The whole write. Text is compressed before the transaction, unless there is no need for it.
pub(crate) async fn put(
    store: Store,
    tenant: TenantId,
    mut document: NewDocument,
    mut deed: Deed<PutOutcome>,
) -> Result<Written<PutOutcome>> {
    let derived = Derived {
        recipe: document.recipe.clone(),
        chunks: std::mem::take(&mut document.chunks),
        embeddings: std::mem::take(&mut document.embeddings),
    };
    derived.check(&document.text)?;
    let also = document.besides.also.take().map(Derived::from);
    also.as_ref().map_or(Ok(()), |also| also.check(&document.text))?;
    places::check(&document.besides.places, &document.text)?;
    if sha256(document.text.as_bytes()) != document.text_sha256 {
        return Err(CatalogError::Invalid {
            what: "the text",
            reason: "does not have the hash that came with it".into(),
        });
    }
    let before = find(&mut store.read(&tenant).await?, &tenant, &document.id).await?;
    let mut blocks = None;
    if matches!(change(before.as_ref(), &document), Change::Created | Change::NewVersion) {
        blocks = Some(text::compress(&document.text).await?);
    }
    let mut tx = store.write(&tenant).await?;
    if let Some(chunking) = &document.besides.chunking
        && *chunking != tenants::chunking(tx.connection(), &tenant).await?
    {
        return Err(CatalogError::ChunkingChanged);
    }
    let also = match also {
        // The generation that it was for may have been replaced meanwhile, and what it was made of dropped.
        Some(also) if generations::is_in_use(tx.connection(), &tenant, &also.recipe).await? => Some(also),
        _ => None,
    };
    let before = find(tx.connection(), &tenant, &document.id).await?;
    require(before.as_ref(), &document.id, document.expect)?;
    let change = change(before.as_ref(), &document);
    if blocks.is_none() && matches!(change, Change::Created | Change::NewVersion) {
        // Somebody else's write came in between.
        blocks = Some(text::compress(&document.text).await?);
    }
    let write = Write { tenant: &tenant, document: &document, derived: &derived, also: also.as_ref(), change };
    let held = match &before {
        Some(before) => held::of(tx.connection(), &tenant, before.current.doc).await?,
        None => Held::default(),
    };
    let value = write.apply(&mut tx, before.as_ref(), blocks.as_deref().unwrap_or_default()).await?;
    held::settle(tx.connection(), &tenant, value.doc, held, Spending::WithinQuota).await?;
    let known = before.as_ref().and_then(|before| before.current.screening.as_ref()).map(|known| known.policy);
    let is_new = |screening: &&Screening| change != Change::None || known != Some(screening.policy);
    if let Some(screening) = document.screening.as_ref().filter(is_new) {
        let of = TextOf { tenant: &tenant, doc: value.doc, version: value.version };
        screenings::keep(tx.connection(), of, screening, deed.draft.actor.as_deref()).await?;
    }
    suspects::drop_of(tx.connection(), &tenant, &document.id).await?;
    job_runs::went_well(tx.connection(), &tenant, deed.fence.as_ref(), document.id.as_str()).await?;
    write.count(&mut tx).await?;
    write.record(&value, &mut deed.draft);
    deed.done(tx, &tenant, value).await
}

/// The status of a write that made its document, which nobody knows before the transaction does.
const CREATED: u16 = 201;

/// One write that has been decided on.
struct Write<'a> {
    tenant: &'a TenantId,
    document: &'a NewDocument,
    derived: &'a Derived,
    /// The same text cut for the generation that answers meanwhile.
    also: Option<&'a Derived>,
    change: Change,
}

impl Write<'_> {
    async fn apply(&self, tx: &mut WriteTx, before: Option<&Stored>, blocks: &[Block]) -> Result<PutOutcome> {
        let change = self.change;
        if let (Some(before), Change::None) = (before, change) {
            let (doc, version) = (before.current.doc, before.current.version);
            self.derive_again(tx, &before.current).await?;
            let at = tenants::seq(tx.connection(), self.tenant).await?;
            return Ok(self.outcome(doc, version, None, at));
        }
        let seq = chain::next_seq(tx.connection(), self.tenant).await?;
        let acl = intern(tx.connection(), self.tenant, &self.document.acl, seq).await?;
        if let (Some(before), Change::Metadata) = (before, change) {
            let (doc, version) = (before.current.doc, before.current.version);
            self.set_row(tx, doc, version, acl, seq).await?;
            self.derive_again(tx, &before.current).await?;
            return Ok(self.outcome(doc, version, Some(seq), seq));
        }
        let (doc, version) = match before {
            Some(before) => (before.current.doc, VersionNo(before.current.version.0 + 1)),
            None => (next_doc(tx.connection(), self.tenant).await?, VersionNo(1)),
        };
        self.set_row(tx, doc, version, acl, seq).await?;
        self.insert_version(tx, doc, version).await?;
        let of = TextOf { tenant: self.tenant, doc, version };
        text::write(tx.connection(), of, blocks).await?;
        places::write(tx.connection(), of, &self.document.besides.places).await?;
        for derived in self.every_derived() {
            derived.insert(tx.connection(), of).await?;
        }
        Ok(self.outcome(doc, version, Some(seq), seq))
    }

    fn outcome(&self, doc: DocNo, version: VersionNo, seq: Option<Seq>, at: Seq) -> PutOutcome {
        let chunks = &self.derived.chunks;
        let mut new: HashSet<&[u8; 32]> = self.derived.embeddings.iter().map(|(hash, _)| hash).collect();
        // Chunks of equal words share a vector.
        let embedded = Amount::of(chunks.iter().filter(|chunk| new.remove(&chunk.hash)));
        PutOutcome { doc, version, seq, change: self.change, at, cut: Amount::of(chunks), embedded }
    }

    /// The same text written under a recipe that has not cut it yet.
    async fn derive_again(&self, tx: &mut WriteTx, current: &CurrentVersion) -> Result<()> {
        let of = TextOf { tenant: self.tenant, doc: current.doc, version: current.version };
        for derived in self.every_derived().filter(|derived| !current.has_chunks(&derived.recipe)) {
            derived.insert(tx.connection(), of).await?;
        }
        Ok(())
    }

    fn every_derived(&self) -> impl Iterator<Item = &Derived> {
        std::iter::once(self.derived).chain(self.also)
    }

    /// The document's row as it is after the write.
    async fn set_row(&self, tx: &mut WriteTx, doc: DocNo, version: VersionNo, acl: AclId, seq: Seq) -> Result<()> {
        let document = self.document;
        sql("INSERT INTO documents (tenant, doc, document, live, version, acl, title, uri, content_type, attributes,
                                    source, modified_at, version_seq, changed_seq)
             VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
             ON CONFLICT (tenant, doc) DO UPDATE SET
                 version_seq = CASE WHEN documents.version = excluded.version
                                    THEN documents.version_seq ELSE excluded.version_seq END,
                 live = 1, deleted_at = NULL, purged_at = NULL, version = excluded.version, acl = excluded.acl, title = excluded.title,
                 uri = excluded.uri, content_type = excluded.content_type, attributes = excluded.attributes,
                 source = excluded.source, modified_at = excluded.modified_at, changed_seq = excluded.changed_seq")
        .bind(self.tenant.as_str())
        .bind(doc.0)
        .bind(document.id.as_str())
        .bind(version.0)
        .bind(acl.0)
        .bind(document.title.as_str())
        .bind(document.uri.as_deref())
        .bind(document.content_type.as_str())
        .bind(json(&document.attributes))
        .bind(document.source.as_deref())
        .bind(document.modified_at.map(|at| at.0))
        .bind(long(seq.0))
        .execute(tx.connection())
        .await?;
        Ok(())
    }

    async fn insert_version(&self, tx: &mut WriteTx, doc: DocNo, version: VersionNo) -> Result<()> {
        sql("INSERT INTO versions (tenant, doc, version, created_at, change, bytes_sha256, text_sha256, text_bytes,
                                   title, content_type, noticed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
        .bind(self.tenant.as_str())
        .bind(doc.0)
        .bind(version.0)
        .bind(clock::now().0)
        .bind(if self.change == Change::Created { "created" } else { "changed" })
        .bind(self.document.bytes_sha256.to_vec())
        .bind(self.document.text_sha256.to_vec())
        .bind(long(self.document.text.len() as u64))
        .bind(self.document.title.as_str())
        .bind(self.document.content_type.as_str())
        .bind(json(&self.document.besides.noticed))
        .execute(tx.connection())
        .await?;
        Ok(())
    }

    /// Counts the write as used, and its bytes when they were taken in.
    async fn count(&self, tx: &mut WriteTx) -> Result<()> {
        if matches!(self.change, Change::Created | Change::NewVersion) {
            let bytes = self.document.text.len() as u64;
            usage::add(tx.connection(), self.tenant, UsageKind::IngestedBytes, bytes).await?;
        }
        usage::add(tx.connection(), self.tenant, UsageKind::Writes, 1).await?;
        Ok(())
    }

    fn record(&self, outcome: &PutOutcome, draft: &mut Draft) {
        draft.seq = outcome.seq.map(|seq| seq.0);
        if self.change == Change::Created {
            draft.status = CREATED;
        }
        draft.objects.push(object(&self.document.id, outcome.version, &self.document.text_sha256));
        draft.recipe.get_or_insert_with(|| self.derived.recipe.to_string());
        draft.policy.get_or_insert_with(|| hex(&sha256(acl_text(&self.document.acl).as_bytes())));
    }
}

/// What a write changes.
fn change(before: Option<&Stored>, new: &NewDocument) -> Change {
    let Some(before) = before.filter(|before| before.is_live()) else { return Change::Created };
    let now = &before.current;
    if (&now.bytes_sha256, &now.text_sha256, &now.title, &now.content_type)
        != (&new.bytes_sha256, &new.text_sha256, &new.title, &new.content_type)
    {
        return Change::NewVersion;
    }
    let flags = |it: Option<&[String]>| it.unwrap_or_default().to_vec();
    let flags_now = flags(now.screening.as_ref().map(|it| it.flags.as_slice()));
    if (&now.uri, &now.attributes, &now.source, now.modified_at, &now.acl)
        != (&new.uri, &new.attributes, &new.source, new.modified_at, &new.acl)
        || new.screening.as_ref().is_some_and(|screening| screening.flags != flags_now)
    {
        return Change::Metadata;
    }
    Change::None
}

/// Whether what is there is what the writer believes. A deleted document has no version here.
pub(crate) fn require(before: Option<&Stored>, id: &DocumentId, expect: Expect) -> Result<()> {
    let version = before.filter(|before| before.is_live()).map(|before| before.current.version);
    let reason = match expect {
        Expect::Any => return Ok(()),
        Expect::Absent if version.is_none() => return Ok(()),
        Expect::Absent => "exists already",
        Expect::Version(expected) if version == Some(expected) => return Ok(()),
        Expect::Version(_) => "is not at the expected version; read it again, then decide",
        Expect::ChangedBy(seq) if before.is_some_and(|before| before.changed_seq == seq) => return Ok(()),
        Expect::ChangedBy(_) => "has been changed meanwhile; read it again, then decide",
    };
    Err(CatalogError::Precondition { document: id.clone(), reason })
}

fn check(new: &NewDocument) -> Result<()> {
    let invalid = |what, reason: String| Err(CatalogError::Invalid { what, reason });
    let too_long = |text: &str| text.len() > limits::ATTRIBUTE_BYTES_MAX;
    let optional = [&new.uri, &new.source].into_iter().flatten();
    let texts = optional.chain([&new.title, &new.content_type]);
    if let Some(text) = texts.into_iter().find(|text| too_long(text)) {
        let (bytes, limit_bytes) = (text.len(), limits::ATTRIBUTE_BYTES_MAX);
        return invalid(
            "a title, uri, source or content type",
            format!("is {bytes} bytes long; the limit is {limit_bytes}"),
        );
    }
    if let Err(error) = attribute::check(&new.attributes) {
        return invalid("the document", format!("cannot be written: {error}"));
    }
    if new.text.len() > TEXT_BYTES_MAX {
        return invalid("the text", format!("is {} bytes long; the limit is {TEXT_BYTES_MAX}", new.text.len()));
    }
    Ok(())
}

pub(crate) fn object(id: &DocumentId, version: VersionNo, text_sha256: &[u8; 32]) -> Object {
    Object { version: Some(version.0), sha256: Some(hex(text_sha256)), ..Object::new("document", id.as_str()) }
}

async fn find_live(connection: &mut Connection, tenant: &TenantId, id: &DocumentId) -> Result<Option<Stored>> {
    Ok(find(connection, tenant, id).await?.filter(Stored::is_live))
}

pub(crate) async fn find(connection: &mut Connection, tenant: &TenantId, id: &DocumentId) -> Result<Option<Stored>> {
    let row =
        sql("SELECT d.doc, d.live, d.purged_at, d.version, d.title, d.uri, d.content_type, d.attributes, d.source,
                d.modified_at, d.changed_seq, a.entries, v.bytes_sha256, v.text_sha256
         FROM documents d
         JOIN acls a ON a.tenant = d.tenant AND a.acl = d.acl
         LEFT JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
         WHERE d.tenant = $1 AND d.document = $2")
        .bind(tenant.as_str())
        .bind(id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (doc, version) = (DocNo(row.u32("doc")?), VersionNo(row.u32("version")?));
    let chunkings =
        sql("SELECT recipe, chunks FROM chunkings WHERE tenant = $1 AND doc = $2 AND version = $3 ORDER BY recipe")
            .bind(tenant.as_str())
            .bind(doc.0)
            .bind(version.0)
            .fetch_all(&mut *connection)
            .await?;
    let chunked = chunkings.iter().map(|row| Ok((row.name("recipe")?, row.u32("chunks")?))).collect::<Result<_>>()?;
    let standing = match (row.flag("live")?, row.long_or_null("purged_at")?) {
        (true, _) => Standing::Live,
        (false, None) => Standing::Deleted,
        (false, Some(_)) => Standing::Purged,
    };
    let screening = screenings::current(connection, TextOf { tenant, doc, version }).await?;
    let hash = |column| if standing == Standing::Purged { Ok([0; 32]) } else { row.hash(column) };
    let current = CurrentVersion {
        doc,
        version,
        bytes_sha256: hash("bytes_sha256")?,
        text_sha256: hash("text_sha256")?,
        title: row.text("title")?,
        uri: row.text_or_null("uri")?,
        content_type: row.text("content_type")?,
        attributes: row.json("attributes")?,
        source: row.text_or_null("source")?,
        modified_at: row.time_or_null("modified_at")?,
        acl: row.acl("entries")?,
        chunked,
        screening,
    };
    Ok(Some(Stored { standing, changed_seq: Seq(row.u64("changed_seq")?), current }))
}

async fn next_doc(connection: &mut Connection, tenant: &TenantId) -> Result<DocNo> {
    let row = sql("UPDATE tenants SET docs_next = docs_next + 1 WHERE tenant = $1 RETURNING docs_next - 1 AS doc")
        .bind(tenant.as_str())
        .fetch_one(connection)
        .await?;
    Ok(DocNo(row.u32("doc")?))
}

/// The number of an ACL of the tenant: the one it has, or the next.
pub(crate) async fn intern(connection: &mut Connection, tenant: &TenantId, acl: &Acl, seq: Seq) -> Result<AclId> {
    let entries = acl_text(acl);
    let hash = sha256(entries.as_bytes());
    let known = sql("SELECT acl, entries FROM acls WHERE tenant = $1 AND hash = $2")
        .bind(tenant.as_str())
        .bind(hash.to_vec())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = known {
        if row.text("entries")? != entries {
            return Err(corrupt("an access list", hex(&hash)));
        }
        return Ok(AclId(row.u32("acl")?));
    }
    let row = sql("UPDATE tenants SET acls_next = acls_next + 1 WHERE tenant = $1 RETURNING acls_next - 1 AS acl")
        .bind(tenant.as_str())
        .fetch_one(&mut *connection)
        .await?;
    let acl = AclId(row.u32("acl")?);
    sql("INSERT INTO acls (tenant, acl, hash, entries, first_seq) VALUES ($1, $2, $3, $4, $5)")
        .bind(tenant.as_str())
        .bind(acl.0)
        .bind(hash.to_vec())
        .bind(entries)
        .bind(long(seq.0))
        .execute(connection)
        .await?;
    Ok(acl)
}
