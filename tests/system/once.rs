//! `Idempotency-Key`: what was sent twice is done once.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Client, Home, Reply, wait};

fn put(client: &Client, id: &str, text: &str, key: &str) -> RequestBuilder {
    let envelope = json!({"text": text, "acl": {"allow": ["everyone"]}});
    let path = format!("{}?wait=searchable", client.document(id));
    client.request(Method::PUT, &path).header("idempotency-key", key).json(&envelope)
}

/// The same answer once more.
#[track_caller]
fn assert_replayed(first: &Reply, again: &Reply) {
    assert_eq!((again.status, again.text()), (first.status, first.text()));
    for header in ["etag", "location", "content-type"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
}

async fn leaves(admin: &Client) -> u64 {
    admin.get(&admin.path("audit/head")).await.expect(200).json()["leaf"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_write_that_is_sent_twice_is_done_once_and_answered_twice() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let send = async |method: Method, path: &str, body: Value| {
        let request = || admin.request(method.clone(), path).header("idempotency-key", format!("\"{method}:{path}\""));
        let request = || if body.is_null() { request() } else { request().json(&body) };
        let (first, again) = (admin.send(request()).await, admin.send(request()).await);
        assert!(first.status < 300, "{method} {path}: {}", first.text());
        assert_replayed(&first, &again);
        first
    };
    let (document, nothing) = (admin.document("a.md"), Value::Null);
    let text = |text: &str| json!({"text": text, "acl": {"allow": ["everyone"]}});
    let one = send(Method::PUT, &document, text("# One")).await.expect(201).json()["seq"].as_u64().expect("a number");
    send(Method::PUT, &format!("{document}?wait=searchable"), text("# Two")).await;
    send(Method::PUT, &format!("{document}/acl"), json!({"allow": ["group:eng"]})).await;
    send(Method::POST, &format!("{document}/versions/1/restore"), json!({})).await;
    send(Method::PUT, &admin.path("groups/eng"), json!({"members": ["ann"]})).await;
    send(Method::DELETE, &admin.path("groups/eng"), nothing.clone()).await;
    send(Method::DELETE, &document, nothing.clone()).await;
    send(Method::POST, &format!("{document}/purge?wait=done"), nothing.clone()).await;
    let job = send(Method::POST, &admin.path("reindex"), nothing.clone()).await;
    assert!(job.header("location").ends_with(job.json()["id"].as_str().expect("an id")));
    let last = admin.search(&json!({"query": "x", "min_seq": one + 5})).await.expect(200).json();
    assert_eq!(last["seq"], one + 5, "a write was done twice");
    let operator = server.operator();
    let make =
        || operator.request(Method::POST, "/v1/tenants").header("idempotency-key", "t").json(&json!({"id": "new"}));
    let (first, again) = (operator.send(make()).await.expect(201), operator.send(make()).await);
    assert_replayed(&first, &again);
    server.stop().await;
    assert_eq!(home.verify().await.code, Some(0));
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused_and_a_refusal_can_be_mended() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.send(put(&admin, "a.md", "", "k")).await.refused(422, "empty-document");
    let first = admin.send(put(&admin, "a.md", "# One", "k")).await.expect(201);
    let before = leaves(&admin).await;
    admin.send(put(&admin, "a.md", "# Two", "k")).await.refused(422, "idempotency-key-reused");
    admin.send(put(&admin, "b.md", "# One", "k")).await.refused(422, "idempotency-key-reused");
    let other = admin.request(Method::DELETE, &admin.document("a.md")).header("idempotency-key", "k");
    admin.send(other).await.refused(422, "idempotency-key-reused");
    assert_eq!(leaves(&admin).await, before + 4, "each answer has its leaf, the question for the head included");
    // The name is the key's own, and means nothing in another tenant.
    let writer = server.key("acme", &["write"], None, &[]).await;
    assert_eq!(writer.send(put(&writer, "a.md", "# Two", "k")).await.expect(200).json()["version"], 2);
    assert_replayed(&first, &admin.send(put(&admin, "a.md", "# One", "k")).await);
    assert_eq!(admin.get(&admin.document("a.md")).await.json()["text"], "# Two");
    // Who may not write does not learn what was answered.
    let reader = server.key("acme", &["read"], None, &[]).await;
    reader.send(put(&reader, "a.md", "# One", "k")).await.refused(403, "missing-scope");
    let stranger = server.tenant("globex").await.in_tenant("acme");
    stranger.send(put(&stranger, "a.md", "# One", "k")).await.refused(404, "not-found");
    for bad in ["", "a b", &"x".repeat(256)] {
        admin.send(put(&admin, "c.md", "# Three", bad)).await.refused(400, "idempotency-key");
    }
    let keys = admin.request(Method::POST, &admin.path("keys")).header("idempotency-key", "k");
    admin.send(keys.json(&json!({"name": "x", "scopes": ["read"]}))).await.refused(400, "idempotency-key");
}

#[tokio::test]
async fn whoever_may_not_do_it_is_told_so_before_the_body_comes() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let reader = server.key("acme", &["read"], None, &[]).await;
    let headers = [("idempotency-key", "k"), ("content-type", "application/x-ndjson")];
    let before = leaves(&admin).await;
    for path in ["documents:batch", "documents:purge", "reindex"] {
        let answer = reader.begin(&reader.path(path), &headers).await.answer().await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
    }
    let answer = admin.begin("/v1/tenants", &headers).await.answer().await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(leaves(&admin).await, before + 5, "each refusal has its leaf, and so has the question for the head");
}

#[tokio::test]
async fn a_request_that_is_still_at_work_is_not_begun_again() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let section = |at: usize| format!("## Part {at}\n\n{}\n\n", format!("Sentence {at} of a long text. ").repeat(40));
    let long: String = (0..60).map(section).collect();
    let (one, two) =
        tokio::join!(admin.send(put(&admin, "a.md", &long, "k")), admin.send(put(&admin, "a.md", &long, "k")));
    let (done, refused) = if one.status == 201 { (one, two) } else { (two, one) };
    let refused = refused.refused(409, "idempotency-under-way");
    assert_eq!(refused.header("retry-after"), "1");
    assert_replayed(&done.expect(201), &admin.send(put(&admin, "a.md", &long, "k")).await);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_in_a_crash_is_answered_after_the_restart() {
    let home = Home::new();
    let mut server = home.start().await;
    let admin = server.tenant("acme").await;
    let key = admin.key.clone().expect("a key");
    let first = admin.send(put(&admin, "answered.md", "# Answered", "answered")).await.expect(201);
    let mut lost = 0;
    for round in 0..4u64 {
        let admin = server.client(&key).in_tenant("acme");
        let (id, name) = (format!("{round}.md"), format!("round-{round}"));
        let text = format!("# Round {round}\n\nWhatever happens to its answer.");
        let sent = tokio::spawn({
            let (admin, request) = (admin.clone(), put(&admin, &id, &text, &name));
            async move { admin.try_send(request).await }
        });
        wait::moment(round * 25_000).await;
        server.kill();
        lost += u32::from(sent.await.expect("the sender ends").is_err());
        server = home.start().await;
        let admin = server.client(&key).in_tenant("acme");
        let again = admin.send(put(&admin, &id, &text, &name)).await.expect(201).json();
        assert_eq!((&again["version"], &again["change"]), (&json!(1), &json!("created")), "{again}");
        assert_eq!(again["seq"], round + 2, "the write was done twice: {again}");
        assert_replayed(&first, &admin.send(put(&admin, "answered.md", "# Answered", "answered")).await);
    }
    assert!(lost > 0, "no answer was lost");
    server.stop().await;
    assert_eq!(home.verify().await.code, Some(0));
}
