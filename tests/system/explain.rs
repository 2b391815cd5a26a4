//! Why a document is, or is not, in an answer: for administrators all of it, for others nothing that is not theirs.

use serde_json::{Value, json};

use crate::harness::{Client, Home, text};

const QUESTION: &str = "when does the ferry leave the pier";

async fn explain(client: &Client, body: Value) -> Value {
    client.post(&client.path("explain"), &body).await.expect(200).json()
}

#[tokio::test]
async fn an_administrator_learns_what_keeps_a_document_out() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let key = server.key("acme", &["read", "admin", "impersonate", "audit"], None, &[]).await;
    let ferry = |more: &str| format!("# Ferry\n\nThe ferry leaves the pier at six. {more}");
    admin.write("best.md", &ferry("")).await;
    admin.write("gone.md", &ferry("It is gone.")).await;
    admin.delete(&admin.document("gone.md")).await.expect(200);
    admin.write_for("closed.md", &ferry("The board sails for free."), &["group:board"]).await;
    let denied = json!({"text": ferry("Not for Bob."), "acl": {"allow": ["everyone"], "deny": ["user:bob"]}});
    admin.envelope("denied.md", &denied).await;
    admin.write("second.md", "# Buses\n\nBuses leave from the market.").await;
    let bob = json!({"user": "bob"});
    let ask = async |document: &str, more: Value| {
        let mut body = json!({"document": document, "query": QUESTION, "as": bob});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        explain(&key, body).await
    };
    for (document, more, verdict) in [
        ("absent.md", json!({}), "absent"),
        ("gone.md", json!({}), "deleted"),
        ("closed.md", json!({}), "refused"),
        ("denied.md", json!({}), "refused"),
        ("best.md", json!({"filter": {"where": {"all": [{"attribute": "year", "exists": true}]}}}), "filtered"),
        ("second.md", json!({"mode": "lexical", "query": "ferry"}), "not-candidate"),
        ("second.md", json!({"top_k": 1}), "cut-by-rank"),
        ("second.md", json!({"budget": {"tokens": 110}}), "omitted"),
        ("second.md", json!({}), "given"),
        ("best.md", json!({"budget": {"tokens": 1_000}}), "given"),
    ] {
        let told = ask(document, more.clone()).await;
        assert_eq!(told["verdict"], verdict, "{document} {more}: {told}");
        assert_eq!(told["ranks"].is_null(), !["cut-by-rank", "omitted", "given", "not-candidate"].contains(&verdict));
    }
    let closed = ask("closed.md", json!({})).await;
    assert_eq!(closed["access"]["decision"], "refused");
    assert_eq!(ask("denied.md", json!({})).await["access"]["rule"], "deny user:bob");
    let best = ask("best.md", json!({})).await;
    assert_eq!(best["access"]["rule"], "allow everyone");
    for arm in ["lexical", "dense", "fused"] {
        assert_eq!(best["ranks"][arm]["rank"], 1, "{arm}: {best}");
    }
    assert_eq!((&best["place"], &best["indexed"][0]["rows"]), (&json!(1), &json!(1)));
    let filter = json!({"filter": {"source": ["mail"]}});
    assert_eq!(ask("best.md", filter).await["filter"], json!({"admitted": false, "refused_by": "source"}));
    let leaves = key.get(&key.path("audit/leaves?limit=500")).await.expect(200).text();
    let last: Value = serde_json::from_str(leaves.trim().lines().last().expect("a leaf")).expect("JSON");
    assert_eq!((&last["action"], &last["user"]), (&json!("explain"), &json!("bob")), "{last}");
    assert_eq!(last["objects"][0]["id"], "best.md");
}

#[tokio::test]
async fn nobody_but_an_administrator_is_told_why() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write_for("closed.md", "# Ferry", &["group:board"]).await;
    let globex = server.tenant("globex").await;
    let body = |document: &str| json!({"document": document, "query": QUESTION});
    let application = server.key("acme", &["read", "write", "impersonate", "audit"], None, &[]).await;
    let path = admin.path("explain");
    for document in ["closed.md", "absent.md"] {
        application.post(&path, &body(document)).await.refused(403, "missing-scope");
        server.operator().post(&path, &body(document)).await.refused(403, "missing-scope");
        globex.post(&path, &body(document)).await.refused(404, "not-found");
    }
    let alone = server.key("acme", &["read", "admin"], None, &[]).await;
    let mut as_bob = body("closed.md");
    as_bob["as"] = json!({"user": "bob"});
    alone.post(&path, &as_bob).await.refused(403, "missing-scope");
    assert_eq!(explain(&alone, body("closed.md")).await["access"]["rule"], "tenant administrator");
}

#[tokio::test]
async fn an_explained_answer_tells_a_reader_nothing_of_hidden_documents() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("open.md", "# Ferry\n\nThe ferry leaves the pier at six.").await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let ask = async |client: &Client| {
        let body = json!({"query": QUESTION, "explain": true});
        let mut answer = client.search(&body).await.expect(200).json()["explain"].clone();
        answer["stages_ms"] = Value::Null;
        answer
    };
    let before = ask(&reader).await;
    assert_eq!(before["segments"][0]["visible"], 1);
    for at in 0..3 {
        let hidden = "# Ferry\n\nThe secret ferry leaves the pier at nine.";
        admin.write_for(&format!("hidden-{at}.md"), hidden, &["group:board"]).await;
    }
    assert_eq!(ask(&reader).await, before, "the same to the letter");
    let all = ask(&admin).await;
    let live = |explained: &Value| -> u64 {
        let segments = explained["segments"].as_array().expect("segments");
        segments.iter().map(|segment| segment["live"].as_u64().expect("a number")).sum()
    };
    assert_eq!(live(&all), 4, "{all}");
    let term = |name: &str| {
        let terms = all["terms"].as_array().expect("terms");
        terms.iter().find(|term| term["term"] == name).unwrap_or_else(|| panic!("{name} in {all}")).clone()
    };
    assert_eq!((&term("pier")["live"], &term("pier")["visible"]), (&json!(4), &json!(4)));
    let context = json!({"query": QUESTION, "explain": true, "budget": {"tokens": 500}});
    let context = reader.context(&context).await.expect(200).json();
    assert_eq!(text::documents(&context["citations"]), ["open.md"]);
    assert_eq!(context["explain"]["segments"], before["segments"]);
    let plain = reader.search(&json!({"query": QUESTION})).await.expect(200).json();
    assert!(plain.get("explain").is_none(), "nobody asked");
}
