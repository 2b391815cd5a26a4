//! The structure of AsciiDoc.
//!
//! Promises: each line is looked at a few times, whatever stands in it; comments are hidden wherever they stand. Does not:
//! include other files, evaluate conditions or attributes, or look for other blocks inside of quotations, examples, sidebars
//! and tables.

use crate::lines::Lines;
use crate::outline::{BlockKind, Collector, HEADING_DEPTH_MAX, Outline};

/// A line of this many marks delimits a block.
const DELIMITER_MARKS_MIN: usize = 4;
/// The marks that underline titles, in the order of their levels.
const UNDERLINES: [u8; 5] = [b'=', b'-', b'~', b'^', b'+'];
/// An underline may be that much longer or shorter than its title.
const UNDERLINE_SLACK: usize = 2;

pub(crate) fn outline(text: &str) -> Outline {
    let mut walk = Walk { lines: Lines::new(text), collector: Collector::new(text) };
    let mut at = 0;
    while at < walk.lines.count() {
        at = walk.take(at).max(at + 1);
    }
    walk.collector.finish(None)
}

struct Walk<'t> {
    lines: Lines<'t>,
    collector: Collector<'t>,
}

impl<'t> Walk<'t> {
    /// Takes what begins at the line, and says which line comes next.
    fn take(&mut self, at: usize) -> usize {
        let line = self.lines.at(at);
        if line.is_empty() {
            return at + 1;
        }
        if let Some((level, label)) = heading(line) {
            self.collector.heading(level, label, self.lines.start(at), self.lines.start(at + 1));
            return at + 1;
        }
        if let Some((level, label)) = self.underlined(at) {
            self.collector.heading(level, label, self.lines.start(at), self.lines.start(at + 2));
            return at + 2;
        }
        if is_comment(line) {
            self.hide(at, at + 1);
            return at + 1;
        }
        if is_attribute(line) || is_condition(line) {
            self.block(BlockKind::Metadata, at, at + 1);
            return at + 1;
        }
        self.described(at)
    }

    /// A block with the lines above it that describe it.
    fn described(&mut self, first: usize) -> usize {
        let at = self.lines.find(first, |line| !is_description(line));
        let line = self.lines.at(at);
        if line.is_empty() || heading(line).is_some() {
            self.block(BlockKind::Metadata, first, at);
            return at;
        }
        if let Some(kind) = delimited(line) {
            let next = self.closed(at);
            match kind {
                BlockKind::Comment => self.hide(first, next),
                _ => {
                    self.hide_within(kind, at, next);
                    self.block(kind, first, next);
                }
            }
            return next;
        }
        if matches!(line, "'''" | "---" | "***" | "<<<") {
            self.block(BlockKind::Rule, first, at + 1);
            return at + 1;
        }
        if marker(line).is_some() {
            return self.item(first, at);
        }
        let kind = if self.lines.is_indented(at) { BlockKind::Code } else { self.styled(first, at) };
        let next = self.text_end(at);
        self.block(kind, first, next);
        next
    }

    fn block(&mut self, kind: BlockKind, first: usize, next: usize) {
        self.collector.block(kind, self.lines.start(first), self.lines.start(next));
    }

    fn hide(&mut self, first: usize, next: usize) {
        self.collector.hide(self.lines.start(first), self.lines.start(next));
    }

    /// The same inside of a block that ends at `next`.
    fn closed_before(&self, at: usize, next: usize) -> usize {
        let opening = self.lines.at(at);
        let closing = if opening.starts_with("```") { "```" } else { opening };
        (at + 1..next).find(|&line| self.lines.at(line) == closing).map_or(next, |line| line + 1)
    }

    /// Hides the comments in what a line delimits, unless they are its text.
    fn hide_within(&mut self, kind: BlockKind, at: usize, next: usize) {
        if !matches!(kind, BlockKind::Quote | BlockKind::Table) {
            return;
        }
        let mut line = at + 1;
        while line < next {
            line = match delimited(self.lines.at(line)) {
                Some(BlockKind::Comment) => {
                    let end = self.closed_before(line, next);
                    self.hide(line, end);
                    end
                }
                Some(BlockKind::Code | BlockKind::Html) => self.closed_before(line, next),
                _ if is_comment(self.lines.at(line)) => {
                    self.hide(line, line + 1);
                    line + 1
                }
                _ => line + 1,
            };
        }
    }

    /// What the described lines make of a paragraph.
    fn styled(&self, first: usize, at: usize) -> BlockKind {
        let says = |style: &str| (first..at).any(|line| self.lines.at(line)[1..].starts_with(style));
        if says("source") || says("listing") || says("literal") {
            BlockKind::Code
        } else if says("quote") || says("verse") {
            BlockKind::Quote
        } else {
            BlockKind::Paragraph
        }
    }

    /// The line after the one that closes what the line `at` opens; without one, the end.
    fn closed(&self, at: usize) -> usize {
        let opening = self.lines.at(at);
        let closing = if opening.starts_with("```") { "```" } else { opening };
        (self.lines.find(at + 1, |line| line == closing) + 1).min(self.lines.count())
    }

    /// Where a paragraph ends. Comments in it are hidden.
    fn text_end(&mut self, at: usize) -> usize {
        let mut next = at;
        while next < self.lines.count() {
            let line = self.lines.at(next);
            if line.is_empty() || (next > at && delimited(line).is_some()) {
                break;
            }
            if is_comment(line) {
                self.hide(next, next + 1);
            }
            next += 1;
        }
        next
    }

    /// An item of a list, with what is nested in it.
    fn item(&mut self, first: usize, at: usize) -> usize {
        let outer = marker(self.lines.at(at));
        let mut next = at + 1;
        while next < self.lines.count() {
            let line = self.lines.at(next);
            if line.is_empty() {
                let following = self.lines.filled_from(next);
                let goes_on = marker(self.lines.at(following)).is_some_and(|marker| Some(marker) != outer);
                if !goes_on && self.lines.at(following) != "+" {
                    break;
                }
                next = following;
            } else if marker(line) == outer {
                break;
            } else if let Some(kind) = delimited(line) {
                let closed = self.closed(next);
                match kind {
                    BlockKind::Comment => self.hide(next, closed),
                    kind => self.hide_within(kind, next, closed),
                }
                next = closed;
            } else {
                if is_comment(line) {
                    self.hide(next, next + 1);
                }
                next += 1;
            }
        }
        self.block(BlockKind::ListItem, first, next);
        next
    }

    /// A title with its marks on the next line.
    fn underlined(&self, at: usize) -> Option<(u8, &'t str)> {
        let (line, below) = (self.lines.at(at), self.lines.at(at + 1));
        let level = underline(line, below)?;
        (at == 0 || self.lines.is_blank(at - 1)).then_some((level, line))
    }
}

/// The level of a title that has this line below it, if that underlines it.
fn underline(line: &str, below: &str) -> Option<u8> {
    let mark = *below.as_bytes().first()?;
    let level = UNDERLINES.iter().position(|one| *one == mark)? + 1;
    let is_rule = below.bytes().all(|byte| byte == mark) && below.len() >= DELIMITER_MARKS_MIN;
    let is_near = line.chars().count().abs_diff(below.len()) <= UNDERLINE_SLACK;
    (is_rule && is_near && line.starts_with(char::is_alphanumeric)).then(|| u8::try_from(level).unwrap_or(u8::MAX))
}

/// Whether a line is a title by the line below it. Before it nothing stands, or an empty line.
#[must_use]
pub fn is_underlined(line: &str, below: &str) -> bool {
    underline(line, below).is_some()
}

/// Level and label of a title that is marked at its start.
fn heading(line: &str) -> Option<(u8, &str)> {
    let mark = line.chars().next().filter(|c| matches!(c, '=' | '#'))?;
    let label = line.trim_start_matches(mark);
    let level = line.len() - label.len();
    (level <= HEADING_DEPTH_MAX && label.starts_with(' ') && !label.trim().is_empty())
        .then(|| (u8::try_from(level).unwrap_or(u8::MAX), label.trim()))
}

fn is_comment(line: &str) -> bool {
    line.starts_with("//") && !line.starts_with("///")
}

/// Whether a line sets an attribute of the document, such as `:toc:`.
fn is_attribute(line: &str) -> bool {
    let name = line.strip_prefix(':').and_then(|rest| rest.split_once(':')).map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "!-_".contains(c))
}

fn is_condition(line: &str) -> bool {
    ["ifdef::", "ifndef::", "ifeval::", "endif::"].iter().any(|start| line.starts_with(start))
}

/// Whether a line says something about the block below it: its attributes or its title.
fn is_description(line: &str) -> bool {
    let has_attributes = line.starts_with('[') && line.ends_with(']');
    let is_title = line.len() > 1 && line.starts_with('.') && !line.starts_with("..") && !line.starts_with(". ");
    has_attributes || is_title
}

/// What a line delimits.
fn delimited(line: &str) -> Option<BlockKind> {
    if line.starts_with("```") {
        return Some(BlockKind::Code);
    }
    if matches!(line, "|===" | ",===" | ":===" | "!===") {
        return Some(BlockKind::Table);
    }
    if line == "--" {
        return Some(BlockKind::Quote);
    }
    let mark = *line.as_bytes().first()?;
    if line.len() < DELIMITER_MARKS_MIN || !line.bytes().all(|byte| byte == mark) {
        return None;
    }
    match mark {
        b'-' | b'.' => Some(BlockKind::Code),
        b'=' | b'*' | b'_' => Some(BlockKind::Quote),
        b'+' => Some(BlockKind::Html),
        b'/' => Some(BlockKind::Comment),
        _ => None,
    }
}

/// The mark with which an item of a list begins. Items with other marks are nested in it.
fn marker(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    let repeats = |of: u8| mark.len() <= 5 && mark.bytes().all(|byte| byte == of);
    let number = mark.strip_suffix('.').unwrap_or_default();
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_mark = !mark.is_empty() && (repeats(b'*') || repeats(b'.') || mark == "-");
    if is_mark && !rest.trim().is_empty() {
        return Some(mark);
    }
    if is_number && !rest.trim().is_empty() {
        return Some("1.");
    }
    let is_term = line.ends_with("::") || line.contains(":: ");
    is_term.then_some("::")
}
