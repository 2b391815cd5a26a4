//! A tenant's index generations, for its administrators.

use axum::extract::State;
use catena_access::Right;
use catena_catalog::{GenerationRow, GenerationState};
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
}

impl From<GenerationRow> for GenerationBody {
    fn from(row: GenerationRow) -> Self {
        Self {
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
    Ok(Body(GenerationList { data: rows.into_iter().map(GenerationBody::from).collect() }))
}
