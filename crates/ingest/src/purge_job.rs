//! Purges of many documents at once, as a job over the purge of one.
//!
//! Promises: what was begun is finished by this job, or by housekeeping when the job is cut off; a document that is not
//! deleted is one that failed. Does not: delete anything that nobody deleted.

use catena_access::Scope;
use catena_catalog::{CatalogError, Claimed, Deed, Expect, Job, JobKind, NewJob, Written};
use catena_domain::{DocNo, DocumentId};
use serde::{Deserialize, Serialize};

use crate::progress::{Interrupted, Progress};
use crate::{Ingest, IngestError};

/// Documents whose purge is begun between two reports.
const DOCUMENTS_PER_STEP: usize = 50;

/// What is to be purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purging {
    /// Every deleted document of a source.
    Source(String),
    /// These documents.
    Ids(Vec<String>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Spec {
    #[serde(flatten)]
    purging: Purging,
    /// After a retry: these alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    only: Option<Vec<String>>,
}

/// What is left to purge.
enum Left {
    Listed(std::vec::IntoIter<String>),
    Of { source: String, after: Option<DocNo> },
}

impl Ingest {
    /// Asks for many deleted documents to be purged.
    pub async fn request_purge(
        &self,
        scope: &Scope,
        purging: Purging,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Written<Job>, IngestError> {
        let subject = match &purging {
            Purging::Source(source) => Some(source.clone()),
            Purging::Ids(_) => None,
        };
        let spec = serde_json::to_string(&Spec { purging, only: None }).unwrap_or_default();
        self.request_job(scope, NewJob { subject, spec, ..NewJob::of(JobKind::Purge) }, deed).await
    }
}

pub(crate) async fn run(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    claimed: &Claimed,
) -> Result<(), Interrupted> {
    let catalog = &ingest.0.catalog;
    let spec: Spec = serde_json::from_str(&claimed.spec)
        .map_err(|_| CatalogError::Corrupt { what: "what a purge is to do", id: claimed.job.id.to_string() })?;
    let mut tally = claimed.job.tally;
    let mut left = match (spec.only, spec.purging) {
        (Some(ids), _) | (None, Purging::Ids(ids)) => {
            (tally.documents.done, tally.documents.total) = (0, ids.len() as u64);
            Left::Listed(ids.into_iter())
        }
        (None, Purging::Source(source)) => {
            // Those that were purged before the job was cut off are of no source any more.
            tally.documents.total = tally.documents.done + catalog.deleted_of_source_count(scope, &source).await?;
            Left::Of { source, after: None }
        }
    };
    loop {
        progress.report(&tally, "beginning purges").await?;
        let ids = next(ingest, scope, &mut left).await?;
        if ids.is_empty() {
            break;
        }
        for id in ids {
            tally.documents.done += 1;
            begin(ingest, scope, progress, &id).await?;
        }
    }
    progress.report(&tally, "taking away what is left").await?;
    if !ingest.erase(scope.tenant()).await {
        return Err(IngestError::PurgeUnfinished.into());
    }
    Ok(())
}

async fn next(ingest: &Ingest, scope: &Scope, left: &mut Left) -> Result<Vec<String>, IngestError> {
    match left {
        Left::Listed(ids) => Ok(ids.take(DOCUMENTS_PER_STEP).collect()),
        Left::Of { source, after } => {
            let page = ingest.0.catalog.deleted_of_source(scope, source, *after, DOCUMENTS_PER_STEP).await?;
            *after = page.last().map(|(doc, _)| *doc).or(*after);
            Ok(page.into_iter().map(|(_, id)| id.to_string()).collect())
        }
    }
}

/// Begins one purge. A document of which nothing is left is purged already.
async fn begin(ingest: &Ingest, scope: &Scope, progress: &Progress<'_>, id: &str) -> Result<(), Interrupted> {
    let document = match DocumentId::new(id) {
        Ok(document) => document,
        Err(error) => return progress.failed(id, &error.to_string()).await,
    };
    let deed = progress.deed("document.purge");
    match ingest.0.catalog.purge_document(scope, &document, Expect::Any, deed).await {
        Ok(_) => Ok(()),
        Err(error @ CatalogError::Conflict { .. }) => progress.failed(id, &error.to_string()).await,
        Err(error) => Err(error.into()),
    }
}
