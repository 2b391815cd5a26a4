//! What a text is made of: blocks in order, each under its headings.
//!
//! Promises: blocks are in order, do not overlap, lie on character borders and hold something to read; headings are
//! short and few, so a hostile document cannot multiply its own size. Does not: promise to cover every byte (what no
//! block claims, such as link definitions, the chunker takes as a paragraph), or keep inline markup.

use std::sync::Arc;

use catena_domain::Span;

use crate::format::Format;
use crate::{breadcrumb, markdown, plain};

/// Longest heading that is kept, in bytes.
pub const HEADING_BYTES_MAX: usize = 200;
/// Deepest heading path; there are as many levels of headings.
pub const HEADING_DEPTH_MAX: usize = 6;

/// A text's structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The text's own title, when it has one.
    pub title: Option<String>,
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
}

/// One piece of a text that belongs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: BlockKind,
    /// The headings above it, outermost first; a heading's own text is the last of its path. Shared, since a long
    /// section repeats its path for every block.
    pub headings: Arc<[String]>,
}

/// What a block is, as far as cutting it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// A heading.
    Heading {
        /// One for the highest, six for the lowest.
        level: u8,
    },
    /// Running text.
    Paragraph,
    /// An item of an outermost list, with everything inside it.
    ListItem,
    /// A table.
    Table,
    /// Code, fenced or indented.
    Code,
    /// A quotation.
    Quote,
    /// A note that is referred to from elsewhere.
    Footnote,
    /// Raw HTML.
    Html,
    /// A thematic break.
    Rule,
    /// Front matter.
    Metadata,
}

/// The structure of `text`, which has been normalised.
#[must_use]
pub fn outline(format: Format, text: &str) -> Outline {
    match format {
        Format::PlainText | Format::ReStructuredText | Format::AsciiDoc | Format::Code(_) => plain::outline(text),
        // Markdown, and all that readers make Markdown of.
        _ => markdown::outline(text),
    }
}

/// Collects blocks in order and keeps the path of headings above them.
pub(crate) struct Collector<'t> {
    text: &'t str,
    path: Vec<(u8, String)>,
    shared_path: Arc<[String]>,
    blocks: Vec<Block>,
    first_heading: Option<String>,
    first_top_heading: Option<String>,
}

impl<'t> Collector<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let shared_path = Arc::from([]);
        Self { text, path: Vec::new(), shared_path, blocks: Vec::new(), first_heading: None, first_top_heading: None }
    }

    /// Adds a block over `start..end`, without the whitespace at either end. What an earlier block took is left out.
    pub(crate) fn block(&mut self, kind: BlockKind, start: usize, end: usize) {
        let taken = self.blocks.last().map_or(0, |block| block.span.end as usize);
        let Some(span) = readable_span(self.text, start.max(taken), end) else { return };
        self.blocks.push(Block { span, kind, headings: Arc::clone(&self.shared_path) });
    }

    /// Adds a heading over `start..end` and puts what follows under it.
    pub(crate) fn heading(&mut self, level: u8, label: &str, start: usize, end: usize) {
        let label = breadcrumb::one_line(label, HEADING_BYTES_MAX);
        if label.is_empty() {
            return self.block(BlockKind::Paragraph, start, end);
        }
        self.first_heading.get_or_insert_with(|| label.clone());
        if level == 1 {
            self.first_top_heading.get_or_insert_with(|| label.clone());
        }
        // Levels grow along the path, so it is never longer than there are levels.
        while self.path.last().is_some_and(|&(above, _)| above >= level) {
            self.path.pop();
        }
        self.path.push((level, label));
        self.shared_path = self.path.iter().map(|(_, label)| label.clone()).collect();
        self.block(BlockKind::Heading { level }, start, end);
    }

    /// The outline; its title is the first top heading, else `stated`, else the first heading.
    pub(crate) fn finish(self, stated: Option<String>) -> Outline {
        Outline { title: self.first_top_heading.or(stated).or(self.first_heading), blocks: self.blocks }
    }
}

/// The span of what can be read in `start..end`; `None` when that is nothing.
pub(crate) fn readable_span(text: &str, start: usize, end: usize) -> Option<Span> {
    let end = crate::border_at_or_before(text, end);
    let start = crate::border_at_or_before(text, start.min(end));
    let slice = &text[start..end];
    let start = start + (slice.len() - slice.trim_start().len());
    let end = end - (slice.len() - slice.trim_end().len());
    if start >= end {
        return None;
    }
    Span::new(u32::try_from(start).ok()?, u32::try_from(end).ok()?)
}
