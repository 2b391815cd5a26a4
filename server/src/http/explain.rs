//! How an answer came about, and why a document is in it or not.
//!
//! Does not: decide what may be told to whom; `retrieval` leaves out what the principal may not know.

use axum::extract::State;
use catena_access::acl::Reason;
use catena_access::{Decision, Liveness, Right};
use catena_domain::DocumentId;
use catena_retrieval::explain::{Rank, Ranks, SegmentExplained, TermExplained};
use catena_retrieval::request::{Budget, PackRules};
use catena_retrieval::{Asked, ContextRequest, DocumentExplained, Explained, Fate, SearchRequest, Timings};
use catena_text::tokens::Tokenizer;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admission::Asking;
use crate::http::context::{BudgetBody, LimitsBody};
use crate::http::door::As;
use crate::http::filter::FilterBody;
use crate::http::lexical::LexicalBody;
use crate::http::problem::Problem;
use crate::http::search::{TOP_K_DEFAULT, on_behalf, question};
use crate::http::wire::{self, Body, Place};

/// How an answer came about.
#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct ExplainedBody {
    /// The segments that were searched, at most 256; without the right `admin`, those alone in which there is a row that
    /// may be seen.
    segments: Vec<SegmentBody>,
    /// The terms of the query, and in how many rows each is.
    terms: Vec<TermBody>,
    stages_ms: StagesBody,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct SegmentBody {
    /// Rows that may be seen and that the filter admits.
    visible: u64,
    dense: DenseBody,
    /// The segment's name; for administrators, like the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    /// Its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Its rows of current versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct DenseBody {
    /// Rows that it scored in the highest precision.
    rescored: u64,
    /// `nothing`, `scan` or `lists`; for administrators, like the next ones: it depends on rows that others do not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    /// Rows that it looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_at: Option<u64>,
    /// Why this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct TermBody {
    term: String,
    /// Visible rows with it.
    visible: u64,
    /// Live rows with it, seen or not; for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<u64>,
}

/// Where the time went. Both arms run side by side.
#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct StagesBody {
    view: f64,
    embed: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lexical: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<f64>,
    gate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerank: Option<f64>,
    pack: f64,
}

impl ExplainedBody {
    pub(crate) fn of(explained: Explained, timings: Timings) -> Self {
        let stages_ms = StagesBody {
            view: wire::milliseconds(timings.view),
            embed: wire::milliseconds(timings.embed),
            lexical: timings.lexical.map(wire::milliseconds),
            dense: timings.dense.map(wire::milliseconds),
            gate: wire::milliseconds(timings.gate),
            rerank: timings.rerank.map(wire::milliseconds),
            pack: wire::milliseconds(timings.pack),
        };
        let term = |term: TermExplained| TermBody { term: term.term, visible: term.visible, live: term.live };
        Self {
            segments: explained.segments.into_iter().map(SegmentBody::from).collect(),
            terms: explained.terms.into_iter().map(term).collect(),
            stages_ms,
        }
    }
}

impl From<SegmentExplained> for SegmentBody {
    fn from(segment: SegmentExplained) -> Self {
        let SegmentExplained { visible, rescored, whole } = segment;
        let dense = DenseBody {
            rescored,
            way: whole.as_ref().map(|plan| plan.dense.way.as_str()),
            looked_at: whole.as_ref().map(|plan| plan.dense.looked_at),
            why: whole.as_ref().map(|plan| plan.dense.why),
        };
        let (rows, live) = (whole.as_ref().map(|plan| plan.rows), whole.as_ref().map(|plan| plan.live));
        Self { visible, dense, segment: whole.map(|plan| plan.segment), rows, live }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainBody {
    /// The document's id.
    document: String,
    /// The question in whose answer it is, or is missing.
    query: String,
    /// Whose answer. Needs the scope `impersonate`. Without it: your own.
    #[serde(default, rename = "as")]
    on_behalf: Option<As>,
    #[serde(default)]
    filter: FilterBody,
    /// `hybrid`, `lexical` or `dense`.
    #[serde(default)]
    mode: Option<String>,
    /// Passages wanted, when the answer is a search's.
    #[serde(default)]
    top_k: Option<usize>,
    /// The budget, when the answer is a context.
    #[serde(default)]
    budget: Option<BudgetBody>,
    #[serde(default)]
    limits: LimitsBody,
    /// What the request says to the lexical arm, if anything.
    #[serde(default)]
    lexical: LexicalBody,
    /// Only by an index that has applied at least this write.
    #[serde(default)]
    min_seq: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainAnswerBody {
    document: String,
    /// `given`, or the first thing that keeps it out: `absent`, `deleted`, `refused`, `filtered`, `not-indexed`,
    /// `not-candidate`, `cut-by-rank`, `dropped`, `omitted`.
    verdict: &'static str,
    /// The verdict, for people.
    reason: String,
    /// Its place in the answer, from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    /// How it stands; absent when there is no such document.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<AccessBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<FilteredBody>,
    /// Where its rows lie, versions that are not current any more included.
    indexed: Vec<IndexedBody>,
    /// Where its best chunks rank; absent when it takes no part.
    #[serde(skip_serializing_if = "Option::is_none")]
    ranks: Option<RanksBody>,
    /// What did not take part, and why.
    degraded: Vec<String>,
    /// What the index has applied.
    seq: u64,
    generation: String,
    recipe: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateBody {
    /// `live` or `deleted`.
    state: &'static str,
    version: u32,
    /// The write that changed it last.
    changed_seq: u64,
    /// Its chunks under the recipe; null when it is not cut under it.
    chunks: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessBody {
    /// `admitted`, `refused` or `unknown`.
    decision: &'static str,
    /// By which entry or label, or why.
    rule: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FilteredBody {
    admitted: bool,
    /// The first part of the filter that does not admit it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_by: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexedBody {
    segment: String,
    version: u32,
    rows: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RanksBody {
    /// By words; null when it has none of them, or the arm took no part.
    lexical: Option<RankBody>,
    /// By vectors; null when the arm took no part.
    dense: Option<RankBody>,
    /// In the fusion; null when neither arm had it among its best.
    fused: Option<RankBody>,
    /// How many candidates the fusion had.
    candidates: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RankBody {
    /// From one; null beyond the first thousand of an arm.
    rank: Option<usize>,
    score: f64,
    chunk: u32,
}

impl From<Rank> for RankBody {
    fn from(rank: Rank) -> Self {
        Self { rank: rank.rank, score: wire::score(rank.score), chunk: rank.chunk }
    }
}

impl From<Ranks> for RanksBody {
    fn from(ranks: Ranks) -> Self {
        let body = |rank: Option<Rank>| rank.map(RankBody::from);
        Self {
            lexical: body(ranks.lexical),
            dense: body(ranks.dense),
            fused: body(ranks.fused),
            candidates: ranks.candidates,
        }
    }
}

fn access(decision: &Decision) -> AccessBody {
    let (decision, rule) = match decision {
        Decision::Admitted(rule) => ("admitted", rule.to_string()),
        Decision::Refused(Reason::Nobody) => ("refused", "the principal stands for nobody".to_owned()),
        Decision::Refused(Reason::Denied(entry)) => ("refused", format!("deny {entry}")),
        Decision::Refused(Reason::NotCleared(label)) => ("refused", format!("not cleared for {label}")),
        Decision::Refused(Reason::NotAllowed) => ("refused", "no allow entry names the principal now".to_owned()),
        Decision::Unknown(why) => ("unknown", why.to_string()),
    };
    AccessBody { decision, rule }
}

/// The verdict's name, and what it says to people.
fn verdict(explained: &DocumentExplained) -> (&'static str, String) {
    match &explained.fate {
        Fate::Absent => ("absent", "The tenant has no document of this id.".to_owned()),
        Fate::Deleted => ("deleted", "The document was deleted.".to_owned()),
        Fate::Refused => {
            let rule = explained.state.as_ref().map(|state| access(&state.decision).rule).unwrap_or_default();
            ("refused", format!("The principal may not see it: {rule}."))
        }
        Fate::Filtered(part) => ("filtered", format!("The filter does not admit it, by `{part}`.")),
        Fate::NotIndexed => {
            let seq = explained.seq;
            ("not-indexed", format!("The index has applied seq {seq}, and has no row of the current version."))
        }
        Fate::NotCandidate => ("not-candidate", "Neither arm has it among its best.".to_owned()),
        Fate::CutByRank => ("cut-by-rank", "Others rank before it, and the answer ends before its place.".to_owned()),
        Fate::Dropped => ("dropped", "A write came between the search and the last check. Ask again.".to_owned()),
        Fate::Omitted(reason) => ("omitted", format!("It is left out of the context: {}.", reason.as_str())),
        Fate::Given(place) => ("given", format!("It is in the answer, at place {place}.")),
    }
}

fn answer_body(document: &DocumentId, explained: DocumentExplained) -> ExplainAnswerBody {
    let (verdict, reason) = verdict(&explained);
    let filter = explained.state.as_ref().map(|_| FilteredBody {
        admitted: explained.refused_by_filter.is_none(),
        refused_by: explained.refused_by_filter.clone(),
    });
    let indexed = explained.indexed.into_iter().map(|place| IndexedBody {
        segment: place.segment,
        version: place.version.0,
        rows: place.rows,
    });
    ExplainAnswerBody {
        document: document.to_string(),
        verdict,
        reason,
        place: if let Fate::Given(place) = explained.fate { Some(place) } else { None },
        access: explained.state.as_ref().map(|state| access(&state.decision)),
        state: explained.state.map(|state| StateBody {
            state: if state.live == Liveness::Live { "live" } else { "deleted" },
            version: state.version.0,
            changed_seq: state.changed_seq.0,
            chunks: state.chunks,
        }),
        filter,
        indexed: indexed.collect(),
        ranks: explained.ranks.map(RanksBody::from),
        degraded: explained.degraded,
        seq: explained.seq.0,
        generation: explained.generation.to_string(),
        recipe: explained.recipe.to_string(),
    }
}

/// The request in whose answer the document is looked for.
fn asked(body: ExplainBody) -> Result<Asked, Problem> {
    let question = question(&body.query, body.mode.as_deref(), body.filter, body.lexical, body.min_seq)?;
    match (body.budget, body.top_k) {
        (Some(_), Some(_)) => Err(Problem::invalid("Give `top_k` for a search, or `budget` for a context, not both.")),
        (None, top_k) => Ok(Asked::Search(SearchRequest::new(question, top_k.unwrap_or(TOP_K_DEFAULT))?)),
        (Some(budget), None) => {
            let tokenizer: Tokenizer = budget.tokenizer.parse().map_err(catena_ingest::IngestError::Text)?;
            let rules = PackRules { per_document: body.limits.per_document() };
            let budget = Budget { tokens: budget.tokens, tokenizer };
            Ok(Asked::Context(ContextRequest::new(question, budget, rules)?))
        }
    }
}

/// Explain: why a document is, or is not, in somebody's answer to a question. For administrators.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/explain", tag = "retrieval", operation_id = "explain",
    request_body = ExplainBody, responses((status = 200, body = ExplainAnswerBody), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn explain(
    State(app): State<App>,
    Asking(caller): Asking,
    Place(tenant): Place<String>,
    Body(mut body): Body<ExplainBody>,
) -> Result<Body<ExplainAnswerBody>, Problem> {
    caller.trail.doing("explain");
    let administrator = caller.enter(&app, &tenant, Right::Admin).await?;
    // An operator administers, but sees no document, not even that it is there.
    if !administrator.principal().is_administrator() {
        return Err(Problem::missing_right(Right::Admin.as_str()));
    }
    let asker = caller.enter_as(&app, &tenant, Right::Read, on_behalf(body.on_behalf.take())?).await?;
    let document = DocumentId::new(&body.document)?;
    caller.trail.asked(body.query.as_bytes());
    let asked = asked(body)?;
    let draft = caller.trail.draft("explain", StatusCode::OK);
    let (explained, leaf) = app.retrieval().explain(&administrator, &asker, &document, &asked, draft).await?;
    caller.trail.recorded(leaf);
    Ok(Body(answer_body(&document, explained)))
}
