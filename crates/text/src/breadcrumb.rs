//! The line that tells where a chunk stands: embedded and indexed with the chunk, never part of its span.
//!
//! Promises: the same title and headings give the same line, wherever it is made; it is never longer than
//! [`BREADCRUMB_BYTES_MAX`], so it cannot crowd a chunk out of the model's window. Does not: appear in any quote.

use crate::border_at_or_before;

/// Longest breadcrumb, in bytes. A token is at least a byte, so this bounds its tokens too.
pub const BREADCRUMB_BYTES_MAX: usize = 200;
const TITLE_BYTES_MAX: usize = 64;
const HEADING_BYTES_MAX: usize = 56;
const SEPARATOR: &str = " > ";
/// Stands where headings were left out.
const GAP: &str = "…";

/// `Title > Section > Sub`. The title is not repeated when it is also the first heading. When all do not fit, the
/// middle goes first: the title says what the document is, the last heading what the passage is about.
#[must_use]
pub fn breadcrumb(title: &str, headings: &[String]) -> String {
    let title = one_line(title, TITLE_BYTES_MAX);
    let mut parts: Vec<String> = headings.iter().map(|heading| one_line(heading, HEADING_BYTES_MAX)).collect();
    parts.retain(|part| !part.is_empty());
    if let Some(first) = headings.first()
        && !title.is_empty()
        && one_line(first, TITLE_BYTES_MAX) == title
    {
        parts.remove(0);
    }
    let mut kept = parts.len();
    loop {
        let line = joined(&title, &parts[parts.len() - kept..], kept < parts.len());
        if line.len() <= BREADCRUMB_BYTES_MAX || kept == 0 {
            return line;
        }
        kept -= 1;
    }
}

/// What is embedded for a chunk: its breadcrumb, a line break, its text; the text alone when there is no breadcrumb.
#[must_use]
pub fn embedding_text(breadcrumb: &str, body: &str) -> String {
    if breadcrumb.is_empty() { body.to_owned() } else { format!("{breadcrumb}\n{body}") }
}

fn joined(title: &str, headings: &[String], with_gap: bool) -> String {
    let title = Some(title).filter(|title| !title.is_empty());
    let gap = with_gap.then_some(GAP);
    title.into_iter().chain(gap).chain(headings.iter().map(String::as_str)).collect::<Vec<_>>().join(SEPARATOR)
}

/// `text` on one line with single spaces, cut at a word when one ends in the second half of what fits.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let space = usize::from(!line.is_empty());
        if line.len() + space + word.len() <= bytes_max {
            line.push_str(if space == 1 { " " } else { "" });
            line.push_str(word);
            continue;
        }
        let room = bytes_max.saturating_sub(line.len() + space);
        if line.len() < bytes_max / 2 {
            line.push_str(if space == 1 { " " } else { "" });
            line.push_str(&word[..border_at_or_before(word, room)]);
        }
        break;
    }
    line.trim_end().to_owned()
}
