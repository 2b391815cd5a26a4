//! Structure found in Markdown and in plain text.

use std::borrow::Cow;

use proptest::prelude::*;

use super::documents::document;
use crate::markdown::{NESTING_COLUMNS_MAX, without_deep_nesting};
use crate::outline::{HEADING_BYTES_MAX, HEADING_DEPTH_MAX};
use crate::{BlockKind, Format, outline};

pub(super) fn sketch(format: Format, text: &str) -> Vec<(BlockKind, &str, String)> {
    let outline = outline(format, text);
    outline
        .blocks
        .into_iter()
        .map(|block| (block.kind, block.span.of(text).unwrap(), block.headings.join("/")))
        .collect()
}

pub(super) fn heading(level: u8) -> BlockKind {
    BlockKind::Heading { level }
}

proptest! {
    #[test]
    fn blocks_are_in_order_readable_and_under_few_short_headings(
        text in document(),
        format in prop::sample::select(Format::all().filter(|format| format.is_text()).collect::<Vec<_>>()),
    ) {
        let mut taken = 0;
        for block in outline(format, &text).blocks {
            let body = block.span.of(&text).ok_or_else(|| TestCaseError::fail("a span splits a character"))?;
            prop_assert!(block.span.start >= taken, "blocks overlap");
            prop_assert_eq!(body, body.trim());
            prop_assert!(!body.is_empty());
            prop_assert!(block.headings.len() <= HEADING_DEPTH_MAX);
            prop_assert!(block.headings.iter().all(|one| !one.is_empty() && one.len() <= HEADING_BYTES_MAX));
            taken = block.span.end;
        }
    }
}

#[test]
fn markdown_blocks_stand_under_their_headings() {
    let text = "Intro\n\n# Keys `k`\n\nText *here*.\n\n## Rotation\n- one\n  - nested\n- two\n\n> said\n\n\
                | a |\n|---|\n| b |\n\n```sh\n# not a heading\n```\n\n***\n\n<div>\nx\n</div>\n\n# End\n";
    assert_eq!(
        sketch(Format::Markdown, text),
        [
            (BlockKind::Paragraph, "Intro", String::new()),
            (heading(1), "# Keys `k`", "Keys k".into()),
            (BlockKind::Paragraph, "Text *here*.", "Keys k".into()),
            (heading(2), "## Rotation", "Keys k/Rotation".into()),
            (BlockKind::ListItem, "- one\n  - nested", "Keys k/Rotation".into()),
            (BlockKind::ListItem, "- two", "Keys k/Rotation".into()),
            (BlockKind::Quote, "> said", "Keys k/Rotation".into()),
            (BlockKind::Table, "| a |\n|---|\n| b |", "Keys k/Rotation".into()),
            (BlockKind::Code, "```sh\n# not a heading\n```", "Keys k/Rotation".into()),
            (BlockKind::Rule, "***", "Keys k/Rotation".into()),
            (BlockKind::Html, "<div>\nx\n</div>", "Keys k/Rotation".into()),
            (heading(1), "# End", "End".into()),
        ]
    );
    assert_eq!(outline(Format::Markdown, text).title.as_deref(), Some("Keys k"));
}

#[test]
fn a_title_is_the_first_top_heading_then_the_front_matter_then_any_heading() {
    let title = |text: &str| outline(Format::Markdown, text).title;
    assert_eq!(title("## Second\n\n# First\n").as_deref(), Some("First"));
    assert_eq!(title("---\ntitle: \"Stated\"\n---\n\n## Second\n").as_deref(), Some("Stated"));
    assert_eq!(title("### Third\n").as_deref(), Some("Third"));
    assert_eq!(title("Only text.\n"), None);
}

#[test]
fn front_matter_is_neither_a_heading_nor_a_rule() {
    let text = "---\ntitle: A\ntags: [x]\n---\nText\n\n---\n\nb: c\n\n---\n";
    let kinds: Vec<BlockKind> = sketch(Format::Markdown, text).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(
        kinds,
        [BlockKind::Metadata, BlockKind::Paragraph, BlockKind::Rule, BlockKind::Paragraph, BlockKind::Rule]
    );
}

#[test]
fn a_heading_after_a_skipped_level_still_finds_its_parent() {
    let text = "# A\n### C\n## B\n#### D\n";
    let paths: Vec<String> = sketch(Format::Markdown, text).into_iter().map(|(.., path)| path).collect();
    assert_eq!(paths, ["A", "A/C", "A/B", "A/B/D"]);
}

#[test]
fn plain_text_shows_its_headings_by_layout() {
    let text = "Harbour rules\n\nShips wait\noutside.\n\nMOORING\n\nUse two lines.\n\n1. Fees\n\nPay first.\n\n\
                1.1 Late fees\n\nPay more.\n\nContacts\n--------\nAsk the office.\n\n- by radio\n- by phone\n";
    assert_eq!(
        sketch(Format::PlainText, text),
        [
            (heading(1), "Harbour rules", "Harbour rules".into()),
            (BlockKind::Paragraph, "Ships wait\noutside.", "Harbour rules".into()),
            (heading(2), "MOORING", "Harbour rules/MOORING".into()),
            (BlockKind::Paragraph, "Use two lines.", "Harbour rules/MOORING".into()),
            (heading(2), "1. Fees", "Harbour rules/1. Fees".into()),
            (BlockKind::Paragraph, "Pay first.", "Harbour rules/1. Fees".into()),
            (heading(3), "1.1 Late fees", "Harbour rules/1. Fees/1.1 Late fees".into()),
            (BlockKind::Paragraph, "Pay more.", "Harbour rules/1. Fees/1.1 Late fees".into()),
            (heading(2), "Contacts\n--------", "Harbour rules/Contacts".into()),
            (BlockKind::Paragraph, "Ask the office.", "Harbour rules/Contacts".into()),
            (BlockKind::ListItem, "- by radio\n- by phone", "Harbour rules/Contacts".into()),
        ]
    );
    assert_eq!(outline(Format::PlainText, text).title.as_deref(), Some("Harbour rules"));
}

#[test]
fn plain_text_that_only_looks_a_little_like_headings_has_none() {
    for text in
        ["1. Milk\n\n2. Eggs\n\n3. Bread\n\nThat is all.", "A sentence.\n\nAnother one.", "alone", "- x\n\ny z."]
    {
        let found = sketch(Format::PlainText, text);
        assert!(found.iter().all(|(kind, ..)| !matches!(kind, BlockKind::Heading { .. })), "{found:?}");
    }
}

#[test]
fn nesting_too_deep_for_a_person_is_text_and_offsets_stay_true() {
    let deep = format!("{}a\n{}", ">".repeat(1_000), "b\n".repeat(1_000));
    for text in [deep, "1. > ".repeat(500), "[^a]: ".repeat(500), format!("{}- a", "\t".repeat(60))] {
        let masked = without_deep_nesting(&text);
        assert_eq!(masked.len(), text.len());
        assert_ne!(masked, text, "nothing was masked");
        let text = format!("a line above\n\n{text}");
        assert_eq!(without_deep_nesting(&text), format!("a line above\n\n{masked}"));
        let containers = masked.lines().map(|line| line.matches(['>', '[', '-']).count()).max();
        assert!(containers <= Some(NESTING_COLUMNS_MAX), "{containers:?} containers on a line");
    }
    let text = format!("# A\n\n{}end\n\n# B\n", "> ".repeat(500));
    let paths: Vec<String> = sketch(Format::Markdown, &text).into_iter().map(|(.., path)| path).collect();
    assert_eq!(paths, ["A", "A", "B"]);
}

#[test]
fn ordinary_markdown_is_parsed_as_it_is() {
    let text = format!("> > - 1. a\n      - b\n\n{} > not a mark - at all\n", "word ".repeat(40));
    assert!(matches!(without_deep_nesting(&text), Cow::Borrowed(_)));
}

#[test]
fn a_long_heading_is_cut_short() {
    let text = format!("# {}\n\ntext\n", "é".repeat(1_000));
    let outline = outline(Format::Markdown, &text);
    assert_eq!(outline.blocks[1].headings[0].len(), HEADING_BYTES_MAX);
}
