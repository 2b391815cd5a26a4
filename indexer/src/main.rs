//! `catena-indexer`: brings every tenant's index up to the catalog, without serving anybody.
//!
//! For the time between restoring a backup and starting a service, or after a change of the model. It takes the data
//! folder like a service does, so it refuses while one runs on it. Does not: listen, or wait for work to come.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use catena_access::Scope;
use catena_catalog::{Catalog, Database, PostgresPlace};
use catena_embedding::{Allowed, DEFAULT_MODEL, Device, Embedder, Place, Secret, open_model};
use catena_formats::Formats;
use catena_index::Index;
use catena_ingest::Ingest;
use catena_runtime::clock::Stopwatch;
use catena_runtime::telemetry::{self, LogFormat};
use catena_runtime::thread::Priority;
use catena_runtime::{Compute, environment};
use clap::{Parser, ValueEnum};

/// The folder of the index below the data folder.
const INDEX_FOLDER: &str = "index";
/// Tenants whose index is kept open at once.
const OPEN_TENANTS: usize = 16;

/// Bring every tenant's index up to the catalog and run the jobs that wait, then end.
#[derive(Debug, Parser)]
#[command(name = "catena-indexer", version, max_term_width = 100)]
struct Arguments {
    /// The service's data folder. No service may run on it.
    #[arg(long, env = "CATENA_DATA")]
    data: PathBuf,
    /// The catalog in PostgreSQL, if the service has it there.
    #[arg(long, env = "CATENA_CATALOG", hide_env_values = true, value_name = "URL")]
    catalog: Option<String>,
    /// The folder with models.
    #[arg(long, env = "CATENA_MODELS")]
    models: Option<PathBuf>,
    /// The model: a name below that folder, or a folder of its own.
    #[arg(long, env = "CATENA_MODEL", default_value = DEFAULT_MODEL)]
    model: String,
    /// Fingerprints of models that may be used beside the project's own.
    #[arg(long, env = "CATENA_ALLOWED_MODELS", value_delimiter = ',', value_name = "FINGERPRINT")]
    allowed_models: Vec<String>,
    /// What a remote embedding server wants to be shown.
    #[arg(long, env = "CATENA_EMBEDDING_KEY", hide_env_values = true, value_name = "KEY")]
    embedding_key: Option<String>,
    /// What embeds: cpu or cuda.
    #[arg(long, env = "CATENA_DEVICE", default_value = "cpu")]
    device: DeviceName,
    /// The ONNX Runtime library, or the folder that holds it.
    #[arg(long, env = "CATENA_ONNXRUNTIME")]
    onnxruntime: Option<PathBuf>,
    /// End when no work is left. So far this is the only way, and need not be said.
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeviceName {
    Cpu,
    Cuda,
}

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::start(LogFormat::Text);
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    // A folder that is not there would be made, and then there would be nothing to do.
    if !arguments.data.is_dir() {
        bail!("{} is no data folder; name the one of the service with --data", arguments.data.display());
    }
    let database = match &arguments.catalog {
        Some(url) => Database::Postgres(PostgresPlace::new(url, None)),
        None => Database::Embedded,
    };
    let catalog = Catalog::open(&arguments.data, &database).await.context("the catalog cannot be opened")?;
    let worked = work(&arguments, &catalog).await;
    catalog.close().await?;
    let jobs = worked?;
    println!("{jobs} jobs were run, in {:.1} s", watch.elapsed().as_secs_f64());
    Ok(())
}

/// Publishes what is missing, then runs jobs until none is left. Says how many those were.
async fn work(arguments: &Arguments, catalog: &Catalog) -> anyhow::Result<usize> {
    let ingest = open(arguments, catalog)?;
    ingest.recover().await.context("the index cannot be brought up to the catalog")?;
    let (mut jobs, mut behind) = (0, Vec::new());
    while ingest.run_next_job().await? {
        jobs += 1;
    }
    for tenant in catalog.all_tenants().await? {
        let scope = Scope::service(&tenant);
        let mended = ingest.mend(&tenant).await?;
        if mended.rows > 0 {
            println!("{tenant}: {} rows of {} documents were missing and are back", mended.rows, mended.documents);
        }
        let (applied, live) = (ingest.publish(&tenant).await?, catalog.live_generation(&scope).await?);
        let documents = catalog.document_count(&scope).await?;
        println!("{tenant}: {documents} documents, searchable up to write {applied}, generation {}", live.id);
        // A job that failed is logged where it ran, and is noticed here by what it left.
        if !ingest.is_current(&scope).await? {
            behind.push(tenant.to_string());
        }
    }
    if !behind.is_empty() {
        bail!("still indexed by another model or recipe: {}; the log above says why", behind.join(", "));
    }
    Ok(jobs)
}

fn open(arguments: &Arguments, catalog: &Catalog) -> anyhow::Result<Ingest> {
    let models = arguments.models.clone().unwrap_or_else(|| {
        let project = environment::variable("CATENA_PROVISION").unwrap_or_else(|| ".catena".to_owned());
        PathBuf::from(project).join("models")
    });
    let workers = environment::processors();
    let place = Place {
        onnxruntime: arguments.onnxruntime.clone(),
        workers,
        device: match arguments.device {
            DeviceName::Cpu => Device::Cpu,
            DeviceName::Cuda => Device::Cuda,
        },
        remote_key: arguments.embedding_key.clone().map(Secret::new),
    };
    let allowed = Allowed::with(arguments.allowed_models.iter().cloned());
    let embedder = Embedder::start(open_model(&models, &arguments.model, &allowed)?, &place)?;
    let open_tenants = NonZeroUsize::new(OPEN_TENANTS).unwrap_or(NonZeroUsize::MIN);
    let index = Arc::new(Index::new(arguments.data.join(INDEX_FOLDER), open_tenants));
    let writes = Compute::start(workers, "writes", Priority::Foreground)?;
    let merges = Compute::start(NonZeroUsize::MIN, "merges", Priority::Background)?;
    Ok(Ingest::new(catalog.clone(), embedder, Formats::default(), index, writes, merges))
}
