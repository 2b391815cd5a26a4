//! What a detector is, and the list of them.
//!
//! A detector is a pattern that finds candidates in one pass, and a judgement that looks at one candidate and a bounded
//! stretch around it. A detector that judges differently gets a new version, so that documents are screened again.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::finding::{Class, Confidence};
use crate::{instructions, personal, secrets};

/// A stretch of text that has the form of something that is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A candidate that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) confidence: Confidence,
}

/// How a detector finds its candidates.
#[derive(Debug)]
pub(crate) enum How {
    /// By a pattern over bytes, and a judgement on what it matches.
    Pattern {
        /// In lower case: without one of them, the text holds no candidate. None: it is always looked at.
        keywords: &'static [&'static str],
        pattern: &'static str,
        judge: fn(Candidate<'_>) -> Option<Verdict>,
        /// Where the search goes on after a candidate that is none.
        then: Then,
    },
    /// Runs of characters that nobody sees.
    Invisible,
}

/// Where the search goes on after a candidate that was turned down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// After it.
    AfterIt,
    /// After its first word, because the next may begin inside it. Only where candidates have a bound.
    AfterItsFirstWord,
}

/// Something that looks for one kind of thing.
#[derive(Debug)]
pub struct Detector {
    /// Its name, which never changes.
    pub name: &'static str,
    /// The class of what it finds.
    pub class: Class,
    /// Counts how it judges.
    pub version: u32,
    /// What it looks for, for people.
    pub looks_for: &'static str,
    /// What stands in the mark that takes the place of what it found.
    pub mark: &'static str,
    /// Whether it is off until a policy names it, whatever the policy says of its class.
    pub only_by_name: bool,
    pub(crate) how: How,
}

impl Candidate<'_> {
    /// What has the form.
    pub(crate) fn found(&self) -> &str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    /// The whole candidate, judged so.
    pub(crate) fn is(&self, confidence: Confidence) -> Option<Verdict> {
        self.part(0, self.end - self.start, confidence)
    }

    /// A part of the candidate, judged so.
    pub(crate) fn part(&self, from: usize, to: usize, confidence: Confidence) -> Option<Verdict> {
        Some(Verdict { start: self.start + from, end: self.start + to, confidence })
    }

    /// The text before the candidate, at most so many bytes of it.
    pub(crate) fn before(&self, bytes: usize) -> &str {
        let from = self.text.ceil_char_boundary(self.start.saturating_sub(bytes));
        self.text.get(from..self.start).unwrap_or_default()
    }

    /// The text after the candidate, at most so many bytes of it.
    pub(crate) fn after(&self, bytes: usize) -> &str {
        let to = self.text.floor_char_boundary(self.end.saturating_add(bytes));
        self.text.get(self.end..to).unwrap_or_default()
    }

    /// Whether one of these words, which are in lower case, stands shortly before or after.
    pub(crate) fn is_near(&self, words: &[&str]) -> bool {
        const BEFORE: usize = 64;
        const AFTER: usize = 24;
        let (before, after) = (self.before(BEFORE).to_lowercase(), self.after(AFTER).to_lowercase());
        words.iter().any(|word| before.contains(word) || after.contains(word))
    }

    /// Whether the candidate is a part of a longer number or word.
    pub(crate) fn is_inside_a_number(&self) -> bool {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (before, after) = (self.before(4), self.after(4));
        let mut after = after.chars();
        let (next, one_more) = (after.next(), after.next());
        let (mut before, is_digit) = (before.chars().rev(), |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit()));
        let (last, one_before) = (before.next(), before.next());
        last.is_some_and(joins)
            || next.is_some_and(joins)
            || (matches!(last, Some('.' | '-' | '/' | ',')) && is_digit(one_before))
            || (matches!(next, Some('.' | '-' | '/' | ',')) && is_digit(one_more))
    }
}

/// Every detector, in the order in which they are listed. Of two findings of one class in the same place, that of the
/// earlier one counts.
#[must_use]
pub fn detectors() -> impl ExactSizeIterator<Item = &'static Detector> {
    ALL.iter().map(|compiled| compiled.detector)
}

/// The detector of this name.
#[must_use]
pub fn detector(name: &str) -> Option<&'static Detector> {
    detectors().find(|detector| detector.name == name)
}

/// A detector with its pattern ready.
pub(crate) struct Compiled {
    pub(crate) detector: &'static Detector,
    pub(crate) pattern: Option<Regex>,
}

pub(crate) static ALL: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let tables = [secrets::DETECTORS, personal::DETECTORS, instructions::DETECTORS];
    tables.into_iter().flatten().map(compiled).collect()
});

fn compiled(detector: &'static Detector) -> Compiled {
    let pattern = match detector.how {
        How::Invisible => None,
        How::Pattern { pattern, .. } => Some(
            RegexBuilder::new(pattern)
                .unicode(false)
                .size_limit(64 << 20)
                .build()
                .unwrap_or_else(|error| unreachable!("the pattern of {} is one: {error}", detector.name)),
        ),
    };
    Compiled { detector, pattern }
}
