//! Searches and contexts that cannot be meant, or that nobody has thought of.

use serde_json::{Value, json};

use catena_domain::limits;
use catena_text::tokens::Tokenizer;

use super::{Ground, assert_says};

#[tokio::test]
async fn a_search_that_cannot_be_meant_is_refused_with_the_bounds() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let seq = admin.seq().await;
    let (long, most) = ("a ".repeat(4_608), limits::TOP_K_MAX.to_string());
    for (body, words) in [
        (json!({"query": ""}), vec!["query is empty"]),
        (json!({"query": " \n\t "}), vec!["query is empty"]),
        (json!({"query": "storks", "top_k": 0}), vec!["top_k", "1", &most]),
        (json!({"query": "storks", "top_k": 1_000_000_000}), vec!["top_k", &most]),
        (json!({"query": "storks", "top_k": -1}), vec!["top_k"]),
        (json!({"query": "storks", "mode": "psychic"}), vec!["psychic", "hybrid", "lexical", "dense"]),
        (json!({"query": long}), vec!["9215", "8192"]),
        (json!({"query": "storks", "min_seq": seq + 1}), vec![&(seq + 1).to_string(), &seq.to_string()]),
        (json!({"query": "storks", "min_seq": u64::MAX}), vec!["min_seq"]),
        (json!({"query": "storks", "filter": {"attribute": {}}}), vec!["attribute"]),
        (json!({"query": "storks", "filter": {"attributes": {"a": {"b": 3}}}}), vec!["a list of values"]),
        (json!({"query": "storks", "filter": {"where": {}}}), vec!["filter.where", "exactly one of"]),
        (
            json!({"query": "storks", "filter": {"where": {"attribute": "a", "gte": "x"}}}),
            vec!["filter.where.gte", "from"],
        ),
    ]
    .map(|(body, words)| (body, words.into_iter().map(str::to_owned).collect::<Vec<String>>()))
    {
        let reply = admin.search(&body).await.refused(422, "invalid-request");
        assert_says(&reply, &words.iter().map(String::as_str).collect::<Vec<_>>());
        ground.assert_unharmed("a search that was refused").await;
    }
}

#[tokio::test]
async fn odd_words_are_only_words() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    for query in [
        "\u{0}storks\u{0}".to_owned(),
        "storks\u{7}\u{1b}[31m\u{202e}".to_owned(),
        "(".repeat(8_000),
        "((((((storks))))))".to_owned(),
        "storks AND OR NOT title:x ^5 ~2 \"".to_owned(),
        "body:storks OR *:*".to_owned(),
        "[a TO z] {1 TO 2} /.*/ \\ + - && || !".to_owned(),
        "'; DROP TABLE documents; --".to_owned(),
        "%_\u{FFFD}🦩🦩🦩 storks".to_owned(),
        "a".repeat(8_192),
        (0..1_000).map(|at| format!("w{at} ")).collect::<String>(),
        "\u{200b}\u{feff}storks".to_owned(),
        "?".to_owned(),
    ] {
        let start: String = query.chars().take(20).collect();
        for mode in ["hybrid", "lexical", "dense"] {
            let reply = admin.search(&json!({"query": query, "mode": mode})).await;
            assert_eq!(reply.status, 200, "{start:?} {mode}: {}", reply.text());
        }
        let reply = admin.context(&json!({"query": query, "budget": {"tokens": 500}})).await;
        assert_eq!(reply.status, 200, "{start:?}: {}", reply.text());
    }
    let ten_kilobytes = admin.search(&json!({"query": "(".repeat(10_240)})).await.refused(422, "invalid-request");
    assert_says(&ten_kilobytes, &["10240", "8192"]);
    ground.assert_unharmed("odd words").await;
}

#[tokio::test]
async fn a_context_that_cannot_be_made_says_what_would_work() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let context =
        async |budget: Value| admin.context(&json!({"query": "when do storks come back", "budget": budget})).await;
    let unknown = context(json!({"tokens": 500, "tokenizer": "gpt-17"})).await.refused(422, "unknown-tokenizer");
    assert_says(&unknown, &["gpt-17", "o200k_base", "cl100k_base"]);
    for tokens in [0, 200_001, 1_000_000_000] {
        let reply = context(json!({"tokens": tokens})).await.refused(422, "invalid-request");
        assert_says(&reply, &["budget.tokens", "200000"]);
    }
    for tokenizer in Tokenizer::ALL.map(|tokenizer| tokenizer.as_str()) {
        let small = context(json!({"tokens": 5, "tokenizer": tokenizer})).await.refused(422, "budget-too-small");
        assert_says(&small, &["5 tokens"]);
        let numbers =
            small.detail().split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u64>().ok()).max();
        let needed = numbers.expect("the refusal names the tokens that are needed");
        let whole = context(json!({"tokens": needed, "tokenizer": tokenizer})).await.expect(200).json();
        assert!(whole["tokens"]["used"].as_u64() <= Some(needed), "{whole}");
        assert_eq!(whole["citations"][0]["document"], "storks.md");
    }
    let other = json!({"query": "storks", "budget": {"tokens": 500}, "format": "pdf"});
    assert_says(&admin.context(&other).await.refused(422, "invalid-request"), &["pdf", "markdown"]);
    let none = json!({"query": "storks", "budget": {"tokens": 500}, "limits": {"per_document": 0}});
    assert_says(&admin.context(&none).await.refused(422, "invalid-request"), &["per_document"]);
    admin.context(&json!({"query": "storks"})).await.refused(422, "invalid-request");
    ground.assert_unharmed("contexts that were refused").await;
}

#[tokio::test]
async fn an_empty_tenant_answers_with_nothing() {
    let ground = Ground::new().await;
    let empty = ground.server.tenant("empty").await;
    for mode in ["hybrid", "lexical", "dense"] {
        let answer = empty.search(&json!({"query": "storks", "mode": mode})).await.expect(200).json();
        assert_eq!((&answer["results"], &answer["seq"]), (&json!([]), &json!(0)), "{mode}");
    }
    let context = empty.context_of("storks", 3).await;
    assert_eq!((&context["text"], &context["citations"]), (&json!(""), &json!([])));
    assert_eq!(context["evidence"]["level"], "none");
    // For whom nothing is to be seen, the answer reads the same as for whom nothing is there.
    let nobody = ground.server.key("acme", &["read"], Some("eve"), &[]).await;
    ground.admin.put(&ground.admin.path("documents/storks.md/acl"), &json!({"allow": []})).await.expect(200);
    let hidden = nobody.context_of("storks", 3).await;
    for field in ["text", "citations", "evidence", "omitted", "degraded", "tokens"] {
        assert_eq!(hidden[field], context[field], "{field}");
    }
}

#[tokio::test]
async fn too_many_citations_or_pages_are_refused_by_their_limit() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let one = json!({"document": "storks.md", "version": 1, "span": [0, 8], "quote": "# Storks"});
    let verify = async |count: usize| {
        admin.post(&admin.path("citations:verify"), &json!({"citations": vec![one.clone(); count]})).await
    };
    verify(200).await.expect(200);
    assert_says(&verify(201).await.refused(422, "invalid-request"), &["201", "200"]);
    for (query, words) in [("limit=0", ["limit", "500"]), ("limit=501", ["limit", "500"])] {
        let reply = admin.get(&admin.path(&format!("documents?{query}"))).await.refused(422, "invalid-request");
        assert_says(&reply, &words);
    }
    assert!(matches!(admin.get(&admin.path("documents?limt=3")).await.status, 400 | 422));
    let problem = admin.get(&admin.path("documents?limt=3")).await;
    assert_eq!(problem.header("content-type"), "application/problem+json", "{}", problem.everything());
    ground.assert_unharmed("lists").await;
}
