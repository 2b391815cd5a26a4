//! The firewall's place in the pipeline: what a tenant's policy says of a text before anything of it is stored, cut or
//! embedded.
//!
//! Promises: what is redacted is in nothing that comes after this, also not as a hash of the bytes that held it; what is
//! kept back goes to the catalog's quarantine and nowhere else; bytes that somebody released are not kept back again.
//! Does not: look at a document's id, at names in access lists, or at the names of attributes; or reach what a sync knows
//! of a source's items, which is a hash of the bytes as the source holds them.

use std::sync::Arc;

use catena_access::{Attribute, Attributes, Scalar, Scope};
use catena_catalog::{Admission, Deed, Expect, FoundCounts, FoundSpan, NewSuspect, PutOutcome, Screening, Written};
use catena_domain::Timestamp;
use catena_firewall::{Action, Class, Fate, Finding, Noticed, Policy, Report, detector, screen as look_through};
use catena_text::{Place, Position, Reading};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Put, Submission};
use crate::{IngestError, Shared};

/// What is told of a document that waits.
pub(crate) const KEPT_BACK: &str =
    "the firewall keeps it back; an administrator releases or rejects it (`catena firewall quarantine`)";

/// What is said about a document, as far as it is looked through.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) title: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) attributes: Attributes,
}

/// A document as the policy lets it in.
pub(crate) struct Entrance {
    pub(crate) reading: Reading,
    pub(crate) said: Said,
    pub(crate) bytes_sha256: [u8; 32],
    pub(crate) screening: Screening,
}

/// What the policy says.
pub(crate) enum Screened {
    Admitted(Box<Entrance>),
    KeptBack(Box<NewSuspect>),
}

/// A tenant's policy, and the hash of all that decides how a text is screened by it.
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) digest: [u8; 32],
}

impl Rules {
    pub(crate) fn of(policy: Policy) -> Self {
        let digest = Sha256::digest(policy.fingerprint()).into();
        Self { policy, digest }
    }

    /// The rules of now.
    pub(crate) async fn read(shared: &Shared, scope: &Scope) -> Result<Self, IngestError> {
        let stored = shared.catalog.firewall_policy(scope).await?;
        serde_json::from_str(&stored).map(Self::of).map_err(|_| IngestError::PolicyDamaged)
    }
}

/// What else is kept of a submission that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) content_type: String,
    pub(crate) charset: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) attributes: Attributes,
    pub(crate) modified_at: Option<i64>,
}

impl Kept {
    fn of(submission: &Submission) -> Self {
        Self {
            content_type: submission.format.as_content_type().to_owned(),
            charset: submission.charset.clone(),
            title: submission.title.clone(),
            uri: submission.uri.clone(),
            source: submission.source.clone(),
            attributes: submission.attributes.clone(),
            modified_at: submission.modified_at.map(|at| at.0),
        }
    }

    pub(crate) fn modified_at(&self) -> Option<Timestamp> {
        self.modified_at.map(Timestamp)
    }
}

/// The reading as the tenant's policy lets it in, or what is to wait.
pub(super) async fn screen(
    shared: &Shared,
    scope: &Scope,
    submission: &Submission,
    reading: Reading,
) -> Result<Screened, IngestError> {
    let rules = Rules::read(shared, scope).await?;
    let looked = look(shared, &rules.policy, submission, reading).await?;
    if looked.report.fate == Fate::Admitted {
        count(&looked.report);
        return Ok(Screened::Admitted(Box::new(looked.entrance(rules.digest, submission, Admission::ByPolicy))));
    }
    let report = looked.report.clone();
    let released = released(shared, &rules, submission, looked).await?;
    if is_known_as_released(shared, scope, submission, &released).await? {
        return Ok(Screened::Admitted(Box::new(released)));
    }
    count(&report);
    tracing::info!(tenant = %scope.tenant(), document = %submission.id, "the firewall keeps a submission back");
    Ok(Screened::KeptBack(Box::new(NewSuspect {
        document: submission.id.clone(),
        policy: rules.digest,
        bytes_sha256: Sha256::digest(&submission.bytes).into(),
        bytes: submission.bytes.clone(),
        acl: submission.acl.clone(),
        said: serde_json::to_string(&Kept::of(submission)).unwrap_or_default(),
        found: found(&report),
        spans: spans(&report.spans),
    })))
}

/// The submission as it comes in when somebody lets it in: what the policy redacts is redacted, what it keeps back is
/// flagged. What holds too much to be redacted comes in as it is, and flagged.
pub(crate) async fn release(
    shared: &Shared,
    scope: &Scope,
    submission: &Submission,
    reading: Reading,
) -> Result<Entrance, IngestError> {
    let rules = Rules::read(shared, scope).await?;
    let looked = Looked::not_yet(submission, reading);
    let entrance = released(shared, &rules, submission, looked).await?;
    Ok(Entrance { screening: Screening { admission: Admission::Released, ..entrance.screening }, ..entrance })
}

async fn released(
    shared: &Shared,
    rules: &Rules,
    submission: &Submission,
    looked: Looked,
) -> Result<Entrance, IngestError> {
    let mut looked = examine(shared, rules.policy.released(), looked).await?;
    if looked.report.fate == Fate::Quarantined {
        looked = examine(shared, rules.policy.only_flagging(), looked).await?;
    }
    Ok(looked.entrance(rules.digest, submission, Admission::ByPolicy))
}

/// Whether what is there now are these bytes, let in by somebody with the same findings.
async fn is_known_as_released(
    shared: &Shared,
    scope: &Scope,
    submission: &Submission,
    entrance: &Entrance,
) -> Result<bool, IngestError> {
    let current = shared.catalog.current(scope, &submission.id).await?;
    Ok(current.is_some_and(|current| {
        current.bytes_sha256 == entrance.bytes_sha256
            && current
                .screening
                .is_some_and(|known| known.released_by.is_some() && known.found == entrance.screening.found)
    }))
}

/// Hands what waits to the catalog.
pub(super) async fn keep_back(
    shared: &Arc<Shared>,
    scope: &Scope,
    suspect: NewSuspect,
    expect: Expect,
    deed: Deed<PutOutcome>,
) -> Result<Written<Put>, IngestError> {
    let written = shared.catalog.keep_back(scope, suspect, expect, deed).await?;
    Ok(Written { value: Put::of(&written.value), leaf: written.leaf })
}

/// A stored text that is to be a version again, as the policy of now lets it in.
pub(crate) struct Again {
    pub(crate) text: String,
    pub(crate) title: String,
    pub(crate) bytes_sha256: [u8; 32],
    pub(crate) screening: Screening,
}

/// Screens a stored text and its title once more. Refused when the policy keeps it back.
pub(crate) async fn again(
    shared: &Shared,
    scope: &Scope,
    text: String,
    title: String,
    bytes_sha256: &[u8; 32],
) -> Result<Again, IngestError> {
    let rules = Rules::read(shared, scope).await?;
    let reading = Reading { text, title: None, places: Vec::new(), noticed: catena_text::Noticed::default() };
    let said = Said { title: Some(title), uri: None, attributes: Attributes::new() };
    let looked = examine(shared, rules.policy, Looked { reading, said, report: nothing() }).await?;
    if looked.report.fate == Fate::Quarantined {
        return Err(IngestError::KeptBack);
    }
    count(&looked.report);
    let screening = screening(rules.digest, &looked.report, Admission::ByPolicy);
    let Looked { reading, said, report } = looked;
    let bytes_sha256 = if report.is_redacted { Sha256::digest(&reading.text).into() } else { *bytes_sha256 };
    Ok(Again { text: reading.text, title: said.title.unwrap_or_default(), bytes_sha256, screening })
}

/// A document and what was found in it.
pub(crate) struct Looked {
    pub(crate) reading: Reading,
    said: Said,
    pub(crate) report: Report,
}

impl Looked {
    fn not_yet(submission: &Submission, reading: Reading) -> Self {
        let said = Said {
            title: submission.title.clone().or_else(|| reading.title.clone()),
            uri: submission.uri.clone(),
            attributes: submission.attributes.clone(),
        };
        Self { reading, said, report: nothing() }
    }

    /// A stored text alone.
    pub(crate) fn of_text(text: String, title: String, uri: Option<String>, attributes: Attributes) -> Self {
        let reading = Reading { text, title: None, places: Vec::new(), noticed: catena_text::Noticed::default() };
        Self { reading, said: Said { title: Some(title), uri, attributes }, report: nothing() }
    }

    fn entrance(self, policy: [u8; 32], submission: &Submission, admission: Admission) -> Entrance {
        // A hash of bytes that hold a short secret gives it away to whoever tries all of its kind.
        let hashed = if self.report.is_redacted { self.reading.text.as_bytes() } else { &submission.bytes };
        let bytes_sha256 = Sha256::digest(hashed).into();
        let screening = screening(policy, &self.report, admission);
        Entrance { reading: self.reading, said: self.said, bytes_sha256, screening }
    }
}

fn nothing() -> Report {
    Report {
        fate: Fate::Admitted,
        counts: Default::default(),
        flags: Default::default(),
        spans: Vec::new(),
        is_redacted: false,
    }
}

async fn look(
    shared: &Shared,
    policy: &Policy,
    submission: &Submission,
    reading: Reading,
) -> Result<Looked, IngestError> {
    examine(shared, policy.clone(), Looked::not_yet(submission, reading)).await
}

/// Looks a document through, among the threads that compute.
pub(crate) async fn examine(shared: &Shared, policy: Policy, looked: Looked) -> Result<Looked, IngestError> {
    if policy.is_off() {
        return Ok(Looked { report: nothing(), ..looked });
    }
    Ok(shared.compute.run(move || by(&policy, looked)).await?)
}

fn by(policy: &Policy, looked: Looked) -> Looked {
    let Looked { mut reading, mut said, .. } = looked;
    let noticed = Noticed {
        hidden_text: reading.noticed.hidden_text,
        invisible_characters: reading.noticed.invisible_characters,
    };
    let fields = fields(&mut said, &mut reading.places).into_iter().map(std::mem::take).collect();
    let screened = look_through(policy, noticed, std::mem::take(&mut reading.text), fields);
    for place in &mut reading.places {
        place.start = u32::try_from(screened.moved(place.start as usize)).unwrap_or(u32::MAX);
    }
    reading.text = screened.text;
    for (field, screened) in self::fields(&mut said, &mut reading.places).into_iter().zip(screened.fields) {
        *field = screened;
    }
    // The title that the document states goes on as `said.title`.
    reading.title = None;
    Looked { reading, said, report: screened.report }
}

/// Every text that is said about a document and its parts, always in the same order.
fn fields<'a>(said: &'a mut Said, places: &'a mut [Place]) -> Vec<&'a mut String> {
    let mut fields: Vec<&mut String> = said.title.iter_mut().chain(said.uri.iter_mut()).collect();
    for value in said.attributes.values_mut() {
        match value {
            Attribute::One(Scalar::Text(text)) => fields.push(text),
            Attribute::Many(texts) => fields.extend(texts),
            Attribute::One(Scalar::Number(_) | Scalar::Flag(_)) => {}
        }
    }
    for place in places {
        match &mut place.position {
            Position::Rows { sheet: Some(name), .. } | Position::Part(name) => fields.push(name),
            Position::Rows { sheet: None, .. } | Position::Page(_) | Position::Slide(_) => {}
        }
    }
    fields
}

fn screening(policy: [u8; 32], report: &Report, admission: Admission) -> Screening {
    let flags = report.flags.iter().map(|class| class.as_str().to_owned()).collect();
    Screening { policy, flags, found: found(report), spans: spans(&report.spans), admission }
}

pub(crate) fn found(report: &Report) -> FoundCounts {
    report.counts.iter().map(|(&name, &times)| (name.to_owned(), u64::from(times))).collect()
}

fn spans(findings: &[Finding]) -> Vec<FoundSpan> {
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let span = |finding: &Finding| FoundSpan {
        detector: finding.detector.to_owned(),
        confidence: finding.confidence.as_str().to_owned(),
        action: finding.action.as_str().to_owned(),
        start: place(finding.start),
        end: place(finding.end),
    };
    findings.iter().map(span).collect()
}

/// Counts what was found, for whoever runs the service: by class and by what became of the document, and not by tenant.
fn count(report: &Report) {
    let became = match report.fate {
        Fate::Quarantined => Action::Quarantine,
        Fate::Admitted if report.is_redacted => Action::Redact,
        Fate::Admitted => Action::Flag,
    };
    for class in Class::ALL {
        let of_class = |name: &str| detector(name).is_some_and(|detector| detector.class == class);
        let times: u64 = report.counts.iter().filter(|(name, _)| of_class(name)).map(|(_, &it)| u64::from(it)).sum();
        if times > 0 {
            let labels = [("class", class.as_str()), ("document", became.as_str())];
            metrics::counter!("catena_firewall_findings_total", &labels).increment(times);
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_text::Noticed as Seen;

    use super::*;

    #[test]
    fn places_and_all_that_is_said_go_through_with_the_text() {
        let policy = Policy { personal: Action::Redact, ..Policy::default() };
        let text = "one ann.lee@harbour.org\ntwo\nthree";
        let place = |at: &str, position| Place { start: text.find(at).unwrap() as u32, position };
        let sheet = Some("of bob@harbour.org".to_owned());
        let places = vec![
            place("two", Position::Rows { sheet, first_row: 2, columns: 1 }),
            place("three", Position::Part("cem@harbour.org.txt".to_owned())),
        ];
        let reading = Reading { text: text.to_owned(), title: None, places, noticed: Seen::default() };
        let list = Attribute::Many(vec!["x".to_owned(), "dee@harbour.org".to_owned()]);
        let attributes = Attributes::from([("eva@harbour.org".to_owned(), list)]);
        let said = Said { title: Some("To ann@harbour.org".to_owned()), uri: Some("u".to_owned()), attributes };
        let looked = by(&policy, Looked { reading, said, report: nothing() });
        let text = &looked.reading.text;
        let at = |place: usize| &text[looked.reading.places[place].start as usize..];
        assert!(at(0).starts_with("two") && at(1).starts_with("three"), "{text}");
        let said = format!("{:?} {:?} {:?}", looked.said.title, looked.said.attributes.values(), looked.reading.places);
        assert!(!said.contains('@'), "{said}");
        assert_eq!(looked.report.counts["email"], 5);
        assert!(looked.said.attributes.contains_key("eva@harbour.org"), "a name is none of the text");
    }
}
