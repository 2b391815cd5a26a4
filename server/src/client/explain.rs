//! `catena explain`, and what `--explain` adds to an answer.

use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Ended;
use super::output::{clean, or_dash, pairs, show, table};
use super::search::{Asked, told_degraded};

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The document's id.
    document: String,
    #[command(flatten)]
    asked: Asked,
    /// Passages of the search. Without a number: as many as a search gives.
    #[arg(long, conflicts_with = "tokens")]
    top_k: Option<usize>,
    /// Explain a context of so many tokens instead of a search.
    #[arg(long)]
    tokens: Option<usize>,
}

impl ExplainArguments {
    fn body(&self) -> Map<String, Value> {
        let mut body = self.asked.body();
        body.insert("document".to_owned(), json!(self.document));
        let parts = [
            ("top_k", self.top_k.map(|top_k| json!(top_k))),
            ("budget", self.tokens.map(|tokens| json!({"tokens": tokens}))),
        ];
        body.extend(parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
        body
    }
}

#[derive(Deserialize)]
struct State {
    state: String,
    version: u32,
    changed_seq: u64,
}

#[derive(Deserialize)]
struct Access {
    decision: String,
    rule: String,
}

#[derive(Deserialize)]
struct Filtered {
    refused_by: Option<String>,
}

#[derive(Deserialize)]
struct Indexed {
    segment: String,
    version: u32,
    rows: usize,
}

#[derive(Deserialize)]
struct Rank {
    rank: Option<usize>,
    score: f64,
    chunk: u32,
}

#[derive(Deserialize)]
struct Ranks {
    lexical: Option<Rank>,
    dense: Option<Rank>,
    fused: Option<Rank>,
    candidates: usize,
}

#[derive(Deserialize)]
struct Answer {
    document: String,
    verdict: String,
    reason: String,
    state: Option<State>,
    access: Option<Access>,
    filter: Option<Filtered>,
    indexed: Vec<Indexed>,
    ranks: Option<Ranks>,
    degraded: Vec<String>,
    seq: u64,
}

impl Rank {
    fn words(&self) -> String {
        let place = self.rank.map_or_else(|| "beyond 1000".to_owned(), |rank| format!("#{rank}"));
        format!("{place}, score {:.4}, chunk {}", self.score, self.chunk)
    }
}

impl Answer {
    fn facts(self) -> String {
        told_degraded(&self.degraded);
        let state =
            |state: State| format!("{}, version {}, changed at seq {}", state.state, state.version, state.changed_seq);
        let place = |at: &Indexed| format!("{} (version {}, {} rows)", at.segment, at.version, at.rows);
        let indexed: Vec<String> = self.indexed.iter().map(place).collect();
        let rank = |of: fn(&Ranks) -> &Option<Rank>| {
            or_dash(self.ranks.as_ref().and_then(|ranks| of(ranks).as_ref()).map(Rank::words))
        };
        pairs([
            ("document", self.document.clone()),
            ("verdict", self.verdict.clone()),
            ("reason", clean(&self.reason)),
            ("state", or_dash(self.state.map(state))),
            ("access", or_dash(self.access.map(|access| format!("{}: {}", access.decision, access.rule)))),
            (
                "filter",
                self.filter
                    .and_then(|filter| filter.refused_by)
                    .map_or_else(|| "admits it".to_owned(), |by| format!("refuses it by {by}")),
            ),
            ("index", format!("at seq {}; {}", self.seq, or_dash(Some(indexed.join(", "))))),
            ("by words", rank(|ranks| &ranks.lexical)),
            ("by vectors", rank(|ranks| &ranks.dense)),
            ("in the fusion", rank(|ranks| &ranks.fused)),
            ("candidates", or_dash(self.ranks.as_ref().map(|ranks| ranks.candidates.to_string()))),
        ])
    }
}

pub(crate) async fn run(arguments: ExplainArguments) -> anyhow::Result<Ended> {
    let at = &arguments.asked.at;
    let request = at.connect()?;
    let request_body = arguments.body();
    let answer = request.send(request.tenant(Method::POST, &at.tenant, &["explain"]).json(&request_body)).await?;
    show(at.output(), &answer, Answer::facts)?;
    Ok(Ended::Done)
}

#[derive(Deserialize)]
struct Dense {
    way: Option<String>,
    rescored: u64,
    looked_at: Option<u64>,
}

#[derive(Deserialize)]
struct Segment {
    visible: u64,
    dense: Dense,
    segment: Option<String>,
    rows: Option<u64>,
    live: Option<u64>,
}

#[derive(Deserialize)]
struct Term {
    term: String,
    visible: u64,
    live: Option<u64>,
}

/// What an answer says of how it came about.
#[derive(Deserialize)]
pub(super) struct Explained {
    segments: Vec<Segment>,
    terms: Vec<Term>,
    stages_ms: Map<String, Value>,
}

impl Explained {
    pub(super) fn tables(self) -> String {
        let number = |number: Option<u64>| or_dash(number.map(|number| number.to_string()));
        let segments = self.segments.into_iter().map(|segment| {
            let Dense { way, rescored, looked_at } = segment.dense;
            let (rows, live) = (number(segment.rows), number(segment.live));
            let (visible, rescored) = (segment.visible.to_string(), rescored.to_string());
            [or_dash(segment.segment), rows, live, visible, or_dash(way), number(looked_at), rescored]
        });
        let terms = self.terms.into_iter().map(|term| [term.term, term.visible.to_string(), number(term.live)]);
        let stages: Vec<String> = self.stages_ms.iter().map(|(stage, ms)| format!("{stage} {ms}")).collect();
        format!(
            "{}\n\n{}\n\nmilliseconds: {}",
            table(["segment", "rows", "live", "visible", "dense way", "looked at", "rescored"], segments),
            table(["term", "visible rows", "live rows"], terms),
            stages.join(", ")
        )
    }
}
