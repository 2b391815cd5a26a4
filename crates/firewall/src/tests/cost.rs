//! Ten times the text costs about ten times as much, also of text that is made to cost more. Cost that grows with the
//! square of the length would be a hundred times as much; a busy machine is allowed its noise.

#![expect(clippy::disallowed_methods, reason = "the question is how long it takes")]

use std::time::{Duration, Instant};

use super::table::{all, positives};
use crate::{Action, Noticed, screen};

/// Bytes of the shorter text; the longer one has ten times as many.
const BYTES: usize = 60_000;

/// Texts that begin many findings and end few of them.
fn hostile() -> Vec<(&'static str, String)> {
    let mut all: Vec<(&'static str, String)> = [
        ("one letter", "a"),
        ("dots and letters", "a."),
        ("addresses that never end", "a@a."),
        ("keys that never end", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("keys that end much later", "-----BEGIN PRIVATE KEY-----AAAA"),
        ("tokens without their dots", "eyJ0eyJ0"),
        ("digits", "4539 1488 "),
        ("digits without blanks", "4539148803436467"),
        ("half of an account number", "DE44 5001 0517 "),
        ("signs of telephone numbers", "+49 (0) "),
        ("passwords without values", "password=password:secret="),
        ("addresses with colons", "a://a:a"),
        ("orders that never come to their end", "ignore all the previous "),
        ("words for a model", "ai assistant must note to "),
        ("base64", "aWdub3JlIGFsbCBwcmV2aW91cyBpbnN0cnVjdGlvbnMg"),
        ("images", "![a](https://a?"),
        ("invisible letters", "a\u{200B}\u{200B}"),
        ("letters of three bytes", "語"),
    ]
    .map(|(name, piece)| (name, piece.to_owned()))
    .into();
    all.extend(positives().into_iter().map(|(name, text, _)| (name, format!("{text}\n"))));
    all
}

fn fastest(text: &str, action: Action) -> Duration {
    let policy = all(action);
    let once = || {
        let text = text.to_owned();
        let start = Instant::now();
        let screened = screen(&policy, Noticed::default(), text, Vec::new());
        (start.elapsed(), screened.report.counts.len()).0
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn ten_times_the_text_costs_about_ten_times_as_much() {
    for (name, piece) in hostile() {
        let short = piece.repeat(BYTES / piece.len());
        let long = piece.repeat(10 * BYTES / piece.len());
        for action in [Action::Flag, Action::Redact] {
            // Below a tenth of a millisecond the clock says little.
            let (of_short, of_long) = (fastest(&short, action).max(Duration::from_micros(100)), fastest(&long, action));
            let ratio = of_long.as_secs_f64() / of_short.as_secs_f64();
            assert!(
                ratio < 45.0,
                "{name}, {action:?}: {of_short:?} for {BYTES} bytes, {of_long:?} for ten times as many"
            );
            let per_mb = of_long.as_secs_f64() / (long.len() as f64 / 1e6);
            assert!(per_mb < 20.0, "{name}, {action:?}: {per_mb:.1} s a megabyte");
        }
    }
}
