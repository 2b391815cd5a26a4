//! From a document to a citation, and back: what a user does on an ordinary day.

use reqwest::Method;
use serde_json::{Value, json};

use catena_text::tokens::Tokenizer;

use crate::harness::demo::demo;
use crate::harness::{Client, Home, text};

/// Markdown with what makes spans go wrong: wide characters, a mark of order, line ends of three kinds, a table, code.
const AWKWARD: &str = "\u{FEFF}# Über Schlüssel 🔑\r\n\r\nJeder Schlüssel wird nach 90 Tagen ersetzt — „ohne Ausnahme“.\r\n\
    \r\n## Rotation\n\n1. Neuen Schlüssel anlegen 🗝️\n2. Alten Schlüssel nach 24 h löschen\n\n| Art | Tage |\n|---|---|\n\
    | Signatur | 90 |\n| Wurzel | 3650 |\n\n```sh\nkeyctl rotate --all\n```\n\n## Cafe\u{0301}\n\nLetzter Absatz ohne Ende";

/// Writes a few documents on different matters, the awkward one among them.
async fn shelf(admin: &Client) {
    admin.write("keys/rotation.md", AWKWARD).await;
    admin.write("garden/roses.md", "# Roses\n\nRoses are pruned in March, when the forsythia flowers.").await;
    admin.write("kitchen/bread.md", "# Bread\n\nThe dough rests for twelve hours in a cool room.").await;
    let paragraphs =
        |at: usize| format!("## Part {at}\n\nPump {at} is inspected every {} weeks by the keeper.\n\n", at + 2);
    admin.write("pumps.md", &format!("# Pumps\n\n{}", (0..40).map(paragraphs).collect::<String>())).await;
}

/// Every citation's quote is the span of the document as it can be read, byte for byte.
async fn assert_quotes_stand_in_their_documents(client: &Client, context: &Value) {
    let citations = context["citations"].as_array().expect("citations");
    assert!(!citations.is_empty(), "no citation in {context}");
    for (at, citation) in citations.iter().enumerate() {
        let id = citation["document"].as_str().expect("a document");
        let document = client.get(&client.document(id)).await.expect(200).json();
        assert_eq!(document["version"], citation["version"]);
        let whole = document["text"].as_str().expect("a text");
        let edge = |at: usize| citation["span"][at].as_u64().expect("a byte") as usize;
        let span = whole.as_bytes().get(edge(0)..edge(1)).expect("a span inside the text");
        assert_eq!(span, citation["quote"].as_str().expect("a quote").as_bytes(), "{citation}");
        assert_eq!(citation["text_sha256"], text::sha256(whole.as_bytes()));
        assert_eq!(document["text_sha256"], citation["text_sha256"]);
        let line = |byte: usize| 1 + whole.as_bytes()[..byte].iter().filter(|&&byte| byte == b'\n').count();
        let quoted_end = edge(0) + whole[edge(0)..edge(1)].trim_end().len();
        assert_eq!(citation["lines"], json!([line(edge(0)), line(quoted_end)]), "{citation}");
        assert_eq!(citation["marker"], at + 1);
    }
}

#[tokio::test]
async fn what_was_written_is_found_and_cited_byte_for_byte() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let written =
        admin.put(&admin.document("first.md"), &json!({"text": "# First", "acl": {"allow": ["everyone"]}})).await;
    assert_eq!(written.expect(201).json()["change"], "created");
    shelf(&admin).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    for (query, best) in [
        ("nach wie vielen Tagen wird ein Schlüssel ersetzt", "keys/rotation.md"),
        ("when do I cut the roses?", "garden/roses.md"),
        ("how long does dough rest", "kitchen/bread.md"),
        ("who inspects pump 17", "pumps.md"),
    ] {
        assert_eq!(reader.found(query).await[0], best, "{query}");
        let context = reader.context_of(query, 1_200).await;
        assert_eq!(text::documents(&context["citations"])[0], best, "{query}");
        assert_quotes_stand_in_their_documents(&reader, &context).await;
        for citation in context["citations"].as_array().into_iter().flatten() {
            let marker = format!("[{}]", citation["marker"]);
            assert!(context["text"].as_str().is_some_and(|text| text.contains(&marker)), "{marker} is not in the text");
        }
    }
    let results = reader.search(&json!({"query": "Schlüssel löschen", "top_k": 50})).await.expect(200).json();
    for result in results["results"].as_array().into_iter().flatten() {
        let document = reader.get(&reader.document(result["document"].as_str().expect("an id"))).await.json();
        let edge = |at: usize| result["span"][at].as_u64().expect("a byte") as usize;
        let whole = document["text"].as_str().expect("a text").as_bytes();
        assert_eq!(&whole[edge(0)..edge(1)], result["text"].as_str().expect("a text").as_bytes());
    }
}

#[tokio::test]
async fn a_citation_is_valid_then_superseded_and_a_forged_one_is_found_out() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("rates.md", "# Rates\n\nThe ferry costs four crowns.").await;
    admin.write_for("secret.md", "# Secret\n\nThe vault opens at noon.", &["group:board"]).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    let cited = reader.context_of("what does the ferry cost", 500).await["citations"][0].clone();
    let secret = admin.context_of("when does the vault open", 500).await["citations"][0].clone();
    assert_eq!(secret["document"], "secret.md");
    let verdicts = async |citations: Value| -> Vec<String> {
        let answer =
            reader.post(&reader.path("citations:verify"), &json!({"citations": citations})).await.expect(200).json();
        let results = answer["results"].as_array().expect("results").iter();
        results.map(|result| result["verdict"].as_str().expect("a verdict").to_owned()).collect()
    };
    let with = |field: &str, value: Value| {
        let mut changed = cited.clone();
        changed[field] = value;
        changed
    };
    let asked = json!([
        cited,
        with("quote", json!("The ferry costs five crowns.")),
        with("span", json!([0, 999_999])),
        with("span", json!([20, 10])),
        with("version", json!(9)),
        with("document", json!("no-such.md")),
        with("document", json!("")),
        secret,
    ]);
    let expected =
        ["valid", "altered", "altered", "altered", "unavailable", "unavailable", "unavailable", "unavailable"];
    assert_eq!(verdicts(asked).await, expected);

    admin.write("rates.md", "# Rates\n\nThe ferry costs six crowns.").await;
    assert_eq!(verdicts(json!([cited])).await, ["superseded"]);
    // Nobody reads an earlier text out by guessing at it; administrators are told whether it stood there.
    let guess = with("quote", json!("The ferry costs five crowns."));
    assert_eq!(verdicts(json!([guess])).await, ["superseded"]);
    let asked = json!({"citations": [guess, cited]});
    let told = admin.post(&admin.path("citations:verify"), &asked).await.expect(200).json();
    assert_eq!(
        (&told["results"][0]["verdict"], &told["results"][1]["verdict"]),
        (&json!("altered"), &json!("superseded"))
    );
    admin.put(&admin.path("documents/rates.md/acl"), &json!({"allow": ["group:board"]})).await.expect(200);
    assert_eq!(verdicts(json!([cited])).await, ["unavailable"]);
    admin.put(&admin.path("documents/rates.md/acl"), &json!({"allow": ["everyone"]})).await.expect(200);
    admin.delete(&admin.document("rates.md")).await.expect(200);
    assert_eq!(verdicts(json!([cited])).await, ["unavailable"]);
}

#[tokio::test]
async fn a_read_that_names_a_write_sees_it() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    for at in 0..25 {
        let id = format!("note-{at}.md");
        let envelope =
            json!({"text": format!("# Note\n\nThe token is zorbl{at}quex."), "acl": {"allow": ["everyone"]}});
        let seq = admin.put(&admin.document(&id), &envelope).await.expect(201).json()["seq"].clone();
        let body = json!({"query": format!("zorbl{at}quex"), "mode": "lexical", "min_seq": seq});
        let answer = admin.search(&body).await.expect(200).json();
        assert_eq!(answer["results"][0]["document"], id, "{answer}");
        assert!(answer["seq"].as_u64() >= seq.as_u64());
        let body =
            json!({"query": "the token", "budget": {"tokens": 4_000}, "min_seq": seq, "limits": {"per_document": 1}});
        let context = admin.context(&body).await.expect(200).json();
        assert!(context["seq"].as_u64() >= seq.as_u64());
    }
}

#[tokio::test]
async fn a_raw_body_with_headers_is_the_same_as_an_envelope() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let envelope = json!({"text": AWKWARD, "content_type": "text/markdown", "title": "Schlüssel, 1. Teil",
        "uri": "https://docs.example/keys?x=1,2", "attributes": {"lang": "de", "kind": "guide"}, "source": "handbook",
        "acl": {"allow": ["group:eng", "user:bob"], "deny": ["user:eve"]}, "modified_at": "2026-05-04T10:00:00Z"});
    admin.envelope("envelope.md", &envelope).await;
    let request = admin
        .request(Method::PUT, &format!("{}?wait=searchable", admin.document("raw.md")))
        .header("content-type", "text/markdown; charset=utf-8")
        .header("catena-title", "Schl%C3%BCssel, 1. Teil")
        .header("catena-uri", "https://docs.example/keys?x=1,2")
        .header("catena-attributes", "lang=de, kind=guide")
        .header("catena-source", "handbook")
        .header("catena-allow", "group:eng, user:bob")
        .header("catena-deny", "user:eve")
        .header("catena-modified-at", "2026-05-04T10:00:00Z")
        .body(AWKWARD);
    let raw = admin.send(request).await.expect(201).json();
    assert_eq!(raw["searchable"], true);
    let read = async |id: &str| -> Value {
        let mut document = admin.get(&admin.document(id)).await.expect(200).json();
        for own in ["id", "document", "indexed_at"] {
            document.as_object_mut().expect("an object").remove(own);
        }
        document
    };
    let document = read("envelope.md").await;
    assert_eq!(document, read("raw.md").await);
    assert_eq!(document["title"], "Schlüssel, 1. Teil");
    assert_eq!(document["acl"]["deny"], json!(["user:eve"]));
    let versions = |reply: Value| (reply["data"][0]["bytes_sha256"].clone(), reply["data"][0]["text_sha256"].clone());
    let of_envelope =
        versions(admin.get(&format!("{}/versions", admin.document("envelope.md"))).await.expect(200).json());
    assert_eq!(
        of_envelope,
        versions(admin.get(&format!("{}/versions", admin.document("raw.md"))).await.expect(200).json())
    );
    assert_eq!(of_envelope.0, text::sha256(AWKWARD.as_bytes()));
}

#[tokio::test]
async fn a_writer_who_names_the_version_does_not_overwrite_another_writer() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let put = async |body: &str, header: &str, value: &str| {
        let envelope = json!({"text": body, "acl": {"allow": ["everyone"]}});
        admin.send(admin.request(Method::PUT, &admin.document("a.md")).header(header, value).json(&envelope)).await
    };
    put("# None yet", "if-match", "\"v1\"").await.refused(412, "precondition-failed");
    assert_eq!(put("# One", "if-none-match", "*").await.expect(201).json()["version"], 1);
    put("# Again", "if-none-match", "*").await.refused(412, "precondition-failed");
    assert_eq!(put("# Two", "if-match", "\"v1\"").await.expect(200).json()["version"], 2);
    put("# Lost", "if-match", "\"v1\"").await.refused(412, "precondition-failed");
    put("# Odd", "if-match", "abc").await.refused(400, "malformed-request");
    let read = admin.get(&admin.document("a.md")).await.expect(200);
    assert_eq!(read.header("etag"), "\"v2\"");
    assert_eq!(read.json()["text"], "# Two");
}

#[tokio::test]
async fn the_same_bytes_twice_change_nothing() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let first = admin.write("a.md", AWKWARD).await;
    assert_eq!((&first["changed"], &first["change"]), (&json!(true), &json!("created")));
    let again = admin.write("a.md", AWKWARD).await;
    assert_eq!((&again["changed"], &again["change"]), (&json!(false), &json!("none")));
    assert_eq!((&again["version"], &again["seq"]), (&json!(1), &first["seq"]));
    assert_eq!(again["chunks"]["embedded"], 0);
    let copy = admin.write("copy.md", AWKWARD).await;
    assert_eq!(copy["change"], "created");
    let edited = admin.write("a.md", &AWKWARD.replace("90 Tagen", "60 Tagen")).await;
    assert_eq!((&edited["change"], &edited["version"]), (&json!("version"), &json!(2)));
    let acl = admin.write_for("a.md", &AWKWARD.replace("90 Tagen", "60 Tagen"), &["group:eng"]).await;
    assert_eq!((&acl["change"], &acl["version"]), (&json!("metadata"), &json!(2)));
    assert_eq!(acl["chunks"]["embedded"], 0);
}

#[tokio::test]
async fn the_same_request_at_the_same_seq_gives_the_same_bytes() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    shelf(&admin).await;
    let asked =
        json!({"query": "how often is a pump inspected", "budget": {"tokens": 900, "tokenizer": "cl100k_base"}});
    let first = text::answer(&admin.context(&asked).await.expect(200).json());
    let search = json!({"query": "how often is a pump inspected", "top_k": 30});
    let found = text::answer(&admin.search(&search).await.expect(200).json());
    for _ in 0..10 {
        assert_eq!(text::answer(&admin.context(&asked).await.expect(200).json()), first);
        assert_eq!(text::answer(&admin.search(&search).await.expect(200).json()), found);
    }
    let same_key_anew = server.key("acme", &["read", "admin"], None, &[]).await;
    assert_eq!(text::answer(&same_key_anew.context(&asked).await.expect(200).json()), first);
}

#[tokio::test]
async fn a_filter_narrows_and_never_widens() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    for (id, lang, kind, source, group) in [
        ("a.md", "en", "guide", "handbook", "everyone"),
        ("b.md", "de", "guide", "handbook", "everyone"),
        ("c.md", "en", "memo", "mail", "everyone"),
        ("d.md", "en", "guide", "mail", "group:board"),
    ] {
        let envelope = json!({"text": format!("# Ferry {id}\n\nThe ferry leaves at six from pier {id}."), "source": source,
            "attributes": {"lang": lang, "kind": kind}, "acl": {"allow": [group]}});
        admin.envelope(id, &envelope).await;
    }
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;
    for (filter, expected) in [
        (json!({}), vec!["a.md", "b.md", "c.md"]),
        (json!({"attributes": {"lang": "en"}}), vec!["a.md", "c.md"]),
        (json!({"attributes": {"lang": ["en", "de"], "kind": "guide"}}), vec!["a.md", "b.md"]),
        (json!({"source": ["mail"]}), vec!["c.md"]),
        (json!({"source": ["mail", "handbook"], "attributes": {"lang": "de"}}), vec!["b.md"]),
        (json!({"attributes": {"lang": "fr"}}), vec![]),
        (json!({"attributes": {"nosuch": "x"}}), vec![]),
    ] {
        for mode in ["hybrid", "lexical", "dense"] {
            let body = json!({"query": "when does the ferry leave", "filter": filter, "mode": mode, "top_k": 50});
            let answer = reader.search(&body).await.expect(200).json();
            let mut found = text::documents(&answer["results"]);
            found.sort();
            assert_eq!(found, expected, "{filter} {mode}");
        }
        let body = json!({"query": "when does the ferry leave", "filter": filter, "budget": {"tokens": 2_000}});
        let context = reader.context(&body).await.expect(200).json();
        let mut cited = text::documents(&context["citations"]);
        cited.sort();
        assert_eq!(cited, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_budget_is_kept_to_the_token_in_both_tokenizers() {
    let demo = demo().await;
    let admin = demo.client(demo.tenant("kestrel"), "admin");
    let mut answered = 0;
    for tokenizer in Tokenizer::ALL {
        for query in ["how do I rotate the signing keys?", "what are the limits of the api", "zzz qqq"] {
            for tokens in (1..60).step_by(7).chain((60..400).step_by(23)).chain((400..6_000).step_by(701)) {
                let budget = json!({"tokens": tokens, "tokenizer": tokenizer.as_str()});
                let reply = admin.context(&json!({"query": query, "budget": budget})).await;
                if reply.status == 422 {
                    reply.refused(422, "budget-too-small");
                    continue;
                }
                let context = reply.expect(200).json();
                let counted = tokenizer.count(context["text"].as_str().expect("a text"));
                assert!(counted <= tokens, "{counted} tokens for a budget of {tokens}: {query}");
                let said = json!({"budget": tokens, "used": counted, "tokenizer": tokenizer.as_str()});
                assert_eq!(context["tokens"], said, "{query}");
                answered += 1;
            }
        }
    }
    assert!(answered > 60, "only {answered} budgets were answered");
}
