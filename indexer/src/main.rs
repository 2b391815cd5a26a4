//! `catena-indexer`: runs background jobs in a process of its own.
//!
//! Beside a service whose catalog is in PostgreSQL, any number of these share its jobs: they cut, embed and write, and the
//! service makes what they wrote searchable. What needs the index itself, they leave to the service. Where the catalog
//! is in the data folder, it takes the folder like a service does, and refuses while one runs on it.
//! With `--once` it takes service and index into its own hands, brings every tenant up to the catalog and ends: for the
//! time between restoring a backup and starting a service, or after a change of the model. Does not: listen.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use catena_access::Scope;
use catena_catalog::{Catalog, Database, PostgresPlace};
use catena_embedding::{Allowed, DEFAULT_MODEL, Device, Embedder, Place, Secret, open_model};
use catena_formats::Formats;
use catena_index::Index;
use catena_ingest::{Ingest, Workers};
use catena_runtime::clock::{self, Stopwatch};
use catena_runtime::telemetry::{self, LogFormat};
use catena_runtime::thread::Priority;
use catena_runtime::{Compute, environment};
use catena_sources::Surroundings;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The folder of the index below the data folder.
const INDEX_FOLDER: &str = "index";
/// The folder below it in which sources keep what they fetched before.
const SOURCES_FOLDER: &str = "sources";
/// How long jobs that are at work may go on after a stop.
const DRAIN: Duration = Duration::from_secs(20);
/// Tenants whose index is kept open at once.
const OPEN_TENANTS: usize = 16;

/// Run background jobs until stopped, beside a service or alone.
#[derive(Debug, Parser)]
#[command(name = "catena-indexer", version, max_term_width = 100)]
struct Arguments {
    /// A data folder. Beside a service: one of this process's own, with the service's secret.key in it. Else, and with
    /// --once: the service's, on which no service may run.
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
    /// Folders that tenants' sources may read, separated by commas.
    #[arg(long, env = "CATENA_SOURCE_FOLDERS", value_delimiter = ',')]
    source_folders: Vec<PathBuf>,
    /// Hosts that sources may reach although their addresses are private, separated by commas.
    #[arg(long, env = "CATENA_SOURCE_HOSTS", value_delimiter = ',')]
    source_hosts: Vec<String>,
    /// Networks that sources may reach although they are private, separated by commas.
    #[arg(long, env = "CATENA_SOURCE_NETWORKS", value_delimiter = ',')]
    source_networks: Vec<String>,
    /// Bring every tenant's index up to the catalog, run the jobs that wait, and end. No service may run meanwhile.
    #[arg(long)]
    once: bool,
    /// Jobs that run at once.
    #[arg(long, env = "CATENA_JOBS_AT_ONCE", default_value_t = Workers::default().at_once,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(Workers::AT_ONCE_MAX)))]
    jobs_at_once: u32,
    /// Of these of one tenant, in all processes together.
    #[arg(long, env = "CATENA_JOBS_AT_ONCE_PER_TENANT", default_value_t = Workers::default().at_once_per_tenant,
        value_parser = clap::value_parser!(u32).range(1..))]
    jobs_at_once_per_tenant: u32,
    /// How long a worker may be silent before another may take its job, in seconds.
    #[arg(long, env = "CATENA_JOB_LEASE_SECONDS", default_value_t = Workers::default().lease.as_secs(),
        value_parser = clap::value_parser!(u64).range(Workers::LEASES.start().as_secs()..=Workers::LEASES.end().as_secs()))]
    job_lease_seconds: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeviceName {
    Cpu,
    Cuda,
}

fn main() -> ExitCode {
    // A reader is a process of its own, and has neither threads nor settings.
    catena_formats::serve_if_called().unwrap_or_else(index)
}

#[tokio::main]
async fn index() -> ExitCode {
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
    let is_beside = arguments.catalog.is_some() && !arguments.once;
    let database = match &arguments.catalog {
        Some(url) if is_beside => Database::Postgres(PostgresPlace::new(url, None).beside_a_service()),
        Some(url) => Database::Postgres(PostgresPlace::new(url, None)),
        None => Database::Embedded,
    };
    // Listened to from here on, so that no signal is lost.
    let stop = StopSignals::listen().context("signals cannot be received")?.into_token();
    let catalog = Catalog::open(&arguments.data, &database).await.context("the catalog cannot be opened")?;
    let worked = if arguments.once {
        let worked = work(&arguments, &catalog, &stop).await;
        worked.map(|jobs| println!("{jobs} jobs were run, in {:.1} s", watch.elapsed().as_secs_f64()))
    } else {
        serve(&arguments, &catalog, is_beside, &stop).await
    };
    catalog.close().await?;
    worked
}

/// What asks the process to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// A token that is cancelled once somebody wants the process to stop.
    fn into_token(mut self) -> CancellationToken {
        let token = CancellationToken::new();
        tokio::spawn({
            let token = token.clone();
            async move {
                tokio::select! {
                    _ = self.terminate.recv() => {}
                    _ = self.interrupt.recv() => {}
                }
                token.cancel();
            }
        });
        token
    }
}

impl Arguments {
    fn surroundings(&self) -> anyhow::Result<Surroundings> {
        let folders = self.source_folders.iter().filter(|folder| !folder.as_os_str().is_empty()).cloned().collect();
        let hosts = self.source_hosts.iter().filter(|host| !host.is_empty()).cloned().collect();
        let mut surroundings = Surroundings { folders, hosts, ..Surroundings::default() };
        for network in self.source_networks.iter().filter(|network| !network.is_empty()) {
            let parsed = network.parse().with_context(|| format!("{network} is no network; write it like 10.1.0.0/16"));
            surroundings.networks.push(parsed?);
        }
        Ok(surroundings)
    }

    fn workers(&self) -> Workers {
        Workers {
            at_once: self.jobs_at_once,
            at_once_per_tenant: self.jobs_at_once_per_tenant,
            lease: Duration::from_secs(self.job_lease_seconds),
        }
    }
}

/// Runs jobs until it is told to stop. Those at work are put back at their next step, or, when that takes too long,
/// taken over by another process once their lease is over.
async fn serve(
    arguments: &Arguments,
    catalog: &Catalog,
    is_beside: bool,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut ingest = open(arguments, catalog)?;
    if is_beside {
        ingest = ingest.beside_the_index();
    } else {
        ingest.recover().await.context("the index cannot be brought up to the catalog")?;
    }
    println!("running jobs");
    let jobs = ingest.run_jobs(arguments.workers(), stop.clone());
    let late = async {
        stop.cancelled().await;
        tracing::info!("stopping: the jobs at work are put back at their next step");
        clock::pause(DRAIN).await;
    };
    tokio::select! {
        () = jobs => {}
        () = late => tracing::warn!("jobs were still at work after {} s; another worker goes on with them", DRAIN.as_secs()),
    }
    Ok(())
}

/// Publishes what is missing, then runs jobs until none is left. Says how many those were.
async fn work(arguments: &Arguments, catalog: &Catalog, stop: &CancellationToken) -> anyhow::Result<usize> {
    let ingest = open(arguments, catalog)?;
    ingest.recover().await.context("the index cannot be brought up to the catalog")?;
    let (mut jobs, mut behind) = (0, Vec::new());
    while !stop.is_cancelled() && ingest.run_next_job(&arguments.workers(), stop).await? {
        jobs += 1;
    }
    if stop.is_cancelled() {
        bail!("stopped before everything was done; the next start goes on from here");
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
    let ingest =
        Ingest::new(catalog.clone(), embedder, Formats::start(workers, writes.clone())?, index, writes, merges);
    ingest.allow_sources(arguments.surroundings()?, arguments.data.join(SOURCES_FOLDER));
    Ok(ingest)
}
