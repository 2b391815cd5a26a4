//! Rules that say which document may be read by whom, in a description or in an `access.toml`.
//!
//! Promises: the last rule whose pattern matches decides alone; what is not understood is refused with its line or its
//! number. Does not: read the file.

use catena_access::acl::AclEntry;
use catena_access::{Acl, AclError, Attributes, Window, attribute};
use catena_domain::Label;
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// Longest rule file, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most rules of one source.
pub const RULES_MAX: usize = 10_000;
/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// Rules in their order.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its line in the file, or its number in the description, counted from 1.
    pub line: usize,
    pattern: GlobMatcher,
    /// Who may read what matches.
    pub acl: Acl,
    /// What is said of it besides.
    pub attributes: Attributes,
}

/// A rule as it is written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// A glob that the document's id must match.
    pub path: String,
    /// Who may read it. Empty: nobody but administrators.
    pub allow: Vec<EntryText>,
    /// Who may not, whatever admits them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<EntryText>,
    /// The clearance that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What is said of it besides.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// An entry of an access list as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an acl entry is everyone, user:NAME or group:NAME, or an object of entry, from and until"
)]
pub enum EntryText {
    /// `everyone`, `user:NAME` or `group:NAME`, at all times.
    Always(String),
    /// The same, for a time.
    Windowed(WindowedText),
}

/// An entry that holds for a time, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowedText {
    /// `everyone`, `user:NAME` or `group:NAME`.
    pub entry: String,
    /// Its first moment, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first moment after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Why rules are not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The file is no such file.
    #[error("{0}")]
    Form(String),
    /// One rule is not acceptable.
    #[error("the rule at line {line}: {reason}")]
    Rule {
        /// Its line, or its number.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There are too many.
    #[error("there are {given} rules; the limit is {RULES_MAX}; let one pattern match more")]
    TooMany {
        /// Rules given.
        given: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    rule: Vec<FileRule>,
}

/// [`RuleText`] with the place of its pattern, by which its line is found.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    path: Spanned<String>,
    allow: Vec<EntryText>,
    #[serde(default)]
    deny: Vec<EntryText>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    attributes: Attributes,
}

impl Rules {
    /// Reads the rules out of the text of an `access.toml`.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let parsed: FileText = toml::from_str(text).map_err(|error| RulesError::Form(error.to_string()))?;
        let lined = parsed.rule.into_iter().map(|rule| {
            let line = text.get(..rule.path.span().start).unwrap_or_default().matches('\n').count() + 1;
            let FileRule { path, allow, deny, label, attributes } = rule;
            (line, RuleText { path: path.into_inner(), allow, deny, label, attributes })
        });
        Self::collect(lined)
    }

    /// The rules of a description.
    pub fn of(rules: &[RuleText]) -> Result<Self, RulesError> {
        Self::collect(rules.iter().cloned().enumerate().map(|(at, rule)| (at + 1, rule)))
    }

    fn collect(rules: impl Iterator<Item = (usize, RuleText)>) -> Result<Self, RulesError> {
        let rules: Vec<Rule> = rules
            .map(|(line, rule)| Rule::new(rule, line).map_err(|reason| RulesError::Rule { line, reason }))
            .collect::<Result<_, _>>()?;
        if rules.len() > RULES_MAX { Err(RulesError::TooMany { given: rules.len() }) } else { Ok(Self(rules)) }
    }

    /// The last rule whose pattern matches.
    #[must_use]
    pub fn decide(&self, id: &str) -> Option<&Rule> {
        self.0.iter().rev().find(|rule| rule.pattern.is_match(id))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rule {
    fn new(text: RuleText, line: usize) -> Result<Self, String> {
        let RuleText { path, allow, deny, label, attributes } = text;
        if path.is_empty() || path.starts_with('/') || path.starts_with("./") {
            return Err(format!("the path {path:?} can match no document; ids have the form folder/name.md"));
        }
        if path.len() > PATTERN_BYTES_MAX {
            return Err(format!("the path is {} bytes long; the limit is {PATTERN_BYTES_MAX}", path.len()));
        }
        let glob = GlobBuilder::new(&path).literal_separator(true).build();
        let pattern = glob.map_err(|error| error.to_string())?.compile_matcher();
        let acl = acl(&allow, &deny, label.as_deref()).map_err(|error| error.to_string())?;
        attribute::check(&attributes).map_err(|error| error.to_string())?;
        Ok(Self { line, pattern, acl, attributes })
    }
}

/// The access list of both sides and a label.
pub(crate) fn acl(allow: &[EntryText], deny: &[EntryText], label: Option<&str>) -> Result<Acl, AclError> {
    let side = |entries: &[EntryText]| entries.iter().map(EntryText::parse).collect::<Result<Vec<_>, _>>();
    let label = label.map(Label::new).transpose().map_err(AclError::Label)?;
    Acl::of(side(allow)?, side(deny)?, label)
}

impl EntryText {
    fn parse(&self) -> Result<AclEntry, AclError> {
        match self {
            Self::Always(who) => Ok(who.parse::<catena_access::Who>()?.into()),
            Self::Windowed(WindowedText { entry, from, until }) => {
                let window = Window::parse(from.as_deref(), until.as_deref())?;
                Ok(AclEntry { who: entry.parse()?, window })
            }
        }
    }
}

impl From<&str> for EntryText {
    fn from(who: &str) -> Self {
        Self::Always(who.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(rule: &Rule) -> &catena_access::acl::Lists {
        rule.acl.lists().unwrap()
    }

    fn allowed(rules: &Rules, id: &str) -> Option<Vec<String>> {
        rules.decide(id).map(|rule| lists(rule).allow().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_last_rule_that_matches_decides_alone() {
        let text = "[[rule]]\npath = '**'\nallow = ['everyone']\nattributes = { a = '1' }\n\
                    [[rule]]\npath = 'eng/**'\nallow = ['group:eng']\ndeny = ['user:pavel']\n\
                    [[rule]]\npath = 'eng/open.md'\nallow = ['everyone']\n";
        let rules = Rules::parse(text).unwrap();
        assert_eq!(allowed(&rules, "a.md").unwrap(), ["everyone"]);
        assert_eq!(allowed(&rules, "eng/deep/a.md").unwrap(), ["group:eng"]);
        assert_eq!(allowed(&rules, "eng/open.md").unwrap(), ["everyone"]);
        let opened = rules.decide("eng/open.md").unwrap();
        assert!(
            opened.attributes.is_empty() && lists(opened).deny().is_empty(),
            "nothing is added up from other rules"
        );
        assert_eq!(opened.line, 10);
    }

    #[test]
    fn a_rule_may_hold_for_a_time_and_ask_for_a_clearance() {
        let text = "[[rule]]\npath = '**'\nlabel = 'secret'\n\
                    allow = ['group:eng', { entry = 'user:eve', until = '2026-02-01T00:00:00Z' }]\n";
        let rules = Rules::parse(text).unwrap();
        assert_eq!(allowed(&rules, "a.md").unwrap(), ["group:eng", "user:eve until 2026-02-01T00:00:00Z"]);
        assert_eq!(lists(rules.decide("a.md").unwrap()).label().unwrap().as_str(), "secret");
    }

    #[test]
    fn one_star_stays_within_a_segment_and_two_cross_it() {
        let matches = |pattern: &str, id: &str| {
            let rules = Rules::parse(&format!("[[rule]]\npath = '{pattern}'\nallow = []")).unwrap();
            rules.decide(id).is_some()
        };
        for (pattern, id, expected) in [
            ("*.md", "a.md", true),
            ("*.md", "eng/a.md", false),
            ("eng/*", "eng/a.md", true),
            ("eng/*", "eng/deep/a.md", false),
            ("eng/**", "eng/deep/a.md", true),
            ("eng/**", "engine/a.md", false),
            ("**/a.md", "a.md", true),
            ("**/a.md", "x/y/a.md", true),
            ("**", "x/y/a.md", true),
            ("ENG/**", "eng/a.md", false),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} against {id}");
        }
    }

    #[test]
    fn rules_that_are_not_understood_are_refused_with_their_line() {
        for (text, needles) in [
            ("[[rule]]\npath = 'a'\nalow = ['everyone']", ["alow", "line 3"]),
            ("[[rule]]\npath = 'a'\nallow = []\n\n[[rule]]\npath = 'b'\nallow = ['eng']", ["\"eng\"", "line 6"]),
            ("[[rule]]\npath = 'a['\nallow = []", ["a[", "line 2"]),
            ("[[rule]]\npath = 'a'\nallow = [{ entry = 'everyone', until = 'soon' }]", ["\"soon\" as until", "line 2"]),
            ("[[rule]]\npath = '/eng/**'\nallow = []", ["/eng/**", "line 2"]),
            ("[[rule]]\nallow = []", ["path", "line 1"]),
            ("rules = []", ["rules", "line 1"]),
        ] {
            let error = Rules::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(needles.iter().all(|needle| error.contains(needle)), "{text}: {error}");
        }
    }
}
