//! Descriptions and credentials: what is taken, what is refused with what would be right, and what the documentation shows.

use std::path::Path;

use catena_sources::{AccessSpec, Credentials, SourceSpec};
use serde_json::{Value, json};

use crate::credentials;

fn read(text: &Value) -> Result<SourceSpec, String> {
    let spec: SourceSpec = serde_json::from_value(text.clone()).map_err(|error| error.to_string())?;
    spec.check().map_err(|error| error.to_string())?;
    Ok(spec)
}

#[test]
fn every_description_in_the_documentation_is_taken() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/administrators/sources.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut kinds = Vec::new();
    for block in blocks {
        let value: Value = serde_json::from_str(block).unwrap();
        if value.get("kind").is_some() {
            kinds.push(read(&value).unwrap_or_else(|error| panic!("{block}: {error}")).kind());
        } else if value.get("rules").is_some() {
            let access: AccessSpec = serde_json::from_value(value).unwrap();
            catena_sources::access::Rules::of(&access.rules).unwrap();
        }
    }
    assert_eq!(kinds, ["folder", "git", "web", "objects", "push"]);
}

#[test]
fn what_is_described_reads_back_as_it_was() {
    for text in [
        json!({"kind": "folder", "path": "/srv/a", "include": ["**/*.md"], "access": {"from_file": true}}),
        json!({"kind": "git", "url": "https://git.example.org/a.git", "branch": "main"}),
        json!({"kind": "web", "start": ["https://example.org/"], "query": {"only": ["id"]}}),
        json!({"kind": "objects", "store": "s3", "bucket": "b", "endpoint": "https://s3.example.org"}),
        json!({"kind": "push"}),
    ] {
        let spec = read(&text).unwrap();
        let again = read(&serde_json::to_value(&spec).unwrap()).unwrap();
        assert_eq!(spec, again);
    }
}

#[test]
fn what_cannot_be_right_is_refused_by_its_field() {
    let many: Vec<String> = (0..257).map(|at| format!("{at}/**")).collect();
    for (text, needle) in [
        (json!({"kind": "folder"}), "path"),
        (json!({"kind": "folder", "path": "srv"}), "absolute"),
        (json!({"kind": "folder", "path": "/srv/../etc"}), ".."),
        (json!({"kind": "folder", "path": "/srv", "pth": 1}), "pth"),
        (json!({"kind": "folder", "path": "/srv", "include": ["a["]}), "include"),
        (json!({"kind": "folder", "path": "/srv", "exclude": many}), "256"),
        (json!({"kind": "folder", "path": "/srv", "access": {"rules": [{"path": "**", "allow": ["eng"]}]}}), "\"eng\""),
        (
            json!({"kind": "folder", "path": "/srv", "access": {"rules": [{"path": "/a", "allow": []}]}}),
            "folder/name.md",
        ),
        (json!({"kind": "folder", "path": "/srv", "access": {"rules": [{"path": "**"}]}}), "allow"),
        (
            json!({"kind": "folder", "path": "/srv", "access": {"from_file": true, "rules": [{"path": "**", "allow": []}]}}),
            "not in both",
        ),
        (json!({"kind": "git", "url": "https://user:secret@example.org/a.git"}), "credentials"),
        (json!({"kind": "git", "url": "ssh://example.org/a.git"}), "https://"),
        (json!({"kind": "git", "url": "https://example.org/a", "folder": "../x"}), "folder"),
        (json!({"kind": "git", "url": "https://example.org/a", "link": "javascript:{path}"}), "link"),
        (json!({"kind": "web"}), "start"),
        (json!({"kind": "web", "start": ["ftp://example.org/"]}), "https://"),
        (json!({"kind": "web", "start": ["https://example.org/"], "depth": 17}), "16"),
        (json!({"kind": "web", "start": ["https://example.org/"], "pages_max": 0}), "pages_max"),
        (json!({"kind": "web", "start": ["https://example.org/"], "delay_ms": 60_001}), "60000"),
        (json!({"kind": "web", "start": ["https://example.org/"], "hosts": ["example.org/x"]}), "hosts"),
        (json!({"kind": "web", "start": ["https://example.org/"], "paths": ["docs"]}), "/docs/"),
        (
            json!({"kind": "web", "start": ["https://example.org/"], "access": {"from_documents": true}}),
            "from_documents",
        ),
        (json!({"kind": "objects", "store": "s4", "bucket": "b"}), "s4"),
        (json!({"kind": "objects", "store": "s3", "bucket": "a/b"}), "bucket"),
        (json!({"kind": "objects", "store": "s3", "bucket": "b", "prefix": "a//b"}), "prefix"),
        (json!({"kind": "objects", "store": "azure", "bucket": "b"}), "account"),
        (json!({"kind": "objects", "store": "gcs", "bucket": "b", "endpoint": "https://x.example.org"}), "endpoint"),
        (json!({"kind": "objects", "store": "s3", "bucket": "b", "region": "eu/../x"}), "region"),
        (json!({"kind": "push", "url": "x"}), "url"),
        (json!({"kind": "mail"}), "mail"),
    ] {
        let error = read(&text).map(|_| ()).unwrap_err();
        assert!(error.contains(needle), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn credentials_are_those_of_the_kind_whole_and_never_shown() {
    let git = read(&json!({"kind": "git", "url": "https://git.example.org/a.git"})).unwrap();
    let s3 = read(&json!({"kind": "objects", "store": "s3", "bucket": "b"})).unwrap();
    let folder = read(&json!({"kind": "folder", "path": "/srv"})).unwrap();
    for (spec, secrets, needle) in [
        (&git, vec![("token", "s3cret")], None),
        (&git, vec![("username", "u"), ("password", "s3cret")], None),
        (&git, vec![("username", "s3cret")], Some("password")),
        (&git, vec![("token", "s3cret"), ("password", "s3cret")], Some("either")),
        (&git, vec![("tokn", "s3cret")], Some("tokn")),
        (&git, vec![("token", "")], Some("empty")),
        (&git, vec![("token", "s3cret\u{0}")], Some("control")),
        (&s3, vec![("access_key_id", "s3cret")], Some("secret_access_key")),
        (&s3, vec![("access_key_id", "a"), ("secret_access_key", "s3cret")], None),
        (&folder, vec![("token", "s3cret")], Some("none")),
    ] {
        let given = credentials(&secrets);
        assert!(!format!("{given:?}").contains("s3cret"));
        let checked = given.check(spec).map_err(|error| error.to_string());
        match (checked, needle) {
            (Ok(()), None) => {}
            (Err(error), Some(needle)) => assert!(error.contains(needle) && !error.contains("s3cret"), "{error}"),
            (checked, _) => panic!("{secrets:?}: {checked:?}"),
        }
    }
    let sealed = serde_json::to_string(&credentials(&[("token", "s3cret")])).unwrap();
    assert_eq!(serde_json::from_str::<Credentials>(&sealed).unwrap(), credentials(&[("token", "s3cret")]));
}
