//! The tenant's audit record, for its auditors: the leaves as they were sealed, and the head that proves there are no
//! fewer of them.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use catena_access::Right;
use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::problem::Problem;
use crate::http::wire::{Body, Paging, Params, Place, Receipt};

/// The header that says from where the next page goes on.
const NEXT: HeaderName = HeaderName::from_static("catena-next");

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct From {
    /// The first leaf wanted.
    #[serde(default)]
    from: u64,
    /// Leaves of one page.
    #[serde(default)]
    limit: Option<usize>,
}

/// Read leaves: one JSON object a line, exactly the bytes that were hashed.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/leaves", tag = "audit", operation_id = "read_leaves",
    params(From), responses((status = 200, content_type = "application/x-ndjson", body = String),
        (status = 404, body = Problem)))]
pub(crate) async fn leaves(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(page): Params<From>,
) -> Result<Response, Problem> {
    caller.trail.doing("audit.read");
    let scope = caller.enter(&app, &tenant, Right::Audit).await?;
    let limit = Paging { after: None, limit: page.limit }.limit()?;
    let leaves = app.catalog().leaves(&scope, page.from, limit).await?;
    let next = leaves.last().map(|leaf| leaf.index + 1).filter(|_| leaves.len() == limit);
    let mut text = Vec::new();
    for leaf in leaves {
        text.extend_from_slice(&leaf.bytes);
        text.push(b'\n');
    }
    let mut response = ([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response();
    if let Some(next) = next {
        response.headers_mut().insert(NEXT, HeaderValue::from(next));
    }
    Ok(response)
}

/// Read the head: the last leaf's place and hash.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/head", tag = "audit", operation_id = "read_head",
    responses((status = 200, body = Receipt), (status = 404, body = Problem)))]
pub(crate) async fn head(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<Receipt>, Problem> {
    caller.trail.doing("audit.read");
    let scope = caller.enter(&app, &tenant, Right::Audit).await?;
    let head = app.catalog().chain_head(&scope).await?.ok_or_else(Problem::not_found)?;
    Ok(Body(head.into()))
}
