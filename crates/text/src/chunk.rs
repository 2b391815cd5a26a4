//! Blocks to chunks: the spans that are embedded, searched, filtered and cited.
//!
//! Promises, for a measure that is about additive over text parted at whitespace: chunks are in order, do not overlap,
//! and together hold every byte that is not whitespace, and that a reader sees, exactly once; each lies on character
//! borders, is not empty, is at most `max_bytes` long, and fits the window together with its breadcrumb unless it is a
//! single character. Cuts are made at the best border that is near: section, block, line or list item, sentence, word,
//! character. A change inside one section leaves the chunks of the others as they were.
//!
//! Does not: overlap chunks, repeat text, or know what a token is; the measure does.

use catena_domain::Span;

use crate::lines::LineIndex;
use crate::outline::Outline;
use crate::pack::pack;
use crate::refine::Gauge;
use crate::sections::{cover, merge_small};

/// How large a chunk may and should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRules {
    /// Most tokens that the model takes, for a breadcrumb and its chunk together. Above
    /// [`crate::breadcrumb::BREADCRUMB_BYTES_MAX`], so that no breadcrumb fills it.
    pub window_tokens: usize,
    /// Tokens that a chunk is filled up to. Only what would otherwise be torn apart may go beyond, by a quarter and
    /// up to the window.
    pub target_tokens: usize,
    /// Most bytes of a chunk, whatever the measure says: some tokenizers take a word of any length for one token.
    pub max_bytes: usize,
    /// Whether tables that would fit a chunk stay whole.
    pub tables: Keeping,
    /// Whether blocks of code that would fit a chunk stay whole.
    pub code: Keeping,
}

/// What becomes of a block that fits a chunk of its own, but not the rest of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Keeping {
    /// It stays whole.
    #[default]
    Whole,
    /// It is parted between lines, so that chunks are filled.
    Parted,
}

impl ChunkRules {
    /// The rules used unless a recipe says otherwise.
    pub const DEFAULT: Self = Self {
        window_tokens: 254,
        target_tokens: 200,
        max_bytes: catena_domain::limits::CHUNK_BYTES_MAX,
        tables: Keeping::Whole,
        code: Keeping::Whole,
    };
}

impl Default for ChunkRules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A span of a text, and where in the text's structure it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The chunk's text.
    pub span: Span,
    /// The headings that all of the chunk stands under, outermost first.
    pub headings: Vec<String>,
    /// First and last line that the span touches, from one.
    pub lines: (u32, u32),
    /// Tokens of the span's text, without the breadcrumb, in the measure's tokenizer.
    pub tokens: u32,
}

/// Cuts `text`, which has been normalised and has this `outline`, into chunks. `title` is what the breadcrumbs will say;
/// `measure` counts the embedding model's tokens, without those it adds itself.
#[must_use]
pub fn chunk(
    text: &str,
    title: &str,
    outline: &Outline,
    rules: &ChunkRules,
    measure: &dyn Fn(&str) -> usize,
) -> Vec<Chunk> {
    let gauge = Gauge::new(text, rules, measure);
    let lines = LineIndex::new(text);
    let (atoms, sections) = cover(&gauge, outline);
    let mut chunks = Vec::new();
    for section in merge_small(&gauge, &atoms, sections) {
        let breadcrumb = crate::breadcrumb(title, &section.headings);
        for packed in pack(&gauge, breadcrumb, &atoms[section.atoms.clone()]) {
            chunks.push(Chunk {
                span: Span { start: offset(packed.start), end: offset(packed.end) },
                headings: section.headings.to_vec(),
                lines: (lines.line_of(packed.start), lines.line_of(packed.end - 1)),
                tokens: u32::try_from(packed.tokens).unwrap_or(u32::MAX),
            });
        }
    }
    chunks
}

/// Normalised text is far below this bound; text beyond it is never reached by a span, since blocks cannot name it.
fn offset(at_byte: usize) -> u32 {
    u32::try_from(at_byte).unwrap_or(u32::MAX)
}
