//! What an access list says to a principal at a moment: admitted, refused, or unknown, and why.

use std::collections::BTreeSet;
use std::fmt;

use catena_domain::{Label, Timestamp};

use super::{Acl, AclEntry, Lists, UnknownReason, Who};
use crate::principal::Principal;

/// What an access list says to a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// May see the document, by this rule.
    Admitted(Rule),
    /// May not.
    Refused(Reason),
    /// Nobody can say. Shown to nobody, administrators included, until somebody who knows says who may see it.
    Unknown(Why),
}

impl Decision {
    /// Whether the principal may see the document.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted(_))
    }
}

/// Why a principal was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What named the principal.
    pub by: Grant,
    /// The document's label, for which the principal is cleared.
    pub cleared: Option<Label>,
}

/// What names a principal as somebody who may see a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// An entry of the allow list.
    Entry(AclEntry),
    /// Being an administrator of the tenant.
    Administrator,
}

impl fmt::Display for Rule {
    /// One reading only: no name holds the `,` before the label or the `:` of a time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Grant::Entry(entry) => write!(f, "allow {entry}")?,
            Grant::Administrator => f.write_str("tenant administrator")?,
        }
        match &self.cleared {
            Some(label) => write!(f, ", cleared for {label}"),
            None => Ok(()),
        }
    }
}

/// Why a principal was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It stands for nobody at all.
    Nobody,
    /// An entry of the deny list names it.
    Denied(AclEntry),
    /// It is not cleared for the document's label.
    NotCleared(Label),
    /// No entry of the allow list names it.
    NotAllowed,
}

/// Why nobody can say who may see a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The tenant has no such label.
    Label(Label),
    /// The source did not give the permissions.
    Permissions(UnknownReason),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "the tenant has no label {label:?}", label = label.as_str()),
            Self::Permissions(reason) => write!(f, "the permissions are unknown: {reason}"),
        }
    }
}

impl Acl {
    /// Decides for `principal` at `now`. Nobody is never admitted; unknown wins over everything else; deny wins over
    /// allow; a label asks for a clearance besides; administrators are admitted unless denied.
    #[must_use]
    pub fn decide(&self, principal: &Principal, now: Timestamp) -> Decision {
        if principal.nobody {
            return Decision::Refused(Reason::Nobody);
        }
        let lists = match self.known(&principal.clearance.known) {
            Ok(lists) => lists,
            Err(why) => return Decision::Unknown(why),
        };
        if let Some(entry) = lists.deny.iter().find(|entry| entry.names(principal, now)) {
            return Decision::Refused(Reason::Denied(entry.clone()));
        }
        if let Some(label) = lists.label.as_ref().filter(|label| !principal.is_cleared_for(label)) {
            return Decision::Refused(Reason::NotCleared(label.clone()));
        }
        let admitted = |by| Decision::Admitted(Rule { by, cleared: lists.label.clone() });
        if let Some(entry) = lists.allow.iter().find(|entry| entry.names(principal, now)) {
            return admitted(Grant::Entry(entry.clone()));
        }
        if principal.administrator {
            return admitted(Grant::Administrator);
        }
        Decision::Refused(Reason::NotAllowed)
    }

    /// Why nobody can say who may see the document, in a tenant with these labels; `None` when somebody can.
    #[must_use]
    pub fn unknown_to(&self, known: &BTreeSet<Label>) -> Option<Why> {
        self.known(known).err()
    }

    fn known(&self, known: &BTreeSet<Label>) -> Result<&Lists, Why> {
        match self {
            Self::Unknown(reason) => Err(Why::Permissions(reason.clone())),
            Self::Lists(lists) => match &lists.label {
                Some(label) if !known.contains(label) => Err(Why::Label(label.clone())),
                _ => Ok(lists),
            },
        }
    }

    /// The next moment at which a decision may change by time alone: until then, what was decided at `now` holds.
    #[must_use]
    pub fn next_change_after(&self, now: Timestamp) -> Option<Timestamp> {
        let Self::Lists(lists) = self else { return None };
        let entries = lists.allow.iter().chain(&lists.deny);
        entries.flat_map(|entry| [entry.window.from(), entry.window.until()]).flatten().filter(|at| *at > now).min()
    }
}

impl AclEntry {
    fn names(&self, principal: &Principal, now: Timestamp) -> bool {
        let named = match &self.who {
            Who::Everyone => true,
            Who::Group(group) => principal.groups.contains(group),
            Who::User(user) => principal.user.as_ref() == Some(user),
        };
        named && self.window.contains(now)
    }
}

impl Principal {
    /// Cleared for a label that the tenant knows.
    fn is_cleared_for(&self, label: &Label) -> bool {
        self.administrator || self.clearance.cleared.contains(label)
    }
}
