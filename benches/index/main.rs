//! How does the index do beside its peers? Speed and recall, filters, words, and building.
//!
//! Each question is a file: `dense`, `filtered`, `lexical`, `building`; tenants at rest are `benches/tenants.rs`. All of it runs in this process, on one
//! thread, against the index's own interface; peers are Python packages in processes of their own, on one thread too, and
//! one that is not installed is left out with a sentence that says so. Rounds alternate, so that what else the machine does
//! hits both sides. What can be made again (vectors, exact answers, peers' indexes) is kept in the cache folder.
//!
//! The output is tables in Markdown, and means are of processor time. Caveat: ratios of one run mean something, absolute
//! times do not; and a peer is measured as its Python package brings it.

mod building;
mod data;
mod dense;
mod figures;
mod filtered;
mod lexical;
mod ours;
mod peer;
mod truth;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::data::{Data, Extent};
use crate::ours::Kept;
use crate::peer::Python;

/// Rows of a quick run, and which share of the collections it takes.
const QUICK_ROWS: usize = 3_000;
const QUICK_STEP: usize = 20;

#[derive(Parser)]
struct Arguments {
    /// The folder that holds the collections.
    #[arg(long, env = "CATENA_BENCH_DATA")]
    data: Option<PathBuf>,
    /// Where vectors, exact answers and peers' indexes are kept.
    #[arg(long, default_value = ".catena/bench-index")]
    cache: PathBuf,
    /// The folder of the model that embeds.
    #[arg(long, default_value = ".catena/models/all-minilm-l6-v2-int8")]
    model: PathBuf,
    /// The Python that runs the peers, and numpy for the exact answers.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Folders of Python packages for it.
    #[arg(long, default_value = ".catena/bench-python:.catena/bench-built")]
    python_path: PathBuf,
    /// How many rows are searched, size by size.
    #[arg(long, value_delimiter = ',', default_values_t = [30_000, 100_000, 300_000, 1_000_000])]
    rows: Vec<usize>,
    /// Rounds of everything that is compared.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The questions; without any, all of them.
    #[arg(long = "part", value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Only these peers, by the first word of their name, and with `none` no peer; without it, all of them.
    #[arg(long = "peer", value_delimiter = ',')]
    peers: Vec<String>,
    /// Take our index from the last run, when only searching has changed since.
    #[arg(long)]
    keep: bool,
    /// Everything at a small size, in about a minute: shows that the bench works, and measures nothing.
    #[arg(long)]
    quick: bool,
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Dense,
    Filtered,
    Lexical,
    Building,
}

/// What all questions need to know.
struct Settings {
    python: Python,
    rows: Vec<usize>,
    rounds: usize,
    kept: Kept,
    /// The same for the indexes over so many rows, which two questions are asked of.
    rows_kept: Kept,
    peers: Vec<String>,
}

impl Settings {
    fn wants(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|named| peer.split(' ').next() == Some(named))
    }
}

fn main() -> anyhow::Result<()> {
    let whole = Arguments::parse();
    let folder = whole.data.context("name the folder of collections with --data or CATENA_BENCH_DATA")?;
    let (extent, rows, rounds) = if whole.quick {
        (Extent::Sample(QUICK_STEP), vec![QUICK_ROWS], 1)
    } else {
        (Extent::Whole, whole.rows, whole.rounds)
    };
    let kept = if whole.keep { Kept::Reuse } else { Kept::BuildAnew };
    let mut settings = Settings {
        python: Python { program: whole.python, packages: whole.python_path },
        rows,
        rounds,
        kept,
        rows_kept: kept,
        peers: whole.peers,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let data = runtime.block_on(Data::load(&folder, &whole.model, &whole.cache, extent))?;
    println!(
        "{} texts and {} queries, {} numbers a vector",
        data.texts.len(),
        data.queries.len(),
        data.asked.dimension
    );
    let parts = if whole.parts.is_empty() { Part::value_variants() } else { &whole.parts };
    for part in parts {
        match part {
            Part::Dense => {
                dense::measure(&settings, &data)?;
                settings.rows_kept = Kept::Reuse;
            }
            Part::Filtered => filtered::measure(&settings, &data)?,
            Part::Lexical => lexical::measure(&settings, &data)?,
            Part::Building => building::measure(&settings, &data)?,
        }
    }
    Ok(())
}
