//! The structure of reStructuredText.
//!
//! Promises: each line is looked at a few times, whatever stands in it. Does not: run directives, resolve references, or
//! know which directives an installation adds; one that is not known is text.

use crate::lines::Lines;
use crate::outline::{BlockKind, Collector, HEADING_DEPTH_MAX, Outline};
use crate::plain::is_item;

/// A line of this many marks is a transition.
const TRANSITION_MARKS_MIN: usize = 4;
/// An underline may be shorter than its title from this length on.
const UNDERLINE_MARKS_MIN: usize = 4;

/// Lines in which the end of a table is looked for.
const TABLE_LINES_MAX: usize = 2_000;

const CODE: [&str; 14] = [
    "code",
    "code-block",
    "sourcecode",
    "parsed-literal",
    "literalinclude",
    "prompt",
    "testcode",
    "testsetup",
    "testoutput",
    "doctest",
    "math",
    "graphviz",
    "productionlist",
    "highlight",
];
const TABLES: [&str; 3] = ["table", "csv-table", "list-table"];
/// Directives that say something about the text and are none of it.
const METADATA: [&str; 12] = [
    "contents",
    "toctree",
    "index",
    "meta",
    "include",
    "default-role",
    "role",
    "currentmodule",
    "sectnum",
    "highlightlang",
    "tabularcolumns",
    "module",
];
const ADMONITIONS: [&str; 14] = [
    "note",
    "warning",
    "tip",
    "important",
    "caution",
    "danger",
    "error",
    "hint",
    "attention",
    "admonition",
    "seealso",
    "versionadded",
    "versionchanged",
    "deprecated",
];

pub(crate) fn outline(text: &str) -> Outline {
    let mut walk =
        Walk { lines: Lines::new(text), collector: Collector::new(text), styles: Vec::new(), has_body: false };
    let mut at = 0;
    while at < walk.lines.count() {
        at = walk.take(at).max(at + 1);
    }
    walk.collector.finish(None)
}

struct Walk<'t> {
    lines: Lines<'t>,
    collector: Collector<'t>,
    /// The ways in which titles are marked, in the order of their levels.
    styles: Vec<(u8, Overline)>,
    /// Whether anything but titles and fields was found yet.
    has_body: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overline {
    With,
    Without,
}

impl<'t> Walk<'t> {
    /// Takes what begins at the line, and says which line comes next.
    fn take(&mut self, at: usize) -> usize {
        let line = self.lines.at(at);
        if line.is_empty() {
            return at + 1;
        }
        if let Some(next) = self.title(at) {
            return next;
        }
        let is_field = field(line);
        let next = self.body(at, line, is_field);
        self.has_body |= !is_field;
        next
    }

    fn body(&mut self, at: usize, line: &'t str, is_field: bool) -> usize {
        let lines = &self.lines;
        let (kind, next) = if lines.is_indented(at) {
            (BlockKind::Quote, lines.outdented_from(at))
        } else if line == ".." || line.starts_with(".. ") {
            return self.explicit(at, line);
        } else if line.starts_with("__ ") {
            (BlockKind::Metadata, at + 1)
        } else if line.starts_with("+-") || line.starts_with("+=") {
            (BlockKind::Table, lines.find(at, |line| !line.starts_with(['+', '|'])))
        } else if is_simple_border(line) {
            (BlockKind::Table, self.simple_table_end(at))
        } else if marks(line).is_some_and(|(_, count)| count >= TRANSITION_MARKS_MIN) {
            (BlockKind::Rule, at + 1)
        } else if line.starts_with(">>> ") {
            (BlockKind::Code, lines.blank_from(at))
        } else if line.starts_with("| ") {
            (BlockKind::Quote, lines.blank_from(at))
        } else if is_field && !self.has_body {
            (BlockKind::Metadata, lines.outdented_from(at + 1))
        } else if is_field || is_item(line) || line.starts_with("#. ") {
            (BlockKind::ListItem, lines.outdented_from(at + 1))
        } else if lines.is_indented(at + 1) {
            // A term with its definition.
            (BlockKind::ListItem, lines.outdented_from(at + 1))
        } else {
            return self.paragraph(at);
        };
        self.block(kind, at, next);
        next
    }

    fn block(&mut self, kind: BlockKind, first: usize, next: usize) {
        self.collector.block(kind, self.lines.start(first), self.lines.start(next));
    }

    /// A section's title with its marks.
    fn title(&mut self, at: usize) -> Option<usize> {
        let line = self.lines.at(at);
        let below = self.lines.at(at + 1);
        let (mark, overline, label, next) = match marks(line) {
            Some((mark, count)) => {
                let under = marks(self.lines.at(at + 2))?;
                let is_title = !below.is_empty() && marks(below).is_none() && under == (mark, count);
                (is_title && count >= below.trim().chars().count().min(UNDERLINE_MARKS_MIN)).then_some(())?;
                (mark, Overline::With, below.trim(), at + 3)
            }
            None => {
                let (mark, count) = marks(below)?;
                let is_long = count >= line.chars().count().min(UNDERLINE_MARKS_MIN);
                (is_long && !self.lines.is_indented(at) && !line.starts_with(".. ")).then_some(())?;
                (mark, Overline::Without, line, at + 2)
            }
        };
        let style = (mark, overline);
        let known = self.styles.iter().position(|one| *one == style);
        let place = known.unwrap_or_else(|| {
            self.styles.push(style);
            self.styles.len() - 1
        });
        let level = u8::try_from(place + 1).unwrap_or(u8::MAX).min(HEADING_DEPTH_MAX as u8);
        self.collector.heading(level, label, self.lines.start(at), self.lines.start(next));
        Some(next)
    }

    /// What begins with two dots: a directive, a note, a target, a substitution, else a comment.
    fn explicit(&mut self, at: usize, line: &str) -> usize {
        let rest = line[2..].trim();
        let next = self.lines.outdented_from(at + 1);
        if rest.is_empty() && self.lines.is_blank(at + 1) {
            self.collector.hide(self.lines.start(at), self.lines.start(at + 1));
            return at + 1;
        }
        let kind = match rest.as_bytes().first() {
            Some(b'_' | b'|') => BlockKind::Metadata,
            Some(b'[') if rest.contains(']') => BlockKind::Footnote,
            _ => match directive(rest) {
                Some(name) => kind_of(name),
                None => {
                    self.collector.hide(self.lines.start(at), self.lines.start(next));
                    return next;
                }
            },
        };
        self.block(kind, at, next);
        next
    }

    /// Where a table ends whose borders are lines of `=`: after the border that a blank line follows.
    fn simple_table_end(&self, at: usize) -> usize {
        let closing = (at + 1..self.lines.count())
            .take(TABLE_LINES_MAX)
            .take_while(|&line| !self.lines.is_blank(line) || !self.lines.is_blank(line + 1))
            .find(|&line| is_simple_border(self.lines.at(line)) && self.lines.is_blank(line + 1));
        closing.map_or_else(|| self.lines.blank_from(at), |closing| closing + 1)
    }

    /// A paragraph, and the literal text below it when it says that there is one.
    fn paragraph(&mut self, at: usize) -> usize {
        let next = self.lines.blank_from(at);
        self.block(BlockKind::Paragraph, at, next);
        let literal = self.lines.filled_from(next);
        if !self.lines.at(next - 1).ends_with("::") || !self.lines.is_indented(literal) {
            return next;
        }
        let end = self.lines.outdented_from(literal);
        self.block(BlockKind::Code, literal, end);
        end
    }
}

/// The mark that a line repeats, and how often; `None` when it holds anything else.
fn marks(line: &str) -> Option<(u8, usize)> {
    let mark = *line.as_bytes().first()?;
    let repeats = line.len() >= 2 && mark.is_ascii_punctuation() && line.bytes().all(|byte| byte == mark);
    // Two dots begin a comment, two colons a literal text.
    let is_other = line.len() == 2 && matches!(mark, b'.' | b':' | b'_');
    (repeats && !is_other).then_some((mark, line.len()))
}

/// Whether a line draws the border of a table with columns: runs of `=` with gaps between.
fn is_simple_border(line: &str) -> bool {
    line.starts_with("==") && line.contains(' ') && line.bytes().all(|byte| byte == b'=' || byte == b' ')
}

/// Whether a line is a field, such as `:author: somebody`.
fn field(line: &str) -> bool {
    let Some(rest) = line.strip_prefix(':') else { return false };
    rest.find(':').is_some_and(|end| {
        end > 0 && !rest.starts_with(' ') && matches!(rest.as_bytes().get(end + 1), None | Some(b' '))
    })
}

/// The name of the directive that `rest`, which stands after the two dots, calls.
fn directive(rest: &str) -> Option<&str> {
    let (name, _) = rest.split_once("::")?;
    let is_name = |c: char| c.is_alphanumeric() || "-_.+:".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

fn kind_of(directive: &str) -> BlockKind {
    if CODE.contains(&directive) {
        BlockKind::Code
    } else if TABLES.contains(&directive) {
        BlockKind::Table
    } else if METADATA.contains(&directive) {
        BlockKind::Metadata
    } else if directive == "raw" {
        BlockKind::Html
    } else if ADMONITIONS.contains(&directive) {
        BlockKind::Quote
    } else {
        // Descriptions of functions and the like, figures, and what extensions add.
        BlockKind::ListItem
    }
}
