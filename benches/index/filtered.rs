//! What does a filter cost, and does it lose anything? The ten nearest of the rows that a reader may see.
//!
//! Rows belong to groups, the access lists name groups, and a reader is in as many groups as make the share: groups that
//! chance made, or those around the rows nearest to the query, or those farthest from it. Measured: recall among the
//! visible rows, and the time beside the same queries without a filter, rounds alternating. The visible set is made
//! outside the clock, as a service keeps it for a reader's next question; what making it takes has a column.
//!
//! Peers: hnswlib calls Python for each row that it meets, which is most of its time; faiss's graph takes a bitmap and
//! stays in C++, so its time says more. usearch has no filtered search in its Python package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use catena_benches::median;
use catena_index::{Effort, LiveTable, QueryVector, Snapshot, Visible};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Settings;
use crate::data::{Data, Vectors};
use crate::dense;
use crate::figures::Times;
use crate::ours::{self, Readers};
use crate::peer::{Answer, Peer, Round};
use crate::truth::{LIMIT, Truth, kept};

const QUERIES: usize = 100;
const GROUPS: usize = 1_000;
const SHARES: [f64; 4] = [0.001, 0.01, 0.1, 0.5];
const SEED: u64 = 5;
/// The recall without a filter that a peer's effort is chosen for.
const RECALL: f64 = 0.995;
/// Above this many rows, hnswlib's calls of Python would take hours.
const CALLED_ROWS_MAX: usize = 100_000;

/// Filters and the exact answers under them.
#[derive(Serialize, Deserialize)]
struct Filters {
    /// Row by row its group, by each way of grouping.
    belongs: BTreeMap<String, Vec<u16>>,
    cases: Vec<Case>,
}

#[derive(Serialize, Deserialize)]
struct Case {
    name: String,
    share: f64,
    belongs: String,
    /// Query by query the reader's groups.
    groups: Vec<Vec<u16>>,
    /// The share that is really seen, on average.
    seen: f64,
    #[serde(flatten)]
    truth: Truth,
}

/// What is asked, of whatever index.
struct Asked<'a> {
    rows: &'a Vectors,
    queries: &'a Vectors,
    vectors: &'a [Vec<f32>],
    filters: &'a Filters,
    /// Where the filters lie, for peers.
    path: &'a Path,
}

pub(crate) fn measure(settings: &Settings, data: &Data) -> anyhow::Result<()> {
    println!("\n## Filtered: the {LIMIT} nearest of the visible rows, one thread each\n");
    println!(
        "mean: processor time of a query. own x: the mean by that of the same index without a filter. x: our mean by"
    );
    println!(
        "theirs; below 1 ours is faster. Ours are medians of {} rounds. usearch is left out: its Python package has no",
        settings.rounds
    );
    println!("filtered search.");
    for &rows in &settings.rows {
        size(settings, data, rows)?;
    }
    Ok(())
}

fn size(settings: &Settings, data: &Data, wanted: usize) -> anyhow::Result<()> {
    let (rows, queries) = (data.rows(wanted)?, data.some_asked(QUERIES)?);
    println!("\n### {}, {} queries\n", data.made_of(wanted), queries.rows);
    let path = data.cache.join(format!("filters-{wanted}.json"));
    let filters: Filters = kept(&path, || {
        Peer::start(&settings.python)?.compute(&json!({
            "do": "cases", "rows": rows.path, "queries": queries.path, "dimension": rows.dimension,
            "limit": LIMIT, "groups": GROUPS, "shares": SHARES, "seed": SEED,
        }))
    })?;
    let vectors = queries.all()?;
    let asked = Asked { rows: &rows, queries: &queries, vectors: &vectors, filters: &filters, path: &path };
    println!(
        "| {:<10} | {:>7} | {:<18} | {:>7} | {:>8} | {:>8} | {:>8} | {:>6} | {:>6} | {:>10} |",
        "visible", "share %", "index", "recall", "mean ms", "p50 ms", "p99 ms", "own x", "x", "visible ms"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let ours = ours_lines(settings, data, &asked)?;
    let mut table: Vec<Vec<String>> = ours.iter().map(|(line, _)| vec![line.clone()]).collect();
    let means: Vec<f64> = ours.iter().map(|&(_, mean)| mean).collect();
    let mut notes = Vec::new();
    for name in ["faiss HNSW", "hnswlib"].into_iter().filter(|name| settings.wants(name)) {
        match peer_lines(settings, data, name, &asked, &means) {
            Ok(Answer::Done(PeerLines { lines, call_ms })) => {
                lines.into_iter().zip(&mut table).for_each(|(lines, to)| to.extend(lines));
                notes.push(format!(
                    "{name} is called from Python, query by query; of each of its times {call_ms:.3} ms are the call."
                ));
            }
            Ok(Answer::Skipped(why)) => notes.push(format!("{name} is left out: {why}.")),
            // A long run does not end over somebody else's index.
            Err(error) => notes.push(format!("{name} failed: {error:#}.")),
        }
    }
    table.iter().flatten().for_each(|line| println!("{line}"));
    notes.iter().for_each(|note| println!("\n{note}"));
    Ok(())
}

/// Our line for each case, with the mean time in milliseconds.
fn ours_lines(settings: &Settings, data: &Data, asked: &Asked<'_>) -> anyhow::Result<Vec<(String, f64)>> {
    let ours = dense::build(settings, data, asked.rows)?;
    let snapshot = ours.snapshot();
    let queries: Vec<QueryVector> = asked.vectors.iter().cloned().map(ours::query).collect::<anyhow::Result<_>>()?;
    let mut tables = BTreeMap::new();
    for (way, groups) in &asked.filters.belongs {
        tables.insert(way, ours::live(asked.rows.rows, &Readers::Groups(groups))?);
    }
    let mut making = Times::default();
    let everything = asked.filters.cases.first().context("no case")?;
    let unfiltered = visible_sets(&snapshot, &tables[&everything.belongs], everything, &mut making)?;
    let mut lines = Vec::new();
    for case in &asked.filters.cases {
        let mut making = Times::default();
        let visible = visible_sets(&snapshot, &tables[&case.belongs], case, &mut making)?;
        let (mut rounds, mut own, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            let (without, _) = search(&snapshot, &queries, &unfiltered)?;
            let (times, answers) = search(&snapshot, &queries, &visible)?;
            own.push(times.mean_ms() / without.mean_ms());
            rounds.push(times);
            found = answers;
        }
        let recall = case.recall(asked, &found)?;
        let middle = |value: &dyn Fn(&Times) -> f64| median(&mut rounds.iter().map(value).collect::<Vec<_>>());
        let figures = Figures {
            recall,
            mean_ms: middle(&Times::mean_ms),
            p50_ms: middle(&|times| times.at_ms(0.5)),
            p99_ms: middle(&|times| times.at_ms(0.99)),
            own: median(&mut own),
        };
        let making = format!("{:.3}", making.mean_ms());
        lines.push((case.line("ours", &figures, "1.00", &making), figures.mean_ms));
    }
    Ok(lines)
}

/// Each query's visible set; readers in the same groups share theirs.
fn visible_sets(
    snapshot: &Snapshot,
    live: &LiveTable,
    case: &Case,
    making: &mut Times,
) -> anyhow::Result<Vec<Arc<Visible>>> {
    let mut sets: Vec<Arc<Visible>> = Vec::with_capacity(case.groups.len());
    for (at, groups) in case.groups.iter().enumerate() {
        match sets.last() {
            Some(last) if at > 0 && case.groups[at - 1] == *groups => sets.push(Arc::clone(last)),
            _ => sets.push(making.of(|| ours::visible(snapshot, live, groups))?),
        }
    }
    Ok(sets)
}

fn search(
    snapshot: &Snapshot,
    queries: &[QueryVector],
    visible: &[Arc<Visible>],
) -> anyhow::Result<(Times, Vec<Vec<u32>>)> {
    Times::round(|times| {
        let asked = queries.iter().zip(visible);
        asked.map(|(query, visible)| times.of(|| ours::dense(snapshot, query, visible, LIMIT, Effort::USUAL))).collect()
    })
}

struct PeerLines {
    /// For each case.
    lines: Vec<Vec<String>>,
    /// What of a query's time is Python's call.
    call_ms: f64,
}

/// A peer's lines for each case, at the effort that suffices without a filter and at the most that it has.
fn peer_lines(
    settings: &Settings,
    data: &Data,
    name: &str,
    asked: &Asked<'_>,
    ours_ms: &[f64],
) -> anyhow::Result<Answer<PeerLines>> {
    if name == "hnswlib" && asked.rows.rows > CALLED_ROWS_MAX {
        return Ok(Answer::Skipped(format!("above {CALLED_ROWS_MAX} rows its calls of Python take hours")));
    }
    let mut peer = Peer::start(&settings.python)?;
    let opened = match dense::open(&mut peer, name, asked.rows, &data.cache)? {
        Answer::Done(opened) => opened,
        Answer::Skipped(why) => return Ok(Answer::Skipped(why)),
    };
    let everything = asked.filters.cases.first().context("no case")?;
    let mut suffices = 0;
    for &effort in &opened.efforts {
        suffices = effort;
        let round = dense::round(&mut peer, asked.queries, effort)?;
        if everything.recall(asked, &round.found)? >= RECALL {
            break;
        }
    }
    let most = opened.efforts.last().copied().unwrap_or(suffices);
    let efforts = if name == "hnswlib" { vec![suffices] } else { vec![suffices, most] };
    let (mut lines, mut call_ms) = (vec![Vec::new(); asked.filters.cases.len()], 0.0);
    for effort in efforts {
        let mut without_ms = 0.0;
        for (at, case) in asked.filters.cases.iter().enumerate() {
            let round: Round = if at == 0 {
                dense::round(&mut peer, asked.queries, effort)?
            } else {
                peer.compute(&json!({
                    "do": "filtered", "queries": asked.queries.path, "cases": PathBuf::from(asked.path), "case": at,
                    "effort": effort, "limit": LIMIT,
                }))?
            };
            if at == 0 {
                (without_ms, call_ms) = (round.mean_ms, (round.mean_ms - round.own_ms()).max(0.0));
            }
            let recall = case.recall(asked, &round.found)?;
            let Round { mean_ms, p50_ms, p99_ms, .. } = round;
            let figures = Figures { recall, mean_ms, p50_ms, p99_ms, own: mean_ms / without_ms };
            let ratio = format!("{:.2}", ours_ms[at] / mean_ms);
            lines[at].push(case.line(&format!("{name} ef={effort}"), &figures, &ratio, ""));
        }
    }
    Ok(Answer::Done(PeerLines { lines, call_ms }))
}

/// How one index did in one case.
struct Figures {
    recall: f64,
    mean_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    own: f64,
}

impl Case {
    /// The recall, of rows that may be seen: one that may not is a fault, and not a miss.
    fn recall(&self, asked: &Asked<'_>, found: &[Vec<u32>]) -> anyhow::Result<f64> {
        let belongs = &asked.filters.belongs[&self.belongs];
        for (found, groups) in found.iter().zip(&self.groups) {
            for &row in found {
                let group = belongs.get(row as usize).context("an answer names a row that is not there")?;
                anyhow::ensure!(
                    groups.binary_search(group).is_ok(),
                    "an answer shows a row that its reader may not see"
                );
            }
        }
        self.truth.recall(asked.rows, asked.vectors, found)
    }

    fn line(&self, index: &str, figures: &Figures, ratio: &str, making_ms: &str) -> String {
        let Figures { recall, mean_ms, p50_ms, p99_ms, own } = figures;
        format!(
            "| {:<10} | {:>7.1} | {index:<18} | {recall:>7.4} | {mean_ms:>8.3} | {p50_ms:>8.3} | {p99_ms:>8.3} | {own:>6.2} | {ratio:>6} | {making_ms:>10} |",
            self.name,
            self.seen * 100.0,
        )
    }
}
