//! Does the dense arm keep up with others' approximate indexes? The ten nearest rows, everyone sees all, one thread each.
//!
//! Measured: our index as it is, and of each peer the least effort (`ef`, `nprobe`) that reaches each of three recalls, or
//! the most that it has. Rounds alternate, ours before each of theirs, and a ratio is the median over the rounds of our
//! mean by theirs in the same round. A mean is of processor time, so that other programs do not count. A peer gets all
//! queries at once for its mean, so that Python costs it nothing.

use std::path::Path;

use catena_benches::median;
use catena_index::{Effort, QueryVector, Snapshot, Visible};
use serde_json::json;

use crate::Settings;
use crate::building;
use crate::data::{Data, Vectors};
use crate::figures::Times;
use crate::ours::{self, Ours, Raw, Readers};
use crate::peer::{Answer, Opened, Peer, Round};
use crate::truth::{LIMIT, Truth};

const RECALLS: [f64; 3] = [0.98, 0.995, 0.997];
/// Our lesser efforts, in spreads of a list.
const SPREADS: [f32; 7] = [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
const PEERS: [&str; 7] = ["hnswlib", "usearch f32", "usearch i8", "faiss HNSW", "faiss IVF", "faiss flat", "lancedb"];

pub(crate) fn measure(settings: &Settings, data: &Data) -> anyhow::Result<()> {
    println!("\n## Dense: the {LIMIT} nearest rows, one thread each, recall against exact single precision\n");
    println!(
        "mean: processor time of a query; a peer is given all queries at once for it, where that is no other work."
    );
    println!(
        "p50, p99: the time that passed, a peer's with its call from Python. effort: ef or nprobe, the least that"
    );
    println!(
        "reaches a recall. x: our mean by theirs; below 1 ours is faster. x p50: the same for p50. x equal: the same for
ours with the least effort that reaches their recall. Medians of {} rounds.",
        settings.rounds
    );
    for &rows in &settings.rows {
        size(settings, data, rows)?;
    }
    Ok(())
}

/// Our index over so many rows, without words: only its vectors are asked for.
pub(crate) fn build(settings: &Settings, data: &Data, rows: &Vectors) -> anyhow::Result<Ours> {
    let folder = data.cache.join(format!("ours-{}", rows.rows));
    Ours::build(&folder, settings.rows_kept, rows.rows, rows.dimension, || {
        let vectors = rows.iter()?.enumerate();
        Ok(Box::new(vectors.map(|(number, vector)| ours::input(number, &Raw { text: "", vector: &vector? }))))
    })
}

/// What answers for our side.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    visible: &'a Visible,
    queries: &'a [QueryVector],
}

impl Asked<'_> {
    fn round(&self, effort: Effort) -> anyhow::Result<(Times, Vec<Vec<u32>>)> {
        Times::round(|times| {
            let asked = self.queries.iter();
            asked.map(|query| times.of(|| ours::dense(self.snapshot, query, self.visible, LIMIT, effort))).collect()
        })
    }
}

/// Ours with some effort.
struct Reach {
    /// How it is named in the table.
    name: String,
    effort: Effort,
    recall: f64,
    times: Times,
}

/// Less effort than usual, from little to much, then the usual.
fn reaches(asked: &Asked<'_>, recall: impl Fn(&[Vec<u32>]) -> anyhow::Result<f64>) -> anyhow::Result<Vec<Reach>> {
    let lesser = SPREADS.iter().map(|&spreads| (spreads.to_string(), Effort::of_spreads(spreads)));
    let all = lesser.chain([("usual".to_owned(), Effort::USUAL)]);
    let measured = all.map(|(name, effort)| {
        let (times, found) = asked.round(effort)?;
        Ok(Reach { name, effort, recall: recall(&found)?, times })
    });
    measured.collect()
}

fn size(settings: &Settings, data: &Data, wanted: usize) -> anyhow::Result<()> {
    let rows = data.rows(wanted)?;
    println!("\n### {}\n", data.made_of(wanted));
    let mut numpy = Peer::start(&settings.python)?;
    let truth = Truth::of(data, &rows, &mut numpy)?;
    drop(numpy);
    let ours = build(settings, data, &rows)?;
    let snapshot = ours.snapshot();
    let live = ours::live(wanted, &Readers::Everyone)?;
    let visible = ours::visible(&snapshot, &live, &[])?;
    let vectors = data.asked.all()?;
    let queries: Vec<QueryVector> = vectors.iter().cloned().map(ours::query).collect::<anyhow::Result<_>>()?;
    let asked = Asked { snapshot: &snapshot, visible: &visible, queries: &queries };
    asked.round(Effort::USUAL)?;
    let ours_at = reaches(&asked, |found| truth.recall(&rows, &vectors, found))?;
    println!(
        "| {:<12} | {:>6} | {:>7} | {:>8} | {:>8} | {:>8} | {:>7} | {:>7} | {:>7} | {:>9} | {:>9} |",
        "index", "effort", "recall", "mean ms", "p50 ms", "p99 ms", "x", "x p50", "x equal", "build s", "MiB"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let build = ours.build_seconds.map_or("reused".to_owned(), |seconds| format!("{seconds:.1}"));
    let mib = building::files(ours.folder())?.iter().map(|(_, bytes)| bytes).sum::<u64>() >> 20;
    for Reach { name, recall, times, .. } in &ours_at {
        println!("| {:<12} | {name:>6} | {recall:>7.4} | {times} | | | | {build:>9} | {mib:>9} |", "ours");
    }
    for name in PEERS.iter().filter(|name| settings.wants(name)) {
        match against(settings, data, name, (&rows, &truth, &vectors), (&asked, &ours_at)) {
            Ok(Answer::Done(lines)) => lines.iter().for_each(|line| println!("{line}")),
            Ok(Answer::Skipped(why)) => println!("| {name:<12} | left out: {why} |"),
            // A long run does not end over somebody else's index.
            Err(error) => println!("| {name:<12} | failed: {error:#} |"),
        }
    }
    println!("\n{} segments of ours; MiB is what lies on the disk.", ours.segments());
    Ok(())
}

/// One peer's lines of the table.
fn against(
    settings: &Settings,
    data: &Data,
    name: &str,
    (rows, truth, queries): (&Vectors, &Truth, &[Vec<f32>]),
    (asked, ours_at): (&Asked<'_>, &[Reach]),
) -> anyhow::Result<Answer<Vec<String>>> {
    let mut peer = Peer::start(&settings.python)?;
    let opened = match open(&mut peer, name, rows, &data.cache)? {
        Answer::Done(opened) => opened,
        Answer::Skipped(why) => return Ok(Answer::Skipped(why)),
    };
    let mut points: Vec<Point> = Vec::new();
    for &effort in &opened.efforts {
        let round = round(&mut peer, &data.asked, effort)?;
        let recall = truth.recall(rows, queries, &round.found)?;
        let point = Point { effort, recall, ..Point::default() };
        let best = points.last().map_or(0.0, |point| point.recall);
        // The first that reaches a recall is kept, and the last of all, whatever it reaches.
        let reaches = RECALLS.iter().any(|&wanted| best < wanted && recall >= wanted);
        if points.last().is_some_and(|last| RECALLS.iter().all(|&wanted| last.recall < wanted)) {
            points.pop();
        }
        if reaches || best < RECALLS[0] {
            points.push(point);
        }
        if recall >= RECALLS[RECALLS.len() - 1] {
            break;
        }
    }
    for _ in 0..settings.rounds {
        for point in &mut points {
            let (ours, _) = asked.round(Effort::USUAL)?;
            let equal = ours_at.iter().find(|ours| ours.recall >= point.recall);
            let (as_good, _) = asked.round(equal.map_or(Effort::USUAL, |ours| ours.effort))?;
            let theirs = round(&mut peer, &data.asked, point.effort)?;
            point.ratios.push(ours.mean_ms() / theirs.own_ms());
            point.equals.push(as_good.mean_ms() / theirs.own_ms());
            point.middles.push(ours.at_ms(0.5) / theirs.p50_ms);
            point.rounds.push(theirs);
        }
    }
    Ok(Answer::Done(points.into_iter().map(|point| point.line(name, &opened)).collect()))
}

pub(crate) fn open(peer: &mut Peer, name: &str, rows: &Vectors, cache: &Path) -> anyhow::Result<Answer<Opened>> {
    peer.ask(&json!({ "do": "open", "peer": name, "rows": rows.path, "dimension": rows.dimension, "cache": cache }))
}

pub(crate) fn round(peer: &mut Peer, queries: &Vectors, effort: u32) -> anyhow::Result<Round> {
    peer.compute(&json!({ "do": "round", "queries": queries.path, "effort": effort, "limit": LIMIT }))
}

/// A peer at one effort.
#[derive(Default)]
struct Point {
    effort: u32,
    recall: f64,
    rounds: Vec<Round>,
    ratios: Vec<f64>,
    /// The same for ours with the least effort that reaches as good a recall.
    equals: Vec<f64>,
    /// As the ratios, for p50.
    middles: Vec<f64>,
}

impl Point {
    fn line(mut self, name: &str, opened: &Opened) -> String {
        let middle = |value: fn(&Round) -> f64| median(&mut self.rounds.iter().map(value).collect::<Vec<_>>());
        format!(
            "| {name:<12} | {:>6} | {:>7.4} | {:>8.3} | {:>8.3} | {:>8.3} | {:>7.2} | {:>7.2} | {:>7.2} | {:>9.1} | {:>9} |",
            self.effort,
            self.recall,
            middle(Round::own_ms),
            middle(|round| round.p50_ms),
            middle(|round| round.p99_ms),
            median(&mut self.ratios),
            median(&mut self.middles),
            median(&mut self.equals),
            opened.build_seconds,
            opened.bytes >> 20,
        )
    }
}
