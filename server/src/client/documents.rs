//! `catena document`: single documents.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::json;

use super::Ended;
use super::connection::AtTenant;
use super::output::{Output, clean, moment, note, or_dash, pairs, print, show, table};
use crate::http::acl::{AclBody, EntryBody};

/// What can be done with documents.
#[derive(Debug, Subcommand)]
pub(crate) enum DocumentCommand {
    /// Print a document's text, and on standard error what is known of it.
    Get(Get),
    /// List the documents that one may see, or with --deleted those that are deleted.
    List(List),
    /// Delete a document. No search finds it from the next one on.
    Delete(Alone),
    /// Replace a document's access list. The next search obeys it.
    Acl(SetAcl),
    /// List a document's versions.
    #[command(alias = "versions")]
    History(Named),
    /// Make an earlier version the current one again; a deleted document comes back by it.
    Restore(Restore),
    /// Remove a deleted document for good: all its versions, texts and vectors.
    Purge(Purge),
}

/// Whom a request speaks for.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AsWhom {
    /// Ask as this user. Needs the scope impersonate.
    #[arg(long)]
    as_user: Option<String>,
    /// Ask as a member of this group, besides those that the tenant's directory knows. May be repeated.
    #[arg(long = "as-group", value_delimiter = ',')]
    as_groups: Vec<String>,
}

impl AsWhom {
    /// For requests with a body.
    pub(crate) fn body(&self) -> Option<serde_json::Value> {
        if self.as_user.is_none() && self.as_groups.is_empty() {
            return None;
        }
        Some(json!({"user": self.as_user, "groups": self.as_groups}))
    }

    /// For requests without one.
    fn query(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.query(&self.as_user.as_ref().map(|user| [("as_user", user)]));
        if self.as_groups.is_empty() { request } else { request.query(&[("as_groups", self.as_groups.join(","))]) }
    }

    /// For requests whose body is not ours, as in MCP.
    pub(crate) fn headers(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match &self.as_user {
            Some(user) => request.header("catena-as-user", user),
            None => request,
        };
        if self.as_groups.is_empty() { request } else { request.header("catena-as-groups", self.as_groups.join(",")) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The document's id.
    id: String,
    #[command(flatten)]
    whom: AsWhom,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// This version instead of the current one. Needs the scope admin.
    #[arg(long, conflicts_with_all = ["as_user", "as_groups"])]
    version: Option<u32>,
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The document's id.
    id: String,
    /// The version, as `catena document history` lists it.
    #[arg(long)]
    version: u32,
    /// Who may see it then: everyone, user:NAME, group:NAME. Without any, whoever may now; a deleted document needs one.
    #[arg(long, value_delimiter = ',')]
    allow: Vec<String>,
    /// Who may not, whatever else admits them. May be repeated.
    #[arg(long, value_delimiter = ',')]
    deny: Vec<String>,
    /// Nobody but the tenant's administrators.
    #[arg(long, conflicts_with_all = ["allow", "deny"])]
    nobody: bool,
    #[command(flatten)]
    at: AtTenant,
}

impl Restore {
    fn body(&self) -> serde_json::Value {
        if self.allow.is_empty() && self.deny.is_empty() && !self.nobody {
            return json!({});
        }
        json!({"acl": {"allow": self.allow, "deny": self.deny}})
    }
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// The document's id.
    id: String,
    /// Do not wait until nothing is left.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Alone {
    /// The document's id.
    id: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Documents after this one.
    #[arg(long)]
    after: Option<String>,
    /// Documents of one page.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Those that are deleted and not purged yet. Needs the scope admin.
    #[arg(long, conflicts_with_all = ["as_user", "as_groups"])]
    deleted: bool,
    #[command(flatten)]
    whom: AsWhom,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("list").required(true).multiple(true).args(["allow", "deny", "nobody"]))]
pub(crate) struct SetAcl {
    /// The document's id.
    id: String,
    /// Who may see it: everyone, user:NAME, group:NAME. May be repeated.
    #[arg(long, value_delimiter = ',')]
    allow: Vec<String>,
    /// Who may not, whatever else admits them. May be repeated.
    #[arg(long, value_delimiter = ',')]
    deny: Vec<String>,
    /// Nobody but the tenant's administrators.
    #[arg(long, conflicts_with_all = ["allow", "deny"])]
    nobody: bool,
    /// A clearance label of the tenant. Without it, the document has none.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Deserialize)]
struct Document {
    document: String,
    title: String,
    uri: Option<String>,
    version: u32,
    versions: u32,
    attributes: BTreeMap<String, serde_json::Value>,
    source: Option<String>,
    /// Shown to keys that write or administer, as themselves.
    #[serde(default)]
    acl: Option<AclBody>,
    modified_at: Option<String>,
    indexed_at: String,
    text: String,
    text_sha256: String,
}

impl Document {
    fn facts(&self) -> String {
        let stated = |(name, value): (&String, &serde_json::Value)| match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={value}"),
        };
        let attributes: Vec<String> = self.attributes.iter().map(stated).collect();
        let side = |side: fn(&AclBody) -> &[EntryBody]| {
            let entries = self.acl.iter().flat_map(|acl| side(acl).iter().map(ToString::to_string));
            or_dash(Some(entries.collect::<Vec<_>>().join(", ")))
        };
        pairs([
            ("document", self.document.clone()),
            ("title", self.title.clone()),
            ("uri", or_dash(self.uri.clone())),
            ("version", format!("{} of {}", self.version, self.versions)),
            ("attributes", or_dash(Some(attributes.join(", ")))),
            ("source", or_dash(self.source.clone())),
            ("allow", side(|acl| &acl.allow)),
            ("deny", side(|acl| &acl.deny)),
            ("label", or_dash(self.acl.as_ref().and_then(|acl| acl.label.clone()))),
            ("modified", or_dash(self.modified_at.as_deref().map(moment))),
            ("indexed", moment(&self.indexed_at)),
            ("text sha256", self.text_sha256.clone()),
        ])
    }
}

#[derive(Deserialize)]
struct Item {
    document: String,
    title: String,
    version: u32,
    source: Option<String>,
    indexed_at: String,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Item>,
    next: Option<String>,
}

fn listed(page: Page) -> String {
    let rows = page.data.into_iter().map(|item| {
        [item.document, item.title, item.version.to_string(), or_dash(item.source), moment(&item.indexed_at)]
    });
    if let Some(next) = page.next {
        note(&format!("there are more: --after {}", clean(&next)));
    }
    table(["document", "title", "version", "source", "indexed"], rows)
}

#[derive(Deserialize)]
struct Version {
    version: u32,
    created_at: String,
    bytes: u64,
    chunks: u32,
    text_sha256: String,
}

#[derive(Deserialize)]
struct Versions {
    data: Vec<Version>,
}

fn versions(versions: Versions) -> String {
    let rows = versions.data.into_iter().map(|row| {
        let (bytes, chunks) = (row.bytes.to_string(), row.chunks.to_string());
        [row.version.to_string(), moment(&row.created_at), bytes, chunks, row.text_sha256]
    });
    table(["version", "created", "bytes", "chunks", "text sha256"], rows)
}

#[derive(Deserialize)]
struct Seq {
    seq: u64,
}

#[derive(Deserialize)]
struct Restored {
    version: u32,
    change: String,
    seq: u64,
}

fn restored(answer: Restored) -> String {
    match answer.change.as_str() {
        "none" => "that is the current version already; nothing changed".to_owned(),
        _ => format!("done, as version {} and write {} of the tenant", answer.version, answer.seq),
    }
}

#[derive(Deserialize)]
struct Purged {
    seq: u64,
    done: bool,
}

fn purged(answer: Purged) -> String {
    match answer.done {
        true => format!("done, as write {} of the tenant; nothing is left of it", answer.seq),
        false => format!("begun, as write {} of the tenant; what is left goes soon", answer.seq),
    }
}

#[derive(Deserialize)]
struct Earlier {
    document: String,
    version: u32,
    title: String,
    created_at: String,
    text: String,
    text_sha256: String,
}

impl Earlier {
    fn facts(&self) -> String {
        pairs([
            ("document", self.document.clone()),
            ("title", self.title.clone()),
            ("version", self.version.to_string()),
            ("created", moment(&self.created_at)),
            ("text sha256", self.text_sha256.clone()),
        ])
    }
}

fn written(seq: Seq) -> String {
    format!("done, as write {} of the tenant", seq.seq)
}

pub(crate) async fn run(command: DocumentCommand) -> anyhow::Result<Ended> {
    match command {
        DocumentCommand::Get(Get { version: Some(version), named: Named { id, at, .. } }) => {
            let server = at.connect()?;
            let place = ["documents", &id, "versions", &version.to_string()];
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &place)).await?;
            if at.output() == Output::Json {
                print(&answer.body)?;
            } else {
                let earlier: Earlier = answer.read()?;
                note(&earlier.facts());
                print(clean(&earlier.text).as_bytes())?;
            }
        }
        DocumentCommand::Get(Get { version: None, named: Named { id, whom, at } }) => {
            let server = at.connect()?;
            let request = whom.query(server.tenant(Method::GET, &at.tenant, &["documents", &id]));
            let answer = server.send(request).await?;
            if at.output() == Output::Json {
                print(&answer.body)?;
            } else {
                let document: Document = answer.read()?;
                note(&document.facts());
                print(clean(&document.text).as_bytes())?;
            }
        }
        DocumentCommand::List(List { after, limit, deleted, whom, at }) => {
            let server = at.connect()?;
            let request = server
                .tenant(Method::GET, &at.tenant, &["documents"])
                .query(&[("limit", limit)])
                .query(&deleted.then_some([("state", "deleted")]));
            let request = whom.query(request.query(&after.map(|after| [("after", after)])));
            show(at.output(), &server.send(request).await?, listed)?;
        }
        DocumentCommand::Delete(Alone { id, at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::DELETE, &at.tenant, &["documents", &id])).await?;
            show(at.output(), &answer, written)?;
        }
        DocumentCommand::Acl(SetAcl { id, allow, deny, nobody: _, label, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::PUT, &at.tenant, &["documents", &id, "acl"]);
            let entries = |side: Vec<String>| side.into_iter().map(EntryBody::from).collect();
            let body = AclBody { allow: entries(allow), deny: entries(deny), label, unknown: None };
            let answer = server.send(request.json(&body)).await?;
            show(at.output(), &answer, written)?;
        }
        DocumentCommand::History(Named { id, whom, at }) => {
            let server = at.connect()?;
            let request = whom.query(server.tenant(Method::GET, &at.tenant, &["documents", &id, "versions"]));
            show(at.output(), &server.send(request).await?, versions)?;
        }
        DocumentCommand::Restore(restore) => {
            let (server, at) = (restore.at.connect()?, &restore.at);
            let place = ["documents", &restore.id, "versions", &restore.version.to_string(), "restore"];
            let request = server.tenant(Method::POST, &at.tenant, &place).query(&[("wait", "searchable")]);
            show(at.output(), &server.send(request.json(&restore.body())).await?, restored)?;
        }
        DocumentCommand::Purge(Purge { id, no_wait, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::POST, &at.tenant, &["documents", &id, "purge"]);
            let request = request.query(&(!no_wait).then_some([("wait", "done")]));
            show(at.output(), &server.send(request).await?, purged)?;
        }
    }
    Ok(Ended::Done)
}
