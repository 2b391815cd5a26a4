//! A full disk and a disk that fails: a refusal and a service that is not ready, never a lost acknowledgement.

use reqwest::Method;
use serde_json::json;

use super::ledger::State;
use super::load::body;
use super::{Life, Subject};
use crate::harness::faults::{Action, Rule};
use crate::harness::{Chance, Client, Reply, Server, text, wait};

/// What needs room on the disk.
const NEEDS_ROOM: &str = "write,create,mkdir";
const CATALOG: &str = "catalog.db*";
const CHECKPOINT: &str = "catalog.db";
const INDEX: &str = "index/*";
/// Readiness is found out anew once a second, so not every write has its turn; most are one page like another.
const CATALOG_STEP: usize = 3;
const RECOVERY_LIMIT_S: u64 = 20;

async fn begun() -> (Life, Server) {
    let mut life = Subject::sqlite().life();
    let server = life.start().await;
    life.settle(&server).await;
    (life, server)
}

/// Writes a document of the first tenant; whether it was acknowledged stands in the ledger.
async fn put(life: &Life, server: &Server, id: &str, chance: &mut Chance) -> Reply {
    let (tenant, state) = (&life.tenants[0], State { text: body(chance), allow: vec!["everyone".to_owned()] });
    tenant.note().wants(id, Some(state.clone()));
    let client = tenant.client(server);
    let path = format!("{}?wait=searchable", client.document(id));
    let reply = client.send(client.request(Method::PUT, &path).json(&state.envelope())).await;
    if matches!(reply.status, 200 | 201) {
        tenant.note().acknowledged(id, reply.json()["seq"].as_u64());
    }
    reply
}

/// How many calls on these files one write makes.
async fn calls(life: &Life, server: &Server, pattern: &str, calls: &str, chance: &mut Chance) -> u64 {
    life.faults.traced();
    life.faults.set(&[Rule::new(calls, pattern, 1, Action::Trace)]);
    put(life, server, "traced.md", chance).await.expect(201);
    life.faults.clear();
    life.faults.traced().len() as u64
}

async fn not_ready(server: &Server, why: &str) {
    let reply = server.nobody().get("/readyz").await.expect(503);
    assert!(reply.text().contains(why), "{}", reply.text());
}

async fn ready(server: &Server) {
    wait::until("the service is ready again by itself", RECOVERY_LIMIT_S, || async {
        (server.nobody().get("/readyz").await.status == 200).then_some(())
    })
    .await;
}

/// A question, which cannot be recorded and is refused for that.
async fn refused(client: &Client) {
    client.search(&json!({"query": "dry"})).await.refused(503, "unavailable");
}

#[tokio::test]
async fn a_disk_that_is_full_at_any_write_is_a_refusal_and_no_readiness_until_there_is_room() {
    let mut chance = Chance::new("a full disk");
    let (mut life, server) = begun().await;
    let client = life.tenants[0].client(&server);
    let (mut refusals, writes) = (0, calls(&life, &server, CATALOG, NEEDS_ROOM, &mut chance).await);
    assert!(writes > 10, "{writes} writes are not what one document takes");
    for nth in (1..=writes).step_by(CATALOG_STEP) {
        let id = format!("full-{nth}.md");
        life.faults.set(&[Rule::new(NEEDS_ROOM, CATALOG, nth, Action::Full)]);
        let reply = put(&life, &server, &id, &mut chance).await;
        if !matches!(reply.status, 200 | 201) {
            reply.refused(503, "unavailable");
            refusals += 1;
        }
        // Whether this write fitted or not, the next request does not.
        refused(&client).await;
        not_ready(&server, "the disk is full").await;
        life.faults.clear();
        ready(&server).await;
        let is_there = client.get(&client.document(&id)).await.status == 200;
        assert_eq!(is_there, life.tenants[0].note().of(&id).is_some(), "at write {nth}, {id}");
    }
    println!("full at every third of {writes} writes: {refusals} refusals");
    assert!(refusals * CATALOG_STEP as u64 > writes / 2);
    put(&life, &server, "after.md", &mut chance).await.expect(201);
    life.check(&server, &mut chance).await;
    server.kill();
    let server = life.start().await;
    life.check(&server, &mut chance).await;
}

#[tokio::test]
async fn a_disk_that_is_full_when_the_index_is_written_loses_nothing_and_is_made_up_for() {
    let mut chance = Chance::new("a full disk below the index");
    let (mut life, server) = begun().await;
    let client = life.tenants[0].client(&server);
    let writes = calls(&life, &server, INDEX, NEEDS_ROOM, &mut chance).await;
    assert!(writes > 4, "{writes} writes are not what one segment takes");
    for nth in 1..=writes {
        let id = format!("full-{nth}.md");
        life.faults.set(&[Rule::new(NEEDS_ROOM, INDEX, nth, Action::Full)]);
        // The catalog had room, so the write is durable; but its answer may have found no room for anything more.
        let reply = put(&life, &server, &id, &mut chance).await;
        assert!(matches!(reply.status, 201 | 503), "{}", reply.text());
        not_ready(&server, "the disk is full").await;
        life.faults.clear();
        ready(&server).await;
        let state = life.tenants[0].note().documents[&id].clone();
        let Some(state) = state.acknowledged else { continue };
        wait::until("the write is searchable without another one", RECOVERY_LIMIT_S, || async {
            let reply = client.search(&json!({"query": state.word(), "mode": "lexical"})).await.expect(200);
            (text::documents(&reply.json()["results"]) == [id.as_str()]).then_some(())
        })
        .await;
    }
    println!("full at each of {writes} writes of the index");
    life.check(&server, &mut chance).await;
    server.kill();
    let server = life.start().await;
    life.check(&server, &mut chance).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_synced_or_written_ends_all_writing_until_a_restart() {
    let mut chance = Chance::new("a failing disk");
    let (mut life, mut server) = begun().await;
    let writes = calls(&life, &server, "catalog.db-wal", "write", &mut chance).await;
    let mut plan = vec![("sync", 1)];
    plan.extend([1, 2, writes / 4, writes / 2].map(|nth| ("write", nth)));
    for (call, nth) in plan {
        put(&life, &server, "before.md", &mut chance).await;
        life.faults.set(&[Rule::new(call, "catalog.db-wal", nth, Action::Eio)]);
        put(&life, &server, "failed.md", &mut chance).await.refused(503, "unavailable");
        not_ready(&server, "restart").await;
        // The disk does what it is told again; but what it has lost, nobody knows.
        life.faults.clear();
        put(&life, &server, "late.md", &mut chance).await.refused(503, "unavailable");
        refused(&life.tenants[0].client(&server)).await;
        not_ready(&server, "restart").await;
        server.kill();
        server = life.start().await;
        life.check(&server, &mut chance).await;
    }
    put(&life, &server, "after.md", &mut chance).await.expect(201);
}

#[tokio::test]
async fn a_checkpoint_or_an_index_that_cannot_be_synced_loses_nothing() {
    let mut chance = Chance::new("a failing checkpoint");
    let (mut life, mut server) = begun().await;
    let places = [("sync", CHECKPOINT), ("write", CHECKPOINT), ("sync", INDEX), ("write", INDEX), ("rename", INDEX)];
    for (call, pattern) in places {
        let rule = |action| Rule::new(call, pattern, 1, action);
        life.faults.set(&[rule(Action::Eio), rule(Action::Trace)]);
        let work = super::load_until(&life, &server, 80, &mut chance).await;
        server.kill();
        work.writers.join_all().await;
        life.faults.clear();
        assert_ne!(life.faults.traced(), [], "no {call} of {pattern}, so nothing failed");
        // A re-index that could not be written has failed, and says so.
        life.tenants.iter().for_each(|tenant| tenant.note().jobs.clear());
        server = life.start().await;
        life.check(&server, &mut chance).await;
    }
}
