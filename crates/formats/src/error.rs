//! Why a document could not be read, told so that its sender can mend it.

use catena_domain::ErrorKind;
use catena_text::TextError;

/// Why bytes did not become a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The text itself is not acceptable.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No reader takes this format.
    #[error("no reader takes {content_type}")]
    Unsupported {
        /// The format's content type.
        content_type: &'static str,
    },
}

impl FormatError {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Text(error) => error.kind(),
            Self::Unsupported { .. } => ErrorKind::Invalid,
        }
    }
}
