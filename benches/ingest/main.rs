//! What does a change cost? A documentation site at several dates, one after the other, through a folder source of the
//! whole program; the same chunks through the bare embedder; and how soon a written document is found.
//!
//! Measured: for every date, a sync of what changed since the date before beside a sync of the whole date into a fresh
//! tenant, with documents, chunks embedded, their tokens and seconds, as the jobs say; a sync when nothing changed, and one
//! when every file was touched. Then the chunks of the last whole date, as the catalog holds them, through this process's
//! own embedder with as many workers, rounds alternating with whole syncs, the service stopped meanwhile. Then documents of
//! one page, written one by one: the time from the answer to the first search that finds them, and of writes that wait.
//! Then searches of one tenant while another one writes hostile files, beside the same searches without them.
//!
//! The dates are folders of equal layout below `changes/NAME` in the data folder; none is part of this project. Files are brought from
//! one date to the next as a checkout does it: what is equal is not touched.
//!
//! Caveat: the machine is shared with the service's own client here; ratios of one run mean something, absolute figures do not.

mod changes;
mod freshness;
mod tenant;
mod unmoved;

use std::path::PathBuf;

use anyhow::Context as _;
use catena_benches::{Service, open};
use catena_runtime::environment;
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// The folder that holds the collections.
    #[arg(long, env = "CATENA_BENCH_DATA")]
    data: Option<PathBuf>,
    /// The site below `changes` in it.
    #[arg(long, default_value = "prometheus-docs")]
    site: String,
    /// The program to measure.
    #[arg(long, default_value = "target/debug/catena")]
    program: PathBuf,
    /// The model that the program uses by default, for the bare embedder.
    #[arg(long, default_value = ".catena/models/all-minilm-l6-v2-int8")]
    model: PathBuf,
    /// Rounds of whole syncs beside the bare embedder.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Documents whose way to the first hit is timed.
    #[arg(long, default_value_t = 200)]
    documents: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Some(data) = &arguments.data else {
        println!("SKIPPED: no data folder; name one with --data or CATENA_BENCH_DATA");
        return Ok(());
    };
    let site = changes::Site::open(&data.join("changes").join(&arguments.site))?;
    let (folder, place) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let allowed = place.path().to_str().context("the temporary folder has no name in Unicode")?.to_owned();
    let settings = folder.path().join("catena.toml");
    std::fs::write(&settings, format!("source_folders = [{allowed:?}]\n"))?;
    let more = ["--config", settings.to_str().context("the temporary folder has no name in Unicode")?];
    let service = Service::start(&arguments.program, folder.path(), &more).await?;
    changes::dates(&service.url, place.path(), &site).await?;
    freshness::measure(&service.url, arguments.documents).await?;
    service.stop().await?;
    let embedder = open(&arguments.model, environment::processors())?;
    let mut rounds = changes::Rounds::default();
    for round in 0..arguments.rounds {
        let service = Service::start(&arguments.program, folder.path(), &more).await?;
        let synced = changes::whole(&service.url, place.path(), &site, round).await?;
        // What is measured next has the machine to itself, and the catalog can be read.
        service.stop().await?;
        rounds.bare(&embedder, folder.path(), &synced, round).await?;
    }
    rounds.print();
    // On a data folder of its own, whose index holds nothing else.
    let folder = tempfile::tempdir()?;
    let service = Service::start(&arguments.program, folder.path(), &[]).await?;
    unmoved::measure(&service.url).await?;
    service.stop().await
}
