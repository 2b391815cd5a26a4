//! A model that another server runs: what goes there, what comes back, and what happens when it is away or talks nonsense.

mod upstream;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Client, Home, Server, text, wait};
use upstream::{KEY, MODEL, Upstream, fingerprint, program, serve};

/// What an answer says that had to do without the other server.
const WITHOUT: &str = "dense: the embedding server gives no vectors";
/// Far less than the service waits for a server before it gives up.
const AT_ONCE: Duration = Duration::from_millis(1_500);
/// Words that no other chunk has.
const MARKS: [&str; 6] = ["heron", "lantern", "quarry", "violin", "glacier", "saffron"];

/// A service on a server's model, with a tenant.
async fn service(home: &Home, upstream: &Upstream) -> (Server, Client) {
    let server = serve(home, &upstream.url).await.start().await;
    let tenant = server.tenant("acme").await;
    (server, tenant)
}

/// A document of many chunks, some of which have a mark.
fn long_document() -> String {
    let section = |at: usize| {
        let mark = MARKS.get(at / 8).filter(|_| at.is_multiple_of(8)).copied().unwrap_or("meadow");
        let line = format!("The {mark} of part {at} is shown to every visitor of the {mark} house. ");
        format!("## Part {at}\n\n{}\n\n", line.repeat(10))
    };
    format!("# Book\n\n{}", (0..48).map(section).collect::<String>())
}

async fn dense(client: &Client, query: &str) -> Value {
    client.search(&json!({"query": query, "mode": "dense", "top_k": 3})).await.expect(200).json()
}

async fn hybrid(client: &Client, query: &str) -> Value {
    client.search(&json!({"query": query})).await.expect(200).json()
}

async fn assert_absent(client: &Client, id: &str) {
    client.get(&client.document(id)).await.expect(404);
}

/// The value of a metric without labels.
async fn metric(server: &Server, name: &str) -> Option<f64> {
    let text = server.operator().get("/metrics").await.expect(200).text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test]
async fn documents_are_found_by_vectors_of_another_server_which_is_asked_seldom_and_shown_its_key() {
    let (home, upstream) = (Home::new(), Upstream::start());
    let (server, tenant) = service(&home, &upstream).await;
    tenant.write("heron.md", "# Heron\n\nThe heron stands in the reeds.").await;
    tenant.write("lantern.md", "# Lantern\n\nThe lantern hangs over the door.").await;
    assert_eq!(text::documents(&dense(&tenant, "heron reeds").await["results"])[0], "heron.md");
    assert_eq!(text::documents(&dense(&tenant, "lantern door").await["results"])[0], "lantern.md");

    let before = upstream.seen().await["batches"].as_array().expect("batches").len();
    let written = tenant.write("book.md", &long_document()).await;
    let embedded = written["chunks"]["embedded"].as_u64().expect("a number");
    let seen = upstream.seen().await;
    let batches: Vec<u64> =
        seen["batches"].as_array().expect("batches")[before..].iter().flat_map(Value::as_u64).collect();
    assert!(embedded >= 40, "{written}");
    assert_eq!(batches.iter().sum::<u64>(), embedded, "{batches:?}");
    assert!(batches.len() as u64 * 4 <= embedded, "too many requests: {batches:?}");
    assert!(batches.iter().all(|texts| *texts <= 32), "{batches:?}");
    assert_eq!((&seen["without_key"], &seen["models"]), (&json!(0), &json!([MODEL])));
    let printed = server.printed();
    assert!(!printed.contains(KEY), "the key stands in the log");
    assert!(!printed.contains("heron"), "a text stands in the log");
    server.stop().await;
}

#[tokio::test]
async fn vectors_that_come_in_another_order_are_put_right() {
    let (home, upstream) = (Home::new(), Upstream::start());
    let (server, tenant) = service(&home, &upstream).await;
    upstream.behave(json!("swapped"), None).await;
    tenant.write("book.md", &long_document()).await;
    let seen = upstream.seen().await;
    assert!(seen["batches"].as_array().expect("batches").iter().any(|texts| texts.as_u64() > Some(1)), "{seen}");
    for mark in MARKS {
        let found = dense(&tenant, &format!("the {mark} of the {mark} house")).await;
        let text = found["results"][0]["text"].as_str().expect("a passage");
        assert!(text.contains(mark), "{mark}: {found}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_passes_is_tried_again_and_the_write_succeeds() {
    let (home, upstream) = (Home::new(), Upstream::start());
    let (server, tenant) = service(&home, &upstream).await;
    for (at, (manner, times)) in [
        (json!({"fail": {"status": 429, "retry_after": 1}}), 1),
        (json!({"fail": {"status": 429}}), 2),
        (json!({"fail": {"status": 500}}), 2),
        (json!({"fail": {"status": 503, "retry_after": 0}}), 3),
        (json!("cut"), 2),
        (json!({"late": {"ms": 300}}), 1),
    ]
    .into_iter()
    .enumerate()
    {
        let before = upstream.requests().await;
        upstream.behave(manner.clone(), Some(times)).await;
        let started = Instant::now();
        tenant.write(&format!("{at}.md"), &format!("# Page {at}\n\nThe page of number {at}.")).await;
        let retries = if manner.get("late").is_some() { 0 } else { u64::from(times) };
        assert_eq!(upstream.requests().await - before, 1 + retries, "{manner}");
        let asked_for = Duration::from_secs(manner["fail"]["retry_after"].as_u64().unwrap_or_default());
        assert!(started.elapsed() >= asked_for, "{manner}: it came back after {:?}", started.elapsed());
    }
    assert!(metric(&server, "catena_embedding_server_retries_total").await >= Some(10.0));
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_refused_and_nothing_is_stored() {
    let (home, upstream, other) = (Home::new(), Upstream::start(), Upstream::start());
    let (server, tenant) = service(&home, &upstream).await;
    let elsewhere = format!("{}/v1/embeddings", other.url);
    let twice = json!({"data": [{"index": 0, "embedding": vec![1.0; 64]}, {"index": 0, "embedding": vec![2.0; 64]}]});
    for (manner, logged) in [
        (json!({"numbers": {"count": 9}}), "its vectors have 9 numbers"),
        (json!("few"), "has no vector for text 0"),
        (json!({"body": {"text": twice.to_string()}}), "more vectors than there are texts"),
        (json!({"body": {"text": "<html>busy</html>"}}), "is not understood"),
        (json!({"body": {"text": "{\"data\": [{\"index\": 0, \"embedding\": [NaN]}]}"}}), "is not understood"),
        (json!("endless"), "is longer than"),
        (json!({"fail": {"status": 400}}), "it answers 400"),
        (json!({"elsewhere": {"url": elsewhere}}), "it answers 307"),
    ] {
        let before = upstream.requests().await;
        upstream.behave(manner.clone(), None).await;
        let body = json!({"text": "# Heron\n\nThe heron stands in the reeds.", "acl": {"allow": ["everyone"]}});
        let refused = tenant.put(&tenant.document("heron.md"), &body).await.refused(503, "unavailable");
        assert!(refused.detail().contains("gives no vectors that fit"), "{manner}: {}", refused.detail());
        assert!(!refused.everything().contains(&upstream.url), "the address is shown: {}", refused.everything());
        assert_eq!(upstream.requests().await - before, 1, "{manner} was tried again");
        assert!(server.logged().contains(logged), "{manner}: {logged} is not in: {}", server.logged());
        assert_absent(&tenant, "heron.md").await;
    }
    assert_eq!(other.requests().await, 0, "the redirect was followed");
    upstream.behave_well().await;
    tenant.write("heron.md", "# Heron\n\nThe heron stands in the reeds.").await;
    assert_eq!(hybrid(&tenant, "heron").await["degraded"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn while_the_server_is_away_writes_say_so_questions_do_without_it_and_all_recovers_by_itself() {
    let (home, upstream) = (Home::new(), Upstream::start());
    let (server, tenant) = service(&home, &upstream).await;
    tenant.write("heron.md", "# Heron\n\nThe heron stands in the reeds.").await;
    let url = upstream.kill();
    for id in ["one.md", "two.md"] {
        let body = json!({"text": format!("# {id}\n\nA page of {id}."), "acl": {"allow": ["everyone"]}});
        let refused = tenant.put(&tenant.document(id), &body).await.refused(503, "unavailable");
        assert!(refused.detail().contains("server that embeds texts is away"), "{}", refused.detail());
        assert_absent(&tenant, id).await;
    }
    assert_eq!(metric(&server, "catena_embedding_server_away").await, Some(1.0));
    let started = Instant::now();
    for at in 0..8 {
        let answer = hybrid(&tenant, &format!("heron {at}")).await;
        assert_eq!(answer["degraded"], json!([WITHOUT]), "{answer}");
        assert_eq!(text::documents(&answer["results"]), ["heron.md"]);
    }
    assert!(started.elapsed() < AT_ONCE, "eight questions took {:?}", started.elapsed());
    tenant.search(&json!({"query": "heron", "mode": "dense"})).await.refused(503, "unavailable");

    let _again = Upstream::again(&url);
    let mut at = 0;
    wait::until("answers are whole again", 40, || {
        at += 1;
        let (tenant, query) = (tenant.clone(), format!("reeds {at}"));
        async move { hybrid(&tenant, &query).await["degraded"].as_array()?.is_empty().then_some(()) }
    })
    .await;
    tenant.write("one.md", "# One\n\nThe first page.").await;
    assert_eq!(metric(&server, "catena_embedding_server_away").await, Some(0.0));
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_fails_or_hangs_is_left_alone_for_a_while() {
    let (home, upstream) = (Home::new(), Upstream::start());
    let (server, tenant) = service(&home, &upstream).await;
    tenant.write("heron.md", "# Heron\n\nThe heron stands in the reeds.").await;
    upstream.behave(json!({"late": {"ms": 60_000}}), None).await;
    for round in 0..2 {
        let ask = |at: usize| {
            let (tenant, query) = (tenant.clone(), format!("heron {round} {at}"));
            async move { hybrid(&tenant, &query).await["degraded"].clone() }
        };
        let (a, b, c, d) = tokio::join!(ask(0), ask(1), ask(2), ask(3));
        assert!([a, b, c, d].iter().all(|degraded| *degraded == json!([WITHOUT])), "a question was not answered");
    }
    let (before, started) = (upstream.requests().await, Instant::now());
    for at in 0..8 {
        assert_eq!(hybrid(&tenant, &format!("reeds {at}")).await["degraded"], json!([WITHOUT]));
    }
    assert!(started.elapsed() < AT_ONCE, "eight questions took {:?}", started.elapsed());
    assert_eq!(upstream.requests().await, before, "the server was not left alone");
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_is_not_allowed_is_looked_at_and_not_served() {
    let (home, upstream) = (Home::new(), Upstream::start());
    let fingerprint = fingerprint(&home, &upstream.url).await;
    let refused = program(&home, &upstream.url, &["serve", "--listen", "127.0.0.1:0"]).ended().await;
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    assert!(refused.text.contains(&fingerprint) && refused.text.contains("allowed_models"), "{}", refused.text);

    let check = |allowed: &str| {
        let check = program(&home, &upstream.url, &["model", "check", "--json"]);
        check.variable("CATENA_ALLOWED_MODELS", allowed).ended()
    };
    let ended = check("").await;
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert!(ended.out.contains(&format!("allowed_models = [\\\"{fingerprint}\\\"]")), "{}", ended.text);
    let ended = check(&fingerprint).await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let report: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(report["in_order"], true, "{report}");
    upstream.behave(json!({"numbers": {"count": 9}}), None).await;
    let ended = check(&fingerprint).await;
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert!(ended.out.contains("its vectors have 9 numbers"), "{}", ended.text);
    assert!(!ended.text.contains(KEY), "{}", ended.text);
}
