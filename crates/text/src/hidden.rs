//! What stands in a text and nobody sees: taken out of the blocks it is in, as blocks of its own.
//!
//! Promises: blocks stay in order and apart, and no byte of them is lost. Does not: decide what is hidden; the parsers
//! say so.

use std::ops::Range;
use std::sync::Arc;

use crate::outline::{Block, BlockKind, readable_span};

/// What opens and what closes something that is no part of what HTML shows.
const IN_HTML: [(&str, &str); 3] = [("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>")];

/// The comments, scripts and styles in a piece of HTML. What is not closed reaches up to the end.
#[must_use]
pub fn in_html(html: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = html[at..].find('<').map(|more| at + more) {
        let opened = IN_HTML.iter().find(|(open, _)| starts_with(&html[start..], open));
        at = match opened {
            None => start + 1,
            Some((open, close)) => {
                let end = closing(html, start + open.len(), close);
                found.push(start..end);
                end
            }
        };
    }
    found
}

/// Right after the first `close` from `from` on, or the end.
fn closing(html: &str, from: usize, close: &str) -> usize {
    let mut at = from;
    while let Some(start) = html[at..].find(&close[..1]).map(|more| at + more) {
        if starts_with(&html[start..], close) {
            return start + close.len();
        }
        at = start + 1;
    }
    html.len()
}

fn starts_with(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// `blocks` of `text` without `hidden`, which becomes blocks of its own. Both are in order.
pub(crate) fn apart(text: &str, blocks: Vec<Block>, hidden: Vec<Range<usize>>) -> Vec<Block> {
    if hidden.is_empty() {
        return blocks;
    }
    let mut pieces = Pieces { text, done: Vec::with_capacity(blocks.len() + 2 * hidden.len()) };
    let mut hidden = hidden.into_iter().peekable();
    for mut block in blocks {
        let (mut at, end) = (block.span.start as usize, block.span.end as usize);
        while let Some(range) = hidden.next_if(|range| range.start < end) {
            pieces.add(&mut block, at, range.start);
            pieces.hide(&block.headings, &range);
            at = at.max(range.end);
        }
        pieces.add(&mut block, at, end);
    }
    let headings = pieces.done.last().map_or_else(|| Arc::from([]), |last| Arc::clone(&last.headings));
    hidden.for_each(|range| pieces.hide(&headings, &range));
    pieces.done
}

struct Pieces<'t> {
    text: &'t str,
    done: Vec<Block>,
}

impl Pieces<'_> {
    /// A piece of `block`. The first one opens what the block opens, and only it is a heading.
    fn add(&mut self, block: &mut Block, start: usize, end: usize) {
        let Some(span) = readable_span(self.text, start, end) else { return };
        self.done.push(Block { span, ..block.clone() });
        block.opens = None;
        if matches!(block.kind, BlockKind::Heading { .. }) {
            block.kind = BlockKind::Paragraph;
        }
    }

    fn hide(&mut self, headings: &Arc<[String]>, range: &Range<usize>) {
        let taken = self.done.last().map_or(0, |last| last.span.end as usize);
        let Some(span) = readable_span(self.text, range.start.max(taken), range.end) else { return };
        self.done.push(Block { span, kind: BlockKind::Comment, headings: Arc::clone(headings), opens: None });
    }
}
