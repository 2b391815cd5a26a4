//! Who may read a document, as its source says: from rules, and from the document itself where that is allowed.
//!
//! One speaks, and that one decides alone; nothing is added up. In this order:
//!
//! 1. the document itself, if `from_documents` lets it: its front matter, or its object's metadata;
//! 2. the last of the rules whose pattern matches its id. They stand in the description, or in the `access.toml` of the
//!    place, never in both;
//! 3. nobody: [`Access::Unstated`](crate::Access::Unstated).
//!
//! Promises: what is said and cannot be read is [`Access::Unreadable`](crate::Access::Unreadable), also where a rule further
//! down would admit somebody. Does not: read anything.

pub mod rules;

use serde::{Deserialize, Serialize};

pub use rules::{EntryText, RuleText};

/// Where a source's access lists come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSpec {
    /// Rules; the last one whose pattern matches a document's id decides alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleText>,
    /// Whether the rules are those of the file `access.toml` in the place itself. Whoever may write there then decides who
    /// may read.
    #[serde(default)]
    pub from_file: bool,
    /// Whether a document may say itself who may read it. Whoever may write a document then decides who may read it.
    #[serde(default)]
    pub from_documents: bool,
}
