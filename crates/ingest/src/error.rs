//! What can go wrong on the way in.

use std::io;
use std::path::PathBuf;

use catena_catalog::CatalogError;
use catena_domain::{ErrorKind, SourceName, limits};
use catena_embedding::EmbeddingError;
use catena_formats::FormatError;
use catena_index::IndexError;
use catena_runtime::ComputeError;
use catena_sources::SourceError;
use catena_text::TextError;

/// Why a change did not get in, or did not become searchable.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The document's bytes cannot be read as text of the named kind.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The document cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The text falls into more pieces than one document may have.
    #[error(
        "the text falls into {chunks} chunks; one document may have {}; split it into several documents",
        limits::CHUNKS_PER_DOCUMENT_MAX
    )]
    TooManyChunks {
        /// Chunks found.
        chunks: usize,
    },
    /// The model did not embed it.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The index refused or failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A computation was lost.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// A source cannot be looked at, or not as it is described.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A source is described in a way that cannot be.
    #[error("the source cannot be used: {reason}")]
    Description {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// What was kept of a source cannot be looked at or removed.
    #[error("{} cannot be removed: {source}", path.display())]
    Mirror {
        /// Its folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Credentials could not be sealed.
    #[error("the credentials of source {source_name} cannot be sealed; the system gave no random bytes")]
    Sealing {
        /// The source.
        source_name: SourceName,
    },
    /// Stored credentials cannot be opened.
    #[error(
        "the stored credentials of source {source_name} cannot be opened with this installation's secret; give them again"
    )]
    Sealed {
        /// The source.
        source_name: SourceName,
    },
    /// A deleted document was to come back, and nobody said to whom.
    #[error("the document is deleted; say in `acl` who may read it once it is back")]
    AclNeeded,
    /// What was to be purged is not wholly gone yet.
    #[error("the purges are begun and not finished; the service goes on with them by itself, and its log says why")]
    PurgeUnfinished,
    /// A version that was to come back holds what the policy keeps back.
    #[error(
        "the firewall's policy quarantines what was found in this version, so it cannot be restored; change the policy, or \
         hand in a text without it"
    )]
    KeptBack,
    /// A document changed while a submission of it waited.
    #[error("the document was changed after this was handed in; reject it, and hand it in again if it still holds")]
    Overtaken,
    /// The tenant's stored policy cannot be read.
    #[error("the tenant's firewall policy cannot be read; put it again (`catena firewall set`)")]
    PolicyDamaged,
    /// The process is stopping.
    #[error("the service is stopping; send the request again to another instance or in a moment")]
    Stopping,
}

impl IngestError {
    /// Whether the disk has no room for what was to be written.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Catalog(error) => error.is_for_want_of_room(),
            Self::Index(error) => error.is_for_want_of_room(),
            _ => false,
        }
    }

    /// Whether it is about one document, and others may well go on.
    pub(crate) fn is_of_one_document(&self) -> bool {
        matches!(
            self,
            Self::Text(_)
                | Self::Format(_)
                | Self::TooManyChunks { .. }
                | Self::AclNeeded
                | Self::Catalog(
                    CatalogError::Precondition { .. }
                        | CatalogError::Invalid { .. }
                        | CatalogError::Conflict { .. }
                        | CatalogError::QuotaExceeded(_)
                )
        )
    }

    /// What a tenant's administrators may read of it: where the operator's servers are is no part of that.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Embedding(EmbeddingError::RemoteAway { .. } | EmbeddingError::RemoteRefused { .. }) => {
                "the server that runs the model gives no vectors; ask for the re-index again when it does".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Text(error) => error.kind(),
            Self::Format(error) => error.kind(),
            Self::TooManyChunks { .. } | Self::AclNeeded | Self::Description { .. } => ErrorKind::Invalid,
            Self::Source(error) => error.kind(),
            Self::Sealing { .. } | Self::Mirror { .. } => ErrorKind::Unavailable,
            Self::Sealed { .. } => ErrorKind::Conflict,
            Self::Embedding(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::KeptBack | Self::Overtaken | Self::PolicyDamaged => ErrorKind::Conflict,
            Self::Compute(_) => ErrorKind::Internal,
            Self::Stopping | Self::PurgeUnfinished => ErrorKind::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_does_not_name_the_operators_servers() {
        let (address, reason) = ("https://inside.example/v1/embeddings".to_owned(), "refused".to_owned());
        for error in [
            EmbeddingError::RemoteAway { address: address.clone(), reason: reason.clone() },
            EmbeddingError::RemoteRefused { address: address.clone(), reason: reason.clone() },
        ] {
            let told = IngestError::from(error).told();
            assert!(!told.contains("inside.example"), "{told}");
        }
        assert_eq!(IngestError::AclNeeded.told(), IngestError::AclNeeded.to_string());
    }
}
