//! The audit record: one leaf for each request, receipts that fit, tampering that shows, and no text in it.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::server::{Launch, verify};
use crate::harness::{Client, Home, python, text};

/// How many leaves the tenant's chain and the service's chain have, counted in the database itself.
fn counted(home: &Home, tenant: &str) -> (u64, u64) {
    let database = home.data().join("catalog.db").display().to_string();
    let counts = python::run("record.py", &json!({"do": "count", "database": database, "tenant": tenant}));
    (counts["tenant"].as_u64().expect("a count"), counts["service"].as_u64().expect("a count"))
}

/// All leaves of a tenant, as they are exported.
async fn leaves(auditor: &Client) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        let path = auditor.path(&format!("audit/leaves?from={}&limit=100", all.len()));
        let page = auditor.get(&path).await.expect(200);
        assert_eq!(page.header("content-type"), "application/x-ndjson");
        let lines = page.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        all.extend(lines.map(<[u8]>::to_vec));
        match page.header("catena-next") {
            "" => return all,
            next => assert_eq!(next, all.len().to_string()),
        }
    }
}

fn parsed(leaf: &[u8]) -> Value {
    serde_json::from_slice(leaf).expect("a leaf is JSON")
}

/// A request, the chain that its leaf belongs to, and what the leaf calls it.
type Step<'a> = (&'a str, reqwest::RequestBuilder, Chain, &'a str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chain {
    Tenant,
    Service,
    None,
}

fn asked(admin: &Client) -> Vec<Step<'static>> {
    let request = |method: Method, rest: &str| admin.request(method, &admin.path(rest));
    let search = |body: Value| request(Method::POST, "search").json(&body);
    vec![
        ("a search", search(json!({"query": "otters"})), Chain::Tenant, "search"),
        ("a bad search", search(json!({"query": ""})), Chain::Tenant, "search"),
        ("a search that is no JSON", request(Method::POST, "search").body("{"), Chain::Tenant, "request"),
        (
            "a context",
            request(Method::POST, "context").json(&json!({"query": "otters", "budget": {"tokens": 500}})),
            Chain::Tenant,
            "context",
        ),
        (
            "a context that nothing fits",
            request(Method::POST, "context").json(&json!({"query": "otters", "budget": {"tokens": 1}})),
            Chain::Tenant,
            "context",
        ),
        ("a read", request(Method::GET, "documents/otters.md"), Chain::Tenant, "document.read"),
        ("a read of nothing", request(Method::GET, "documents/none.md"), Chain::Tenant, "document.read"),
        ("a list", request(Method::GET, "documents"), Chain::Tenant, "document.list"),
        ("versions", request(Method::GET, "documents/otters.md/versions"), Chain::Tenant, "document.versions"),
        (
            "a write",
            request(Method::PUT, "documents/new.md").json(&json!({"text": "# New"})),
            Chain::Tenant,
            "document.put",
        ),
        (
            "the same write",
            request(Method::PUT, "documents/new.md").json(&json!({"text": "# New"})),
            Chain::Tenant,
            "document.put",
        ),
        (
            "a write refused",
            request(Method::PUT, "documents/new.md").json(&json!({"text": ""})),
            Chain::Tenant,
            "document.put",
        ),
        (
            "an access list",
            request(Method::PUT, "documents/new.md/acl").json(&json!({"allow": ["everyone"]})),
            Chain::Tenant,
            "document.acl",
        ),
        ("a delete", request(Method::DELETE, "documents/new.md"), Chain::Tenant, "document.delete"),
        ("a delete of nothing", request(Method::DELETE, "documents/new.md"), Chain::Tenant, "document.delete"),
        ("a group", request(Method::PUT, "groups/crew").json(&json!({"members": ["bob"]})), Chain::Tenant, "group.put"),
        (
            "a key",
            request(Method::POST, "keys").json(&json!({"name": "k", "scopes": ["read"]})),
            Chain::Tenant,
            "key.create",
        ),
        (
            "citations",
            request(Method::POST, "citations:verify").json(&json!({"citations": []})),
            Chain::Tenant,
            "citations.verify",
        ),
        ("generations", request(Method::GET, "generations"), Chain::Tenant, "generation.list"),
        ("the head", request(Method::GET, "audit/head"), Chain::Tenant, "audit.read"),
        ("no such route", request(Method::GET, "nothing"), Chain::Tenant, "request"),
        ("another tenant", admin.request(Method::GET, "/v1/tenants/other/documents"), Chain::Tenant, "document.list"),
        ("the operator's list", admin.request(Method::GET, "/v1/tenants"), Chain::Tenant, "tenant.list"),
        ("health", admin.request(Method::GET, "/healthz"), Chain::None, ""),
    ]
}

fn asked_over_mcp(admin: &Client) -> Vec<Step<'static>> {
    let tool = |name: &str, arguments: Value| {
        let params = json!({"name": name, "arguments": arguments});
        admin.mcp(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
    };
    vec![
        ("the tool search", tool("search", json!({"query": "otters"})), Chain::Tenant, "search"),
        ("the tool get_context", tool("get_context", json!({"query": "otters"})), Chain::Tenant, "context"),
        ("the tool fetch", tool("fetch", json!({"id": "otters.md"})), Chain::Tenant, "document.read"),
        ("the tool fetch of nothing", tool("fetch", json!({"id": "none.md"})), Chain::Tenant, "document.read"),
        ("a tool with a bad question", tool("search", json!({"query": ""})), Chain::Tenant, "search"),
        (
            "the list of tools",
            admin.mcp(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})),
            Chain::Tenant,
            "mcp.tools",
        ),
        ("no such tool", tool("forget", json!({})), Chain::Tenant, "request"),
    ]
}

#[tokio::test]
async fn each_request_leaves_exactly_one_leaf() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("otters.md", "# Otters\n\nOtters hold hands when they sleep.").await;
    let (operator, nobody, wrong) = (server.operator(), server.nobody(), server.client("cat_wrong"));
    let mut steps = asked(&admin);
    steps.extend(asked_over_mcp(&admin));
    let list = |client: &Client| client.request(Method::GET, "/v1/tenants/acme/documents");
    steps.push(("no key", list(&nobody), Chain::Service, "request.refused"));
    steps.push(("a wrong key", list(&wrong), Chain::Service, "request.refused"));
    steps.push((
        "a wrong key over MCP",
        wrong.mcp(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})),
        Chain::Service,
        "request.refused",
    ));
    steps.push(("the operator's tenants", operator.request(Method::GET, "/v1/tenants"), Chain::Service, "tenant.list"));
    steps.push(("the operator's figures", operator.request(Method::GET, "/metrics"), Chain::Service, "metrics.read"));
    steps.push(("the operator in a tenant", list(&operator), Chain::Service, "document.list"));
    let mut wrongly_counted = Vec::new();
    for (what, request, chain, action) in steps {
        let before = counted(&home, "acme");
        let reply = nobody.send(request).await;
        let after = counted(&home, "acme");
        let left = (after.0 - before.0, after.1 - before.1);
        let expected = match chain {
            Chain::Tenant => (1, 0),
            Chain::Service => (0, 1),
            Chain::None => (0, 0),
        };
        if left != expected {
            wrongly_counted.push(format!("{what} ({}) left {left:?}, not {expected:?}", reply.status));
            continue;
        }
        if chain == Chain::Tenant {
            let last = admin.get(&admin.path(&format!("audit/leaves?from={}&limit=1", before.0))).await.expect(200);
            let leaf = parsed(&last.bytes);
            assert_eq!(leaf["index"], before.0, "{what}");
            assert_eq!(leaf["action"], action, "{what}: {leaf}");
            let id = reply.header("x-request-id");
            assert_eq!(leaf["request"], id, "{what}: {leaf}");
            if !action.is_empty() && reply.header("content-type") == "application/problem+json" {
                assert_eq!(leaf["outcome"], "refused", "{what}: {leaf}");
                assert_eq!((&leaf["status"], &leaf["reason"]), (&json!(reply.status), &reply.json()["code"]), "{what}");
            }
        }
    }
    assert!(wrongly_counted.is_empty(), "{wrongly_counted:#?}");
}

#[tokio::test]
async fn a_receipt_names_the_leaf_that_was_exported() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("otters.md", "# Otters\n\nOtters hold hands when they sleep.").await;
    let mut receipts = Vec::new();
    for _ in 0..3 {
        let context = admin.context_of("how do otters sleep", 400).await;
        let kept = admin.get(&admin.path(&format!("contexts/{}", context["id"].as_str().expect("an id")))).await;
        let kept = kept.expect(200).json();
        assert_eq!(kept["receipt"], context["receipt"]);
        assert_eq!(kept["text_sha256"], text::sha256(context["text"].as_str().expect("a text").as_bytes()));
        let quote = context["citations"][0]["quote"].as_str().expect("a quote");
        assert_eq!(kept["citations"][0]["quote_sha256"], text::sha256(quote.as_bytes()));
        receipts.push(context["receipt"].clone());
    }
    let head = admin.get(&admin.path("audit/head")).await.expect(200).json();
    receipts.push(head);
    let all = leaves(&admin).await;
    for receipt in &receipts {
        let leaf = &all[receipt["leaf"].as_u64().expect("a place") as usize];
        assert_eq!(receipt["hash"], text::leaf_hash(leaf), "{receipt}");
    }
    let context = parsed(&all[receipts[0]["leaf"].as_u64().expect("a place") as usize]);
    assert_eq!((&context["action"], &context["outcome"]), (&json!("context"), &json!("done")));
    for (at, leaf) in all.iter().enumerate() {
        let (leaf, before) = (parsed(leaf), at.checked_sub(1).map(|before| text::leaf_hash(&all[before])));
        assert_eq!((&leaf["index"], &leaf["chain"]), (&json!(at), &json!("tenant:acme")));
        assert_eq!(leaf["previous"], before.unwrap_or_else(|| "0".repeat(64)));
    }
}

/// A copy of a folder of data, to tamper with.
fn copied(data: &Path, to: &Path) -> PathBuf {
    fs::create_dir_all(to).expect("a folder for the copy");
    for entry in fs::read_dir(data).expect("a folder of data").flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a file is copied");
        }
    }
    to.to_owned()
}

#[tokio::test]
async fn verification_accepts_the_untouched_record_and_finds_what_was_done_to_it() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("otters.md", "# Otters\n\nOtters hold hands when they sleep.").await;
    for _ in 0..8 {
        admin.found("otters").await;
    }
    server.stop().await;
    let untouched = home.verify().await;
    assert_eq!(untouched.code, Some(0), "{}", untouched.text);
    assert!(untouched.text.contains("tenant:acme") && untouched.text.contains("service"), "{}", untouched.text);
    for (how, leaf) in [
        ("change", 3),
        ("change_with_hash", 3),
        ("remove", 4),
        ("remove_last", 0),
        ("remove_first", 0),
        ("swap", 5),
        ("swap_indexes", 5),
        ("insert", 6),
        ("change_head", 0),
    ] {
        let copy = copied(&home.data(), &home.path().join(how));
        let database = copy.join("catalog.db").display().to_string();
        let done = python::run("record.py", &json!({"do": how, "database": database, "tenant": "acme", "leaf": leaf}));
        assert_eq!(done["rows"].as_u64().map(|rows| rows > 0), Some(true), "{how} changed nothing: {done}");
        let verified = verify(home.path(), &copy).await;
        assert_eq!(verified.code, Some(1), "{how} was not found: {}", verified.text);
        assert!(verified.text.contains("tenant:acme"), "{how}: the chain is not named: {}", verified.text);
        assert!(verified.text.contains("leaf") || verified.text.contains("leaves"), "{how}: {}", verified.text);
    }
    let untouched = home.verify().await;
    assert_eq!(untouched.code, Some(0), "{}", untouched.text);
    let nothing = verify(home.path(), &home.path().join("no-such-folder")).await;
    assert_eq!(nothing.code, Some(1), "{}", nothing.text);
    assert!(nothing.text.contains("no-such-folder"), "{}", nothing.text);
    assert!(!home.path().join("no-such-folder").exists(), "verifying made a folder");
}

#[tokio::test]
async fn an_exported_record_is_checked_without_the_service() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("otters.md", "# Otters\n\nOtters hold hands when they sleep.").await;
    let (file, head) = (home.path().join("record.ndjson"), home.path().join("head.json"));
    let told = |path: &Path| path.display().to_string();
    let export = Launch::new(home.path(), &["audit", "export", "--tenant", "acme", "--head", &told(&head)])
        .variable("CATENA_URL", &server.url)
        .variable("CATENA_KEY", admin.key.as_deref().expect("a key"));
    let exported = export.ended().await;
    assert_eq!(exported.code, Some(0), "{}", exported.text);
    let served = leaves(&admin).await;
    let lines: Vec<&str> = exported.out.lines().collect();
    assert!(lines.len() >= 3 && lines.iter().zip(&served).all(|(line, leaf)| line.as_bytes() == leaf.as_slice()));
    server.stop().await;
    let verified = async |lines: &[&str]| {
        fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("a file");
        Launch::new(home.path(), &["audit", "verify", &told(&file), "--head", &told(&head)]).ended().await
    };
    let untouched = verified(&lines).await;
    assert_eq!(untouched.code, Some(0), "{}", untouched.text);
    let changed = lines[1].replace("\"on_behalf\":false", "\"on_behalf\":true");
    assert_ne!(changed, lines[1]);
    let mut reordered = lines.clone();
    reordered.swap(1, 2);
    for (what, lines) in [
        ("a leaf was changed", [&lines[..1], &[&changed], &lines[2..]].concat()),
        ("a leaf was left out", [&lines[..1], &lines[2..]].concat()),
        ("the last leaf was cut off", lines[..lines.len() - 1].to_vec()),
        ("leaves were reordered", reordered),
        ("a leaf came twice", [&lines[..2], &lines[1..]].concat()),
        ("all leaves are gone", vec![]),
    ] {
        let found = verified(&lines).await;
        assert_eq!(found.code, Some(1), "{what}: {}", found.text);
    }
}

#[tokio::test]
async fn the_record_and_the_log_hold_no_text_of_documents_or_questions() {
    let home = Home::new();
    let server = home.serve().variable("CATENA_LOG", "trace").start().await;
    let admin = server.tenant("acme").await;
    let secrets = ["brackenfold", "wistermoor", "tolligan", "harrowquill"];
    let [in_text, in_title, in_query, in_bad_query] = secrets;
    let envelope = json!({"text": format!("# Page\n\nThe {in_text} is closed."), "title": format!("On the {in_title}"),
        "acl": {"allow": ["everyone"]}});
    admin.envelope("page.md", &envelope).await;
    admin.found(in_query).await;
    admin.context_of(&format!("is the {in_query} closed"), 500).await;
    admin.search(&json!({"query": in_bad_query, "mode": in_bad_query})).await.expect(422);
    admin.search(&json!({"query": in_bad_query, "top_k": 0})).await.expect(422);
    admin.tool(1, "search", &json!({"query": in_query})).await.expect(200);
    admin.tool(1, "fetch", &json!({"id": "page.md"})).await.expect(200);
    admin.get(&admin.document("page.md")).await.expect(200);
    let stated = "text/markdown; charset=utf-8";
    let raw = admin.request(Method::PUT, &admin.document("bad.md")).header("content-type", stated);
    admin.send(raw.body([in_text.as_bytes(), &[0xff]].concat())).await.expect(422);
    let all = leaves(&admin).await;
    assert!(all.len() > 8, "only {} leaves", all.len());
    let key = admin.key.clone().expect("a key");
    server.stop().await;
    let log = fs::read_to_string(home.path().join("log.err")).expect("a log");
    assert!(log.contains("DEBUG"), "the log was to be as talkative as it gets");
    for secret in secrets.iter().copied().chain(key.split('_').nth(2)) {
        let holds = |leaf: &&Vec<u8>| String::from_utf8_lossy(leaf).contains(secret);
        assert!(all.iter().find(holds).is_none(), "a leaf holds {secret:?}");
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "the log holds {secret:?}: {line:?}");
    }
}
