//! Imports and purges as jobs, asked for over HTTP, and a service that is killed in the middle of them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::server::Launch;
use crate::harness::{Client, Home, Reply, wait};

/// How long a job may take.
const JOB_LIMIT_S: u64 = 120;

/// A line of an import: a document of a few chunks.
pub(crate) fn line(at: usize) -> Value {
    let part = |part: usize| {
        format!(
            "## Part {part}\n\nGate {at} of meadow {part} is greased in autumn by keeper {}. Its hinge is painted every \
             {} years, and its latch is left open for the deer.\n\n",
            at * part,
            part + 2
        )
    };
    let text = format!("# Gate {at}\n\n{}", (0..3).map(part).collect::<String>());
    json!({"id": format!("gate-{at}.md"), "text": text, "acl": {"allow": ["everyone"]}})
}

pub(crate) fn body(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

pub(crate) async fn batch(client: &Client, body: String) -> Reply {
    let request = client.request(Method::POST, &client.path("documents:batch"));
    client.send(request.header("content-type", "application/x-ndjson").body(body)).await
}

/// Asks for an import and says the job's id.
pub(crate) async fn import(client: &Client, lines: &[Value]) -> String {
    let reply = batch(client, body(lines)).await.expect(202);
    let id = reply.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(reply.header("location"), client.path(&format!("jobs/{id}")));
    id
}

pub(crate) async fn job(client: &Client, id: &str) -> Value {
    client.get(&client.path(&format!("jobs/{id}"))).await.expect(200).json()
}

/// The job, once it is what it should be.
pub(crate) async fn once(client: &Client, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, JOB_LIMIT_S, async || {
        let job = job(client, id).await;
        is(&job).then_some(job)
    })
    .await
}

pub(crate) async fn ended(client: &Client, id: &str) -> Value {
    once(client, id, "the job ends", |job| !job["finished_at"].is_null()).await
}

/// How many documents of a job are done.
pub(crate) fn done(job: &Value) -> u64 {
    job["tally"]["documents"]["done"].as_u64().expect("a count")
}

/// Tokens that the tenant had embedded.
async fn embedded(client: &Client) -> u64 {
    let usage = client.get(&client.path("usage")).await.expect(200).json();
    usage["last_30_days"]["embedding_tokens"].as_u64().unwrap_or_else(|| panic!("no tokens in {usage}"))
}

/// Every document with its version, and how many chunks there are.
pub(crate) async fn held(client: &Client) -> (Vec<(String, u64)>, Value) {
    let listed = client.get(&client.path("documents?limit=500")).await.expect(200).json();
    let rows = listed["data"].as_array().expect("a list").iter();
    let of = |row: &Value| (row["document"].as_str().expect("an id").to_owned(), row["version"].as_u64().expect("one"));
    let usage = client.get(&client.path("usage")).await.expect(200).json();
    (rows.map(of).collect(), usage["held"].clone())
}

#[tokio::test]
async fn an_import_writes_what_it_can_and_names_each_line_that_it_cannot() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("old.md", "# Old\n\nOn its way out.").await;
    let writer = server.key("acme", &["write"], None, &[]).await;
    let text = format!(
        "{}not json\n{}{}{}{}",
        body(&[line(1)]),
        body(&[json!({"id": "old.md", "delete": true}), json!({"id": "gone.md", "delete": true})]),
        body(&[
            json!({"id": "odd.md", "txt": "misspelt"}),
            json!({"id": "bad.md", "text": "x", "acl": {"allow": ["all"]}})
        ]),
        body(&[json!({"text": "without an id"})]),
        body(&[line(2)]),
    );
    let request = || {
        let request = writer.request(Method::POST, &writer.path("documents:batch")).body(text.clone());
        request.header("content-type", "application/x-ndjson").header("idempotency-key", "\"once\"")
    };
    let first = writer.send(request()).await.expect(202);
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    let again = writer.send(request()).await.expect(202);
    assert_eq!((again.header("idempotency-replayed"), &again.json()["id"]), ("true", &json!(id)));
    let job = ended(&writer, &id).await;
    assert_eq!(
        (&job["state"], &job["kind"], &job["failed_documents"]),
        (&json!("succeeded"), &json!("import"), &json!(4))
    );
    assert_eq!(job["tally"]["documents"], json!({"done": 8, "total": 8}), "{job}");
    let page = writer.get(&writer.path(&format!("jobs/{id}/failures?limit=3"))).await.expect(200).json();
    let next = page["next"].as_str().expect("a next page");
    let rest = writer.get(&writer.path(&format!("jobs/{id}/failures?after={}", next.replace(' ', "%20")))).await;
    let rest = rest.expect(200).json();
    let failures: Vec<&Value> =
        [&page, &rest].into_iter().flat_map(|page| page["data"].as_array().expect("a list")).collect();
    let named: Vec<&str> = failures.iter().map(|failure| failure["document"].as_str().expect("a name")).collect();
    assert_eq!(named, ["bad.md", "line 2", "line 7", "odd.md"]);
    assert!(failures[3]["reason"].as_str().is_some_and(|reason| reason.starts_with("line 5: ")), "{failures:?}");
    let (documents, _) = held(&admin).await;
    assert_eq!(documents, [("gate-1.md".to_owned(), 1), ("gate-2.md".to_owned(), 1)]);
    wait::until("the import is searchable", 20, async || {
        admin.found("which gate is greased in autumn").await.contains(&"gate-2.md".to_owned()).then_some(())
    })
    .await;

    // The job is its writer's and the administrators' to see; a retry needs something that was kept.
    let other = server.key("acme", &["write"], None, &[]).await;
    other.get(&other.path(&format!("jobs/{id}"))).await.refused(404, "not-found");
    writer.get(&writer.path("jobs")).await.refused(403, "missing-scope");
    admin.post(&admin.path(&format!("jobs/{id}/retry")), &json!({})).await.refused(409, "conflict");
    batch(&writer, "\n\n".to_owned()).await.refused(422, "invalid-request");
}

#[tokio::test]
async fn an_import_whose_service_is_killed_again_and_again_ends_as_one_that_was_not() {
    const DOCUMENTS: usize = 72;
    let home = Home::new();
    let lines: Vec<Value> = (0..DOCUMENTS).map(line).collect();
    let mut server = home.start().await;
    let (calm, torn) = (server.tenant("calm").await, server.tenant("torn").await);
    let undisturbed = import(&calm, &lines).await;
    assert_eq!(ended(&calm, &undisturbed).await["state"], "succeeded");
    let key = torn.key.clone().expect("a key");
    let id = import(&torn, &lines).await;
    let mut torn = torn;
    let mut kills = 0;
    for part in 1..=4 {
        let job = once(&torn, &id, "the import gets on", |job| {
            done(job) >= part * DOCUMENTS as u64 / 5 || !job["finished_at"].is_null()
        });
        if !job.await["finished_at"].is_null() {
            break;
        }
        server.kill();
        kills += 1;
        server = home.start().await;
        torn = server.client(&key).in_tenant("torn");
    }
    assert!(kills > 0, "the import was done before it could be killed");
    let job = ended(&torn, &id).await;
    assert_eq!((&job["state"], &job["failed_documents"]), (&json!("succeeded"), &json!(0)), "{job}");
    assert_eq!(job["tally"]["documents"], json!({"done": DOCUMENTS, "total": DOCUMENTS}));
    let calm = server.client(calm.key.as_deref().expect("a key")).in_tenant("calm");
    let (expected, found) = (held(&calm).await, held(&torn).await);
    assert_eq!(found, expected);
    assert!(found.0.iter().all(|(_, version)| *version == 1), "a document was written twice: {found:?}");
    // What was under way at a kill is embedded again, and no more: eight documents each time.
    let (once, all) = (embedded(&calm).await, embedded(&torn).await);
    let step = once * 8 / DOCUMENTS as u64 + once / DOCUMENTS as u64;
    assert!(all <= once + kills * step, "{all} tokens were embedded; undisturbed {once}, {kills} kills");
    println!("{kills} kills; {once} tokens undisturbed, {all} with kills");
}

#[tokio::test]
async fn many_deleted_documents_are_purged_by_one_request() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    for id in ["a.md", "b.md", "kept.md"] {
        admin.envelope(id, &json!({"text": format!("# {id}"), "source": "wiki", "acl": {"allow": ["everyone"]}})).await;
    }
    admin.delete(&admin.document("a.md")).await.expect(200);
    admin.delete(&admin.document("b.md")).await.expect(200);
    let path = admin.path("documents:purge");
    for wrong in [json!({}), json!({"ids": []}), json!({"ids": ["a"], "source": "wiki"})] {
        admin.post(&path, &wrong).await.refused(422, "invalid-request");
    }
    let reply = admin.post(&path, &json!({"source": "wiki"})).await.expect(202).json();
    let job = ended(&admin, reply["id"].as_str().expect("an id")).await;
    assert_eq!((&job["state"], &job["kind"], &job["subject"]), (&json!("succeeded"), &json!("purge"), &json!("wiki")));
    let reply = admin.post(&path, &json!({"ids": ["kept.md"]})).await.expect(202).json();
    let job = ended(&admin, reply["id"].as_str().expect("an id")).await;
    assert_eq!(job["failed_documents"], 1, "{job}");
    let deleted = admin.get(&admin.path("documents?state=deleted")).await.expect(200).json();
    assert_eq!(deleted["data"], json!([]), "{deleted}");
    admin.get(&admin.document("kept.md")).await.expect(200);
}

#[tokio::test]
async fn a_job_is_paused_resumed_and_followed_from_the_command_line() {
    let home = Home::new();
    // No worker of its own, so that the job stays where it is put.
    let server = home.serve().variable("CATENA_JOBS_AT_ONCE", 0).start().await;
    let admin = server.tenant("acme").await;
    let file = home.path().join("lines.jsonl");
    std::fs::write(&file, format!("{}oops\n", body(&[line(1)]))).expect("a file");
    let command = |arguments: &[&str]| {
        Launch::new(home.path(), arguments)
            .variable("CATENA_URL", &server.url)
            .variable("CATENA_KEY", admin.key.as_deref().expect("a key"))
            .variable("CATENA_TENANT", "acme")
    };
    let told = command(&["import", &file.display().to_string(), "--json"]).ended().await;
    assert_eq!(told.code, Some(0), "{}", told.text);
    let made: Value = serde_json::from_str(&told.out).expect("the job as JSON");
    let id = made["id"].as_str().expect("an id");
    for (wish, state) in [("pause", "paused"), ("resume", "queued"), ("pause", "paused")] {
        let told = command(&["job", wish, id]).ended().await;
        assert!(told.code == Some(0) && told.out.contains(state), "{wish}: {}", told.text);
    }
    let told = command(&["job", "resume", "no-such-job"]).ended().await;
    assert_eq!(told.code, Some(1), "{}", told.text);
    let held = command(&["job", "approve", id, &"0".repeat(64)]).ended().await;
    assert!(held.code == Some(1) && held.text.contains("does not wait for an approval"), "{}", held.text);
    let listed = command(&["job", "list"]).ended().await;
    assert!(listed.out.contains("paused") && listed.out.contains("import"), "{}", listed.text);

    server.stop().await;
    let server = home.start().await;
    let admin = server.client(admin.key.as_deref().expect("a key")).in_tenant("acme");
    admin.post(&admin.path(&format!("jobs/{id}/resume")), &json!({})).await.expect(202);
    let command = |arguments: &[&str]| {
        Launch::new(home.path(), arguments)
            .variable("CATENA_URL", &server.url)
            .variable("CATENA_KEY", admin.key.as_deref().expect("a key"))
            .variable("CATENA_TENANT", "acme")
    };
    let followed = command(&["job", "follow", id]).ended().await;
    assert_eq!(followed.code, Some(1), "a job with a failed document was followed to success: {}", followed.text);
    assert!(followed.out.contains("2 of 2 documents, 1 FAILED"), "{}", followed.text);
    let failures = command(&["job", "failures", id]).ended().await;
    assert!(failures.out.contains("line 2"), "{}", failures.text);
}

#[tokio::test]
async fn one_tenants_imports_do_not_keep_those_of_others_from_arriving() {
    let home = Home::new();
    let server = home.serve().variable("CATENA_JOBS_AT_ONCE", 0).start().await;
    let (acme, globex) = (server.tenant("acme").await, server.tenant("globex").await);
    let mut slow = Vec::new();
    for at in 0..4 {
        let name = at.to_string();
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", name.as_str())];
        slow.push(acme.begin(&acme.path("documents:batch"), &headers[..1 + at % 2]).await);
    }
    let refused = wait::until("imports arrive", 20, || async {
        let reply = batch(&acme, body(&[line(1)])).await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    batch(&globex, body(&[line(1)])).await.expect(202);
    let refused = refused.refused(503, "too-many-imports");
    assert!(refused.detail().contains("of this tenant are arriving"), "{}", refused.detail());
    drop(slow);
    wait::until("an import of the same tenant is taken again", 20, || async {
        (batch(&acme, body(&[line(1)])).await.status == 202).then_some(())
    })
    .await;
}
