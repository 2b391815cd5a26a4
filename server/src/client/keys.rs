//! `catena key`: a tenant's keys.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Ended;
use super::connection::AtTenant;
use super::output::{Output, moment, note, or_dash, print, show, table};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it. It cannot be printed again.
    Create(Create),
    /// List the keys that were not revoked.
    List(List),
    /// Revoke a key. It opens nothing from the next request on.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it.
    name: String,
    /// What it may be used for: read, write, admin, impersonate, audit.
    #[arg(long = "scope", required = true, value_delimiter = ',')]
    scopes: Vec<String>,
    /// The user that it stands for.
    #[arg(long)]
    user: Option<String>,
    /// A group that it carries. May be repeated.
    #[arg(long = "group", value_delimiter = ',')]
    groups: Vec<String>,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The key's id, as the list shows it.
    id: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    key: String,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    name: String,
    scopes: Vec<String>,
    user: Option<String>,
    groups: Vec<String>,
    created_at: String,
}

#[derive(Deserialize)]
struct Keys {
    data: Vec<Key>,
}

fn listed(keys: Keys) -> String {
    let rows = keys.data.into_iter().map(|key| {
        let (scopes, groups) = (key.scopes.join(","), or_dash(Some(key.groups.join(","))));
        [key.id, key.name, scopes, or_dash(key.user), groups, moment(&key.created_at)]
    });
    table(["id", "name", "scopes", "user", "groups", "created"], rows)
}

pub(crate) async fn run(command: KeyCommand) -> anyhow::Result<Ended> {
    match command {
        KeyCommand::Create(Create { name, scopes, user, groups, at }) => {
            let server = at.connect()?;
            let body = json!({"name": name, "scopes": scopes, "user": user, "groups": groups});
            let answer = server.send(server.tenant(Method::POST, &at.tenant, &["keys"]).json(&body)).await?;
            if at.output() == Output::Json {
                print(&answer.body)?;
            } else {
                let made: Made = answer.read()?;
                note(&format!("key {} was made; it is shown this once:", made.id));
                print(made.key.as_bytes())?;
            }
        }
        KeyCommand::List(List { at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["keys"])).await?;
            show(at.output(), &answer, listed)?;
        }
        KeyCommand::Revoke(Revoke { id, at }) => {
            let server = at.connect()?;
            server.send(server.tenant(Method::DELETE, &at.tenant, &["keys", &id])).await?;
            note(&format!("key {id} is revoked"));
        }
    }
    Ok(Ended::Done)
}
