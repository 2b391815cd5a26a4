//! The words in which a finding is told.

use serde::{Deserialize, Serialize};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// What opens a door: keys, tokens, passwords.
    Secret,
    /// What tells of a person.
    Personal,
    /// What speaks to a model instead of a reader.
    Instruction,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Secret, Self::Personal, Self::Instruction];

    /// The class's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Personal => "personal",
            Self::Instruction => "instruction",
        }
    }
}

/// What is done about a finding, the mildest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing: it is not looked for.
    #[default]
    Off,
    /// The document is indexed as it is, and says what is in it.
    Flag,
    /// The document is indexed with a mark in place of what was found.
    Redact,
    /// The document is not indexed until somebody decides.
    #[serde(alias = "block")]
    Quarantine,
}

impl Action {
    /// The action's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Flag => "flag",
            Self::Redact => "redact",
            Self::Quarantine => "quarantine",
        }
    }
}

/// How sure a detector is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// It has the form, and may be something else.
    #[default]
    Medium,
    /// A checksum, a fixed form or the words around it leave little else.
    High,
}

impl Confidence {
    /// The confidence's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One finding. It says where, and never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The name of the detector.
    pub detector: &'static str,
    /// What kind of thing it is.
    pub class: Class,
    /// How sure the detector is.
    pub confidence: Confidence,
    /// What the policy does about it.
    pub action: Action,
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}
