//! The structure of text that shows only in its layout.
//!
//! Promises: paragraphs are what blank lines part. Does not: insist. A line is a heading only when it looks like nothing
//! else (underlined, all capitals, numbered and alone, or a short first line); a missed heading costs little, while a
//! false one would tear a section apart.

use std::ops::Range;

use crate::outline::{BlockKind, Collector, Outline};

/// Longest line that can be a heading, in characters.
const HEADING_CHARS_MAX: usize = 80;

pub(crate) fn outline(text: &str) -> Outline {
    let paragraphs = paragraphs(text);
    let mut collector = Collector::new(text);
    for (number, range) in paragraphs.iter().enumerate() {
        let paragraph = &text[range.clone()];
        if let Some((level, label, heading_bytes)) = underlined(paragraph) {
            let heading_end = range.start + heading_bytes;
            collector.heading(level, label, range.start, heading_end);
            collector.block(kind_of(&paragraph[heading_bytes..]), heading_end, range.end);
            continue;
        }
        let neighbour = |at: Option<usize>| at.and_then(|at| paragraphs.get(at)).map(|range| &text[range.clone()]);
        let before = neighbour(number.checked_sub(1));
        match neighbour(Some(number + 1)).and_then(|after| standing_alone(paragraph, before, after)) {
            Some(level) => collector.heading(level, paragraph, range.start, range.end),
            None => collector.block(kind_of(paragraph), range.start, range.end),
        }
    }
    collector.finish(None)
}

/// The ranges between blank lines.
fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<usize> = None;
    let mut at_byte = 0;
    for line in text.split_inclusive('\n') {
        match (line.trim().is_empty(), open) {
            (true, Some(start)) => {
                found.push(start..at_byte);
                open = None;
            }
            (false, None) => open = Some(at_byte),
            _ => {}
        }
        at_byte += line.len();
    }
    found.extend(open.map(|start| start..text.len()));
    found
}

/// Level, label and bytes of a heading that a line of `=` or `-` underlines at the start of `paragraph`.
fn underlined(paragraph: &str) -> Option<(u8, &str, usize)> {
    let mut lines = paragraph.split_inclusive('\n');
    let (label, rule) = (lines.next()?, lines.next()?);
    let mark = rule.trim();
    let level = match mark.bytes().next()? {
        b'=' => 1,
        b'-' => 2,
        _ => return None,
    };
    let is_rule = mark.len() >= 3 && mark.bytes().all(|byte| byte == mark.as_bytes()[0]);
    let is_label = is_short(label.trim()) && label.chars().any(char::is_alphanumeric);
    (is_rule && is_label).then_some((level, label.trim(), label.len() + rule.len()))
}

/// The level of `paragraph` as a heading by itself; `before` and `after` are the paragraphs around it.
fn standing_alone(paragraph: &str, before: Option<&str>, after: &str) -> Option<u8> {
    let line = paragraph.trim();
    if line.contains('\n') || !is_short(line) || line.ends_with(['.', ',', ';', ':']) {
        return None;
    }
    if let Some(depth) = numbering_depth(line) {
        // Numbered lines in a row are a list.
        let in_a_list = before.into_iter().chain([after]).any(|other| {
            let other = other.trim();
            !other.contains('\n') && is_short(other) && numbering_depth(other) == Some(depth)
        });
        return (!in_a_list).then_some(u8::try_from(depth + 1).unwrap_or(6).min(6));
    }
    if is_item(line) {
        return None;
    }
    if before.is_none() && line.chars().any(char::is_alphabetic) {
        return Some(1);
    }
    let mut letters = line.chars().filter(|c| c.is_alphabetic()).peekable();
    let has_word = line.chars().filter(|c| c.is_alphabetic()).nth(2).is_some();
    (has_word && letters.all(char::is_uppercase)).then_some(2)
}

/// How many numbers stand before the words of `line`: one for `2. Scope`, two for `2.1 Terms`.
fn numbering_depth(line: &str) -> Option<usize> {
    let (number, rest) = line.split_once(' ')?;
    let number = number.strip_suffix(['.', ')']).unwrap_or(number);
    let is_number = number
        .split('.')
        .all(|part| !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()));
    (is_number && rest.trim_start().starts_with(char::is_alphabetic)).then(|| number.split('.').count())
}

fn kind_of(paragraph: &str) -> BlockKind {
    if is_item(paragraph.trim_start()) { BlockKind::ListItem } else { BlockKind::Paragraph }
}

/// Whether `line` starts as an item of a list does.
pub(crate) fn is_item(line: &str) -> bool {
    let rest = line.strip_prefix(['-', '*', '+', '•']).or_else(|| {
        let digits = line.bytes().take(9).take_while(u8::is_ascii_digit).count();
        if digits == 0 { None } else { line[digits..].strip_prefix(['.', ')']) }
    });
    rest.is_some_and(|rest| rest.starts_with([' ', '\t']))
}

fn is_short(line: &str) -> bool {
    line.chars().nth(HEADING_CHARS_MAX).is_none()
}
