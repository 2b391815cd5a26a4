//! Words, phrases and prefixes through the running service: what `lexical` finds, what it refuses, whom it tells nothing.

use serde_json::{Value, json};

use crate::harness::{Client, Home, text};

async fn shelf(admin: &Client) {
    admin.write("order.md", "# Order\n\nRotate the signing keys on Monday.").await;
    admin.write("other.md", "# Other\n\nKeys for signing are kept in the vault; rotate nothing.").await;
    admin.write_for("board.md", "# Board\n\nThe lighthouse acquisition.", &["group:board"]).await;
    let german = json!({"text": "# Haus\n\nDie Häuser am Hafen stehen leer.", "content_type": "text/markdown",
        "attributes": {"lang": "de"}, "acl": {"allow": ["everyone"]}});
    admin.put(&format!("{}?wait=searchable", admin.document("haus.md")), &german).await.expect(201);
}

async fn found(client: &Client, query: &str, lexical: Value) -> Vec<String> {
    let body = json!({"query": query, "mode": "lexical", "lexical": lexical});
    let answer = client.search(&body).await.expect(200).json();
    text::documents(&answer["results"])
}

#[tokio::test]
async fn phrases_prefixes_and_mistyped_words_find_what_may_be_seen_and_nothing_else() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("acme").await;
    shelf(&admin).await;
    let reader = server.key("acme", &["read"], Some("bob"), &[]).await;

    let phrase = json!({"phrases": ["signing keys"]});
    assert_eq!(found(&reader, "rotate", phrase).await.first().map(String::as_str), Some("order.md"));
    assert_eq!(found(&reader, "zzz", json!({"prefixes": ["vau"]})).await, ["other.md"]);
    assert_eq!(found(&reader, "valut", json!({})).await, ["other.md"]);
    assert!(found(&reader, "valut", json!({"typos": "off"})).await.is_empty());
    assert_eq!(found(&reader, "Haus", json!({})).await, ["haus.md"]);

    assert!(found(&reader, "lighthuose", json!({"prefixes": ["acquis"]})).await.is_empty());
    assert_eq!(found(&admin, "lighthuose", json!({})).await, ["board.md"]);

    for (lexical, said) in [
        (json!({"prefixes": ["a"]}), "at least 2"),
        (json!({"phrases": ["  "]}), "1 to 16 words"),
        (json!({"phrases": vec!["x"; 9]}), "the limit is 8"),
    ] {
        let refused = reader.search(&json!({"query": "keys", "lexical": lexical})).await.expect(422);
        assert!(refused.text().contains(said), "{}", refused.text());
    }
    let budget = json!({"query": "rotate", "mode": "lexical", "budget": {"tokens": 200},
        "lexical": {"phrases": ["signing keys"]}});
    let context = reader.context(&budget).await.expect(200).json();
    assert_eq!(context["citations"][0]["document"], "order.md");
}
