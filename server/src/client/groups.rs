//! `catena group`: who is in which group.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Ended;
use super::connection::AtTenant;
use super::output::{note, or_dash, show, table};

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Set a group's members and its clearance. Who is not named is no member any more.
    Set(Set),
    /// List the groups.
    List(List),
    /// Show a group's members.
    Show(Named),
    /// Delete a group. Access lists that name it admit nobody by it any more.
    Delete(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The group.
    group: String,
    /// All its members: names of users, and group:NAME.
    #[arg(required = true)]
    members: Vec<String>,
    /// The label up to which its members are cleared. Without it, they are not by this group.
    #[arg(long)]
    clearance: Option<String>,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The group.
    group: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    members: u64,
    clearance: Option<String>,
}

#[derive(Deserialize)]
struct Groups {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Members {
    members: Vec<String>,
    clearance: Option<String>,
}

pub(crate) async fn run(command: GroupCommand) -> anyhow::Result<Ended> {
    match command {
        GroupCommand::Set(Set { group, members, clearance, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::PUT, &at.tenant, &["groups", &group]);
            server.send(request.json(&json!({"members": members, "clearance": clearance}))).await?;
            note(&format!("group {group} has {} members", members.len()));
        }
        GroupCommand::List(List { at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["groups"])).await?;
            show(at.output(), &answer, |groups: Groups| {
                let rows = groups.data.into_iter().map(|it| [it.name, it.members.to_string(), or_dash(it.clearance)]);
                table(["name", "members", "clearance"], rows)
            })?;
        }
        GroupCommand::Show(Named { group, at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["groups", &group])).await?;
            show(at.output(), &answer, |group: Members| {
                if let Some(clearance) = group.clearance {
                    note(&format!("its members are cleared up to {clearance}"));
                }
                table(["member"], group.members.into_iter().map(|member| [member]))
            })?;
        }
        GroupCommand::Delete(Named { group, at }) => {
            let server = at.connect()?;
            server.send(server.tenant(Method::DELETE, &at.tenant, &["groups", &group])).await?;
            note(&format!("group {group} is deleted"));
        }
    }
    Ok(Ended::Done)
}
