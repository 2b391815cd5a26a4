//! A text as the model reads it: prefixed, tokenised, marked.
//!
//! Promises: a document is whole or refused; a query or a judged passage that is too long is cut at its end, and the
//! answer says by how much. Does not: cut anything silently, or pad.

use std::borrow::Cow;

use tokenizers::{Encoding, PostProcessor as _, TruncationDirection};

use crate::error::EmbeddingError;
use crate::lane::Input;
use crate::model::Facts;

/// More bytes than this are refused before they are tokenised.
const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Query,
    Document,
    Judged,
}

/// A text's tokens, and how many at its end did not fit (always 0 for a document).
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) encoding: Encoding,
    pub(crate) truncated: usize,
}

impl Tokens {
    pub(crate) fn len(&self) -> usize {
        self.encoding.len()
    }
}

/// Reads an input. `position` is only for messages.
pub(crate) fn read(facts: &Facts, role: Role, position: usize, input: &Input) -> Result<Tokens, EmbeddingError> {
    match input {
        Input::Text(text) => {
            bounded(position, text.len())?;
            single(facts, role, position, text)
        }
        Input::Pair { query, passage } => {
            bounded(position, query.len() + passage.len())?;
            pair(facts, position, query, passage)
        }
    }
}

fn bounded(position: usize, bytes: usize) -> Result<(), EmbeddingError> {
    if bytes <= TEXT_LIMIT_BYTES {
        return Ok(());
    }
    Err(EmbeddingError::TextTooLarge { position, bytes, limit_bytes: TEXT_LIMIT_BYTES })
}

/// What is read of a text: the prefix of its role, then the text.
pub(crate) fn prefixed<'a>(facts: &Facts, role: Role, text: &'a str) -> Cow<'a, str> {
    let prefix = match role {
        Role::Query => &facts.description.query_prefix,
        Role::Document => &facts.description.document_prefix,
        Role::Judged => "",
    };
    if prefix.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{prefix}{text}")) }
}

fn failed(position: usize) -> impl Fn(tokenizers::Error) -> EmbeddingError {
    move |error| EmbeddingError::Tokenise { position, reason: error.to_string() }
}

fn single(facts: &Facts, role: Role, position: usize, text: &str) -> Result<Tokens, EmbeddingError> {
    let whole = prefixed(facts, role, text);
    let encoding = facts.tokenizer.encode_fast(whole.as_ref(), true).map_err(failed(position))?;
    let window = facts.description.max_tokens;
    if encoding.len() <= window {
        return Ok(Tokens { encoding, truncated: 0 });
    }
    if role == Role::Document {
        let tokens = encoding.len() - (window - facts.text_tokens);
        return Err(EmbeddingError::TextTooLong { position, tokens, limit: facts.text_tokens });
    }
    let mut bare = facts.tokenizer.encode_fast(whole.as_ref(), false).map_err(failed(position))?;
    let marks = encoding.len().saturating_sub(bare.len());
    let kept = window.saturating_sub(marks);
    let truncated = bare.len().saturating_sub(kept);
    bare.truncate(kept, 0, TruncationDirection::Right);
    let encoding = facts.tokenizer.post_process(bare, None, true).map_err(failed(position))?;
    Ok(Tokens { encoding, truncated })
}

/// A query and a passage side by side; if they do not fit, the longer one loses its end first.
fn pair(facts: &Facts, position: usize, query: &str, passage: &str) -> Result<Tokens, EmbeddingError> {
    let bare = |text: &str| facts.tokenizer.encode_fast(text, false).map_err(failed(position));
    let (mut query, mut passage) = (bare(query)?, bare(passage)?);
    let marks = facts.tokenizer.get_post_processor().map_or(0, |marks| marks.added_tokens(true));
    let room = facts.description.max_tokens.saturating_sub(marks);
    let (asked, given) = (query.len(), passage.len());
    let query_keeps = asked.min(room.saturating_sub(given).max(room / 2));
    let passage_keeps = given.min(room.saturating_sub(query_keeps));
    query.truncate(query_keeps, 0, TruncationDirection::Right);
    passage.truncate(passage_keeps, 0, TruncationDirection::Right);
    let truncated = (asked - query_keeps) + (given - passage_keeps);
    let encoding = facts.tokenizer.post_process(query, Some(passage), true).map_err(failed(position))?;
    Ok(Tokens { encoding, truncated })
}

/// A text without its last tokens, for a reader that cannot be given tokens.
pub(crate) fn without_end(facts: &Facts, text: &str, tokens: usize) -> String {
    let end = facts.tokenizer.encode(text, false).ok().and_then(|encoding| {
        let kept = encoding.len().checked_sub(tokens + 1)?;
        encoding.get_offsets().get(kept).map(|(_, end)| *end)
    });
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}
