//! `catena source`: places where a tenant's documents live.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use catena_runtime::environment;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::connection::{Answer, AtTenant};
use super::jobs::follow;
use super::output::{moment, note, or_dash, pairs, show, table};
use super::{Ended, plans};

/// What can be done with sources.
#[derive(Debug, Subcommand)]
pub(crate) enum SourceCommand {
    /// Make a source.
    Add(Add),
    /// List the tenant's sources.
    List(List),
    /// Show a source, and what its last sync came to.
    Show(Named),
    /// Change a source. What is not named stays.
    Set(Set),
    /// Remove a source. Its documents stay, unless told otherwise.
    Remove(Remove),
    /// Show what a sync would do, without doing it.
    Plan(Named),
    /// Bring the tenant up to what the source holds.
    Sync(Sync),
    /// List a source's documents that are not as they should be, with the reason.
    Items(Items),
}

/// How a source is described.
#[derive(Debug, Args)]
pub(crate) struct Description {
    /// What it is and where, as JSON: a file, or the text itself: '{"kind": "folder", "path": "/srv/handbook"}'.
    #[arg(long, value_name = "JSON|FILE")]
    spec: Option<String>,
    /// What stands before the ids of its documents. Without it, the source's name and a slash.
    #[arg(long)]
    prefix: Option<String>,
    /// A secret that opens it: its name, and the variable that holds it. Can be given several times.
    #[arg(long, value_name = "NAME=VARIABLE")]
    credential: Vec<String>,
    /// Look at it so long after the last time: 15m, 6h, 1d.
    #[arg(long, conflicts_with = "cron")]
    every: Option<String>,
    /// Look at it at the times of a cron expression of five fields, in UTC.
    #[arg(long)]
    cron: Option<String>,
    /// The greatest share of its documents that one sync deletes without approval, from 0 to 1.
    #[arg(long)]
    deletes_max_share: Option<f64>,
    /// The most readers that a document gains without approval.
    #[arg(long)]
    widening_max_readers: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The source's name: lower-case letters, digits and -.
    name: String,
    #[command(flatten)]
    description: Description,
    /// Sync it at once, and show how far that is.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The source.
    name: String,
    #[command(flatten)]
    description: Description,
    /// Do not look at it by itself.
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Look at it by its schedule again.
    #[arg(long)]
    resume: bool,
    /// It has no schedule.
    #[arg(long, conflicts_with_all = ["every", "cron"])]
    unscheduled: bool,
    /// It needs no credentials.
    #[arg(long, conflicts_with = "credential")]
    no_credentials: bool,
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
    /// The source.
    name: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The source.
    name: String,
    /// Delete the documents that it wrote, too.
    #[arg(long)]
    documents: bool,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// The source.
    name: String,
    /// Read every document, whatever the source says of it.
    #[arg(long)]
    all: bool,
    /// Wait for the end and show how far it is.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Items {
    /// The source.
    name: String,
    /// failed, quarantined, skipped or ok.
    #[arg(long, default_value = "failed")]
    state: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    spec: Value,
    prefix: String,
    credentials: Vec<String>,
    schedule: Option<Value>,
    state: String,
    next_at: Option<String>,
    last: Option<Last>,
    documents: Option<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
struct Last {
    at: String,
    took_s: f64,
    error: Option<String>,
    added: u64,
    changed: u64,
    restated: u64,
    moved: u64,
    deleted: u64,
    failed: u64,
    quarantined: u64,
}

#[derive(Deserialize)]
struct Sources {
    data: Vec<Source>,
}

#[derive(Deserialize)]
struct Item {
    document: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct ItemPage {
    data: Vec<Item>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct JobId {
    id: String,
}

impl Source {
    fn kind(&self) -> String {
        self.spec["kind"].as_str().unwrap_or_default().to_owned()
    }

    fn scheduled(&self) -> String {
        let schedule = self.schedule.as_ref();
        let every =
            schedule.and_then(|schedule| schedule["every_s"].as_u64()).map(|seconds| format!("every {seconds} s"));
        let cron = schedule.and_then(|schedule| schedule["cron"].as_str()).map(|cron| format!("cron {cron}"));
        or_dash(every.or(cron))
    }

    fn pairs(self) -> String {
        let counts = self.documents.iter().flatten().map(|(state, count)| format!("{count} {state}"));
        pairs([
            ("source", self.name.clone()),
            ("kind", self.kind()),
            ("spec", self.spec.to_string()),
            ("prefix", or_dash(Some(self.prefix.clone()))),
            ("credentials", or_dash(Some(self.credentials.join(", ")))),
            ("schedule", self.scheduled()),
            ("state", self.state.clone()),
            ("next", or_dash(self.next_at.as_deref().map(moment))),
            ("documents", or_dash(Some(counts.collect::<Vec<_>>().join(", ")))),
            ("last sync", or_dash(self.last.as_ref().map(|last| moment(&last.at)))),
            ("came to", or_dash(self.last.as_ref().map(Last::told))),
        ])
    }
}

impl Last {
    fn told(&self) -> String {
        if let Some(error) = &self.error {
            return error.clone();
        }
        let counts = [
            (self.added, "added"),
            (self.changed, "changed"),
            (self.restated, "restated"),
            (self.moved, "moved"),
            (self.deleted, "deleted"),
            (self.failed, "failed"),
            (self.quarantined, "quarantined"),
        ];
        let told: Vec<String> =
            counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let told = if told.is_empty() { "nothing to do".to_owned() } else { told.join(", ") };
        format!("{told}, in {:.1} s", self.took_s)
    }
}

impl Description {
    /// What was said of it, as the API takes it.
    fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        if let Some(spec) = &self.spec {
            body.insert("spec".to_owned(), json_of(spec)?);
        }
        if let Some(prefix) = &self.prefix {
            body.insert("prefix".to_owned(), json!(prefix));
        }
        if !self.credential.is_empty() {
            body.insert("credentials".to_owned(), json!(secrets(&self.credential)?));
        }
        if let Some(every) = &self.every {
            body.insert("schedule".to_owned(), json!({"every_s": seconds(every)?}));
        }
        if let Some(cron) = &self.cron {
            body.insert("schedule".to_owned(), json!({"cron": cron}));
        }
        let mut guards = Map::new();
        if let Some(share) = self.deletes_max_share {
            guards.insert("deletes_max_share".to_owned(), json!(share));
        }
        if let Some(readers) = self.widening_max_readers {
            guards.insert("widening_max_readers".to_owned(), json!(readers));
        }
        if !guards.is_empty() {
            body.insert("guards".to_owned(), Value::Object(guards));
        }
        Ok(body)
    }
}

/// JSON as it stands, or in the file of that name.
fn json_of(given: &str) -> anyhow::Result<Value> {
    if given.trim_start().starts_with('{') {
        return serde_json::from_str(given).context("--spec is not JSON");
    }
    let path = PathBuf::from(given);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// Secrets out of variables, so that no argument shows them.
fn secrets(named: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut secrets = BTreeMap::new();
    for pair in named {
        let Some((name, variable)) = pair.split_once('=') else {
            bail!("--credential takes NAME=VARIABLE, such as token=GIT_TOKEN, and not {pair:?}");
        };
        let Some(secret) = environment::variable(variable) else {
            bail!("the variable {variable} is not set; it must hold the secret {name}");
        };
        secrets.insert(name.to_owned(), secret);
    }
    Ok(secrets)
}

/// `90s`, `15m`, `6h` or `1d` in seconds.
fn seconds(text: &str) -> anyhow::Result<u64> {
    let unfit = || format!("--every {text:?} is not a time; write it like 15m, 6h or 1d");
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).with_context(unfit)?;
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => bail!(unfit()),
    };
    digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit)).with_context(unfit)
}

pub(crate) async fn run(command: SourceCommand) -> anyhow::Result<Ended> {
    match command {
        SourceCommand::Add(add) => return added(add).await,
        SourceCommand::Set(set) => changed(set).await?,
        SourceCommand::Sync(Sync { name, all, follow, at }) => return synced(&at, &name, all, follow).await,
        SourceCommand::Remove(remove) => removed(remove).await?,
        SourceCommand::List(List { at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::GET, &at.tenant, &["sources"]).query(&[("limit", "500")]);
            show(at.output(), &server.send(request).await?, |sources: Sources| {
                let rows = sources.data.into_iter().map(|it| {
                    let (at, told) = (it.last.as_ref().map(|last| moment(&last.at)), it.last.as_ref().map(Last::told));
                    [it.name.clone(), it.kind(), it.state.clone(), it.scheduled(), or_dash(at), or_dash(told)]
                });
                table(["source", "kind", "state", "schedule", "last sync", "came to"], rows)
            })?;
        }
        SourceCommand::Show(Named { name, at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["sources", &name])).await?;
            show(at.output(), &answer, Source::pairs)?;
        }
        SourceCommand::Plan(Named { name, at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::POST, &at.tenant, &["sources", &name, "plan"])).await?;
            show(at.output(), &answer, |plan: Value| plans::table_of(&plan))?;
        }
        SourceCommand::Items(Items { name, state, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::GET, &at.tenant, &["sources", &name, "items"]);
            let answer = server.send(request.query(&[("state", state.as_str()), ("limit", "500")])).await?;
            show(at.output(), &answer, |page: ItemPage| {
                if page.next.is_some() {
                    note("there are more than these; the API lists them all");
                }
                table(["document", "reason"], page.data.into_iter().map(|it| [it.document, or_dash(it.reason)]))
            })?;
        }
    }
    Ok(Ended::Done)
}

async fn added(Add { name, description, follow, at }: Add) -> anyhow::Result<Ended> {
    let mut body = description.body()?;
    if !body.contains_key("spec") {
        bail!("say with --spec what the source is and where");
    }
    body.insert("name".to_owned(), json!(name));
    let server = at.connect()?;
    let answer = server.send(server.tenant(Method::POST, &at.tenant, &["sources"]).json(&body)).await?;
    if follow {
        note(&format!("source {name} is made"));
        return synced(&at, &name, false, true).await;
    }
    show(at.output(), &answer, Source::pairs)?;
    Ok(Ended::Done)
}

async fn changed(set: Set) -> anyhow::Result<()> {
    let Set { name, description, pause, resume, unscheduled, no_credentials, at } = set;
    let mut body = description.body()?;
    let server = at.connect()?;
    for (said, field, value) in [
        (pause, "state", json!("paused")),
        (resume, "state", json!("active")),
        (unscheduled, "schedule", Value::Null),
        (no_credentials, "credentials", json!({})),
    ] {
        if said {
            body.insert(field.to_owned(), value);
        }
    }
    let answer = server.send(server.tenant(Method::PATCH, &at.tenant, &["sources", &name]).json(&body)).await?;
    show(at.output(), &answer, Source::pairs)
}

async fn synced(at: &AtTenant, name: &str, all: bool, follows: bool) -> anyhow::Result<Ended> {
    let server = at.connect()?;
    let read = if all { "all" } else { "changed" };
    let request = server.tenant(Method::POST, &at.tenant, &["sources", name, "sync"]).query(&[("read", read)]);
    let answer = server.send(request).await?;
    let job: JobId = answer.read()?;
    if follows {
        return follow(&server, at, &job.id).await;
    }
    shown_job(at, &answer)?;
    Ok(Ended::Done)
}

fn shown_job(at: &AtTenant, answer: &Answer) -> anyhow::Result<()> {
    show(at.output(), answer, |job: JobId| pairs([("job", job.id)]))
}

async fn removed(Remove { name, documents, at }: Remove) -> anyhow::Result<()> {
    let server = at.connect()?;
    let then = if documents { "delete" } else { "keep" };
    let request = server.tenant(Method::DELETE, &at.tenant, &["sources", &name]).query(&[("documents", then)]);
    let answer = server.send(request).await?;
    if documents {
        return shown_job(&at, &answer);
    }
    note(&format!("source {name} is removed; its documents stay"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, wanted) in [("90s", 90), ("15m", 900), ("6h", 21_600), ("1d", 86_400)] {
            assert_eq!(seconds(text).unwrap(), wanted);
        }
        for bad in ["", "m", "15", "15 m", "1w", "99999999999999999999d", "ä"] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }
}
