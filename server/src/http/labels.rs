//! A tenant's clearance labels, in their order. A change holds from the next query on.

use axum::extract::State;
use catena_access::Right;
use catena_domain::{Label, limits};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::problem::Problem;
use crate::http::wire::{Body, Place};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Labels {
    /// All labels, the lowest first, at most 32. Who is cleared for one is cleared for those before it.
    labels: Vec<String>,
}

/// Set the tenant's labels and their order.
///
/// A document whose label is not among them is nobody's to see from the next query on, and stands in the quarantine list.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/labels", tag = "labels", operation_id = "put_labels",
    request_body = Labels,
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Body(body): Body<Labels>,
) -> Result<StatusCode, Problem> {
    caller.trail.doing("labels.put");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    if body.labels.len() > limits::LABELS_MAX {
        let most = limits::LABELS_MAX;
        return Err(Problem::invalid(format!("{} labels were given; the limit is {most}.", body.labels.len())));
    }
    let labels: Vec<Label> = body.labels.iter().map(|label| Label::new(label)).collect::<Result<_, _>>()?;
    let draft = caller.trail.draft("labels.put", StatusCode::NO_CONTENT);
    let written = app.catalog().put_labels(&scope, &labels, draft).await?;
    caller.trail.recorded(written.leaf);
    Ok(StatusCode::NO_CONTENT)
}

/// Read the tenant's labels, the lowest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/labels", tag = "labels", operation_id = "get_labels",
    responses((status = 200, body = Labels), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<Labels>, Problem> {
    caller.trail.doing("labels.read");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let labels = app.catalog().labels(&scope).await?;
    Ok(Body(Labels { labels: labels.iter().map(Label::to_string).collect() }))
}
