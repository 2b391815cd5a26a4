//! `catena tenant`: the operator's commands.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Ended;
use super::connection::{Asking, Connection};
use super::output::{moment, note, pairs, show, table};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant.
    Create(Create),
    /// List the tenants.
    List(List),
    /// Show one tenant.
    Show(Show),
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

#[derive(Deserialize)]
struct Tenant {
    id: String,
    name: String,
    created_at: String,
    seq: u64,
    documents: u64,
    generation: String,
}

impl Tenant {
    fn pairs(self) -> String {
        pairs([
            ("id", self.id),
            ("name", self.name),
            ("documents", self.documents.to_string()),
            ("seq", self.seq.to_string()),
            ("generation", self.generation),
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
        [tenant.id, tenant.name, documents, seq, moment(&tenant.created_at)]
    });
    if let Some(next) = page.next {
        note(&format!("there are more: --after {next}"));
    }
    table(["id", "name", "documents", "seq", "created"], rows)
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
    }
    Ok(Ended::Done)
}
