//! What a tenant wants done about what is found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detector::{Detector, detector, detectors};
use crate::finding::{Action, Class, Confidence};

/// Most texts that a policy lets pass.
const ALLOWED_MAX: usize = 200;
/// Longest of them, in bytes.
const ALLOWED_BYTES_MAX: usize = 256;

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no such detector.
    #[error("there is no detector {0:?}; `catena firewall detectors` lists them")]
    UnknownDetector(String),
    /// Too much is let pass.
    #[error("`allow` names {given} texts; the limit is {ALLOWED_MAX}")]
    ManyAllowed {
        /// Texts given.
        given: usize,
    },
    /// A text that is let pass is empty or too long.
    #[error("a text in `allow` is {bytes} bytes long; one may have 1 to {ALLOWED_BYTES_MAX}")]
    AllowedLength {
        /// Its length.
        bytes: usize,
    },
}

/// A tenant's policy. By default secrets are flagged, and nothing else is looked for: what opens a door is a secret
/// for everybody, while addresses of people are what many documents are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What is done about secrets.
    pub secret: Action,
    /// About personal data.
    pub personal: Action,
    /// About text that speaks to a model.
    pub instruction: Action,
    /// What is done about what single detectors find, whatever is said of their class.
    pub detectors: BTreeMap<String, Action>,
    /// How sure a detector must be at least.
    pub confidence: Confidence,
    /// Texts that are never findings: a known example, or the domain of e-mail addresses that may be seen.
    pub allow: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            secret: Action::Flag,
            personal: Action::Off,
            instruction: Action::Off,
            detectors: BTreeMap::new(),
            confidence: Confidence::Medium,
            allow: Vec::new(),
        }
    }
}

impl Policy {
    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        if let Some(name) = self.detectors.keys().find(|name| detector(name).is_none()) {
            return Err(PolicyError::UnknownDetector(name.chars().take(64).collect()));
        }
        if self.allow.len() > ALLOWED_MAX {
            return Err(PolicyError::ManyAllowed { given: self.allow.len() });
        }
        match self.allow.iter().map(String::len).find(|bytes| !(1..=ALLOWED_BYTES_MAX).contains(bytes)) {
            Some(bytes) => Err(PolicyError::AllowedLength { bytes }),
            None => Ok(()),
        }
    }

    /// What is done about what a detector finds.
    #[must_use]
    pub fn action(&self, detector: &Detector) -> Action {
        match (self.detectors.get(detector.name), detector.only_by_name) {
            (Some(&action), _) => action,
            (None, true) => Action::Off,
            (None, false) => self.of_class(detector.class),
        }
    }

    /// What is done about a class.
    #[must_use]
    pub fn of_class(&self, class: Class) -> Action {
        match class {
            Class::Secret => self.secret,
            Class::Personal => self.personal,
            Class::Instruction => self.instruction,
        }
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub fn is_off(&self) -> bool {
        detectors().all(|detector| self.action(detector) == Action::Off)
    }

    /// The policy by which somebody lets in what this one keeps back: what would be quarantined is flagged.
    #[must_use]
    pub fn released(&self) -> Self {
        let milder = |action: Action| if action == Action::Quarantine { Action::Flag } else { action };
        Self {
            secret: milder(self.secret),
            personal: milder(self.personal),
            instruction: milder(self.instruction),
            detectors: self.detectors.iter().map(|(name, &action)| (name.clone(), milder(action))).collect(),
            ..self.clone()
        }
    }

    /// The policy that looks for the same and changes nothing.
    #[must_use]
    pub fn only_flagging(&self) -> Self {
        let milder = |action: Action| action.min(Action::Flag);
        let Self { secret, personal, instruction, .. } = self.released();
        Self {
            secret: milder(secret),
            personal: milder(personal),
            instruction: milder(instruction),
            detectors: self.detectors.iter().map(|(name, &action)| (name.clone(), milder(action))).collect(),
            ..self.clone()
        }
    }

    /// All that decides how a text is screened, in one text: the policy, and the versions of the detectors that are on.
    /// Two screenings under equal texts come to the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        for detector in detectors().filter(|detector| self.action(detector) != Action::Off) {
            text.push_str(&format!("\n{} {}", detector.name, detector.version));
        }
        text
    }

    /// Whether this is one of the texts that are let pass.
    pub(crate) fn lets_pass(&self, found: &str) -> bool {
        let is_domain_of = |domain: &str| {
            let at = found.len().checked_sub(domain.len() + 1);
            at.and_then(|at| found.get(at..))
                .is_some_and(|end| end.starts_with('@') && end[1..].eq_ignore_ascii_case(domain))
        };
        self.allow.iter().any(|text| text.eq_ignore_ascii_case(found) || is_domain_of(text))
    }
}
