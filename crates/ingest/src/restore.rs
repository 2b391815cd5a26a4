//! Bringing an earlier version back: its text becomes a new version, under what is said of the document now.
//!
//! Promises: nothing is embedded that has a vector under the recipe; an access list that changed meanwhile is not undone,
//! because what is written is written only over what was looked at; a deleted document comes back only to those whom
//! the request names; it is screened by the policy of now, and does not come back when that keeps it back. Does not:
//! change history.

use catena_access::{Acl, Liveness, Scope};
use catena_audit::Object;
use catena_catalog::{Besides, CatalogError, Deed, Expect, NewDocument, PutOutcome, Restorable, Spending, Written};
use catena_domain::{DocumentId, VersionNo};
use catena_text::Format;
use sha2::{Digest as _, Sha256};

use crate::pipeline::{self, Uncut, screen};
use crate::{Freshness, Ingest, IngestError, Put};

/// Tries against others who change the same document.
const TRIES: usize = 5;

/// What is to be brought back.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The document.
    pub id: DocumentId,
    /// The version.
    pub version: VersionNo,
    /// Who may see it then; without one, whoever may now.
    pub acl: Option<Acl>,
    /// What the writer believes is there now.
    pub expect: Expect,
}

impl Ingest {
    /// Makes a new version out of an earlier one; `None` when there is no such version.
    pub async fn restore(
        &self,
        scope: &Scope,
        restore: Restore,
        freshness: Freshness,
        deed: Deed<PutOutcome>,
    ) -> Result<Option<Written<Put>>, IngestError> {
        let _turn = self.0.writes.acquire().await.map_err(|_| IngestError::Stopping)?;
        let source = Object { version: Some(restore.version.0), ..Object::new("version", restore.id.as_str()) };
        let deed = deed.naming(source);
        for _ in 0..TRIES {
            let Some(old) = self.0.catalog.restorable(scope, &restore.id, restore.version).await? else {
                return Ok(None);
            };
            let document = self.restored(scope, &restore, old).await?;
            match self.0.catalog.put_document(scope, document, deed.clone()).await {
                Err(
                    CatalogError::Precondition { .. }
                    | CatalogError::VectorsMissing { .. }
                    | CatalogError::ChunkingChanged,
                ) => {}
                Err(error) => return Err(error.into()),
                Ok(written) => {
                    let mut value = Put::of(&written.value);
                    value.searchable = self.publish_after(scope, value.seq, freshness).await?;
                    return Ok(Some(Written { value, leaf: written.leaf }));
                }
            }
        }
        let what = format!("document {}", restore.id);
        Err(CatalogError::Conflict { what, reason: "is being changed by others; send the request again" }.into())
    }

    async fn restored(&self, scope: &Scope, restore: &Restore, old: Restorable) -> Result<NewDocument, IngestError> {
        let (id, now) = (restore.id.clone(), old.current);
        if let Expect::Version(expected) = restore.expect
            && expected != now.version
        {
            let reason = "is not at the expected version; read it again, then decide";
            return Err(CatalogError::Precondition { document: id, reason }.into());
        }
        let acl = match (&restore.acl, old.state) {
            (Some(acl), _) => acl.clone(),
            (None, Liveness::Live) => now.acl,
            (None, Liveness::Deleted) => return Err(IngestError::AclNeeded),
        };
        let format = Format::from_content_type(&old.content_type)?;
        let screened = screen::again(&self.0, scope, old.text, old.title, &old.bytes_sha256).await?;
        let screen::Again { text, title, bytes_sha256, screening } = screened;
        let uncut = Uncut { id: id.clone(), format, title: Some(title), source: now.source.clone(), text };
        let derived = pipeline::derive(&self.0, scope, uncut, Spending::WithinQuota).await?;
        Ok(NewDocument {
            id,
            title: derived.title,
            uri: now.uri,
            content_type: old.content_type,
            attributes: now.attributes,
            source: now.source,
            modified_at: now.modified_at,
            acl,
            bytes_sha256,
            text_sha256: Sha256::digest(derived.text.as_bytes()).into(),
            text: derived.text,
            recipe: derived.cut.recipe,
            chunks: derived.cut.chunks,
            embeddings: derived.cut.embeddings,
            screening: Some(screening),
            expect: Expect::ChangedBy(old.changed_seq),
            besides: Besides {
                places: old.places,
                noticed: old.noticed,
                also: derived.also,
                chunking: Some(derived.chunking),
            },
        })
    }
}
