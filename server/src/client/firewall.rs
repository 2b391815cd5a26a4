//! `catena firewall`: what is done about secrets, personal data and text to a model, what was found, and what waits.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ended;
use super::connection::AtTenant;
use super::output::{clean, excerpt, moment, note, or_dash, pairs, show, table};

/// What can be done with the firewall.
#[derive(Debug, Subcommand)]
pub(crate) enum FirewallCommand {
    /// Show what is done about what is found.
    Show(At),
    /// Say what is done about what is found, from the next write on. What is not named stays as it is.
    Set(Set),
    /// List the documents to which a policy would do something, without changing anything.
    Try(Set),
    /// List the detectors, what they look for, and how much they found.
    Detectors(At),
    /// List the documents in which something was found, and how often.
    Findings(Paged),
    /// Decide about what the policy keeps back.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
}

/// What can be done with what is kept back.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List what is kept back.
    List(Paged),
    /// Show the text of what is kept back of a document, with what was found in it. The record names who did.
    Show(Named),
    /// Let it in.
    Release(Named),
    /// Throw it away.
    Reject(Named),
}

#[derive(Debug, Args)]
pub(crate) struct At {
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Paged {
    /// Documents after this one.
    #[arg(long)]
    after: Option<String>,
    /// Documents of one page.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The document.
    document: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// What is done about secrets: off, flag, redact or quarantine.
    #[arg(long)]
    secret: Option<String>,
    /// About personal data.
    #[arg(long)]
    personal: Option<String>,
    /// About text that speaks to a model.
    #[arg(long)]
    instruction: Option<String>,
    /// About what one detector finds, as in email=flag; email= leaves it to its class again.
    #[arg(long = "detector", value_name = "NAME=ACTION")]
    detectors: Vec<String>,
    /// How sure a detector must be at least: medium or high.
    #[arg(long)]
    confidence: Option<String>,
    /// A text that is never a finding, or the domain of e-mail addresses that may be seen.
    #[arg(long, value_name = "TEXT")]
    allow: Vec<String>,
    /// Take a text out of those that are never findings.
    #[arg(long, value_name = "TEXT")]
    disallow: Vec<String>,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Deserialize)]
struct Policy {
    secret: String,
    personal: String,
    instruction: String,
    detectors: BTreeMap<String, String>,
    confidence: String,
    allow: Vec<String>,
}

impl Policy {
    /// The policy with what the arguments say in place of what it said.
    fn with(mut self, set: &Set) -> anyhow::Result<Value> {
        let fields = [
            (&mut self.secret, &set.secret),
            (&mut self.personal, &set.personal),
            (&mut self.instruction, &set.instruction),
            (&mut self.confidence, &set.confidence),
        ];
        for (field, said) in fields {
            if let Some(said) = said {
                field.clone_from(said);
            }
        }
        for pair in &set.detectors {
            let (name, action) = pair.split_once('=').with_context(|| format!("{pair:?} is not NAME=ACTION"))?;
            if action.is_empty() {
                self.detectors.remove(name);
            } else {
                self.detectors.insert(name.to_owned(), action.to_owned());
            }
        }
        self.allow.retain(|text| !set.disallow.contains(text) && !set.allow.contains(text));
        self.allow.extend(set.allow.iter().cloned());
        Ok(json!({"secret": self.secret, "personal": self.personal, "instruction": self.instruction,
            "detectors": self.detectors, "confidence": self.confidence, "allow": self.allow}))
    }
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    next: Option<String>,
}

impl<T> Page<T> {
    fn rows(self) -> Vec<T> {
        if let Some(next) = self.next {
            note(&format!("there are more: --after {}", clean(&next)));
        }
        self.data
    }
}

type Found = BTreeMap<String, u64>;

#[derive(Deserialize)]
struct DetectorRow {
    name: String,
    class: String,
    action: String,
    documents: u64,
    findings: u64,
    waiting: u64,
    looks_for: String,
}

#[derive(Deserialize)]
struct FindingsRow {
    document: String,
    version: u32,
    flags: Vec<String>,
    found: Found,
}

#[derive(Deserialize)]
struct WouldRow {
    document: String,
    action: String,
    found: Found,
}

#[derive(Deserialize)]
struct SuspectRow {
    document: String,
    handed_in_at: String,
    replaces: bool,
    found: Found,
}

#[derive(Deserialize)]
struct Suspect {
    title: Option<String>,
    uri: Option<String>,
    found: Found,
    text: String,
}

fn counted(found: &Found) -> String {
    found.iter().map(|(detector, times)| format!("{detector} {times}")).collect::<Vec<_>>().join(", ")
}

fn shown(policy: Policy) -> String {
    let named: Vec<String> = policy.detectors.iter().map(|(name, action)| format!("{name}={action}")).collect();
    pairs([
        ("secret", policy.secret),
        ("personal", policy.personal),
        ("instruction", policy.instruction),
        ("detectors", or_dash(Some(named.join(", ")))),
        ("confidence", policy.confidence),
        ("allow", or_dash(Some(policy.allow.join(", ")))),
    ])
}

pub(crate) async fn run(command: FirewallCommand) -> anyhow::Result<Ended> {
    match command {
        FirewallCommand::Show(At { at }) => {
            let server = at.connect()?;
            show(at.output(), &server.send(server.tenant(Method::GET, &at.tenant, &["firewall"])).await?, shown)?;
        }
        FirewallCommand::Set(set) => {
            let server = set.at.connect()?;
            let policy = changed(&set).await?;
            server.send(server.tenant(Method::PUT, &set.at.tenant, &["firewall"]).json(&policy)).await?;
            note("the policy holds from the next write on; what is there stays as it is until it is written again");
        }
        FirewallCommand::Try(set) => tried(&set).await?,
        FirewallCommand::Detectors(At { at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["firewall", "detectors"])).await?;
            show(at.output(), &answer, |page: Page<DetectorRow>| {
                let rows = page.rows().into_iter().map(|it| {
                    let [documents, findings, waiting] = [it.documents, it.findings, it.waiting].map(|n| n.to_string());
                    [it.name, it.class, it.action, documents, findings, waiting, excerpt(&it.looks_for, 80)]
                });
                table(["detector", "class", "action", "documents", "findings", "waiting", "looks for"], rows)
            })?;
        }
        FirewallCommand::Findings(paged) => {
            listed(&paged, &["firewall", "findings"], |page: Page<FindingsRow>| {
                let rows = page.rows().into_iter().map(|it| {
                    [it.document, it.version.to_string(), or_dash(Some(it.flags.join(", "))), counted(&it.found)]
                });
                table(["document", "version", "flags", "found"], rows)
            })
            .await?;
        }
        FirewallCommand::Quarantine(command) => quarantine(command).await?,
    }
    Ok(Ended::Done)
}

/// The policy that is there, with what the arguments change.
async fn changed(set: &Set) -> anyhow::Result<Value> {
    let server = set.at.connect()?;
    let answer = server.send(server.tenant(Method::GET, &set.at.tenant, &["firewall"])).await?;
    answer.read::<Policy>()?.with(set)
}

/// Looks through everything that is there, page by page.
async fn tried(set: &Set) -> anyhow::Result<()> {
    let (server, policy) = (set.at.connect()?, changed(set).await?);
    let mut after: Option<String> = None;
    loop {
        let request = server.tenant(Method::POST, &set.at.tenant, &["firewall", "try"]).json(&policy);
        let request = request.query(&after.take().map(|after| [("after", after)]));
        let answer = server.send_patiently(request).await?;
        let page: Page<WouldRow> = answer.read()?;
        after.clone_from(&page.next);
        if !page.data.is_empty() {
            show(set.at.output(), &answer, |page: Page<WouldRow>| {
                let rows = page.data.into_iter().map(|it| [it.action, it.document, counted(&it.found)]);
                table(["would", "document", "found"], rows)
            })?;
        }
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn listed<T: serde::de::DeserializeOwned>(
    paged: &Paged,
    path: &[&str],
    as_table: impl FnOnce(Page<T>) -> String,
) -> anyhow::Result<()> {
    let server = paged.at.connect()?;
    let request = server.tenant(Method::GET, &paged.at.tenant, path).query(&[("limit", paged.limit)]);
    let request = request.query(&paged.after.as_ref().map(|after| [("after", after)]));
    show(paged.at.output(), &server.send(request).await?, as_table)
}

async fn quarantine(command: QuarantineCommand) -> anyhow::Result<()> {
    let path = ["firewall", "quarantine"];
    match command {
        QuarantineCommand::List(paged) => {
            listed(&paged, &path, |page: Page<SuspectRow>| {
                let rows = page.rows().into_iter().map(|it| {
                    let what = if it.replaces { "a new version" } else { "a new document" };
                    [it.document, what.to_owned(), moment(&it.handed_in_at), counted(&it.found)]
                });
                table(["document", "is", "handed in at", "found"], rows)
            })
            .await
        }
        QuarantineCommand::Show(Named { document, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::GET, &at.tenant, &[path[0], path[1], &document]);
            show(at.output(), &server.send(request).await?, |it: Suspect| {
                note(&format!("found: {}", counted(&it.found)));
                for (name, value) in [("title", it.title), ("uri", it.uri)] {
                    value.into_iter().for_each(|value| note(&format!("{name}: {}", clean(&value))));
                }
                clean(&it.text)
            })
        }
        QuarantineCommand::Release(Named { document, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::POST, &at.tenant, &[path[0], path[1], &document, "release"]);
            server.send(request).await?;
            note(&format!("{} is let in", clean(&document)));
            Ok(())
        }
        QuarantineCommand::Reject(Named { document, at }) => {
            let server = at.connect()?;
            server.send(server.tenant(Method::DELETE, &at.tenant, &[path[0], path[1], &document])).await?;
            note(&format!("what was kept back of {} is gone", clean(&document)));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(arguments: &[&str]) -> Set {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            set: Set,
        }
        let line = ["set", "--tenant", "acme", "--url", "http://127.0.0.1:1", "--key", "k"];
        <Line as clap::Parser>::try_parse_from(line.iter().chain(arguments)).unwrap().set
    }

    fn policy() -> Policy {
        let text = r#"{"secret": "flag", "personal": "off", "instruction": "off", "detectors": {"email": "flag"},
            "confidence": "medium", "allow": ["a.org", "b.org"]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        assert_eq!(policy().with(&set(&[])).unwrap()["detectors"], json!({"email": "flag"}));
        let arguments =
            ["--personal", "redact", "--detector", "email=", "--detector", "jwt=off", "--disallow", "a.org"];
        let changed = policy().with(&set(&arguments)).unwrap();
        assert_eq!(changed["secret"], "flag");
        assert_eq!(changed["personal"], "redact");
        assert_eq!(changed["detectors"], json!({"jwt": "off"}));
        assert_eq!(changed["allow"], json!(["b.org"]));
        assert!(policy().with(&set(&["--detector", "email"])).is_err());
    }
}
