//! Ranked passages.

use axum::extract::State;
use catena_access::{OnBehalf, Right, Scope};
use catena_domain::Seq;
use catena_retrieval::request::Question;
use catena_retrieval::{Citation, Mode, SearchAnswer, SearchRequest, Timings};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admission::Asking;
use crate::http::documents::{some_flags, url};
use crate::http::door::{As, Caller};
use crate::http::explain::ExplainedBody;
use crate::http::filter::FilterBody;
use crate::http::lexical::LexicalBody;
use crate::http::place::PlaceBody;
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Place};

/// Passages given when the request does not say how many.
pub(crate) const TOP_K_DEFAULT: usize = 10;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchBody {
    /// What is looked for, in plain words.
    query: String,
    /// Passages wanted.
    #[serde(default)]
    top_k: Option<usize>,
    /// `hybrid`, `lexical` or `dense`.
    #[serde(default)]
    mode: Option<String>,
    /// Whom the request speaks for. Needs the scope `impersonate`.
    #[serde(default, rename = "as")]
    on_behalf: Option<As>,
    #[serde(default)]
    filter: FilterBody,
    #[serde(default)]
    lexical: LexicalBody,
    /// Answer only from an index that has applied at least this write.
    #[serde(default)]
    min_seq: Option<u64>,
    /// Whether a reranker is to put the best passages in order. Costs up to 300 ms.
    #[serde(default)]
    rerank: bool,
    /// Whether the answer is to say how it came about.
    #[serde(default)]
    explain: bool,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct Scores {
    lexical: Option<f64>,
    dense: Option<f64>,
    /// The reranker's number; only passages that it judged have one, and it orders them.
    rerank: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct ResultBody {
    /// The document's id; the same as `document`, under the name that agents' clients expect.
    id: String,
    document: String,
    version: u32,
    title: String,
    /// Where a person finds the original; the same as `uri`, never absent.
    url: String,
    uri: Option<String>,
    heading: Vec<String>,
    #[serde(flatten)]
    place: PlaceBody,
    lines: [u32; 2],
    /// Bytes of the version's normalised text.
    span: [u32; 2],
    text: String,
    /// 0 to 1 within this answer, as the search ranked it; a reranker changes the order and not the score.
    score: f64,
    scores: Scores,
    /// What the tenant's firewall found in the document: `secret`, `personal`, `instruction`. Absent when it found
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct TimingsBody {
    embed: f64,
    search: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerank: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pack: Option<f64>,
    total: f64,
}

impl TimingsBody {
    pub(crate) fn of(timings: Timings, pack: Option<f64>) -> Self {
        let rounded = wire::milliseconds;
        Self {
            embed: rounded(timings.embed),
            search: rounded(timings.search),
            rerank: timings.rerank.map(rounded),
            pack: pack.map(rounded),
            total: rounded(timings.total),
        }
    }
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct SearchAnswerBody {
    results: Vec<ResultBody>,
    seq: u64,
    generation: String,
    recipe: String,
    /// What did not take part, and why.
    degraded: Vec<String>,
    timings_ms: TimingsBody,
    /// How the answer came about, if the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<ExplainedBody>,
}

fn result_body(citation: Citation, tenant: &str) -> ResultBody {
    ResultBody {
        id: citation.document.to_string(),
        url: url(citation.uri.as_deref(), tenant, citation.document.as_str()),
        document: citation.document.to_string(),
        version: citation.version.0,
        title: citation.title,
        uri: citation.uri,
        heading: citation.heading,
        place: citation.place.into(),
        lines: [citation.lines.0, citation.lines.1],
        span: [citation.span.start, citation.span.end],
        text: citation.quote,
        score: wire::score(citation.score),
        flags: some_flags(citation.flags),
        scores: Scores {
            lexical: citation.lexical.map(wire::score),
            dense: citation.dense.map(wire::score),
            rerank: citation.rerank.map(wire::score),
        },
    }
}

fn answer_body(answer: SearchAnswer, tenant: &str) -> SearchAnswerBody {
    SearchAnswerBody {
        results: answer.results.into_iter().map(|citation| result_body(citation, tenant)).collect(),
        seq: answer.seq.0,
        generation: answer.generation.to_string(),
        recipe: answer.recipe.to_string(),
        degraded: answer.degraded,
        timings_ms: TimingsBody::of(answer.timings, None),
        explain: answer.explained.map(|explained| ExplainedBody::of(explained, answer.timings)),
    }
}

/// A search, whichever door it came through.
#[derive(Debug)]
pub(crate) struct SearchAsk {
    pub(crate) query: String,
    pub(crate) top_k: Option<usize>,
    pub(crate) mode: Option<String>,
    pub(crate) filter: FilterBody,
    pub(crate) lexical: LexicalBody,
    pub(crate) min_seq: Option<u64>,
    pub(crate) rerank: bool,
    pub(crate) explain: bool,
}

pub(crate) fn question(
    query: &str,
    mode: Option<&str>,
    filter: FilterBody,
    lexical: LexicalBody,
    min_seq: Option<u64>,
) -> Result<Question, Problem> {
    let mode = mode.map(str::parse::<Mode>).transpose()?.unwrap_or_default();
    lexical.said(Question::new(query, mode, filter.parse()?, min_seq.map(Seq))?)
}

/// Searches for HTTP and MCP alike.
pub(crate) async fn run(
    app: &App,
    caller: &Caller,
    scope: &Scope,
    ask: SearchAsk,
) -> Result<SearchAnswerBody, Problem> {
    let question = question(&ask.query, ask.mode.as_deref(), ask.filter, ask.lexical, ask.min_seq)?;
    let question = if ask.rerank { question.reranked() } else { question };
    let question = if ask.explain { question.explained() } else { question };
    let request = SearchRequest::new(question, ask.top_k.unwrap_or(TOP_K_DEFAULT))?;
    caller.trail.asked(ask.query.as_bytes());
    let (answer, leaf) = app.retrieval().search(scope, &request, caller.trail.draft("search", StatusCode::OK)).await?;
    caller.trail.recorded(leaf);
    Ok(answer_body(answer, scope.tenant().as_str()))
}

pub(crate) fn on_behalf(of: Option<As>) -> Result<Option<OnBehalf>, Problem> {
    of.map(As::parse).transpose()
}

/// Search: ranked passages, each a span of a version.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/search", tag = "retrieval", operation_id = "search",
    request_body = SearchBody, responses((status = 200, body = SearchAnswerBody), (status = 404, body = Problem),
        (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn search(
    State(app): State<App>,
    Asking(caller): Asking,
    Place(tenant): Place<String>,
    Body(body): Body<SearchBody>,
) -> Result<Body<SearchAnswerBody>, Problem> {
    caller.trail.doing("search");
    let scope = caller.enter_as(&app, &tenant, Right::Read, on_behalf(body.on_behalf)?).await?;
    let ask = SearchAsk {
        query: body.query,
        top_k: body.top_k,
        mode: body.mode,
        filter: body.filter,
        lexical: body.lexical,
        min_seq: body.min_seq,
        rerank: body.rerank,
        explain: body.explain,
    };
    Ok(Body(run(&app, &caller, &scope, ask).await?))
}
