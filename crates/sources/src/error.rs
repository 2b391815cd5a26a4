//! Why a source could not be looked at, told to whoever administers it. No variant holds a secret.

use catena_domain::ErrorKind;

/// Why a look or a fetch failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// What the source is described by is not acceptable.
    #[error("{reason}")]
    Invalid {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The source is away, or does not answer in time.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// What was asked.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// The source refuses.
    #[error("{place} refuses: {reason}")]
    Refused {
        /// What was asked.
        place: String,
        /// What it says.
        reason: String,
    },
    /// One document cannot be had; the others can.
    #[error("{reason}")]
    Document {
        /// What is wrong with it.
        reason: String,
    },
}

impl SourceError {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Document { .. } => ErrorKind::Invalid,
            Self::Unreachable { .. } | Self::Refused { .. } => ErrorKind::Unavailable,
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    pub(crate) fn unreachable(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unreachable { place: place.into(), reason: reason.into() }
    }

    pub(crate) fn refused(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { place: place.into(), reason: reason.into() }
    }

    pub(crate) fn document(reason: impl Into<String>) -> Self {
        Self::Document { reason: reason.into() }
    }
}
