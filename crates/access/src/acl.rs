//! Access lists of documents, and the decision they make.
//!
//! [`Acl::decide`] is what the gate asks. The index pre-filters with other code on purpose: two decisions that disagree
//! are a defect that shows itself.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use catena_domain::{GroupName, NameError, UserName, limits};

use crate::principal::Principal;

/// One entry of an access list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AclEntry {
    /// Everyone in the tenant.
    Everyone,
    /// Members of one group.
    Group(GroupName),
    /// One user.
    User(UserName),
}

impl AclEntry {
    fn names(&self, principal: &Principal) -> bool {
        match self {
            Self::Everyone => true,
            Self::Group(group) => principal.groups.contains(group),
            Self::User(user) => principal.user.as_ref() == Some(user),
        }
    }
}

impl fmt::Display for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::User(user) => write!(f, "user:{user}"),
        }
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
    /// Too many entries.
    #[error("an acl list has {entries} entries; the limit is {}; use a group", limits::ACL_ENTRIES_MAX)]
    TooMany {
        /// Entries given.
        entries: usize,
    },
}

impl FromStr for AclEntry {
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

/// What an access list says to a principal, with the entry that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Admitted, by this rule.
    Admitted(Rule),
    /// Refused: a deny entry names the principal.
    Denied(AclEntry),
    /// Refused: no allow entry names the principal.
    NotAllowed,
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
pub enum Rule {
    /// By an entry of the allow list.
    Entry(AclEntry),
    /// As an administrator of the tenant.
    Administrator,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(entry) => write!(f, "allow {entry}"),
            Self::Administrator => f.write_str("tenant administrator"),
        }
    }
}

/// The access list of a document: sorted, without repetition, so that equal lists are equal texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Acl {
    allow: BTreeSet<AclEntry>,
    deny: BTreeSet<AclEntry>,
}

impl Acl {
    /// A list from its two sides as text, as they come in requests and mapping files.
    pub fn parse<S: AsRef<str>>(allow: &[S], deny: &[S]) -> Result<Self, AclError> {
        Ok(Self { allow: parse_side(allow)?, deny: parse_side(deny)? })
    }

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

    /// Decides for `principal`. Deny wins; administrators are admitted unless denied; nobody is never admitted.
    #[must_use]
    pub fn decide(&self, principal: &Principal) -> Decision {
        if principal.nobody {
            return Decision::NotAllowed;
        }
        if let Some(entry) = self.deny.iter().find(|entry| entry.names(principal)) {
            return Decision::Denied(entry.clone());
        }
        if let Some(entry) = self.allow.iter().find(|entry| entry.names(principal)) {
            return Decision::Admitted(Rule::Entry(entry.clone()));
        }
        if principal.administrator {
            return Decision::Admitted(Rule::Administrator);
        }
        Decision::NotAllowed
    }
}

fn parse_side<S: AsRef<str>>(entries: &[S]) -> Result<BTreeSet<AclEntry>, AclError> {
    if entries.len() > limits::ACL_ENTRIES_MAX {
        return Err(AclError::TooMany { entries: entries.len() });
    }
    entries.iter().map(|entry| entry.as_ref().parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(name: &str) -> Principal {
        Principal::new(Some(UserName::new(name).unwrap()), [])
    }

    fn member(name: &str, group: &str) -> Principal {
        Principal::new(Some(UserName::new(name).unwrap()), [GroupName::new(group).unwrap()])
    }

    fn acl(allow: &[&str], deny: &[&str]) -> Acl {
        Acl::parse(allow, deny).unwrap()
    }

    #[test]
    fn an_empty_acl_admits_nobody_but_administrators() {
        let empty = Acl::default();
        assert!(!empty.decide(&user("ann")).is_admitted());
        let administrator = Principal { administrator: true, ..Principal::default() };
        assert!(empty.decide(&administrator).is_admitted());
        assert!(!acl(&["everyone"], &["everyone"]).decide(&administrator).is_admitted());
    }

    #[test]
    fn deny_wins_over_every_way_of_being_allowed() {
        let list = acl(&["everyone", "user:ann", "group:eng"], &["group:contractors"]);
        assert!(list.decide(&member("ann", "eng")).is_admitted());
        let contractor = Principal::new(
            Some(UserName::new("ann").unwrap()),
            [GroupName::new("eng").unwrap(), GroupName::new("contractors").unwrap()],
        );
        assert!(!list.decide(&contractor).is_admitted());
    }

    #[test]
    fn nobody_is_admitted_to_nothing() {
        let nobody = Principal { nobody: true, administrator: true, ..Principal::default() };
        assert!(!acl(&["everyone"], &[]).decide(&nobody).is_admitted());
    }

    #[test]
    fn a_user_is_not_a_group_of_the_same_name() {
        assert!(!acl(&["group:ann"], &[]).decide(&user("ann")).is_admitted());
        assert!(acl(&["user:ann"], &[]).decide(&user("ann")).is_admitted());
    }

    #[test]
    fn an_unknown_entry_is_refused_with_the_known_forms() {
        let error = Acl::parse(&["role:admin"], &[]).unwrap_err();
        assert!(error.to_string().contains("everyone, user:NAME or group:NAME"), "{error}");
    }

    proptest! {
        #[test]
        fn adding_a_deny_never_admits_anyone(
            allow in prop::collection::vec("(everyone|user:[ab]|group:[ab])", 0..4),
            deny in prop::collection::vec("(everyone|user:[ab]|group:[ab])", 0..3),
            more in "(everyone|user:[ab]|group:[ab])",
            name in "[ab]", group in "[abc]",
        ) {
            let principal = member(&name, &group);
            let before = Acl::parse(&allow, &deny).unwrap().decide(&principal).is_admitted();
            let mut stricter = deny.clone();
            stricter.push(more);
            let after = Acl::parse(&allow, &stricter).unwrap().decide(&principal).is_admitted();
            prop_assert!(before || !after);
        }
    }
}
