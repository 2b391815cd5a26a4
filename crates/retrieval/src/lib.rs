//! A question becomes ranked passages, or a context: the best passages that fit a token budget, each with a citation.
//!
//! A query is a chain of types, and each stage accepts only the one before:
//! [`Candidates`] → [`Fused`] → [`Admitted`] → [`Packed`](pack::Packed). What is admitted may be put in another order by
//! a reranker, which sees nothing else.
//! So the gate cannot be skipped, and neither can the record: an answer is made only together with its leaf.
//!
//! Promises: no passage leaves that the current access list does not admit at that moment; every quote is its span of
//! its version, byte for byte; the tokens used are at most the budget, in the caller's tokenizer; the same request at
//! the same sequence number gives the same text. Does not: write documents, or know the wire.

pub mod answer;
pub mod candidates;
pub mod error;
pub mod evidence;
pub mod explain;
pub mod fuse;
pub mod gate;
mod live;
pub mod pack;
pub mod place;
mod render;
pub mod request;
mod rerank;
pub mod timings;
mod view;

use std::num::NonZeroUsize;
use std::sync::Arc;

use catena_access::Scope;
use catena_audit::{Draft, LeafRef};
use catena_catalog::Catalog;
use catena_domain::{ContextId, RecipeId, TenantId};
use catena_embedding::{Embedder, Reranker};
use catena_index::{Index, QueryVector};
use catena_runtime::clock::Stopwatch;
use catena_runtime::{Compute, random};
use sha2::{Digest as _, Sha256};

pub use answer::{Citation, ContextAnswer, Omission, SearchAnswer};
pub use error::RetrievalError;
pub use evidence::{Evidence, Level};
pub use explain::{DocumentExplained, Explained, Fate};
pub use place::Place;
pub use request::{Asked, ContextRequest, Mode, SearchRequest};
pub use timings::Timings;

use candidates::Candidates;
use fuse::Fused;
use gate::Admitted;
use request::{Detail, Order};
use view::View;

/// Tenants whose live tables are kept warm.
const LIVE_TABLES_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Candidates beyond those asked for, so that duplicates and what no longer holds leave no gap.
const SPARE_CANDIDATES: usize = 20;
/// Candidates that a context chooses from.
const CONTEXT_CANDIDATES: usize = 60;

/// The way out. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Retrieval {
    catalog: Catalog,
    embedder: Embedder,
    reranker: Option<Reranker>,
    index: Arc<Index>,
    compute: Compute,
    recipe: RecipeId,
    live: Arc<live::LiveTables>,
}

impl Retrieval {
    /// The way out of `catalog` and `index`; `recipe` is the one that `embedder` belongs to.
    #[must_use]
    pub fn new(catalog: Catalog, embedder: Embedder, index: Arc<Index>, compute: Compute, recipe: RecipeId) -> Self {
        let live = Arc::new(live::LiveTables::new(LIVE_TABLES_MAX));
        Self { catalog, embedder, reranker: None, index, compute, recipe, live }
    }

    /// The same, with a reranker for the requests that ask for one.
    #[must_use]
    pub fn with_reranker(self, reranker: Option<Reranker>) -> Self {
        Self { reranker, ..self }
    }

    /// Forgets what is kept in memory of a tenant that is gone.
    pub fn forget(&self, tenant: &TenantId) {
        self.live.forget(tenant);
        self.embedder.forget(tenant);
    }

    /// Ranked passages.
    pub async fn search(
        &self,
        scope: &Scope,
        request: &SearchRequest,
        draft: Draft,
    ) -> Result<(SearchAnswer, LeafRef), RetrievalError> {
        let watch = Stopwatch::start();
        let wanted = request.top_k + SPARE_CANDIDATES;
        let (view, admitted, mut timings) = self.admit(scope, &request.question, wanted).await?;
        let explained = self.explained_if_asked(scope, &view, &request.question, wanted).await?;
        timings.total = watch.elapsed_ms();
        let answer = answer::search(&view, admitted, request.top_k, timings, explained);
        let leaf = self.catalog.record(catena_audit::Chain::Tenant(scope.tenant()), answer.record(draft)).await?;
        Ok((answer, leaf))
    }

    /// A context within the request's budget.
    pub async fn context(
        &self,
        scope: &Scope,
        request: &ContextRequest,
        draft: Draft,
    ) -> Result<(ContextAnswer, LeafRef), RetrievalError> {
        let watch = Stopwatch::start();
        let (view, admitted, mut timings) = self.admit(scope, &request.question, CONTEXT_CANDIDATES).await?;
        let packing = Stopwatch::start();
        let evidence = evidence::of(&admitted);
        let boundary_key = self.catalog.tenant_secret(scope).await?;
        let (budget, rules) = (request.budget, request.rules.clone());
        let query = request.question.query.clone();
        let packed = self.compute.run(move || pack::pack(admitted, &query, budget, &rules, &boundary_key)).await??;
        timings.pack = packing.elapsed_ms();
        let explained = self.explained_if_asked(scope, &view, &request.question, CONTEXT_CANDIDATES).await?;
        let id = ContextId::new(&format!("ctx_{}", random::identifier()?))
            .map_err(|error| RetrievalError::Internal(error.to_string()))?;
        timings.total = watch.elapsed_ms();
        let answer = ContextAnswer::new(id, &view, packed, evidence, timings, explained);
        let row = answer.row(Sha256::digest(request.question.query.as_bytes()).into());
        let leaf = self.catalog.record_context(scope, row, answer.record(draft)).await?;
        Ok((answer, leaf))
    }

    /// Everything up to the passages in their final order, which searches and contexts share.
    async fn admit(
        &self,
        scope: &Scope,
        question: &request::Question,
        wanted: usize,
    ) -> Result<(View, Admitted, Timings), RetrievalError> {
        let mut timings = Timings::default();
        let watch = Stopwatch::start();
        let view = self.view(scope, &question.filter, question.min_seq).await?;
        timings.view = watch.elapsed_ms();
        let candidates = Candidates::find(self, scope, &view, question, wanted, &mut timings).await?;
        let fused = Fused::rank(candidates, question.mode, wanted);
        let watch = Stopwatch::start();
        let mut admitted = Admitted::through(&self.catalog, scope, &view, fused).await?;
        timings.gate = watch.elapsed_ms();
        if question.order == Order::Reranked {
            let watch = Stopwatch::start();
            admitted = rerank::rerank(self.reranker.as_ref(), scope.tenant(), &question.query, admitted).await;
            admitted = admitted.again(&self.catalog, scope, &view).await?;
            timings.rerank = Some(watch.elapsed_ms());
        }
        Ok((view, admitted, timings))
    }

    /// How an answer to the question came about, if that was asked for.
    async fn explained_if_asked(
        &self,
        scope: &Scope,
        view: &View,
        question: &request::Question,
        wanted: usize,
    ) -> Result<Option<Explained>, RetrievalError> {
        if question.detail == Detail::Plain {
            return Ok(None);
        }
        let (snapshot, visible) = (Arc::clone(&view.snapshot), Arc::clone(&view.visible));
        let vector = match question.mode.uses_dense() {
            // The answer's own question has asked for it, so it comes from memory.
            true => self.embedder.embed_query(scope.tenant(), &question.query).await.ok(),
            false => None,
        };
        let recipe = self.recipe.clone();
        let vector = vector.map(|embedded| QueryVector { recipe, values: embedded.values });
        let (scope, words) = (scope.clone(), question.lexical.clone());
        let work = move || Explained::of(&snapshot, &visible, &scope, (&words, vector.as_ref()), wanted);
        Ok(Some(self.compute.run(work).await??))
    }
}
