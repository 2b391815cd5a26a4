//! The HTTP door: every route in one table.
//!
//! Promises: whatever is under `/v1` or `/mcp` passes the record's layer and the door before any handler; wire types live
//! here and nowhere else. Does not: decide anything that `access`, `ingest` or `retrieval` decide.

pub(crate) mod acl;
pub(crate) mod admission;
pub(crate) mod batch;
pub(crate) mod chunking;
pub(crate) mod citations;
pub(crate) mod context;
pub(crate) mod discovery;
pub(crate) mod documents;
pub(crate) mod door;
pub(crate) mod explain;
pub(crate) mod filter;
pub(crate) mod firewall;
pub(crate) mod generations;
pub(crate) mod groups;
pub(crate) mod guards;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod job_events;
pub(crate) mod job_wishes;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod labels;
pub(crate) mod lexical;
pub(crate) mod once;
pub(crate) mod path_names;
pub(crate) mod place;
pub(crate) mod plans;
pub(crate) mod problem;
pub(crate) mod quarantine;
pub(crate) mod record;
pub(crate) mod search;
pub(crate) mod sources;
pub(crate) mod submission;
pub(crate) mod tenants;
pub(crate) mod trail;
pub(crate) mod turns;
pub(crate) mod usage;
pub(crate) mod wire;

use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse as _, Response};
use axum::{Router, middleware};
use catena_domain::limits;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::mcp;
use problem::Problem;

/// What the JSON envelope may add to a document's bytes.
const ENVELOPE_BYTES: usize = 256 * 1024;
/// The largest body of a document's write: the largest file in an envelope, whose base64 takes four letters for three bytes.
const DOCUMENT_REQUEST_BYTES: usize = limits::DOCUMENT_FILE_BYTES_MAX / 3 * 4 + ENVELOPE_BYTES;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Catena",
        description = "Budgeted, cited, access-checked context out of a tenant's documents. Errors are RFC 9457 problems.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&BearerKey),
    security(("key" = []))
)]
struct Description;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let what = "A catena key, or an access token of an identity provider that the service trusts.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what)).build();
        api.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

fn described() -> OpenApiRouter<App> {
    let documents = OpenApiRouter::new()
        .routes(routes!(documents::put, documents::get, documents::delete))
        .layer(DefaultBodyLimit::max(DOCUMENT_REQUEST_BYTES));
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(tenants::create, tenants::list))
        .routes(routes!(tenants::get, tenants::change, tenants::delete))
        .routes(routes!(usage::get))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(groups::list))
        .routes(routes!(groups::put, groups::get, groups::delete))
        .routes(routes!(labels::put, labels::get))
        .routes(routes!(quarantine::list))
        .routes(routes!(firewall::get, firewall::put))
        .routes(routes!(firewall::list_detectors))
        .routes(routes!(firewall::findings))
        .routes(routes!(firewall::try_policy))
        .routes(routes!(firewall::suspects))
        .routes(routes!(firewall::suspect, firewall::reject))
        .routes(routes!(firewall::release))
        .routes(routes!(documents::list))
        .routes(routes!(documents::put_acl))
        .routes(routes!(documents::versions))
        .routes(routes!(history::version))
        .routes(routes!(history::restore))
        .routes(routes!(history::purge))
        .routes(routes!(sources::create, sources::list))
        .routes(routes!(sources::get, sources::change, sources::delete))
        .routes(routes!(sources::sync))
        .routes(routes!(sources::items))
        .routes(routes!(plans::plan))
        .routes(routes!(search::search))
        .routes(routes!(context::context))
        .routes(routes!(context::receipt))
        .routes(routes!(explain::explain))
        .routes(routes!(citations::verify))
        .routes(routes!(jobs::reindex))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(job_events::events))
        .routes(routes!(jobs::failures))
        .routes(routes!(job_wishes::cancel))
        .routes(routes!(job_wishes::pause))
        .routes(routes!(job_wishes::resume))
        .routes(routes!(job_wishes::approve))
        .routes(routes!(job_wishes::refuse))
        .routes(routes!(job_wishes::retry))
        .routes(routes!(batch::import))
        .routes(routes!(batch::purge))
        .routes(routes!(generations::list))
        .routes(routes!(record::leaves))
        .routes(routes!(record::head))
        .layer(DefaultBodyLimit::max(limits::REQUEST_BODY_BYTES_MAX))
        .merge(documents)
}

/// The routes, and what `/openapi.json` says of them.
fn routes_and_description() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (routes, mut api) = described().split_for_parts();
    path_names::describe(&mut api);
    (routes, api)
}

/// The whole service as one router.
pub(crate) fn router(app: App) -> Router {
    let (routes, api) = routes_and_description();
    let description = axum::Json(api);
    let open = Router::new()
        .route("/healthz", axum::routing::get(health::alive))
        .route("/readyz", axum::routing::get(health::ready))
        .route("/openapi.json", axum::routing::get(move || async move { description.clone() }))
        .route(discovery::OF_THE_SERVICE, axum::routing::get(discovery::protected_resource))
        .route(discovery::OF_MCP, axum::routing::get(discovery::protected_resource));
    let recorded = routes
        .layer(middleware::from_fn_with_state(app.clone(), once::layer))
        .route("/metrics", axum::routing::get(health::metrics))
        .route_service("/mcp", mcp::service(&app))
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || {
            Problem::new(
                http::StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This path does not take that method",
                "See /openapi.json for the methods of each path.",
            )
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), trail::record));
    open.merge(recorded.with_state(app.clone())).with_state(app)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}
