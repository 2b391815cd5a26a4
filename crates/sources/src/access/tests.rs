//! Who decides for a document, and what becomes of statements that cannot be read.

use super::*;
use catena_access::Acl;
use proptest::prelude::*;

fn acl(allow: &[&str], deny: &[&str]) -> Access {
    Access::Stated(Acl::parse(allow, deny).unwrap())
}

fn spec(rules: &[(&str, &str)], from_documents: bool) -> AccessSpec {
    let rule = |&(path, who): &(&str, &str)| RuleText {
        path: path.to_owned(),
        allow: vec![who.into()],
        attributes: Attributes::from([("by".to_owned(), "rule".into())]),
        ..RuleText::default()
    };
    AccessSpec { rules: rules.iter().map(rule).collect(), from_file: false, from_documents }
}

fn decide(spec: &AccessSpec, id: &str, bytes: &str) -> Access {
    Decider::new(spec, None).unwrap().decide(id, said_in(bytes.as_bytes())).0
}

const SPEAKS: &str = "---\ntitle: T\ncatena: {allow: [group:eng], deny: ['user:pavel']}\n---\n# T\n";

#[test]
fn the_document_speaks_before_the_rules_and_the_rules_before_nobody() {
    let rules = [("**", "everyone"), ("eng/**", "group:staff")];
    for (from_documents, id, bytes, expected) in [
        (true, "eng/a.md", SPEAKS, acl(&["group:eng"], &["user:pavel"])),
        (false, "eng/a.md", SPEAKS, acl(&["group:staff"], &[])),
        (true, "eng/a.md", "# silent", acl(&["group:staff"], &[])),
        (true, "a.md", "# silent", acl(&["everyone"], &[])),
    ] {
        assert_eq!(decide(&spec(&rules, from_documents), id, bytes), expected, "{from_documents} {id}");
    }
    assert_eq!(decide(&spec(&rules[1..], true), "a.md", "# silent"), Access::Unstated);
    assert_eq!(decide(&AccessSpec::default(), "a.md", SPEAKS), Access::Unstated);
}

#[test]
fn what_a_document_says_and_cannot_be_read_admits_nobody_whatever_the_rules_say() {
    let open = spec(&[("**", "everyone")], true);
    for (case, bytes) in [
        ("a wrong entry", "---\ncatena: {allow: [eng]}\n---\n"),
        ("a wrong field", "---\ncatena: {alow: [everyone]}\n---\n"),
        ("nothing behind it", "---\ncatena:\n---\n"),
        ("nobody said, and a label", "---\ncatena: {allow: , label: internal}\n---\n"),
        ("nobody said, and attributes", "---\ncatena:\n  allow: null\n  attributes: {lang: en}\n---\n"),
        ("no denial said", "---\ncatena:\n  allow: [everyone]\n  deny:\n---\n"),
        ("no label said", "---\ncatena: {allow: [everyone], label: ~}\n---\n"),
        ("an empty line above it", "---\n\ncatena: {allow: [group:eng]}\n---\n"),
        ("an empty line and a title above it", "---\n\ntitle: T\n\"catena\": {allow: [group:eng]}\n---\n"),
        ("empty braces", "---\ncatena: {}\n---\n"),
        ("only a denial", "---\ncatena: {deny: ['user:eve']}\n---\n"),
        ("only a label", "---\ncatena: {label: secret}\n---\n"),
        ("a word for a list", "---\ncatena: {allow: everyone}\n---\n"),
        ("said twice", "---\ncatena: {allow: [everyone]}\ncatena: {allow: ['group:eng']}\n---\n"),
        ("no YAML", "---\ncatena: {allow: [everyone\n---\n"),
        ("no end", "---\ncatena: {allow: ['group:eng']}\n# Title\n"),
        ("another encoding", "---\ncatena: {allow: ['group:eng']}\n\u{FFFD}"),
        (
            "a window that never is",
            "---\ncatena: {allow: [{entry: everyone, from: 2026-02-01T00:00:00Z, until: 2026-01-01T00:00:00Z}]}\n---\n",
        ),
    ] {
        let access = decide(&open, "a.md", bytes);
        assert!(matches!(access, Access::Unreadable { .. }), "{case}: {access:?}");
    }
    let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain(SPEAKS.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let wide: Vec<u8> = SPEAKS.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
    for bytes in [&utf16[..], &utf16[2..], &wide] {
        assert!(matches!(said_in(bytes).access, Some(Access::Unreadable { .. })), "{:?}", &bytes[..8]);
    }
}

#[test]
fn front_matter_of_every_usual_form_is_heard_and_a_rule_at_the_top_is_none() {
    let eng = Some(acl(&["group:eng"], &[]));
    for (bytes, expected) in [
        ("---\ncatena:\n  allow:\n    - group:eng\n---\ntext", &eng),
        ("---\r\ncatena: {allow: [group:eng]}\r\n---\r\ntext", &eng),
        ("\u{FEFF}---\ncatena: {\"allow\": [\"group:eng\"]}\n...\ntext", &eng),
        ("---  \n\"catena\": {allow: [group:eng]}\n---\n", &eng),
        ("---\n{catena: {allow: [group:eng]}}\n---\n", &eng),
        ("---\ntitle: only\naccess: public\n---\n", &None),
        ("---\n\ntext about\ncatena in a paragraph: words\n---\n", &None),
        ("---\n\ntext\n\n---\ncatena: {allow: [group:eng]}\n---\n", &None),
        ("---\n\ntext without an end", &None),
        ("text\n---\ncatena: {allow: [group:eng]}\n---\n", &None),
        ("", &None),
        ("---", &None),
        ("---\n---\n", &None),
    ] {
        assert_eq!(said_in(bytes.as_bytes()).access, *expected, "{bytes:?}");
    }
}

#[test]
fn attributes_of_document_and_rule_stand_side_by_side_and_the_documents_win() {
    let decider = Decider::new(&spec(&[("**", "everyone")], true), None).unwrap();
    let said = said_in(b"---\ncatena: {allow: [everyone], attributes: {by: me, pages: 3, tags: [a, b]}}\n---\n");
    let (_, attributes) = decider.decide("a.md", said);
    let shown = serde_json::to_string(&attributes).unwrap();
    assert_eq!(shown, r#"{"by":"me","pages":3,"tags":["a","b"]}"#);
    let said = said_in(b"---\ncatena: {attributes: {lang: en}}\n---\n");
    let (access, attributes) = decider.decide("a.md", said);
    assert_eq!((access, attributes.len()), (acl(&["everyone"], &[]), 2), "attributes alone leave access to the rules");
}

#[test]
fn metadata_are_read_whole_or_not_at_all() {
    let said = |pairs: &[(&'static str, &'static str)]| said_by_metadata(pairs.iter().copied());
    let both = said(&[("catena-allow", "group:eng, user:bob"), ("Catena-Deny", "user:eve"), ("other", "x")]);
    assert_eq!(both.access, Some(acl(&["group:eng", "user:bob"], &["user:eve"])));
    assert_eq!(said(&[("catena-allow", "")]).access, Some(acl(&[], &[])));
    assert_eq!(said(&[("owner", "x")]), Said::default());
    assert_eq!(said(&[("catena-attribute-lang", "en")]).attributes.len(), 1);
    for wrong in [
        [("catena-alow", "everyone")],
        [("catena-allow", "eng")],
        [("catena-deny", "user:eve")],
        [("catena-label", "secret")],
        [("catena-attribute-", "x")],
    ] {
        assert!(matches!(said(&wrong).access, Some(Access::Unreadable { .. })), "{wrong:?}");
    }
}

#[test]
fn a_listing_says_nothing_of_documents_that_may_speak_for_themselves() {
    let listed = |from_documents: bool, id: &str, speaks: Speaks| {
        Decider::new(&spec(&[("**", "everyone")], from_documents), None).unwrap().listed(id, speaks).is_some()
    };
    assert!(!listed(true, "a.md", Speaks::InFrontMatter));
    assert!(listed(true, "a.pdf", Speaks::InFrontMatter));
    assert!(!listed(true, "a.pdf", Speaks::InMetadata));
    assert!(listed(true, "a.md", Speaks::Never));
    assert!(listed(false, "a.md", Speaks::InFrontMatter));
}

#[test]
fn rules_of_the_place_are_there_and_understood_or_nothing_is_decided() {
    let spec = AccessSpec { from_file: true, ..AccessSpec::default() };
    for (file, needle) in [
        (None, "access.toml is not there"),
        (Some(b"[[rule]]\npath = 'a'\nallow = ['eng']".as_slice()), "line 2"),
        (Some(b"\xFF".as_slice()), "not UTF-8"),
    ] {
        let error = Decider::new(&spec, file).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
    let decider = Decider::new(&spec, Some(b"[[rule]]\npath = '**'\nallow = ['everyone']")).unwrap();
    assert_eq!(decider.decide("a.md", Said::default()).0, acl(&["everyone"], &[]));
}

proptest! {
    #[test]
    fn no_bytes_make_a_silent_document_open(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        // Without an allow list nothing that a document holds may admit anybody.
        let said = said_in(&bytes);
        prop_assert!(!matches!(said.access, Some(Access::Stated(_))) || bytes.windows(5).any(|part| part == b"allow"));
    }
}
