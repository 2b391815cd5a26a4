//! Why a text was refused, told so that its sender can mend it.

use catena_domain::ErrorKind;
use serde::{Deserialize, Serialize};

/// Why bytes or a name could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TextError {
    /// The bytes are not UTF-8.
    #[error("the text is not valid utf-8 at byte {at_byte}; convert it to utf-8 and send it again")]
    InvalidUtf8 {
        /// Offset of the first byte that does not belong, in the bytes as they came.
        at_byte: usize,
    },
    /// Nothing readable is left.
    #[error("the text holds nothing that can be read; send some text, or delete the document instead")]
    Empty,
    /// The text is over the limit of a document.
    #[error("the text is {bytes} bytes long; the limit is {limit_bytes}; split it into several documents")]
    TooLong {
        /// Length found.
        bytes: usize,
        /// Length allowed.
        limit_bytes: usize,
    },
    /// No parser takes this content type.
    #[error(
        "no parser takes the content type {content_type:?}; send text, Markdown, HTML, CSV, JSON, PDF, DOCX, PPTX, XLSX or a mail"
    )]
    UnsupportedContentType {
        /// The type as it was given, shortened.
        content_type: String,
    },
    /// The content type names a character set other than UTF-8.
    #[error("the character set {charset:?} is not taken; convert the text to utf-8 and send it again")]
    UnsupportedCharset {
        /// The character set as it was given, shortened.
        charset: String,
    },
    /// No tokenizer has this name.
    #[error("no tokenizer is called {name:?}; the known ones are {known}")]
    UnknownTokenizer {
        /// The name as it was given, shortened.
        name: String,
        /// The names that are known, separated by commas.
        known: String,
    },
}

impl TextError {
    /// What the receiver can do about it: always change what was sent.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// As much of a caller's text as an error message repeats.
pub(crate) fn shortened(text: &str) -> String {
    const REPEATED_BYTES_MAX: usize = 80;
    text[..crate::border_at_or_before(text, REPEATED_BYTES_MAX)].to_owned()
}
