//! Keys, tenants, paths and bodies that are not what they should be.

use reqwest::Method;
use serde_json::json;

use super::{Ground, assert_says};

#[tokio::test]
async fn a_key_that_does_not_fit_is_turned_away_with_the_way_in() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let path = admin.path("documents");
    let real = admin.key.clone().expect("a key");
    let mistyped = format!("{}x{}", &real[..20], &real[21..]);
    let bare = |header: &str, value: String| ground.server.nobody().request(Method::GET, &path).header(header, value);
    for (what, request, word) in [
        ("no key", ground.server.nobody().request(Method::GET, &path), "authorization"),
        ("an empty key", bare("authorization", "Bearer ".into()), "Bearer"),
        ("another scheme", bare("authorization", "Basic abc".into()), "Bearer"),
        ("no scheme", bare("authorization", real.clone()), "Bearer"),
        ("a mistyped key", bare("authorization", format!("Bearer {mistyped}")), "copy"),
        ("no key of ours", bare("authorization", "Bearer sk-1234".into()), "key"),
        ("ten kilobytes", bare("authorization", format!("Bearer {}", "a".repeat(10_000))), "key"),
        ("another header", bare("x-api-key", "cat_no".into()), "key"),
    ] {
        let reply = admin.send(request).await.refused(401, "unauthenticated");
        assert_says(&reply, &[word]);
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{what}: no challenge");
        assert!(!reply.text().contains(&real), "{what}: the key came back");
        ground.assert_unharmed(what).await;
    }
    let lower = bare("authorization", format!("bearer {real}"));
    admin.send(lower).await.expect(200);
    admin.send(bare("x-api-key", real)).await.expect(200);
}

#[tokio::test]
async fn a_key_without_the_scope_is_told_which_one_it_lacks() {
    let ground = Ground::new().await;
    let reader = ground.server.key("acme", &["read"], None, &[]).await;
    let writer = ground.server.key("acme", &["write"], None, &[]).await;
    let put = reader.put(&reader.document("x.md"), &json!({"text": "# X"})).await.refused(403, "missing-scope");
    assert_says(&put, &["`write`"]);
    let search = writer.search(&json!({"query": "storks"})).await.refused(403, "missing-scope");
    assert_says(&search, &["`read`"]);
    for (path, scope) in [("keys", "`admin`"), ("jobs", "`admin`"), ("audit/head", "`audit`")] {
        assert_says(&reader.get(&reader.path(path)).await.refused(403, "missing-scope"), &[scope]);
    }
    let tenants = reader.post("/v1/tenants", &json!({"id": "mine"})).await.refused(403, "missing-scope");
    assert_says(&tenants, &["operator's key"]);
    for scopes in [json!([]), json!(["operator"]), json!(["everything"])] {
        let body = json!({"name": "k", "scopes": scopes});
        ground.admin.post(&ground.admin.path("keys"), &body).await.refused(422, "invalid-request");
    }
    ground.assert_unharmed("keys without scopes").await;
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_or_are_nothing() {
    let ground = Ground::new().await;
    let (admin, operator) = (&ground.admin, ground.server.operator());
    let long = "a".repeat(49);
    for id in ["", "Acme", "a b", "a/b", "..", "ä", "a\u{0}b", &long] {
        let reply = operator.post("/v1/tenants", &json!({"id": id})).await.refused(422, "invalid-request");
        assert_says(&reply, &["tenant id"]);
    }
    operator.post("/v1/tenants", &json!({"id": "acme"})).await.refused(409, "conflict");
    for tenant in ["none", "..", "%2e%2e", "ACME", &long, "acme%00", "acme%2Fdocuments"] {
        let path = format!("/v1/tenants/{tenant}x/documents");
        admin.get(&path).await.expect(404);
        operator.get(&path).await.expect(404);
    }
    for member in ["", "a:b", "a,b", "a\nb"] {
        admin.put(&admin.path("groups/g"), &json!({"members": [member]})).await.refused(422, "invalid-request");
    }
    let acl = |entry: &str| json!({"allow": [entry]});
    for entry in ["", "bob", "role:x", "group:", "user:a,b", "Everyone"] {
        let reply =
            admin.put(&admin.path("documents/storks.md/acl"), &acl(entry)).await.refused(422, "invalid-request");
        assert_says(&reply, &["acl entry"]);
    }
    ground.assert_unharmed("impossible names").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_limit() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let query = json!({"query": "a".repeat(1_100_000)});
    let reply = admin.search(&query).await.refused(413, "body-too-large");
    assert_says(&reply, &["1048576"]);
    let raw = admin.request(Method::PUT, &admin.document("big.md")).header("content-type", "text/plain");
    let reply = admin.send(raw.body(vec![b'a'; 17 * 1024 * 1024])).await.refused(413, "body-too-large");
    assert_says(&reply, &["16777216"]);
    let raw = admin.request(Method::PUT, &admin.document("big.md")).header("content-type", "text/plain");
    let reply = admin.send(raw.body(vec![b'a'; 16 * 1024 * 1024 + 1])).await.refused(413, "body-too-large");
    assert_says(&reply, &["16777216"]);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x".repeat(1_100_000)}});
    assert_eq!(admin.send(admin.mcp(&message)).await.status, 413);
    ground.assert_unharmed("large bodies").await;
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_refused() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let search = || admin.request(Method::POST, &admin.path("search"));
    let json = |text: &'static str| search().header("content-type", "application/json").body(text);
    for (what, request, status, code) in [
        ("no JSON", json("{\"query\": "), 400, "malformed-request"),
        ("not an object", json("[]"), 422, "invalid-request"),
        ("nothing", json(""), 400, "malformed-request"),
        ("an unknown field", json("{\"query\": \"storks\", \"topk\": 3}"), 422, "invalid-request"),
        ("a field missing", json("{\"top_k\": 3}"), 422, "invalid-request"),
        ("a field of another kind", json("{\"query\": 3}"), 422, "invalid-request"),
        ("no content type", search().body("{\"query\": \"storks\"}"), 415, "content-type"),
        ("another content type", search().header("content-type", "text/xml").body("<q/>"), 415, "content-type"),
    ] {
        let reply = admin.send(request).await.refused(status, code);
        if what == "an unknown field" {
            assert_says(&reply, &["topk"]);
        }
        ground.assert_unharmed(what).await;
    }
    let invalid = search().header("content-type", "application/json").body(b"{\"query\": \"\xff\"}".to_vec());
    assert_eq!(admin.send(invalid).await.status, 400);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = search().header("content-type", "application/json").body(deep);
    assert!(matches!(admin.send(deep).await.status, 400 | 422));
    ground.assert_unharmed("nested brackets").await;
}
