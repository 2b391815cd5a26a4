//! Counting tokens as the callers' models count them.
//!
//! Promises: the count is that of the named encoding for ordinary text; text that looks like a special token is counted
//! as the text it is; no text makes it fail. A run of more than [`WHITESPACE_RUN_CHARS_MAX`] whitespace characters is
//! counted in parts, and may so come out a few tokens apart from the encoding's own count. Does not: measure for the embedding model, which brings its own tokenizer.

use std::str::FromStr;

use crate::error::{TextError, shortened};

/// Longest run of whitespace that is encoded in one piece, in characters.
pub const WHITESPACE_RUN_CHARS_MAX: usize = 16 * 1024;

/// A tokenizer that a budget can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// `o200k_base`.
    O200kBase,
    /// `cl100k_base`.
    Cl100kBase,
}

impl Tokenizer {
    /// Every tokenizer.
    pub const ALL: [Self; 2] = [Self::O200kBase, Self::Cl100kBase];

    /// The tokenizer's name in requests and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
        }
    }

    /// How many tokens `text` is.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        let encoding = match self {
            Self::O200kBase => tiktoken_rs::o200k_base_singleton(),
            Self::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        };
        parts(text).into_iter().map(|part| encoding.count_ordinary(part)).sum()
    }
}

/// `text` cut inside runs of whitespace that are too long for the encoder, which gives up on them by a panic.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut run_chars) = (0, 0);
    for (at, c) in text.char_indices() {
        run_chars = if c.is_whitespace() { run_chars + 1 } else { 0 };
        if run_chars > WHITESPACE_RUN_CHARS_MAX {
            parts.push(&text[from..at]);
            (from, run_chars) = (at, 1);
        }
    }
    parts.push(&text[from..]);
    parts
}

impl FromStr for Tokenizer {
    type Err = TextError;

    fn from_str(name: &str) -> Result<Self, TextError> {
        Self::ALL.into_iter().find(|tokenizer| tokenizer.as_str() == name).ok_or_else(|| TextError::UnknownTokenizer {
            name: shortened(name),
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}
