//! Bytes to normalised text, text to structure, structure to chunks; and the counting of tokens.
//!
//! Promises: everything here is a pure function of its arguments, so the same bytes under the same
//! [`PARSER_VERSION`] and [`CHUNKER_VERSION`] give the same chunks everywhere; a chunk is a span of the normalised
//! text and never a copy of it; chunks keep the text's order, do not overlap, and leave out nothing but whitespace and
//! what no reader sees; cost grows about linearly with the text, whatever the text is.
//!
//! Does not: read or write anything, guess encodings, know a model's tokenizer (the caller lends a measure), or decide
//! what may be seen.

pub mod breadcrumb;
pub mod chunk;
pub mod error;
pub mod format;
pub mod normalise;
pub mod outline;
pub mod reading;
pub mod tokens;
pub mod view;

mod asciidoc;
mod code;
mod hidden;
mod lines;
mod markdown;
mod pack;
mod plain;
mod refine;
mod rst;
mod sections;
#[cfg(test)]
mod tests;

pub use asciidoc::is_underlined;
pub use breadcrumb::{breadcrumb, embedding_text};
pub use chunk::{Chunk, ChunkRules, Keeping, chunk};
pub use error::TextError;
pub use format::{Format, Language};
pub use hidden::in_html as hidden_in_html;
pub use normalise::{Normalised, normalise};
pub use outline::{Block, BlockKind, Outline, outline};
pub use reading::{Noticed, Place, Position, Reading};
pub use tokens::Tokenizer;

/// Version of everything that turns bytes into blocks. Raise it when equal bytes may give other text or other blocks.
pub const PARSER_VERSION: u32 = 3;
/// Version of everything that turns blocks into chunks and breadcrumbs. Raise it when equal blocks may give others.
pub const CHUNKER_VERSION: u32 = 2;

/// The last character border of `text` at or before `at_byte`.
fn border_at_or_before(text: &str, at_byte: usize) -> usize {
    let mut border = at_byte.min(text.len());
    while !text.is_char_boundary(border) {
        border -= 1;
    }
    border
}
