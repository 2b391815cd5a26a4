//! What is denied and what is not there: the same status, the same bytes, the same headers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::routes::{Call, Names, calls};
use crate::harness::demo::{Demo, DemoTenant, demo};
use crate::harness::{Client, Reply, text};

/// What a caller can tell two answers apart by.
fn look(reply: &Reply) -> (u16, String, BTreeSet<String>, String) {
    let names = reply.headers.keys().map(ToString::to_string).collect();
    (reply.status, reply.text(), names, reply.header("content-type").to_owned())
}

async fn assert_twins(client: &Client, call: &Call, hidden: &Names, absent: &Names) {
    let (there, not_there) = (call.send(client, hidden).await, call.send(client, absent).await);
    assert_eq!(look(&there), look(&not_there), "{} {} tells {hidden:?} from {absent:?}", call.operation, call.query);
    assert!(there.status >= 400, "{} answered {}", call.operation, there.everything());
}

fn names(tenant: &DemoTenant, document: &str) -> Names {
    // A group that no other tenant has.
    let all = crate::harness::corpora::Corpus::all();
    let elsewhere: BTreeSet<String> = all
        .into_iter()
        .filter(|other| other.id != tenant.corpus.id)
        .flat_map(|other| other.groups.into_keys())
        .collect();
    let group = tenant.corpus.groups.keys().find(|group| !elsewhere.contains(*group)).expect("a group of its own");
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

/// The names of `names` in another tenant.
fn inside(tenant: &str, names: &Names) -> Names {
    Names { tenant: tenant.to_owned(), ..names.clone() }
}

fn some_document(tenant: &DemoTenant) -> &str {
    tenant.corpus.documents.iter().next().expect("a document")
}

#[tokio::test]
async fn another_tenant_is_the_same_as_none() {
    let demo = demo().await;
    for home in &demo.tenants {
        let keys = ["guest", "writer", "auditor", "app", "admin", &home.corpus.personas[0].name];
        for key in keys {
            let client = demo.client(home, key);
            for other in demo.others(home.corpus.id) {
                let hidden = names(other, some_document(other));
                for call in calls().iter().filter(|call| call.is_in_a_tenant()) {
                    assert_twins(&client, call, &hidden, &inside("no-such-tenant", &hidden)).await;
                }
            }
        }
    }
}

/// Calls that name this kind of thing and that `client` has the right to make.
async fn open_calls(client: &Client, kind: &str, absent: &Names) -> Vec<Call> {
    let mut open = Vec::new();
    for call in calls()
        .into_iter()
        .filter(|call| call.names(kind) && call.operation != "PUT /v1/tenants/{tenant}/groups/{group}")
    {
        // Writing a document that is not there makes it.
        let makes = call.operation == "PUT /v1/tenants/{tenant}/documents/{document}";
        if !makes && call.send(client, absent).await.status == 404 {
            open.push(call);
        }
    }
    open
}

#[tokio::test]
async fn another_tenants_things_are_not_there_in_ones_own() {
    let demo = demo().await;
    for home in &demo.tenants {
        let admin = demo.client(home, "admin");
        let absent = Names::absent(home.corpus.id);
        for (kind, least) in [("document", 4), ("group", 2), ("key", 1), ("job", 3), ("context", 1)] {
            let open = open_calls(&admin, kind, &absent).await;
            assert!(open.len() >= least, "only {} calls name a {kind}", open.len());
            for other in demo.others(home.corpus.id) {
                // A document that the own tenant does not happen to have as well.
                let only_there = other.corpus.documents.iter().find(|id| !home.corpus.documents.contains(*id));
                let hidden = inside(home.corpus.id, &names(other, only_there.expect("a document")));
                for call in &open {
                    assert_twins(&admin, call, &hidden, &absent).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_one_may_not_read_is_the_same_as_none() {
    let demo = demo().await;
    for tenant in &demo.tenants {
        for persona in &tenant.corpus.personas {
            let (client, user) = (demo.client(tenant, &persona.name), Some(persona.user.as_str()));
            let absent = Names::absent(tenant.corpus.id);
            let hidden: Vec<&String> =
                tenant.corpus.documents.iter().filter(|id| !tenant.corpus.admits(user, id)).collect();
            for document in hidden {
                let hidden = names(tenant, document);
                for call in calls().iter().filter(|call| call.names("document") || call.names("context")) {
                    assert_twins(&client, call, &hidden, &absent).await;
                }
                assert_tools_agree(&client, document).await;
                assert_citations_agree(&client, document).await;
            }
            let listed = client.get(&client.path("documents?limit=500")).await.expect(200).json();
            let listed: BTreeSet<String> = text::documents(&listed["data"]).into_iter().collect();
            assert_eq!(listed, tenant.corpus.readable(user), "{} of {}", persona.name, tenant.corpus.id);
        }
    }
}

async fn assert_tools_agree(client: &Client, hidden: &str) {
    let there = client.tool(3, "fetch", &json!({"id": hidden})).await;
    let not_there = client.tool(3, "fetch", &json!({"id": "no/such-page.md"})).await;
    assert_eq!(look(&there), look(&not_there), "fetch tells {hidden} from nothing");
    assert_eq!(there.json()["result"]["isError"], true, "{}", there.text());
}

async fn assert_citations_agree(client: &Client, hidden: &str) {
    let verdict = async |document: &str| -> Value {
        let cited = json!({"document": document, "version": 1, "span": [0, 1], "quote": "#"});
        let body = json!({"citations": [cited]});
        client.post(&client.path("citations:verify"), &body).await.expect(200).json()["results"][0]["verdict"].clone()
    };
    assert_eq!((verdict(hidden).await, verdict("no/such-page.md").await), (json!("unavailable"), json!("unavailable")));
}

#[tokio::test]
async fn an_answer_says_nothing_of_how_much_was_left_out() {
    let demo: &Demo = demo().await;
    for tenant in &demo.tenants {
        let guest = demo.client(tenant, "guest");
        for word in tenant.corpus.closed_to(None) {
            let ask = async |word: &str| -> Value {
                let mut answer = guest
                    .context(&json!({"query": word, "budget": {"tokens": 3_000}, "mode": "lexical"}))
                    .await
                    .expect(200)
                    .json();
                for own in ["id", "receipt", "timings_ms"] {
                    answer.as_object_mut().expect("an object").remove(own);
                }
                answer
            };
            // A word that occurs nowhere at all.
            assert_eq!(ask(&word).await, ask("zqxjvwplk").await, "{word} in {}", tenant.corpus.id);
        }
    }
}
