//! What the service and a reader process say to each other, over the process's own pipes.
//!
//! A question is a header and the document's bytes, an answer a header and the text. Lengths are read before what they
//! are of and are bounded, so that neither side can make the other take more than that.

use catena_domain::limits::{DOCUMENT_BODY_BYTES_MAX, DOCUMENT_FILE_BYTES_MAX};
use catena_text::{Noticed, Place};
use serde::{Deserialize, Serialize};

use crate::error::FormatError;

/// The longest header: places are most of it.
pub(crate) const HEADER_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// The longest document.
pub(crate) const DOCUMENT_BYTES_MAX: usize = DOCUMENT_FILE_BYTES_MAX;
/// The longest text.
pub(crate) const TEXT_BYTES_MAX: usize = DOCUMENT_BODY_BYTES_MAX;

/// What is to be read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) content_type: String,
    pub(crate) charset: Option<String>,
    pub(crate) bytes: usize,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It was read, and its text follows.
    Read(Head),
    /// It was not, and nothing follows.
    Failed(FormatError),
}

/// A reading without its text.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) title: Option<String>,
    pub(crate) places: Vec<Place>,
    pub(crate) noticed: Noticed,
    pub(crate) text_bytes: usize,
}
