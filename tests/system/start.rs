//! Rights that change, and a service that stops and starts again.

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Home, Server, text, wait};

const QUERY: &str = "where is the harbour pilot's boat";

async fn pilot(admin: &Client, allow: &[&str]) {
    admin.write_for("pilot.md", "# Pilot\n\nThe harbour pilot's boat lies at berth nine.", allow).await;
    admin.write("weather.md", "# Weather\n\nFog is expected before sunrise.").await;
}

/// Whether the reader meets the document anywhere.
async fn meets(reader: &Client) -> bool {
    let searched = reader.found(QUERY).await.contains(&"pilot.md".to_owned());
    let context = reader.context_of(QUERY, 800).await;
    let cited = text::documents(&context["citations"]).contains(&"pilot.md".to_owned());
    let read = reader.get(&reader.document("pilot.md")).await.status == 200;
    let page = reader.get(&reader.path("documents")).await.expect(200).json();
    let listed = text::documents(&page["data"]).contains(&"pilot.md".to_owned());
    let fetched = reader.tool(1, "fetch", &json!({"id": "pilot.md"})).await.expect(200).text().contains("berth nine");
    let said = [searched, cited, read, listed, fetched];
    assert!(said.iter().all(|one| *one == searched), "search, context, read, list and fetch disagree: {said:?}");
    assert_eq!(context.to_string().contains("berth nine"), cited, "text without its citation: {context}");
    searched
}

#[tokio::test]
async fn the_very_next_request_obeys_a_change_of_rights() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    pilot(&admin, &["group:crew"]).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let acl = async |body: Value| admin.put(&admin.path("documents/pilot.md/acl"), &body).await.expect(200);
    let members =
        async |names: Value| admin.put(&admin.path("groups/crew"), &json!({"members": names})).await.expect(204);

    assert!(!meets(&reader).await, "a stranger");
    members(json!(["bob", "ann"])).await;
    assert!(meets(&reader).await, "a member of the group");
    members(json!(["ann"])).await;
    assert!(!meets(&reader).await, "no longer a member");
    acl(json!({"allow": ["user:bob"]})).await;
    assert!(meets(&reader).await, "named");
    acl(json!({"allow": ["everyone"], "deny": ["user:bob"]})).await;
    assert!(!meets(&reader).await, "denied by name although everyone may");
    acl(json!({"allow": ["everyone"]})).await;
    assert!(meets(&reader).await, "everyone");
    acl(json!({"allow": ["group:crew"]})).await;
    members(json!(["bob"])).await;
    assert!(meets(&reader).await, "a member again");
    admin.delete(&admin.path("groups/crew")).await.expect(204);
    assert!(!meets(&reader).await, "the group is gone");
    acl(json!({"allow": ["everyone"]})).await;
    admin.delete(&admin.document("pilot.md")).await.expect(200);
    assert!(!meets(&reader).await, "deleted");
    pilot(&admin, &["everyone"]).await;
    assert!(meets(&reader).await, "written again");
}

#[tokio::test]
async fn an_entry_holds_for_its_time_and_the_record_says_which() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    pilot(&admin, &[]).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let acl = async |body: Value| admin.put(&admin.path("documents/pilot.md/acl"), &body).await.expect(200).json();
    let at = |seconds: i64| (Utc::now() + TimeDelta::seconds(seconds)).to_rfc3339();
    let bob = |from: i64, until: i64| json!({"entry": "user:bob", "from": at(from), "until": at(until)});

    acl(json!({"allow": [bob(-60, -1)]})).await;
    assert!(!meets(&reader).await, "the time is over");
    acl(json!({"allow": [bob(600, 900)]})).await;
    assert!(!meets(&reader).await, "the time is still to come");
    acl(json!({"allow": [{"entry": "user:bob", "from": "2020-01-01T00:00:00Z"}]})).await;
    assert!(meets(&reader).await, "the time has come");
    let leaves = admin.get(&admin.path("audit/leaves?from=0&limit=100")).await.expect(200).text();
    assert!(leaves.contains(r#""rule":"allow user:bob from 2020-01-01T00:00:00Z""#), "{leaves}");
    acl(json!({"allow": ["everyone"], "deny": [bob(-60, 600)]})).await;
    assert!(!meets(&reader).await, "denied for a time");
    acl(json!({"allow": ["everyone"], "deny": [bob(-60, -1)]})).await;
    assert!(meets(&reader).await, "the denial is over");

    let last = acl(json!({"allow": [bob(4, 600)]})).await;
    let read = async || reader.get(&reader.path("documents/pilot.md")).await;
    assert_eq!(read().await.status, 404);
    wait::until("the entry begins", 20, || async { (read().await.status == 200).then_some(()) }).await;
    assert!(meets(&reader).await, "begun");
    assert_eq!(json!(admin.seq().await), last["seq"], "by time alone, with no write");
}

#[tokio::test]
async fn what_nobody_knows_who_may_see_is_shown_to_nobody() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    pilot(&admin, &["everyone"]).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let acl = async |body: Value| admin.put(&admin.path("documents/pilot.md/acl"), &body).await;
    for unknown in [
        json!({"unknown": "listing permissions failed with 403"}),
        json!({"allow": ["everyone"], "label": "of-no-tenant"}),
    ] {
        acl(unknown.clone()).await.expect(200);
        assert!(!meets(&reader).await && !meets(&admin).await, "{unknown}");
        acl(json!({"allow": ["user:bob"]})).await.expect(200);
        assert!(meets(&reader).await && meets(&admin).await, "known again after {unknown}");
    }
    acl(json!({"unknown": "403", "allow": ["everyone"]})).await.refused(422, "invalid-request");
}

#[tokio::test]
async fn speaking_for_somebody_gives_that_persons_view_and_no_more() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    pilot(&admin, &["group:crew"]).await;
    admin.put(&admin.path("groups/crew"), &json!({"members": ["bob"]})).await.expect(204);
    let app = server.key("acme", &["read", "admin", "impersonate"], None, &[]).await;
    for (whom, sees) in [
        (json!({"user": "bob"}), true),
        (json!({"user": "eve"}), false),
        (json!({"user": "eve", "groups": ["crew"]}), true),
        (json!({"groups": ["crew"]}), true),
        (json!({}), false),
    ] {
        let answer = app.search(&json!({"query": QUERY, "as": whom})).await.expect(200).json();
        assert_eq!(text::documents(&answer["results"]).contains(&"pilot.md".to_owned()), sees, "{whom}");
    }
    assert!(meets(&app).await, "an administrator sees everything when it speaks for itself");
    let plain = server.key("acme", &["read"], None, &[]).await;
    plain.search(&json!({"query": QUERY, "as": {"user": "bob"}})).await.refused(403, "missing-scope");
    plain.get(&format!("{}?as_user=bob", plain.document("pilot.md"))).await.refused(403, "missing-scope");
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_from_the_next_request_on() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    pilot(&admin, &["everyone"]).await;
    let made = admin.post(&admin.path("keys"), &json!({"name": "x", "scopes": ["read"]})).await.expect(201).json();
    let reader = server.client(made["key"].as_str().expect("a key")).in_tenant("acme");
    assert!(meets(&reader).await);
    let id = made["id"].as_str().expect("an id");
    admin.delete(&admin.path(&format!("keys/{id}"))).await.expect(204);
    let revoked = reader.search(&json!({"query": QUERY})).await.refused(401, "unauthenticated");
    let unknown = revoked.text();
    assert!(revoked.header("www-authenticate").starts_with("Bearer"));
    reader.send(reader.mcp(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))).await.expect(401);
    admin.delete(&admin.path(&format!("keys/{id}"))).await.refused(404, "not-found");
    // A key that was never made reads the same.
    let other = server.tenant("other").await;
    let foreign = other.post(&other.path("keys"), &json!({"name": "x", "scopes": ["read"]})).await.expect(201).json();
    let foreign_id = foreign["id"].as_str().expect("an id");
    other.delete(&other.path(&format!("keys/{foreign_id}"))).await.expect(204);
    let again = server.client(foreign["key"].as_str().expect("a key")).in_tenant("acme");
    assert_eq!(again.search(&json!({"query": QUERY})).await.text(), unknown);
}

/// What a reader is told about a handful of questions and documents.
async fn answers(client: &Client) -> Vec<Value> {
    let mut told = Vec::new();
    for query in ["where is the pilot", "fog before sunrise", "berth nine"] {
        for mode in ["hybrid", "lexical", "dense"] {
            let body = json!({"query": query, "mode": mode});
            told.push(text::answer(&client.search(&body).await.expect(200).json()));
        }
        let body = json!({"query": query, "budget": {"tokens": 700}});
        told.push(text::answer(&client.context(&body).await.expect(200).json()));
    }
    for path in ["documents", "documents/pilot.md", "documents/pilot.md/versions", "groups", "generations"] {
        told.push(client.get(&client.path(path)).await.expect(200).json());
    }
    told
}

async fn stopped(server: Server, how: &str) {
    match how {
        "SIGTERM" => {
            server.stop().await;
        }
        _ => server.kill(),
    }
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let home = Home::new();
    let mut server = home.start().await;
    let key = {
        let admin = server.tenant("acme").await;
        pilot(&admin, &["group:crew"]).await;
        pilot(&admin, &["everyone"]).await;
        admin.write("pilot.md", "# Pilot\n\nThe harbour pilot's boat lies at berth ten now.").await;
        admin.put(&admin.path("groups/crew"), &json!({"members": ["bob"]})).await.expect(204);
        admin.write("gone.md", "# Gone\n\nBerth nine is closed.").await;
        let seq = admin.delete(&admin.document("gone.md")).await.expect(200).json()["seq"].clone();
        admin.search(&json!({"query": "berth", "min_seq": seq})).await.expect(200);
        admin.key.expect("a key")
    };
    let before = answers(&server.client(&key).in_tenant("acme")).await;
    let context = server.client(&key).in_tenant("acme").context_of("where is the pilot", 700).await;
    let receipt = format!("contexts/{}", context["id"].as_str().expect("an id"));
    for how in ["SIGTERM", "SIGKILL", "SIGTERM"] {
        stopped(server, how).await;
        server = home.start().await;
        let client = server.client(&key).in_tenant("acme");
        assert_eq!(answers(&client).await, before, "after {how}");
        let kept = client.get(&client.path(&receipt)).await.expect(200).json();
        assert_eq!(kept["receipt"], context["receipt"], "after {how}");
        assert_eq!(kept["text_sha256"], text::sha256(context["text"].as_str().expect("a text").as_bytes()));
        assert_eq!(client.get(&client.document("gone.md")).await.status, 404);
    }
    stopped(server, "SIGTERM").await;
    let verified = home.verify().await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
}

#[tokio::test]
async fn what_needs_no_key_says_nothing_about_tenants() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme-of-the-north").await;
    admin.write("a.md", "# A").await;
    let nobody = server.nobody();
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/openapi.json", 200), ("/metrics", 401)] {
        let reply = nobody.get(path).await.expect(status);
        assert!(!reply.everything().contains("acme-of-the-north"), "{path} names a tenant");
    }
    let metrics = server.operator().get("/metrics").await.expect(200);
    assert!(!metrics.everything().contains("acme-of-the-north"), "a metric names a tenant");
    admin.get("/metrics").await.refused(403, "missing-scope");
    nobody.get("/v1/nothing-here").await.expect(401);
    admin.get("/v1/nothing-here").await.refused(404, "not-found");
    admin.send(admin.request(Method::PATCH, &admin.path("search"))).await.refused(405, "method-not-allowed");
}
