//! How well files of every format are read: the share that is, word recall and order against another converter's text,
//! time and memory of the reader process, and what hostile files cost.
//!
//! Takes the files that `formats/pairs.tsv` names below `CATENA_BENCH_DATA`, and says plainly that it was skipped where
//! there are none. The expected texts are another program's: words are compared, not bytes.

mod words;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use catena_benches::hostile;
use catena_formats::Formats;
use catena_runtime::Compute;
use catena_runtime::clock::Stopwatch;
use catena_runtime::environment;
use catena_runtime::thread::Priority;
use catena_text::{Format, Reading};

use words::{order, recall, words};

fn main() -> ExitCode {
    // The readers are processes of this program.
    if let Some(code) = catena_formats::serve_if_called() {
        return code;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure() -> anyhow::Result<()> {
    match environment::variable("CATENA_BENCH_DATA").map(PathBuf::from) {
        Some(data) => real(&data).await?,
        None => println!("SKIPPED: no data folder; name one with CATENA_BENCH_DATA"),
    }
    hostile_files().await
}

/// One document read by a process of its own.
struct Read {
    result: Result<Reading, String>,
    milliseconds: f64,
    peak_kib: u64,
}

async fn read_alone(format: Format, bytes: Vec<u8>) -> anyhow::Result<Read> {
    let compute = Compute::start(NonZeroUsize::MIN, "texts", Priority::Foreground)?;
    let formats = Formats::start(NonZeroUsize::MIN, compute)?;
    let watch = Stopwatch::start();
    let result = {
        let mut reading = std::pin::pin!(formats.read(format, None, bytes));
        let mut peak_kib = 0;
        loop {
            let tick = tokio::time::timeout(std::time::Duration::from_millis(20), &mut reading).await;
            peak_kib = peak_kib.max(children_peak_kib());
            if let Ok(result) = tick {
                break Read { result: result.map_err(|error| error.to_string()), milliseconds: 0.0, peak_kib };
            }
        }
    };
    Ok(Read { milliseconds: watch.elapsed().as_secs_f64() * 1000.0, ..result })
}

/// The most memory that any process of ours has held, in KiB.
fn children_peak_kib() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let ids: Vec<String> =
        children.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let peak = |id: &String| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
    };
    ids.iter().filter_map(peak).max().unwrap_or(0)
}

#[derive(Default)]
struct Row {
    files: usize,
    read: usize,
    recalls: Vec<f64>,
    orders: Vec<f64>,
    milliseconds: Vec<f64>,
    slowest: (f64, String),
    peak_kib: u64,
}

async fn real(data: &Path) -> anyhow::Result<()> {
    let pairs = std::fs::read_to_string(data.join("formats/pairs.tsv")).context("pairs.tsv cannot be read")?;
    let mut files: Vec<(String, String, Option<String>)> = Vec::new();
    for line in pairs.lines().skip(1) {
        let mut fields = line.split('\t').map(str::to_owned);
        if let (Some(format), Some(file), Some(expected)) = (fields.next(), fields.next(), fields.next()) {
            files.push((format, file, Some(expected)));
        }
    }
    for entry in std::fs::read_dir(data.join("formats/eml")).into_iter().flatten().flatten() {
        files.push(("eml".to_owned(), format!("formats/eml/{}", entry.file_name().to_string_lossy()), None));
    }
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let is_loud = environment::variable("CATENA_BENCH_FILES").is_some();
    for (format, file, expected) in files {
        let row = rows.entry(format).or_default();
        row.files += 1;
        let Some(known) = Format::from_path(&file) else {
            println!("refused {file}: no reader takes this ending");
            continue;
        };
        let read = read_alone(known, std::fs::read(data.join(&file))?).await?;
        row.milliseconds.push(read.milliseconds);
        row.peak_kib = row.peak_kib.max(read.peak_kib);
        if read.milliseconds > row.slowest.0 {
            row.slowest = (read.milliseconds, file.clone());
        }
        let reading = match read.result {
            Ok(reading) => reading,
            Err(why) => {
                println!("failed {file}: {why}");
                continue;
            }
        };
        row.read += 1;
        let Some(expected) = expected else { continue };
        let expected = words(&std::fs::read_to_string(data.join(expected))?);
        let found = words(&reading.text);
        let (recall, order) = (recall(&expected, &found), order(&expected, &found));
        if is_loud || recall < 0.95 {
            println!("{recall:.3} {order:.3} {file}");
        }
        row.recalls.push(recall);
        row.orders.push(order);
    }
    println!("\n| format | files | read | word recall, mean | least | order, mean | ms, median | slowest | peak MiB |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (format, mut row) in rows {
        row.milliseconds.sort_by(f64::total_cmp);
        let median = row.milliseconds.get(row.milliseconds.len() / 2).copied().unwrap_or(0.0);
        let least = row.recalls.iter().copied().fold(f64::NAN, f64::min);
        println!(
            "| {format} | {} | {} | {} | {} | {} | {median:.1} | {:.0} ms {} | {:.0} |",
            row.files,
            row.read,
            shown(mean(&row.recalls)),
            shown(least),
            shown(mean(&row.orders)),
            row.slowest.0,
            row.slowest.1.rsplit('/').next().unwrap_or_default(),
            row.peak_kib as f64 / 1024.0,
        );
    }
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn shown(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.3}") }
}

async fn hostile_files() -> anyhow::Result<()> {
    println!("\n| hostile file | KiB | outcome | ms | peak MiB |\n|---|---|---|---|---|");
    for (name, format, bytes) in hostile::files()? {
        let size = bytes.len() as f64 / 1024.0;
        let read = read_alone(format, bytes).await?;
        let outcome = match &read.result {
            Ok(reading) => format!("a text of {} bytes", reading.text.len()),
            Err(why) => why.clone(),
        };
        println!(
            "| {name} | {size:.0} | {outcome} | {:.0} | {:.0} |",
            read.milliseconds,
            read.peak_kib as f64 / 1024.0
        );
    }
    Ok(())
}
