//! Asking for the words themselves: whoever knows what is behind a wall must not learn that it is there.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::leaked;
use crate::harness::demo::{Demo, DemoTenant, demo};
use crate::harness::{Client, Reply};

/// Askers at once.
const AT_ONCE: usize = 6;

/// One who asks: for oneself, or through the app.
#[derive(Debug, Clone)]
struct Asker {
    name: String,
    client: Client,
    /// `None` when the key itself is the person.
    speaks_for: Option<Value>,
    forbidden: Vec<String>,
    allowed: Vec<String>,
}

fn askers(demo: &'static Demo, tenant: &'static DemoTenant) -> Vec<Asker> {
    let mut all = Vec::new();
    let words = tenant.corpus.all_canaries();
    let asker = |name: String, client: Client, speaks_for: Option<Value>, user: Option<&str>| {
        let forbidden = demo.forbidden(tenant, user);
        let allowed = words.iter().filter(|word| !forbidden.contains(word)).cloned().collect();
        Asker { name, client, speaks_for, forbidden, allowed }
    };
    for persona in &tenant.corpus.personas {
        let (id, user) = (tenant.corpus.id, Some(persona.user.as_str()));
        all.push(asker(format!("{} of {id}", persona.name), demo.client(tenant, &persona.name), None, user));
        let whom = Some(json!({"user": persona.user}));
        all.push(asker(format!("the app of {id} for {}", persona.name), demo.client(tenant, "app"), whom, user));
    }
    all.push(asker(format!("a guest of {}", tenant.corpus.id), demo.client(tenant, "guest"), None, None));
    all
}

fn with(mut body: Value, speaks_for: &Option<Value>) -> Value {
    if let Some(whom) = speaks_for {
        body["as"] = whom.clone();
    }
    body
}

/// A tool's call, for oneself or for the one whom the headers name.
async fn tool(asker: &Asker, name: &str, arguments: Value) -> Reply {
    let params = json!({"name": name, "arguments": arguments});
    let mut request = asker.client.mcp(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
    if let Some(user) = asker.speaks_for.as_ref().and_then(|whom| whom["user"].as_str()) {
        request = request.header("catena-as-user", user);
    }
    asker.client.send(request).await
}

/// Asks for a word on every way there is; the answers.
async fn ask(asker: &Asker, word: &str) -> Vec<(&'static str, Reply)> {
    let client = &asker.client;
    let search = |mode: &str| with(json!({"query": word, "mode": mode, "top_k": 50}), &asker.speaks_for);
    let context = with(json!({"query": word, "budget": {"tokens": 6_000}}), &asker.speaks_for);
    vec![
        ("lexical search", client.search(&search("lexical")).await),
        ("hybrid search", client.search(&search("hybrid")).await),
        ("context", client.context(&context).await),
        ("the tool search", tool(asker, "search", json!({"query": word, "top_k": 50})).await),
        ("the tool get_context", tool(asker, "get_context", json!({"query": word, "max_tokens": 6_000})).await),
        ("the tool fetch", tool(asker, "fetch", json!({"id": word})).await),
    ]
}

async fn try_every_word(asker: Asker) -> (usize, Vec<String>) {
    let (mut asked, mut complaints) = (0, Vec::new());
    for word in &asker.forbidden {
        for (way, reply) in ask(&asker, word).await {
            asked += 1;
            let found = leaked(&reply, &asker.forbidden);
            if reply.status != 200 || !found.is_empty() {
                complaints.push(format!(
                    "{} asked {way} for {word}: met {found:?} in {}",
                    asker.name,
                    reply.everything()
                ));
            }
            let nothing = json!([]);
            if way == "lexical search" && reply.json()["results"] != nothing {
                complaints.push(format!("{} found something by the word {word} alone: {}", asker.name, reply.text()));
            }
        }
    }
    // The same ways do lead to what one may see; otherwise all this would prove nothing.
    for word in &asker.allowed {
        for (way, reply) in ask(&asker, word).await.into_iter().take(5) {
            if !reply.text().to_lowercase().contains(word) {
                complaints.push(format!("{} did not find {word} by {way}: {}", asker.name, reply.text()));
            }
        }
    }
    (asked, complaints)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_a_hidden_word_finds_nothing_by_any_way() {
    let demo = demo().await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut tries = JoinSet::new();
    for asker in demo.tenants.iter().flat_map(|tenant| askers(demo, tenant)) {
        let turns = Arc::clone(&turns);
        tries.spawn(async move {
            let _turn = turns.acquire().await.expect("a turn");
            try_every_word(asker).await
        });
    }
    let (mut asked, mut complaints) = (0, Vec::new());
    for (questions, found) in tries.join_all().await {
        asked += questions;
        complaints.extend(found);
    }
    assert!(complaints.is_empty(), "{} complaints, the first: {}", complaints.len(), complaints[0]);
    println!("{asked} questions were asked");
    assert!(asked > 2_000, "only {asked} questions were asked");
    demo.assert_log_is_silent_on(&[]);
}
