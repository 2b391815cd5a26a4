//! What a key may be used for.

use std::fmt;
use std::str::FromStr;

/// One right of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Search, context, and reading documents that the principal is admitted to.
    Read,
    /// Writing and deleting documents and their ACLs.
    Write,
    /// Keys, groups, jobs, generations; the holder is an administrator of the tenant when it acts as itself.
    Admin,
    /// Acting on behalf of a user that the request names.
    Impersonate,
    /// Reading the audit record.
    Audit,
    /// Creating tenants and their first keys. Gives no access to documents.
    Operator,
}

impl Right {
    /// Every right, in the order in which they are listed to people.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Admin, Self::Impersonate, Self::Audit, Self::Operator];

    /// The right's name on the wire and in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Impersonate => "impersonate",
            Self::Audit => "audit",
            Self::Operator => "operator",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A name that is no right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope; known scopes are read, write, admin, impersonate and audit")]
pub struct UnknownRight(pub String);

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        Self::ALL.into_iter().find(|right| right.as_str() == text).ok_or_else(|| UnknownRight(text.to_owned()))
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u8);

impl Rights {
    /// The set of `rights`.
    #[must_use]
    pub fn of(rights: &[Right]) -> Self {
        Self(rights.iter().fold(0, |bits, right| bits | right.bit()))
    }

    /// Whether `right` is among them.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// The rights, in their listed order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |&right| self.has(right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }
}

impl fmt::Display for Rights {
    /// The names, with commas between; what is stored and recorded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Right::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Rights {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        text.split(',').filter(|name| !name.is_empty()).map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_read_back_as_they_were_written() {
        for bits in 0..64 {
            let rights = Rights(bits);
            assert_eq!(rights.to_string().parse::<Rights>(), Ok(rights));
        }
        assert!("read,root".parse::<Rights>().is_err());
    }
}
