//! A job's events: to whom they are told, and for how long.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::server::{Launch, Server};
use crate::harness::{Client, Home, wait};
use crate::jobs::{import, line};

/// Streams that one key has open at once.
const STREAMS_PER_KEY: usize = 8;

/// A service without workers, so that jobs stay where they are put.
async fn still(home: &Home) -> Server {
    home.serve().variable("CATENA_JOBS_AT_ONCE", 0).start().await
}

/// A stream of the job's events, and the first of them.
async fn follow(client: &Client, job: &str) -> (Response, String) {
    let request = client.request(Method::GET, &client.path(&format!("jobs/{job}/events")));
    let mut stream = request.send().await.expect("an answer");
    assert_eq!(stream.status(), 200);
    let first = stream.chunk().await.expect("a stream").expect("an event");
    (stream, String::from_utf8_lossy(&first).into_owned())
}

/// What else comes, to the stream's end.
async fn rest(mut stream: Response) -> String {
    let reading = async {
        let mut rest = String::new();
        while let Some(part) = stream.chunk().await.expect("a stream") {
            rest.push_str(&String::from_utf8_lossy(&part));
        }
        rest
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the stream goes on and on")
}

async fn cancel(client: &Client, job: &str) {
    client.post(&client.path(&format!("jobs/{job}/cancel")), &json!({})).await.expect(202);
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_key_and_with_the_suspension_of_its_tenant() {
    let home = Home::new();
    let server = still(&home).await;
    let admin = server.tenant("acme").await;
    let made = json!({"name": "to be revoked", "scopes": ["admin"]});
    let made = admin.post(&admin.path("keys"), &made).await.expect(201).json();
    let other = admin.with_key(made["key"].as_str().expect("a key"));
    let job = import(&admin, &[line(1)]).await;
    let ((revoked, first), (kept, _)) = (follow(&other, &job).await, follow(&admin, &job).await);
    assert!(first.contains("event: progress") && first.contains("queued"), "{first}");
    admin.delete(&admin.path(&format!("keys/{}", made["id"].as_str().expect("an id")))).await.expect(204);
    cancel(&admin, &job).await;
    assert!(!rest(revoked).await.contains("event:"), "something was told to a key that was revoked");
    assert!(rest(kept).await.contains("event: done"));

    let job = import(&admin, &[line(2)]).await;
    let (stream, _) = follow(&admin, &job).await;
    let operator = server.operator().in_tenant("acme");
    let suspended = operator.request(Method::PATCH, "/v1/tenants/acme").json(&json!({"state": "suspended"}));
    operator.send(suspended).await.expect(200);
    cancel(&operator, &job).await;
    assert!(!rest(stream).await.contains("event:"), "something was told of a tenant that is suspended");
}

#[tokio::test]
async fn a_stream_ends_although_its_job_rests_when_its_key_is_revoked() {
    let home = Home::new();
    let server = still(&home).await;
    let admin = server.tenant("acme").await;
    let made = json!({"name": "to be revoked", "scopes": ["admin"]});
    let made = admin.post(&admin.path("keys"), &made).await.expect(201).json();
    let other = admin.with_key(made["key"].as_str().expect("a key"));
    let job = import(&admin, &[line(1)]).await;
    let (stream, _) = follow(&other, &job).await;
    admin.delete(&admin.path(&format!("keys/{}", made["id"].as_str().expect("an id")))).await.expect(204);
    assert!(!rest(stream).await.contains("event:"));
}

#[tokio::test]
async fn one_key_does_not_hold_all_streams_and_the_command_line_looks_by_itself_then() {
    let home = Home::new();
    let server = still(&home).await;
    let admin = server.tenant("acme").await;
    let (resting, over) = (import(&admin, &[line(1)]).await, import(&admin, &[line(2)]).await);
    cancel(&admin, &over).await;
    let mut held = Vec::new();
    for _ in 0..STREAMS_PER_KEY {
        held.push(follow(&admin, &resting).await);
    }
    let events = admin.path(&format!("jobs/{resting}/events"));
    let refused = admin.get(&events).await.refused(503, "too-many-streams");
    assert!(refused.detail().contains("The key has 8 streams"), "{}", refused.detail());
    let other = server.key("acme", &["admin"], None, &[]).await;
    let (_, first) = follow(&other, &resting).await;
    assert!(first.contains("event: progress"), "{first}");
    let followed = Launch::new(home.path(), &["job", "follow", &over])
        .variable("CATENA_URL", &server.url)
        .variable("CATENA_KEY", admin.key.as_deref().expect("a key"))
        .variable("CATENA_TENANT", "acme");
    let followed = followed.ended().await;
    assert!(followed.out.contains(&format!("job {over} cancelled")), "{}", followed.text);
    drop(held);
    wait::until("a stream is to be had again", 20, || async {
        let stream = admin.request(Method::GET, &events).send().await.expect("an answer");
        (stream.status() == 200).then_some(())
    })
    .await;
    let listed: Value = admin.get(&admin.path("jobs")).await.expect(200).json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2), "{listed}");
}
