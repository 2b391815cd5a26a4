//! One pass of every detector that is on over one text.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::detector::{ALL, Candidate, Compiled, How, Then};
use crate::finding::{Action, Class, Confidence, Finding};
use crate::plain::Plain;
use crate::policy::Policy;

/// Most findings of one detector in one text. A text with more is no document with secrets in it, but a collection of
/// them.
pub const FINDINGS_MAX: usize = 100_000;

/// What a reader noticed beside the text: hiding makes an order to a model more likely to be one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Stretches of text that whoever looks at the original does not see.
    pub hidden_text: u32,
    /// Characters that nobody sees.
    pub invisible_characters: u32,
}

/// What a pass found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// In the order of the text.
    pub(crate) findings: Vec<Finding>,
    /// Whether a detector whose findings change the document has more than [`FINDINGS_MAX`].
    pub(crate) is_too_much: bool,
}

/// Every keyword, with the places in [`ALL`] of the detectors that it belongs to.
static KEYWORDS: LazyLock<(AhoCorasick, Vec<usize>)> = LazyLock::new(|| {
    let (mut words, mut owners) = (Vec::new(), Vec::new());
    for (place, compiled) in ALL.iter().enumerate() {
        if let How::Pattern { keywords, .. } = compiled.detector.how {
            words.extend_from_slice(keywords);
            owners.extend(std::iter::repeat_n(place, keywords.len()));
        }
    }
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(&words)
        .unwrap_or_else(|error| unreachable!("keywords are patterns: {error}"));
    (automaton, owners)
});

pub(crate) fn scan(policy: &Policy, noticed: Noticed, text: &str) -> Scan {
    let plain = Plain::of(text);
    let hides = noticed.hidden_text > 0 || noticed.invisible_characters > 0 || !plain.runs.is_empty();
    let wanted = wanted(policy, &plain.text);
    let mut scan = Scan::default();
    for (compiled, action) in wanted {
        let detector = compiled.detector;
        let most = scan.findings.len() + FINDINGS_MAX;
        let mut keep = |start: usize, end: usize, confidence: Confidence| {
            let is_hidden_order = hides && detector.class == Class::Instruction;
            let confidence = if is_hidden_order { Confidence::High } else { confidence };
            if confidence >= policy.confidence {
                let (detector, class) = (detector.name, detector.class);
                scan.findings.push(Finding { detector, class, confidence, action, start, end });
            }
            scan.findings.len() <= most
        };
        let went_through = match detector.how {
            How::Invisible => plain.runs.iter().all(|&(start, end)| keep(start, end, Confidence::High)),
            How::Pattern { .. } => candidates(policy, compiled, &plain, keep),
        };
        // Only this detector ends here: what is merely flagged must not keep the others from what they redact.
        if !went_through {
            scan.is_too_much |= action > Action::Flag;
            scan.findings.truncate(most);
        }
    }
    scan.findings.sort_by_key(|finding| (finding.start, std::cmp::Reverse(finding.end)));
    scan.findings = without_doubles(std::mem::take(&mut scan.findings));
    scan
}

/// The detectors that the policy switches on and whose keywords occur, with what is done about what they find.
fn wanted(policy: &Policy, text: &str) -> Vec<(&'static Compiled, Action)> {
    let mut actions: Vec<Action> = ALL.iter().map(|compiled| policy.action(compiled.detector)).collect();
    let mut waits: Vec<bool> = ALL
        .iter()
        .zip(&actions)
        .map(|(compiled, action)| {
            let needs = matches!(compiled.detector.how, How::Pattern { keywords, .. } if !keywords.is_empty());
            needs && *action != Action::Off
        })
        .collect();
    let mut waiting = waits.iter().filter(|waits| **waits).count();
    if waiting > 0 {
        let (automaton, owners) = &*KEYWORDS;
        for met in automaton.find_overlapping_iter(text) {
            let place = owners[met.pattern().as_usize()];
            if std::mem::take(&mut waits[place]) {
                waiting -= 1;
            }
            if waiting == 0 {
                break;
            }
        }
    }
    for (action, waits) in actions.iter_mut().zip(waits) {
        if waits {
            *action = Action::Off;
        }
    }
    ALL.iter().zip(actions).filter(|(_, action)| *action != Action::Off).collect()
}

/// Runs one detector's pattern. False when `keep` wanted no more.
fn candidates(
    policy: &Policy,
    compiled: &Compiled,
    plain: &Plain<'_>,
    mut keep: impl FnMut(usize, usize, Confidence) -> bool,
) -> bool {
    let (How::Pattern { judge, then, .. }, Some(pattern)) = (&compiled.detector.how, &compiled.pattern) else {
        return true;
    };
    let text: &str = &plain.text;
    let mut at = 0;
    while let Some(met) = pattern.find_at(text.as_bytes(), at) {
        // Patterns are of bytes; what they match may begin or end inside a letter.
        let (start, end) = (text.floor_char_boundary(met.start()), text.ceil_char_boundary(met.end()));
        let verdict = judge(Candidate { text, start, end })
            .filter(|verdict| !policy.lets_pass(text.get(verdict.start..verdict.end).unwrap_or_default()));
        at = match (verdict, then) {
            (Some(verdict), _) => {
                let (start, end) = plain.back(verdict.start, verdict.end);
                if !keep(start, end, verdict.confidence) {
                    return false;
                }
                verdict.end.max(met.start() + 1)
            }
            (None, Then::AfterIt) => met.end(),
            (None, Then::AfterItsFirstWord) => after_first_word(text, met.start(), met.end()),
        };
        at = at.max(met.start() + 1);
    }
    true
}

fn after_first_word(text: &str, start: usize, end: usize) -> usize {
    let word = text.as_bytes()[start..end].iter().position(|byte| !byte.is_ascii_alphanumeric());
    start + word.map_or(end - start, |length| length.max(1))
}

/// Of findings of one class inside one another, the widest; of equal ones, that of the earlier detector. The sort before
/// kept the order of the detectors. One of which more is to be done than of those around it stays beside them.
fn without_doubles(findings: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    // How far findings of a class reach of which this much, or more, is done.
    let mut ends = [[0; Action::Quarantine as usize + 1]; Class::ALL.len()];
    for finding in findings {
        let ends = &mut ends[finding.class as usize][..=finding.action as usize];
        if finding.end > ends[finding.action as usize] {
            for end in ends {
                *end = finding.end.max(*end);
            }
            kept.push(finding);
        }
    }
    kept
}
