//! What does embedding cost beside what it must cost? Tokens a second, a query's time, and what neighbours notice.
//!
//! Measured, each in a process of its own so that memory is its own too, rounds alternating: the embedder of this project
//! with two workers; the bare loop of the same shape (two sessions of one thread each, one text a run, over token ids that
//! are there already, no pooling); ONNX Runtime from Python as people use it (sorted batches of 32, two threads);
//! sentence-transformers where it is installed. Then a query of twelve tokens alone and while documents are embedded at
//! full speed; what tokenising costs; and over HTTP, one tenant's queries while another loads documents.
//!
//! The texts are the first documents of a collection in the BEIR layout, cut to the model's window. Caveat: processes take
//! turns on one machine; ratios of one run mean something, absolute figures do not. The roofline is a calculation: cores
//! times clock times what the processor's widest instructions can do in a cycle.

mod bare;
mod ours;
mod served;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use catena_benches::{cut, median, open};
use catena_runtime::environment;
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

/// Floating-point operations of one token through the model, and more for each token of its text.
const FLOP_PER_TOKEN: f64 = 21.2e6;
const FLOP_PER_TOKEN_AND_LENGTH: f64 = 9_216.0;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    alone: Option<Alone>,
    #[command(flatten)]
    whole: Whole,
}

#[derive(clap::Args)]
struct Whole {
    /// The folder that holds the collections.
    #[arg(long, env = "CATENA_BENCH_DATA")]
    data: Option<PathBuf>,
    /// The collection.
    #[arg(long, default_value = "scifact")]
    set: String,
    /// Documents of one round.
    #[arg(long, default_value_t = 600)]
    documents: usize,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The folder with models.
    #[arg(long, default_value = ".catena/models")]
    models: PathBuf,
    /// The models, the first of which is also served.
    #[arg(long, default_values = ["all-minilm-l6-v2-int8", "all-minilm-l6-v2"])]
    model: Vec<String>,
    /// The program that serves.
    #[arg(long, default_value = "target/debug/catena")]
    program: PathBuf,
    /// A Python with onnxruntime, numpy and tokenizers, to compare with.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Folders of Python packages for it.
    #[arg(long, default_value = ".catena/bench-python")]
    python_path: PathBuf,
    /// Seconds of each part that measures a query's time.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// One measurement, in this process.
#[derive(Subcommand)]
enum Alone {
    /// The embedder.
    Ours(One),
    /// The bare loop.
    Bare(One),
    /// A query's time, alone and under load.
    Latency(One),
    /// A tenant that loads documents into a service.
    Load(served::Load),
}

#[derive(clap::Args)]
struct One {
    #[arg(long)]
    model: PathBuf,
    #[arg(long)]
    texts: PathBuf,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl One {
    fn texts(&self) -> anyhow::Result<Vec<String>> {
        read_texts(&self.texts)
    }
}

fn read_texts(file: &Path) -> anyhow::Result<Vec<String>> {
    let lines = std::fs::read_to_string(file)?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// What a measurement of throughput says.
#[derive(Debug, Serialize, Deserialize)]
struct Throughput {
    tokens: usize,
    seconds: f64,
    peak_rss_bytes: u64,
}

impl Throughput {
    fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    title: String,
    text: String,
}

fn main() -> anyhow::Result<()> {
    let Arguments { alone, whole } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match alone {
        None => run(&whole, &runtime),
        Some(Alone::Bare(one)) => print(&bare::measure(&one.model, &one.texts()?)?),
        Some(Alone::Ours(one)) => print(&runtime.block_on(ours::throughput(&one.model, one.texts()?))?),
        Some(Alone::Load(load)) => print(&runtime.block_on(served::load(load))?),
        Some(Alone::Latency(one)) => print(&runtime.block_on(ours::latency(&one.model, one.texts()?, one.seconds))?),
    }
}

fn print(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

fn run(whole: &Whole, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let folders: Vec<PathBuf> = whole.model.iter().map(|name| whole.models.join(name)).collect();
    let first = folders.first().context("name a model")?;
    let texts = texts(whole, first)?;
    let mut file = tempfile::NamedTempFile::new()?;
    for text in &texts {
        writeln!(file, "{}", serde_json::to_string(text)?)?;
    }
    file.flush()?;
    throughputs(whole, &folders, file.path())?;
    println!("\na query of 12 tokens, alone and while documents are embedded at full speed (two workers):");
    println!(
        "{:<24} {:>9} {:>9} {:>11} {:>11} {:>7} {:>7}",
        "model", "p50 ms", "p99 ms", "loaded p50", "p99", "x p50", "x p99"
    );
    for folder in &folders {
        let measured: ours::Latency = alone("latency", folder, file.path(), whole.seconds)?;
        println!("{:<24} {measured}", name(folder));
    }
    runtime.block_on(served::neighbours(&whole.program, &texts, file.path(), whole.seconds))
}

/// Rounds of everything that embeds the same texts.
fn throughputs(whole: &Whole, folders: &[PathBuf], texts: &Path) -> anyhow::Result<()> {
    let mut rounds: BTreeMap<(usize, &str), Vec<Throughput>> = BTreeMap::new();
    for _ in 0..whole.rounds {
        for (place, folder) in folders.iter().enumerate() {
            for side in ["ours", "bare"] {
                rounds.entry((place, side)).or_default().push(alone(side, folder, texts, 0)?);
            }
            if let Some(python) = &whole.python {
                for (side, option) in
                    [("python, batches of 32", None), ("sentence-transformers", Some("--sentence-transformers"))]
                {
                    if let Some(measured) = peer(python, &whole.python_path, folder, texts, option)? {
                        rounds.entry((place, side)).or_default().push(measured);
                    }
                }
            }
        }
    }
    println!(
        "{:<24} {:<22} {:>10} {:>10} {:>12} {:>10}",
        "model", "by", "tokens/s", "ours is x", "peak MiB", "roofline"
    );
    let roofline = roofline();
    for (&(place, side), measured) in &rounds {
        let ours = &rounds[&(place, "ours")];
        let mut ratios: Vec<f64> =
            ours.iter().zip(measured).map(|(ours, it)| ours.tokens_per_second() / it.tokens_per_second()).collect();
        let mut speeds: Vec<f64> = measured.iter().map(Throughput::tokens_per_second).collect();
        let peak = measured.iter().map(|it| it.peak_rss_bytes).max().unwrap_or_default();
        let speed = median(&mut speeds);
        let share =
            roofline.map_or("unknown".to_owned(), |peak| format!("{:.0} %", speed * flop_per_token() / peak * 100.0));
        println!(
            "{:<24} {side:<22} {speed:>10.0} {:>10.2} {:>12} {share:>10}",
            name(&folders[place]),
            median(&mut ratios),
            peak >> 20,
        );
    }
    Ok(())
}

/// A measurement in a process of its own.
fn alone<T: for<'a> Deserialize<'a>>(part: &str, model: &Path, texts: &Path, seconds: u64) -> anyhow::Result<T> {
    let mut command = Command::new(environment::executable()?);
    command.arg(part).arg("--model").arg(model).arg("--texts").arg(texts);
    if seconds > 0 {
        command.args(["--seconds", &seconds.to_string()]);
    }
    said(command)
}

fn peer(
    python: &Path,
    packages: &Path,
    model: &Path,
    texts: &Path,
    option: Option<&str>,
) -> anyhow::Result<Option<Throughput>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/embed.py");
    let mut command = Command::new(python);
    command.env("PYTHONPATH", packages).arg(script).arg("--model").arg(model).arg("--texts").arg(texts).args(option);
    let said: serde_json::Value = said(command)?;
    if said.get("skipped").is_some() { Ok(None) } else { Ok(Some(serde_json::from_value(said)?)) }
}

fn said<T: for<'a> Deserialize<'a>>(mut command: Command) -> anyhow::Result<T> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?} cannot be started"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The first documents, cut to what the model reads.
fn texts(whole: &Whole, model: &Path) -> anyhow::Result<Vec<String>> {
    let embedder = open(model, NonZeroUsize::MIN)?;
    let data = whole.data.as_ref().context("name the folder of collections with --data or CATENA_BENCH_DATA")?;
    let path = data.join(&whole.set).join("corpus.jsonl");
    let lines = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut texts = Vec::with_capacity(whole.documents);
    for line in lines.lines().take(whole.documents) {
        let Document { title, text } = serde_json::from_str(line)?;
        texts.push(cut(&embedder, format!("{title} {text}")));
    }
    Ok(texts)
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// At the length that most of these texts have.
fn flop_per_token() -> f64 {
    FLOP_PER_TOKEN + FLOP_PER_TOKEN_AND_LENGTH * 256.0
}

/// What two cores could do in single precision, by their clock and their widest instructions; only Linux says it.
fn roofline() -> Option<f64> {
    let facts = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |key: &str| facts.lines().find(|line| line.starts_with(key))?.split(':').nth(1).map(str::trim);
    let clock: f64 = value("cpu MHz")?.parse().ok()?;
    let per_cycle = if value("flags")?.contains("avx512f") { 64.0 } else { 32.0 };
    Some(2.0 * clock * 1e6 * per_cycle)
}

/// The most memory that this process has occupied.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}
