//! `catena quarantine`: documents that nobody may see yet.

use clap::Args;
use reqwest::Method;
use serde::Deserialize;

use super::Ended;
use super::connection::AtTenant;
use super::output::{clean, note, or_dash, show, table};

#[derive(Debug, Args)]
pub(crate) struct QuarantineArguments {
    /// Documents after this one.
    #[arg(long)]
    after: Option<String>,
    /// Documents of one page.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Deserialize)]
struct Item {
    document: String,
    source: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Item>,
    next: Option<String>,
}

fn listed(page: Page) -> String {
    let rows = page.data.into_iter().map(|item| [item.document, or_dash(item.source), item.reason]);
    if let Some(next) = page.next {
        note(&format!("there are more: --after {}", clean(&next)));
    }
    table(["document", "source", "reason"], rows)
}

pub(crate) async fn run(arguments: QuarantineArguments) -> anyhow::Result<Ended> {
    let QuarantineArguments { after, limit, at } = arguments;
    let server = at.connect()?;
    let request = server.tenant(Method::GET, &at.tenant, &["quarantine"]).query(&[("limit", limit)]);
    let request = request.query(&after.map(|after| [("after", after)]));
    show(at.output(), &server.send(request).await?, listed)?;
    Ok(Ended::Done)
}
