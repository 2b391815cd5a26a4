//! `catena key`: a tenant's keys.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Ended;
use super::connection::{Answer, AtTenant};
use super::output::{Output, moment, note, or_dash, print, show, table};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it. It cannot be printed again.
    Create(Create),
    /// Make a key in the place of another one and print it. The other one opens on for the overlap.
    Rotate(Rotate),
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
    /// The label up to which it is cleared, besides what its user and groups are cleared for.
    #[arg(long)]
    clearance: Option<String>,
    /// When it ends, as in 2027-01-01T00:00:00Z. Without it, it does not.
    #[arg(long)]
    expires_at: Option<String>,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The old key's id, as the list shows it.
    id: String,
    /// For how many seconds the old key opens on; with 0, it ends at once.
    #[arg(long)]
    overlap_s: u64,
    /// When the new key ends. Without it, it lives as long as the old one was made to.
    #[arg(long)]
    expires_at: Option<String>,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Keys after this one.
    #[arg(long)]
    after: Option<String>,
    /// Keys of one page.
    #[arg(long, default_value_t = 100)]
    limit: usize,
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
    clearance: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    replaced_by: Option<String>,
}

#[derive(Deserialize)]
struct Keys {
    data: Vec<Key>,
    next: Option<String>,
}

fn listed(keys: Keys) -> String {
    let time = |time: Option<String>| or_dash(time.as_deref().map(moment));
    let rows = keys.data.into_iter().map(|key| {
        let (scopes, groups) = (key.scopes.join(","), or_dash(Some(key.groups.join(","))));
        let (user, clearance) = (or_dash(key.user), or_dash(key.clearance));
        let [created, ends, used] = [moment(&key.created_at), time(key.expires_at), time(key.last_used_at)];
        [key.id, key.name, scopes, user, groups, clearance, created, ends, used, or_dash(key.replaced_by)]
    });
    if let Some(next) = keys.next {
        note(&format!("there are more: --after {next}"));
    }
    let header =
        ["id", "name", "scopes", "user", "groups", "clearance", "created", "expires", "last used", "replaced by"];
    table(header, rows)
}

fn shown_once(at: &AtTenant, answer: &Answer) -> anyhow::Result<()> {
    if at.output() == Output::Json {
        print(&answer.body)?;
    } else {
        let made: Made = answer.read()?;
        note(&format!("key {} was made; it is shown this once:", made.id));
        print(made.key.as_bytes())?;
    }
    Ok(())
}

pub(crate) async fn run(command: KeyCommand) -> anyhow::Result<Ended> {
    match command {
        KeyCommand::Create(Create { name, scopes, user, groups, clearance, expires_at, at }) => {
            let server = at.connect()?;
            let body = json!({"name": name, "scopes": scopes, "user": user, "groups": groups, "clearance": clearance,
                "expires_at": expires_at});
            let answer = server.send(server.tenant(Method::POST, &at.tenant, &["keys"]).json(&body)).await?;
            shown_once(&at, &answer)?;
        }
        KeyCommand::Rotate(Rotate { id, overlap_s, expires_at, at }) => {
            let server = at.connect()?;
            let body = json!({"overlap_s": overlap_s, "expires_at": expires_at});
            let request = server.tenant(Method::POST, &at.tenant, &["keys", &id, "rotate"]);
            shown_once(&at, &server.send(request.json(&body)).await?)?;
        }
        KeyCommand::List(List { after, limit, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::GET, &at.tenant, &["keys"]).query(&[("limit", limit)]);
            let request = request.query(&after.map(|after| [("after", after)]));
            show(at.output(), &server.send(request).await?, listed)?;
        }
        KeyCommand::Revoke(Revoke { id, at }) => {
            let server = at.connect()?;
            server.send(server.tenant(Method::DELETE, &at.tenant, &["keys", &id])).await?;
            note(&format!("key {id} is revoked"));
        }
    }
    Ok(Ended::Done)
}
