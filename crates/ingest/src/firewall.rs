//! What administrators do with the firewall: its policy, what waits, and what a policy would do to what is there.
//!
//! Promises: a policy holds from the next write on; what is released becomes a version like any other, whose leaf names
//! who let it in; it is not released over a change that came after it. Does not: change what is there when a policy
//! changes; `would` tells what that would be.

use catena_access::Scope;
use catena_audit::Object;
use catena_catalog::{CatalogError, Deed, Expect, FoundCounts, Page, PutOutcome, Suspect, Written};
use catena_domain::{DocumentId, VersionNo};
use catena_firewall::{Action, Fate, Policy};
use catena_text::Format;

use crate::pipeline::screen::{self, Kept, Looked, Rules};
use crate::pipeline::{self, Submission};
use crate::{Freshness, Ingest, IngestError, Put};

/// Most documents that one question about a policy looks through.
const LOOKED_THROUGH_MAX: usize = 100;

/// A submission that waits, for an administrator to read.
#[derive(Debug, Clone)]
pub struct KeptBack {
    /// What the catalog keeps of it.
    pub suspect: Suspect,
    /// What its bytes are.
    pub content_type: String,
    /// The title that was given.
    pub title: Option<String>,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// The source that it came from.
    pub source: Option<String>,
    /// Its text, which the spans refer to.
    pub text: String,
}

/// What a policy would do to a document that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WouldBe {
    /// The document.
    pub document: DocumentId,
    /// Its current version.
    pub version: VersionNo,
    /// The strictest thing that would be done.
    pub action: Action,
    /// How often each detector found something.
    pub found: FoundCounts,
}

impl Ingest {
    /// The hash of all that decides how this tenant's texts are screened: its policy and the detectors' versions. A
    /// version whose screening has another one is to be handed in again, also when its bytes are the same.
    pub async fn policy_digest(&self, scope: &Scope) -> Result<[u8; 32], IngestError> {
        Ok(Rules::read(&self.0, scope).await?.digest)
    }

    /// What the tenant wants done about what is found.
    pub async fn firewall_policy(&self, scope: &Scope) -> Result<Policy, IngestError> {
        Ok(Rules::read(&self.0, scope).await?.policy)
    }

    /// What waits of a document, with its text; `None` when nothing does, or not for this principal.
    pub async fn kept_back(&self, scope: &Scope, id: &DocumentId) -> Result<Option<KeptBack>, IngestError> {
        let Some(suspect) = self.0.catalog.suspect(scope, id).await? else { return Ok(None) };
        let (submission, _) = submission_of(&suspect)?;
        let reading = self.0.formats.read(submission.format, submission.charset, suspect.bytes.clone()).await?;
        Ok(Some(KeptBack {
            content_type: submission.format.as_content_type().to_owned(),
            title: submission.title,
            uri: submission.uri,
            source: submission.source,
            text: reading.text,
            suspect,
        }))
    }

    /// Lets in what waits of a document; `None` when nothing does, or not for this principal.
    pub async fn release(
        &self,
        scope: &Scope,
        id: &DocumentId,
        freshness: Freshness,
        deed: Deed<PutOutcome>,
    ) -> Result<Option<Written<Put>>, IngestError> {
        let _turn = self.0.writes.acquire().await.map_err(|_| IngestError::Stopping)?;
        let Some(suspect) = self.0.catalog.suspect(scope, id).await? else { return Ok(None) };
        let (submission, hash) = submission_of(&suspect)?;
        let reading =
            self.0.formats.read(submission.format, submission.charset.clone(), submission.bytes.clone()).await?;
        let entrance = screen::release(&self.0, scope, &submission, reading).await?;
        let deed = deed.naming(Object { sha256: Some(hash), ..Object::new("quarantined", id.as_str()) });
        let written = pipeline::admit(&self.0, scope, &submission, entrance, deed).await;
        let mut written = match written {
            Err(IngestError::Catalog(CatalogError::Precondition { .. })) => return Err(IngestError::Overtaken),
            written => written?,
        };
        written.value.searchable = self.publish_after(scope, written.value.seq, freshness).await?;
        Ok(Some(written))
    }

    /// What `policy` would do to the documents after `after` that the principal may see. Documents that nothing would
    /// be done to are left out, so that a page may have fewer than were looked through, or none.
    pub async fn would(
        &self,
        scope: &Scope,
        policy: &Policy,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Page<WouldBe>, IngestError> {
        let page = self.0.catalog.documents(scope, after, limit.clamp(1, LOOKED_THROUGH_MAX)).await?;
        let mut items = Vec::new();
        for row in page.items {
            let Some(document) = self.0.catalog.document(scope, &row.id).await? else { continue };
            let looked = Looked::of_text(document.text, document.title, document.uri, document.attributes);
            let report = screen::examine(&self.0, policy.clone(), looked).await?.report;
            let action = match report.fate {
                Fate::Quarantined => Action::Quarantine,
                Fate::Admitted if report.is_redacted => Action::Redact,
                Fate::Admitted => Action::Flag,
            };
            let found = screen::found(&report);
            if !found.is_empty() {
                items.push(WouldBe { document: row.id, version: document.version, action, found });
            }
        }
        Ok(Page { items, next: page.next })
    }
}

/// The submission as it was handed in, over what was there then; and the hash of its bytes.
fn submission_of(suspect: &Suspect) -> Result<(Submission, String), IngestError> {
    let damaged = || CatalogError::Corrupt { what: "what is kept back of", id: suspect.row.document.to_string() };
    let kept: Kept = serde_json::from_str(&suspect.said).map_err(|_| damaged())?;
    let modified_at = kept.modified_at();
    let submission = Submission {
        id: suspect.row.document.clone(),
        bytes: suspect.bytes.clone(),
        format: Format::from_content_type(&kept.content_type)?,
        charset: kept.charset,
        title: kept.title,
        uri: kept.uri,
        source: kept.source,
        attributes: kept.attributes,
        modified_at,
        acl: suspect.acl.clone(),
        expect: suspect.row.base.map_or(Expect::Absent, Expect::ChangedBy),
    };
    let hash = suspect.row.bytes_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((submission, hash))
}
