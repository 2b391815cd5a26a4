//! The parts of a running service, put together once.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use catena_access::KeyHash;
use catena_catalog::Catalog;
use catena_domain::TenantId;
use catena_embedding::{Embedder, Reranker, open_model};
use catena_formats::Formats;
use catena_index::Index;
use catena_ingest::Ingest;
use catena_retrieval::Retrieval;
use catena_runtime::Compute;
use catena_runtime::thread::Priority;
use catena_text::Tokenizer;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::allowance::Allowances;
use crate::http::batch;
use crate::http::job_events::Streams;
use crate::http::once::UnderWay;
use crate::http::turns::Turns;
use crate::oidc::Oidc;
use crate::operator;
use crate::room::Room;
use crate::settings::Settings;

/// Requests at work at once; beyond it, the answer is "busy".
const REQUESTS_AT_ONCE: usize = 512;
/// The folder of the index below the data folder.
pub(crate) const INDEX_FOLDER: &str = "index";

/// The folder below the data folder in which sources keep what they fetched before.
pub(crate) const SOURCES_FOLDER: &str = "sources";

/// A running service. Cloning gives another handle to the same one.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

struct Parts {
    settings: Settings,
    catalog: Catalog,
    ingest: Ingest,
    retrieval: Retrieval,
    compute: Compute,
    room: Room,
    operator_key: KeyHash,
    oidc: Oidc,
    turns: Semaphore,
    under_way: UnderWay,
    allowances: Allowances,
    streams: Streams,
    imports: Turns<TenantId>,
    metrics: PrometheusHandle,
    caught_up: AtomicBool,
    stop: CancellationToken,
}

impl App {
    /// Opens the data folder, the model and the index. Says what is missing and how to mend it.
    pub(crate) async fn open(settings: Settings, metrics: PrometheusHandle) -> anyhow::Result<(Self, Option<String>)> {
        let catalog =
            Catalog::open(&settings.data, &settings.database).await.context("the catalog cannot be opened")?;
        let embedder = embedder(&settings)?;
        let reranker = reranker(&settings)?;
        let compute = Compute::start(settings.workers, "questions", Priority::Foreground)?;
        let behind = Compute::start(settings.workers, "writes", Priority::Foreground)?;
        let merges = Compute::start(NonZeroUsize::MIN, "merges", Priority::Background)?;
        let index = Arc::new(Index::new(settings.data.join(INDEX_FOLDER), settings.open_limits()));
        let formats = Formats::start(settings.reader_processes, behind.clone()).context("the readers cannot start")?;
        let ingest = Ingest::new(catalog.clone(), embedder.clone(), formats, Arc::clone(&index), behind, merges);
        ingest.allow_sources(settings.sources.clone(), settings.data.join(SOURCES_FOLDER));
        let retrieval = Retrieval::new(catalog.clone(), embedder, index, compute.clone(), ingest.recipe().clone())
            .with_reranker(reranker);
        let (operator_key, minted) = operator::key(&catalog, settings.operator_key.as_deref()).await?;
        let oidc = Oidc::new(&settings.oidc)?;
        let app = Self(Arc::new(Parts {
            room: Room::of(&settings.data),
            settings,
            catalog,
            ingest,
            retrieval,
            compute,
            operator_key,
            oidc,
            turns: Semaphore::new(REQUESTS_AT_ONCE),
            under_way: UnderWay::default(),
            allowances: Allowances::new(),
            streams: Streams::default(),
            imports: batch::turns(),
            metrics,
            caught_up: AtomicBool::new(false),
            stop: CancellationToken::new(),
        }));
        Ok((app, minted))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    pub(crate) fn ingest(&self) -> &Ingest {
        &self.0.ingest
    }

    pub(crate) fn retrieval(&self) -> &Retrieval {
        &self.0.retrieval
    }

    pub(crate) fn operator_key(&self) -> KeyHash {
        self.0.operator_key
    }

    pub(crate) fn oidc(&self) -> &Oidc {
        &self.0.oidc
    }

    pub(crate) fn turns(&self) -> &Semaphore {
        &self.0.turns
    }

    pub(crate) fn under_way(&self) -> &UnderWay {
        &self.0.under_way
    }

    pub(crate) fn allowances(&self) -> &Allowances {
        &self.0.allowances
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// The imports that are arriving.
    pub(crate) fn imports(&self) -> &Turns<TenantId> {
        &self.0.imports
    }

    pub(crate) fn metrics(&self) -> &PrometheusHandle {
        &self.0.metrics
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Loads what the first question would have to wait for otherwise.
    pub(crate) async fn warm(&self) {
        for tokenizer in Tokenizer::ALL {
            let _ = self.0.compute.run(move || tokenizer.count("warm")).await;
        }
    }

    /// The index has everything that the catalog had at the start.
    pub(crate) fn set_caught_up(&self) {
        self.0.caught_up.store(true, Ordering::Release);
    }

    /// The disk's room: an answer that failed for want of it says so here.
    pub(crate) fn room(&self) -> &Room {
        &self.0.room
    }

    /// What keeps the service from being ready, if anything.
    pub(crate) async fn unready(&self) -> Option<&'static str> {
        if !self.0.caught_up.load(Ordering::Acquire) {
            return Some("the index is catching up with the catalog");
        }
        if !self.0.catalog.is_writable() {
            return Some("the catalog takes no more writes, and the log says why; mend that, then restart");
        }
        if !self.0.catalog.is_reachable() {
            return Some("the catalog's database does not answer");
        }
        let (room, ingest) = (self.room(), self.ingest());
        if ingest.lacks_room().await {
            room.ran_out();
        }
        if room.is_short().await {
            return Some("the disk is full; make room, and the service goes on by itself");
        }
        ingest.use_room().await;
        None
    }
}

fn embedder(settings: &Settings) -> anyhow::Result<Embedder> {
    let model = open_model(&settings.models, &settings.model, &settings.allowed_models).map_err(explain)?;
    Embedder::start(model, &settings.place()).map_err(explain)
}

/// The model that reorders passages, where one is set up.
fn reranker(settings: &Settings) -> anyhow::Result<Option<Reranker>> {
    let Some(name) = &settings.reranker else { return Ok(None) };
    let explain = |error| anyhow::Error::new(error).context(format!("the reranker {name} cannot start"));
    let model = open_model(&settings.models, name, &settings.allowed_models).map_err(explain)?;
    Reranker::start(model, &settings.place()).map(Some).map_err(explain)
}

fn explain(error: catena_embedding::EmbeddingError) -> anyhow::Error {
    anyhow::Error::new(error).context("embedding cannot start (`catena doctor` shows what was looked for)")
}
