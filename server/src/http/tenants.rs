//! Tenants, for the operator.

use axum::extract::State;
use catena_catalog::Tenant;
use catena_domain::{NameError, TenantId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Paging, Params, Place, bounded};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// Letters a-z, digits and `-`; also its name in paths.
    id: String,
    /// What people call it.
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantBody {
    id: String,
    name: String,
    created_at: String,
    /// The last write.
    seq: u64,
    /// Documents that are not deleted.
    documents: u64,
    generation: String,
}

impl From<Tenant> for TenantBody {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            created_at: wire::time(tenant.created_at),
            seq: tenant.seq.0,
            documents: tenant.documents,
            generation: tenant.live_generation.to_string(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantPage {
    data: Vec<TenantBody>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Make a tenant.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", operation_id = "create_tenant", request_body = NewTenant,
    responses((status = 201, body = TenantBody), (status = 409, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<NewTenant>,
) -> Result<Answer, Problem> {
    let deed = caller.deed("tenant.create", StatusCode::CREATED, created);
    let operator = caller.operate()?;
    let id = TenantId::new(&body.id)?;
    let name = body.name.unwrap_or_else(|| body.id.clone());
    bounded("name", &name)?;
    let (recipe, dimension) = (app.ingest().recipe(), app.ingest().dimension());
    let dimension = u32::try_from(dimension).map_err(|_| Problem::internal())?;
    let written = app.catalog().create_tenant(&operator, &id, &name, recipe, dimension, deed).await?;
    caller.trail.recorded(written.leaf);
    app.ingest().publish(&id).await?;
    Ok(created(&written.value))
}

fn created(tenant: &Tenant) -> Answer {
    Answer::new(StatusCode::CREATED, &TenantBody::from(tenant.clone()))
}

/// List the tenants.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", operation_id = "list_tenants", params(Paging),
    responses((status = 200, body = TenantPage)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(paging): Params<Paging>,
) -> Result<Body<TenantPage>, Problem> {
    caller.trail.doing("tenant.list");
    let operator = caller.operate()?;
    let after =
        paging.after.as_deref().map(TenantId::new).transpose().map_err(|error: NameError| Problem::from(error))?;
    let page = app.catalog().tenants(&operator, after.as_ref(), paging.limit()?).await?;
    let next = page.next.map(|id| id.to_string());
    Ok(Body(TenantPage { data: page.items.into_iter().map(TenantBody::from).collect(), next }))
}

/// Read one tenant.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "get_tenant",
    responses((status = 200, body = TenantBody), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<TenantBody>, Problem> {
    caller.trail.doing("tenant.read");
    let operator = caller.credential.operate().map_err(|_| Problem::not_found())?;
    let id = TenantId::new(&tenant).map_err(|_| Problem::not_found())?;
    let tenant = app.catalog().tenant(&operator, &id).await?.ok_or_else(Problem::not_found)?;
    Ok(Body(tenant.into()))
}
