//! Sources on the wire: made, shown, changed, planned, synced and removed.
//!
//! Promises: credentials go in and never come out; a source is shown with what it is and what its last sync came to.
//! Does not: know how a source is read, or decide what a sync does.

use std::collections::BTreeMap;

use axum::extract::State;
use catena_access::{Right, Scope};
use catena_catalog::{ItemState, Job, SourceItem, SourceRow, SourceState};
use catena_domain::SourceName;
use catena_ingest::sync::description::{Guards, Place as SourcePlace, Schedule};
use catena_ingest::sync::{LastSync, NewSource, SourceChange};
use catena_sources::{Credentials, SourceSpec};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::guards::{GuardsBody, GuardsChangeBody};
use crate::http::jobs::{JobBody, job_answer};
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Paging, Params, Place, said};

/// When a source is looked at by itself: one of the two.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ScheduleBody {
    /// So many seconds after the last time, at least 60.
    EveryS(u64),
    /// At the times of a cron expression of five fields, in UTC.
    Cron(String),
}

impl From<ScheduleBody> for Schedule {
    fn from(body: ScheduleBody) -> Self {
        match body {
            ScheduleBody::EveryS(seconds) => Self::EverySeconds(seconds),
            ScheduleBody::Cron(expression) => Self::Cron(expression),
        }
    }
}

impl From<Schedule> for ScheduleBody {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::EverySeconds(seconds) => Self::EveryS(seconds),
            Schedule::Cron(expression) => Self::Cron(expression),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StateBody {
    #[default]
    Active,
    Paused,
}

impl From<StateBody> for SourceState {
    fn from(body: StateBody) -> Self {
        match body {
            StateBody::Active => Self::Active,
            StateBody::Paused => Self::Paused,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSourceBody {
    /// Lower-case letters, digits and `-`.
    name: String,
    /// What it is and where: `{"kind": "folder", ...}`, and so for `git`, `web`, `objects` and `push`.
    #[schema(value_type = Object)]
    spec: SourceSpec,
    /// What stands before the ids of its documents; without one, its name and a slash.
    #[serde(default)]
    prefix: Option<String>,
    /// Secrets by name. They are sealed, and never shown again.
    #[serde(default)]
    #[schema(value_type = Object, write_only)]
    credentials: Credentials,
    #[serde(default)]
    schedule: Option<ScheduleBody>,
    #[serde(default)]
    guards: GuardsBody,
    #[serde(default)]
    state: StateBody,
}

/// What changes about a source; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceChangeBody {
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    spec: Option<SourceSpec>,
    #[serde(default)]
    prefix: Option<String>,
    /// In place of all that were given before; `{}` for none.
    #[serde(default)]
    #[schema(value_type = Option<Object>, write_only)]
    credentials: Option<Credentials>,
    /// Null for none.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ScheduleBody>)]
    schedule: Option<Option<ScheduleBody>>,
    #[serde(default)]
    guards: Option<GuardsChangeBody>,
    #[serde(default)]
    state: Option<StateBody>,
}

/// What the last sync came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastBody {
    at: String,
    took_s: f64,
    /// Why it did not come to its end, if it did not.
    error: Option<String>,
    added: u64,
    changed: u64,
    /// Only what is said of them changed.
    restated: u64,
    moved: u64,
    deleted: u64,
    unchanged: u64,
    failed: u64,
    quarantined: u64,
    /// What is no document.
    skipped: u64,
    /// What waits for approval.
    withheld: u64,
    /// What was written was cut into so many chunks.
    chunks: u64,
    tokens: u64,
    /// Of these, what had to be embedded.
    chunks_embedded: u64,
    tokens_embedded: u64,
}

impl From<LastSync> for LastBody {
    fn from(last: LastSync) -> Self {
        let totals = last.totals;
        Self {
            at: wire::time(catena_domain::Timestamp(last.at_us)),
            took_s: last.took_ms as f64 / 1_000.0,
            error: last.error,
            added: totals.added,
            changed: totals.changed,
            restated: totals.restated,
            moved: totals.moved,
            deleted: totals.deleted,
            unchanged: totals.unchanged,
            failed: totals.failed,
            quarantined: totals.quarantined,
            skipped: totals.skipped,
            withheld: totals.withheld,
            chunks: totals.chunks,
            tokens: totals.tokens,
            chunks_embedded: totals.chunks_embedded,
            tokens_embedded: totals.tokens_embedded,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceBody {
    name: String,
    #[schema(value_type = Object)]
    spec: SourceSpec,
    prefix: String,
    /// The names of what was given to open it.
    credentials: Vec<String>,
    schedule: Option<ScheduleBody>,
    guards: GuardsBody,
    /// `active` or `paused`: whether its schedule counts.
    state: &'static str,
    created_at: String,
    /// When it is looked at next by itself.
    next_at: Option<String>,
    last: Option<LastBody>,
    /// How many of its documents are `ok`, `failed`, `quarantined` and `skipped`; in a list of sources, nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<BTreeMap<&'static str, u64>>,
}

impl SourceBody {
    fn of(row: SourceRow) -> Result<Self, Problem> {
        let unreadable = |_| Problem::internal();
        let place: SourcePlace = serde_json::from_str(&row.description.spec).map_err(unreadable)?;
        let schedule: Option<Schedule> =
            row.description.schedule.as_deref().map(serde_json::from_str).transpose().map_err(unreadable)?;
        let guards: Guards = serde_json::from_str(&row.description.guards).map_err(unreadable)?;
        Ok(Self {
            name: row.name.to_string(),
            spec: place.spec,
            prefix: place.prefix,
            credentials: row.description.credentials.names,
            schedule: schedule.map(ScheduleBody::from),
            guards: guards.into(),
            state: row.description.state.as_str(),
            created_at: wire::time(row.created_at),
            next_at: row.description.next_at.map(wire::time),
            last: row.last.as_deref().and_then(LastSync::read).map(LastBody::from),
            documents: None,
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourcePage {
    data: Vec<SourceBody>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Make a source.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/sources", tag = "sources", operation_id = "create_source",
    request_body = NewSourceBody, responses((status = 201, body = SourceBody), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Body(body): Body<NewSourceBody>,
) -> Result<(StatusCode, Body<SourceBody>), Problem> {
    caller.trail.doing("source.create");
    let scope = caller.administer(&app, &tenant).await?;
    let name = SourceName::new(&body.name).map_err(|error| Problem::invalid(format!("`name`: {error}.")))?;
    let new = NewSource {
        spec: body.spec,
        prefix: body.prefix,
        credentials: body.credentials,
        schedule: body.schedule.map(Schedule::from),
        guards: body.guards.into(),
        state: body.state.into(),
    };
    let draft = caller.trail.draft("source.create", StatusCode::CREATED);
    let written = app.ingest().create_source(&scope, &name, new, draft).await?;
    caller.trail.recorded(written.leaf);
    Ok((StatusCode::CREATED, Body(SourceBody::of(written.value)?)))
}

/// List the sources.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/sources", tag = "sources", operation_id = "list_sources",
    params(Paging), responses((status = 200, body = SourcePage), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(paging): Params<Paging>,
) -> Result<Body<SourcePage>, Problem> {
    caller.trail.doing("source.list");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let unfit = |error| Problem::invalid(format!("`after`: {error}."));
    let after = paging.after.as_deref().map(SourceName::new).transpose().map_err(unfit)?;
    let page = app.catalog().sources(&scope, after.as_ref(), paging.limit()?).await?;
    let data = page.items.into_iter().map(SourceBody::of).collect::<Result<_, _>>()?;
    Ok(Body(SourcePage { data, next: page.next }))
}

/// Read a source: what it is, and what its last sync came to.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/sources/{source}", tag = "sources", operation_id = "get_source",
    responses((status = 200, body = SourceBody), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, source)): Place<(String, String)>,
) -> Result<Body<SourceBody>, Problem> {
    caller.trail.doing("source.read");
    let (scope, name) = (caller.enter(&app, &tenant, Right::Admin).await?, named(&source)?);
    let row = app.catalog().source(&scope, &name).await?.ok_or_else(Problem::not_found)?;
    let counts = app.catalog().item_counts(&scope, &name).await?;
    let documents = counts.into_iter().map(|(state, count)| (state.as_str(), count)).collect();
    Ok(Body(SourceBody { documents: Some(documents), ..SourceBody::of(row)? }))
}

/// Change a source. Described as something else, it is read anew at its next sync.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/sources/{source}", tag = "sources", operation_id = "change_source",
    request_body = SourceChangeBody, responses((status = 200, body = SourceBody), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, source)): Place<(String, String)>,
    Body(body): Body<SourceChangeBody>,
) -> Result<Body<SourceBody>, Problem> {
    caller.trail.doing("source.change");
    let (scope, name) = administered(&app, &caller, &tenant, &source).await?;
    let change = SourceChange {
        spec: body.spec,
        prefix: body.prefix,
        credentials: body.credentials,
        schedule: body.schedule.map(|schedule| schedule.map(Schedule::from)),
        guards: body.guards.unwrap_or_default().into(),
        state: body.state.map(SourceState::from),
    };
    let draft = caller.trail.draft("source.change", StatusCode::OK);
    let written = app.ingest().change_source(&scope, &name, change, draft).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(Body(SourceBody::of(written.value)?))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Deleting {
    /// `keep` (the default) or `delete`: what becomes of the documents that it wrote.
    #[serde(default)]
    documents: DocumentsThen,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DocumentsThen {
    #[default]
    Keep,
    Delete,
}

/// Delete a source. Its documents stay, unless `?documents=delete` says that they go: then it is a job.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/sources/{source}", tag = "sources", operation_id = "delete_source",
    params(Deleting), responses((status = 204), (status = 202, body = JobBody), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, source)): Place<(String, String)>,
    Params(deleting): Params<Deleting>,
) -> Result<Answer, Problem> {
    caller.trail.doing("source.delete");
    let (scope, name) = administered(&app, &caller, &tenant, &source).await?;
    if deleting.documents == DocumentsThen::Delete {
        let answer = move |job: &Job| job_answer(&tenant, job);
        let deed = caller.deed("source.delete", StatusCode::ACCEPTED, answer.clone());
        let asked = app.ingest().request_source_removal(&scope, &name, deed).await?;
        let written = asked.ok_or_else(Problem::not_found)?;
        caller.trail.recorded(written.leaf);
        return Ok(answer(&written.value));
    }
    let deed = caller.deed("source.delete", StatusCode::NO_CONTENT, |_: &()| Answer::empty(StatusCode::NO_CONTENT));
    let written = app.ingest().delete_source(&scope, &name, deed).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Syncing {
    /// `changed` (the default), or `all`: every document is read, whatever the source says of it.
    #[serde(default)]
    read: Reading,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reading {
    #[default]
    Changed,
    All,
}

/// Sync a source: a job that brings the tenant up to what the source holds.
///
/// A key with the right `write` is enough, so that this is also what a webhook calls. A body is not read.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/sources/{source}/sync", tag = "sources", operation_id = "sync_source",
    params(Syncing), responses((status = 202, body = JobBody), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn sync(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, source)): Place<(String, String)>,
    Params(syncing): Params<Syncing>,
) -> Result<Answer, Problem> {
    caller.trail.doing("source.sync.request");
    let (scope, name) = (caller.enter(&app, &tenant, Right::Write).await?, named(&source)?);
    let answer = move |job: &Job| job_answer(&tenant, job);
    let deed = caller.deed("source.sync.request", StatusCode::ACCEPTED, answer.clone());
    let asked = app.ingest().request_sync(&scope, &name, syncing.read == Reading::All, deed).await?;
    let written = asked.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(answer(&written.value))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InState {
    /// `failed`, `quarantined`, `skipped` or `ok`.
    state: String,
    /// The `next` of the page before.
    #[serde(default)]
    after: Option<String>,
    /// Items of one page.
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemBody {
    /// Its id in the tenant.
    document: String,
    state: &'static str,
    /// Why it is not as it should be.
    reason: Option<String>,
}

impl From<SourceItem> for ItemBody {
    fn from(item: SourceItem) -> Self {
        Self { document: item.id.to_string(), state: item.state.as_str(), reason: item.reason }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemPage {
    data: Vec<ItemBody>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List a source's documents in one state, with the reason.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/sources/{source}/items", tag = "sources",
    operation_id = "list_source_items", params(InState),
    responses((status = 200, body = ItemPage), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn items(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, source)): Place<(String, String)>,
    Params(asked): Params<InState>,
) -> Result<Body<ItemPage>, Problem> {
    caller.trail.doing("source.items");
    let (scope, name) = administered(&app, &caller, &tenant, &source).await?;
    let state = ItemState::ALL.into_iter().find(|state| state.as_str() == asked.state).ok_or_else(|| {
        Problem::invalid("`state` is none of them; give failed, quarantined, skipped or ok.".to_owned())
    })?;
    app.catalog().source(&scope, &name).await?.ok_or_else(Problem::not_found)?;
    let limit = Paging { after: None, limit: asked.limit }.limit()?;
    let page = app.catalog().items_in(&scope, &name, state, asked.after.as_deref(), limit).await?;
    Ok(Body(ItemPage { data: page.items.into_iter().map(ItemBody::from).collect(), next: page.next }))
}

/// Enters for what an administrator of the tenant does to a source, or learns of what it holds.
pub(crate) async fn administered(
    app: &App,
    caller: &Caller,
    tenant: &str,
    source: &str,
) -> Result<(Scope, SourceName), Problem> {
    let scope = caller.administer(app, tenant).await?;
    Ok((scope, named(source)?))
}

fn named(source: &str) -> Result<SourceName, Problem> {
    SourceName::new(source).map_err(|_| Problem::not_found())
}
