//! `catena tenant`: the operator's commands.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ended;
use super::connection::{Asking, Connection};
use super::output::{moment, note, or_dash, pairs, show, table};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant.
    Create(Create),
    /// List the tenants.
    List(List),
    /// Show one tenant.
    Show(Show),
    /// Change a tenant's name, its quotas, what its scores are counted over and how its documents are cut.
    Set(Set),
    /// Turn a tenant's keys away from the next request on. Nothing is lost.
    Suspend(Show),
    /// Let a suspended tenant's keys in again.
    Resume(Show),
    /// Delete a tenant for good: all that it holds, but for its record. Its id is never given again.
    Delete(Delete),
    /// Show what a tenant holds, what it used, and its quotas. An administrator's key will do.
    Usage(Show),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its id: a-z, 0-9 and -.
    id: String,
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Tenants after this one.
    #[arg(long)]
    after: Option<String>,
    /// Tenants of one page.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id.
    id: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Its id.
    id: String,
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    /// A quota and its limit, or `none` to lift it: documents=1000. May be repeated. The others are text_bytes, chunks,
    /// embedding_tokens_per_day, writes_per_minute, queries_per_minute and concurrency.
    #[arg(long = "quota", value_name = "NAME=LIMIT", value_parser = parse_quota, value_delimiter = ',')]
    quotas: Vec<(String, Option<u64>)>,
    /// What scores are counted over: live (all current documents) or visible (those that whoever asks may see).
    #[arg(long)]
    statistics: Option<String>,
    /// How documents are cut, as JSON: {"target_tokens": 160, "sources": {"code": {"keep_code": false}}}. {} leaves it to
    /// the model. The index is built anew in the background.
    #[arg(long, value_name = "JSON", value_parser = parse_chunking)]
    chunking: Option<Value>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Its id.
    id: String,
    /// That you mean it.
    #[arg(long)]
    yes: bool,
    /// Wait until everything is removed.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    asking: Asking,
}

fn parse_chunking(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))?;
    if value.is_object() { Ok(value) } else { Err("this is no JSON object, as in {\"target_tokens\": 160}".to_owned()) }
}

fn parse_quota(text: &str) -> Result<(String, Option<u64>), String> {
    let wrong = || format!("{text:?} is not a quota with its limit, as in documents=1000 or documents=none");
    let (name, limit) = text.split_once('=').ok_or_else(wrong)?;
    let limit = match limit {
        "none" => None,
        limit => Some(limit.parse().map_err(|_| wrong())?),
    };
    Ok((name.to_owned(), limit))
}

#[derive(Deserialize)]
struct Tenant {
    id: String,
    name: String,
    created_at: String,
    state: String,
    seq: u64,
    documents: u64,
    text_bytes: u64,
    chunks: u64,
    quotas: BTreeMap<String, u64>,
    statistics: String,
    #[serde(default)]
    chunking: Value,
    generation: Option<String>,
}

fn listed_quotas(quotas: &BTreeMap<String, u64>) -> String {
    let all: Vec<String> = quotas.iter().map(|(quota, limit)| format!("{quota}={limit}")).collect();
    or_dash(Some(all.join(", ")))
}

impl Tenant {
    fn pairs(self) -> String {
        pairs([
            ("id", self.id),
            ("name", self.name),
            ("state", self.state),
            ("documents", self.documents.to_string()),
            ("text bytes", self.text_bytes.to_string()),
            ("chunks", self.chunks.to_string()),
            ("quotas", listed_quotas(&self.quotas)),
            ("statistics", self.statistics),
            ("chunking", if self.chunking == json!({}) { or_dash(None) } else { self.chunking.to_string() }),
            ("seq", self.seq.to_string()),
            ("generation", or_dash(self.generation)),
            ("created", moment(&self.created_at)),
        ])
    }
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Tenant>,
    next: Option<String>,
}

fn listed(page: Page) -> String {
    let rows = page.data.into_iter().map(|tenant| {
        let (seq, documents) = (tenant.seq.to_string(), tenant.documents.to_string());
        [tenant.id, tenant.name, tenant.state, documents, seq, moment(&tenant.created_at)]
    });
    if let Some(next) = page.next {
        note(&format!("there are more: --after {next}"));
    }
    table(["id", "name", "state", "documents", "seq", "created"], rows)
}

#[derive(Deserialize)]
struct Usage {
    held: BTreeMap<String, u64>,
    today: BTreeMap<String, u64>,
    last_30_days: BTreeMap<String, u64>,
    quotas: BTreeMap<String, u64>,
}

impl Usage {
    fn table(self) -> String {
        let Self { held, today, last_30_days, quotas } = self;
        let number = |of: &BTreeMap<String, u64>, name: &str| or_dash(of.get(name).map(u64::to_string));
        let row = |name: &str, of: &BTreeMap<String, u64>, quota: &str| {
            [name.to_owned(), number(of, name), number(&last_30_days, name), number(&quotas, quota)]
        };
        let held_rows = held.keys().map(|name| row(name, &held, name));
        let used_rows = today.keys().map(|name| {
            let quota = match name.as_str() {
                "embedding_tokens" => "embedding_tokens_per_day",
                _ => "",
            };
            row(name, &today, quota)
        });
        let rates = ["writes_per_minute", "queries_per_minute", "concurrency"];
        let rate_rows = rates.into_iter().map(|name| row(name, &BTreeMap::new(), name));
        table(["", "now or today", "30 days", "quota"], held_rows.chain(used_rows).chain(rate_rows).collect::<Vec<_>>())
    }
}

/// Changes a tenant and shows what it is then.
async fn change(id: &str, asking: &Asking, body: &Value) -> anyhow::Result<()> {
    let server = Connection::open(&asking.server)?;
    let answer = server.send(server.tenant(Method::PATCH, id, &[]).json(body)).await?;
    show(asking.output(), &answer, Tenant::pairs)
}

async fn delete(Delete { id, yes, wait, asking }: Delete) -> anyhow::Result<()> {
    if !yes {
        bail!("this removes all that {id} holds, for good; say --yes if that is meant");
    }
    let server = Connection::open(&asking.server)?;
    let request = server.tenant(Method::DELETE, &id, &[]);
    let request = if wait { request.query(&[("wait", "done")]) } else { request };
    show(asking.output(), &server.send(request).await?, Tenant::pairs)
}

pub(crate) async fn run(command: TenantCommand) -> anyhow::Result<Ended> {
    match command {
        TenantCommand::Create(Create { id, name, asking }) => {
            let server = Connection::open(&asking.server)?;
            let mut body = json!({"id": id});
            if let Some(name) = name {
                body["name"] = name.into();
            }
            let answer = server.send(server.request(Method::POST, &["v1", "tenants"]).json(&body)).await?;
            show(asking.output(), &answer, Tenant::pairs)?;
        }
        TenantCommand::List(List { after, limit, asking }) => {
            let server = Connection::open(&asking.server)?;
            let request = server.request(Method::GET, &["v1", "tenants"]).query(&[("limit", limit)]);
            let request = request.query(&after.map(|after| [("after", after)]));
            show(asking.output(), &server.send(request).await?, listed)?;
        }
        TenantCommand::Show(Show { id, asking }) => {
            let server = Connection::open(&asking.server)?;
            let answer = server.send(server.tenant(Method::GET, &id, &[])).await?;
            show(asking.output(), &answer, Tenant::pairs)?;
        }
        TenantCommand::Set(Set { id, name, quotas, statistics, chunking, asking }) => {
            let quotas: BTreeMap<String, Option<u64>> = quotas.into_iter().collect();
            let mut body = json!({"name": name, "quotas": quotas, "statistics": statistics});
            if let Some(chunking) = chunking {
                body["chunking"] = chunking;
            }
            change(&id, &asking, &body).await?;
        }
        TenantCommand::Suspend(Show { id, asking }) => change(&id, &asking, &json!({"state": "suspended"})).await?,
        TenantCommand::Resume(Show { id, asking }) => change(&id, &asking, &json!({"state": "active"})).await?,
        TenantCommand::Delete(command) => delete(command).await?,
        TenantCommand::Usage(Show { id, asking }) => {
            let server = Connection::open(&asking.server)?;
            let answer = server.send(server.tenant(Method::GET, &id, &["usage"])).await?;
            show(asking.output(), &answer, Usage::table)?;
        }
    }
    Ok(Ended::Done)
}
