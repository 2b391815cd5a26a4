//! What a text is made of: blocks in order, each under its headings.
//!
//! Promises: blocks are in order, do not overlap, lie on character borders and hold something to read; headings are
//! short and few, so a hostile document cannot multiply its own size; what nobody sees is a block of its own. Does not:
//! promise to cover every byte (what no block claims, such as link definitions, the chunker takes as a paragraph), or
//! keep inline markup.

use std::ops::Range;
use std::sync::Arc;

use catena_domain::Span;

use crate::format::Format;
use crate::{asciidoc, breadcrumb, code, hidden, markdown, plain, rst};

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
    /// The level of the section that begins with this block; none when it goes on with the section before.
    pub opens: Option<u8>,
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
    /// Front matter, and what else is said about a text and not in it.
    Metadata,
    /// What nobody sees who reads the document as it is meant to be read: comments, scripts, styles. Part of the text,
    /// so that lines and offsets stay true, and of no chunk.
    Comment,
}

/// The structure of `text`, which has been normalised.
#[must_use]
pub fn outline(format: Format, text: &str) -> Outline {
    match format {
        Format::PlainText => plain::outline(text),
        Format::ReStructuredText => rst::outline(text),
        Format::AsciiDoc => asciidoc::outline(text),
        Format::Code(language) => code::outline(language, text),
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
    /// What nobody sees, in order.
    hidden: Vec<Range<usize>>,
    first_heading: Option<String>,
    first_top_heading: Option<String>,
}

impl<'t> Collector<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            path: Vec::new(),
            shared_path: Arc::from([]),
            blocks: Vec::new(),
            hidden: Vec::new(),
            first_heading: None,
            first_top_heading: None,
        }
    }

    /// Adds a block over `start..end`, without the whitespace at either end. What an earlier block took is left out.
    pub(crate) fn block(&mut self, kind: BlockKind, start: usize, end: usize) {
        self.add(kind, None, start, end);
    }

    /// The same for a block with which a section of `level` begins.
    pub(crate) fn opening(&mut self, kind: BlockKind, level: u8, start: usize, end: usize) {
        self.add(kind, Some(level), start, end);
    }

    fn add(&mut self, kind: BlockKind, opens: Option<u8>, start: usize, end: usize) {
        let taken = self.blocks.last().map_or(0, |block| block.span.end as usize);
        let Some(span) = readable_span(self.text, start.max(taken), end) else { return };
        self.blocks.push(Block { span, kind, headings: Arc::clone(&self.shared_path), opens });
    }

    /// Lets the last block reach up to `end`; false when there is none.
    pub(crate) fn stretch(&mut self, end: usize) -> bool {
        let Some(last) = self.blocks.last_mut() else { return false };
        if let Some(span) = readable_span(self.text, last.span.start as usize, end) {
            last.span.end = span.end.max(last.span.end);
        }
        true
    }

    /// Says that nobody sees `start..end`, whichever block it is in. To be told in the order of the text.
    pub(crate) fn hide(&mut self, start: usize, end: usize) {
        let start = start.max(self.hidden.last().map_or(0, |last| last.end));
        if start < end {
            self.hidden.push(start..end);
        }
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
        self.enter(level, &label);
        self.add(BlockKind::Heading { level }, Some(level), start, end);
    }

    /// Puts what follows under `label`, in place of whatever stands at this level or below; with an empty label, under
    /// what stands above.
    pub(crate) fn enter(&mut self, level: u8, label: &str) {
        // Levels grow along the path, so it is never longer than there are levels.
        while self.path.last().is_some_and(|&(above, _)| above >= level) {
            self.path.pop();
        }
        let label = breadcrumb::one_line(label, HEADING_BYTES_MAX);
        if !label.is_empty() {
            self.path.push((level, label));
        }
        self.shared_path = self.path.iter().map(|(_, label)| label.clone()).collect();
    }

    /// The outline; its title is the first top heading, else `stated`, else the first heading.
    pub(crate) fn finish(self, stated: Option<String>) -> Outline {
        let blocks = hidden::apart(self.text, self.blocks, self.hidden);
        Outline { title: self.first_top_heading.or(stated).or(self.first_heading), blocks }
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
