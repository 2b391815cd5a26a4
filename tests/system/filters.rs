//! Attributes with kinds, filters over them, and what a tenant's scores are counted over.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Home, Server, text};

/// Four guides to one question, with attributes of every kind.
async fn guides(admin: &Client) {
    for (id, source, attributes) in [
        ("a.md", "handbook", json!({"year": 2019, "kind": "howto", "reviewed": "2026-02-01", "tags": ["pier", "six"]})),
        ("b.md", "handbook", json!({"year": 2020.5, "kind": "faq", "reviewed": "2026-07-01", "draft": true})),
        ("c.md", "mail", json!({"year": "2021", "kind": "memo", "reviewed": "2026-06-30T23:59:59+00:00", "tags": []})),
        ("d.md", "mail", json!({"year": 2025, "kind": "howto", "draft": false})),
    ] {
        let envelope = json!({"text": format!("# Ferry {id}\n\nThe ferry leaves at six from pier {id}."),
            "source": source, "attributes": attributes, "acl": {"allow": ["everyone"]}});
        admin.envelope(id, &envelope).await;
        let read = admin.get(&admin.document(id)).await.expect(200).json();
        assert_eq!(read["attributes"], attributes, "what was given is shown");
    }
}

#[tokio::test]
async fn attributes_have_kinds_and_filters_compare_what_is_of_one_kind() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    guides(&admin).await;
    let question = json!({"query": "when does the ferry leave"});
    let clause = |clause: Value| json!({"where": clause});
    for (filter, expected) in [
        (json!({"attributes": {"year": 2025.0}}), vec!["d.md"]),
        (json!({"attributes": {"tags": "pier", "kind": ["howto", "faq"]}}), vec!["a.md"]),
        (clause(json!({"attribute": "year", "gte": 2019, "lt": 2025})), vec!["a.md", "b.md"]),
        (clause(json!({"attribute": "year", "gt": 2019})), vec!["b.md", "d.md"]),
        (clause(json!({"not": {"attribute": "year", "gt": 2019}})), vec!["a.md", "c.md"]),
        (clause(json!({"attribute": "reviewed", "from": "2026-02-01", "until": "2026-07-01"})), vec!["a.md", "c.md"]),
        (clause(json!({"attribute": "draft", "exists": true})), vec!["b.md", "d.md"]),
        (clause(json!({"attribute": "draft", "eq": false})), vec!["d.md"]),
        (clause(json!({"attribute": "tags", "in": ["six", "seven"]})), vec!["a.md"]),
        (
            clause(json!({"all": [
                {"attribute": "kind", "in": ["howto", "faq"]},
                {"any": [{"source": ["mail"]}, {"not": {"attribute": "draft", "exists": true}}]},
            ]})),
            vec!["a.md", "d.md"],
        ),
        (json!({"source": ["mail"], "where": {"attribute": "year", "exists": true}}), vec!["c.md", "d.md"]),
        (clause(json!({"any": []})), vec![]),
    ] {
        for mode in ["hybrid", "lexical", "dense"] {
            let mut body = question.clone();
            (body["filter"], body["mode"], body["top_k"]) = (filter.clone(), json!(mode), json!(50));
            let mut found = text::documents(&admin.search(&body).await.expect(200).json()["results"]);
            found.sort();
            assert_eq!(found, expected, "{filter} {mode}");
        }
        let mut body = question.clone();
        (body["filter"], body["budget"]) = (filter.clone(), json!({"tokens": 2_000}));
        let mut cited = text::documents(&admin.context(&body).await.expect(200).json()["citations"]);
        cited.sort();
        assert_eq!(cited, expected, "{filter}");
    }
}

#[tokio::test]
async fn an_agent_and_the_command_line_filter_like_http() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    guides(&admin).await;
    let filter = json!({"where": {"attribute": "year", "gte": 2025}});
    let arguments = json!({"query": "when does the ferry leave", "filter": filter});
    let reply = admin.tool(1, "search", &arguments).await.expect(200).json();
    assert_eq!(text::documents(&reply["result"]["structuredContent"]["results"]), ["d.md"]);
    let key = admin.key.clone().expect("a key");
    let run = async |arguments: &[&str]| {
        let launch = crate::harness::server::Launch::new(home.path(), arguments);
        launch.variable("CATENA_URL", &server.url).variable("CATENA_KEY", key.as_str()).ended().await
    };
    let clause = r#"{"attribute": "year", "gte": 2025}"#;
    let found = run(&["search", "when does the ferry leave", "--tenant", "acme", "--where", clause, "--explain"]).await;
    assert!(found.code == Some(0) && found.out.contains("d.md") && !found.out.contains("a.md"), "{}", found.text);
    assert!(found.out.contains("scan") && found.out.contains("milliseconds"), "{}", found.text);
    let wrong = run(&["search", "ferry", "--tenant", "acme", "--where", "year >= 2025"]).await;
    assert!(wrong.code == Some(2) && wrong.text.contains("as JSON"), "{}", wrong.text);
    let explained = run(&["explain", "a.md", "when does the ferry leave", "--tenant", "acme", "--where", clause]).await;
    assert!(explained.code == Some(0) && explained.out.contains("refuses it by where"), "{}", explained.text);
}

async fn patch(server: &Server, body: Value) -> Value {
    let operator = server.operator();
    let request = operator.request(Method::PATCH, "/v1/tenants/acme").json(&body);
    operator.send(request).await.expect(200).json()
}

#[tokio::test]
async fn strict_statistics_keep_hidden_documents_out_of_scores() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    for (id, body) in [("a.md", "lamp lamp quay"), ("b.md", "lamp of the pier"), ("c.md", "quay, quay and rope")] {
        admin.write(id, body).await;
    }
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let scores = async || {
        let body = json!({"query": "lamp quay rope", "mode": "lexical"});
        reader.search(&body).await.expect(200).json()["results"].clone()
    };
    let hide = async |name: &str| {
        for at in 0..4 {
            admin.write_for(&format!("{name}-{at}.md"), "quay and rope, quay and rope", &["group:board"]).await;
        }
    };
    let before = scores().await;
    hide("first").await;
    assert_ne!(scores().await, before, "over all live documents, hidden ones show in scores");
    assert_eq!(patch(&server, json!({"statistics": "visible"})).await["statistics"], "visible");
    let strict = scores().await;
    assert_eq!(strict, before, "as if the hidden ones were not there");
    hide("second").await;
    assert_eq!(scores().await, strict);
    let told = server.operator().get("/v1/tenants/acme").await.expect(200).json();
    assert_eq!(told["statistics"], "visible");
    let wrong = server.operator();
    let wrong = wrong.send(wrong.request(Method::PATCH, "/v1/tenants/acme").json(&json!({"statistics": "some"}))).await;
    assert!(wrong.refused(422, "invalid-request").detail().contains("`live` or `visible`"));
}
