//! What a sync would do, on the wire.

use axum::extract::State;
use catena_domain::DocumentId;
use catena_ingest::sync::{Estimate, Listed, Plan, PlannedWidening, Wider};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::problem::Problem;
use crate::http::sources::administered;
use crate::http::wire::{Body, Place};

/// Moves and quarantines that are listed.
const LISTED_MAX: usize = 1_000;

/// Documents of one kind: all of them counted, at most 1000 named.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedBody {
    count: u64,
    documents: Vec<String>,
}

impl From<Listed> for ListedBody {
    fn from(listed: Listed) -> Self {
        Self { count: listed.count, documents: listed.documents.iter().map(DocumentId::to_string).collect() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MoveBody {
    from: String,
    to: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovesBody {
    count: u64,
    documents: Vec<MoveBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessBody {
    document: String,
    /// Who may see it.
    #[schema(value_type = Object)]
    before: serde_json::Value,
    /// Who could.
    #[schema(value_type = Object)]
    after: serde_json::Value,
    /// Users who would see it and do not, where that can be counted.
    readers_gained: u64,
    /// `everyone`, `unknown_group`, `clearance` or `readers`; absent where nobody gains it.
    wider: Option<&'static str>,
    /// Whether it would wait for approval.
    held: bool,
}

impl From<PlannedWidening> for AccessBody {
    fn from(planned: PlannedWidening) -> Self {
        let (wider, readers_gained) = match planned.wider {
            None => (None, 0),
            Some(Wider::Everyone) => (Some("everyone"), 0),
            Some(Wider::UnknownGroup) => (Some("unknown_group"), 0),
            Some(Wider::Clearance) => (Some("clearance"), 0),
            Some(Wider::Readers(gained)) => (Some("readers"), gained),
        };
        let document = planned.document.to_string();
        Self { document, before: planned.before, after: planned.after, readers_gained, wider, held: planned.is_held }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessListBody {
    count: u64,
    documents: Vec<AccessBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuarantineBody {
    document: String,
    reason: String,
}

/// How much would be embedded: counted over a sample of the documents that would be read, and taken to be so for the rest.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EstimateBody {
    /// Documents that would be read.
    documents: u64,
    /// Of these, documents that were fetched and cut. When it is all of them, the rest is exact.
    sampled: u64,
    chunks: u64,
    tokens: u64,
    /// At the rate of the last sync that embedded; absent when none did.
    seconds: Option<f64>,
}

impl From<Estimate> for EstimateBody {
    fn from(estimate: Estimate) -> Self {
        let Estimate { documents, sampled, chunks, tokens, seconds } = estimate;
        Self { documents, sampled, chunks, tokens, seconds: seconds.map(|seconds| (seconds * 10.0).round() / 10.0) }
    }
}

/// What a sync would do now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanBody {
    adds: ListedBody,
    /// Documents whose tag changed. What was fetched for the estimate and has the bytes it had is not among them.
    changes: ListedBody,
    deletes: ListedBody,
    /// Whether the deletions would wait for approval.
    deletes_held: bool,
    moves: MovesBody,
    access: AccessListBody,
    quarantines: Vec<QuarantineBody>,
    unchanged: u64,
    /// What is no document.
    skipped: u64,
    estimate: EstimateBody,
    /// Why the look broke off, if it did. Nothing would be deleted then.
    broken: Option<String>,
}

impl From<Plan> for PlanBody {
    fn from(plan: Plan) -> Self {
        let count = plan.moves.len() as u64;
        let moved = |(from, to): (DocumentId, DocumentId)| MoveBody { from: from.to_string(), to: to.to_string() };
        let moves = plan.moves.into_iter().take(LISTED_MAX).map(moved).collect();
        let quarantined = |(id, reason): (DocumentId, String)| QuarantineBody { document: id.to_string(), reason };
        Self {
            adds: plan.adds.into(),
            changes: plan.changes.into(),
            deletes: plan.deletes.into(),
            deletes_held: plan.deletes_held,
            moves: MovesBody { count, documents: moves },
            access: AccessListBody {
                count: plan.access_count,
                documents: plan.access.into_iter().map(AccessBody::from).collect(),
            },
            quarantines: plan.quarantines.into_iter().map(quarantined).collect(),
            unchanged: plan.unchanged,
            skipped: plan.skipped,
            estimate: plan.estimate.into(),
            broken: plan.broken,
        }
    }
}

/// Say what a sync would do, without doing it.
///
/// The source is looked at now, and a sample of what would be read is fetched. It ends within bounds; two are made at once.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/sources/{source}/plan", tag = "sources", operation_id = "plan_source",
    responses((status = 200, body = PlanBody), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn plan(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, source)): Place<(String, String)>,
) -> Result<Body<PlanBody>, Problem> {
    caller.trail.doing("source.plan");
    let (scope, name) = administered(&app, &caller, &tenant, &source).await?;
    let plan = app.ingest().plan_source(&scope, &name).await?.ok_or_else(Problem::not_found)?;
    Ok(Body(plan.into()))
}
