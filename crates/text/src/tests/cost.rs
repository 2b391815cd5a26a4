//! Cost grows with the text and not faster, counted in what has to be measured instead of in time.

use std::cell::Cell;

use super::documents::{hostile, wordpieces};
use crate::{BlockKind, ChunkRules, Format, Language, chunk, outline};

#[test]
fn a_text_is_measured_a_few_times_over_and_no_more() {
    for (name, text) in hostile(300_000) {
        let text = crate::normalise(text.as_bytes()).unwrap().into_string();
        let (measured_bytes, calls) = (Cell::new(0), Cell::new(0));
        let measure = |text: &str| {
            measured_bytes.set(measured_bytes.get() + text.len());
            calls.set(calls.get() + 1);
            wordpieces(text)
        };
        let chunks = chunk(&text, "Title", &outline(Format::Markdown, &text), &ChunkRules::DEFAULT, &measure);
        let overhead = 400 * chunks.len();
        assert!(
            measured_bytes.get() <= 6 * text.len() + overhead,
            "{name}: {} bytes measured for a text of {}, {} chunks",
            measured_bytes.get(),
            text.len(),
            chunks.len()
        );
        assert!(calls.get() <= text.len() * 2, "{name}: {} calls", calls.get());
    }
}

#[test]
fn a_hostile_text_makes_no_more_chunks_than_its_size_allows() {
    for (name, text) in hostile(300_000) {
        let text = crate::normalise(text.as_bytes()).unwrap().into_string();
        let outline = outline(Format::Markdown, &text);
        let chunks = chunk(&text, "Title", &outline, &ChunkRules::DEFAULT, &wordpieces);
        // No chunk reaches across what nobody sees.
        let cuts = outline.blocks.iter().filter(|block| block.kind == BlockKind::Comment).count();
        let most = 4_200 + cuts + 8 * wordpieces(&text) / ChunkRules::DEFAULT.target_tokens + text.len() / 4_096;
        assert!(chunks.len() <= most, "{name}: {} chunks", chunks.len());
    }
}

#[test]
fn what_is_no_code_is_not_parsed_to_its_end() {
    let text = format!("{}\n", "|a".repeat(20_000));
    for language in [Language::C, Language::Go, Language::Python, Language::Rust, Language::Java] {
        let blocks = outline(Format::Code(language), &text).blocks;
        assert!(blocks.len() == 1 && blocks[0].headings.is_empty(), "{language:?}: {} blocks", blocks.len());
    }
    let code = "/// Says what it does.\nfn name(first: usize) -> usize {\n    first + 1\n}\n\n".repeat(10_000);
    assert!(outline(Format::Code(Language::Rust), &code).blocks.len() > 9_000, "ordinary code was given up");
}
