//! Tenants' life and their quotas, as those meet them who run the service and those who use it.

use std::collections::BTreeMap;
use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::server::{Launch, OPERATOR_KEY};
use crate::harness::{Client, Home, Reply, Server, wait};

/// A word that nobody else says.
const CANARY: &str = "quillwhistle";

async fn patch(server: &Server, tenant: &str, body: Value) -> Reply {
    let operator = server.operator();
    operator.send(operator.request(Method::PATCH, &format!("/v1/tenants/{tenant}")).json(&body)).await
}

async fn quotas(server: &Server, tenant: &str, quotas: Value) {
    patch(server, tenant, json!({"quotas": quotas})).await.expect(200);
}

async fn put(client: &Client, id: &str, text: &str) -> Reply {
    client.put(&client.document(id), &json!({"text": text, "acl": {"allow": ["everyone"]}})).await
}

async fn search(client: &Client) -> Reply {
    client.search(&json!({"query": "where is the lamp"})).await
}

/// The same answer but for its name: status, body, and names of headers.
fn look(reply: &Reply) -> (u16, String, Vec<String>) {
    (reply.status, reply.text(), reply.headers.keys().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_suspended_tenant_is_told_so_and_everything_is_there_when_it_is_resumed() {
    let home = Home::new();
    let server = home.start().await;
    let (admin, other) = (server.tenant("acme").await, server.tenant("globex").await);
    admin.write("lamp.md", "The lamp is on the quay.").await;
    patch(&server, "acme", json!({"state": "suspended"})).await.expect(200);
    for reply in [
        search(&admin).await,
        put(&admin, "late.md", "x").await,
        admin.get(&admin.path("usage")).await,
        admin.tool(1, "search", &json!({"query": "lamp"})).await,
    ] {
        let refused = reply.refused(403, "tenant-suspended");
        assert!(refused.detail().contains("whoever runs the service"), "{}", refused.detail());
    }
    // Only who has a right key learns of it.
    let wrong = format!("{}x", &admin.key.clone().expect("a key")[..20]);
    server.client(&wrong).in_tenant("acme").get(&admin.path("usage")).await.refused(401, "unauthenticated");
    assert_eq!(search(&other).await.status, 200);
    let operator = server.operator().in_tenant("acme");
    let seen = operator.get("/v1/tenants/acme").await.expect(200).json();
    assert_eq!((&seen["state"], &seen["documents"]), (&json!("suspended"), &json!(1)));
    operator.get(&operator.path("keys")).await.expect(200);
    operator.get(&operator.path("usage")).await.expect(200);
    operator.get(&operator.path("audit/head")).await.expect(200);
    let job = operator.post(&operator.path("reindex"), &json!({})).await.expect(202).json();
    assert_eq!(job["state"], "queued");
    patch(&server, "acme", json!({"state": "active", "name": "Acme again"})).await.expect(200);
    assert_eq!(admin.found("where is the lamp").await, ["lamp.md"]);
    let path = admin.path(&format!("jobs/{}", job["id"].as_str().expect("an id")));
    wait::until("the job that waited is done", 60, || async {
        let job = admin.get(&path).await.expect(200).json();
        (job["state"] == "succeeded").then_some(())
    })
    .await;
    assert_eq!(admin.found("where is the lamp").await, ["lamp.md"]);
    let verified = {
        server.stop().await;
        home.verify().await
    };
    assert_eq!(verified.code, Some(0), "{}", verified.text);
}

/// Every file below a folder, with its bytes.
fn files(folder: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap_or_default());
        }
    }
    found
}

fn naming(home: &Home, word: &str) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()));
    files(&home.data()).into_iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path).collect()
}

async fn furnish(admin: &Client, documents: usize) {
    for number in 0..documents {
        let text = format!("# {CANARY} {number}\n\nThe {CANARY} sings at the quay.");
        let body = json!({"text": text, "title": format!("On the {CANARY}"), "uri": format!("https://example.org/{CANARY}"),
            "acl": {"allow": [format!("user:{CANARY}"), "everyone"]}, "attributes": {"bird": CANARY}});
        admin.envelope(&format!("d{number}.md"), &body).await;
    }
    admin.put(&admin.path("groups/crew"), &json!({"members": [CANARY]})).await.expect(204);
}

/// What a key looks like that opens nothing any more.
async fn revoked(server: &Server) -> (Client, Reply) {
    let made = server.operator().post("/v1/tenants/globex/keys", &json!({"name": "old", "scopes": ["read"]})).await;
    let made = made.expect(201).json();
    let id = made["id"].as_str().expect("an id");
    server.operator().delete(&format!("/v1/tenants/globex/keys/{id}")).await.expect(204);
    let client = server.client(made["key"].as_str().expect("a key")).in_tenant("acme");
    let reply = client.get(&client.path("usage")).await.expect(401);
    (client, reply)
}

#[tokio::test]
async fn of_a_deleted_tenant_nothing_answers_and_nothing_is_left_but_its_record() {
    let home = Home::new();
    let server = home.start().await;
    let (admin, other) = (server.tenant("acme").await, server.tenant("globex").await);
    other.write("lamp.md", "The lamp is on the quay.").await;
    furnish(&admin, 12).await;
    assert!(!naming(&home, CANARY).is_empty(), "the word is nowhere, so the test is worth nothing");
    assert!(home.data().join("index/acme").is_dir());
    let operator = server.operator().in_tenant("acme");
    let deleted = operator.delete("/v1/tenants/acme?wait=done").await.expect(200).json();
    assert_eq!((&deleted["state"], &deleted["removed"]["documents"]), (&json!("deleted"), &json!(12)), "{deleted}");
    let (_, unknown) = revoked(&server).await;
    for path in ["usage", "documents", "keys"] {
        assert_eq!(look(&admin.get(&admin.path(path)).await), look(&unknown), "{path}");
    }
    assert_eq!(admin.tool(1, "search", &json!({"query": CANARY})).await.status, 401);
    for path in ["keys", "groups", "documents", "jobs", "usage", "generations"] {
        let status = operator.get(&operator.path(path)).await.status;
        assert!(matches!(status, 403 | 404), "{path} answered {status}");
    }
    patch(&server, "acme", json!({"state": "active"})).await.refused(409, "conflict");
    let again = server.operator().post("/v1/tenants", &json!({"id": "acme"})).await.refused(409, "conflict");
    assert!(again.detail().contains("never given again"), "{}", again.detail());
    let leaves = operator.get(&operator.path("audit/leaves?limit=500")).await.expect(200).text();
    let actions: Vec<Value> = leaves.lines().map(|leaf| serde_json::from_str(leaf).expect("a leaf")).collect();
    let of = |action: &str| actions.iter().filter(|leaf| leaf["action"] == action).count();
    assert_eq!((of("tenant.delete"), of("tenant.removed")), (1, 1), "{leaves}");
    assert!(leaves.contains("documents=12"), "{leaves}");
    assert!(!home.data().join("index/acme").exists());
    assert_eq!(naming(&home, CANARY), [""; 0]);
    assert_eq!(other.found("where is the lamp").await, ["lamp.md"]);
    server.stop().await;
    assert_eq!(naming(&home, CANARY), [""; 0]);
    let verified = home.verify().await;
    assert!(verified.code == Some(0) && verified.text.contains("tenant:acme"), "{}", verified.text);
}

#[tokio::test]
async fn a_removal_that_was_killed_is_ended_by_the_next_start() {
    let home = Home::new();
    let mut server = home.start().await;
    for round in 0..4 {
        let id = format!("acme-{round}");
        let admin = server.tenant(&id).await;
        furnish(&admin, 6).await;
        let acknowledged = server.operator().delete(&format!("/v1/tenants/{id}")).await.expect(200).json();
        assert!(acknowledged["state"] != "active", "{acknowledged}");
        wait::moment(round * 4_000).await;
        server.kill();
        server = home.start().await;
        let key = server.client(&admin.key.clone().expect("a key")).in_tenant(&id);
        key.get(&key.path("usage")).await.refused(401, "unauthenticated");
        wait::until("the removal ends", 60, || async {
            let tenant = server.operator().get(&format!("/v1/tenants/{id}")).await.expect(200).json();
            (tenant["state"] == "deleted").then_some(())
        })
        .await;
        assert!(!home.data().join("index").join(&id).exists());
        assert_eq!(naming(&home, CANARY), [""; 0], "after round {round}");
    }
    server.stop().await;
    assert_eq!(home.verify().await.code, Some(0));
}

#[tokio::test]
async fn what_a_tenant_may_hold_and_embed_is_bounded_by_name() {
    let home = Home::new();
    let server = home.start().await;
    let (admin, other) = (server.tenant("acme").await, server.tenant("globex").await);
    quotas(&server, "acme", json!({"documents": 2})).await;
    admin.write("a.md", "one").await;
    admin.write("b.md", "two").await;
    let refused = put(&admin, "c.md", "three").await.refused(413, "quota-exceeded");
    let problem = refused.json();
    assert_eq!((&problem["quota"], &problem["limit"], &problem["used"]), (&json!("documents"), &json!(2), &json!(2)));
    assert_eq!(refused.header("retry-after"), "", "time alone does not help");
    admin.write("b.md", "two and a half").await;
    other.write("c.md", "three").await;
    quotas(&server, "acme", json!({"documents": null, "embedding_tokens_per_day": 50})).await;
    let long = "word ".repeat(500);
    let refused = put(&admin, "c.md", &long).await.refused(429, "quota-exceeded");
    assert_eq!(refused.json()["quota"], "embedding_tokens_per_day");
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds <= 86_401));
    other.write("long.md", &long).await;
    quotas(&server, "acme", json!({"embedding_tokens_per_day": null, "text_bytes": 100})).await;
    assert_eq!(put(&admin, "c.md", &long).await.refused(413, "quota-exceeded").json()["quota"], "text_bytes");
    quotas(&server, "acme", json!({"text_bytes": null, "chunks": 2})).await;
    assert_eq!(put(&admin, "c.md", &long).await.refused(413, "quota-exceeded").json()["quota"], "chunks");
    quotas(&server, "acme", json!({"chunks": null})).await;
    admin.write("c.md", &long).await;
    let refused = patch(&server, "acme", json!({"quotas": {"dogs": 3}})).await.refused(422, "invalid-request");
    assert!(refused.detail().contains("writes_per_minute"), "{}", refused.detail());
    let usage = admin.get(&admin.path("usage")).await.expect(200).json();
    assert_eq!(usage["held"]["documents"], 3);
    assert_eq!(usage["today"]["writes"], 4, "{usage}");
    assert!(usage["today"]["embedding_tokens"].as_u64().is_some_and(|tokens| tokens > 50), "{usage}");
    assert_eq!(usage["today"], usage["last_30_days"]);
}

#[tokio::test]
async fn rates_are_told_with_each_answer_and_one_tenants_exhaustion_is_nobody_elses() {
    let home = Home::new();
    let server = home.start().await;
    let (admin, other) = (server.tenant("acme").await, server.tenant("globex").await);
    admin.write("lamp.md", "The lamp is on the quay.").await;
    assert_eq!(search(&admin).await.header("ratelimit"), "", "a rate that is not set is told");
    quotas(&server, "acme", json!({"queries_per_minute": 3, "writes_per_minute": 2})).await;
    for left in [2, 1, 0] {
        let reply = search(&admin).await.expect(200);
        assert_eq!(reply.header("ratelimit-policy"), "\"queries_per_minute\";q=3;w=60");
        assert!(reply.header("ratelimit").starts_with(&format!("\"queries_per_minute\";r={left};t=")), "{reply:?}");
    }
    let refused = search(&admin).await.refused(429, "quota-exceeded");
    let told = refused.json();
    assert_eq!((&told["quota"], &told["limit"], &told["used"]), (&json!("queries_per_minute"), &json!(3), &json!(3)));
    let seconds: u32 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&seconds));
    assert_eq!(refused.header("ratelimit"), format!("\"queries_per_minute\";r=0;t={seconds}"));
    admin.context(&json!({"query": "lamp", "budget": {"tokens": 500}})).await.refused(429, "quota-exceeded");
    let tool = admin.tool(1, "search", &json!({"query": "lamp"})).await.expect(200).text();
    assert!(tool.contains("quota-exceeded"), "{tool}");
    // Reading on and writing have measures of their own.
    admin.get(&admin.document("lamp.md")).await.expect(200);
    put(&admin, "a.md", "one").await.expect(201);
    admin.delete(&admin.document("a.md")).await.expect(200);
    let refused = put(&admin, "b.md", "two").await.refused(429, "quota-exceeded");
    assert_eq!(refused.json()["quota"], "writes_per_minute");
    for _ in 0..10 {
        search(&other).await.expect(200);
    }
    let leaves = admin.get(&admin.path("audit/leaves?limit=500")).await.expect(200).text();
    assert!(leaves.contains("request.limited") && leaves.contains("quota-exceeded"), "a refusal left no leaf");
    quotas(&server, "acme", json!({"queries_per_minute": null, "concurrency": 1})).await;
    let mut askers = JoinSet::new();
    for _ in 0..40 {
        let admin = admin.clone();
        askers.spawn(async move { search(&admin).await });
    }
    let replies = askers.join_all().await;
    let busy: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(replies.iter().any(|reply| reply.status == 200) && !busy.is_empty(), "{} were refused", busy.len());
    assert!(busy.iter().all(|reply| reply.json()["quota"] == "concurrency" && reply.header("retry-after") == "1"));
    search(&admin).await.expect(200);
}

#[tokio::test]
async fn what_needs_an_administrator_is_measured_by_that_right() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("lamp.md", "The lamp is on the quay.").await;
    quotas(&server, "acme", json!({"writes_per_minute": 2})).await;
    let (writer, keeper) =
        (server.key("acme", &["write"], None, &[]).await, server.key("acme", &["admin"], None, &[]).await);
    let purge = json!({"ids": ["lamp.md"]});
    for _ in 0..3 {
        let refused = writer.post(&writer.path("documents:purge"), &purge).await.refused(403, "missing-scope");
        assert_eq!(refused.header("ratelimit"), "", "who may not do it spends of what others need");
    }
    let tried = keeper.post(&keeper.path("firewall/try"), &json!({"secret": "flag"})).await.expect(200);
    assert!(tried.header("ratelimit").starts_with("\"writes_per_minute\";r=1;"), "{tried:?}");
    keeper.post(&keeper.path("documents:purge"), &purge).await.expect(202);
    let refused = keeper.delete(&keeper.path("firewall/quarantine/lamp.md")).await.refused(429, "quota-exceeded");
    assert_eq!(refused.json()["quota"], "writes_per_minute");
}

#[tokio::test]
async fn the_command_line_takes_a_tenant_through_its_life() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("lamp.md", "The lamp is on the quay.").await;
    let run = async |arguments: &[&str]| {
        let launch = Launch::new(home.path(), arguments).variable("CATENA_URL", &server.url);
        launch.variable("CATENA_KEY", OPERATOR_KEY).ended().await
    };
    let set = run(&["tenant", "set", "acme", "--name", "Acme Ltd", "--quota", "documents=5,chunks=none"]).await;
    assert!(set.code == Some(0) && set.out.contains("documents=5") && set.out.contains("Acme Ltd"), "{}", set.text);
    let wrong = run(&["tenant", "set", "acme", "--quota", "documents"]).await;
    assert!(wrong.code == Some(2) && wrong.text.contains("documents=1000"), "{}", wrong.text);
    let suspended = run(&["tenant", "suspend", "acme"]).await;
    assert!(suspended.code == Some(0) && suspended.out.contains("suspended"), "{}", suspended.text);
    let usage = run(&["tenant", "usage", "acme"]).await;
    assert!(usage.code == Some(0) && usage.out.contains("embedding_tokens"), "{}", usage.text);
    let resumed = run(&["tenant", "resume", "acme"]).await;
    assert!(resumed.code == Some(0) && resumed.out.contains("active"), "{}", resumed.text);
    let unsure = run(&["tenant", "delete", "acme"]).await;
    assert!(unsure.code == Some(1) && unsure.text.contains("--yes"), "{}", unsure.text);
    assert_eq!(admin.found("where is the lamp").await, ["lamp.md"]);
    let deleted = run(&["tenant", "delete", "acme", "--yes", "--wait"]).await;
    assert!(deleted.code == Some(0) && deleted.out.contains("deleted"), "{}", deleted.text);
    let listed = run(&["tenant", "list"]).await;
    assert!(listed.out.contains("deleted"), "{}", listed.text);
}
