//! `catena serve`: starts, says where it listens, drains when it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use catena_runtime::{clock, telemetry};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::settings::{Demo, Settings};
use crate::{demo, http};

/// How long requests and jobs that are at work may go on after a stop.
const DRAIN: Duration = Duration::from_secs(20);

/// How often the figures are folded, and idle tenants forgotten.
const UPKEEP: Duration = Duration::from_secs(10);

/// Runs the service until SIGTERM or an interrupt.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    telemetry::start(settings.log_format);
    let mut stop = StopSignals::listen().context("signals cannot be received")?;
    let listener = TcpListener::bind(settings.listen).await.with_context(|| {
        format!("{} cannot be listened on; is another service there? Choose one with --listen", settings.listen)
    })?;
    let address = listener.local_addr()?;
    let app = tokio::select! {
        app = prepare(settings, address) => app?,
        () = stop.asked_for() => {
            tracing::info!("stopped before the service was ready; the next start goes on from here");
            return Ok(());
        }
    };
    let jobs = tokio::spawn({
        let (ingest, stop, workers) = (app.ingest().clone(), app.stop().clone(), app.settings().jobs);
        async move { ingest.run_jobs(workers, stop).await }
    });
    let house = tokio::spawn({
        let (ingest, stop) = (app.ingest().clone(), app.stop().clone());
        let purge_after = app.settings().purge_deleted_after;
        async move { ingest.keep_house(purge_after, stop).await }
    });
    let removals = tokio::spawn({
        let app = app.clone();
        async move { app.ingest().run_removals(app.stop().clone(), |tenant| app.retrieval().forget(tenant)).await }
    });
    let mending = tokio::spawn({
        let (ingest, stop) = (app.ingest().clone(), app.stop().clone());
        async move { ingest.run_mending(stop).await }
    });
    let following = tokio::spawn({
        let (ingest, stop) = (app.ingest().clone(), app.stop().clone());
        async move { ingest.follow_other_writers(stop).await }
    });
    let schedules = tokio::spawn({
        let (ingest, stop) = (app.ingest().clone(), app.stop().clone());
        async move { tokio::join!(ingest.run_schedules(stop.clone()), ingest.run_watching(stop)) }
    });
    let upkeep = tokio::spawn(upkeep(app.clone()));
    let stopped = {
        let app = app.clone();
        async move {
            stop.asked_for().await;
            tracing::info!("stopping: no new requests, those at work are finished");
            app.stop().cancel();
        }
    };
    let serving = axum::serve(listener, http::router(app.clone())).with_graceful_shutdown(stopped);
    tokio::select! {
        served = serving.into_future() => served.context("the listener failed")?,
        () = drained(&app) => tracing::warn!("requests were still at work after {} s; they are cut off", DRAIN.as_secs()),
    }
    upkeep.abort();
    let _ =
        tokio::time::timeout(DRAIN, async { tokio::join!(jobs, house, removals, mending, following, schedules) }).await;
    app.catalog().close().await?;
    Ok(())
}

/// Everything that must be so before the service says that it listens.
async fn prepare(settings: Settings, address: SocketAddr) -> anyhow::Result<App> {
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics cannot be gathered")?;
    let (app, minted) = App::open(settings, metrics).await?;
    if let Some(key) = minted {
        println!("operator key (shown this once, keep it): {key}");
    }
    app.ingest().recover().await.context("the index cannot be brought up to the catalog")?;
    let demo = match app.settings().demo {
        Demo::On => Some(demo::load(&app).await.context("the demo tenants cannot be loaded")?),
        Demo::Off => None,
    };
    app.set_caught_up();
    app.warm().await;
    println!("listening on http://{address}");
    if let Some(demo) = demo {
        println!("\n{}", demo.hints(&format!("http://{address}")));
    }
    Ok(app)
}

/// What asks the service to stop. Listened to before the service says that it listens, so that no signal is lost.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ends when somebody wants the service to stop.
    async fn asked_for(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Folds timings into their histograms now and then, so that they do not pile up where nobody scrapes, and forgets the
/// measures of tenants that are at rest.
async fn upkeep(app: App) {
    loop {
        clock::pause(UPKEEP).await;
        app.metrics().run_upkeep();
        app.allowances().forget_idle();
    }
}

/// Ends when the time for draining is over.
async fn drained(app: &App) {
    app.stop().cancelled().await;
    clock::pause(DRAIN).await;
}
