//! What holds for all chunks, and what makes them good ones.

use proptest::prelude::*;

use super::documents::{bytes, document, hostile, wordpieces};
use crate::{BlockKind, Chunk, ChunkRules, Format, Keeping, Outline, breadcrumb, chunk, embedding_text, outline};

const SMALL: ChunkRules = ChunkRules { window_tokens: 60, target_tokens: 40, max_bytes: 300, ..ChunkRules::DEFAULT };

/// The promises that hold for any text; an error tells which is broken.
fn verify(
    text: &str,
    title: &str,
    rules: &ChunkRules,
    measure: &dyn Fn(&str) -> usize,
    outline: &Outline,
    chunks: &[Chunk],
) -> Result<(), TestCaseError> {
    let (mut covered, mut line) = (0, 1);
    let unseen = hidden(text, outline);
    for chunk in chunks {
        let body = chunk.span.of(text).ok_or_else(|| TestCaseError::fail("a span splits a character"))?;
        let (start, end) = (chunk.span.start as usize, chunk.span.end as usize);
        prop_assert!(start >= covered, "chunks overlap at byte {start}");
        let skipped = &text[covered..start];
        prop_assert!(unseen[covered..start].trim().is_empty(), "left out: {skipped:?}");
        prop_assert_eq!(&unseen[start..end], body, "a chunk holds what nobody sees");
        prop_assert!(!body.trim().is_empty(), "a chunk with nothing to read at byte {start}");
        prop_assert!(body.len() <= rules.max_bytes, "{} bytes", body.len());
        prop_assert_eq!(chunk.tokens as usize, measure(body));
        let embedded = measure(&embedding_text(&breadcrumb(title, &chunk.headings), body));
        let is_one_character = body.trim().chars().nth(1).is_none();
        prop_assert!(embedded <= rules.window_tokens || is_one_character, "{embedded} tokens in {body:?}");
        let breaks = |bytes: &str| u32::try_from(bytes.matches('\n').count()).unwrap();
        let first_line = line + breaks(skipped);
        line = first_line + breaks(body);
        prop_assert_eq!(chunk.lines, (first_line, line), "a chunk never ends with a line break");
        covered = end;
    }
    prop_assert!(unseen[covered..].trim().is_empty(), "left out at the end: {:?}", &text[covered..]);
    Ok(())
}

/// `text` with spaces in place of what nobody sees, so that offsets stay.
fn hidden(text: &str, outline: &Outline) -> String {
    let mut unseen = text.to_owned();
    for block in outline.blocks.iter().filter(|block| block.kind == BlockKind::Comment) {
        let range = block.span.start as usize..block.span.end as usize;
        if let Some(comment) = block.span.of(text) {
            unseen.replace_range(range, &" ".repeat(comment.len()));
        }
    }
    unseen
}

fn chunked(text: &str, title: &str, rules: &ChunkRules) -> Vec<Chunk> {
    chunk(text, title, &outline(Format::Markdown, text), rules, &wordpieces)
}

fn bodies<'t>(text: &'t str, chunks: &[Chunk]) -> Vec<&'t str> {
    chunks.iter().map(|chunk| chunk.span.of(text).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn chunks_cover_the_text_in_order_and_fit_the_window(
        text in document(),
        title in "\\PC{0,80}",
        format in prop::sample::select(Format::all().filter(|format| format.is_text()).collect::<Vec<_>>()),
        rules in prop::sample::select(vec![ChunkRules::DEFAULT, SMALL]),
    ) {
        // The small window holds no long breadcrumb; the promise is for windows that do.
        let title = if rules == SMALL { "T" } else { &title };
        let outline = outline(format, &text);
        let outline = if rules == SMALL { without_headings(outline) } else { outline };
        let chunks = chunk(&text, title, &outline, &rules, &wordpieces);
        verify(&text, title, &rules, &wordpieces, &outline, &chunks)?;
        prop_assert_eq!(&chunks, &chunk(&text, title, &outline, &rules, &wordpieces), "a second run differs");
    }

    #[test]
    fn chunks_fit_under_measures_that_do_not_add_up(text in document(), title in "\\PC{0,80}") {
        let outline = outline(Format::Markdown, &text);
        let rules = ChunkRules { window_tokens: 400, target_tokens: 300, max_bytes: 4096, ..ChunkRules::DEFAULT };
        let o200k = |text: &str| crate::Tokenizer::O200kBase.count(text);
        for measure in [&bytes as &dyn Fn(&str) -> usize, &o200k] {
            verify(&text, &title, &rules, measure, &outline, &chunk(&text, &title, &outline, &rules, measure))?;
        }
    }

    #[test]
    fn a_chunk_holds_no_two_sections_under_different_second_headings(text in document()) {
        let outline = outline(Format::Markdown, &text);
        let borders: Vec<u32> = outline.blocks.iter().enumerate().filter(|(number, block)| {
            let is_high = matches!(block.kind, BlockKind::Heading { level: 1 | 2 });
            // A heading right below another opens one section with it.
            let before = number.checked_sub(1).map(|before| outline.blocks[before].kind);
            is_high && !matches!(before, None | Some(BlockKind::Heading { .. }))
        }).map(|(_, block)| block.span.start).collect();
        for chunk in chunk(&text, "", &outline, &ChunkRules::DEFAULT, &wordpieces) {
            let torn = borders.iter().find(|&&at| chunk.span.start < at && at < chunk.span.end);
            prop_assert!(torn.is_none(), "the heading at byte {torn:?} is inside a chunk");
        }
    }
}

fn without_headings(mut outline: Outline) -> Outline {
    for block in &mut outline.blocks {
        block.headings = [].into();
    }
    outline
}

#[test]
fn hostile_texts_keep_every_promise() {
    let of_size = |bytes, is_code| {
        let formats: Vec<Format> =
            Format::all().filter(|format| format.is_text() && matches!(format, Format::Code(_)) == is_code).collect();
        hostile(bytes).into_iter().map(move |(name, text)| (name, text, formats.clone()))
    };
    // Text that is no code takes its parser longest.
    for (name, text, formats) in of_size(60_000, false).chain(of_size(8_000, true)) {
        let text = crate::normalise(text.as_bytes()).unwrap().into_string();
        for format in formats {
            let outline = outline(format, &text);
            let chunks = chunk(&text, "Title", &outline, &ChunkRules::DEFAULT, &wordpieces);
            let verdict = verify(&text, "Title", &ChunkRules::DEFAULT, &wordpieces, &outline, &chunks);
            assert!(verdict.is_ok(), "{name} as {format:?}: {verdict:?}");
        }
    }
}

#[test]
fn any_outline_will_do() {
    let text = "ä first\n\nsecond ö third";
    let mut outline = outline(Format::PlainText, text);
    let block = outline.blocks[0].clone();
    for (start, end) in [(1, 3), (0, 400), (9, 4), (8, 18), (30, 40)] {
        let span = catena_domain::Span { start, end };
        outline.blocks.push(crate::Block { span, ..block.clone() });
    }
    let chunks = chunk(text, "", &outline, &ChunkRules::DEFAULT, &wordpieces);
    verify(text, "", &ChunkRules::DEFAULT, &wordpieces, &outline, &chunks).unwrap();
}

#[test]
fn rules_of_nothing_still_end() {
    let text = "# A\n\nSome words, and a few more.\n";
    let rules = ChunkRules { window_tokens: 0, target_tokens: 0, max_bytes: 0, ..ChunkRules::DEFAULT };
    let chunks = chunked(text, "", &rules);
    let rejoined: String = bodies(text, &chunks).concat().split_whitespace().collect();
    assert_eq!(rejoined, text.split_whitespace().collect::<String>());
}

#[test]
fn a_short_document_is_one_chunk() {
    let text = "# Keys\n\nRotate them.\n\n- yearly\n- after a leak\n";
    let chunks = chunked(text, "Keys", &ChunkRules::DEFAULT);
    assert_eq!(bodies(text, &chunks), ["# Keys\n\nRotate them.\n\n- yearly\n- after a leak"]);
    assert_eq!(chunks[0].headings, ["Keys"]);
    assert_eq!(chunks[0].lines, (1, 6));
}

#[test]
fn second_headings_part_chunks_and_a_bare_heading_goes_with_the_next() {
    let text =
        "# Guide\n\n## Keys\n\nRotate.\n\n## Locks\n\nOil.\n\n## Doors\n\n### Front\n\nPaint.\n\n### Back\n\nClose.\n";
    let chunks = chunked(text, "Guide", &ChunkRules::DEFAULT);
    assert_eq!(
        bodies(text, &chunks),
        ["# Guide\n\n## Keys\n\nRotate.", "## Locks\n\nOil.", "## Doors\n\n### Front\n\nPaint.\n\n### Back\n\nClose."]
    );
    let headings: Vec<String> = chunks.iter().map(|chunk| chunk.headings.join("/")).collect();
    assert_eq!(headings, ["Guide/Keys", "Guide/Locks", "Guide/Doors"]);
}

#[test]
fn cuts_are_made_between_paragraphs_before_they_are_made_inside() {
    let paragraph = "Ten words make this sentence, and it ends right here. ".repeat(4);
    let text = format!("# A\n\n{}", format!("{}\n\n", paragraph.trim()).repeat(12));
    let chunks = chunked(&text, "A", &ChunkRules::DEFAULT);
    assert!(chunks.len() > 2, "{} chunks", chunks.len());
    for body in bodies(&text, &chunks) {
        assert!(body.starts_with("Ten") || body.starts_with("# A\n\nTen"), "{body:?}");
        assert!(body.ends_with("here."), "{body:?}");
    }
}

#[test]
fn a_long_paragraph_is_cut_between_sentences_though_its_lines_are_wrapped() {
    let sentence = "Ten words make\nthis sentence, and it\nends right here. ";
    let text = format!("# A\n\n{}\n", sentence.repeat(60).trim());
    let chunks = chunked(&text, "A", &ChunkRules::DEFAULT);
    assert!(chunks.len() > 2, "{} chunks", chunks.len());
    for body in bodies(&text, &chunks) {
        assert!(body.starts_with("Ten") || body.starts_with("# A\n\nTen"), "{body:?}");
        assert!(body.ends_with("here."), "{body:?}");
    }
}

#[test]
fn a_long_table_is_cut_between_rows_and_code_between_lines() {
    let rows = "| one cell. And more | another cell |\n".repeat(60);
    let code = "    let value = compute(1.0). max(2);\n".repeat(60);
    let text = format!("| a | b |\n|---|---|\n{rows}\n```\n{code}```\n");
    let chunks = chunked(&text, "", &ChunkRules::DEFAULT);
    for body in bodies(&text, &chunks) {
        let first = body.lines().next().unwrap();
        let last = body.lines().last().unwrap();
        assert!(first.starts_with('|') || first == "```" || first.starts_with("    let"), "{first:?}");
        assert!(last.ends_with('|') || last == "```" || last.ends_with("max(2);"), "{last:?}");
    }
}

#[test]
fn a_table_that_fits_stays_whole_unless_tables_are_to_be_parted() {
    let words = "Some words that stand before the table. ".repeat(12);
    let rows = "| one cell | another cell |\n".repeat(12);
    let text = format!("{}\n\n| a | b |\n|---|---|\n{rows}", words.trim());
    let tables = |tables| {
        let chunks = chunked(&text, "", &ChunkRules { tables, ..ChunkRules::DEFAULT });
        bodies(&text, &chunks).iter().filter(|body| body.contains("one cell")).count()
    };
    assert_eq!((tables(Keeping::Whole), tables(Keeping::Parted)), (1, 2));
}

#[test]
fn a_small_target_parts_paragraphs_that_the_window_would_hold() {
    let text = "Ten words make this sentence, and it ends right here. ".repeat(10);
    let rules = ChunkRules { target_tokens: 48, ..ChunkRules::DEFAULT };
    let chunks = chunked(text.trim(), "", &rules);
    assert!(chunks.len() >= 3, "{} chunks", chunks.len());
    assert!(chunks.iter().all(|chunk| chunk.tokens <= 60), "{chunks:?}");
}

#[test]
fn chunks_are_well_filled() {
    let paragraph = "Some words of a middling paragraph that says nothing much at all. ".repeat(3);
    let text = format!("# A\n\n{}", format!("{paragraph}\n\n").repeat(200));
    let chunks = chunked(&text, "A", &ChunkRules::DEFAULT);
    let mean = chunks.iter().map(|chunk| chunk.tokens as usize).sum::<usize>() / chunks.len();
    assert!(mean >= 130, "{mean} tokens a chunk");
}

#[test]
fn a_heading_is_not_parted_from_its_text() {
    let text = format!("# A\n\n{}\n\n## B\n\n{}\n", "word ".repeat(900), "word ".repeat(900));
    for body in bodies(&text, &chunked(&text, "A", &ChunkRules::DEFAULT)) {
        assert!(body.contains("word"), "{body:?}");
    }
}

#[test]
fn a_heading_may_take_a_full_paragraph_beyond_the_target_but_not_beyond_the_window() {
    let text = format!("## Some heading\n\n{}\n", "word ".repeat(ChunkRules::DEFAULT.target_tokens - 1).trim());
    let chunks = chunked(&text, "T", &ChunkRules::DEFAULT);
    assert_eq!(bodies(&text, &chunks), [text.trim()]);
    assert!(chunks[0].tokens as usize > ChunkRules::DEFAULT.target_tokens);
}

#[test]
fn editing_one_paragraph_changes_only_its_own_section() {
    let section = |number: usize, extra: &str| {
        let paragraph = format!("Section {number} says this in some words, as sections do. ").repeat(5);
        format!("## Part {number}\n\n{}{extra}\n\n", format!("{paragraph}\n\n").repeat(6))
    };
    let document = |extra: &str| -> String {
        (0..10).map(|number| section(number, if number == 4 { extra } else { "" })).collect()
    };
    let (before, after) = (document(""), document("And one more thing that was forgotten."));
    let texts = |text: &str| -> Vec<(Vec<String>, String)> {
        let chunks = chunked(text, "T", &ChunkRules::DEFAULT);
        chunks.into_iter().map(|chunk| (chunk.headings.clone(), chunk.span.of(text).unwrap().to_owned())).collect()
    };
    let (before, after) = (texts(&before), texts(&after));
    let changed: Vec<_> = after.iter().filter(|chunk| !before.contains(chunk)).collect();
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|(headings, _)| headings == &["Part 4"]), "{changed:?}");
    assert!(changed.len() <= 2, "{} chunks changed", changed.len());
}

/// Paragraphs of two or three sentences of differing length, `count` of them, no two alike.
fn varied_paragraphs(count: usize) -> Vec<String> {
    let sentence = |number: usize| {
        let words = (0..6 + number * 7 % 11).map(|word| format!(" word{}", (number * 31 + word * 17) % 997));
        format!("The{}.", words.collect::<String>())
    };
    (0..count).map(|at| (0..2 + at % 2).map(|part| sentence(at * 3 + part)).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn editing_one_paragraph_of_a_long_text_without_headings_changes_few_chunks() {
    let paragraphs = varied_paragraphs(600);
    for joint in ["\n\n", " "] {
        let texts = |paragraphs: &[String]| -> Vec<String> {
            let text = paragraphs.join(joint);
            let outline = outline(Format::PlainText, &text);
            let chunks = chunk(&text, "T", &outline, &ChunkRules::DEFAULT, &wordpieces);
            bodies(&text, &chunks).into_iter().map(str::to_owned).collect()
        };
        let before = texts(&paragraphs);
        assert!(before.len() > 100, "{} chunks", before.len());
        let mut changes = Vec::new();
        for edited in (0..600).step_by(20) {
            let mut paragraphs = paragraphs.clone();
            paragraphs[edited].push_str(" This was forgotten at first, and has been added since.");
            changes.push(texts(&paragraphs).iter().filter(|text| !before.contains(text)).count());
        }
        let mean = changes.iter().sum::<usize>() / changes.len();
        assert!(mean <= 4, "parted by {joint:?}, {changes:?} chunks changed");
    }
}

#[test]
fn the_tokens_of_a_chunk_leave_out_its_breadcrumb() {
    let text = "# A long heading for a short text\n\nBody.\n";
    let chunks = chunked(text, "Title", &ChunkRules::DEFAULT);
    assert_eq!(chunks[0].tokens as usize, wordpieces(text.trim()));
}
