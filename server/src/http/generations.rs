//! A tenant's index generations, for its administrators.

use axum::extract::State;
use catena_access::Right;
use catena_catalog::{GenerationRow, GenerationState};
use catena_ingest::Condition;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Place};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GenerationBody {
    id: String,
    recipe: String,
    /// Length of its vectors.
    dimension: u32,
    /// `building`, `live` or `retired`.
    state: &'static str,
    created_at: String,
    promoted_at: Option<String>,
    /// Of the one that answers: what it holds, and whether that is all.
    index: Option<IndexBody>,
}

/// What a generation holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexBody {
    /// The last write that a search finds.
    applied_seq: u64,
    /// Rows, those included that no live version has any more.
    rows: u64,
    /// How much of what should be there is, in percent. Below 100 while something damaged is brought back from the
    /// catalog, which the service does by itself.
    complete_percent: f64,
    /// Segments that were found damaged and are not made up for yet.
    damaged_segments: usize,
}

impl From<Condition> for IndexBody {
    fn from(found: Condition) -> Self {
        let Condition { applied_seq, rows, damaged_segments, complete_percent } = found;
        Self { applied_seq: applied_seq.0, rows, complete_percent, damaged_segments }
    }
}

impl GenerationBody {
    fn new(row: GenerationRow, index: Option<Condition>) -> Self {
        Self {
            index: index.map(IndexBody::from),
            id: row.id.to_string(),
            recipe: row.recipe.to_string(),
            dimension: row.dimension,
            state: match row.state {
                GenerationState::Building => "building",
                GenerationState::Live => "live",
                GenerationState::Retired => "retired",
            },
            created_at: wire::time(row.created_at),
            promoted_at: row.promoted_at.map(wire::time),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GenerationList {
    data: Vec<GenerationBody>,
}

/// List the generations.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/generations", tag = "jobs", operation_id = "list_generations",
    responses((status = 200, body = GenerationList), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<GenerationList>, Problem> {
    caller.trail.doing("generation.list");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let rows = app.catalog().generations(&scope).await?;
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        let index = match row.state {
            GenerationState::Live => app.ingest().condition(&scope, &row).await?,
            GenerationState::Building | GenerationState::Retired => None,
        };
        data.push(GenerationBody::new(row, index));
    }
    Ok(Body(GenerationList { data }))
}
