//! `catena ingest`: a folder of documents into a tenant.
//!
//! Promises: one bad file is one failed document with its reason, and the rest goes on; a refusal that would meet every
//! file ends the command at once; run again after a break, it does what was left. Does not: delete what is no longer in
//! the folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use catena_access::Acl;
use catena_sources::folder::{self, Decided, Folder, FolderDocument, Why};
use catena_text::Format;
use clap::Args;
use futures::StreamExt as _;
use indicatif::ProgressBar;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Ended;
use super::connection::{AtTenant, ClientError, Connection};
use super::output::{Output, bar, clean, note, print};
use crate::http::acl::AclBody;
use crate::http::wire;

/// Documents under way at once.
const AT_ONCE: usize = 4;

#[derive(Debug, Args)]
pub(crate) struct IngestArguments {
    /// A folder of documents (text, Markdown, code, HTML, CSV, JSON, mails, PDF, Office files), with or without an
    /// access.toml, or one file. A document's id is its path below
    /// the folder. Hidden files, and those that a .gitignore in the folder names, are left out.
    path: PathBuf,
    /// Who may see all of them, where there is no access.toml: everyone, user:NAME, group:NAME. May be repeated.
    #[arg(long, value_delimiter = ',')]
    allow: Vec<String>,
    /// Who may not, whatever else admits them. May be repeated.
    #[arg(long, value_delimiter = ',')]
    deny: Vec<String>,
    /// The source that the documents belong to.
    #[arg(long)]
    source: Option<String>,
    /// Wait until a search finds all of it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    at: AtTenant,
}

pub(crate) async fn run(arguments: IngestArguments) -> anyhow::Result<Ended> {
    let given = if arguments.allow.is_empty() && arguments.deny.is_empty() {
        None
    } else {
        Some(Acl::parse(&arguments.allow, &arguments.deny)?)
    };
    let folder = folder::read(&arguments.path, given.as_ref())?;
    if folder.documents.is_empty() {
        bail!(
            "{} holds no documents of a kind that is read (such as .md, .txt, .html, .csv, .json, .eml, .pdf, .docx, .pptx, .xlsx)",
            arguments.path.display()
        );
    }
    let mut tally = Tally::of(&folder);
    tell(&folder, given.as_ref());
    let output = arguments.at.output();
    let way = Way { server: arguments.at.connect()?, tenant: arguments.at.tenant, source: arguments.source };
    let bar = bar(folder.documents.len() as u64);
    let ended = write_all(&way, &folder.documents, &mut tally, &bar).await;
    bar.finish_and_clear();
    let result = match ended {
        Ok(()) if arguments.wait => way.wait(&folder.documents, &mut tally).await,
        other => other,
    };
    tally.not_sent = folder.documents.len().saturating_sub(tally.answered);
    match output {
        Output::Table if tally.answered == 0 => {}
        Output::Json => print(serde_json::to_string(&tally)?.as_bytes())?,
        Output::Table => print(tally.line(&way.tenant).as_bytes())?,
    }
    result?;
    Ok(if tally.failed.is_empty() { Ended::Done } else { Ended::Failed })
}

/// Says what was left out, and whom nobody may see.
fn tell(folder: &Folder, given: Option<&Acl>) {
    for skipped in folder.skipped.iter().filter(|skipped| skipped.why == Why::Kind) {
        note(&format!("skipped {}: {}", clean(&skipped.path), skipped.reason));
    }
    let unmatched = folder.documents.iter().filter(|document| document.decided == Decided::NoRule).count();
    match &folder.rules {
        Some(rules) if unmatched > 0 => note(&format!(
            "{unmatched} of {} documents match no rule of {}: only administrators will see them",
            folder.documents.len(),
            rules.display()
        )),
        None if given.is_none() => note(
            "there is no access.toml, and neither --allow nor --deny was given: only administrators will see these \
             documents",
        ),
        _ => {}
    }
}

/// Writes all documents, a few at a time. Ends early when a refusal would meet each of them.
async fn write_all(
    way: &Way,
    documents: &[FolderDocument],
    tally: &mut Tally,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let writes = futures::stream::iter(documents).map(|document| async move { (document, way.write(document).await) });
    let mut writes = writes.buffer_unordered(AT_ONCE);
    while let Some((document, written)) = writes.next().await {
        bar.inc(1);
        match written {
            Ok(put) if put.change == "quarantined" => {
                tally.answered += 1;
                let reason = "the tenant's firewall keeps it back until an administrator decides";
                bar.suspend(|| note(&format!("quarantined {}: {reason}", clean(document.id.as_str()))));
                tally.fail(document.id.as_str(), reason.to_owned());
            }
            Ok(put) => tally.count(put),
            Err(failure) if failure.is_for_all() => return Err(failure.into_error()),
            Err(failure) => {
                tally.answered += 1;
                let reason = format!("{:#}", failure.into_error());
                bar.suspend(|| note(&format!("failed {}: {}", clean(document.id.as_str()), clean(&reason))));
                tally.fail(document.id.as_str(), reason);
            }
        }
    }
    Ok(())
}

/// Why a document was not written.
enum Failure {
    /// Its file cannot be read.
    File(anyhow::Error),
    /// The service did not take it.
    Service(ClientError),
}

impl Failure {
    /// Whether it would meet every other document too.
    fn is_for_all(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Service(ClientError::Refused(refusal)) => refusal.is_for_all(),
            Self::Service(_) => true,
        }
    }

    fn into_error(self) -> anyhow::Error {
        match self {
            Self::File(error) => error,
            Self::Service(error) => error.into(),
        }
    }
}

/// What the service says of a write.
#[derive(Debug, Deserialize)]
struct Put {
    change: String,
    seq: u64,
    #[serde(default)]
    searchable: bool,
}

/// Whether the answer waits for the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Durable,
    Searchable,
}

/// The version that must be there for a text to be written.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Any,
    /// This many versions, and no more.
    Versions(usize),
}

/// The way into one tenant.
struct Way {
    server: Connection,
    tenant: String,
    source: Option<String>,
}

impl Way {
    /// Writes a document, its earlier texts first.
    async fn write(&self, document: &FolderDocument) -> Result<Put, Failure> {
        let mut first = None;
        for (earlier, path) in document.history.iter().enumerate() {
            match self.put(document, path, Expect::Versions(earlier), Wait::Durable).await {
                // It was written before: a version is there already.
                Err(Failure::Service(error)) if error.is(StatusCode::PRECONDITION_FAILED) => {}
                put => first = first.or(Some(put?.change)),
            }
        }
        let put = self.put(document, &document.path, Expect::Any, Wait::Durable).await?;
        Ok(Put { change: first.unwrap_or(put.change), ..put })
    }

    async fn put(&self, document: &FolderDocument, text: &Path, expect: Expect, wait: Wait) -> Result<Put, Failure> {
        let body = envelope(document, text, self.source.as_deref()).map_err(Failure::File)?;
        let request = self.server.tenant(Method::PUT, &self.tenant, &["documents", document.id.as_str()]);
        let request = match expect {
            Expect::Any => request,
            Expect::Versions(0) => request.header("if-none-match", "*"),
            Expect::Versions(number) => request.header("if-match", format!("\"v{number}\"")),
        };
        let request = match wait {
            Wait::Durable => request,
            Wait::Searchable => request.query(&[("wait", "searchable")]),
        };
        let answer = self.server.send_patiently(request.json(&body)).await.map_err(Failure::Service)?;
        answer.read().map_err(Failure::Service)
    }

    /// Waits until a search finds what was written: the last document that was taken is handed in once more, which
    /// changes nothing, and its answer waits for the index.
    async fn wait(&self, documents: &[FolderDocument], tally: &mut Tally) -> anyhow::Result<()> {
        let failed =
            |document: &FolderDocument| tally.failed.iter().any(|failed| failed.document == document.id.as_str());
        let Some(last) = documents.iter().rev().find(|document| !failed(document)) else { return Ok(()) };
        let put = self.put(last, &last.path, Expect::Any, Wait::Searchable).await;
        let put = put.map_err(Failure::into_error).context("all was written, but waiting for the index failed")?;
        if !put.searchable {
            bail!("all was written, but the index did not follow; the service's log says why");
        }
        tally.searchable = Some(true);
        Ok(())
    }
}

fn envelope(document: &FolderDocument, text: &Path, source: Option<&str>) -> anyhow::Result<serde_json::Value> {
    // What is no UTF-8 goes as it lies there: the service finds out which characters it has, or what file it is.
    let (field, content) = match (document.format, String::from_utf8(folder::content(text)?)) {
        (Format::Pdf | Format::Docx | Format::Pptx | Format::Xlsx, Ok(text)) => ("base64", BASE64.encode(text)),
        (_, Ok(text)) => ("text", text),
        (_, Err(error)) => ("base64", BASE64.encode(error.into_bytes())),
    };
    Ok(json!({
        (field): content,
        "content_type": document.format.as_content_type(),
        "attributes": document.attributes,
        "acl": AclBody::of(&document.acl),
        "modified_at": document.modified_at.map(wire::time),
        "source": source,
    }))
}

#[derive(Debug, Serialize)]
struct Failed {
    document: String,
    reason: String,
}

/// What became of the documents.
#[derive(Debug, Default, Serialize)]
struct Tally {
    created: usize,
    versions: usize,
    metadata: usize,
    unchanged: usize,
    skipped: usize,
    /// Those that a general refusal kept from being tried.
    not_sent: usize,
    failed: Vec<Failed>,
    #[serde(skip)]
    answered: usize,
    /// The tenant's last write that was answered.
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    searchable: Option<bool>,
}

impl Tally {
    /// What is known before anything is sent: what was left out, and what cannot be read.
    fn of(folder: &Folder) -> Self {
        let mut tally = Self::default();
        for skipped in &folder.skipped {
            match skipped.why {
                Why::Kind => tally.skipped += 1,
                Why::Unreadable => {
                    note(&format!("failed {}: {}", clean(&skipped.path), clean(&skipped.reason)));
                    tally.fail(&skipped.path, skipped.reason.clone());
                }
            }
        }
        tally
    }

    fn count(&mut self, put: Put) {
        self.answered += 1;
        self.seq = self.seq.max(put.seq);
        match put.change.as_str() {
            "created" => self.created += 1,
            "version" => self.versions += 1,
            "metadata" => self.metadata += 1,
            _ => self.unchanged += 1,
        }
    }

    fn fail(&mut self, document: &str, reason: String) {
        self.failed.push(Failed { document: document.to_owned(), reason });
    }

    fn line(&self, tenant: &str) -> String {
        let Self { created, versions, metadata, unchanged, skipped, not_sent, seq, .. } = self;
        let failed = self.failed.len();
        let searchable = if self.searchable == Some(true) { ", searchable" } else { "" };
        let not_sent = if *not_sent > 0 { format!(", {not_sent} NOT SENT") } else { String::new() };
        format!(
            "{tenant}: {created} created, {versions} new versions, {metadata} with other metadata, {unchanged} unchanged, \
             {failed} failed, {skipped} skipped{not_sent}; seq {seq}{searchable}"
        )
    }
}
