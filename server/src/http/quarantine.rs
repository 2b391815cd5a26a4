//! Documents that nobody may see, because nobody can say who may: for administrators, who can say it.
//!
//! Does not: show a title or a text. Whoever sets an access list here says who may see a document without seeing it.

use axum::extract::State;
use catena_access::acl::Why;
use catena_catalog::Quarantined;
use catena_domain::DocumentId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::problem::Problem;
use crate::http::wire::{Body, Paging, Params, Place};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuarantinedBody {
    document: String,
    /// The source that it came from.
    source: Option<String>,
    /// `label`: its label is none of the tenant's. `permissions`: whatever wrote it could not read its permissions.
    cause: &'static str,
    /// The cause, for people.
    reason: String,
}

impl From<Quarantined> for QuarantinedBody {
    fn from(item: Quarantined) -> Self {
        let cause = match item.why {
            Why::Label(_) => "label",
            Why::Permissions(_) => "permissions",
        };
        Self { document: item.id.to_string(), source: item.source, cause, reason: item.why.to_string() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuarantinePage {
    data: Vec<QuarantinedBody>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List the documents whose access list is unknown.
///
/// They are in no search, list or count, for nobody. Setting an access list releases one, and so does giving the tenant
/// the label that it lacks.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/quarantine", tag = "documents", operation_id = "list_quarantine",
    params(Paging), responses((status = 200, body = QuarantinePage), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(paging): Params<Paging>,
) -> Result<Body<QuarantinePage>, Problem> {
    caller.trail.doing("quarantine.list");
    let scope = caller.administer(&app, &tenant).await?;
    let after = paging.after.as_deref().map(DocumentId::new).transpose()?;
    let page = app.catalog().quarantine(&scope, after.as_ref(), paging.limit()?).await?;
    Ok(Body(QuarantinePage { data: page.items.into_iter().map(QuarantinedBody::from).collect(), next: page.next }))
}
