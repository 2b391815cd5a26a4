//! `catena search` and `catena context`.

use std::collections::BTreeMap;

use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Ended;
use super::connection::AtTenant;
use super::documents::AsWhom;
use super::explain::Explained;
use super::output::{Output, clean, excerpt, note, print, show, table};

/// Characters of a passage that a table shows.
const EXCERPT_CHARACTERS: usize = 160;

/// What every question can say.
#[derive(Debug, Args)]
pub(super) struct Asked {
    /// The question, in plain words.
    query: String,
    /// hybrid, lexical or dense.
    #[arg(long)]
    mode: Option<String>,
    /// Only documents of this source. May be repeated: any of them.
    #[arg(long = "source")]
    sources: Vec<String>,
    /// Only documents with this attribute, as NAME=VALUE. May be repeated: each name, with any of its values.
    #[arg(long = "attribute", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Words that stand side by side, for passages to gain by. May be repeated.
    #[arg(long = "phrase")]
    phrases: Vec<String>,
    /// The beginning of a word, for passages to gain by. May be repeated.
    #[arg(long = "prefix")]
    prefixes: Vec<String>,
    /// auto or off: whether words that no document has are read as the nearest ones.
    #[arg(long)]
    typos: Option<String>,
    /// Only documents of which this clause is true, as JSON: {"attribute": "year", "gte": 2020}.
    #[arg(long = "where", value_name = "CLAUSE", value_parser = clause)]
    clause: Option<Value>,
    /// Answer only from an index that has applied at least this write.
    #[arg(long)]
    min_seq: Option<u64>,
    #[command(flatten)]
    whom: AsWhom,
    #[command(flatten)]
    pub(super) at: AtTenant,
}

/// What an answer is to have besides.
#[derive(Debug, Args)]
struct Besides {
    /// Let the service's reranker put the best passages in order, if it has one.
    #[arg(long)]
    rerank: bool,
    /// Say how the answer came about: segments, terms, times.
    #[arg(long)]
    explain: bool,
}

impl Besides {
    fn add_to(&self, body: &mut Map<String, Value>) {
        let parts = [("rerank", self.rerank), ("explain", self.explain)];
        body.extend(parts.into_iter().filter(|part| part.1).map(|(name, _)| (name.to_owned(), json!(true))));
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn clause(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("write the clause as JSON: {error}"))
}

impl Asked {
    pub(super) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("query".to_owned(), json!(self.query));
        let (filter, lexical) = (self.filter(), self.lexical());
        let parts = [
            ("mode", self.mode.as_ref().map(|mode| json!(mode))),
            ("filter", (!filter.is_empty()).then_some(Value::Object(filter))),
            ("lexical", (!lexical.is_empty()).then_some(Value::Object(lexical))),
            ("min_seq", self.min_seq.map(|seq| json!(seq))),
            ("as", self.whom.body()),
        ];
        body.extend(parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
        body
    }

    fn lexical(&self) -> Map<String, Value> {
        let some = |texts: &[String]| (!texts.is_empty()).then(|| json!(texts));
        let parts = [
            ("phrases", some(&self.phrases)),
            ("prefixes", some(&self.prefixes)),
            ("typos", self.typos.as_ref().map(|typos| json!(typos))),
        ];
        parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))).collect()
    }

    fn filter(&self) -> Map<String, Value> {
        let mut attributes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in &self.attributes {
            attributes.entry(name).or_default().push(value);
        }
        let mut filter = Map::new();
        if !self.sources.is_empty() {
            filter.insert("source".to_owned(), json!(self.sources));
        }
        if !attributes.is_empty() {
            filter.insert("attributes".to_owned(), json!(attributes));
        }
        filter.extend(self.clause.clone().map(|clause| ("where".to_owned(), clause)));
        filter
    }
}

#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    besides: Besides,
    /// Passages wanted.
    #[arg(long)]
    top_k: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ContextArguments {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    besides: Besides,
    /// The most tokens of the text, citations and headers included.
    #[arg(long)]
    tokens: usize,
    /// Whose tokens: o200k_base or cl100k_base.
    #[arg(long, default_value = "o200k_base")]
    tokenizer: String,
    /// Passages of one document, at most.
    #[arg(long)]
    per_document: Option<usize>,
}

impl ContextArguments {
    fn body(&self) -> Map<String, Value> {
        let mut body = self.asked.body();
        self.besides.add_to(&mut body);
        body.insert("budget".to_owned(), json!({"tokens": self.tokens, "tokenizer": self.tokenizer}));
        if let Some(per_document) = self.per_document {
            body.insert("limits".to_owned(), json!({"per_document": per_document}));
        }
        body
    }
}

/// Where in its original a passage comes from, as far as that is known.
#[derive(Default, Deserialize)]
struct Placed {
    pages: Option<[u32; 2]>,
    slides: Option<[u32; 2]>,
    cells: Option<String>,
    part: Option<String>,
}

impl Placed {
    /// The place in few characters: what the original counts by, else lines.
    fn of(&self, document: &str, version: u32, lines: [u32; 2]) -> String {
        let numbered = |mark: &str, [first, last]: [u32; 2]| match first == last {
            true => format!("{mark}{first}"),
            false => format!("{mark}{first}-{last}"),
        };
        let part = self.part.as_deref().map(|part| format!("[{}]", clean(part))).unwrap_or_default();
        let place = match self {
            Self { pages: Some(pages), .. } => numbered("p.", *pages),
            Self { slides: Some(slides), .. } => numbered("slide ", *slides),
            Self { cells: Some(cells), .. } => clean(cells),
            _ => format!("{}-{}", lines[0], lines[1]),
        };
        format!("{document}{part} v{version}:{place}")
    }
}

#[derive(Deserialize)]
struct Passage {
    document: String,
    version: u32,
    heading: Vec<String>,
    #[serde(flatten)]
    place: Placed,
    lines: [u32; 2],
    text: String,
    score: f32,
    scores: Scores,
}

#[derive(Deserialize)]
struct Scores {
    rerank: Option<f32>,
}

#[derive(Deserialize)]
struct Found {
    results: Vec<Passage>,
    #[serde(default)]
    degraded: Vec<String>,
    explain: Option<Explained>,
}

fn found(found: Found) -> String {
    told_degraded(&found.degraded);
    if found.results.is_empty() {
        note("nothing was found");
    }
    let rows = found.results.into_iter().enumerate().map(|(at, passage)| {
        let place = passage.place.of(&passage.document, passage.version, passage.lines);
        let text = excerpt(&clean(&passage.text), EXCERPT_CHARACTERS);
        // What the reranker ordered shows the number that it is ordered by as well.
        let judged = passage.scores.rerank.map(|number| format!(" ({number:.3})")).unwrap_or_default();
        let score = format!("{:.3}{judged}", passage.score);
        [(at + 1).to_string(), score, place, passage.heading.join(" > "), text]
    });
    let passages = table(["#", "score", "document", "heading", "text"], rows);
    match found.explain {
        Some(explained) => format!("{passages}\n\n{}", explained.tables()),
        None => passages,
    }
}

pub(super) fn told_degraded(degraded: &[String]) {
    for part in degraded {
        note(&format!("degraded: {}", clean(part)));
    }
}

pub(crate) async fn search(arguments: SearchArguments) -> anyhow::Result<Ended> {
    let at = &arguments.asked.at;
    let server = at.connect()?;
    let mut body = arguments.asked.body();
    arguments.besides.add_to(&mut body);
    if let Some(top_k) = arguments.top_k {
        body.insert("top_k".to_owned(), json!(top_k));
    }
    let answer = server.send(server.tenant(Method::POST, &at.tenant, &["search"]).json(&body)).await?;
    show(at.output(), &answer, found)?;
    Ok(Ended::Done)
}

#[derive(Deserialize)]
struct Tokens {
    budget: usize,
    used: usize,
    tokenizer: String,
}

#[derive(Deserialize)]
struct Cited {
    marker: usize,
    document: String,
    version: u32,
    heading: Vec<String>,
    #[serde(flatten)]
    place: Placed,
    lines: [u32; 2],
    score: f32,
}

#[derive(Deserialize)]
struct Evidence {
    level: String,
    score: f32,
}

#[derive(Deserialize)]
struct Receipt {
    leaf: u64,
    hash: String,
}

#[derive(Deserialize)]
struct Context {
    id: String,
    text: String,
    tokens: Tokens,
    citations: Vec<Cited>,
    evidence: Evidence,
    omitted: Vec<Value>,
    #[serde(default)]
    degraded: Vec<String>,
    receipt: Receipt,
    explain: Option<Explained>,
}

impl Context {
    fn notes(self) -> String {
        told_degraded(&self.degraded);
        let rows = self.citations.into_iter().map(|cited| {
            let place = cited.place.of(&cited.document, cited.version, cited.lines);
            [format!("[{}]", cited.marker), place, cited.heading.join(" > "), format!("{:.3}", cited.score)]
        });
        let cited = table(["#", "document", "heading", "score"], rows);
        let Tokens { used, budget, tokenizer } = self.tokens;
        let explained = self.explain.map(|explained| format!("\n\n{}", explained.tables())).unwrap_or_default();
        format!(
            "{cited}\n{used} of {budget} tokens ({tokenizer}); evidence {} ({:.3}); {} passages left out\n\
             {}, recorded as leaf {} {}{explained}",
            self.evidence.level,
            self.evidence.score,
            self.omitted.len(),
            self.id,
            self.receipt.leaf,
            self.receipt.hash
        )
    }
}

pub(crate) async fn context(arguments: ContextArguments) -> anyhow::Result<Ended> {
    let at = &arguments.asked.at;
    let server = at.connect()?;
    let request = server.tenant(Method::POST, &at.tenant, &["context"]).json(&arguments.body());
    let answer = server.send(request).await?;
    if at.output() == Output::Json {
        print(&answer.body)?;
        return Ok(Ended::Done);
    }
    // The text alone goes to standard output, so that it can be piped into a model.
    let context: Context = answer.read()?;
    print(clean(&context.text).as_bytes())?;
    note(&context.notes());
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        context: ContextArguments,
    }

    fn body(arguments: &str) -> Value {
        let line = ["x", "why?", "--tenant", "t", "--key", "k"].into_iter().chain(arguments.split_whitespace());
        Value::Object(Line::try_parse_from(line).unwrap().context.body())
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        let budget = json!({"tokens": 800, "tokenizer": "o200k_base"});
        assert_eq!(body("--tokens 800"), json!({"query": "why?", "budget": budget}));
        let full = "--tokens 800 --mode dense --source a --source b --attribute lang=en --attribute lang=de \
                    --attribute k=a=b --as-user ann --as-group x,y --min-seq 4 --per-document 2 --rerank --phrase key --prefix rot --prefix sig \
                    --typos off --explain \
                    --where {\"source\":[\"a\"]}";
        assert_eq!(
            body(full),
            json!({"query": "why?", "budget": budget, "mode": "dense", "min_seq": 4, "limits": {"per_document": 2},
                "filter": {"source": ["a", "b"], "attributes": {"lang": ["en", "de"], "k": ["a=b"]},
                    "where": {"source": ["a"]}},
                "lexical": {"phrases": ["key"], "prefixes": ["rot", "sig"], "typos": "off"},
                "as": {"user": "ann", "groups": ["x", "y"]}, "rerank": true, "explain": true})
        );
    }
}
