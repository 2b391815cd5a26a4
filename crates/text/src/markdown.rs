//! The structure of Markdown.
//!
//! Promises: follows CommonMark's block rules, in a loop and never by recursion, so no nesting can exhaust the stack.
//! Does not: follow links, run HTML, or read front matter beyond its title.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::hidden;
use crate::outline::{BlockKind, Collector, Outline};

/// Longest front matter that is looked for, in bytes.
const FRONT_MATTER_BYTES_MAX: usize = 64 * 1024;

/// Containers deeper than this column are text. Each takes a column at least, so this bounds how many can be open.
pub(crate) const NESTING_COLUMNS_MAX: usize = 128;
/// Most columns that a tab takes.
const TAB_COLUMNS: usize = 4;
/// Longest footnote label that can open a footnote, in bytes; the parser's own bound is lower.
const FOOTNOTE_LABEL_BYTES_MAX: usize = 4_096;

pub(crate) fn outline(text: &str) -> Outline {
    let mut collector = Collector::new(text);
    let body_start = front_matter_end(text);
    collector.block(BlockKind::Metadata, 0, body_start);
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut walk = Walk { text, collector, depth: 0, list_depth: None, label: None };
    let body = without_deep_nesting(&text[body_start..]);
    for (event, range) in Parser::new_ext(&body, options).into_offset_iter() {
        walk.take(event, body_start + range.start..body_start + range.end);
    }
    walk.collector.finish(front_matter_title(&text[..body_start]))
}

/// Where the parser stands.
struct Walk<'t> {
    text: &'t str,
    collector: Collector<'t>,
    /// Containers and blocks that are open.
    depth: usize,
    /// Depth at which an outermost list was opened, while one is open.
    list_depth: Option<usize>,
    /// The text of the heading that is open.
    label: Option<String>,
}

impl Walk<'_> {
    fn take(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => {
                self.start(&tag, range);
                self.depth += 1;
            }
            Event::End(tag) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(tag, range);
            }
            Event::Text(piece) | Event::Code(piece) => self.add_to_label(&piece),
            Event::SoftBreak | Event::HardBreak => self.add_to_label(" "),
            Event::InlineHtml(_) => self.hide_in(range),
            Event::Rule if self.depth == 0 => self.collector.block(BlockKind::Rule, range.start, range.end),
            _ => {}
        }
    }

    /// Comments, scripts and styles in a piece of HTML.
    fn hide_in(&mut self, range: Range<usize>) {
        for hidden in hidden::in_html(&self.text[range.clone()]) {
            self.collector.hide(range.start + hidden.start, range.start + hidden.end);
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        if matches!(tag, Tag::HtmlBlock) {
            self.hide_in(range.clone());
        }
        if matches!(tag, Tag::Item) && self.depth == 1 && self.list_depth.is_some() {
            return self.collector.block(BlockKind::ListItem, range.start, range.end);
        }
        if self.depth > 0 {
            return;
        }
        let kind = match tag {
            Tag::Heading { .. } => {
                self.label = Some(String::new());
                return;
            }
            Tag::List(_) => {
                self.list_depth = Some(self.depth);
                return;
            }
            Tag::CodeBlock(_) => BlockKind::Code,
            Tag::Table(_) => BlockKind::Table,
            Tag::BlockQuote(_) => BlockKind::Quote,
            Tag::HtmlBlock => BlockKind::Html,
            Tag::FootnoteDefinition(_) => BlockKind::Footnote,
            _ => BlockKind::Paragraph,
        };
        self.collector.block(kind, range.start, range.end);
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        if self.depth > 0 {
            return;
        }
        match tag {
            TagEnd::Heading(level) => {
                let label = self.label.take().unwrap_or_default();
                self.collector.heading(number_of(level), &label, range.start, range.end);
            }
            TagEnd::List(_) => self.list_depth = None,
            _ => {}
        }
    }

    fn add_to_label(&mut self, piece: &str) {
        if let Some(label) = &mut self.label {
            label.push_str(piece);
        }
    }
}

fn number_of(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// `body` with every container mark that stands too far right made an ordinary character of the same length, so that
/// offsets stay true. The parser walks all open containers for each line; without a bound on them its cost would grow
/// with the square of a hostile text.
pub(crate) fn without_deep_nesting(body: &str) -> Cow<'_, str> {
    let mut masked: Option<Vec<u8>> = None;
    let mut line_start = 0;
    for line in body.split_inclusive('\n') {
        for mark in deep_marks(line.as_bytes()) {
            masked.get_or_insert_with(|| body.as_bytes().to_vec())[line_start + mark] = b'.';
        }
        line_start += line.len();
    }
    match masked.map(String::from_utf8) {
        Some(Ok(masked)) => Cow::Owned(masked),
        Some(Err(_)) | None => Cow::Borrowed(body),
    }
}

/// Offsets of the container marks of `line` that stand at [`NESTING_COLUMNS_MAX`] or further right.
fn deep_marks(line: &[u8]) -> Vec<usize> {
    let mut marks = Vec::new();
    let (mut at_byte, mut column) = (0, 0);
    while let Some(&byte) = line.get(at_byte) {
        let length = match byte {
            b' ' => 1,
            b'\t' => {
                column += TAB_COLUMNS - 1;
                1
            }
            _ => match mark_length(&line[at_byte..]) {
                Some(length) => length,
                None => break,
            },
        };
        if column >= NESTING_COLUMNS_MAX && !byte.is_ascii_whitespace() {
            marks.push(at_byte);
        }
        at_byte += length;
        column += length;
    }
    marks
}

/// The length of the container mark that `rest` starts with: of a quotation, a list item or a footnote.
fn mark_length(rest: &[u8]) -> Option<usize> {
    let ends = |length: usize| rest.get(length).is_none_or(u8::is_ascii_whitespace).then_some(length);
    match rest.first()? {
        b'>' => Some(1),
        b'-' | b'+' | b'*' => ends(1),
        b'0'..=b'9' => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            matches!(rest.get(digits), Some(b'.' | b')')).then(|| ends(digits + 1)).flatten()
        }
        b'[' if rest.get(1) == Some(&b'^') => {
            let label = rest.iter().take(FOOTNOTE_LABEL_BYTES_MAX).position(|&byte| byte == b']')?;
            (rest.get(label + 1) == Some(&b':')).then_some(label + 2)
        }
        _ => None,
    }
}

/// Where the front matter at the very start ends; zero when there is none. The parser's own reading of it is not used:
/// it would take two thematic breaks anywhere for one.
fn front_matter_end(text: &str) -> usize {
    if !text.starts_with("---\n") {
        return 0;
    }
    let mut at_byte = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        at_byte += line.len();
        let line = line.trim_end();
        match number {
            0 => {}
            1 if !line.contains(':') => return 0,
            _ if line == "---" || line == "..." => return at_byte,
            _ if at_byte > FRONT_MATTER_BYTES_MAX => return 0,
            _ => {}
        }
    }
    0
}

fn front_matter_title(front_matter: &str) -> Option<String> {
    let value = front_matter.lines().find_map(|line| line.strip_prefix("title:"))?;
    let title = crate::breadcrumb::one_line(value.trim().trim_matches(['"', '\'']), crate::outline::HEADING_BYTES_MAX);
    (!title.is_empty()).then_some(title)
}
