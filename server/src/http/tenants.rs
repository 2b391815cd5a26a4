//! Tenants, for the operator.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use catena_access::Operator;
use catena_catalog::{Chunking, Quota, Service, Statistics, Tenant, TenantChange, TenantState};
use catena_domain::{NameError, TenantId};
use catena_runtime::clock::{self, Stopwatch};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::chunking::ChunkingBody;
use crate::http::door::Caller;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::usage::quotas_body;
use crate::http::wire::{self, Body, Paging, Params, Place, bounded};

/// How long an answer waits for a removal's end, and how often it looks.
const REMOVAL_WAIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

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
    /// `active`, `suspended`, `deleting` or `deleted`. Of a deleted tenant, the id and the record are left.
    state: &'static str,
    /// The last write.
    seq: u64,
    /// Documents that are not deleted.
    documents: u64,
    /// Bytes of their current texts.
    text_bytes: u64,
    /// Chunks of their current versions.
    chunks: u64,
    /// Those that are set.
    quotas: BTreeMap<&'static str, u64>,
    /// What scores are counted over: `live` or `visible`.
    statistics: &'static str,
    /// How documents are cut; what is not named is left to the model.
    chunking: ChunkingBody,
    /// The generation that answers; absent when the tenant is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<String>,
    /// How many rows of each table its deletion has removed so far.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    removed: BTreeMap<String, u64>,
}

impl From<Tenant> for TenantBody {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            created_at: wire::time(tenant.created_at),
            state: tenant.state.as_str(),
            seq: tenant.seq.0,
            documents: tenant.held.documents,
            text_bytes: tenant.held.text_bytes,
            chunks: tenant.held.chunks,
            quotas: quotas_body(&tenant.quotas),
            statistics: tenant.statistics.as_str(),
            chunking: tenant.chunking.into(),
            generation: tenant.live_generation.map(|id| id.to_string()),
            removed: tenant.removed,
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
    let (operator, id) = operated(&caller, &tenant)?;
    let tenant = app.catalog().tenant(&operator, &id).await?.ok_or_else(Problem::not_found)?;
    Ok(Body(tenant.into()))
}

/// The tenant in the path, for the operator. To all others, there is nothing here.
fn operated(caller: &Caller, tenant: &str) -> Result<(Operator, TenantId), Problem> {
    let operator = caller.credential.operate().map_err(|_| Problem::not_found())?;
    Ok((operator, TenantId::new(tenant).map_err(|_| Problem::not_found())?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantChangeBody {
    /// What people call it.
    #[serde(default)]
    name: Option<String>,
    /// `suspended`: its keys are turned away from the next request on, and nothing is lost. `active`: they are let in.
    #[serde(default)]
    state: Option<String>,
    /// Any of `documents`, `text_bytes`, `chunks`, `embedding_tokens_per_day`, `writes_per_minute`, `queries_per_minute`
    /// and `concurrency`; null lifts one, and what is not named stays.
    #[serde(default)]
    quotas: BTreeMap<String, Option<u64>>,
    /// What scores are counted over. `live`: all current documents, so one may tell from scores how rare a word is among
    /// documents that one may not see. `visible`: those alone that whoever asks may see. Holds from the next question on.
    #[serde(default)]
    statistics: Option<String>,
    /// How documents are cut, in place of what was set before; `{}` leaves it to the model. The index is built anew in
    /// the background, and answers as before until that is done.
    #[serde(default)]
    chunking: Option<ChunkingBody>,
}

impl TenantChangeBody {
    fn parse(self) -> Result<TenantChange, Problem> {
        if let Some(name) = &self.name {
            bounded("name", name)?;
        }
        let service = match self.state.as_deref() {
            None => None,
            Some("active") => Some(Service::Resumed),
            Some("suspended") => Some(Service::Suspended),
            Some(_) => return Err(Problem::invalid("`state` may be `active` or `suspended`.")),
        };
        let quota = |(name, limit): (String, Option<u64>)| match name.parse::<Quota>() {
            Ok(quota) => Ok((quota, limit)),
            Err(error) => Err(Problem::invalid(format!("{error}."))),
        };
        let quotas = self.quotas.into_iter().map(quota).collect::<Result<_, _>>()?;
        let statistics = match self.statistics.as_deref() {
            None => None,
            Some("live") => Some(Statistics::Live),
            Some("visible") => Some(Statistics::Visible),
            Some(_) => return Err(Problem::invalid("`statistics` may be `live` or `visible`.")),
        };
        let chunking = self.chunking.map(Chunking::from);
        Ok(TenantChange { name: self.name, service, quotas, statistics, chunking })
    }
}

/// Change a tenant: its name, its quotas, its statistics, how its documents are cut, whether it is suspended.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "change_tenant",
    request_body = TenantChangeBody, responses((status = 200, body = TenantBody), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Body(body): Body<TenantChangeBody>,
) -> Result<Body<TenantBody>, Problem> {
    let draft = caller.trail.draft("tenant.change", StatusCode::OK);
    let (operator, id) = operated(&caller, &tenant)?;
    let change = body.parse()?;
    let recuts = change.chunking.is_some();
    let written = app.catalog().change_tenant(&operator, &id, change, draft).await?;
    let written = written.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    if recuts {
        app.ingest().reindex_if_changed(&id).await?;
    }
    app.ingest().announce_jobs();
    Ok(Body(written.value.into()))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Until {
    /// `done`: answer when everything is removed, or after a minute. Otherwise at once.
    #[serde(default)]
    wait: Option<String>,
}

/// Delete a tenant: its keys, documents, index, groups, jobs, all of it but its record and its id, which is never given
/// again. Nothing answers for it from here on; what it held is removed in the background.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "delete_tenant", params(Until),
    responses((status = 200, body = TenantBody), (status = 404, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(until): Params<Until>,
) -> Result<Body<TenantBody>, Problem> {
    let draft = caller.trail.draft("tenant.delete", StatusCode::OK);
    let (operator, id) = operated(&caller, &tenant)?;
    if until.wait.as_deref().is_some_and(|wait| wait != "done") {
        return Err(Problem::invalid("`wait` may only be `done`."));
    }
    let written = app.catalog().delete_tenant(&operator, &id, draft).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    app.retrieval().forget(&id);
    app.ingest().announce_removal();
    let tenant = match until.wait {
        Some(_) => removed(&app, &operator, written.value).await?,
        None => written.value,
    };
    Ok(Body(tenant.into()))
}

/// The tenant at the end of its removal, or as far as it is after the longest wait.
async fn removed(app: &App, operator: &Operator, mut tenant: Tenant) -> Result<Tenant, Problem> {
    let watch = Stopwatch::start();
    while tenant.state != TenantState::Deleted && watch.elapsed() < REMOVAL_WAIT && !app.stop().is_cancelled() {
        clock::pause(LOOK_AGAIN).await;
        tenant = app.catalog().tenant(operator, &tenant.id).await?.ok_or_else(Problem::not_found)?;
    }
    Ok(tenant)
}
