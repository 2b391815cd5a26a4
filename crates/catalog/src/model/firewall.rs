//! What was found in documents, and what waits because of it.

use std::collections::BTreeMap;

use catena_access::Acl;
use catena_domain::{DocumentId, Seq, Timestamp, VersionNo};
use serde::{Deserialize, Serialize};

/// How often each detector found something, by its name.
pub type FoundCounts = BTreeMap<String, u64>;

/// Where something was found in a text. It says where, and never what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSpan {
    /// The detector's name.
    pub detector: String,
    /// How sure it is.
    pub confidence: String,
    /// What was done about it.
    pub action: String,
    /// The first byte of the normalised text.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// By what a text was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The policy had nothing against it.
    ByPolicy,
    /// The policy kept it back, and whoever writes now lets it in.
    Released,
}

/// What a text was found to hold, as it is kept with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screening {
    /// A hash of the policy and the detectors that decided.
    pub policy: [u8; 32],
    /// The classes of what can be seen in it.
    pub flags: Vec<String>,
    /// How often each detector found something.
    pub found: FoundCounts,
    /// Where, as far as that is kept.
    pub spans: Vec<FoundSpan>,
    /// By what it was let in.
    pub admission: Admission,
}

/// What is known of the current version's screening, for whoever writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentScreening {
    /// A hash of the policy and the detectors that decided.
    pub policy: [u8; 32],
    /// The classes of what can be seen in it.
    pub flags: Vec<String>,
    /// How often each detector found something.
    pub found: FoundCounts,
    /// Who let it in although the policy had kept it back.
    pub released_by: Option<String>,
}

/// A document in whose current version something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFindings {
    /// The document.
    pub document: DocumentId,
    /// Its current version.
    pub version: VersionNo,
    /// The classes of what can be seen in it.
    pub flags: Vec<String>,
    /// How often each detector found something.
    pub found: FoundCounts,
    /// Where, as far as that is kept.
    pub spans: Vec<FoundSpan>,
    /// Who let it in although the policy had kept it back.
    pub released_by: Option<String>,
}

/// What one detector found in a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DetectorTally {
    /// Current versions in which it found something.
    pub documents: u64,
    /// What it found in them, all together.
    pub findings: u64,
    /// Documents that wait and in which it found something.
    pub waiting: u64,
}

/// A submission that the policy keeps back.
#[derive(Debug, Clone)]
pub struct NewSuspect {
    /// The document that it is a version of.
    pub document: DocumentId,
    /// A hash of the policy and the detectors that decided.
    pub policy: [u8; 32],
    /// The hash of its bytes.
    pub bytes_sha256: [u8; 32],
    /// Its bytes as they were handed in.
    pub bytes: Vec<u8>,
    /// Who was to see it.
    pub acl: Acl,
    /// What else was said of it, in a form of the caller's.
    pub said: String,
    /// How often each detector found something.
    pub found: FoundCounts,
    /// Where, as far as that is kept.
    pub spans: Vec<FoundSpan>,
}

/// A submission that waits, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspectRow {
    /// The document that it is a version of.
    pub document: DocumentId,
    /// When it was handed in.
    pub handed_in_at: Timestamp,
    /// The write that had changed the document last by then; none if there was no such document.
    pub base: Option<Seq>,
    /// A hash of the policy and the detectors that decided.
    pub policy: [u8; 32],
    /// The hash of its bytes.
    pub bytes_sha256: [u8; 32],
    /// How many bytes it has.
    pub bytes: u64,
    /// How often each detector found something.
    pub found: FoundCounts,
}

/// A submission that waits, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// What is listed of it.
    pub row: SuspectRow,
    /// Its bytes as they were handed in.
    pub bytes: Vec<u8>,
    /// Who was to see it.
    pub acl: Acl,
    /// What else was said of it, as the caller gave it.
    pub said: String,
    /// Where something was found, as far as that is kept.
    pub spans: Vec<FoundSpan>,
}
