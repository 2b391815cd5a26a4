//! Budgeted contexts and their receipts.

use axum::extract::State;
use catena_access::{Right, Scope};
use catena_catalog::ContextReceipt;
use catena_domain::ContextId;
use catena_retrieval::request::{Budget, PackRules};
use catena_retrieval::{Citation, ContextAnswer, ContextRequest};
use catena_text::tokens::Tokenizer;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admission::Asking;
use crate::http::documents::some_flags;
use crate::http::door::{As, Caller};
use crate::http::explain::ExplainedBody;
use crate::http::filter::FilterBody;
use crate::http::lexical::LexicalBody;
use crate::http::place::PlaceBody;
use crate::http::problem::Problem;
use crate::http::search::{TimingsBody, on_behalf, question};
use crate::http::wire::{self, Body, Place, Receipt};

/// Passages of one document when the request does not say how many.
const PER_DOCUMENT_DEFAULT: usize = 5;
/// The one format so far.
const FORMAT: &str = "markdown";

#[derive(Debug, Clone, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetBody {
    /// The most tokens of `text`, headers and marks included.
    pub(crate) tokens: usize,
    /// `o200k_base` or `cl100k_base`.
    #[serde(default = "default_tokenizer")]
    pub(crate) tokenizer: String,
}

pub(crate) fn default_tokenizer() -> String {
    Tokenizer::O200kBase.as_str().to_owned()
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsBody {
    /// Passages of one document, at most.
    #[serde(default)]
    per_document: Option<usize>,
}

impl LimitsBody {
    pub(crate) fn per_document(&self) -> usize {
        self.per_document.unwrap_or(PER_DOCUMENT_DEFAULT)
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextBody {
    /// What the context is to answer, in plain words.
    query: String,
    budget: BudgetBody,
    /// Whom the request speaks for. Needs the scope `impersonate`.
    #[serde(default, rename = "as")]
    on_behalf: Option<As>,
    #[serde(default)]
    filter: FilterBody,
    #[serde(default)]
    lexical: LexicalBody,
    /// `hybrid`, `lexical` or `dense`.
    #[serde(default)]
    mode: Option<String>,
    /// `markdown`.
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    limits: LimitsBody,
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
pub(crate) struct Tokens {
    budget: usize,
    used: usize,
    tokenizer: &'static str,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct CitationBody {
    /// The number in square brackets before the passage.
    marker: usize,
    document: String,
    version: u32,
    title: String,
    uri: Option<String>,
    heading: Vec<String>,
    #[serde(flatten)]
    place: PlaceBody,
    lines: [u32; 2],
    /// Bytes of the version's normalised text; `quote` is exactly these.
    span: [u32; 2],
    quote: String,
    /// SHA-256 of the version's whole normalised text.
    text_sha256: String,
    score: f64,
    modified_at: Option<String>,
    indexed_at: String,
    /// The document's attribute `trust`, or `unlabelled`.
    trust: String,
    /// What the tenant's firewall found in the document: `secret`, `personal`, `instruction`. Absent when it found
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct EvidenceBody {
    /// `sufficient`, `weak` or `none`, judged on what the principal may see.
    level: &'static str,
    score: f64,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct OmittedBody {
    document: String,
    span: [u32; 2],
    /// `budget`, `duplicate` or `per_document`.
    reason: &'static str,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct ContextAnswerBody {
    id: String,
    /// What a model is to read.
    text: String,
    tokens: Tokens,
    citations: Vec<CitationBody>,
    evidence: EvidenceBody,
    omitted: Vec<OmittedBody>,
    /// What did not take part, and why.
    degraded: Vec<String>,
    seq: u64,
    generation: String,
    recipe: String,
    receipt: Receipt,
    timings_ms: TimingsBody,
    /// How the answer came about, if the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<ExplainedBody>,
}

impl ContextAnswerBody {
    /// What a model reads of it; never empty, because some clients take an empty text for a failure.
    pub(crate) fn words(&self) -> String {
        if self.text.is_empty() { "No passage was found.".to_owned() } else { self.text.clone() }
    }
}

fn citation_body((at, citation): (usize, Citation)) -> CitationBody {
    CitationBody {
        marker: at + 1,
        document: citation.document.to_string(),
        version: citation.version.0,
        title: citation.title,
        uri: citation.uri,
        heading: citation.heading,
        place: citation.place.into(),
        lines: [citation.lines.0, citation.lines.1],
        span: [citation.span.start, citation.span.end],
        quote: citation.quote,
        text_sha256: citation.text_sha256,
        score: wire::score(citation.score),
        modified_at: citation.modified_at.map(wire::time),
        indexed_at: wire::time(citation.indexed_at),
        trust: citation.trust,
        flags: some_flags(citation.flags),
    }
}

fn answer_body(answer: ContextAnswer, receipt: Receipt) -> ContextAnswerBody {
    let omitted = answer.omitted.into_iter().map(|left| OmittedBody {
        document: left.document.to_string(),
        span: [left.span.start, left.span.end],
        reason: left.reason,
    });
    ContextAnswerBody {
        id: answer.id.to_string(),
        text: answer.text,
        tokens: Tokens {
            budget: answer.budget.tokens,
            used: answer.tokens_used,
            tokenizer: answer.budget.tokenizer.as_str(),
        },
        citations: answer.citations.into_iter().enumerate().map(citation_body).collect(),
        evidence: EvidenceBody { level: answer.evidence.level.as_str(), score: wire::score(answer.evidence.score) },
        omitted: omitted.collect(),
        degraded: answer.degraded,
        seq: answer.seq.0,
        generation: answer.generation.to_string(),
        recipe: answer.recipe.to_string(),
        receipt,
        timings_ms: TimingsBody::of(answer.timings, Some(answer.timings.pack)),
        explain: answer.explained.map(|explained| ExplainedBody::of(explained, answer.timings)),
    }
}

/// A context, whichever door asked for it.
#[derive(Debug)]
pub(crate) struct ContextAsk {
    pub(crate) query: String,
    pub(crate) budget: BudgetBody,
    pub(crate) filter: FilterBody,
    pub(crate) lexical: LexicalBody,
    pub(crate) mode: Option<String>,
    pub(crate) limits: LimitsBody,
    pub(crate) min_seq: Option<u64>,
    pub(crate) rerank: bool,
    pub(crate) explain: bool,
}

/// Makes a context for HTTP and MCP alike.
pub(crate) async fn run(
    app: &App,
    caller: &Caller,
    scope: &Scope,
    ask: ContextAsk,
) -> Result<ContextAnswerBody, Problem> {
    let tokenizer: Tokenizer = ask.budget.tokenizer.parse().map_err(catena_ingest::IngestError::Text)?;
    let question = question(&ask.query, ask.mode.as_deref(), ask.filter, ask.lexical, ask.min_seq)?;
    let question = if ask.rerank { question.reranked() } else { question };
    let question = if ask.explain { question.explained() } else { question };
    let budget = Budget { tokens: ask.budget.tokens, tokenizer };
    let rules = PackRules { per_document: ask.limits.per_document() };
    let request = ContextRequest::new(question, budget, rules)?;
    caller.trail.asked(ask.query.as_bytes());
    let (answer, leaf) =
        app.retrieval().context(scope, &request, caller.trail.draft("context", StatusCode::OK)).await?;
    caller.trail.recorded(leaf);
    Ok(answer_body(answer, leaf.into()))
}

/// Context: the best passages that fit a token budget, each with a citation that can be checked.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/context", tag = "retrieval", operation_id = "context",
    request_body = ContextBody, responses((status = 200, body = ContextAnswerBody), (status = 404, body = Problem),
        (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn context(
    State(app): State<App>,
    Asking(caller): Asking,
    Place(tenant): Place<String>,
    Body(body): Body<ContextBody>,
) -> Result<Body<ContextAnswerBody>, Problem> {
    caller.trail.doing("context");
    let scope = caller.enter_as(&app, &tenant, Right::Read, on_behalf(body.on_behalf)?).await?;
    if let Some(format) = body.format.filter(|format| format != FORMAT) {
        return Err(Problem::invalid(format!("{format:?} is not a format; leave it out or write {FORMAT}.")));
    }
    let ask = ContextAsk {
        query: body.query,
        budget: body.budget,
        filter: body.filter,
        lexical: body.lexical,
        mode: body.mode,
        limits: body.limits,
        min_seq: body.min_seq,
        rerank: body.rerank,
        explain: body.explain,
    };
    Ok(Body(run(&app, &caller, &scope, ask).await?))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptCitation {
    document: String,
    version: u32,
    span: [u32; 2],
    quote_sha256: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptBody {
    id: String,
    created_at: String,
    tokens_used: u64,
    text_sha256: String,
    citations: Vec<ReceiptCitation>,
    receipt: Receipt,
}

impl From<ContextReceipt> for ReceiptBody {
    fn from(receipt: ContextReceipt) -> Self {
        let citations = receipt.context.citations.into_iter().map(|citation| ReceiptCitation {
            document: citation.document.to_string(),
            version: citation.version.0,
            span: [citation.span.start, citation.span.end],
            quote_sha256: wire::hex(&citation.quote_sha256),
        });
        Self {
            id: receipt.context.id.to_string(),
            created_at: wire::time(receipt.created_at),
            tokens_used: receipt.context.tokens_used,
            text_sha256: wire::hex(&receipt.context.text_sha256),
            citations: citations.collect(),
            receipt: receipt.leaf.into(),
        }
    }
}

/// Read a context's receipt: what left, in hashes. For the key that asked, the tenant's administrators and auditors.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/contexts/{context}", tag = "retrieval", operation_id = "get_receipt",
    responses((status = 200, body = ReceiptBody), (status = 404, body = Problem)))]
pub(crate) async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, context)): Place<(String, String)>,
) -> Result<Body<ReceiptBody>, Problem> {
    caller.trail.doing("context.receipt");
    let scope = caller.enter(&app, &tenant, Right::Read).await?;
    let id = ContextId::new(&context).map_err(|_| Problem::not_found())?;
    let receipt = app.catalog().context(&scope, &id).await?.ok_or_else(Problem::not_found)?;
    Ok(Body(receipt.into()))
}
