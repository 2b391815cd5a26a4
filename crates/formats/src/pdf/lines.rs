//! A page's stretches of letters put together to lines.
//!
//! The stretches come in the order in which they are read, columns one after the other. What stands on one base line, and
//! goes on to the right, is one line. In a script that is written from the right, the stretches of a line are turned.

use pdf_oxide::layout::TextSpan;

/// Letters smaller than this, in points, are not seen.
const UNREADABLE_POINTS: f32 = 1.0;
/// A gap wider than this part of a letter's size is a space.
const SPACE_RATIO: f32 = 0.15;

/// A line of text.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    /// Its largest letters' size in points.
    pub(super) size: f32,
    /// Whether all of it is bold.
    pub(super) is_strong: bool,
    top: f32,
    left: f32,
    right: f32,
}

impl Line {
    /// Whether this line belongs to the block of the one before it.
    pub(super) fn goes_on_from(&self, before: &Self) -> bool {
        let size = self.size.max(before.size);
        let below = before.top - self.top;
        (self.size - before.size).abs() <= size * 0.1
            && below > 0.0
            && below <= size * 1.8
            && self.left < before.right
            && before.left < self.right
    }
}

/// What is on a page.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) lines: Vec<Line>,
    /// Stretches that nobody sees.
    pub(super) hidden: u32,
}

/// The lines of a page's stretches.
pub(super) fn of(spans: &[TextSpan]) -> Found {
    let mut found = Found::default();
    let mut row: Vec<&TextSpan> = Vec::new();
    for span in spans {
        if is_unseen(span) {
            found.hidden = found.hidden.saturating_add(u32::from(!span.text.trim().is_empty()));
            continue;
        }
        if row.last().is_some_and(|last| !goes_on(last, span)) {
            found.lines.extend(line(&row));
            row.clear();
        }
        row.push(span);
    }
    found.lines.extend(line(&row));
    found
}

fn is_unseen(span: &TextSpan) -> bool {
    span.font_size < UNREADABLE_POINTS && span.bbox.height < UNREADABLE_POINTS
}

fn goes_on(before: &TextSpan, span: &TextSpan) -> bool {
    let (a, b) = (&before.bbox, &span.bbox);
    let shared = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    shared >= a.height.min(b.height) * 0.5
        && b.x + b.width.max(1.0) >= a.x + a.width
        && b.x - (a.x + a.width) < page_gap(before)
}

/// A gap beyond which another column begins.
fn page_gap(span: &TextSpan) -> f32 {
    span.font_size.max(6.0) * 30.0
}

fn line(row: &[&TextSpan]) -> Option<Line> {
    let first = row.first()?;
    let is_from_right = is_from_right(row);
    let (mut text, mut right): (String, Option<f32>) = (String::new(), None);
    let mut pieces: Vec<String> = Vec::new();
    for span in row {
        let is_apart = right.is_some_and(|right| span.bbox.x - right > span.font_size * SPACE_RATIO);
        let piece =
            if is_from_right && is_turned(&span.text) { span.text.chars().rev().collect() } else { span.text.clone() };
        pieces.push(if is_apart && !is_from_right { format!(" {piece}") } else { piece });
        if is_apart && is_from_right {
            pieces.push(" ".to_owned());
            let last = pieces.len() - 1;
            pieces.swap(last - 1, last);
        }
        right = Some(span.bbox.x + span.bbox.width);
    }
    if is_from_right {
        pieces.reverse();
    }
    pieces.iter().for_each(|piece| text.push_str(piece));
    let text = crate::draft::one_line(&text);
    (!text.is_empty()).then(|| Line {
        text,
        size: row.iter().map(|span| span.font_size).fold(0.0, f32::max),
        is_strong: row.iter().filter(|span| !span.text.trim().is_empty()).all(|span| span.font_weight.is_bold()),
        top: first.bbox.y,
        left: row.iter().map(|span| span.bbox.x).fold(f32::MAX, f32::min),
        right: right.unwrap_or(0.0),
    })
}

fn is_rtl(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}')
}

/// Whether most letters are of a script that is written from the right.
pub(super) fn is_from_right(row: &[&TextSpan]) -> bool {
    let letters = || row.iter().flat_map(|span| span.text.chars()).filter(|c| c.is_alphabetic());
    let from_right = letters().filter(|c| is_rtl(*c)).count();
    from_right > 0 && from_right * 2 >= letters().count()
}

/// Whether an Arabic stretch runs backwards: its words begin with letters that only end one.
fn is_turned(text: &str) -> bool {
    const LAST_ONLY: [char; 2] = ['ة', 'ى'];
    let (mut begin, mut end) = (0, 0);
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 1) {
        begin += usize::from(word.starts_with(LAST_ONLY));
        end += usize::from(word.ends_with(LAST_ONLY));
    }
    begin > end
}
