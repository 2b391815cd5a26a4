//! An access list as the text that is stored, hashed and interned.
//!
//! Promises: equal lists are equal texts; what a list does not have leaves no trace in its text, so that lists without
//! windows and labels are the texts they always were; a text that says more than is understood here is damage, not a list
//! that says less.

use catena_access::{Acl, AclEntry, Window};
use catena_domain::{Label, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredAcl {
    Unknown(StoredUnknown),
    Lists(StoredLists),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUnknown {
    unknown: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLists {
    allow: Vec<StoredEntry>,
    deny: Vec<StoredEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredEntry {
    Always(String),
    Windowed(StoredWindow),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredWindow {
    entry: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_us: Option<i64>,
}

impl StoredEntry {
    fn of(entry: &AclEntry) -> Self {
        let (who, window) = (entry.who.to_string(), entry.window);
        if window == Window::ALWAYS {
            return Self::Always(who);
        }
        let us = |bound: Option<Timestamp>| bound.map(|bound| bound.0);
        Self::Windowed(StoredWindow { entry: who, from_us: us(window.from()), until_us: us(window.until()) })
    }

    fn read(&self) -> Option<AclEntry> {
        let (who, from, until) = match self {
            Self::Always(who) => (who, None, None),
            Self::Windowed(stored) => (&stored.entry, stored.from_us, stored.until_us),
        };
        let window = Window::new(from.map(Timestamp), until.map(Timestamp)).ok()?;
        Some(AclEntry { who: who.parse().ok()?, window })
    }
}

/// An ACL as text, equal for equal ACLs.
#[must_use]
pub fn acl_text(acl: &Acl) -> String {
    let stored = match acl {
        Acl::Unknown(reason) => StoredAcl::Unknown(StoredUnknown { unknown: reason.to_string() }),
        Acl::Lists(lists) => StoredAcl::Lists(StoredLists {
            allow: lists.allow().iter().map(StoredEntry::of).collect(),
            deny: lists.deny().iter().map(StoredEntry::of).collect(),
            label: lists.label().map(ToString::to_string),
        }),
    };
    serde_json::to_string(&stored).unwrap_or_else(|_| unreachable!("texts and numbers are JSON"))
}

/// An ACL out of its text; `None` when it cannot have been written by [`acl_text`].
#[must_use]
pub fn acl_of(text: &str) -> Option<Acl> {
    match serde_json::from_str(text).ok()? {
        StoredAcl::Unknown(stored) => Some(Acl::unknown(&stored.unknown)),
        StoredAcl::Lists(stored) => {
            let side = |entries: &[StoredEntry]| entries.iter().map(StoredEntry::read).collect::<Option<Vec<_>>>();
            let label = stored.label.as_deref().map(Label::new).transpose().ok()?;
            Acl::of(side(&stored.allow)?, side(&stored.deny)?, label).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acls() -> impl Strategy<Value = Acl> {
        let window = (prop::option::of(0i64..9), prop::option::of(9i64..19))
            .prop_map(|(from, until)| Window::new(from.map(Timestamp), until.map(Timestamp)).unwrap());
        let entry = ("(everyone|user:[ab]|group:[ab])", window)
            .prop_map(|(who, window)| AclEntry { who: who.parse().unwrap(), window });
        let side = || prop::collection::vec(entry.clone(), 0..4);
        let label = prop::option::of("[a-c]".prop_map(|name| Label::new(&name).unwrap()));
        prop_oneof![
            4 => (side(), side(), label).prop_map(|(allow, deny, label)| Acl::of(allow, deny, label).unwrap()),
            1 => "\\PC{0,9}".prop_map(|reason| Acl::unknown(&reason)),
        ]
    }

    proptest! {
        #[test]
        fn an_acl_reads_back_as_it_was_stored_and_equal_ones_are_equal_texts(one in acls(), other in acls()) {
            prop_assert_eq!(acl_of(&acl_text(&one)), Some(one.clone()));
            prop_assert_eq!(acl_text(&one) == acl_text(&other), one == other);
        }
    }

    /// Their hashes stand in catalogs and in the record.
    #[test]
    fn lists_without_windows_and_labels_are_the_texts_they_always_were() {
        let list = Acl::parse(&["user:bob", "group:eng", "everyone"], &["user:eve", "user:eve"]).unwrap();
        let text = r#"{"allow":["everyone","group:eng","user:bob"],"deny":["user:eve"]}"#;
        assert_eq!(acl_text(&list), text);
        assert_eq!(acl_of(text), Some(list));
        assert_eq!(acl_text(&Acl::default()), r#"{"allow":[],"deny":[]}"#);
    }

    #[test]
    fn what_is_new_has_one_text() {
        let eve = Window::new(Some(Timestamp(5)), None).unwrap();
        let eve = AclEntry { who: "user:eve".parse().unwrap(), window: eve };
        let list = Acl::of(vec![eve], vec![], Some(Label::new("secret").unwrap())).unwrap();
        assert_eq!(acl_text(&list), r#"{"allow":[{"entry":"user:eve","from_us":5}],"deny":[],"label":"secret"}"#);
        assert_eq!(acl_text(&Acl::unknown("403")), r#"{"unknown":"403"}"#);
    }

    #[test]
    fn a_stored_acl_that_says_more_than_is_understood_is_damage() {
        for text in [
            "{}",
            r#"{"allow":["everyone"]}"#,
            r#"{"allow":["everyone"],"deny":[],"labels":["secret"]}"#,
            r#"{"allow":[{"entry":"everyone","not_on":"friday"}],"deny":[]}"#,
            r#"{"allow":[{"entry":"everyone","from_us":5,"until_us":5}],"deny":[]}"#,
            r#"{"unknown":"403","allow":["everyone"],"deny":[]}"#,
        ] {
            assert_eq!(acl_of(text), None, "{text}");
        }
    }
}
