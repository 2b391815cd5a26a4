//! Keys that end and follow one another, groups in groups, labels, and documents that nobody may see yet.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::harness::{Client, Home, Reply, Server, text, wait};

const EVERYONE: &[&str] = &["everyone"];

/// What a caller can tell two refusals apart by.
fn look(reply: &Reply) -> (u16, String, BTreeSet<String>, String) {
    let names = reply.headers.keys().map(ToString::to_string).collect();
    (reply.status, reply.text(), names, reply.header("www-authenticate").to_owned())
}

/// So many milliseconds from now, on the wire.
fn in_ms(ms: i64) -> String {
    (Utc::now() + chrono::Duration::milliseconds(ms)).to_rfc3339()
}

/// A key with these fields besides, as the answer shows it and as a client.
async fn made(server: &Server, admin: &Client, path: &str, body: &Value) -> (String, Client) {
    let made = admin.post(&admin.path(path), body).await.expect(201).json();
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    (text("id"), server.client(&text("key")).in_tenant(&admin.tenant))
}

async fn listed(admin: &Client, id: &str) -> Value {
    let keys = admin.get(&admin.path("keys")).await.expect(200).json();
    keys["data"].as_array().expect("keys").iter().find(|key| key["id"] == id).cloned().unwrap_or(Value::Null)
}

/// Asks until the key opens nothing any more.
async fn ended(client: &Client) -> Reply {
    wait::until("the key ends", 20, || async {
        let reply = client.search(&json!({"query": "x"})).await;
        (reply.status == 401).then_some(reply)
    })
    .await
}

#[tokio::test]
async fn a_key_that_has_ended_is_turned_away_exactly_like_one_that_was_revoked_or_never_was() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let scopes = json!(["read"]);
    for past in ["2020-01-01T00:00:00Z".to_owned(), in_ms(-1)] {
        let body = json!({"name": "late", "scopes": scopes, "expires_at": past});
        let refused = admin.post(&admin.path("keys"), &body).await.refused(422, "invalid-request");
        assert!(refused.detail().contains("lies in the past"), "{}", refused.text());
    }
    let body = json!({"name": "short", "scopes": scopes, "expires_at": in_ms(2_500)});
    let (id, short) = made(&server, &admin, "keys", &body).await;
    short.search(&json!({"query": "x"})).await.expect(200);
    let of_ended = ended(&short).await;
    let until = listed(&admin, &id).await["expires_at"].as_str().expect("an end").parse::<DateTime<Utc>>();
    assert!(until.expect("a time") <= Utc::now());
    let (id, revoked) = made(&server, &admin, "keys", &json!({"name": "gone", "scopes": scopes})).await;
    admin.delete(&admin.path(&format!("keys/{id}"))).await.expect(204);
    assert_eq!(look(&of_ended), look(&revoked.search(&json!({"query": "x"})).await));
    // A key of another installation has the form of a key and is none here.
    let elsewhere = Home::new();
    let other = elsewhere.start().await;
    let foreign = other.tenant("acme").await;
    let foreign = server.client(foreign.key.as_deref().expect("a key")).in_tenant("acme");
    assert_eq!(look(&of_ended), look(&foreign.search(&json!({"query": "x"})).await));
    assert_eq!(listed(&admin, &id).await, Value::Null);
}

#[tokio::test]
async fn a_key_is_replaced_while_both_open_and_then_the_new_one_alone() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write_for("ann.md", "# Ann's\n\nThe lighthouse keeper's diary.", &["user:ann"]).await;
    let body = json!({"name": "agent", "scopes": ["read"], "user": "ann", "groups": ["eng"]});
    let (old_id, old) = made(&server, &admin, "keys", &body).await;
    let rotate = format!("keys/{old_id}/rotate");
    admin.post(&admin.path(&rotate), &json!({"overlap_s": 2_592_001})).await.refused(422, "invalid-request");
    admin.post(&admin.path(&rotate), &json!({})).await.refused(422, "invalid-request");
    admin.post(&admin.path("keys/aaaaaaaaaaaaaaaa/rotate"), &json!({"overlap_s": 2})).await.refused(404, "not-found");
    let (new_id, new) = made(&server, &admin, &rotate, &json!({"overlap_s": 2})).await;
    for client in [&old, &new] {
        assert_eq!(client.found("diary of the lighthouse keeper").await, ["ann.md"]);
    }
    let (before, after) = (listed(&admin, &old_id).await, listed(&admin, &new_id).await);
    assert_eq!((&before["replaced_by"], &after["replaces"]), (&json!(new_id), &json!(old_id)));
    for same in ["name", "scopes", "user", "groups", "clearance"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(before["last_used_at"].is_string() && before["expires_at"].is_string() && after["expires_at"].is_null());
    let again = admin.post(&admin.path(&rotate), &json!({"overlap_s": 2})).await.refused(409, "conflict");
    assert!(again.detail().contains(&new_id), "{}", again.text());
    ended(&old).await;
    assert_eq!(new.found("diary of the lighthouse keeper").await, ["ann.md"]);
    // At once means with the next request.
    let (_, newest) = made(&server, &admin, &format!("keys/{new_id}/rotate"), &json!({"overlap_s": 0})).await;
    new.search(&json!({"query": "x"})).await.refused(401, "unauthenticated");
    newest.search(&json!({"query": "x"})).await.expect(200);
    // What a key may not do, it cannot have done by a successor.
    newest.post(&newest.path(&format!("keys/{new_id}/rotate")), &json!({"overlap_s": 0})).await.expect(403);
}

async fn group(admin: &Client, name: &str, members: &[&str]) -> Reply {
    admin.put(&admin.path(&format!("groups/{name}")), &json!({"members": members})).await
}

#[tokio::test]
async fn who_is_in_a_group_inside_another_sees_and_is_denied_as_both_say_from_the_next_question_on() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    group(&admin, "sre", &["ann"]).await.expect(204);
    group(&admin, "eng", &["bob", "group:sre"]).await.expect(204);
    group(&admin, "sre", &["ann", "group:eng"]).await.refused(409, "conflict");
    let cycle = group(&admin, "sre", &["group:eng"]).await.detail();
    assert!(cycle.contains("group:sre in group:eng in group:sre"), "{cycle}");
    let missing = group(&admin, "staff", &["group:hr"]).await.refused(409, "conflict").detail();
    assert!(missing.contains("group:hr") && missing.contains("make that group first"), "{missing}");
    admin.write_for("for-eng.md", "# Turbines\n\nTurbines are oiled in spring.", &["group:eng"]).await;
    let denied = json!({"text": "# Turbines\n\nTurbines and their prices.",
        "acl": {"allow": ["everyone"], "deny": ["group:eng"]}});
    admin.envelope("not-for-eng.md", &denied).await;
    let [ann, carl] = ["ann", "carl"].map(|name| (name, server.key("acme", &["read"], Some(name), &[])));
    let (ann, carl) = (ann.1.await, carl.1.await);
    let app = server.key("acme", &["read", "impersonate"], None, &[]).await;
    let asked = async |whom: Value| {
        let body = json!({"query": "turbines", "as": whom});
        text::documents(&app.search(&body).await.expect(200).json()["results"])
    };
    assert_eq!(ann.found("turbines").await, ["for-eng.md"]);
    assert_eq!(carl.found("turbines").await, ["not-for-eng.md"]);
    assert_eq!(asked(json!({"user": "ann"})).await, ["for-eng.md"]);
    assert_eq!(asked(json!({"user": "zoe", "groups": ["sre"]})).await, ["for-eng.md"]);
    group(&admin, "eng", &["bob"]).await.expect(204);
    assert_eq!(ann.found("turbines").await, ["not-for-eng.md"]);
    assert_eq!(asked(json!({"user": "zoe", "groups": ["sre"]})).await, ["not-for-eng.md"]);
    let kept = admin.delete(&admin.path("groups/eng")).await.refused(409, "conflict").detail();
    assert!(kept.contains("the deny lists of 1 documents"), "{kept}");
    admin.put(&admin.path("documents/not-for-eng.md/acl"), &json!({"allow": EVERYONE})).await.expect(200);
    admin.delete(&admin.path("groups/eng")).await.expect(204);
}

/// Where a document shows itself to somebody: searches, contexts, lists, reads.
async fn sightings(client: &Client, id: &str, query: &str) -> Vec<&'static str> {
    let mut seen = Vec::new();
    if client.found(query).await.iter().any(|found| found == id) {
        seen.push("search");
    }
    let context = client.context_of(query, 2_000).await;
    if context.to_string().contains(id) {
        seen.push("context");
    }
    let list = client.get(&client.path("documents")).await.expect(200);
    if list.text().contains(id) {
        seen.push("list");
    }
    if client.get(&client.document(id)).await.status != 404 {
        seen.push("read");
    }
    if client.get(&format!("{}/versions", client.document(id))).await.status != 404 {
        seen.push("versions");
    }
    seen
}

const EVERYWHERE: [&str; 5] = ["search", "context", "list", "read", "versions"];

#[tokio::test]
async fn a_label_hides_from_who_is_not_cleared_and_a_change_of_labels_holds_from_the_next_question_on() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let labels = async |names: &[&str]| admin.put(&admin.path("labels"), &json!({"labels": names})).await;
    labels(&["internal", "internal"]).await.refused(422, "invalid-request");
    labels(&["internal", "secret"]).await.expect(204);
    assert_eq!(admin.get(&admin.path("labels")).await.expect(200).json(), json!({"labels": ["internal", "secret"]}));
    let cleared = json!({"members": ["ann"], "clearance": "secret"});
    let unknown = json!({"members": ["ann"], "clearance": "secrte"});
    admin.put(&admin.path("groups/board"), &unknown).await.refused(422, "invalid-request");
    admin.put(&admin.path("groups/board"), &cleared).await.expect(204);
    assert_eq!(admin.get(&admin.path("groups/board")).await.expect(200).json(), cleared);
    let envelope = json!({"text": "# Merger\n\nThe merger with the ferry company is on.",
        "acl": {"allow": EVERYONE, "label": "internal"}});
    admin.envelope("merger.md", &envelope).await;
    let (ann, bob) =
        (server.key("acme", &["read"], Some("ann"), &[]).await, server.key("acme", &["read"], Some("bob"), &[]).await);
    let body = json!({"name": "cleared", "scopes": ["read"], "user": "bob", "clearance": "internal"});
    let (_, bob_cleared) = made(&server, &admin, "keys", &body).await;
    let query = "merger with the ferry company";
    let seen = async |client: &Client| sightings(client, "merger.md", query).await;
    assert_eq!(seen(&ann).await, EVERYWHERE);
    assert_eq!(seen(&bob_cleared).await, EVERYWHERE);
    assert_eq!(seen(&admin).await, EVERYWHERE);
    assert!(seen(&bob).await.is_empty());
    // A clearance is of the key's own, and of nobody whom it speaks for.
    let body = json!({"name": "app", "scopes": ["read", "impersonate"], "clearance": "secret"});
    let (_, app) = made(&server, &admin, "keys", &body).await;
    let as_bob = app.search(&json!({"query": query, "as": {"user": "bob"}})).await.expect(200).json();
    assert!(text::documents(&as_bob["results"]).is_empty());
    let as_ann = app.search(&json!({"query": query, "as": {"user": "ann"}})).await.expect(200).json();
    assert_eq!(text::documents(&as_ann["results"]), ["merger.md"]);
    // The other way round, the document's label is above the key's clearance.
    labels(&["secret", "internal"]).await.expect(204);
    assert!(seen(&ann).await.is_empty());
    assert_eq!(seen(&bob_cleared).await, EVERYWHERE);
    labels(&["secret"]).await.expect(204);
    for client in [&ann, &bob_cleared, &admin] {
        assert!(seen(client).await.is_empty(), "a label that is gone hides from all");
    }
    labels(&["internal", "secret"]).await.expect(204);
    assert_eq!(seen(&ann).await, EVERYWHERE);
    assert!(seen(&bob).await.is_empty());
}

#[tokio::test]
async fn what_nobody_can_decide_on_is_in_the_quarantine_list_and_nowhere_else() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    for (id, acl) in [
        ("odd.md", json!({"allow": EVERYONE, "label": "hush"})),
        ("unread.md", json!({"unknown": "listing permissions failed with 403"})),
        ("open.md", json!({"allow": EVERYONE})),
    ] {
        let body = format!("# Walrus {id}\n\nThe walrus of {id} sleeps.");
        admin.envelope(id, &json!({"text": body, "acl": acl, "source": "wiki"})).await;
    }
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    for client in [&reader, &admin] {
        for id in ["odd.md", "unread.md"] {
            assert!(sightings(client, id, "where does the walrus sleep").await.is_empty(), "{id}");
            let absent = client.get(&client.document("no-such.md")).await;
            assert_eq!(look(&client.get(&client.document(id)).await), look(&absent));
        }
    }
    let list = async |rest: &str| admin.get(&admin.path(&format!("quarantine{rest}"))).await.expect(200).json();
    let odd = json!({"document": "odd.md", "source": "wiki", "cause": "label",
        "reason": "the tenant has no label \"hush\""});
    let unread = json!({"document": "unread.md", "source": "wiki", "cause": "permissions",
        "reason": "the permissions are unknown: listing permissions failed with 403"});
    assert_eq!(list("").await, json!({"data": [odd, unread]}));
    assert_eq!(list("?limit=1").await, json!({"data": [odd], "next": "odd.md"}));
    assert_eq!(list("?limit=1&after=odd.md").await, json!({"data": [unread]}));
    // To nobody else, the operator included, and not to who only speaks for others.
    let strangers =
        [reader.clone(), server.operator().in_tenant("acme"), server.key("acme", &["write"], None, &[]).await];
    for client in &strangers {
        let reply = client.get(&client.path("quarantine")).await.refused(403, "missing-scope");
        assert!(!reply.text().contains("odd.md"));
    }
    admin.put(&admin.path("documents/unread.md/acl"), &json!({"allow": ["user:bob"]})).await.expect(200);
    assert_eq!(list("").await, json!({"data": [odd]}));
    assert_eq!(sightings(&reader, "unread.md", "where does the walrus sleep").await, EVERYWHERE);
    admin.put(&admin.path("labels"), &json!({"labels": ["hush"]})).await.expect(204);
    assert_eq!(list("").await, json!({"data": []}));
    assert_eq!(sightings(&admin, "odd.md", "where does the walrus sleep").await, EVERYWHERE);
    assert!(sightings(&reader, "odd.md", "where does the walrus sleep").await.is_empty(), "it asks for a clearance");
}
