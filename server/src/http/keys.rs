//! A tenant's keys, for its administrators and the operator.

use std::time::Duration;

use axum::extract::State;
use catena_access::{KeyText, Right, Rights};
use catena_catalog::{KeyRow, NewKey, Successor};
use catena_domain::{GroupName, KeyId, Label, Timestamp, UserName, limits};
use catena_runtime::random;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::{Caller, group_names};
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Paging, Params, Place, bounded};

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
    /// The label up to which the key is cleared, besides what its user and groups are cleared for.
    #[serde(default)]
    clearance: Option<String>,
    /// The first moment at which the key opens nothing any more, in RFC 3339. Without one, it does not end.
    #[serde(default)]
    expires_at: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// For how many seconds the old key opens on, at most 2592000, which is 30 days; with 0, it ends at once.
    overlap_s: u64,
    /// When the new key ends, in RFC 3339. Without one, it lives as long as the old one was made to.
    #[serde(default)]
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyShown {
    id: String,
    /// The key itself. It is shown this once and cannot be shown again.
    key: String,
    /// When it ends; absent when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// The key in whose place it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
}

impl KeyShown {
    fn of(text: &KeyText, row: KeyRow) -> Self {
        Self {
            id: text.id().to_string(),
            key: text.reveal().to_owned(),
            expires_at: row.expires_at.map(wire::time),
            replaces: row.replaces.as_ref().map(KeyId::to_string),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyBody {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    user: Option<String>,
    groups: Vec<String>,
    clearance: Option<String>,
    created_at: String,
    /// The first moment at which it opens nothing any more.
    expires_at: Option<String>,
    /// To the minute. The last minute before a service was killed is lost.
    last_used_at: Option<String>,
    /// The key in whose place it was made.
    replaces: Option<String>,
    /// The key that was made in its place.
    replaced_by: Option<String>,
}

impl From<KeyRow> for KeyBody {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.key.to_string(),
            name: row.name,
            scopes: row.rights.iter().map(Right::as_str).collect(),
            user: row.user.as_ref().map(UserName::to_string),
            groups: row.groups.iter().map(GroupName::to_string).collect(),
            clearance: row.clearance.as_ref().map(Label::to_string),
            created_at: wire::time(row.created_at),
            expires_at: row.expires_at.map(wire::time),
            last_used_at: row.last_used_at.map(wire::time),
            replaces: row.replaces.as_ref().map(KeyId::to_string),
            replaced_by: row.replaced_by.as_ref().map(KeyId::to_string),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    data: Vec<KeyBody>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
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
        clearance: body.clearance.as_deref().map(Label::new).transpose()?,
        expires_at: end(body.expires_at.as_deref())?,
    };
    let written = app.catalog().create_key(&scope, key, caller.trail.draft("key.create", StatusCode::CREATED)).await?;
    caller.trail.recorded(written.leaf);
    Ok((StatusCode::CREATED, Body(KeyShown::of(&text, written.value))))
}

fn end(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| wire::parse_time("expires_at", text)).transpose()
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

/// Replace a key: a new one that is and may the same, while the old one opens on for a time.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/keys/{key}/rotate", tag = "keys", operation_id = "rotate_key",
    request_body = RotateBody, responses((status = 201, body = KeyShown), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, key)): Place<(String, String)>,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Body<KeyShown>), Problem> {
    caller.trail.doing("key.rotate");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let old = KeyId::new(&key).map_err(|_| Problem::not_found())?;
    let most = limits::KEY_OVERLAP_S_MAX;
    if body.overlap_s > most {
        return Err(Problem::invalid(format!("`overlap_s` is {}; it must lie between 0 and {most}.", body.overlap_s)));
    }
    let text = KeyText::mint(&random::bytes()?);
    let new = Successor {
        key: text.id().clone(),
        hash: app.catalog().pepper().hash(text.reveal()),
        expires_at: end(body.expires_at.as_deref())?,
        overlap: Duration::from_secs(body.overlap_s),
    };
    let draft = caller.trail.draft("key.rotate", StatusCode::CREATED);
    let written = app.catalog().rotate_key(&scope, &old, new, draft).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok((StatusCode::CREATED, Body(KeyShown::of(&text, written.value))))
}

/// List the keys that were not revoked, the oldest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/keys", tag = "keys", operation_id = "list_keys", params(Paging),
    responses((status = 200, body = KeyList), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(paging): Params<Paging>,
) -> Result<Body<KeyList>, Problem> {
    caller.trail.doing("key.list");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let after = paging.after.as_deref().map(KeyId::new).transpose()?;
    let page = app.catalog().keys(&scope, after.as_ref(), paging.limit()?).await?;
    Ok(Body(KeyList { data: page.items.into_iter().map(KeyBody::from).collect(), next: page.next }))
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
