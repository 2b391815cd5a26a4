//! PDF as Markdown: its lines in the order in which they are read, headings by their size, each page at its number.
//!
//! Promises: a page without text is counted, and a file without any is an error that says so; letters too small to be
//! seen are counted and left out, and what lies outside its page is left out. Does not: recognise text in pictures, rebuild tables, or judge
//! by colour, because light letters stand on dark ground as often as on none.

mod lines;

use catena_domain::limits::PAGES_MAX;
use catena_text::{Position, Reading};
use pdf_oxide::PdfDocument;
use pdf_oxide::error::Error;

use crate::draft::Draft;
use crate::error::FormatError;
use lines::Line;

const FORMAT: &str = "PDF";
/// How much larger than the text around them the letters of a heading are.
const HEADING_RATIO: f32 = 1.15;
/// The longest line that is a heading.
const HEADING_CHARS_MAX: usize = 200;
/// The longest that strong letters alone make one.
const STRONG_HEADING_CHARS_MAX: usize = 100;
/// Marks with which an item begins.
const BULLETS: [char; 8] = ['•', '●', '▪', '■', '◦', '‣', '○', '\u{F0B7}'];

/// Reads a PDF.
pub(crate) fn read(bytes: &[u8]) -> Result<Reading, FormatError> {
    let document = PdfDocument::from_bytes(bytes.to_vec()).map_err(|error| told(&error))?;
    if document.is_encrypted() && !document.authenticate(b"").unwrap_or(false) {
        return Err(FormatError::Encrypted { format: FORMAT.to_owned() });
    }
    let count = document.page_count().map_err(|error| told(&error))?;
    if count == 0 {
        return Err(FormatError::damaged(FORMAT, "it has no pages"));
    }
    if count > PAGES_MAX {
        return Err(FormatError::too_much("pages", PAGES_MAX));
    }
    let (mut draft, mut pages) = (Draft::default(), Vec::with_capacity(count));
    for page in 0..count {
        let mut spans = document.extract_spans(page).map_err(|error| told(&error))?;
        // Columns are found for scripts that are written from the left; others are read row by row.
        if lines::is_from_right(&spans.iter().collect::<Vec<_>>()) {
            spans = document.extract_page_text(page).map_err(|error| told(&error))?.spans;
        }
        let found = lines::of(&spans);
        draft.noticed.hidden_text = draft.noticed.hidden_text.saturating_add(found.hidden);
        draft.noticed.unread_pages += u32::from(found.lines.is_empty());
        pages.push(found.lines);
    }
    let body_size = body_size(&pages);
    for (number, lines) in (1..).zip(&pages) {
        draft.place(Position::Page(number));
        write(&mut draft, lines, body_size);
        if draft.is_over() {
            break;
        }
    }
    if draft.is_empty() {
        return Err(FormatError::OnlyPictures { pages: u32::try_from(count).unwrap_or(u32::MAX) });
    }
    draft.finish()
}

fn told(error: &Error) -> FormatError {
    match error {
        Error::EncryptedPdf => FormatError::Encrypted { format: FORMAT.to_owned() },
        _ => FormatError::damaged(FORMAT, "its structure is broken"),
    }
}

/// The size in which most letters are.
fn body_size(pages: &[Vec<Line>]) -> f32 {
    let mut letters = std::collections::BTreeMap::<u32, usize>::new();
    for line in pages.iter().flatten() {
        *letters.entry((line.size * 2.0).round().clamp(0.0, 1e6) as u32).or_default() += line.text.len();
    }
    letters.into_iter().max_by_key(|(_, letters)| *letters).map_or(10.0, |(size, _)| size as f32 / 2.0)
}

/// Writes a page's lines as headings, items and paragraphs.
fn write(draft: &mut Draft, lines: &[Line], body_size: f32) {
    let mut rest = lines;
    while let Some(first) = rest.first() {
        let block = 1 + rest.windows(2).take_while(|pair| pair[1].goes_on_from(&pair[0])).count();
        let (block, after) = rest.split_at(block);
        rest = after;
        let text = joined(block);
        let ratio = first.size / body_size;
        if is_heading(block, &text, ratio) {
            let level = match ratio {
                1.8.. => 1,
                1.4.. => 2,
                1.05.. => 3,
                _ => 4,
            };
            draft.heading(level, &text);
        } else {
            // An item goes on over its lines until the next mark.
            let mut paragraph = String::new();
            for line in text.lines() {
                if let Some(item) = line.trim_start().strip_prefix(BULLETS) {
                    flush(draft, &mut paragraph);
                    paragraph = format!("•{item}");
                } else {
                    paragraph.push_str(if paragraph.is_empty() { "" } else { "\n" });
                    paragraph.push_str(line);
                }
            }
            flush(draft, &mut paragraph);
        }
    }
}

/// Whether a block stands out as a heading does: by its size, or by strong letters alone.
fn is_heading(block: &[Line], text: &str, ratio: f32) -> bool {
    let is_strong = ratio >= 0.95
        && block.len() <= 2
        && block.iter().all(|line| line.is_strong)
        && text.chars().count() <= STRONG_HEADING_CHARS_MAX
        && !text.ends_with(['.', ':', ',', ';']);
    (ratio >= HEADING_RATIO || is_strong)
        && text.chars().count() <= HEADING_CHARS_MAX
        && text.chars().any(char::is_alphabetic)
        && !text.starts_with(BULLETS)
}

fn flush(draft: &mut Draft, paragraph: &mut String) {
    let text = std::mem::take(paragraph);
    match text.strip_prefix('•') {
        Some(item) => draft.item(0, "-", item),
        None => draft.paragraph(&text),
    }
}

/// The lines as one text. A word that is parted at a line's end is put together again.
fn joined(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let is_parted = text.strip_suffix('-').is_some_and(|before| before.ends_with(char::is_lowercase))
            && line.text.starts_with(char::is_lowercase);
        if is_parted {
            text.pop();
        } else if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line.text);
    }
    text
}

#[cfg(test)]
mod tests;
