//! Agents: the reference client in both of its modes, and messages as no client should send them.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::demo::demo;
use crate::harness::{Client, Home, Server, python, text};

const TOOLS: [&str; 3] = ["fetch", "get_context", "search"];

/// What the reference client is told to do.
fn errand(server: &Server, client: &Client, mode: &str, calls: &Value) -> Value {
    json!({"url": format!("{}/mcp", server.url), "clients": [{"mode": mode, "headers": headers(client), "calls": calls}]})
}

fn headers(client: &Client) -> Value {
    json!({"authorization": format!("Bearer {}", client.key.as_deref().unwrap_or_default())})
}

#[tokio::test]
async fn the_reference_client_gets_what_http_gives_in_both_of_its_modes() {
    let demo = demo().await;
    let tenant = demo.tenant("kestrel");
    let http = demo.client(tenant, "platform-engineer");
    let query = "how do I rotate the signing keys?";
    let searched = http.search(&json!({"query": query, "top_k": 5})).await.expect(200).json();
    let context = json!({"query": query, "budget": {"tokens": 1_500, "tokenizer": "cl100k_base"}});
    let context = http.context(&context).await.expect(200).json();
    let fetched = http.get(&http.document("eng/signing-keys.md")).await.expect(200).json();
    let calls = json!([
        {"tool": "search", "arguments": {"query": query, "top_k": 5}},
        {"tool": "get_context", "arguments": {"query": query, "max_tokens": 1_500, "tokenizer": "cl100k_base"}},
        {"tool": "fetch", "arguments": {"id": "eng/signing-keys.md"}},
        {"tool": "fetch", "arguments": {"id": "security/key-ceremony.md"}},
        {"tool": "fetch", "arguments": {"id": "no/such-page.md"}},
        {"tool": "search", "arguments": {"query": ""}},
    ]);
    for (mode, era) in [("auto", "2026-07-28"), ("2026-07-28", "2026-07-28"), ("legacy", "2025-11-25")] {
        let told = python::run_beside("mcp_client.py", errand(&demo.server, &http, mode, &calls)).await;
        let told = &told[0];
        assert_eq!(told["protocol"], era, "{mode}");
        let tools: Vec<&str> =
            told["tools"].as_array().expect("tools").iter().filter_map(|tool| tool["name"].as_str()).collect();
        assert_eq!(tools, TOOLS, "{mode}");
        for tool in told["tools"].as_array().into_iter().flatten() {
            assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
            assert!(tool["description"].as_str().is_some_and(|text| text.len() > 20), "{tool}");
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        }
        let answer = |at: usize| &told["answers"][at];
        for at in 0..3 {
            assert_eq!(answer(at)["isError"], false, "{mode}: {}", answer(at));
            let as_text = answer(at)["text"].as_str().expect("a text for clients that read no structure");
            if at == 1 {
                // A context is read by a model, and the budget is for what it reads.
                assert_eq!(as_text, answer(at)["structured"]["text"], "{mode}");
                continue;
            }
            let as_text: Value = serde_json::from_str(as_text).expect("the text is the same JSON");
            assert_eq!(as_text, answer(at)["structured"], "{mode}");
        }
        assert_eq!(text::answer(&answer(0)["structured"]), text::answer(&searched), "{mode}");
        assert_eq!(text::answer(&answer(1)["structured"]), text::answer(&context), "{mode}");
        assert_eq!(answer(2)["structured"], fetched, "{mode}");
        assert_eq!(answer(3)["isError"], true, "{mode}: a page that one may not read");
        assert_eq!(answer(3), answer(4), "{mode}: what is denied differs from what is not there");
        assert_eq!(answer(5)["isError"], true, "{mode}: an empty question");
        assert!(answer(5)["text"].as_str().is_some_and(|text| text.contains("query is empty")), "{}", answer(5));
    }
}

#[tokio::test]
async fn the_reference_client_is_told_that_its_key_is_wrong() {
    let demo = demo().await;
    let wrong = demo.server.client("cat_wrong");
    for mode in ["auto", "legacy"] {
        let told = python::run_beside("mcp_client.py", errand(&demo.server, &wrong, mode, &json!([]))).await;
        assert!(told[0]["error"].is_string(), "{mode}: {told}");
    }
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for client in [wrong, demo.server.nobody()] {
        let reply = client.send(client.mcp(&message)).await.refused(401, "unauthenticated");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{}", reply.everything());
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_ask() {
    let demo = demo().await;
    let client = demo.client(demo.tenant("harbour"), "guest");
    let port = demo.server.url.rsplit(':').next().expect("a port").to_owned();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let ask = async |name: &str, value: &str| client.send(client.mcp(&message).header(name, value)).await.status;
    let own_port = format!("http://evil.example:{port}");
    for origin in ["http://evil.example", "https://evil.example", "null", "http://localhost.evil.example", &own_port] {
        assert_eq!(ask("origin", origin).await, 403, "origin {origin}");
    }
    let rebound = format!("rebound.example:{port}");
    for host in ["evil.example", &rebound, "127.0.0.1.evil.example"] {
        let status = ask("host", host).await;
        assert!((400..500).contains(&status), "host {host} was answered with {status}");
    }
    client.send(client.mcp(&message)).await.expect(200);
    let local = format!("localhost:{port}");
    assert_eq!(ask("host", &local).await, 200, "the machine's own name");
    for method in [Method::GET, Method::DELETE] {
        client.send(client.request(method, "/mcp").header("accept", "text/event-stream")).await.expect(405);
    }
}

#[tokio::test]
async fn messages_that_make_no_sense_are_refused_and_harm_nothing() {
    let demo = demo().await;
    let client = demo.client(demo.tenant("harbour"), "guest");
    for message in [
        json!({}),
        json!([]),
        json!("tools/call"),
        json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "no_such_tool"}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": {"query": 3}}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": []}}),
        json!({"jsonrpc": "1.0", "id": null, "method": 7}),
    ] {
        let reply = client.send(client.mcp(&message)).await;
        assert!(reply.status < 500, "{message}: {}", reply.everything());
        let answered = serde_json::from_slice::<Value>(&reply.bytes).unwrap_or_default();
        let refused = reply.status >= 400 || answered["error"].is_object() || answered["result"]["isError"] == true;
        assert!(refused, "{message} was answered with {}", reply.everything());
    }
    let unasked = client.tool(1, "search", &json!({"query": "storm damage", "tenant": "kestrel"})).await;
    assert!(unasked.status < 500, "{}", unasked.everything());
    let good = client.tool(1, "search", &json!({"query": "storm damage"})).await.expect(200).json();
    assert_eq!(good["result"]["isError"], false, "{good}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_with_equal_message_ids_never_get_each_others_answers() {
    let demo = demo().await;
    let mut asking = JoinSet::new();
    for round in 0..8 {
        for tenant in &demo.tenants {
            for persona in &tenant.corpus.personas {
                let client = demo.client(tenant, &persona.name);
                let forbidden = demo.forbidden(tenant, Some(&persona.user));
                let own = tenant.corpus.canaries.tenant[round % 2].clone();
                asking.spawn(async move {
                    let arguments = json!({"query": format!("where is {own} mentioned, and what of the board?")});
                    let reply = client.tool(1, ["search", "get_context"][round % 2], &arguments).await;
                    let everything = reply.everything().to_lowercase();
                    let met = forbidden.into_iter().find(|word| everything.contains(word));
                    let whole = reply.status == 200 && reply.json()["id"] == 1 && everything.contains(&own);
                    (!whole || met.is_some()).then(|| format!("sought {own}, met {met:?} in {everything}"))
                });
            }
        }
    }
    let answers = asking.join_all().await;
    assert!(answers.len() >= 120, "only {} clients asked", answers.len());
    let complaints: Vec<String> = answers.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{} complaints, the first: {}", complaints.len(), complaints[0]);
}

#[tokio::test]
async fn many_reference_clients_at_once_stay_apart() {
    let demo = demo().await;
    let (mut clients, mut walls) = (Vec::new(), Vec::new());
    for at in 0..12 {
        let tenant = &demo.tenants[at % demo.tenants.len()];
        let persona = &tenant.corpus.personas[at % tenant.corpus.personas.len()];
        let own = tenant.corpus.canaries.tenant[0].clone();
        let calls: Vec<Value> = (0..4).map(|_| json!({"tool": "search", "arguments": {"query": own}})).collect();
        let headers = headers(&demo.client(tenant, &persona.name));
        let mode = ["auto", "legacy"][at % 2];
        clients.push(json!({"mode": mode, "headers": headers, "calls": calls}));
        walls.push((own, demo.forbidden(tenant, Some(&persona.user))));
    }
    let errand = json!({"url": format!("{}/mcp", demo.server.url), "clients": clients});
    let told = python::run_beside("mcp_client.py", errand).await;
    for (told, (own, forbidden)) in told.as_array().expect("a list").iter().zip(walls) {
        let everything = told.to_string().to_lowercase();
        assert_eq!(told["answers"].as_array().map(Vec::len), Some(4), "{everything}");
        for answer in told["answers"].as_array().into_iter().flatten() {
            assert!(answer.to_string().to_lowercase().contains(&own), "{own} was not found: {answer}");
        }
        for word in forbidden {
            assert!(!everything.contains(&word), "met {word}");
        }
    }
}

#[tokio::test]
async fn a_key_that_may_speak_for_others_does_so_by_headers() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write_for("plans.md", "# Plans\n\nThe bridge is moved in June.", &["group:crew"]).await;
    admin.put(&admin.path("groups/crew"), &json!({"members": ["bob"]})).await.expect(204);
    let app = server.key("acme", &["read", "impersonate"], None, &[]).await;
    let plain = server.key("acme", &["read"], None, &[]).await;
    let params = json!({"name": "fetch", "arguments": {"id": "plans.md"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    for (client, header, whom, sees) in [
        (&app, "catena-as-user", "bob", true),
        (&app, "catena-as-user", "eve", false),
        (&app, "catena-as-groups", "crew", true),
        (&app, "x-other", "bob", false),
        (&plain, "catena-as-user", "bob", false),
    ] {
        let reply = client.send(client.mcp(&message).header(header, whom)).await.expect(200);
        assert_eq!(reply.text().contains("moved in June"), sees, "{header}: {whom}: {}", reply.text());
    }
}
