//! Imports: many documents that were handed in at once, stored with their job and written one after the other.
//!
//! Promises: each line is written exactly once, because it leaves the list in the transaction that writes it, so a job
//! that was killed goes on with what is left; lines about one document are done in their order; several documents are
//! under way, so that the model has work while others are read and stored; one that cannot be written is one failed
//! document, kept for a retry. Does not: parse what was sent, which is the wire's.

use std::collections::HashSet;
use std::time::Duration;

use catena_access::{Attributes, Scope};
use catena_catalog::{
    Amount, CatalogError, Change, Claimed, Count, Deed, Expect, Job, JobFailure, JobItem, JobKind, NewJob, NewJobItem,
    Tally, Written, acl_of, acl_text,
};
use catena_domain::{DocumentId, ErrorKind, JobId, Timestamp};
use catena_runtime::clock;
use catena_text::Format;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::pipeline::screen::KEPT_BACK;
use crate::progress::{Interrupted, Progress};
use crate::{Freshness, Ingest, IngestError, Submission};

/// Lines that are taken off the list at once.
const ITEMS_PER_STEP: usize = 64;
/// Documents of them that are under way at once.
const DOCUMENTS_AT_ONCE: usize = 8;
/// How long a document waits that somebody else was in the way of, each time, before the job gives up.
const TRY_AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// What a line of an import asks for.
#[derive(Debug, Clone)]
pub enum ImportChange {
    /// To write a document.
    Write(Box<Submission>),
    /// To delete one. One that is not there is deleted already.
    Delete(DocumentId),
}

/// An import as it is gathered, line by line. What it holds is compressed already.
#[derive(Debug, Default)]
pub struct Import {
    items: Vec<NewJobItem>,
    failures: Vec<JobFailure>,
    /// Lines of which nobody can say what document they are about.
    unread: Vec<JobFailure>,
}

impl Import {
    /// Takes a line in.
    pub fn add(&mut self, line: u64, change: &ImportChange) -> Result<(), IngestError> {
        let (id, content) = match change {
            ImportChange::Write(submission) => (&submission.id, written(submission)),
            ImportChange::Delete(id) => (id, packed(&Head { delete: true, ..Head::default() }, &[])),
        };
        self.items.push(NewJobItem::pack(line, id.as_str(), &content)?);
        Ok(())
    }

    /// Notes a line that cannot be done, by the document's id if the line has one.
    pub fn refuse(&mut self, line: u64, document: Option<&str>, reason: &str) {
        match document {
            Some(document) => {
                let reason = format!("line {line}: {reason}");
                self.failures.push(JobFailure { document: document.to_owned(), reason });
            }
            None => self.unread.push(JobFailure { document: format!("line {line}"), reason: reason.to_owned() }),
        }
    }

    /// How many lines it has.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.items.len() + self.failures.len() + self.unread.len()
    }

    /// What is to be written and what cannot be. A line without a document has a name that no document of the import has.
    fn into_parts(mut self) -> (Vec<NewJobItem>, Vec<JobFailure>) {
        let refused = self.failures.iter().map(|failure| failure.document.as_str());
        let named: HashSet<&str> = self.items.iter().map(NewJobItem::document).chain(refused).collect();
        for line in &mut self.unread {
            while named.contains(line.document.as_str()) {
                line.document.push_str(" (no document)");
            }
        }
        self.failures.append(&mut self.unread);
        (self.items, self.failures)
    }
}

impl Ingest {
    /// Asks for an import. When this returns, what it holds is durable.
    pub async fn request_import(
        &self,
        scope: &Scope,
        import: Import,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Written<Job>, IngestError> {
        let total = import.lines() as u64;
        let tally = Tally { documents: Count { done: 0, total }, ..Tally::default() };
        let job = NewJob { tally, ..NewJob::of(JobKind::Import) };
        let (items, failures) = import.into_parts();
        let job = self.0.catalog.enqueue_import(scope, job, items, failures, deed).await?;
        self.announce_jobs();
        Ok(job)
    }
}

/// What is stored of a line, beside the document's bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    #[serde(default)]
    delete: bool,
    content_type: String,
    charset: Option<String>,
    title: Option<String>,
    uri: Option<String>,
    source: Option<String>,
    #[serde(default)]
    attributes: Attributes,
    modified_at: Option<i64>,
    acl: String,
}

fn written(submission: &Submission) -> Vec<u8> {
    let head = Head {
        delete: false,
        content_type: submission.format.as_content_type().to_owned(),
        charset: submission.charset.clone(),
        title: submission.title.clone(),
        uri: submission.uri.clone(),
        source: submission.source.clone(),
        attributes: submission.attributes.clone(),
        modified_at: submission.modified_at.map(|at| at.0),
        acl: acl_text(&submission.acl),
    };
    packed(&head, &submission.bytes)
}

/// The head in one line of JSON, then the bytes.
fn packed(head: &Head, bytes: &[u8]) -> Vec<u8> {
    let mut content = serde_json::to_vec(head).unwrap_or_default();
    content.push(b'\n');
    content.extend_from_slice(bytes);
    content
}

fn unpacked(item: &JobItem) -> Option<ImportChange> {
    let id = DocumentId::new(&item.document).ok()?;
    let at = item.content.iter().position(|&byte| byte == b'\n')?;
    let head: Head = serde_json::from_slice(&item.content[..at]).ok()?;
    if head.delete {
        return Some(ImportChange::Delete(id));
    }
    Some(ImportChange::Write(Box::new(Submission {
        id,
        bytes: item.content[at + 1..].to_vec(),
        format: Format::from_content_type(&head.content_type).ok()?,
        charset: head.charset,
        title: head.title,
        uri: head.uri,
        source: head.source,
        attributes: head.attributes,
        modified_at: head.modified_at.map(Timestamp),
        acl: acl_of(&head.acl)?,
        expect: Expect::Any,
    })))
}

/// What became of a line.
enum Outcome {
    Done(Amount),
    Failed(String),
    /// It was handed in and waits in the firewall's quarantine.
    KeptBack,
}

pub(crate) async fn run(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    claimed: &Claimed,
) -> Result<(), Interrupted> {
    let (catalog, id) = (&ingest.0.catalog, &claimed.job.id);
    let mut tally = claimed.job.tally;
    loop {
        let left = catalog.job_items_left(scope, id).await?;
        tally.documents.done = tally.documents.total.saturating_sub(left);
        progress.report(&tally, "writing documents").await?;
        let items = catalog.job_items(scope, id, ITEMS_PER_STEP).await?;
        if items.is_empty() {
            return Ok(());
        }
        let mut steps = futures::stream::iter(by_document(items))
            .map(|items| write_in_order(ingest, scope, progress, id, items))
            .buffer_unordered(DOCUMENTS_AT_ONCE);
        while let Some(done) = steps.next().await {
            let amount = done?;
            tally.chunks.done += amount.chunks;
            tally.tokens.done += amount.tokens;
        }
        tally.reckon();
    }
}

/// Lines about one document stay together, in their order.
fn by_document(items: Vec<JobItem>) -> Vec<Vec<JobItem>> {
    let mut groups: Vec<Vec<JobItem>> = Vec::new();
    for item in items {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| first.document == item.document)) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    groups
}

/// Does the lines about one document. Says what they were cut into.
async fn write_in_order(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    job: &JobId,
    items: Vec<JobItem>,
) -> Result<Amount, Interrupted> {
    let mut all = Amount::default();
    for item in items {
        let change = unpacked(&item)
            .ok_or_else(|| CatalogError::Corrupt { what: "what an import is to write", id: job.to_string() })?;
        match write_patiently(ingest, scope, progress, item.item, &change).await? {
            Outcome::Done(amount) => all += amount,
            Outcome::Failed(reason) => {
                progress.failed_item(&item.document, &format!("line {}: {reason}", item.item), Some(item.item)).await?;
            }
            // Its line is done: whoever releases it need not hand it in again.
            Outcome::KeptBack => {
                let reason = format!("line {}: {KEPT_BACK}", item.item);
                progress.failed_item(&item.document, &reason, None).await?;
            }
        }
    }
    Ok(all)
}

/// Does one line. Waits a few times when what it needs is not there just now.
async fn write_patiently(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    item: u64,
    change: &ImportChange,
) -> Result<Outcome, Interrupted> {
    let mut waits = TRY_AGAIN_AFTER.into_iter();
    loop {
        let error = match write(ingest, scope, progress, item, change).await {
            Err(Interrupted::Failed(error)) => error,
            other => return other,
        };
        if error.is_of_one_document() {
            return Ok(Outcome::Failed(error.told()));
        }
        match (error.kind(), waits.next()) {
            (ErrorKind::Busy | ErrorKind::Unavailable, Some(wait)) => clock::pause(wait).await,
            _ => return Err(error.into()),
        }
    }
}

async fn write(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    item: u64,
    change: &ImportChange,
) -> Result<Outcome, Interrupted> {
    match change {
        ImportChange::Write(submission) => {
            let deed = progress.deed_of_item("document.put", item);
            let put = ingest.put(scope, (**submission).clone(), Freshness::Bulk, deed).await?.value;
            if put.change == Change::Quarantined {
                return Ok(Outcome::KeptBack);
            }
            Ok(Outcome::Done(put.cut))
        }
        ImportChange::Delete(id) => {
            let deed = progress.deed_of_item("document.delete", item);
            if ingest.delete(scope, id, Expect::Any, deed).await?.is_none() {
                progress.item_done(item).await?;
            }
            Ok(Outcome::Done(Amount::default()))
        }
    }
}
