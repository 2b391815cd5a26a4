//! `catena label`: a tenant's clearance labels.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Ended;
use super::connection::AtTenant;
use super::output::{note, show, table};

/// What can be done with labels.
#[derive(Debug, Subcommand)]
pub(crate) enum LabelCommand {
    /// Set the tenant's labels. What is not named is no label any more, and whatever carries it is hidden from everybody.
    Set(Set),
    /// List the tenant's labels, the lowest first.
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// All labels, the lowest first.
    #[arg(required_unless_present = "none")]
    labels: Vec<String>,
    /// The tenant has no labels.
    #[arg(long, conflicts_with = "labels")]
    none: bool,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Deserialize)]
struct Labels {
    labels: Vec<String>,
}

pub(crate) async fn run(command: LabelCommand) -> anyhow::Result<Ended> {
    match command {
        LabelCommand::Set(Set { labels, none: _, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::PUT, &at.tenant, &["labels"]);
            server.send(request.json(&json!({"labels": labels}))).await?;
            note(&format!("the tenant has {} labels", labels.len()));
        }
        LabelCommand::List(List { at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["labels"])).await?;
            show(at.output(), &answer, |labels: Labels| {
                table(["label, lowest first"], labels.labels.into_iter().map(|label| [label]))
            })?;
        }
    }
    Ok(Ended::Done)
}
