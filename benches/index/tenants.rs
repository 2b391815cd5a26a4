//! What does a tenant cost that nobody asks, and what does its first question cost?
//!
//! Each tenant has the same number of chunks, texts with their vectors, in an index of its own. Measured in a process of its
//! own, so that memory is its own too: tenants are asked one after the other, once each, both ways. Once so that the index
//! keeps all of them open (fewer are taken for this), once so that it keeps one: the first says what an open tenant that has
//! answered keeps, the second what a closed one does, and how long a first question takes that opens, verifies and searches.
//! "Cold" means closed, not that the disk has to be read: the files were written just before.
//!
//! The live table stands ready, as a service reads it from its catalog; `served` measures all of it in a service.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use catena_index::{LexicalQuery, RowInput};
use catena_runtime::environment;
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::data::{Data, Vectors};
use crate::figures::Times;
use crate::ours::{self, Kept, Raw, Readers, Tenants};
use crate::served;
use crate::truth::LIMIT;

pub(crate) const CHUNKS: usize = 20;
/// Tenants that are kept open at once: each has some maps, and Linux lets a process have 65,530.
const OPEN_MAX: usize = 2_000;

/// Asks tenants once each.
#[derive(clap::Args)]
pub(crate) struct Once {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    tenants: usize,
    /// How many are kept open.
    #[arg(long)]
    open: NonZeroUsize,
    #[arg(long)]
    queries: PathBuf,
    #[arg(long)]
    dimension: usize,
    #[arg(long)]
    words: String,
}

/// What was measured.
#[derive(Serialize, Deserialize)]
pub(crate) struct Asked {
    p50_ms: f64,
    p99_ms: f64,
    /// More than before anything was asked.
    resident_kib: u64,
    anonymous_kib: u64,
    maps: usize,
    descriptors: usize,
}

pub(crate) async fn measure(settings: &Settings, data: &Data) -> anyhow::Result<()> {
    println!("\n## Tenants at rest: {} tenants of {CHUNKS} chunks\n", settings.tenants);
    let folder = data.cache.join(format!("ours-tenants-{}", settings.tenants));
    make(settings, data, &folder)?;
    println!(
        "| {:<8} | {:>8} | {:>14} | {:>14} | {:>13} | {:>20} | {:>12} | {:>12} |",
        "kept",
        "tenants",
        "resident KiB",
        "anonymous KiB",
        "maps a tenant",
        "descriptors a tenant",
        "first p50 ms",
        "p99 ms"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let open = settings.tenants.min(OPEN_MAX);
    for (kept, tenants, open) in [("open", open, open), ("closed", settings.tenants, 1)] {
        let asked = alone(data, &folder, tenants, open)?;
        let each = |all: u64| all as f64 / tenants as f64;
        println!(
            "| {kept:<8} | {tenants:>8} | {:>14.2} | {:>14.2} | {:>13.2} | {:>20.2} | {:>12.3} | {:>12.3} |",
            each(asked.resident_kib),
            each(asked.anonymous_kib),
            each(asked.maps as u64),
            each(asked.descriptors as u64),
            asked.p50_ms,
            asked.p99_ms
        );
    }
    println!("\nMemory, maps and descriptors are those that a tenant adds to the process; each was asked once.");
    match &settings.service {
        Some(program) => served::measure(program, settings.kept, settings.tenants, data).await,
        None => Ok(()),
    }
}

/// Makes all tenants' indexes, where they are not there or not wanted.
fn make(settings: &Settings, data: &Data, folder: &std::path::Path) -> anyhow::Result<()> {
    if settings.kept == Kept::BuildAnew && folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let tenants = Tenants::new(folder, data.asked.dimension, NonZeroUsize::MIN)?;
    let vectors = data.real()?.all()?;
    for number in 0..settings.tenants {
        let row = |chunk: usize| {
            let at = (number * CHUNKS + chunk) % vectors.len();
            ours::input(chunk, &Raw { text: &data.texts[at], vector: &vectors[at] })
        };
        let rows: Vec<RowInput> = (0..CHUNKS).map(row).collect::<anyhow::Result<_>>()?;
        tenants.make(&Tenants::name(number), rows)?;
        if (number + 1) % 1_000 == 0 {
            eprintln!("made {} of {} tenants", number + 1, settings.tenants);
        }
    }
    Ok(())
}

/// Asks in a process of its own.
fn alone(data: &Data, folder: &std::path::Path, tenants: usize, open: usize) -> anyhow::Result<Asked> {
    let words = data.queries.first().context("there is no query")?;
    let mut command = Command::new(environment::executable()?);
    command.arg("once").arg("--folder").arg(folder).arg("--queries").arg(&data.asked.path).arg("--words").arg(words);
    let numbers = [("--tenants", tenants), ("--open", open), ("--dimension", data.asked.dimension)];
    command.args(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]));
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Asks each tenant once, in this process.
pub(crate) fn once(once: &Once) -> anyhow::Result<Asked> {
    let tenants = Tenants::new(&once.folder, once.dimension, once.open)?;
    let queries = Vectors::of(once.queries.clone(), once.dimension)?;
    let vector = ours::query(queries.some(std::iter::once(0))?.pop().context("there is no query")?)?;
    let words = LexicalQuery::parse(&once.words);
    let live = ours::live(CHUNKS, &Readers::Everyone)?;
    let mut times = Times::default();
    // What the first question of all needs is no tenant's.
    tenants.ask(&Tenants::name(once.tenants - 1), &live, &vector, &words, LIMIT)?;
    let before = Process::now()?;
    for number in 0..once.tenants {
        let name = Tenants::name(number);
        let found = times.of(|| tenants.ask(&name, &live, &vector, &words, LIMIT))?;
        anyhow::ensure!(found >= LIMIT, "tenant {name} has found {found} rows, {LIMIT} were wanted");
    }
    let after = Process::now()?;
    Ok(Asked {
        p50_ms: times.at_ms(0.5),
        p99_ms: times.at_ms(0.99),
        resident_kib: after.resident_kib.saturating_sub(before.resident_kib),
        anonymous_kib: after.anonymous_kib.saturating_sub(before.anonymous_kib),
        maps: after.maps.saturating_sub(before.maps),
        descriptors: after.descriptors.saturating_sub(before.descriptors),
    })
}

/// What this process occupies; only Linux says it.
struct Process {
    resident_kib: u64,
    anonymous_kib: u64,
    maps: usize,
    descriptors: usize,
}

impl Process {
    fn now() -> anyhow::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("memory is measured on Linux only")?;
        let kib = |key: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).context("a line is missing")?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Self {
            resident_kib: kib("VmRSS:")?,
            anonymous_kib: kib("RssAnon:")?,
            maps: std::fs::read_to_string("/proc/self/maps")?.lines().count(),
            descriptors: std::fs::read_dir("/proc/self/fd")?.count(),
        })
    }
}
