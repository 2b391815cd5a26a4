//! Everybody tries everything: each persona and each kind of key calls every route with its own names and with others'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::leaked;
use super::routes::{Call, Effect, Names, QUESTION, calls, described};
use crate::harness::demo::{Demo, DemoTenant, demo};
use crate::harness::{Client, Reply, text};

/// Walkers on their way at once.
const AT_ONCE: usize = 6;

/// One who walks, and what may not be met.
#[derive(Debug, Clone)]
struct Walker {
    name: String,
    client: Client,
    forbidden: Vec<String>,
    /// Documents that may be named; `None` for all of the tenant.
    readable: Option<BTreeSet<String>>,
    /// Calls with own names that this walker leaves out, because they would change the demo.
    own_changes: bool,
}

fn walkers(demo: &'static Demo, tenant: &'static DemoTenant) -> Vec<Walker> {
    let walker = |key: &str, user: Option<&str>| Walker {
        name: format!("{key} of {}", tenant.corpus.id),
        client: demo.client(tenant, key),
        forbidden: demo.forbidden(tenant, user),
        readable: Some(tenant.corpus.readable(user)),
        own_changes: true,
    };
    let mut all: Vec<Walker> =
        tenant.corpus.personas.iter().map(|persona| walker(&persona.name, Some(&persona.user))).collect();
    all.push(walker("guest", None));
    all.push(walker("auditor", None));
    // A writer may write: only what is not its own is tried.
    all.push(Walker { own_changes: false, ..walker("writer", None) });
    let admin = walker("admin", None);
    all.push(Walker { forbidden: demo.foreign(tenant), readable: None, own_changes: false, ..admin });
    // The app may speak for anybody in its tenant, so it may meet all of it.
    all.push(Walker { forbidden: demo.foreign(tenant), readable: None, ..walker("app", None) });
    all
}

fn names(tenant: &DemoTenant, document: &str) -> Names {
    let group = tenant.corpus.groups.keys().next().expect("a group");
    Names {
        tenant: tenant.corpus.id.to_owned(),
        document: document.to_owned(),
        group: group.clone(),
        key: tenant.spare_key.clone(),
        job: tenant.job.clone(),
        source: tenant.source.clone(),
        context: tenant.context.clone(),
    }
}

/// Every set of names that a walker of `home` tries, and whether they are its own tenant's.
fn all_names(demo: &Demo, home: &DemoTenant) -> Vec<(bool, Names)> {
    let open = home.corpus.readable(None).into_iter().next().expect("an open document");
    let mut all = vec![(true, names(home, &open)), (true, names(home, home.hidden_from(None)))];
    let closed = home.corpus.canaries.users.keys().next();
    let personal = home.corpus.documents.iter().find(|id| {
        closed.is_some() && !home.corpus.admits(None, id) && home.corpus.admits(closed.map(String::as_str), id)
    });
    all.extend(personal.map(|id| (true, names(home, id))));
    for other in demo.others(home.corpus.id) {
        let foreign = names(other, other.corpus.documents.iter().next().expect("a document"));
        all.push((true, Names { tenant: home.corpus.id.to_owned(), ..foreign.clone() }));
        all.push((false, foreign));
    }
    all.push((true, Names::absent(home.corpus.id)));
    all.push((false, Names::absent("no-such-tenant")));
    all.push((false, Names { tenant: "../harbour".to_owned().replace('/', "%2F"), ..Names::absent("") }));
    all
}

/// What is wrong with an answer, if anything.
fn complaint(walker: &Walker, call: &Call, names: &Names, reply: &Reply) -> Option<String> {
    let at = format!("{}: {} {} with {names:?}", walker.name, call.operation, call.query);
    let found = leaked(reply, &walker.forbidden);
    if !found.is_empty() {
        return Some(format!("{at}: met {found:?} in\n{}", reply.everything()));
    }
    if reply.status >= 500 {
        return Some(format!("{at}: failed with {}", reply.everything()));
    }
    if call.is_in_a_tenant() && names.tenant != walker.client.tenant && reply.status != 404 {
        return Some(format!("{at}: another tenant answered {}", reply.everything()));
    }
    let readable = walker.readable.as_ref()?;
    let answer: Value = serde_json::from_slice(&reply.bytes).ok()?;
    let named = match call.operation {
        "GET /v1/tenants/{tenant}/documents" => text::documents(&answer["data"]),
        "POST /v1/tenants/{tenant}/search" | "POST /v1/tenants/{tenant}/context" => DemoTenant::named(&answer),
        _ => Vec::new(),
    };
    let beyond: Vec<_> = named.into_iter().filter(|id| !readable.contains(id)).collect();
    (!beyond.is_empty()).then(|| format!("{at}: named {beyond:?}"))
}

async fn walk(walker: Walker, all_names: Vec<(bool, Names)>) -> (usize, Vec<String>) {
    let (mut made, mut complaints) = (0, Vec::new());
    for call in calls() {
        for (own, names) in &all_names {
            if call.effect == Effect::Changes && *own && !walker.own_changes {
                continue;
            }
            let reply = call.send(&walker.client, names).await;
            made += 1;
            complaints.extend(complaint(&walker, &call, names, &reply));
        }
    }
    (made, complaints)
}

/// What the tenants hold, as their administrators see it.
async fn inventories(demo: &Demo) -> Vec<(BTreeMap<String, u64>, Value)> {
    let mut all = Vec::new();
    for tenant in &demo.tenants {
        let admin = demo.client(tenant, "admin");
        let groups = admin.get(&admin.path("groups")).await.expect(200).json();
        all.push((tenant.inventory(&admin).await, groups));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_meets_a_word_from_behind_a_wall_on_any_route() {
    let demo = demo().await;
    let known: BTreeSet<&str> = calls().iter().map(|call| call.operation).collect();
    let described = described(&demo.server.nobody()).await;
    let unknown: Vec<_> = described.iter().filter(|operation| !known.contains(operation.as_str())).collect();
    assert!(unknown.is_empty(), "the walk does not know {unknown:?}: add them to isolation/routes.rs");
    let gone: Vec<_> = known.iter().filter(|operation| !described.iter().any(|told| told == *operation)).collect();
    assert!(gone.is_empty(), "the walk calls what is not described: {gone:?}");

    let before = inventories(demo).await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut walks = JoinSet::new();
    for tenant in &demo.tenants {
        for walker in walkers(demo, tenant) {
            let (turns, names) = (Arc::clone(&turns), all_names(demo, tenant));
            walks.spawn(async move {
                let _turn = turns.acquire().await.expect("a turn");
                walk(walker, names).await
            });
        }
    }
    let (mut made, mut complaints) = (0, Vec::new());
    for (calls, found) in walks.join_all().await {
        made += calls;
        complaints.extend(found);
    }
    assert!(complaints.is_empty(), "{} complaints, the first: {}", complaints.len(), complaints[0]);
    println!("{made} calls were made");
    assert!(made > 4_000, "only {made} calls were made");
    assert!(inventories(demo).await == before, "the walk changed what another tenant holds");
    for tenant in &demo.tenants {
        let admin = demo.client(tenant, "admin");
        admin.get(&admin.path(&format!("jobs/{}", tenant.job))).await.expect(200);
    }
    demo.assert_log_is_silent_on(&[QUESTION.to_owned()]);
}

#[tokio::test]
async fn the_operator_runs_the_house_and_reads_nothing_in_it() {
    let demo = demo().await;
    for tenant in &demo.tenants {
        let operator = demo.server.operator().in_tenant(tenant.corpus.id);
        let forbidden: Vec<String> = demo.tenants.iter().flat_map(|tenant| tenant.corpus.all_canaries()).collect();
        let names = names(tenant, tenant.corpus.readable(None).iter().next().expect("an open document"));
        for call in calls().iter().filter(|call| call.effect == Effect::Reads) {
            let reply = call.send(&operator, &names).await;
            assert!(leaked(&reply, &forbidden).is_empty(), "{}: {}", call.operation, reply.everything());
        }
        operator.search(&json!({"query": QUESTION})).await.refused(403, "missing-scope");
        operator.get(&operator.document(&names.document)).await.refused(403, "missing-scope");
        let fetched = operator.tool(7, "fetch", &json!({"id": names.document})).await.expect(200).json();
        assert_eq!(fetched["result"]["isError"], true, "{fetched}");
    }
}
