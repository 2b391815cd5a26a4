//! Access lists of documents, and the decision they make.
//!
//! [`Acl::decide`] is what the gate asks. The index pre-filters with other code on purpose: two decisions that disagree
//! are a defect that shows itself. Does not: read a clock, or know which label is above which.

mod decision;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use catena_domain::{GroupName, Label, NameError, UserName, limits};

pub use decision::{Decision, Grant, Reason, Rule, Why};
pub use window::Window;

/// Whom an entry of an access list names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Everyone in the tenant.
    Everyone,
    /// Members of one group.
    Group(GroupName),
    /// One user.
    User(UserName),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::User(user) => write!(f, "user:{user}"),
        }
    }
}

impl FromStr for Who {
    type Err = AclError;

    fn from_str(text: &str) -> Result<Self, AclError> {
        let named = |reason| AclError::Name { entry: text.to_owned(), reason };
        if text == "everyone" {
            return Ok(Self::Everyone);
        }
        if let Some(user) = text.strip_prefix("user:") {
            return UserName::new(user).map(Self::User).map_err(named);
        }
        if let Some(group) = text.strip_prefix("group:") {
            return GroupName::new(group).map(Self::Group).map_err(named);
        }
        Err(AclError::Form { entry: text.to_owned() })
    }
}

/// One entry of an access list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclEntry {
    /// Whom it names.
    pub who: Who,
    /// When it holds.
    pub window: Window,
}

impl From<Who> for AclEntry {
    /// An entry that always holds.
    fn from(who: Who) -> Self {
        Self { who, window: Window::ALWAYS }
    }
}

impl fmt::Display for AclEntry {
    /// For people and the record; the wire and the catalog have forms of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.who, self.window)
    }
}

/// Why an access list was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// An entry of no known form.
    #[error("{entry:?} is not an acl entry; write everyone, user:NAME or group:NAME")]
    Form {
        /// The entry as given.
        entry: String,
    },
    /// The name in an entry is no name.
    #[error("in acl entry {entry:?}: {reason}")]
    Name {
        /// The entry as given.
        entry: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// The label is no label.
    #[error("in an acl: {0}")]
    Label(NameError),
    /// A bound of an entry is no time.
    #[error("{text:?} as {field} of an acl entry is not a time; write it like 2026-05-04T10:00:00Z")]
    Time {
        /// Which bound.
        field: &'static str,
        /// The bound as given.
        text: String,
    },
    /// A window in which there is no moment.
    #[error("an acl entry holds from {from} until {until}, which is never; from must be before until")]
    Window {
        /// Its first moment.
        from: String,
        /// The first moment after it.
        until: String,
    },
    /// An acl that says both that it is unknown and what it is.
    #[error("an unknown acl stands alone; leave out either unknown, or allow, deny and label")]
    NotAlone,
    /// Too many entries.
    #[error("an acl list has {entries} entries; the limit is {}; use a group", limits::ACL_ENTRIES_MAX)]
    TooMany {
        /// Entries given.
        entries: usize,
    },
}

/// What is known of who may see a document. Equal ones are equal texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Acl {
    /// These lists decide.
    Lists(Lists),
    /// The source could not say who may see the document.
    Unknown(UnknownReason),
}

impl Default for Acl {
    /// Empty lists: nobody but the tenant's administrators.
    fn default() -> Self {
        Self::Lists(Lists::default())
    }
}

impl Acl {
    /// Lists from both sides as text, as they come from the command line; every entry always holds.
    pub fn parse<S: AsRef<str>>(allow: &[S], deny: &[S]) -> Result<Self, AclError> {
        let parse = |side: &[S]| -> Result<Vec<AclEntry>, AclError> {
            bounded(side.len())?;
            side.iter().map(|entry| entry.as_ref().parse().map(Who::into)).collect()
        };
        Self::of(parse(allow)?, parse(deny)?, None)
    }

    /// Lists from both sides, in any order, and the label that the document carries.
    pub fn of(allow: Vec<AclEntry>, deny: Vec<AclEntry>, label: Option<Label>) -> Result<Self, AclError> {
        bounded(allow.len())?;
        bounded(deny.len())?;
        let (allow, deny) = (allow.into_iter().collect(), deny.into_iter().collect());
        Ok(Self::Lists(Lists { allow, deny, label }))
    }

    /// What a connector writes that could not read who may see a document.
    #[must_use]
    pub fn unknown(reason: &str) -> Self {
        Self::Unknown(UnknownReason::new(reason))
    }

    /// The lists, if they are known.
    #[must_use]
    pub fn lists(&self) -> Option<&Lists> {
        match self {
            Self::Lists(lists) => Some(lists),
            Self::Unknown(_) => None,
        }
    }
}

fn bounded(entries: usize) -> Result<(), AclError> {
    if entries > limits::ACL_ENTRIES_MAX { Err(AclError::TooMany { entries }) } else { Ok(()) }
}

/// Who may see a document, who may not, and the clearance that it asks for besides. Each side is sorted, without
/// repetition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Lists {
    allow: BTreeSet<AclEntry>,
    deny: BTreeSet<AclEntry>,
    label: Option<Label>,
}

impl Lists {
    /// Who may see the document.
    #[must_use]
    pub fn allow(&self) -> &BTreeSet<AclEntry> {
        &self.allow
    }

    /// Who may not, whatever else admits them.
    #[must_use]
    pub fn deny(&self) -> &BTreeSet<AclEntry> {
        &self.deny
    }

    /// The label for which one must be cleared, if the document has one.
    #[must_use]
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }
}

/// Why an access list is unknown, as its source says it: one line, bounded.
///
/// Made of any text, so that no document stays visible because the reason for hiding it was put badly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnknownReason(Box<str>);

impl UnknownReason {
    fn new(text: &str) -> Self {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = line.trim();
        let kept = line[..line.floor_char_boundary(limits::ACL_UNKNOWN_BYTES_MAX)].trim_end();
        Self(if kept.is_empty() { "no reason was given" } else { kept }.into())
    }

    /// The reason as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
