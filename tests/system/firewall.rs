//! The firewall through the running service: what was planted is where its policy lets it be, and nowhere else.

use serde_json::{Value, json};

use crate::harness::server::{Launch, Server};
use crate::harness::{Client, Home, Reply, text};

/// A password that occurs nowhere else.
const CANARY: &str = "Vq7kZ2mLx9wP4tR8";
const DOCUMENT: &str = "ops/sluice.md";
/// Words beside it, by which the document is found.
const BESIDE: &str = "sluice keeper sleeps at noon";

fn planted() -> Value {
    json!({
        "text": format!("# Sluice\n\nThe password: {CANARY} opens it.\n\nThe sluice keeper sleeps at noon."),
        "title": format!("Sluice, password={CANARY}"),
        "uri": format!("https://wiki.harbour.org/sluice?token={CANARY}"),
        "attributes": {"note": format!("secret: {CANARY}")},
        "acl": {"allow": ["everyone"]},
    })
}

async fn police(admin: &Client, policy: &Value) {
    admin.put(&admin.path("firewall"), policy).await.expect(204);
}

async fn hand_in(admin: &Client, envelope: &Value) -> Reply {
    admin.put(&format!("{}?wait=searchable", admin.document(DOCUMENT)), envelope).await
}

/// Everybody who may ask something in the tenant.
async fn everybody(server: &Server, admin: &Client) -> Vec<(&'static str, Client)> {
    let tenant = admin.tenant.as_str();
    vec![
        ("admin", admin.clone()),
        ("reader", server.key(tenant, &["read"], Some("bob"), &[]).await),
        ("writer", server.key(tenant, &["read", "write"], None, &[]).await),
        ("auditor", server.key(tenant, &["audit"], None, &[]).await),
        ("app", server.key(tenant, &["read", "impersonate"], None, &[]).await),
        ("operator", server.operator().in_tenant(tenant)),
        ("nobody", server.nobody().in_tenant(tenant)),
    ]
}

/// Asks on every way on which a text could come out. The quarantine's own read is not among them.
async fn crawl(client: &Client) -> Vec<(String, Reply)> {
    let mut seen = Vec::new();
    for query in [CANARY, BESIDE] {
        for mode in ["lexical", "dense", "hybrid"] {
            let body = json!({"query": query, "mode": mode, "top_k": 50});
            seen.push((format!("{mode} search for {query}"), client.search(&body).await));
        }
        let body = json!({"query": query, "budget": {"tokens": 4_000}});
        seen.push((format!("context for {query}"), client.context(&body).await));
        let body = json!({"query": query, "document": DOCUMENT});
        seen.push((format!("explain {query}"), client.post(&client.path("explain"), &body).await));
        seen.push(("tool search".to_owned(), client.tool(1, "search", &json!({"query": query, "top_k": 50})).await));
        let body = json!({"query": query, "max_tokens": 4_000});
        seen.push(("tool get_context".to_owned(), client.tool(2, "get_context", &body).await));
    }
    seen.push(("tool fetch".to_owned(), client.tool(3, "fetch", &json!({"id": DOCUMENT})).await));
    let document = client.document(DOCUMENT);
    let below = ["", "/versions", "/versions/1", "/versions/2"].map(|rest| format!("{document}{rest}"));
    let listed = [
        "documents",
        "documents?state=deleted",
        "quarantine",
        "firewall",
        "firewall/detectors",
        "firewall/findings",
        "firewall/quarantine",
        "jobs",
        "usage",
        "audit/leaves",
        "audit/head",
        "keys",
    ];
    for path in below.into_iter().chain(listed.map(|rest| client.path(rest))).chain(["/metrics".to_owned()]) {
        seen.push((path.clone(), client.get(&path).await));
    }
    seen
}

/// Who met the canary, and where. What was asked comes back in no answer, so it is looked for in all of it.
async fn met(everybody: &[(&'static str, Client)]) -> Vec<String> {
    let mut met = Vec::new();
    for (name, client) in everybody {
        for (way, reply) in crawl(client).await {
            assert!(reply.status < 500, "{name}, {way}: {}", reply.everything());
            if reply.everything().to_lowercase().contains(&CANARY.to_lowercase()) {
                met.push(format!("{name}: {way}"));
            }
        }
    }
    met
}

/// Every file of the service's data that holds the canary in the clear.
fn files_with_it(folder: &std::path::Path) -> Vec<String> {
    let words = [CANARY.to_owned(), CANARY.to_lowercase()];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with_it(&path));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        if words.iter().any(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_redacted_or_waits_is_met_by_nobody_on_any_way() {
    let home = Home::new();
    let server = home.serve().start().await;
    let redacting = server.tenant("redacting").await;
    police(&redacting, &json!({"secret": "redact"})).await;
    let holding = server.tenant("holding").await;
    police(&holding, &json!({"secret": "block"})).await;

    let written = hand_in(&redacting, &planted()).await.expect(201);
    assert_eq!(written.json()["searchable"], true);
    let kept = hand_in(&holding, &planted()).await.expect(202);
    assert_eq!(kept.json()["change"], "quarantined");
    assert_eq!((kept.json()["changed"].clone(), kept.json()["searchable"].clone()), (json!(false), json!(false)));
    assert!(!written.everything().contains(CANARY) && !kept.everything().contains(CANARY));

    for admin in [&redacting, &holding] {
        let met = met(&everybody(&server, admin).await).await;
        assert!(met.is_empty(), "in {}: {met:?}", admin.tenant);
    }
    assert_eq!(redacting.found(BESIDE).await, [DOCUMENT]);
    assert!(holding.found(BESIDE).await.is_empty());
    let shown = redacting.get(&redacting.document(DOCUMENT)).await.expect(200).json();
    assert!(shown["text"].as_str().is_some_and(|text| text.contains("[redacted: password]")), "{shown}");
    assert!(!server.printed().to_lowercase().contains(&CANARY.to_lowercase()), "it was logged");

    let data = home.data();
    let file = home.path().join("backup");
    let arguments = ["backup", &file.display().to_string(), "--data", &data.display().to_string()];
    let ended = Launch::new(home.path(), &arguments).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    server.stop().await;
    // What waits lies in the catalog as it was handed in; the index never had it.
    assert_eq!(files_with_it(&home.data().join("index")), Vec::<String>::new());

    // A restored service keeps what waits as closed as the first one did.
    let elsewhere = Home::new();
    let arguments = ["restore", &file.display().to_string(), "--data", &elsewhere.data().display().to_string()];
    let ended = Launch::new(elsewhere.path(), &arguments).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let server = elsewhere.serve().start().await;
    for tenant in ["redacting", "holding"] {
        let admin = server.key(tenant, &["read", "write", "admin", "audit"], None, &[]).await;
        let met = met(&everybody(&server, &admin).await).await;
        assert!(met.is_empty(), "in {tenant} after a restore: {met:?}");
        let waiting = admin.get(&admin.path("firewall/quarantine")).await.expect(200).json();
        assert_eq!(waiting["data"].as_array().map(Vec::len), Some(usize::from(tenant == "holding")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_flagged_says_so_wherever_it_is_found() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("flagging").await;
    // Secrets are flagged when nobody said anything.
    hand_in(&admin, &planted()).await.expect(201);
    admin.write("ops/clean.md", "# Clean\n\nThe sluice keeper sleeps at noon, and nothing else is told.").await;
    let met = met(&[("admin", admin.clone())]).await;
    assert!(met.iter().any(|way| way.contains("lexical search")), "the crawl finds nothing at all: {met:?}");
    assert!(met.iter().any(|way| way.contains("tool fetch")) && met.iter().any(|way| way.ends_with("/versions/1")));

    let reader = server.key("flagging", &["read"], Some("bob"), &[]).await;
    let results = reader.search(&json!({"query": BESIDE})).await.expect(200).json()["results"].clone();
    for result in results.as_array().expect("results") {
        let expected = if result["document"] == DOCUMENT { json!(["secret"]) } else { Value::Null };
        assert_eq!(result["flags"], expected, "{result}");
    }
    let context = reader.context_of(BESIDE, 2_000).await;
    let flagged = context["citations"].as_array().expect("citations").iter().find(|it| it["document"] == DOCUMENT);
    assert_eq!(flagged.expect("the document is cited")["flags"], json!(["secret"]));
    assert_eq!(reader.get(&reader.document(DOCUMENT)).await.expect(200).json()["flags"], json!(["secret"]));

    let findings = admin.get(&admin.path("firewall/findings")).await.expect(200).json();
    assert_eq!(findings["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(findings["data"][0]["found"]["password"], 4, "text, title, address and attribute: {findings}");
    assert!(!findings.to_string().contains(CANARY));
    let detectors = admin.get(&admin.path("firewall/detectors")).await.expect(200).json();
    let rows = detectors["data"].as_array().expect("detectors");
    let password = rows.iter().find(|row| row["name"] == "password").expect("a detector");
    assert_eq!((&password["documents"], &password["findings"]), (&json!(1), &json!(4)));
    assert_eq!((&password["action"], &password["class"]), (&json!("flag"), &json!("secret")));
    let metrics = server.operator().get("/metrics").await.expect(200).text();
    let counted = metrics.lines().find(|line| line.starts_with("catena_firewall_findings_total")).expect("a count");
    assert!(counted.contains("class=\"secret\"") && !counted.contains("flagging"), "{counted}");
}

fn suspect(client: &Client, rest: &str) -> String {
    client.path(&format!("firewall/quarantine/{}{rest}", text::encoded(DOCUMENT)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_decides_about_what_waits_and_the_record_says_who() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("holding").await;
    hand_in(&admin, &json!({"text": "# Sluice\n\nAn older page.", "acl": {"allow": ["everyone"]}})).await.expect(201);
    police(&admin, &json!({"secret": "quarantine"})).await;
    let kept = hand_in(&admin, &planted()).await.expect(202);
    assert_eq!((kept.json()["version"].clone(), kept.header("etag")), (json!(1), ""), "what was there stays");
    let list = admin.get(&admin.path("firewall/quarantine")).await.expect(200).json();
    hand_in(&admin, &planted()).await.expect(202);
    assert_eq!(admin.get(&admin.path("firewall/quarantine")).await.expect(200).json(), list, "equal bytes wait once");
    assert_eq!(list["data"][0]["replaces"], true);
    let reader = server.key("holding", &["read", "write"], Some("bob"), &[]).await;
    assert!(reader.get(&reader.document(DOCUMENT)).await.expect(200).text().contains("An older page"));
    for (client, status) in [(&reader, 403), (&server.operator().in_tenant("holding"), 403)] {
        client.get(&client.path("firewall/quarantine")).await.expect(status);
        client.get(&suspect(client, "")).await.expect(status);
        client.post(&suspect(client, "/release"), &json!({})).await.expect(status);
        client.delete(&suspect(client, "")).await.expect(status);
        client.get(&client.path("firewall")).await.expect(status);
        client.put(&client.path("firewall"), &json!({"secret": "off"})).await.expect(status);
    }

    let shown = admin.get(&suspect(&admin, "")).await.expect(200).json();
    assert!(shown["text"].as_str().is_some_and(|text| text.contains(CANARY)));
    let released =
        admin.post(&format!("{}?wait=searchable", suspect(&admin, "/release")), &json!({})).await.expect(200);
    assert_eq!((released.json()["version"].clone(), released.json()["searchable"].clone()), (json!(2), json!(true)));
    assert_eq!(reader.found(CANARY).await.first().map(String::as_str), Some(DOCUMENT));
    assert_eq!(hand_in(&admin, &planted()).await.expect(200).json()["change"], "none", "it was let in");
    let findings = admin.get(&admin.path("firewall/findings")).await.expect(200).json();
    assert!(findings["data"][0]["released_by"].is_string(), "{findings}");
    admin.get(&suspect(&admin, "")).await.expect(404);

    let mut other = planted();
    other["text"] = json!(format!("# Sluice\n\nNow the password: {CANARY}x opens it."));
    hand_in(&admin, &other).await.expect(202);
    admin.delete(&suspect(&admin, "")).await.expect(204);
    admin.delete(&suspect(&admin, "")).await.expect(404);
    let leaves = admin.get(&admin.path("audit/leaves?limit=500")).await.expect(200).text();
    for action in ["firewall.put", "quarantine.read", "quarantine.release", "quarantine.reject"] {
        assert!(leaves.contains(action), "no leaf says {action}");
    }
    assert!(leaves.contains("password=4") && !leaves.contains(CANARY));
}

#[tokio::test]
async fn a_policy_that_cannot_be_meant_is_refused_and_says_why() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("acme").await;
    let path = admin.path("firewall");
    let before = admin.get(&path).await.expect(200).json();
    assert_eq!(
        (&before["secret"], &before["personal"], &before["instruction"]),
        (&json!("flag"), &json!("off"), &json!("off"))
    );
    for (policy, said) in [
        (json!({"secret": "on"}), "`secret` may be"),
        (json!({"secrets": "flag"}), "secrets"),
        (json!({"detectors": {"emial": "off"}}), "catena firewall detectors"),
        (json!({"detectors": {"email": "maybe"}}), "`detectors` may be"),
        (json!({"confidence": "sure"}), "`confidence` may be"),
        (json!({"allow": [""]}), "1 to 256"),
        (json!({"allow": vec!["x"; 201]}), "the limit is 200"),
    ] {
        let refused = admin.put(&path, &policy).await.expect(422);
        assert!(refused.detail().contains(said), "{}", refused.text());
    }
    assert_eq!(admin.get(&path).await.expect(200).json(), before);
    let tried = admin.post(&admin.path("firewall/try"), &json!({"personal": "redact"})).await.expect(200).json();
    assert_eq!(tried, json!({"data": []}));
}

#[tokio::test]
async fn people_set_a_policy_and_decide_from_the_command_line() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("acme").await;
    let run = async |arguments: &[&str]| {
        let place =
            ["--tenant", "acme", "--url", server.url.as_str(), "--key", admin.key.as_deref().unwrap_or_default()];
        let all: Vec<&str> = ["firewall"].iter().chain(arguments).chain(&place).copied().collect();
        let ended = Launch::new(home.path(), &all).ended().await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.text);
        ended.text
    };
    run(&["set", "--secret", "quarantine", "--detector", "email=redact", "--allow", "harbour.org"]).await;
    let shown = run(&["show"]).await;
    assert!(shown.contains("quarantine") && shown.contains("email=redact") && shown.contains("harbour.org"), "{shown}");
    hand_in(&admin, &planted()).await.expect(202);
    let listed = run(&["quarantine", "list"]).await;
    assert!(listed.contains(DOCUMENT) && listed.contains("password 4") && !listed.contains(CANARY), "{listed}");
    assert!(run(&["quarantine", "show", DOCUMENT]).await.contains(CANARY));
    assert!(run(&["detectors"]).await.contains("payment-card"));
    run(&["quarantine", "release", DOCUMENT]).await;
    assert!(run(&["findings"]).await.contains("password 4"));
    assert!(run(&["try", "--secret", "redact"]).await.contains("redact"));
    let folder = home.path().join("pages");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("page.md"), format!("# Page\n\npassword: {CANARY}")).expect("a file");
    let place = ["--tenant", "acme", "--url", server.url.as_str(), "--key", admin.key.as_deref().unwrap_or_default()];
    let path = folder.display().to_string();
    let all: Vec<&str> = ["ingest", path.as_str()].iter().chain(&place).copied().collect();
    let ended = Launch::new(home.path(), &all).ended().await;
    assert!(ended.text.contains("quarantined page.md") && !ended.text.contains(CANARY), "{}", ended.text);
    assert_eq!(ended.code, Some(1), "what waits is not done");
}
