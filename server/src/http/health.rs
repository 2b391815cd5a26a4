//! Whether the service lives, whether it is ready, and its figures. Nothing here names a tenant.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::problem::Problem;

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(app): State<App>) -> Response {
    match app.unready().await {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

/// For the operator alone: even sums over all tenants say something about each.
pub(crate) async fn metrics(State(app): State<App>, caller: Caller) -> Result<String, Problem> {
    caller.trail.doing("metrics.read");
    caller.operate()?;
    Ok(app.metrics().render())
}
