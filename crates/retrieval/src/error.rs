//! What can keep a question from being answered.

use catena_catalog::CatalogError;
use catena_domain::{ErrorKind, Seq};
use catena_embedding::EmbeddingError;
use catena_index::IndexError;
use catena_runtime::ComputeError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    /// The budget holds no passage at all.
    #[error("a budget of {budget_tokens} tokens holds no passage; the smallest that fits needs {needed_tokens}")]
    BudgetTooSmall {
        /// Tokens allowed.
        budget_tokens: usize,
        /// Tokens that the smallest passage needs.
        needed_tokens: usize,
    },
    /// The index has not reached the sequence number that the request asks for.
    #[error("the index has reached sequence number {reached}, not yet {wanted}; try again in a moment")]
    Behind {
        /// The request's `min_seq`.
        wanted: Seq,
        /// What the index has applied.
        reached: Seq,
    },
    /// The tenant never wrote so much.
    #[error("min_seq is {wanted}, but the tenant's last write is {last}; use a number that a write returned")]
    NotWritten {
        /// The request's `min_seq`.
        wanted: Seq,
        /// The tenant's sequence number.
        last: Seq,
    },
    /// The one arm that the request asks for does not work now.
    #[error("the {arm} arm does not answer: {reason}")]
    Arm {
        /// `lexical` or `dense`.
        arm: &'static str,
        /// Why.
        reason: String,
    },
    /// The tenant's index is not there yet, or is being rebuilt.
    #[error("the tenant's index is being built; try again in a moment")]
    NoIndex,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The model failed.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// A computation was lost.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The system gave no randomness.
    #[error("no randomness from the system: {0}")]
    Random(#[from] std::io::Error),
    /// A mistake of ours.
    #[error("{0}")]
    Internal(String),
}

impl RetrievalError {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BudgetTooSmall { .. } | Self::NotWritten { .. } => ErrorKind::Invalid,
            Self::Behind { .. } | Self::Arm { .. } | Self::NoIndex | Self::Random(_) => ErrorKind::Unavailable,
            Self::Catalog(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::Embedding(error) => error.kind(),
            Self::Compute(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
