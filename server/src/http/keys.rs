//! A tenant's keys, for its administrators and the operator.

use axum::extract::State;
use catena_access::{KeyText, Right, Rights};
use catena_catalog::{KeyRow, NewKey};
use catena_domain::{GroupName, KeyId, UserName};
use catena_runtime::random;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::{Caller, group_names};
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Place, bounded};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKeyBody {
    /// What people call it.
    name: String,
    /// Any of `read`, `write`, `admin`, `impersonate`, `audit`.
    scopes: Vec<String>,
    /// The user that the key stands for.
    #[serde(default)]
    user: Option<String>,
    /// Groups that the key carries.
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyShown {
    id: String,
    /// The key itself. It is shown this once and cannot be shown again.
    key: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyBody {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    user: Option<String>,
    groups: Vec<String>,
    created_at: String,
}

impl From<KeyRow> for KeyBody {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.key.to_string(),
            name: row.name,
            scopes: row.rights.iter().map(Right::as_str).collect(),
            user: row.user.as_ref().map(UserName::to_string),
            groups: row.groups.iter().map(GroupName::to_string).collect(),
            created_at: wire::time(row.created_at),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    data: Vec<KeyBody>,
}

/// Make a key.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/keys", tag = "keys", operation_id = "create_key",
    request_body = NewKeyBody, responses((status = 201, body = KeyShown), (status = 404, body = Problem)))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Body(body): Body<NewKeyBody>,
) -> Result<(StatusCode, Body<KeyShown>), Problem> {
    caller.trail.doing("key.create");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    bounded("name", &body.name)?;
    let text = KeyText::mint(&random::bytes()?);
    let key = NewKey {
        key: text.id().clone(),
        hash: app.catalog().pepper().hash(text.reveal()),
        name: body.name,
        rights: rights(&body.scopes)?,
        user: body.user.as_deref().map(UserName::new).transpose()?,
        groups: group_names(&body.groups)?,
    };
    let written = app.catalog().create_key(&scope, key, caller.trail.draft("key.create", StatusCode::CREATED)).await?;
    caller.trail.recorded(written.leaf);
    Ok((StatusCode::CREATED, Body(KeyShown { id: text.id().to_string(), key: text.reveal().to_owned() })))
}

fn rights(names: &[String]) -> Result<Rights, Problem> {
    let rights: Rights = names
        .iter()
        .map(|name| name.parse::<Right>().map_err(|error| Problem::invalid(format!("{error}."))))
        .collect::<Result<_, _>>()?;
    if rights.has(Right::Operator) {
        return Err(Problem::invalid("A tenant's key cannot have the scope `operator`."));
    }
    if rights == Rights::default() {
        return Err(Problem::invalid("`scopes` is empty; a key needs at least one of read, write, admin, audit."));
    }
    Ok(rights)
}

/// List the keys that were not revoked.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/keys", tag = "keys", operation_id = "list_keys",
    responses((status = 200, body = KeyList), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<KeyList>, Problem> {
    caller.trail.doing("key.list");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let keys = app.catalog().keys(&scope).await?;
    Ok(Body(KeyList { data: keys.into_iter().map(KeyBody::from).collect() }))
}

/// Revoke a key. It opens nothing from the next request on.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/keys/{key}", tag = "keys", operation_id = "revoke_key",
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, key)): Place<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.trail.doing("key.revoke");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let key = KeyId::new(&key).map_err(|_| Problem::not_found())?;
    let draft = caller.trail.draft("key.revoke", StatusCode::NO_CONTENT);
    let written = app.catalog().revoke_key(&scope, &key, draft).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(StatusCode::NO_CONTENT)
}
