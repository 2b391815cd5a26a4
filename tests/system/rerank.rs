//! Reranking through the running service, with a model whose scores can be counted by hand: a passage gets one for each
//! word of the query that it has, less a little for its length.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::server::Launch;
use crate::harness::{Client, Home, Server, place, text, wait};

/// Passages that are judged.
const JUDGED: usize = 15;
const QUERY: &str = "harbour ferry island";

/// The model below the test's own folder, with the provisioned tokenizer.
fn model(home: &Home) -> PathBuf {
    let to = home.path().join("overlap");
    fs::create_dir_all(&to).expect("a folder");
    let kept = place::project().join("crates/embedding/tests/models/overlap");
    for name in ["model.onnx", "catena-model.toml"] {
        fs::copy(kept.join(name), to.join(name)).expect("a file of the model");
    }
    let tokenizer = place::provision().join("models/all-minilm-l6-v2-int8/tokenizer.json");
    fs::copy(tokenizer, to.join("tokenizer.json")).expect("the provisioned tokenizer");
    to
}

/// What a refusal of the model says is to be allowed.
fn fingerprint(refusal: &str) -> String {
    let hexadecimal = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    refusal.split_whitespace().find(hexadecimal).unwrap_or_else(|| panic!("no fingerprint in: {refusal}")).to_owned()
}

/// A service with the reranker, and the reranker's fingerprint, which it has refused once.
async fn started(home: &Home) -> (Server, String) {
    let launch = home.serve().variable("CATENA_RERANKER", model(home).display());
    let refused = launch.clone().ended().await;
    assert_eq!(refused.code, Some(1), "a model that nobody allowed was started: {}", refused.text);
    assert!(refused.text.contains("the reranker") && refused.text.contains("allowed_models"), "{}", refused.text);
    let fingerprint = fingerprint(&refused.text);
    (launch.variable("CATENA_ALLOWED_MODELS", &fingerprint).start().await, fingerprint)
}

/// One document that says a rare word of the query often, one that has all its words, many that have two, and one that
/// only the board may read.
async fn shelf(admin: &Client) {
    admin.write("often.md", "# Times\n\nFerry, ferry, ferry, ferry.").await;
    let all = "Between the old harbour and the outer island there is a red ferry, which on most days of the year goes \
               forth and back as often as the weather and the tide allow it.";
    admin.write("all.md", &format!("# Boats\n\n{all}")).await;
    for at in 0..16 {
        admin.write(&format!("quays/{at:02}.md"), &format!("# Quay\n\nHarbour, island, quay {at}.")).await;
    }
    admin.write_for("board.md", "# Harbour ferry island\n\nVermilion.", &["group:board"]).await;
}

/// A reranked answer that came in time: on a machine that is busy with other tests the model may be late, and then the
/// answer says so.
async fn judged(client: &Client, what: &str, body: &Value) -> Value {
    wait::until("the reranker is in time", 60, || async {
        let answer = client.post(&client.path(what), body).await.expect(200).json();
        let is_late = answer["degraded"].to_string().contains("no answer within");
        (!is_late).then_some(answer)
    })
    .await
}

fn asked(mode: &str) -> (Value, Value) {
    let plain = json!({"query": QUERY, "mode": mode, "top_k": 50});
    let mut reranked = plain.clone();
    reranked["rerank"] = json!(true);
    (plain, reranked)
}

/// The first passages are those that the search had first, by the reranker's number; all else is as it was.
#[track_caller]
fn assert_reordered(plain: &Value, reranked: &Value) {
    let (before, after) = (text::documents(&plain["results"]), text::documents(&reranked["results"]));
    assert_eq!(after[JUDGED..], before[JUDGED..], "what was not judged keeps its place");
    let results = reranked["results"].as_array().expect("results");
    let place = |of: &Value| before.iter().position(|document| of["document"] == **document).expect("found before");
    let order: Vec<(f64, usize)> = results[..JUDGED]
        .iter()
        .map(|result| (-result["scores"]["rerank"].as_f64().expect("a judged passage"), place(result)))
        .collect();
    assert!(order.iter().all(|(_, place)| *place < JUDGED), "{order:?}");
    assert!(order.is_sorted(), "neither by the reranker nor, where it is undecided, as before: {order:?}");
    assert!(results[JUDGED..].iter().all(|result| result["scores"]["rerank"].is_null()), "{reranked}");
    for result in results {
        assert_eq!(result["score"], plain["results"][place(result)]["score"], "the search's score stays");
    }
}

async fn last_leaf(admin: &Client, action: &str) -> Value {
    let leaves = admin.get(&admin.path("audit/leaves?from=0&limit=500")).await.expect(200).text();
    let mut leaves = leaves.lines().map(|line| serde_json::from_str::<Value>(line).expect("a leaf"));
    leaves.rfind(|leaf| leaf["action"] == action).expect("a leaf")
}

#[tokio::test]
async fn a_reranker_reorders_the_first_passages_when_it_is_asked_to_and_the_record_says_which() {
    let home = Home::new();
    let (server, fingerprint) = started(&home).await;
    let admin = server.tenant("acme").await;
    shelf(&admin).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    for mode in ["lexical", "hybrid", "dense"] {
        let (plain, reranked) = asked(mode);
        let before = reader.search(&plain).await.expect(200).json();
        assert_eq!((&before["degraded"], &before["timings_ms"]["rerank"]), (&json!([]), &Value::Null), "{before}");
        assert_eq!(last_leaf(&admin, "search").await["reranker"], Value::Null);
        let after = judged(&reader, "search", &reranked).await;
        assert_reordered(&before, &after);
        assert!(after["timings_ms"]["rerank"].as_f64().is_some_and(|ms| ms > 0.0), "{after}");
        assert_eq!(last_leaf(&admin, "search").await["reranker"], format!("overlap {fingerprint}"));
        assert_eq!(text::answer(&after), text::answer(&judged(&reader, "search", &reranked).await), "{mode}");
        assert_eq!(text::answer(&before), text::answer(&reader.search(&plain).await.json()), "{mode}");
    }
    let (plain, reranked) = asked("lexical");
    assert_eq!(text::documents(&reader.search(&plain).await.json()["results"])[0], "often.md");
    assert_eq!(text::documents(&judged(&reader, "search", &reranked).await["results"])[0], "all.md");

    let question =
        |rerank: bool| json!({"query": QUERY, "mode": "lexical", "budget": {"tokens": 1_000}, "rerank": rerank});
    let plain = reader.context(&question(false)).await.expect(200).json();
    let context = judged(&reader, "context", &question(true)).await;
    assert_eq!(text::documents(&plain["citations"])[0], "often.md");
    assert_eq!(text::documents(&context["citations"])[0], "all.md");
    assert_eq!(last_leaf(&admin, "context").await["reranker"], format!("overlap {fingerprint}"));
    assert_eq!(text::answer(&context), text::answer(&judged(&reader, "context", &question(true)).await));
}

#[tokio::test]
async fn what_may_not_be_seen_is_not_seen_reranked() {
    let home = Home::new();
    let (server, _) = started(&home).await;
    let admin = server.tenant("acme").await;
    shelf(&admin).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let (_, reranked) = asked("hybrid");
    let context = json!({"query": QUERY, "budget": {"tokens": 2_000}, "rerank": true});
    let told = judged(&admin, "search", &reranked).await;
    assert_eq!(text::documents(&told["results"])[0], "board.md", "the model likes it best");
    for (what, body) in [("search", &reranked), ("context", &context)] {
        let told = judged(&reader, what, body).await.to_string();
        assert!(!told.contains("Vermilion") && !told.contains("board.md"), "{told}");
    }
    admin.put(&admin.path("documents/board.md/acl"), &json!({"allow": ["everyone"]})).await.expect(200);
    assert_eq!(text::documents(&judged(&reader, "search", &reranked).await["results"])[0], "board.md");
    admin.put(&admin.path("documents/board.md/acl"), &json!({"allow": ["group:board"]})).await.expect(200);
    assert!(!judged(&reader, "search", &reranked).await.to_string().contains("Vermilion"));
}

#[tokio::test]
async fn agents_and_the_command_line_can_ask_for_it_and_a_cut_passage_is_told() {
    let home = Home::new();
    let (server, fingerprint) = started(&home).await;
    let admin = server.tenant("acme").await;
    admin.write("often.md", "# Times\n\nFerry, ferry, ferry, ferry.").await;
    let words = format!("Harbour, island and ferry{}.", " and more".repeat(50));
    admin.write("long.md", &format!("# Words\n\n{words}")).await;
    let body = json!({"query": QUERY, "rerank": true});
    let told = judged(&admin, "search", &body).await;
    assert_eq!(text::documents(&told["results"]), ["long.md", "often.md"]);
    let degraded = told["degraded"][0].as_str().expect("something is said");
    assert!(degraded.starts_with("rerank: 1 of 2 passages"), "{degraded}");

    let by_tool = wait::until("the reranker is in time", 60, || async {
        let reply = admin.tool(1, "search", &body).await.expect(200).json();
        let answer = reply["result"]["structuredContent"].clone();
        (!answer["degraded"].to_string().contains("no answer within")).then_some(answer)
    });
    assert_eq!(text::answer(&by_tool.await), text::answer(&told));

    let key = admin.key.clone().expect("a key");
    let mut line = Launch::new(home.path(), &["search", QUERY, "--rerank", "--tenant", "acme", "--url", &server.url]);
    line = line.variable("CATENA_KEY", key);
    let shown = wait::until("the reranker is in time", 60, || async {
        let ended = line.clone().ended().await;
        (!ended.text.contains("no answer within")).then_some(ended)
    });
    let shown = shown.await;
    assert_eq!(shown.code, Some(0), "{}", shown.text);
    let first = shown.out.lines().nth(1).unwrap_or_default();
    assert!(first.starts_with('1') && first.contains("(2.") && first.contains("long.md"), "{}", shown.text);

    let folder = home.path().join("overlap").display().to_string();
    let doctor = Launch::new(home.path(), &["doctor", "--listen", "127.0.0.1:0", "--data", "elsewhere"])
        .variable("CATENA_PROVISION", place::provision().display())
        .variable("CATENA_RERANKER", folder);
    let refused = doctor.clone().ended().await;
    assert!(refused.text.contains("MISSING  reranker") && refused.code == Some(1), "{}", refused.text);
    let found = doctor.variable("CATENA_ALLOWED_MODELS", fingerprint).ended().await;
    assert!(found.text.contains("ok       reranker      overlap judged a text"), "{}", found.text);
}

#[tokio::test]
async fn a_service_without_a_reranker_answers_as_always_and_says_so() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    shelf(&admin).await;
    let (plain, reranked) = asked("hybrid");
    let before = admin.search(&plain).await.expect(200).json();
    let mut after = admin.search(&reranked).await.expect(200).json();
    assert_eq!(after["degraded"], json!(["rerank: this service has no reranker; the order is that of the search"]));
    assert_eq!(last_leaf(&admin, "search").await["reranker"], Value::Null);
    after["degraded"] = json!([]);
    assert_eq!(text::answer(&after), text::answer(&before));
    admin.search(&json!({"query": QUERY, "rerank": "yes"})).await.refused(422, "invalid-request");
}
