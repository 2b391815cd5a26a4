//! An access list on the wire and in files of rules.
//!
//! Promises: what is read is within every limit, and what is written reads back as the same list. Does not: decide.

use std::collections::BTreeSet;
use std::fmt;

use catena_access::{Acl, AclEntry, AclError, Window};
use catena_domain::Label;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::wire;

/// Who may see a document.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AclBody {
    /// Who may see the document, at most 256 entries. Empty: nobody but the tenant's administrators.
    #[serde(default)]
    pub(crate) allow: Vec<EntryBody>,
    /// Whoever is named here is refused, whatever else admits them. At most 256 entries.
    #[serde(default)]
    pub(crate) deny: Vec<EntryBody>,
    /// A clearance label of the tenant. Whoever is not cleared for it is refused, whatever admits them. A label that
    /// the tenant does not have hides the document from everybody, administrators included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// For whoever could not read the document's permissions: why. It hides the document from everybody, administrators
    /// included, and stands alone. What is longer than 512 bytes is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<String>,
}

/// An entry of an access list.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(
    untagged,
    expecting = "an acl entry is everyone, user:NAME or group:NAME, or an object of entry, from and until"
)]
pub(crate) enum EntryBody {
    /// `everyone`, `user:NAME` or `group:NAME`, at all times.
    Always(String),
    /// The same, for a time.
    Windowed(WindowedEntry),
}

/// An entry that holds for a time.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowedEntry {
    /// `everyone`, `user:NAME` or `group:NAME`.
    entry: String,
    /// The first moment at which the entry holds, in RFC 3339. Without one, it has always held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The first moment at which it does not hold any more, after `from`. Without one, it never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl AclBody {
    pub(crate) fn parse(&self) -> Result<Acl, AclError> {
        let has_more = !self.allow.is_empty() || !self.deny.is_empty() || self.label.is_some();
        match &self.unknown {
            Some(_) if has_more => Err(AclError::NotAlone),
            Some(reason) => Ok(Acl::unknown(reason)),
            None => {
                let side = |entries: &[EntryBody]| entries.iter().map(EntryBody::parse).collect::<Result<Vec<_>, _>>();
                let label = self.label.as_deref().map(Label::new).transpose().map_err(AclError::Label)?;
                Acl::of(side(&self.allow)?, side(&self.deny)?, label)
            }
        }
    }

    pub(crate) fn of(acl: &Acl) -> Self {
        let side = |side: &BTreeSet<AclEntry>| side.iter().map(EntryBody::of).collect();
        match acl {
            Acl::Unknown(reason) => Self { unknown: Some(reason.to_string()), ..Self::default() },
            Acl::Lists(lists) => Self {
                allow: side(lists.allow()),
                deny: side(lists.deny()),
                label: lists.label().map(ToString::to_string),
                unknown: None,
            },
        }
    }
}

impl From<String> for EntryBody {
    fn from(entry: String) -> Self {
        Self::Always(entry)
    }
}

impl EntryBody {
    fn parse(&self) -> Result<AclEntry, AclError> {
        match self {
            Self::Always(who) => Ok(who.parse::<catena_access::Who>()?.into()),
            Self::Windowed(WindowedEntry { entry, from, until }) => {
                let window = Window::parse(from.as_deref(), until.as_deref())?;
                Ok(AclEntry { who: entry.parse()?, window })
            }
        }
    }

    fn of(entry: &AclEntry) -> Self {
        let (who, window) = (entry.who.to_string(), entry.window);
        if window == Window::ALWAYS {
            return Self::Always(who);
        }
        let (from, until) = (window.from().map(wire::time), window.until().map(wire::time));
        Self::Windowed(WindowedEntry { entry: who, from, until })
    }
}

impl fmt::Display for EntryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(who) => f.write_str(who),
            Self::Windowed(WindowedEntry { entry, from, until }) => {
                f.write_str(entry)?;
                for (word, bound) in [("from", from), ("until", until)] {
                    if let Some(bound) = bound {
                        write!(f, " {word} {bound}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: Value) -> Result<Acl, String> {
        let body: AclBody = serde_json::from_value(body).map_err(|error| error.to_string())?;
        body.parse().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_list() {
        for (given, shown) in [
            (json!({}), json!({"allow": [], "deny": []})),
            (
                json!({"allow": ["user:bob", "group:eng", {"entry": "group:eng"}], "deny": ["user:eve"]}),
                json!({"allow": ["group:eng", "user:bob"], "deny": ["user:eve"]}),
            ),
            (
                json!({"allow": [{"entry": "user:eve", "from": "2026-01-01T01:00:00+01:00"}], "label": "secret"}),
                json!({"allow": [{"entry": "user:eve", "from": "2026-01-01T00:00:00.000000Z"}], "deny": [],
                    "label": "secret"}),
            ),
            (json!({"unknown": "it said 403"}), json!({"allow": [], "deny": [], "unknown": "it said 403"})),
        ] {
            let acl = read(given).unwrap();
            let body = serde_json::to_value(AclBody::of(&acl)).unwrap();
            assert_eq!(body, shown);
            assert_eq!(read(body).unwrap(), acl);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_says_how_it_should_be() {
        let (jan, feb) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        for (given, needle) in [
            (json!({"allow": ["eng"]}), "everyone, user:NAME or group:NAME"),
            (json!({"allow": [7]}), "an object of entry, from and until"),
            (json!({"allow": [{"entry": "everyone", "form": jan}]}), "an object of entry, from and until"),
            (json!({"allow": [{"entry": "everyone", "from": "soon"}]}), "\"soon\" as from"),
            (json!({"deny": [{"entry": "everyone", "from": feb, "until": jan}]}), "from must be before until"),
            (json!({"deny": [{"entry": "everyone", "from": jan, "until": jan}]}), "from must be before until"),
            (json!({"label": ""}), "a label is empty"),
            (json!({"labels": "secret"}), "labels"),
            (json!({"unknown": "403", "allow": ["everyone"]}), "stands alone"),
            (json!({"unknown": "403", "label": "secret"}), "stands alone"),
            (json!({"allow": vec!["everyone"; 257]}), "256"),
        ] {
            let error = read(given.clone()).unwrap_err();
            assert!(error.contains(needle), "{given}: {error}");
        }
    }
}
