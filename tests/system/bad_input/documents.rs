//! Documents that cannot be taken.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Ground, assert_says};
use crate::harness::text;

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_by_their_place() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let put = |content_type: &str, body: Vec<u8>| {
        admin.request(Method::PUT, &admin.document("x.md")).header("content-type", content_type).body(body)
    };
    let reply = admin.send(put("text/markdown; charset=utf-8", b"# Storks\n\nabc\xff".to_vec())).await.expect(422);
    assert_says(&reply, &["utf-8", "13"]);
    let reply = admin.send(put("text/markdown", "# Störche über Öland\n".bytes().chain([0xFF]).collect())).await;
    assert_says(&reply.expect(422), &["utf-8", "24"]);
    let reply =
        admin.send(put("application/json", b"{\"text\": \"\xff\"}".to_vec())).await.refused(422, "invalid-utf8");
    assert_says(&reply, &["utf-8", "10"]);
    for (content_type, word) in [
        ("application/pdf", "the pdf cannot be read"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "not a whole archive"),
        ("text/markdown; charset=klingon", "klingon"),
        ("text/markdown; charset=utf-16le", "not utf-16le"),
        ("application/x-ndjson", "line 1"),
        ("image/png", "image/png"),
    ] {
        let reply = admin.send(put(content_type, b"# Storks!".to_vec())).await.expect(422);
        assert_says(&reply, &[word]);
    }
    let nameless = admin.request(Method::PUT, &admin.document("storks")).body(b"# Storks".to_vec());
    assert_says(&admin.send(nameless).await.expect(422), &["content-type", "ending"]);
    let picture = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\xff".to_vec();
    assert_says(&admin.send(put("text/plain", picture)).await.expect(422), &["image/png", "not text"]);
    for (envelope, word) in [
        (json!({"text": "x", "content_type": "application/pdf"}), "base64"),
        (json!({"text": "x", "base64": "eA=="}), "not both"),
        (json!({"base64": "not base64!"}), "not base64"),
        (json!({"base64": "eA==", "content_type": "application/json"}), "not json"),
    ] {
        assert_says(&admin.put(&admin.document("x.md"), &envelope).await.expect(422), &[word]);
    }
    ground.assert_unharmed("bytes that are no text").await;
}

#[tokio::test]
async fn a_document_without_words_is_refused() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    for body in ["", " \n\t\r\n ", "\u{FEFF}", "\u{200B}\u{200B}"] {
        let raw = admin.request(Method::PUT, &admin.document("x.md")).header("content-type", "text/plain").body(body);
        let reply = admin.send(raw).await;
        assert_eq!(reply.status, 422, "{body:?} was taken: {}", reply.text());
        admin.put(&admin.document("x.md"), &json!({"text": body})).await.expect(422);
    }
    ground.assert_unharmed("empty documents").await;
}

#[tokio::test]
async fn an_envelope_with_a_mistake_is_refused_by_its_field() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    let many: serde_json::Map<String, Value> = (0..65).map(|at| (format!("a{at}"), json!("x"))).collect();
    let users: Vec<String> = (0..257).map(|at| format!("user:u{at}")).collect();
    for (envelope, status, word) in [
        (json!({}), 422, "text"),
        (json!({"text": "# X", "titel": "X"}), 422, "titel"),
        (json!({"text": 3}), 422, "string"),
        (json!({"text": "# X", "acl": {"allow": ["all"]}}), 422, "acl entry"),
        (json!({"text": "# X", "acl": {"alow": ["everyone"]}}), 422, "alow"),
        (json!({"text": "# X", "acl": {"allow": users}}), 422, "256"),
        (json!({"text": "# X", "title": "t".repeat(1_025)}), 422, "title"),
        (json!({"text": "# X", "uri": "u".repeat(1_025)}), 422, "uri"),
        (json!({"text": "# X", "attributes": many}), 422, "64"),
        (json!({"text": "# X", "attributes": {"a": null}}), 422, "string"),
        (json!({"text": "# X", "attributes": {"a": {"b": 1}}}), 422, "string"),
        (json!({"text": "# X", "attributes": {"a": vec!["x"; 65]}}), 422, "65 items"),
        (json!({"text": "# X", "attributes": {"a": vec!["x".repeat(100); 64]}}), 422, "6400 bytes"),
        (json!({"text": "# X", "modified_at": "yesterday"}), 422, "modified_at"),
    ] {
        let reply = admin.put(&admin.document("x.md"), &envelope).await.expect(status);
        assert_says(&reply, &[word]);
    }
    let broken = admin.request(Method::PUT, &admin.document("x.md")).header("content-type", "application/json");
    admin.send(broken.body("{\"text\": ")).await.refused(400, "malformed-request");
    let raw = |name: &str, value: &str| {
        admin
            .request(Method::PUT, &admin.document("x.md"))
            .header("content-type", "text/plain")
            .header(name, value)
            .body("x")
    };
    admin.send(raw("catena-attributes", "novalue")).await.refused(400, "malformed-request");
    admin.send(raw("catena-title", "%ff")).await.refused(400, "malformed-request");
    admin.send(raw("catena-allow", "all")).await.expect(422);
    admin.put(&format!("{}?wait=forever", admin.document("x.md")), &json!({"text": "x"})).await.expect(422);
    ground.assert_unharmed("envelopes with mistakes").await;
}

#[tokio::test]
async fn an_id_is_a_name_and_never_a_place_on_the_disk() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    for id in ["a\u{0}b", "a\nb", "a\u{202e}b", &"x".repeat(513), &"x".repeat(700), "a\u{200b}"] {
        let reply = admin.put(&admin.document(id), &json!({"text": "# X"})).await.refused(422, "invalid-request");
        assert_says(&reply, &["document id"]);
        admin.get(&admin.document(id)).await.refused(404, "not-found");
        admin.delete(&admin.document(id)).await.refused(404, "not-found");
    }
    let odd = [
        "../../etc/passwd",
        "../..",
        "a/../../b",
        "/etc/passwd",
        "C:\\x",
        "%2e%2e",
        "a//b",
        "x?y#z",
        "%",
        "+ +",
        "Überblick (neu) 🦩.md",
        &"x".repeat(512),
    ];
    for id in odd {
        admin.write(id, &format!("# Odd\n\nThis is the page with an odd name of {} bytes.", id.len())).await;
        let read = admin.get(&admin.document(id)).await.expect(200).json();
        assert_eq!(read["document"], id);
    }
    let found = admin.search(&json!({"query": "the page with an odd name", "top_k": 50})).await.expect(200).json();
    let found = text::documents(&found["results"]);
    assert!(odd.iter().all(|id| found.contains(&(*id).to_owned())), "{found:?}");
    for id in odd {
        admin.delete(&admin.document(id)).await.expect(200);
    }
    ground.assert_unharmed("odd ids").await;
}

#[tokio::test]
async fn a_document_that_is_hard_to_cut_is_taken_whole() {
    let ground = Ground::new().await;
    let admin = &ground.admin;
    for (id, body) in [
        ("one-word.txt", "a".repeat(50_000)),
        ("one-line.txt", "the stork flies on and on ".repeat(4_000)),
        ("lines.txt", "\n\n\nx\n".repeat(5_000)),
        ("brackets.md", "[".repeat(20_000)),
        ("quotes.md", "> ".repeat(10_000) + "deep"),
        ("table.md", format!("|{}|\n|{}|\n|{}|", "a|".repeat(500), "-|".repeat(500), "b|".repeat(500))),
        ("emoji.txt", "👨‍👩‍👧‍👦".repeat(3_000)),
        ("han.txt", "漢字かな混じり文".repeat(3_000)),
        ("controls.txt", "stork\u{0}\u{1}\u{7}\u{1b} nest".repeat(500)),
    ] {
        let content_type = if id.ends_with(".md") { "text/markdown" } else { "text/plain" };
        let envelope = json!({"text": body, "content_type": content_type, "acl": {"allow": ["everyone"]}});
        let written = admin.envelope(id, &envelope).await;
        assert!(written["chunks"]["total"].as_u64() >= Some(1), "{id}: {written}");
        let context = admin
            .context(&json!({"query": body.chars().take(30).collect::<String>(),
            "budget": {"tokens": 100_000}}))
            .await
            .expect(200)
            .json();
        for citation in context["citations"].as_array().into_iter().flatten() {
            let document = admin.get(&admin.document(citation["document"].as_str().expect("an id"))).await.json();
            let edge = |at: usize| citation["span"][at].as_u64().expect("a byte") as usize;
            let whole = document["text"].as_str().expect("a text");
            assert_eq!(whole.get(edge(0)..edge(1)), citation["quote"].as_str(), "{id}");
        }
        admin.delete(&admin.document(id)).await.expect(200);
    }
    ground.assert_unharmed("hard documents").await;
}
