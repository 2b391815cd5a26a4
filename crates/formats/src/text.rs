//! Formats whose text is the document's own: Markdown, plain text, reStructuredText, AsciiDoc and code.
//!
//! Promises: lines keep their numbers; beside what nobody sees, only comments and scripts are taken out, each leaving
//! its line ends, and never out of code, where they are the text. Does not: touch comments of source code.

use std::ops::Range;

use catena_text::{Format, Noticed, Reading};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::clean::clean;
use crate::decode::{Stated, decode};
use crate::error::FormatError;

/// Reads `bytes` as their own text.
pub(crate) fn read(format: Format, stated: Stated<'_>, bytes: &[u8]) -> Result<Reading, FormatError> {
    let cleaned = clean(&decode(bytes, stated)?);
    let text = cleaned.text.replace("\r\n", "\n").replace('\r', "\n");
    let mut noticed = Noticed { invisible_characters: cleaned.removed, ..Noticed::default() };
    let out = match format {
        Format::Markdown => markdown_unshown(&text, &mut noticed),
        Format::ReStructuredText => rst_comments(&text, &mut noticed),
        Format::AsciiDoc => adoc_comments(&text, &mut noticed),
        _ => Vec::new(),
    };
    let normalised = catena_text::normalise(without(&text, &out).as_bytes())?;
    noticed.control_characters = u32::try_from(normalised.removed_controls()).unwrap_or(u32::MAX);
    Ok(Reading { text: normalised.into_string(), title: None, places: Vec::new(), noticed })
}

/// The text without these ranges, but with their line ends.
fn without(text: &str, out: &[Range<usize>]) -> String {
    let mut left = String::with_capacity(text.len());
    let mut at = 0;
    for range in out {
        left.push_str(text.get(at..range.start).unwrap_or_default());
        left.extend(text.get(range.clone()).unwrap_or_default().chars().filter(|c| *c == '\n'));
        at = range.end.max(at);
    }
    left.push_str(text.get(at..).unwrap_or_default());
    left
}

/// Comments, scripts and styles in a Markdown text's HTML.
fn markdown_unshown(text: &str, noticed: &mut Noticed) -> Vec<Range<usize>> {
    if !text.contains('<') {
        return Vec::new();
    }
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let (mut html, mut is_block): (Vec<Range<usize>>, bool) = (Vec::new(), false);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::HtmlBlock) => {
                is_block = true;
                html.push(range);
            }
            Event::End(TagEnd::HtmlBlock) => is_block = false,
            Event::InlineHtml(_) if !is_block => match html.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => html.push(range),
            },
            _ => {}
        }
    }
    let mut out = Vec::new();
    for range in html {
        let stretch = text.get(range.clone()).unwrap_or_default();
        for found in catena_text::hidden_in_html(stretch) {
            let is_comment = stretch[found.clone()].starts_with("<!--");
            let counter = if is_comment { &mut noticed.comments } else { &mut noticed.scripts };
            *counter = counter.saturating_add(1);
            out.push(range.start + found.start..range.start + found.end);
        }
    }
    out
}

/// A text's lines with where they lie, line ends not included.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    text.split('\n').map(move |line| {
        let start = at;
        at += line.len() + 1;
        (start..start + line.len(), line)
    })
}

/// Comments of reStructuredText: `..` and what is indented below it, where that is no directive, target or footnote.
fn rst_comments(text: &str, noticed: &mut Noticed) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let (mut within, mut literal): (Option<usize>, Option<usize>) = (None, None);
    let mut last_indent = 0;
    for (range, line) in lines(text) {
        let indent = line.len() - line.trim_start().len();
        if line.trim().is_empty() {
            continue;
        }
        if let Some(of) = within
            && indent > of
        {
            if let Some(last) = out.last_mut() {
                last.end = range.end;
            }
            continue;
        }
        within = None;
        if let Some(of) = literal {
            if indent > of {
                continue;
            }
            literal = None;
        }
        last_indent = if indent == last_indent { last_indent } else { indent };
        let rest = line.trim();
        if is_rst_comment(rest) {
            noticed.comments = noticed.comments.saturating_add(1);
            within = Some(indent);
            out.push(range);
        } else if rest.ends_with("::") || rest.starts_with(".. code") {
            literal = Some(last_indent);
        }
    }
    out
}

fn is_rst_comment(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("..") else { return false };
    let names_something = || {
        let rest = rest.trim_start();
        rest.starts_with(['_', '[', '|']) || rest.split_whitespace().next().is_some_and(|word| word.contains("::"))
    };
    rest.is_empty() || (rest.starts_with(' ') && !names_something())
}

/// Comments of AsciiDoc: lines that begin with `//`, and blocks between lines of `////`. A title's second line begins no
/// block.
fn adoc_comments(text: &str, noticed: &mut Noticed) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let (mut is_comment, mut literal): (bool, Option<&str>) = (false, None);
    // The two lines before.
    let (mut above, mut higher) = ("", "");
    for (range, line) in lines(text) {
        let bare = line.trim_end();
        let ends_title = begins_anew(higher) && catena_text::is_underlined(above, bare);
        (higher, above) = (above, bare);
        let is_fence = |of: u8| bare.len() >= 4 && bare.bytes().all(|byte| byte == of);
        if is_comment {
            if let Some(last) = out.last_mut() {
                last.end = range.end;
            }
            is_comment = !is_fence(b'/');
        } else if let Some(fence) = literal {
            literal = (bare != fence).then_some(fence);
        } else if ends_title {
            continue;
        } else if is_fence(b'-') || is_fence(b'.') || is_fence(b'+') {
            literal = Some(bare);
        } else if is_fence(b'/') || (bare.starts_with("//") && !bare.starts_with("///")) {
            noticed.comments = noticed.comments.saturating_add(1);
            is_comment = is_fence(b'/');
            out.push(range);
        }
    }
    out
}

/// Whether a title may follow on this line.
fn begins_anew(line: &str) -> bool {
    let is_fence = line.len() >= 4 && line.bytes().all(|byte| line.starts_with(char::from(byte)));
    line.is_empty() || is_fence || line.starts_with("//") || line.starts_with(['[', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own(format: Format, text: &str) -> Reading {
        read(format, Stated::Nothing, text.as_bytes()).unwrap()
    }

    #[test]
    fn a_markdown_comment_is_counted_and_its_lines_keep_their_numbers() {
        let text = "# Keys\n<!-- todo: say\nmore -->\nRotate <!-- or not --> yearly.\n\n```html\n<!-- stays -->\n```\n\n`<!-- too -->`\n";
        let reading = own(Format::Markdown, text);
        assert_eq!(reading.text, "# Keys\n\n\nRotate  yearly.\n\n```html\n<!-- stays -->\n```\n\n`<!-- too -->`\n");
        assert_eq!(reading.noticed.comments, 2);
    }

    #[test]
    fn a_script_in_markdown_is_counted_as_one() {
        let reading = own(Format::Markdown, "Before.\n\n<script>\nsteal()\n</script>\n\nAfter.\n");
        assert_eq!((reading.text.as_str(), reading.noticed.scripts), ("Before.\n\n\n\n\n\nAfter.\n", 1));
    }

    #[test]
    fn comments_of_rst_and_adoc_go_and_their_directives_stay() {
        let rst = "Title\n=====\n\n.. a remark\n   over two lines\n\n.. note:: Stays.\n\n.. _target:\n\n::\n\n    .. stays as code\n\nEnd.\n";
        let reading = own(Format::ReStructuredText, rst);
        assert_eq!(reading.noticed.comments, 1, "{}", reading.text);
        assert!(!reading.text.contains("remark") && !reading.text.contains("two lines"));
        assert!(
            reading.text.contains("Stays.") && reading.text.contains("_target") && reading.text.contains("as code")
        );
        assert_eq!(reading.text.lines().count(), rst.lines().count());
        let adoc = "= Title\n// a remark\n\n////\nhidden\n////\n\n----\n// stays\n----\n";
        let reading = own(Format::AsciiDoc, adoc);
        assert_eq!(reading.text, "= Title\n\n\n\n\n\n\n----\n// stays\n----\n");
        assert_eq!(reading.noticed.comments, 2);
    }

    #[test]
    fn the_second_line_of_a_title_hides_no_comment_from_being_taken_out() {
        let adoc = "Moorings\n========\n\nBow lines\n---------\n\n// a remark\n\n////\nhidden\n////\n\nThe text.\n\nStern\n+++++\n// more\n\n// a remark\nRopes\n-----\n// more\n";
        let reading = own(Format::AsciiDoc, adoc);
        assert_eq!(reading.noticed.comments, 5, "{}", reading.text);
        assert!(!["remark", "hidden", "more"].iter().any(|word| reading.text.contains(word)), "{}", reading.text);
        let code = "A paragraph of some length\n----\n// stays\n----\n\n....\nhead\n----\n// stays\n....\n// goes\n";
        let reading = own(Format::AsciiDoc, code);
        assert_eq!((reading.noticed.comments, reading.text.matches("stays").count()), (1, 2), "{}", reading.text);
    }

    #[test]
    fn code_keeps_its_comments_and_loses_what_nobody_sees() {
        let code = "/* access\u{202E} */ fn main() {} // <!-- -->\n";
        let reading = own(Format::Code(catena_text::Language::Rust), code);
        assert_eq!(reading.text, "/* access */ fn main() {} // <!-- -->\n");
        assert_eq!(reading.noticed, Noticed { invisible_characters: 1, ..Noticed::default() });
    }

    #[test]
    fn many_comments_cost_about_as_much_as_many_words() {
        let cost = |piece: &str| {
            let text = "<div>\n".to_owned() + &piece.repeat(30_000) + "</div>\n";
            let once = || {
                let watch = catena_runtime::clock::Stopwatch::start();
                own(Format::Markdown, &text);
                watch.elapsed()
            };
            (0..3).map(|_| once()).min().unwrap()
        };
        let (words, comments) = (cost("<b></b>"), cost("<!---->"));
        assert!(comments < words * 20, "{words:?} for words, {comments:?} for comments");
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_lines(text in "[a-z#`.:/<>! \n-]{1,80}", which in 0_usize..4) {
            prop_assume!(!text.trim().is_empty());
            let format = [Format::Markdown, Format::ReStructuredText, Format::AsciiDoc, Format::PlainText][which];
            if let Ok(reading) = read(format, Stated::Nothing, text.as_bytes()) {
                prop_assert_eq!(reading.text.split('\n').count(), text.split('\n').count());
            }
        }

        #[test]
        fn any_bytes_are_a_text_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(Format::Markdown, Stated::Nothing, &bytes);
        }
    }
}
