//! A document before the policy: its text and what is said about it.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Action, Class, Finding};
use crate::policy::Policy;
use crate::redact::{Cuts, redact};
use crate::scan::{Noticed, Scan, scan};

/// Most findings of which it is kept where they are.
pub const SPANS_KEPT_MAX: usize = 200;
/// Taking something out may bring something else together, so what is left is looked at again, so often.
const ROUNDS_MAX: usize = 4;

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on its way.
    Admitted,
    /// It waits until somebody decides.
    Quarantined,
}

/// What was found in a document, all its parts together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What becomes of it.
    pub fate: Fate,
    /// How often each detector found something.
    pub counts: BTreeMap<&'static str, u32>,
    /// The classes of what was found and is there to be seen.
    pub flags: BTreeSet<Class>,
    /// Where the first findings of the text are, in the text as it comes back; redacted ones are where their mark is.
    pub spans: Vec<Finding>,
    /// Whether anything was redacted, in the text or beside it.
    pub is_redacted: bool,
}

/// A document as the policy lets it in. When it does not, the parts are as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screened {
    /// Its text.
    pub text: String,
    /// What of the text was replaced, one round after the other.
    pub cuts: Vec<Cuts>,
    /// What is said about it, in the order in which it was handed in.
    pub fields: Vec<String>,
    /// What was found.
    pub report: Report,
}

impl Screened {
    /// Where a byte of the text that was handed in is now.
    #[must_use]
    pub fn moved(&self, at: usize) -> usize {
        self.cuts.iter().fold(at, |at, cuts| cuts.moved(at))
    }
}

/// Looks through a text and the fields beside it, and does what the policy says.
#[must_use]
pub fn screen(policy: &Policy, noticed: Noticed, text: String, fields: Vec<String>) -> Screened {
    let mut report = Report {
        fate: Fate::Admitted,
        counts: BTreeMap::new(),
        flags: BTreeSet::new(),
        spans: Vec::new(),
        is_redacted: false,
    };
    let body = screen_part(policy, noticed, text, &mut report);
    report.spans = body.spans;
    let of_fields: Vec<Part> =
        fields.into_iter().map(|field| screen_part(policy, noticed, field, &mut report)).collect();
    let is_admitted = report.fate == Fate::Admitted;
    let of_field = |part: Part| if is_admitted { part.text } else { part.original.unwrap_or(part.text) };
    let fields = of_fields.into_iter().map(of_field).collect();
    let (text, cuts) = match (is_admitted, body.original) {
        (false, Some(original)) => (original, Vec::new()),
        (_, _) => (body.text, body.cuts),
    };
    Screened { text, cuts, fields, report }
}

/// A text or a field that was looked through.
struct Part {
    text: String,
    /// What it was, if that is something else.
    original: Option<String>,
    cuts: Vec<Cuts>,
    spans: Vec<Finding>,
}

fn screen_part(policy: &Policy, noticed: Noticed, text: String, report: &mut Report) -> Part {
    let mut part = Part { text, original: None, cuts: Vec::new(), spans: Vec::new() };
    let mut redacted: Vec<Finding> = Vec::new();
    for round in 0..=ROUNDS_MAX {
        let Scan { findings, is_too_much } = scan(policy, noticed, &part.text);
        let redacts = findings.iter().any(|finding| finding.action == Action::Redact);
        if findings.iter().any(|finding| finding.action == Action::Quarantine)
            || (redacts && (is_too_much || round == ROUNDS_MAX))
        {
            report.fate = Fate::Quarantined;
        }
        let is_last = !redacts || report.fate == Fate::Quarantined;
        for finding in findings.iter().filter(|finding| finding.action == Action::Redact || is_last) {
            *report.counts.entry(finding.detector).or_default() += 1;
        }
        if is_last {
            let shown = findings.iter().filter(|finding| finding.action == Action::Flag);
            report.flags.extend(shown.map(|finding| finding.class));
            redacted.extend(findings);
            redacted.sort_by_key(|finding| (finding.start, finding.end));
            redacted.truncate(SPANS_KEPT_MAX);
            part.spans = redacted;
            return part;
        }
        report.is_redacted = true;
        let (text, cuts) = redact(&part.text, &findings);
        for finding in &mut redacted {
            (finding.start, finding.end) = (cuts.moved(finding.start), cuts.moved(finding.end));
        }
        let new = findings.iter().filter(|finding| finding.action == Action::Redact).take(SPANS_KEPT_MAX);
        redacted.extend(new.map(|finding| {
            let (start, end) = (cuts.moved(finding.start), cuts.moved(finding.end));
            Finding { start, end, ..*finding }
        }));
        let before = std::mem::replace(&mut part.text, text);
        part.original.get_or_insert(before);
        part.cuts.push(cuts);
    }
    part
}
