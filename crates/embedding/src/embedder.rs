//! The handle on a model that makes vectors, wherever it runs.
//!
//! Promises: a query never waits behind documents; a tenant's documents wait behind no more than a turn of each other
//! tenant; results come back in the order of the texts; dropping a call drops its work. Does not: retry, or keep documents'
//! vectors.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use catena_domain::TenantId;
use catena_runtime::thread::Priority;

use crate::answer::{DocumentVector, QueryVector, Score};
use crate::counter::Counter;
use crate::description::Kind;
use crate::device::Device;
use crate::error::EmbeddingError;
use crate::lane::{Answered, Input};
use crate::library;
use crate::locate::find_library;
use crate::model::{Facts, Graph, ModelSpec, Source};
use crate::recent::Recent;
use crate::remote::{Secret, Upstream};
use crate::session::Engines;
use crate::worker::Crew;

/// Connections to a remote server for documents, and as many for queries.
const REMOTE_WORKERS: usize = 4;

/// What models run on here.
#[derive(Debug, Clone)]
pub struct Place {
    /// The ONNX Runtime library or its folder, if it was named; a model that runs elsewhere needs none.
    pub onnxruntime: Option<PathBuf>,
    /// Threads for documents, and as many for queries: usually the processors.
    pub workers: NonZeroUsize,
    /// What computes.
    pub device: Device,
    /// What a remote server wants to be shown.
    pub remote_key: Option<Secret>,
}

impl Place {
    /// This machine's processors, with whatever library is found.
    #[must_use]
    pub fn here(workers: NonZeroUsize) -> Self {
        Self { onnxruntime: None, workers, device: Device::Cpu, remote_key: None }
    }

    fn engines(&self, facts: &Arc<Facts>, graph: Graph) -> Result<Engines, EmbeddingError> {
        let library = find_library(self.onnxruntime.as_deref(), self.device)?;
        Engines::load(library::environment(&library)?, Arc::clone(facts), graph, self.device)
    }
}

/// A handle on a running model; cheap to clone.
#[derive(Clone)]
pub struct Embedder(Arc<Parts>);

struct Parts {
    facts: Arc<Facts>,
    device: Option<Device>,
    device_missed: Option<String>,
    documents: Crew<DocumentVector>,
    queries: Crew<QueryVector>,
    recent: Recent,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Embedder")
            .field("model", &self.0.facts.description.name)
            .field("workers", &self.0.documents.len())
            .finish_non_exhaustive()
    }
}

impl Embedder {
    /// Loads a model. Blocks until every worker is ready; if one fails, none is left.
    pub fn start(model: ModelSpec, place: &Place) -> Result<Self, EmbeddingError> {
        model.require(Kind::Embedder)?;
        let ModelSpec { facts, source } = model;
        let (device, device_missed, documents, queries) = match source {
            Source::Remote(remote) => {
                let upstream = Arc::new(Upstream::new(&facts, &remote, place.remote_key.clone())?);
                let workers = || (0..REMOTE_WORKERS).map(|_| upstream.client()).collect::<Result<Vec<_>, _>>();
                // These wait more than they compute.
                let documents = Crew::start(DOCUMENTS, Priority::Foreground, workers()?)?;
                (None, None, documents, Crew::start(QUERIES, Priority::Foreground, workers()?)?)
            }
            Source::Graph(graph) => {
                let engines = place.engines(&facts, graph)?;
                let count = engines.device().workers(place.workers);
                let documents =
                    (0..count).map(|_| engines.engine::<DocumentVector>()).collect::<Result<Vec<_>, _>>()?;
                let queries = (0..count).map(|_| engines.engine::<QueryVector>()).collect::<Result<Vec<_>, _>>()?;
                let relief = engines.engine::<DocumentVector>()?;
                let documents = Crew::start(DOCUMENTS, Priority::Background, documents)?.relieved_by(relief)?;
                let queries = Crew::start(QUERIES, Priority::Foreground, queries)?;
                (Some(engines.device()), engines.missed(), documents, queries)
            }
        };
        Ok(Self(Arc::new(Parts { facts, device, device_missed, documents, queries, recent: Recent::new() })))
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.facts.description.name
    }

    /// What computes here; nothing does for a remote model.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        self.0.device
    }

    /// Why it is not the device that was asked for, if it is not.
    #[must_use]
    pub fn device_missed(&self) -> Option<&str> {
        self.0.device_missed.as_deref()
    }

    /// Numbers in a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.0.facts.description.dimension
    }

    /// Tokens that a document's text may have, as `count_tokens` counts them.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.0.facts.text_tokens
    }

    /// A hash (hex) over everything that a vector depends on.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.0.facts.fingerprint
    }

    /// Tokens of `text` in the model's own tokenizer, without the marks that it adds. Computes on the calling thread.
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.0.facts.count_tokens(text)
    }

    /// Counts as `count_tokens` does, faster where many texts have words in common.
    #[must_use]
    pub fn counter(&self) -> Counter<'_> {
        Counter::new(&self.0.facts)
    }

    /// The vectors of a tenant's documents' texts, in their order. The first text that cannot be embedded whole fails
    /// them all.
    pub async fn embed_documents(
        &self,
        tenant: &TenantId,
        texts: Vec<String>,
    ) -> Result<Vec<DocumentVector>, EmbeddingError> {
        let lane = self.0.documents.lane();
        let mut answers = Vec::with_capacity(texts.len());
        for (position, text) in texts.into_iter().enumerate() {
            answers.push(lane.submit(tenant, position, Input::Text(text)).await?);
        }
        in_order(answers).await
    }

    /// A query's vector. A query that is longer than the model's window is cut to it, and the answer says by how much.
    pub async fn embed_query(&self, tenant: &TenantId, text: &str) -> Result<QueryVector, EmbeddingError> {
        if let Some(known) = self.0.recent.get(tenant, text) {
            metrics::counter!("catena_query_vectors_total", "from" => "recent").increment(1);
            return Ok(known);
        }
        let answer = self.0.queries.lane().submit(tenant, 0, Input::Text(text.to_owned())).await?;
        let vector = answer.await.unwrap_or(Err(EmbeddingError::Stopped))?;
        metrics::counter!("catena_query_vectors_total", "from" => "model").increment(1);
        self.0.recent.put(tenant, text, vector.clone());
        Ok(vector)
    }

    /// Forgets what a tenant asked.
    pub fn forget(&self, tenant: &TenantId) {
        self.0.recent.forget(tenant);
    }
}

const DOCUMENTS: &str = "documents";
const QUERIES: &str = "queries";
const JUDGED: &str = "reranking";

async fn in_order<A>(answers: Vec<Answered<A>>) -> Result<Vec<A>, EmbeddingError> {
    let mut all = Vec::with_capacity(answers.len());
    for answer in answers {
        all.push(answer.await.unwrap_or(Err(EmbeddingError::Stopped))?);
    }
    Ok(all)
}

/// A handle on a running model that judges passages by a query; cheap to clone.
#[derive(Clone)]
pub struct Reranker(Arc<Judges>);

struct Judges {
    facts: Arc<Facts>,
    crew: Crew<Score>,
}

impl std::fmt::Debug for Reranker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reranker").field("model", &self.0.facts.description.name).finish_non_exhaustive()
    }
}

impl Reranker {
    /// Loads a model. Blocks until every worker is ready; if one fails, none is left.
    pub fn start(model: ModelSpec, place: &Place) -> Result<Self, EmbeddingError> {
        model.require(Kind::Reranker)?;
        let ModelSpec { facts, source } = model;
        let Source::Graph(graph) = source else {
            return Err(facts.unusable("a reranker cannot be remote"));
        };
        let engines = place.engines(&facts, graph)?;
        let count = engines.device().workers(place.workers);
        let workers = (0..count).map(|_| engines.engine::<Score>()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Arc::new(Judges { facts, crew: Crew::start(JUDGED, Priority::Foreground, workers)? })))
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.facts.description.name
    }

    /// A hash (hex) over everything that a score depends on.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.0.facts.fingerprint
    }

    /// How well each passage answers the query, in the order of the passages. Dropping the call drops what has not begun.
    pub async fn judge(
        &self,
        tenant: &TenantId,
        query: &str,
        passages: Vec<String>,
    ) -> Result<Vec<Score>, EmbeddingError> {
        let query: Arc<str> = query.into();
        let lane = self.0.crew.lane();
        let mut answers = Vec::with_capacity(passages.len());
        for (position, passage) in passages.into_iter().enumerate() {
            let pair = Input::Pair { query: Arc::clone(&query), passage };
            answers.push(lane.submit(tenant, position, pair).await?);
        }
        in_order(answers).await
    }
}
