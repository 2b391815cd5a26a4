//! What does the index cost to write? Rows a second, bytes a row, merges, and what a search notices of a merge.
//!
//! The rows are all texts with their vectors. Measured: one publication of them all; the bytes that lie on the disk, by
//! file; eight publications merged into one segment; and searches of both arms on one thread, on the snapshot before the
//! merge, while another thread merges and while none does. Reading rows from a catalog is no part of it. For the cost of
//! building at other sizes, without words, see the column of the dense table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use anyhow::Context as _;
use catena_index::{Effort, LexicalQuery, QueryVector, RowInput, Snapshot, Visible};
use catena_runtime::clock::Stopwatch;
use catena_runtime::thread::{self, Priority};

use crate::Settings;
use crate::data::Data;
use crate::figures::Times;
use crate::ours::{self, Kept, Ours, Raw, Readers};
use crate::truth::LIMIT;

/// Segments of one size that the index merges into one.
const BATCHES: usize = 8;

pub(crate) fn measure(settings: &Settings, data: &Data) -> anyhow::Result<()> {
    let rows = inputs(data)?;
    println!("\n## Building: {} texts with their vectors, on one thread\n", rows.len());
    sizes(data, &rows)?;
    merging(settings, data, rows)
}

fn inputs(data: &Data) -> anyhow::Result<Vec<RowInput>> {
    let vectors = data.real()?;
    let rows = vectors.iter()?.zip(&data.texts).enumerate();
    rows.map(|(number, (vector, text))| ours::input(number, &Raw { text, vector: &vector? })).collect()
}

/// One publication, and what lies on the disk of it.
fn sizes(data: &Data, rows: &[RowInput]) -> anyhow::Result<()> {
    let folder = data.cache.join("ours-building");
    let inputs = || Ok(Box::new(rows.iter().cloned().map(Ok)) as Box<dyn Iterator<Item = _>>);
    let ours = Ours::build(&folder, Kept::BuildAnew, rows.len(), data.asked.dimension, inputs)?;
    let seconds = ours.build_seconds.unwrap_or_default();
    println!("published in {seconds:.2} s: {:.0} rows/s, {} segments\n", rows.len() as f64 / seconds, ours.segments());
    let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
    for (path, bytes) in files(ours.folder())? {
        let name = path.file_name().context("a file has no name")?.to_string_lossy().into_owned();
        *by_name.entry(name).or_default() += bytes;
    }
    let a_row = |bytes: u64| bytes as f64 / rows.len() as f64;
    println!("| {:<16} | {:>11} |", "file", "bytes a row");
    println!("|---|---|");
    by_name.iter().for_each(|(name, &bytes)| println!("| {name:<16} | {:>11.1} |", a_row(bytes)));
    println!("| {:<16} | {:>11.1} |", "all", a_row(by_name.values().sum()));
    let texts: usize = data.texts.iter().map(String::len).sum();
    println!("| {:<16} | {:>11.1} |", "the texts", a_row(texts as u64));
    Ok(())
}

/// Eight publications become one, while somebody asks.
fn merging(settings: &Settings, data: &Data, rows: Vec<RowInput>) -> anyhow::Result<()> {
    let folder = data.cache.join("ours-merging");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let generation = ours::publish(&folder, data.asked.dimension, rows.clone(), BATCHES)?;
    let before: BTreeMap<PathBuf, u64> = files(&folder)?.into_iter().collect();
    let live = ours::live(rows.len(), &Readers::Everyone)?;
    let snapshot = generation.snapshot();
    let visible = ours::visible(&snapshot, &live, &[])?;
    let asked = Asked::new(data, &snapshot, &visible)?;
    asked.until(|round| round > 0)?;
    let quiet = asked.until(|round| round >= settings.rounds)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let merging = thread::spawn("merge", Priority::Foreground, {
        let generation = Arc::clone(&generation);
        move || {
            let watch = Stopwatch::start();
            let merged = ours::merge_all(&generation, &live);
            // Nobody waits any more if searching has failed.
            let _ = sender.send(merged.map(|rows| (rows, watch.elapsed().as_secs_f64())));
        }
    })?;
    let busy = asked.until(|_| merging.is_finished())?;
    let (written, seconds) = receiver.recv().context("the merging thread ended without a word")??;
    let bytes: u64 =
        files(&folder)?.iter().filter(|(path, _)| !before.contains_key(path)).map(|(_, bytes)| bytes).sum();
    println!(
        "\nmerged {BATCHES} segments into {}: {written} rows and {} MiB written in {seconds:.2} s, {:.0} rows/s\n",
        generation.segments(),
        bytes >> 20,
        written as f64 / seconds,
    );
    println!(
        "| {:<8} | {:<14} | {:>8} | {:>8} | {:>8} | {:>6} |",
        "arm", "meanwhile", "mean ms", "p50 ms", "p99 ms", "p99 x"
    );
    println!("|---|---|---|---|---|---|");
    for (arm, quiet, busy) in [("dense", &quiet.dense, &busy.dense), ("lexical", &quiet.lexical, &busy.lexical)] {
        println!("| {arm:<8} | {:<14} | {quiet} | {:>6} |", "nothing", 1);
        println!("| {arm:<8} | {:<14} | {busy} | {:>6.2} |", "a merge", busy.at_ms(0.99) / quiet.at_ms(0.99));
    }
    Ok(())
}

struct Asked<'a> {
    snapshot: &'a Snapshot,
    visible: &'a Visible,
    questions: Vec<(QueryVector, LexicalQuery)>,
}

#[derive(Default)]
struct Both {
    dense: Times,
    lexical: Times,
}

impl<'a> Asked<'a> {
    fn new(data: &Data, snapshot: &'a Snapshot, visible: &'a Visible) -> anyhow::Result<Self> {
        let words = data.queries.iter().map(|query| LexicalQuery::parse(query));
        let vectors = data.asked.all()?.into_iter().map(ours::query).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { snapshot, visible, questions: vectors.into_iter().zip(words).collect() })
    }

    /// Asks all questions again and again, until it is enough after some number of rounds or in the middle of one.
    fn until(&self, is_enough: impl Fn(usize) -> bool) -> anyhow::Result<Both> {
        let mut both = Both::default();
        for round in 0.. {
            for (vector, words) in &self.questions {
                if is_enough(round) {
                    return Ok(both);
                }
                both.dense.of(|| ours::dense(self.snapshot, vector, self.visible, LIMIT, Effort::USUAL))?;
                both.lexical.of(|| ours::lexical(self.snapshot, words, self.visible, LIMIT))?;
            }
        }
        Ok(both)
    }
}

/// All files below a folder, with their sizes.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push((path, entry.metadata()?.len()));
        }
    }
    Ok(found)
}
