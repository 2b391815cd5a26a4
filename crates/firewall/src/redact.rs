//! Marks in the place of what was found.
//!
//! Promises: of what lies inside a finding nothing is left but its line ends, so that the lines after it count as
//! before; everything else stays as it is.

use crate::detector::detector;
use crate::finding::{Action, Finding};

/// One stretch that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cut {
    /// Where it was.
    old: (usize, usize),
    /// Where its mark is.
    new: usize,
    /// The length of the mark without the line ends after it.
    mark: usize,
    /// Where the line ends were.
    line_ends: Vec<usize>,
}

/// What was replaced in a text, so that what points into the old one can point into the new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cuts(Vec<Cut>);

impl Cuts {
    /// Whether nothing was replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a byte of the old text is in the new one. Of one that was replaced: its line, beside the mark.
    #[must_use]
    pub fn moved(&self, at: usize) -> usize {
        let passed = self.0.partition_point(|cut| cut.old.0 <= at);
        let Some(cut) = passed.checked_sub(1).and_then(|last| self.0.get(last)) else { return at };
        if at >= cut.old.1 {
            return at - cut.old.1 + cut.new + cut.mark + cut.line_ends.len();
        }
        match cut.line_ends.partition_point(|&end| end < at) {
            0 => cut.new,
            lines => cut.new + cut.mark + lines,
        }
    }
}

/// The text with marks in the place of those findings that are to be redacted, which are in the order of the text.
pub(crate) fn redact(text: &str, findings: &[Finding]) -> (String, Cuts) {
    let (mut redacted, mut cuts, mut at) = (String::with_capacity(text.len()), Cuts::default(), 0);
    let mut wanted = findings.iter().filter(|finding| finding.action == Action::Redact).peekable();
    while let Some(first) = wanted.next() {
        let (start, mut end) = (first.start, first.end);
        while let Some(next) = wanted.next_if(|next| next.start < end) {
            end = end.max(next.end);
        }
        redacted.push_str(text.get(at..start).unwrap_or_default());
        let new = redacted.len();
        redacted.push_str("[redacted: ");
        redacted.push_str(detector(first.detector).map_or("text", |detector| detector.mark));
        redacted.push(']');
        let mark = redacted.len() - new;
        let gone = text.as_bytes().get(start..end).unwrap_or_default();
        let line_ends: Vec<usize> =
            gone.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| start + place).collect();
        redacted.extend(std::iter::repeat_n('\n', line_ends.len()));
        cuts.0.push(Cut { old: (start, end), new, mark, line_ends });
        at = end;
    }
    redacted.push_str(text.get(at..).unwrap_or_default());
    (redacted, cuts)
}
