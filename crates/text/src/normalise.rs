//! Bytes to the one text that everything later speaks of: spans, quotes and hashes are all of this text.
//!
//! Promises: normalising what was normalised changes nothing; every refusal says why. Does not: guess an encoding.

use catena_domain::limits::DOCUMENT_BODY_BYTES_MAX;
use catena_domain::names::is_invisible;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::error::TextError;

const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// A text in normal form: UTF-8, NFC, lines ended by `\n` alone, no control characters but `\n` and `\t`, no byte order
/// mark at its start, something to read in it, and short enough for spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    text: String,
    removed_controls: usize,
}

impl Normalised {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, given away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    /// How many control characters were taken out. Line ends that were only rewritten are not counted.
    #[must_use]
    pub fn removed_controls(&self) -> usize {
        self.removed_controls
    }
}

/// Brings `bytes` into normal form.
pub fn normalise(bytes: &[u8]) -> Result<Normalised, TextError> {
    check_length(bytes.len())?;
    let raw = std::str::from_utf8(bytes).map_err(|error| TextError::InvalidUtf8 { at_byte: error.valid_up_to() })?;
    let (cleaned, removed_controls) = clean(raw);
    let text = match is_nfc_quick(cleaned.chars()) {
        IsNormalized::Yes => cleaned,
        IsNormalized::No | IsNormalized::Maybe => cleaned.nfc().collect(),
    };
    check_length(text.len())?;
    if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err(TextError::Empty);
    }
    Ok(Normalised { text, removed_controls })
}

fn check_length(bytes: usize) -> Result<(), TextError> {
    if bytes > DOCUMENT_BODY_BYTES_MAX {
        return Err(TextError::TooLong { bytes, limit_bytes: DOCUMENT_BODY_BYTES_MAX });
    }
    Ok(())
}

/// Rewrites line ends and takes out control characters and leading byte order marks.
fn clean(raw: &str) -> (String, usize) {
    let mut cleaned = String::with_capacity(raw.len());
    let mut removed = 0;
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                cleaned.push('\n');
            }
            // Page breaks and their like end a line: taking them out would join the words around them.
            '\u{0B}' | '\u{0C}' | '\u{85}' => cleaned.push('\n'),
            '\n' | '\t' => cleaned.push(c),
            // Every mark at the start goes, else a second pass would take out the next one.
            BYTE_ORDER_MARK if cleaned.is_empty() => {}
            c if c.is_control() => removed += 1,
            c => cleaned.push(c),
        }
    }
    (cleaned, removed)
}
