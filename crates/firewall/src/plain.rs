//! A text as detectors read it: without the characters that nobody sees, and with the way back to where things stand.

use std::borrow::Cow;

use catena_domain::names::is_invisible;

/// Shortest run of invisible characters that is a finding. Emoji are joined by fewer, and flags made of fewer.
const RUN_CHARS_MIN: usize = 8;

/// A text without invisible characters.
pub(crate) struct Plain<'a> {
    pub(crate) text: Cow<'a, str>,
    /// From this byte of the plain text on, so many bytes were left out before.
    shifts: Vec<(usize, usize)>,
    /// Runs of invisible characters in the text as it was, first byte and one past the last.
    pub(crate) runs: Vec<(usize, usize)>,
}

impl<'a> Plain<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        if text.is_ascii() || !text.chars().any(is_invisible) {
            return Self { text: Cow::Borrowed(text), shifts: Vec::new(), runs: Vec::new() };
        }
        let mut plain = Self { text: Cow::Owned(String::new()), shifts: Vec::new(), runs: Vec::new() };
        let (mut kept, mut run, mut run_chars) = (String::with_capacity(text.len()), 0, 0);
        for (at, c) in text.char_indices() {
            if is_invisible(c) {
                run = if run_chars == 0 { at } else { run };
                run_chars += 1;
                continue;
            }
            plain.end_run(run, at, run_chars, kept.len());
            run_chars = 0;
            kept.push(c);
        }
        plain.end_run(run, text.len(), run_chars, kept.len());
        plain.text = Cow::Owned(kept);
        plain
    }

    fn end_run(&mut self, start: usize, end: usize, chars: usize, kept: usize) {
        if chars == 0 {
            return;
        }
        self.shifts.push((kept, end - kept));
        if chars >= RUN_CHARS_MIN {
            self.runs.push((start, end));
        }
    }

    /// Where the span of the plain text stands in the text as it was.
    pub(crate) fn back(&self, start: usize, end: usize) -> (usize, usize) {
        // A span ends with its last visible character, so it does not take in what is hidden behind it.
        (self.shifted(start, |&(from, _)| from <= start), self.shifted(end, |&(from, _)| from < end))
    }

    fn shifted(&self, at: usize, applies: impl Fn(&(usize, usize)) -> bool) -> usize {
        let passed = self.shifts.partition_point(applies);
        at + passed.checked_sub(1).map_or(0, |last| self.shifts[last].1)
    }
}
