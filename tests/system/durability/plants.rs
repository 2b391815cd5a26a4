//! The checker itself: it must notice what it is there for.

use std::sync::Arc;

use tokio::sync::watch;

use super::check::Tenant;
use super::ledger::{KeyState, Ledger, State};
use super::load::{Writer, body};
use super::{Life, Subject, load_until};
use crate::harness::faults::{Action, Rule, When};
use crate::harness::{Chance, Server, wait};

const LOG: &str = "catalog.db-wal";
const ACKS: u64 = 60;

/// Whether the checker finds fault with a tenant.
async fn notices(server: &Arc<Server>, mut tenant: Tenant, mut chance: Chance) -> bool {
    let server = Arc::clone(server);
    tokio::spawn(async move { tenant.check(&server, &mut chance).await }).await.is_err()
}

/// Somebody who writes to the first tenant.
fn writer(life: &Life, server: &Server, chance: &mut Chance) -> Writer {
    let (tenant, (acks, _)) = (&life.tenants[0], watch::channel(0));
    Writer { client: tenant.client(server), name: 0, ledger: tenant.ledger.clone(), chance: chance.fork(), acks }
}

/// Acknowledges one more write.
async fn acknowledged(life: &Life, server: &Server, chance: &mut Chance) {
    let written = writer(life, server, chance).put("planted.md").await;
    assert!(written.is_ok(), "the write was not answered");
}

#[tokio::test]
async fn the_checker_notices_a_write_that_was_never_made() {
    let mut chance = Chance::new("a write never made");
    let mut life = Subject::sqlite().life();
    let server = life.start().await;
    life.settle(&server).await;
    acknowledged(&life, &server, &mut chance).await;
    life.faults.set(&[Rule::new("write", LOG, 1, Action::Lie)]);
    acknowledged(&life, &server, &mut chance).await;
    server.kill();
    life.faults.clear();
    let server = Arc::new(life.start().await);
    let (acme, umbra) = (life.tenants.remove(0), life.tenants.remove(0));
    assert!(notices(&server, acme, chance.fork()).await, "an acknowledged write is lost, and nobody noticed");
    assert!(!notices(&server, umbra, chance.fork()).await, "the other tenant lost nothing");
}

#[tokio::test]
async fn the_checker_notices_that_a_sync_was_left_out_when_the_power_goes() {
    let mut chance = Chance::new("a sync left out");
    for is_honest in [true, false] {
        let mut life = Subject::sqlite().life();
        let server = life.start().await;
        life.settle(&server).await;
        acknowledged(&life, &server, &mut chance).await;
        let lie = Rule::new("sync", LOG, 1, Action::Lie);
        let lies: Vec<Rule> = (!is_honest).then_some(lie).into_iter().collect();
        life.faults.set(&lies);
        acknowledged(&life, &server, &mut chance).await;
        let cut = Rule::new("*", "*", 1, Action::Power(When::Before, 0));
        life.faults.set(&[lies, vec![cut]].concat());
        let gone = life.tenants[0].client(&server);
        let _ = gone.try_send(gone.request(reqwest::Method::GET, &gone.path("documents"))).await;
        server.killed(10).await;
        life.faults.clear();
        let server = Arc::new(life.start().await);
        let noticed = notices(&server, life.tenants.remove(0), chance.fork()).await;
        assert_eq!(noticed, !is_honest, "when the disk is honest: {is_honest}");
    }
}

/// A way in which what is there differs from what was acknowledged.
type Forgery = (&'static str, fn(&mut Ledger, &mut Chance));

const FORGERIES: [Forgery; 8] = [
    ("a text is another one", |ledger, chance| {
        if let Some(state) = ledger.documents.values_mut().find_map(|known| known.acknowledged.as_mut()) {
            state.text = body(chance);
        }
    }),
    ("an access list is another one", |ledger, _| {
        if let Some(state) = ledger.documents.values_mut().find_map(|known| known.acknowledged.as_mut()) {
            state.allow = vec!["user:eve".to_owned()];
        }
    }),
    ("a document is not there", |ledger, chance| {
        let state = State { text: body(chance), allow: vec!["everyone".to_owned()] };
        ledger.wants("lost.md", Some(state));
        ledger.acknowledged("lost.md", None);
    }),
    ("a document was deleted, and is there", |ledger, _| {
        if let Some(known) = ledger.documents.values_mut().find(|known| known.acknowledged.is_some()) {
            known.settle(None);
        }
    }),
    ("a document is there that nobody wrote", |ledger, _| {
        let there = ledger.documents.iter().find(|(_, known)| known.acknowledged.is_some()).map(|(id, _)| id.clone());
        ledger.documents.remove(&there.unwrap_or_default());
    }),
    ("a sequence number is missing", |ledger, _| {
        ledger.writes.insert(1_000_000, "lost.md".to_owned());
    }),
    ("a receipt is missing", |ledger, _| ledger.receipts.push((1_000_000, "00".repeat(32)))),
    ("a revoked key is valid", |ledger, _| {
        if let Some(key) = ledger.keys.values_mut().find(|key| key.state == KeyState::Valid) {
            key.state = KeyState::Revoked;
        }
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_notices_every_kind_of_difference() {
    let mut chance = Chance::new("forgeries");
    let mut life = Subject::sqlite().life();
    let server = Arc::new(life.start().await);
    life.settle(&server).await;
    let mut work = load_until(&life, &server, ACKS, &mut chance).await;
    work.writers.abort_all();
    while work.writers.join_next().await.is_some() {}
    assert!(writer(&life, &server, &mut chance).make_key().await.is_ok(), "a key was not made");
    let tenant = life.tenants.remove(0);
    // A request that was on its way when its writer went is answered by now.
    wait::until("the last requests are through", 30, || {
        let (copy, chance) = (tenant.copy(), chance.fork());
        async { (!notices(&server, copy, chance).await).then_some(()) }
    })
    .await;
    for (what, forge) in FORGERIES {
        let copy = tenant.copy();
        let before = format!("{:?}", copy.note());
        {
            let mut ledger = copy.note();
            forge(&mut ledger, &mut chance);
            ledger.documents.values_mut().for_each(|known| known.touched = true);
            ledger.keys.values_mut().for_each(|key| key.touched = true);
        }
        assert_ne!(format!("{:?}", copy.note()), before, "{what}: nothing was forged");
        assert!(notices(&server, copy, chance.fork()).await, "not noticed: {what}");
    }
}
