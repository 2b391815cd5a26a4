//! Building the index anew while everybody goes on asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, Home, text, wait};

const DOCUMENTS: usize = 160;
const QUERIES: [&str; 4] =
    ["which gate is greased in autumn", "gate 17", "who keeps the meadow of gate 40", "is the hinge painted?"];

/// Enough documents that a job takes a while.
async fn gates(admin: &Client) {
    let mut writes = JoinSet::new();
    for worker in 0..8 {
        let admin = admin.clone();
        writes.spawn(async move {
            for at in (worker..DOCUMENTS).step_by(8) {
                let part = |part: usize| {
                    format!(
                        "## Part {part}\n\nGate {at} of meadow {part} is greased in autumn by keeper {}. \
                    Its hinge is painted every {} years, and its latch is left open for the deer.\n\n",
                        at * part,
                        part + 2
                    )
                };
                let text = format!("# Gate {at}\n\n{}", (0..3).map(part).collect::<String>());
                let envelope = json!({"text": text, "acl": {"allow": ["everyone"]}});
                admin.put(&admin.document(&format!("gate-{at}.md")), &envelope).await.expect(201);
            }
        });
    }
    writes.join_all().await;
    admin.write("last.md", "# Last\n\nThe last page closes the meadow's book.").await;
}

async fn answers(client: &Client) -> Vec<Value> {
    let mut told = Vec::new();
    for query in QUERIES {
        let searched = client.search(&json!({"query": query, "top_k": 40})).await.expect(200).json();
        told.push(text::answer_in_any_generation(&searched));
        told.push(text::answer_in_any_generation(&client.context_of(query, 1_000).await));
    }
    told
}

/// The events of a job, to its end: name and state.
async fn events(client: &Client, job: &str) -> Vec<(String, Value)> {
    let path = client.path(&format!("jobs/{job}/events"));
    let reply = client.send(client.request(Method::GET, &path).header("accept", "text/event-stream")).await.expect(200);
    assert!(reply.header("content-type").starts_with("text/event-stream"), "{}", reply.everything());
    let text = reply.text();
    let fields = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let events = text.split("\n\n").filter_map(|event| Some((fields(event, "event:")?, fields(event, "data:")?)));
    events.map(|(name, data)| (name, serde_json::from_str(&data).expect("an event's data is JSON"))).collect()
}

async fn start(client: &Client) -> String {
    let reply = client.post(&client.path("reindex"), &json!({})).await.expect(202);
    let job = reply.json();
    assert_eq!((&job["kind"], &job["finished_at"]), (&json!("reindex"), &Value::Null));
    let id = job["id"].as_str().expect("an id").to_owned();
    assert_eq!(reply.header("location"), client.path(&format!("jobs/{id}")));
    id
}

/// Asks until told to stop; every answer must be there and not empty.
async fn ask_on(
    client: Client,
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    expected: Arc<Vec<Value>>,
) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    while !over.load(Ordering::Acquire) {
        for (at, query) in QUERIES.iter().enumerate() {
            let reply = client.search(&json!({"query": query, "top_k": 40})).await;
            assert_eq!(reply.status, 200, "a search failed: {}", reply.everything());
            let answer = reply.json();
            assert_ne!(answer["results"], json!([]), "an empty answer to {query}");
            assert_eq!(answer["degraded"], json!([]), "{query}");
            assert_eq!(text::answer_in_any_generation(&answer), expected[at * 2], "another answer to {query}");
            let generation = answer["generation"].as_str().expect("a generation").to_owned();
            if seen.last() != Some(&generation) {
                seen.push(generation);
            }
            asked.fetch_add(1, Ordering::AcqRel);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_asks_notices_but_for_the_generation() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    gates(&admin).await;
    let expected = Arc::new(answers(&admin).await);
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        let client = server.client(admin.key.as_deref().expect("a key")).in_tenant("acme");
        asking.spawn(ask_on(client, Arc::clone(&over), Arc::clone(&asked), Arc::clone(&expected)));
    }
    let enough = async |more: usize| {
        let until = asked.load(Ordering::Acquire) + more;
        wait::until("searches go on", 60, || async { (asked.load(Ordering::Acquire) >= until).then_some(()) }).await;
    };
    enough(16).await;
    let job = start(&admin).await;
    let events = events(&admin, &job).await;
    enough(32).await;
    over.store(true, Ordering::Release);
    for seen in asking.join_all().await {
        assert_eq!(seen.len(), 2, "a client saw the generations {seen:?}");
    }
    assert_progress(&events, &job);
    assert_eq!(answers(&admin).await, *expected);
    let generations = admin.get(&admin.path("generations")).await.expect(200).json();
    let states: Vec<&Value> = generations["data"].as_array().expect("a list").iter().map(|row| &row["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "live").count(), 1, "{generations}");
    println!("{} searches were answered, {} events were seen", asked.load(Ordering::Acquire), events.len());
}

fn assert_progress(events: &[(String, Value)], job: &str) {
    assert!(events.len() >= 2, "progress was not seen: {events:?}");
    let (last, before) = events.split_last().expect("events");
    assert_eq!((last.0.as_str(), &last.1["state"]), ("done", &json!("succeeded")), "{last:?}");
    assert!(before.iter().all(|(name, _)| name == "progress"), "{events:?}");
    assert!(events.iter().all(|(_, state)| state["id"] == job), "{events:?}");
    let done = |state: &Value| state["progress"]["done"].as_u64().expect("a count");
    let total = last.1["progress"]["total"].as_u64().expect("a count");
    assert!(done(&last.1) == total && total as usize >= DOCUMENTS, "{last:?}");
    let note = |state: &Value| state["note"].as_str().unwrap_or_default().to_owned();
    for pair in before.windows(2) {
        let (first, second) = (&pair[0].1, &pair[1].1);
        assert!(note(first) != note(second) || done(first) <= done(second), "progress went back: {pair:?}");
    }
}

#[tokio::test]
async fn a_second_job_is_a_conflict_and_a_cancelled_one_leaves_all_as_it_was() {
    let home = Home::new();
    let server = home.serve().variable("CATENA_JOBS_AT_ONCE", 1).start().await;
    let busy = server.tenant("busy").await;
    gates(&busy).await;
    let waiting = server.tenant("waiting").await;
    waiting.write("heron.md", "# Heron\n\nThe heron stands in the shallow water.").await;
    let before = (answers(&busy).await, waiting.search(&json!({"query": "heron"})).await.expect(200).json());

    // Jobs run one after the other, so the second tenant's waits for the first's.
    let running = start(&busy).await;
    let queued = start(&waiting).await;
    let conflict = busy.post(&busy.path("reindex"), &json!({})).await.refused(409, "conflict");
    assert!(
        conflict.detail().to_lowercase().contains("re-index") || conflict.detail().contains("job"),
        "{}",
        conflict.text()
    );
    waiting.post(&waiting.path("reindex"), &json!({})).await.refused(409, "conflict");
    let cancelled = waiting.post(&waiting.path(&format!("jobs/{queued}/cancel")), &json!({})).await.expect(202).json();
    assert_eq!(cancelled["id"], queued);
    let last = events(&waiting, &queued).await.pop().expect("an event");
    assert_eq!((last.0.as_str(), &last.1["state"]), ("done", &json!("cancelled")), "{last:?}");
    let after = waiting.search(&json!({"query": "heron"})).await.expect(200).json();
    assert_eq!(text::answer(&after), text::answer(&before.1), "a cancelled job changed something");
    waiting.post(&waiting.path(&format!("jobs/{queued}/cancel")), &json!({})).await.refused(409, "conflict");

    let last = events(&busy, &running).await.pop().expect("an event");
    assert_eq!(last.1["state"], "succeeded", "{last:?}");
    assert_eq!(answers(&busy).await, before.0);
    let again = start(&busy).await;
    let stopped = busy.post(&busy.path(&format!("jobs/{again}/cancel")), &json!({})).await;
    assert!(matches!(stopped.status, 202 | 409), "{}", stopped.everything());
    let last = events(&busy, &again).await.pop().expect("an event");
    assert!(matches!(last.1["state"].as_str(), Some("cancelled" | "succeeded")), "{last:?}");
    assert_eq!(answers(&busy).await, before.0);
    let third = start(&busy).await;
    let last = events(&busy, &third).await.pop().expect("an event");
    assert_eq!(last.1["state"], "succeeded", "a job after a cancelled one: {last:?}");
    assert_eq!(answers(&busy).await, before.0);
    let listed = busy.get(&busy.path("jobs")).await.expect(200).json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(3), "{listed}");
}
