//! Who asks.

use std::collections::BTreeSet;

use catena_domain::{GroupName, UserName};

/// The user whom a request names, when its credential may act on behalf of users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnBehalf {
    /// The user; without one, only the groups and `everyone` admit.
    pub user: Option<UserName>,
    /// Groups that the caller vouches for, besides those of the tenant's directory.
    pub groups: Vec<GroupName>,
}

/// Who asks, as ACLs see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    pub(crate) user: Option<UserName>,
    pub(crate) groups: BTreeSet<GroupName>,
    pub(crate) administrator: bool,
    pub(crate) nobody: bool,
}

impl Principal {
    /// The user, if any.
    #[must_use]
    pub fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// The groups, those of the directory and those vouched for.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<GroupName> {
        &self.groups
    }

    /// Whether this is an administrator of the tenant, acting as itself.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.administrator
    }

    /// Whether this stands for nobody at all: the service at work for itself, or an operator. Nothing admits it.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.nobody
    }

    /// A principal for tests and for the reference model; real ones come out of a [`crate::Scope`].
    #[must_use]
    pub fn new(user: Option<UserName>, groups: impl IntoIterator<Item = GroupName>) -> Self {
        Self { user, groups: groups.into_iter().collect(), administrator: false, nobody: false }
    }

    /// A text that is equal for equal principals: the key of caches that hold what one principal may see.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let groups: Vec<&str> = self.groups.iter().map(GroupName::as_str).collect();
        let user = self.user.as_ref().map_or("", |user| user.as_str());
        format!("{}{}:{user}:{}", u8::from(self.administrator), u8::from(self.nobody), groups.join(","))
    }
}
