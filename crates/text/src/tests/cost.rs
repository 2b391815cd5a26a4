//! Cost grows with the text and not faster, counted in what has to be measured instead of in time.

use std::cell::Cell;

use super::documents::{hostile, wordpieces};
use crate::{ChunkRules, Format, chunk, outline};

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
        let chunks = chunk(&text, "Title", &outline(Format::Markdown, &text), &ChunkRules::DEFAULT, &wordpieces);
        let most = 4_200 + 8 * wordpieces(&text) / ChunkRules::DEFAULT.target_tokens + text.len() / 4_096;
        assert!(chunks.len() <= most, "{name}: {} chunks", chunks.len());
    }
}

#[test]
fn zz_times() {
    for (name, text) in hostile(100_000) {
        let text = crate::normalise(text.as_bytes()).unwrap().into_string();
        for format in Format::all().filter(|format| format.is_text()) {
            let t = std::time::Instant::now();
            let o = outline(format, &text);
            let a = t.elapsed();
            let n = chunk(&text, "Title", &o, &ChunkRules::DEFAULT, &wordpieces).len();
            let b = t.elapsed();
            if b.as_millis() > 300 { eprintln!("{name} {format:?} outline {a:?} all {b:?} {n}"); }
        }
    }
}

