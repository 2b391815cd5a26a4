//! Why a document could not be read, told so that its sender can mend it.
//!
//! Promises: a message says what was found, which bound was met, and what to do; it holds nothing of the document's text.

use catena_domain::ErrorKind;
use catena_text::TextError;
use serde::{Deserialize, Serialize};

/// Why bytes did not become a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FormatError {
    /// The text itself is not acceptable.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No reader takes this format here.
    #[error(
        "no reader takes {content_type} here; convert the document to a format that is read, such as text/markdown"
    )]
    Unsupported {
        /// The format's content type.
        content_type: String,
    },
    /// Nobody said what the bytes are, and they do not say it themselves.
    #[error(
        "nothing says what these bytes are; send a Content-Type, or an id with an ending that is known, such as .md or .pdf"
    )]
    Unknown,
    /// The bytes were called text and are none.
    #[error("the bytes are {found}, not text; send them under their own Content-Type, or convert them to text")]
    NotText {
        /// What they look like.
        found: String,
    },
    /// The stated character set is not the one that the bytes have.
    #[error(
        "the bytes are not {charset}, as was stated; state the character set that they have, or leave it out and it is found"
    )]
    WrongCharset {
        /// The character set as it was stated.
        charset: String,
    },
    /// The bytes are not what their format says.
    #[error("the {format} cannot be read: {what}; open it in the program that made it, save it anew and send that")]
    Damaged {
        /// What the file is.
        format: String,
        /// What is wrong with it.
        what: String,
    },
    /// It opens with a password alone.
    #[error("the {format} is encrypted; save it without a password and send that")]
    Encrypted {
        /// What the file is.
        format: String,
    },
    /// It holds pictures of text.
    #[error(
        "none of the {pages} pages holds text, they are pictures; run text recognition over the file and send the result"
    )]
    OnlyPictures {
        /// How many pages there are.
        pages: u32,
    },
    /// It is larger inside than a document may be.
    #[error("it has more than {limit} {what}; split it into several documents")]
    TooMuch {
        /// What there is too much of.
        what: String,
        /// How much of it a document may have.
        limit: u64,
    },
    /// It defines entities of its own, which is how a small file becomes an endless one.
    #[error("its XML holds a document type definition, which is never read; save the file anew and send that")]
    Definitions,
    /// Its reader needed more time than one document may have.
    #[error("reading it took longer than {seconds} seconds; split it, or convert it to text and send that")]
    TookTooLong {
        /// How long it may take.
        seconds: u64,
    },
    /// Its reader needed more memory than one document may have.
    #[error("reading it needed more than {mebibytes} MiB of memory; split it, or convert it to text and send that")]
    NeededTooMuchMemory {
        /// How much it may need.
        mebibytes: u64,
    },
    /// Its reader ended in the middle.
    #[error(
        "the reader ended while it read this document; send it again, and if that happens twice, convert it to text"
    )]
    ReaderEnded,
    /// No reader could be started.
    #[error("no reader process can be started; try again later, and tell the operator")]
    NoReader,
}

impl FormatError {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Text(error) => error.kind(),
            Self::NoReader => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        }
    }

    pub(crate) fn damaged(format: &str, what: impl Into<String>) -> Self {
        Self::Damaged { format: format.to_owned(), what: what.into() }
    }

    pub(crate) fn too_much(what: &str, limit: usize) -> Self {
        Self::TooMuch { what: what.to_owned(), limit: limit as u64 }
    }
}
