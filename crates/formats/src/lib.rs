//! Bytes of any known format to one normalised text, with the pages, slides and rows that it came from.
//!
//! Promises: text is read here; whatever else there is is read in a child process that is killed when it takes too
//! long, grows too large or says too much; one bad file is one error with a reason that a person can act on.
//! Does not: cut text into chunks, or decide who may see it.

pub mod error;

use catena_text::{Format, Noticed, Reading};

pub use error::FormatError;

/// The readers. Cloning gives another handle to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Formats {}

impl Formats {
    /// Reads `bytes`, which are of `format`. `charset` is what their sender says of their characters.
    pub async fn read(
        &self,
        format: Format,
        _charset: Option<String>,
        bytes: Vec<u8>,
    ) -> Result<Reading, FormatError> {
        if !format.is_text() {
            return Err(FormatError::Unsupported { content_type: format.as_content_type() });
        }
        let normalised = catena_text::normalise(&bytes)?;
        let control_characters = u32::try_from(normalised.removed_controls()).unwrap_or(u32::MAX);
        Ok(Reading {
            text: normalised.into_string(),
            title: None,
            places: Vec::new(),
            noticed: Noticed { control_characters, ..Noticed::default() },
        })
    }
}
