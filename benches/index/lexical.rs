//! Does the lexical arm keep up with the engine it stands on? The ten best of all texts by their words, one thread each.
//!
//! The same texts, one segment and English stemming on both sides; real queries, each a union of its words, analysed before
//! the clock starts. Then the same under a filter that a tenth of the texts pass: on our side an access list, on tantivy's a
//! required term. tantivy is asked from Python, call by call, and is not made to count matches, which would slow it.
//!
//! Scores need not be equal: the analysers differ in what they fold, and our statistics are those of live rows. How many
//! of the texts found are the same is said, so that nobody compares different work unawares.

use std::collections::HashSet;
use std::io::Write as _;

use catena_benches::median;
use catena_index::{LexicalQuery, Snapshot, Visible};
use serde::Deserialize;
use serde_json::json;

use crate::Settings;
use crate::data::{Chance, Data};
use crate::figures::Times;
use crate::ours::{self, Ours, Raw, Readers};
use crate::peer::{Answer, Peer, Python, Round};
use crate::truth::LIMIT;

/// Groups of texts; a reader who is in one of them sees a tenth.
const GROUPS: u16 = 10;
const SEED: u64 = 7;

pub(crate) fn measure(settings: &Settings, data: &Data) -> anyhow::Result<()> {
    println!("\n## Lexical: the {LIMIT} best of {} texts by their words, one thread each\n", data.texts.len());
    println!(
        "mean: processor time of a query, tantivy's with its call from Python. x: our mean by tantivy's, the median of"
    );
    println!("{} rounds; below 1 ours is faster.\n", settings.rounds);
    let mut chance = Chance(SEED);
    let groups: Vec<u16> = data.texts.iter().map(|_| chance.below(GROUPS.into()) as u16).collect();
    let ours = build(settings, data)?;
    let snapshot = ours.snapshot();
    let live = ours::live(data.texts.len(), &Readers::Groups(&groups))?;
    let queries: Vec<LexicalQuery> = data.queries.iter().map(|query| LexicalQuery::parse(query)).collect();
    let mut peer = if settings.wants("tantivy") { Tantivy::open(&settings.python, data, &groups)? } else { None };
    println!(
        "| {:<15} | {:<8} | {:>8} | {:>8} | {:>8} | {:>6} | {:>10} |",
        "filter", "index", "mean ms", "p50 ms", "p99 ms", "x", "same texts"
    );
    println!("|---|---|---|---|---|---|---|");
    let everyone: Vec<u16> = (0..GROUPS).collect();
    for (filter, readers, group) in [("none", &everyone[..], None), ("10 % visible", &everyone[3..4], Some(3))] {
        let visible = ours::visible(&snapshot, &live, readers)?;
        search(&snapshot, &queries, &visible)?;
        let (mut rounds, mut theirs, mut ratios, mut same) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        for _ in 0..settings.rounds {
            let (times, found) = search(&snapshot, &queries, &visible)?;
            if let Some(peer) = &mut peer {
                let round = peer.round(group)?;
                ratios.push(times.mean_ms() / round.mean_ms);
                same = agreement(&found, &round.found);
                theirs.push(round);
            }
            rounds.push(times);
        }
        let middle = |value: &dyn Fn(&Times) -> f64| median(&mut rounds.iter().map(value).collect::<Vec<_>>());
        let [mean, p50, p99] = [middle(&Times::mean_ms), middle(&|it| it.at_ms(0.5)), middle(&|it| it.at_ms(0.99))];
        println!("| {filter:<15} | {:<8} | {mean:>8.3} | {p50:>8.3} | {p99:>8.3} | {:>6} | {:>10} |", "ours", 1, "");
        if peer.is_some() {
            let middle = |value: fn(&Round) -> f64| median(&mut theirs.iter().map(value).collect::<Vec<_>>());
            println!(
                "| {filter:<15} | {:<8} | {:>8.3} | {:>8.3} | {:>8.3} | {:>6.2} | {:>8.1} % |",
                "tantivy",
                middle(|round| round.mean_ms),
                middle(|round| round.p50_ms),
                middle(|round| round.p99_ms),
                median(&mut ratios),
                same * 100.0
            );
        }
    }
    Ok(())
}

/// Our index of the texts, with the vectors that they have.
pub(crate) fn build(settings: &Settings, data: &Data) -> anyhow::Result<Ours> {
    let vectors = data.real()?;
    let folder = data.cache.join("ours-texts");
    Ours::build(&folder, settings.kept, vectors.rows, vectors.dimension, || {
        let rows = vectors.iter()?.zip(&data.texts).enumerate();
        Ok(Box::new(rows.map(|(number, (vector, text))| ours::input(number, &Raw { text, vector: &vector? }))))
    })
}

fn search(snapshot: &Snapshot, queries: &[LexicalQuery], visible: &Visible) -> anyhow::Result<(Times, Vec<Vec<u32>>)> {
    Times::round(|times| {
        queries.iter().map(|query| times.of(|| ours::lexical(snapshot, query, visible, LIMIT))).collect()
    })
}

/// The share of texts that both have found.
fn agreement(ours: &[Vec<u32>], theirs: &[Vec<u32>]) -> f64 {
    let (mut both, mut all) = (0, 0);
    for (ours, theirs) in ours.iter().zip(theirs) {
        let ours: HashSet<u32> = ours.iter().copied().collect();
        both += theirs.iter().filter(|row| ours.contains(row)).count();
        all += theirs.len();
    }
    both as f64 / all.max(1) as f64
}

/// The same texts and queries in tantivy's own Python package.
struct Tantivy {
    peer: Peer,
    queries: tempfile::NamedTempFile,
}

impl Tantivy {
    /// `None`, and a sentence, where it is not installed.
    fn open(python: &Python, data: &Data, groups: &[u16]) -> anyhow::Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Built {
            build_seconds: f64,
        }
        let (texts, queries) = (lines(&data.texts)?, lines(&data.queries)?);
        let mut peer = Peer::start(python)?;
        let command = json!({ "do": "words", "texts": texts.path(), "groups": groups });
        match peer.ask::<Built>(&command)? {
            Answer::Done(Built { build_seconds }) => {
                println!("tantivy built its index in {build_seconds:.1} s.\n");
                Ok(Some(Self { peer, queries }))
            }
            Answer::Skipped(why) => {
                println!("tantivy is left out: {why}.\n");
                Ok(None)
            }
        }
    }

    fn round(&mut self, group: Option<u16>) -> anyhow::Result<Round> {
        self.peer.compute(&json!({ "do": "ask", "queries": self.queries.path(), "group": group, "limit": LIMIT }))
    }
}

/// A file of texts, a line each.
fn lines(texts: &[String]) -> anyhow::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new()?;
    for text in texts {
        writeln!(file, "{}", serde_json::to_string(text)?)?;
    }
    file.flush()?;
    Ok(file)
}
