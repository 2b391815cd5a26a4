//! The rules of an `access.toml`: which document may be read by whom.
//!
//! Promises: the last rule whose pattern matches decides alone; a file that is not understood is refused with its line.
//! Does not: read the file.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use catena_access::Acl;
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use crate::http::acl::{AclBody, EntryBody};

/// Longest rule file.
pub(super) const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The rules of a folder, in their order.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

/// One of them.
#[derive(Debug)]
pub(super) struct Rule {
    /// The line in the file.
    pub(super) line: usize,
    pattern: GlobMatcher,
    pub(super) acl: Acl,
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesText {
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    path: Spanned<String>,
    allow: Vec<EntryBody>,
    #[serde(default)]
    deny: Vec<EntryBody>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

impl Rules {
    /// Reads the rules out of the text of an `access.toml`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let parsed: RulesText = toml::from_str(text)?;
        let rules = parsed.rule.into_iter().map(|rule| {
            let line = text.get(..rule.path.span().start).unwrap_or_default().matches('\n').count() + 1;
            Rule::new(rule, line).with_context(|| format!("the rule at line {line}"))
        });
        Ok(Self(rules.collect::<anyhow::Result<_>>()?))
    }

    /// The last rule whose pattern matches.
    pub(super) fn decide(&self, id: &str) -> Option<&Rule> {
        self.0.iter().rev().find(|rule| rule.pattern.is_match(id))
    }
}

impl Rule {
    fn new(text: RuleText, line: usize) -> anyhow::Result<Self> {
        let path = text.path.into_inner();
        if path.is_empty() || path.starts_with('/') || path.starts_with("./") {
            bail!("the path {path:?} can match no document; ids have the form folder/name.md");
        }
        let pattern = GlobBuilder::new(&path).literal_separator(true).build()?.compile_matcher();
        let acl = AclBody { allow: text.allow, deny: text.deny, label: text.label, unknown: None }.parse()?;
        Ok(Self { line, pattern, acl, attributes: text.attributes })
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
            let error = format!("{:#}", Rules::parse(text).map(|_| ()).unwrap_err());
            assert!(needles.iter().all(|needle| error.contains(needle)), "{text}: {error}");
        }
    }
}
