//! A tenant's directory: which users and groups are in which groups, and what that clears for. A change holds from the
//! next query on.

use axum::extract::State;
use catena_access::{Right, Scope};
use catena_catalog::{Group, Member};
use catena_domain::{GroupName, Label, NameError, limits};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::wire::{Body, Place};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Members {
    /// All members, each `NAME` of a user or `group:NAME`; who is not named is not one.
    members: Vec<String>,
    /// The label up to which the members are cleared by this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clearance: Option<String>,
}

impl Members {
    fn parse(&self) -> Result<Group, NameError> {
        let members = self.members.iter().map(|name| name.parse::<Member>()).collect::<Result<_, _>>()?;
        Ok(Group { members, clearance: self.clearance.as_deref().map(Label::new).transpose()? })
    }

    fn of(group: &Group) -> Self {
        Self {
            members: group.members.iter().map(Member::to_string).collect(),
            clearance: group.clearance.as_ref().map(Label::to_string),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupRow {
    name: String,
    /// How many users and groups are named as its members.
    members: u64,
    /// The label up to which the members are cleared by this group.
    clearance: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupList {
    data: Vec<GroupRow>,
}

/// List the groups.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/groups", tag = "groups", operation_id = "list_groups",
    responses((status = 200, body = GroupList), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<GroupList>, Problem> {
    caller.trail.doing("group.list");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let groups = app.catalog().groups(&scope).await?;
    let row = |group: catena_catalog::GroupRow| GroupRow {
        name: group.name.to_string(),
        members: group.members,
        clearance: group.clearance.as_ref().map(Label::to_string),
    };
    Ok(Body(GroupList { data: groups.into_iter().map(row).collect() }))
}

/// Set a group's members and its clearance.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/groups/{group}", tag = "groups", operation_id = "put_group",
    request_body = Members,
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, group)): Place<(String, String)>,
    Body(body): Body<Members>,
) -> Result<Answer, Problem> {
    caller.trail.doing("group.put");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let group = GroupName::new(&group)?;
    if body.members.len() > limits::GROUP_MEMBERS_MAX {
        let most = limits::GROUP_MEMBERS_MAX;
        return Err(Problem::invalid(format!("{} members were given; the limit is {most}.", body.members.len())));
    }
    let deed = caller.deed("group.put", StatusCode::NO_CONTENT, done);
    let written = app.catalog().put_group(&scope, &group, body.parse()?, deed).await?;
    caller.trail.recorded(written.leaf);
    Ok(done(&written.value))
}

/// Read a group's members and its clearance.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/groups/{group}", tag = "groups", operation_id = "get_group",
    responses((status = 200, body = Members), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, group)): Place<(String, String)>,
) -> Result<Body<Members>, Problem> {
    caller.trail.doing("group.read");
    let (scope, group) = entered(&app, &caller, &tenant, &group).await?;
    let group = app.catalog().group(&scope, &group).await?.ok_or_else(Problem::not_found)?;
    Ok(Body(Members::of(&group)))
}

/// Delete a group. Access lists that name it admit nobody by it any more.
///
/// Refused while the deny list of a document names it, because whom it denies would see the document then, and while
/// it is a member of another group.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/groups/{group}", tag = "groups", operation_id = "delete_group",
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, group)): Place<(String, String)>,
) -> Result<Answer, Problem> {
    caller.trail.doing("group.delete");
    let (scope, group) = entered(&app, &caller, &tenant, &group).await?;
    let deed = caller.deed("group.delete", StatusCode::NO_CONTENT, done);
    let written = app.catalog().delete_group(&scope, &group, deed).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(done(&written.value))
}

fn done(_: &()) -> Answer {
    Answer::empty(StatusCode::NO_CONTENT)
}

async fn entered(app: &App, caller: &Caller, tenant: &str, group: &str) -> Result<(Scope, GroupName), Problem> {
    let scope = caller.enter(app, tenant, Right::Admin).await?;
    let group = GroupName::new(group).map_err(|_| Problem::not_found())?;
    Ok((scope, group))
}
