//! Earlier versions and deleted documents, from outside.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::faults::{Action, Faults, Rule};
use crate::harness::{Client, Home};

/// An invented word.
const CANARY: &str = "vexilquorn";

/// Whether any file below `folder` holds the word.
fn holds(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    })
}

async fn change(client: &Client, method: Method, path: &str, if_match: &str, body: Value) -> crate::harness::Reply {
    let request = client.request(method, path).header("if-match", if_match);
    client.send(if body.is_null() { request } else { request.json(&body) }).await
}

#[tokio::test]
async fn an_earlier_version_is_read_and_restored_by_those_who_may() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("a.md", "# First\n\nThe ferry costs four crowns.").await;
    admin.write("a.md", "# Second\n\nThe ferry costs six crowns.").await;
    let earlier = format!("{}/versions/1", admin.document("a.md"));
    let first = admin.get(&earlier).await.expect(200).json();
    assert_eq!((&first["title"], &first["version"]), (&json!("First"), &json!(1)));
    assert_eq!(first["text"], "# First\n\nThe ferry costs four crowns.");
    for scopes in [&["read"][..], &["read", "write"], &["read", "audit"]] {
        let other = server.key("acme", scopes, Some("bob"), &[]).await;
        other.get(&earlier).await.refused(403, "missing-scope");
    }
    for absent in ["versions/9", "versions/0", "versions/-1", "versions/x"] {
        admin.get(&format!("{}/{absent}", admin.document("a.md"))).await.refused(404, "not-found");
    }
    let writer = server.key("acme", &["write"], None, &[]).await;
    let restore = |version: u32| format!("{}/versions/{version}/restore", admin.document("a.md"));
    change(&writer, Method::POST, &restore(1), "\"v1\"", Value::Null).await.refused(412, "precondition-failed");
    let back = change(&writer, Method::POST, &format!("{}?wait=searchable", restore(1)), "\"v2\"", Value::Null).await;
    let back = back.expect(200);
    assert_eq!(back.header("etag"), "\"v3\"");
    assert_eq!((&back.json()["change"], &back.json()["chunks"]["embedded"]), (&json!("version"), &json!(0)));
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let context = reader.context_of("what does the ferry cost", 500).await;
    assert_eq!(context["citations"][0]["version"], 3);
    assert!(context["text"].as_str().is_some_and(|text| text.contains("four crowns")), "{context}");
    reader.post(&restore(1), &json!({})).await.refused(403, "missing-scope");
    writer.post(&restore(9), &json!({})).await.refused(404, "not-found");
    writer.post(&restore(1), &json!({"acl": {"allow": ["nobody"]}})).await.refused(422, "invalid-request");
}

#[tokio::test]
async fn every_write_to_a_document_honours_if_match_and_names_the_version() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("a.md", "# One").await;
    let document = admin.document("a.md");
    let (acl, purge) = (format!("{document}/acl"), format!("{document}/purge"));
    let open = json!({"allow": ["everyone"]});
    for (method, path, body) in [(Method::PUT, &acl, open.clone()), (Method::DELETE, &document, Value::Null)] {
        change(&admin, method.clone(), path, "\"v2\"", body.clone()).await.refused(412, "precondition-failed");
        change(&admin, method.clone(), path, "odd", body.clone()).await.refused(400, "malformed-request");
        let done = change(&admin, method, path, "\"v1\"", body).await.expect(200);
        assert_eq!(done.header("etag"), "\"v1\"");
    }
    change(&admin, Method::POST, &purge, "\"v2\"", Value::Null).await.refused(412, "precondition-failed");
    let done = change(&admin, Method::POST, &purge, "\"v1\"", Value::Null).await.expect(200);
    assert_eq!(done.header("etag"), "\"v1\"");
}

#[tokio::test]
async fn a_deleted_document_is_listed_restored_or_purged_and_a_purged_one_leaves_no_byte() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    for at in 0..3 {
        admin.write("gone.md", &format!("# The {CANARY} {at}\n\nThe word {CANARY} stands here, number {at}.")).await;
        admin.write(&format!("other-{at}.md"), &format!("# Other {at}\n\nNothing of note.")).await;
    }
    let cited = admin.context_of(CANARY, 500).await["citations"][0].clone();
    let document = admin.document("gone.md");
    let purge = format!("{document}/purge?wait=done");
    admin.post(&purge, &json!({})).await.refused(409, "conflict");
    admin.delete(&document).await.expect(200);
    let deleted = admin.get(&admin.path("documents?state=deleted")).await.expect(200).json();
    assert_eq!((&deleted["data"][0]["document"], &deleted["data"][0]["version"]), (&json!("gone.md"), &json!(3)));
    assert!(deleted["data"][0]["deleted_at"].is_string());
    let writer = server.key("acme", &["read", "write"], None, &[]).await;
    writer.get(&writer.path("documents?state=deleted")).await.refused(403, "missing-scope");
    let restore = format!("{document}/versions/3/restore");
    writer.post(&restore, &json!({})).await.refused(422, "acl-needed");
    writer.post(&restore, &json!({"acl": {"allow": ["everyone"]}})).await.expect(201);
    admin.delete(&document).await.expect(200);
    writer.post(&purge, &json!({})).await.refused(403, "missing-scope");
    assert!(holds(&home.data()), "the test is worth nothing");
    let purged = admin.post(&purge, &json!({})).await.expect(200).json();
    assert_eq!((&purged["done"], &purged["version"]), (&json!(true), &json!(4)));
    assert!(!holds(&home.data()));
    admin.post(&purge, &json!({})).await.refused(404, "not-found");
    writer.post(&restore, &json!({"acl": {"allow": ["everyone"]}})).await.refused(404, "not-found");
    let empty = admin.get(&admin.path("documents?state=deleted")).await.expect(200).json();
    assert_eq!(empty["data"], json!([]));
    assert_eq!(admin.write("gone.md", "# Anew").await["version"], 5);
    let verdict = admin.post(&admin.path("citations:verify"), &json!({"citations": [cited]})).await.expect(200).json();
    assert_eq!(verdict["results"][0]["verdict"], "unavailable", "an old citation met a new text");
    server.stop().await;
    assert!(!holds(&home.data()));
    assert_eq!(home.verify().await.code, Some(0));
}

#[tokio::test]
async fn a_read_whose_write_the_index_does_not_reach_says_how_far_it_is() {
    let home = Home::new();
    let faults = Faults::of(&home);
    let server = faults.under(home.serve()).start().await;
    let admin = server.tenant("acme").await;
    let reached = admin.write("a.md", "# One").await["seq"].clone();
    // Segments cannot be begun, however often that is tried while the questions wait; the catalog is sound.
    let rules: Vec<Rule> = (1..=8).map(|nth| Rule::new("create,mkdir", "index/*", nth, Action::Eio)).collect();
    faults.set(&rules);
    let envelope = json!({"text": "# Two", "acl": {"allow": ["everyone"]}});
    let seq = admin.put(&admin.document("b.md"), &envelope).await.expect(201).json()["seq"].clone();
    let search = json!({"query": "two", "min_seq": seq});
    let context = json!({"query": "two", "budget": {"tokens": 500}, "min_seq": seq});
    for (path, body) in [("search", search.clone()), ("context", context)] {
        let refused = admin.post(&admin.path(path), &body).await.refused(503, "index-behind");
        assert_eq!(refused.json()["reached"], reached, "{}", refused.text());
        assert_ne!(refused.header("retry-after"), "");
    }
    faults.clear();
    admin.write("c.md", "# Three").await;
    assert!(admin.search(&search).await.expect(200).json()["seq"].as_u64() >= seq.as_u64());
}
