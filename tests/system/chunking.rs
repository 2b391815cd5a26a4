//! How documents are cut, and how a tenant has it otherwise.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Home, Reply, Server, text, wait};

async fn patch(server: &Server, chunking: Value) -> Reply {
    let operator = server.operator();
    let request = operator.request(Method::PATCH, "/v1/tenants/acme").json(&json!({ "chunking": chunking }));
    operator.send(request).await
}

/// Waits until the generation that answers is one with another recipe than `before`, and says with which.
async fn recipe_after(admin: &Client, before: &str) -> String {
    wait::until("the tenant is cut anew", 60, async || {
        let list = admin.get(&admin.path("generations")).await.expect(200).json();
        let rows = list["data"].as_array().expect("a list").clone();
        let live = rows.into_iter().find(|row| row["state"] == "live").expect("one answers");
        (live["recipe"] != before).then(|| live["recipe"].as_str().expect("a recipe").to_owned())
    })
    .await
}

fn manual() -> String {
    let rule = |number: usize| {
        format!(
            "Rule {number} of the harbour says that ships of class {number} wait outside until lamp {number} is lit.\n\n"
        )
    };
    format!("# Harbour\n\n{}", (0..40).map(rule).collect::<String>())
}

#[tokio::test]
async fn a_tenant_has_its_documents_cut_finer_and_is_answered_meanwhile() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("harbour.md", &manual()).await;
    let question = json!({"query": "until when do ships of class 7 wait", "top_k": 50});
    let before = admin.search(&question).await.expect(200).json();
    let recipe = before["recipe"].as_str().expect("a recipe").to_owned();

    let told =
        patch(&server, json!({"target_tokens": 40, "sources": {"git": {"keep_code": false}}})).await.expect(200).json();
    assert_eq!(told["chunking"], json!({"target_tokens": 40, "sources": {"git": {"keep_code": false}}}));
    admin.write("late.md", "# Late\n\nWritten while the index is built anew.\n").await;
    let late = json!({"query": "written while the index is built anew", "mode": "lexical"});
    assert_eq!(text::documents(&admin.search(&late).await.expect(200).json()["results"])[0], "late.md");

    let finer = recipe_after(&admin, &recipe).await;
    let after = admin.search(&question).await.expect(200).json();
    assert_eq!(after["recipe"], finer.as_str());
    assert_eq!(after["degraded"], json!([]));
    let count = |answer: &Value| answer["results"].as_array().expect("a list").len();
    assert!(count(&after) > 2 * count(&before), "{} passages, {} before", count(&after), count(&before));

    patch(&server, json!({})).await.expect(200);
    assert_eq!(recipe_after(&admin, &finer).await, recipe, "what is left to the model is the recipe of before");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_with_their_bounds() {
    let home = Home::new();
    let server = home.start().await;
    server.tenant("acme").await;
    for (chunking, said) in [
        (json!({"target_tokens": 8}), "between 32 and 2048"),
        (json!({"sources": {"git": {"target_tokens": 9_000}}}), "between 32 and 2048"),
        (json!({"sources": {"": {}}}), "use 1 to"),
        (json!({"overlap": 20}), "overlap"),
    ] {
        let reply = patch(&server, chunking.clone()).await.refused(422, "invalid-request");
        assert!(reply.detail().contains(said), "{chunking}: {}", reply.detail());
    }
}

#[tokio::test]
async fn what_nobody_sees_of_a_document_is_not_found_and_is_counted() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let body = "# Lamps\n\nThe lamp is lit at six.\n\n<!-- the zeppelin lands at nine -->\n\nIt is put out at seven.\n";
    admin.write("lamps.md", body).await;
    let read = admin.get(&admin.document("lamps.md")).await.expect(200).json();
    assert_eq!(read["noticed"], json!({"comments": 1}));
    let text = read["text"].as_str().expect("a text");
    assert!(!text.contains("zeppelin"), "{text}");
    assert_eq!(text.lines().nth(6), Some("It is put out at seven."), "lines are those of the original");
    let hidden = json!({"query": "zeppelin", "mode": "lexical"});
    assert_eq!(admin.search(&hidden).await.expect(200).json()["results"], json!([]));
    let context = json!({"query": "when is the lamp lit and put out", "budget": {"tokens": 2_000}});
    let answer = admin.context(&context).await.expect(200).json();
    assert!(!answer["text"].as_str().expect("a text").contains("zeppelin"));
    assert_eq!(answer["citations"][0]["page"], Value::Null);
}
