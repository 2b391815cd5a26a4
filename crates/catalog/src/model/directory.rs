//! Groups, and documents that nobody may see yet.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use catena_access::acl::Why;
use catena_domain::{DocumentId, GroupName, Label, NameError, UserName};

/// What stands before a group's name where a user's may stand as well. No user's name holds a `:`.
const GROUP: &str = "group:";

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// Everybody who is in this group.
    Group(GroupName),
    /// One user.
    User(UserName),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "{GROUP}{group}"),
            Self::User(user) => user.fmt(f),
        }
    }
}

impl FromStr for Member {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix(GROUP) {
            Some(group) => GroupName::new(group).map(Self::Group),
            None => UserName::new(text).map(Self::User),
        }
    }
}

impl From<UserName> for Member {
    fn from(user: UserName) -> Self {
        Self::User(user)
    }
}

impl From<GroupName> for Member {
    fn from(group: GroupName) -> Self {
        Self::Group(group)
    }
}

/// What is said of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// All who are in it.
    pub members: BTreeSet<Member>,
    /// The label up to which they are cleared by it.
    pub clearance: Option<Label>,
}

impl<M: Into<Member>> FromIterator<M> for Group {
    /// A group of these members, without a clearance.
    fn from_iter<I: IntoIterator<Item = M>>(members: I) -> Self {
        Self { members: members.into_iter().map(Into::into).collect(), clearance: None }
    }
}

/// A group as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its name.
    pub name: GroupName,
    /// How many users and groups are named as its members.
    pub members: u64,
    /// The label up to which its members are cleared by it.
    pub clearance: Option<Label>,
}

/// A document that nobody may see, because nobody can say who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its id.
    pub id: DocumentId,
    /// The source that it came from, if any.
    pub source: Option<String>,
    /// Why nobody can say it.
    pub why: Why,
}
