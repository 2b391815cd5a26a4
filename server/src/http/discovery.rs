//! Where agents find out who gives out tokens for this service (RFC 9728).
//!
//! Promises: nothing is announced that is not there: without an identity provider and a public address, there is no such
//! page and no word of it. Does not: need a credential; what it says is no secret.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::app::App;
use crate::http::problem::Problem;

/// The page of the service as a whole.
pub(crate) const OF_THE_SERVICE: &str = "/.well-known/oauth-protected-resource";
/// The page of the agents' door, which clients look for first.
pub(crate) const OF_MCP: &str = "/.well-known/oauth-protected-resource/mcp";
/// The agents' door.
const MCP: &str = "/mcp";

#[derive(Debug, Serialize)]
pub(crate) struct ProtectedResource {
    resource: String,
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
    resource_name: &'static str,
}

/// The address of `path` as others see it, if tokens are taken and it is known.
fn public(app: &App, path: &str) -> Option<String> {
    let address = app.settings().public_url.as_ref()?;
    app.oidc().issuers().next()?;
    Some(format!("{}{path}", address.as_str().trim_end_matches('/')))
}

/// Says what tokens this service takes, and from whom.
pub(crate) async fn protected_resource(State(app): State<App>) -> Result<Json<ProtectedResource>, Problem> {
    let resource = public(&app, MCP).ok_or_else(Problem::not_found)?;
    Ok(Json(ProtectedResource {
        resource,
        authorization_servers: app.oidc().issuers().map(str::to_owned).collect(),
        scopes_supported: app.oidc().reading_scopes().into_iter().map(str::to_owned).collect(),
        bearer_methods_supported: ["header"],
        resource_name: "Catena",
    }))
}

/// A refusal at the door; to agents, it says where tokens come from.
pub(crate) fn announced(app: &App, path: &str, refusal: Problem) -> Problem {
    match public(app, OF_MCP) {
        Some(address) if path == MCP => refusal.with_metadata_at(&address),
        _ => refusal,
    }
}
