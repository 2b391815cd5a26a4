//! The record: leaves of questions, contexts, and reading it all back.
//!
//! Leaves of changes are appended by the transaction that makes the change. Those of questions go through one queue to
//! one task, which appends whatever waits in one transaction: many questions share the cost of one sync to disk. When
//! `record` returns, the leaf is durable; a caller who goes away does not stop it.

use std::collections::BTreeMap;

use catena_access::{Operator, Right, Scope};
use catena_audit::{Chain, Draft, LeafHash, LeafRef, Object, Outcome};
use catena_domain::{ContextId, KeyId, Span, TenantId, UserName, VersionNo};
use catena_runtime::clock;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{ContextCitation, ContextReceipt, NewContext, StoredLeaf, UsageKind};
use crate::store::{Batching, Connection, Reach, Row, Store, require_not_gone, sql};
use crate::tables::codec::{corrupt, hex, json, long};
use crate::tables::{chain, page, usage};

/// Most leaves that wait.
const QUEUE_MAX: usize = 1_024;
/// Most leaves of one transaction.
const BATCH_MAX: usize = 256;

/// The way to the task that appends leaves of questions. It ends when the last handle is gone.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Entry>,
}

/// One leaf that waits, with what is stored beside it.
struct Entry {
    tenant: Option<TenantId>,
    of: Of,
    draft: Draft,
    context: Option<Asked>,
    answer: oneshot::Sender<Result<LeafRef>>,
}

/// Which tenants a leaf may be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Those that are there. What was asked of one that is gone by now has no answer.
    Present,
    /// Also those that are gone: their record is still read.
    Any,
}

impl Entry {
    /// Whether it records a search or a context that was answered.
    fn is_question(&self) -> bool {
        self.context.is_some() || (self.draft.action == "search" && self.draft.outcome == Outcome::Done)
    }
}

/// A context and who asked for it.
struct Asked {
    context: NewContext,
    actor: KeyId,
    user: Option<UserName>,
}

impl Recorder {
    pub(crate) fn start(store: Store) -> Self {
        let (queue, mut waiting) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            let mut entries = Vec::with_capacity(BATCH_MAX);
            while waiting.recv_many(&mut entries, BATCH_MAX).await > 0 {
                let batches = batches(&store, entries.drain(..));
                join_all(batches.into_iter().map(|batch| append_and_answer(&store, batch))).await;
            }
        });
        Self { queue }
    }

    async fn append(&self, tenant: Option<TenantId>, of: Of, draft: Draft, context: Option<Asked>) -> Result<LeafRef> {
        let (answer, result) = oneshot::channel();
        let entry = Entry { tenant, of, draft, context, answer };
        self.queue.try_send(entry).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CatalogError::Busy { what: "the queue for the record" },
            mpsc::error::TrySendError::Closed(_) => CatalogError::Lost,
        })?;
        result.await.map_err(|_| CatalogError::Lost)?
    }
}

/// The entries in as few transactions as the database takes them in: one, or one for each chain.
fn batches(store: &Store, entries: impl Iterator<Item = Entry>) -> Vec<Vec<Entry>> {
    match store.batching() {
        Batching::AcrossTenants => vec![entries.collect()],
        Batching::PerTenant => {
            let mut batches: BTreeMap<Option<TenantId>, Vec<Entry>> = BTreeMap::new();
            for entry in entries {
                batches.entry(entry.tenant.clone()).or_default().push(entry);
            }
            batches.into_values().collect()
        }
    }
}

async fn append_and_answer(store: &Store, entries: Vec<Entry>) {
    match append_all(store, &entries).await {
        Ok(results) => {
            for (entry, result) in entries.into_iter().zip(results) {
                // Nobody waits any more when the caller has gone; the leaf is written all the same.
                let _ = entry.answer.send(result);
            }
        }
        Err(error) => {
            for entry in entries {
                let _ = entry.answer.send(Err(error.clone()));
            }
        }
    }
}

/// Appends the leaves in one transaction, and counts the questions among them as used. An entry that is refused leaves
/// nothing and does not disturb its neighbours.
async fn append_all(store: &Store, entries: &[Entry]) -> Result<Vec<Result<LeafRef>>> {
    let tenant = entries.first().and_then(|entry| entry.tenant.as_ref());
    let mut tx = store.write_first(tenant.map_or(Reach::Installation, Reach::Remains)).await?;
    let mut results = Vec::with_capacity(entries.len());
    let mut questions: BTreeMap<&TenantId, u64> = BTreeMap::new();
    for entry in entries {
        let result = append_one(tx.connection(), entry).await;
        if let (Ok(_), Some(tenant), true) = (&result, &entry.tenant, entry.is_question()) {
            *questions.entry(tenant).or_default() += 1;
        }
        match result {
            Ok(_) | Err(CatalogError::TenantGone { .. } | CatalogError::Conflict { .. }) => results.push(result),
            Err(error) => return Err(error),
        }
    }
    for (tenant, asked) in questions {
        usage::add(tx.connection(), tenant, UsageKind::Queries, asked).await?;
    }
    tx.commit().await?;
    Ok(results)
}

/// Whatever can refuse the entry comes before the first statement that changes anything.
async fn append_one(connection: &mut Connection, entry: &Entry) -> Result<LeafRef> {
    if let (Of::Present, Some(tenant)) = (entry.of, &entry.tenant) {
        require_not_gone(connection, tenant).await?;
    }
    let chain = entry.tenant.as_ref().map_or(Chain::Service, Chain::Tenant);
    let next = chain::next(connection, chain, &entry.draft).await?;
    if let (Some(asked), Some(tenant)) = (&entry.context, &entry.tenant) {
        insert_context(connection, tenant, asked, next.leaf).await?;
    }
    next.store(connection).await
}

async fn insert_context(connection: &mut Connection, tenant: &TenantId, asked: &Asked, leaf: LeafRef) -> Result<()> {
    let Asked { context, actor, user } = asked;
    let citations: Vec<StoredCitation> = context.citations.iter().map(StoredCitation::of).collect();
    let done = sql("INSERT INTO contexts (tenant, context, created_at, actor, user_name, request_sha256, text_sha256,
                               tokens_used, citations, leaf_index, leaf_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (tenant, context) DO NOTHING")
    .bind(tenant.as_str())
    .bind(context.id.as_str())
    .bind(clock::now().0)
    .bind(actor.as_str())
    .bind(user.as_ref().map(|user| user.as_str()))
    .bind(context.request_sha256.to_vec())
    .bind(context.text_sha256.to_vec())
    .bind(long(context.tokens_used))
    .bind(json(&citations))
    .bind(long(leaf.index))
    .bind(leaf.hash.0.to_vec())
    .execute(connection)
    .await?;
    if done == 0 {
        return Err(CatalogError::Conflict { what: format!("context {}", context.id), reason: "is recorded already" });
    }
    Ok(())
}

impl Catalog {
    /// Records a request that changed nothing: a question, or a refusal. When this returns, the leaf is durable. Refused
    /// when the tenant is gone by now.
    pub async fn record(&self, chain: Chain<'_>, draft: Draft) -> Result<LeafRef> {
        let tenant = match chain {
            Chain::Tenant(tenant) => Some(tenant.clone()),
            Chain::Service => None,
        };
        self.recorder.append(tenant, Of::Present, draft, None).await
    }

    /// Records what the operator asked of a tenant, which may be gone.
    pub async fn record_of_operator(&self, _operator: &Operator, tenant: &TenantId, draft: Draft) -> Result<LeafRef> {
        self.recorder.append(Some(tenant.clone()), Of::Any, draft, None).await
    }

    /// Records an answered context together with its leaf. When this returns, both are durable.
    pub async fn record_context(&self, scope: &Scope, context: NewContext, mut draft: Draft) -> Result<LeafRef> {
        let text_sha256 = Some(hex(&context.text_sha256));
        draft.objects.insert(0, Object { sha256: text_sha256, ..Object::new("context", context.id.as_str()) });
        draft.request_sha256.get_or_insert_with(|| hex(&context.request_sha256));
        let asked = Asked { context, actor: scope.actor().clone(), user: scope.principal().user().cloned() };
        self.recorder.append(Some(scope.tenant().clone()), Of::Present, draft, Some(asked)).await
    }

    /// What was recorded of a context; `None` when there is none, or none for this principal. It is for the key that
    /// asked (for the same user, when the key acts for one), and for the tenant's administrators and auditors.
    pub async fn context(&self, scope: &Scope, id: &ContextId) -> Result<Option<ContextReceipt>> {
        let mut tx = self.store.read(scope).await?;
        let row =
            sql("SELECT context, created_at, actor, user_name, request_sha256, text_sha256, tokens_used, citations,
                    leaf_index, leaf_hash
             FROM contexts WHERE tenant = $1 AND context = $2")
            .bind(scope.tenant().as_str())
            .bind(id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        let receipt = row.as_ref().map(receipt_of).transpose()?;
        Ok(receipt.filter(|receipt| is_for(receipt, scope)))
    }

    /// The tenant's leaves from `from` on.
    pub async fn leaves(&self, scope: &Scope, from: u64, limit: usize) -> Result<Vec<StoredLeaf>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT leaf_index, bytes, hash FROM audit_outbox
             WHERE tenant = $1 AND leaf_index >= $2 ORDER BY leaf_index LIMIT $3")
        .bind(scope.tenant().as_str())
        .bind(long(from))
        .bind(long(page::limit(limit) as u64))
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(leaf_of).collect()
    }

    /// The tenant's last leaf.
    pub async fn chain_head(&self, scope: &Scope) -> Result<Option<LeafRef>> {
        let mut tx = self.store.read(scope).await?;
        chain::head(&mut tx, Chain::Tenant(scope.tenant())).await
    }

    /// The leaves of the service's own chain from `from` on.
    pub async fn service_leaves(&self, _operator: &Operator, from: u64, limit: usize) -> Result<Vec<StoredLeaf>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        let rows = sql("SELECT leaf_index, bytes, hash FROM service_outbox
             WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2")
        .bind(long(from))
        .bind(long(page::limit(limit) as u64))
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(leaf_of).collect()
    }

    /// The last leaf of the service's own chain.
    pub async fn service_head(&self, _operator: &Operator) -> Result<Option<LeafRef>> {
        let mut tx = self.store.read(Reach::Installation).await?;
        chain::head(&mut tx, Chain::Service).await
    }
}

fn is_for(receipt: &ContextReceipt, scope: &Scope) -> bool {
    if scope.is_on_behalf() {
        return receipt.actor == *scope.actor() && receipt.user.as_ref() == scope.principal().user();
    }
    receipt.actor == *scope.actor() || scope.rights().has(Right::Admin) || scope.rights().has(Right::Audit)
}

fn leaf_of(row: &Row) -> Result<StoredLeaf> {
    Ok(StoredLeaf { index: row.u64("leaf_index")?, bytes: row.blob("bytes")?, hash: LeafHash(row.hash("hash")?) })
}

fn receipt_of(row: &Row) -> Result<ContextReceipt> {
    let citations: Vec<StoredCitation> = row.json("citations")?;
    let context = NewContext {
        id: row.name("context")?,
        request_sha256: row.hash("request_sha256")?,
        text_sha256: row.hash("text_sha256")?,
        tokens_used: row.u64("tokens_used")?,
        citations: citations.into_iter().map(StoredCitation::read).collect::<Result<_>>()?,
    };
    Ok(ContextReceipt {
        context,
        actor: row.name("actor")?,
        user: row.name_or_null("user_name")?,
        created_at: row.time("created_at")?,
        leaf: LeafRef { index: row.u64("leaf_index")?, hash: LeafHash(row.hash("leaf_hash")?) },
    })
}

/// A citation as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredCitation {
    document: String,
    version: u32,
    span: (u32, u32),
    quote_sha256: String,
}

impl StoredCitation {
    fn of(citation: &ContextCitation) -> Self {
        Self {
            document: citation.document.to_string(),
            version: citation.version.0,
            span: (citation.span.start, citation.span.end),
            quote_sha256: hex(&citation.quote_sha256),
        }
    }

    fn read(self) -> Result<ContextCitation> {
        let damaged = || corrupt("a citation", &self.document);
        let quote: LeafHash = self.quote_sha256.parse().map_err(|_| damaged())?;
        Ok(ContextCitation {
            document: self.document.parse().map_err(|_| damaged())?,
            version: VersionNo(self.version),
            span: Span::new(self.span.0, self.span.1).ok_or_else(damaged)?,
            quote_sha256: quote.0,
        })
    }
}
