//! Documents of every format through the running service: how they come in, what is found, and what one bad file costs.

use std::fs;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Client, Home, place, text};

/// A document of the demo's corpora, its content type, and a question that only it answers.
const FILES: [(&str, &str, &str); 12] = [
    ("products/sailing-school-leaflet.html", "text/html", "sailing school pupils premium for a season"),
    ("underwriting/small-craft-rates-2026.xlsx", "", "engine older than twenty years surcharge"),
    ("claims/diver-survey-fees.csv", "text/csv", "Norrby hull inspection anchorage winter"),
    ("faq/green-card.rst", "text/x-rst", "second card costs EUR 8"),
    ("handbook/reception-duties.adoc", "text/asciidoc", "registered letters brown book"),
    ("callcentre/storm-line-briefing.pptx", "application/octet-stream", "surveyor flood clause promise amounts"),
    ("policies/sailing-club-endorsement.docx", "", "floating pontoons ice bubbler"),
    (
        "regulator/complaints-return-2025.pdf",
        "application/pdf",
        "how many complaints went to the ombudsman in 2025 and how did they end",
    ),
    ("claims/loss-adjuster-panel.json", "envelope", "sealed reefer container Iversen"),
    ("fraud/plate-sightings.jsonl", "application/x-ndjson", "white van dented rear door two number plates"),
    ("it/retention_sweep.py", "text/x-python", "photographs fraud inquiry sweep batch"),
    ("claims/hailstorm-broker-mail.eml", "message/rfc822", "Sandhook campsite Holgersen roof windows"),
];

async fn put(admin: &Client, id: &str, content_type: &str, bytes: Vec<u8>) {
    let path = format!("{}?wait=searchable", admin.document(id));
    let reply = match content_type {
        "envelope" => {
            let text = String::from_utf8(bytes).expect("text");
            let envelope = json!({"text": text, "content_type": "application/json", "acl": {"allow": ["everyone"]}});
            admin.put(&path, &envelope).await
        }
        content_type => {
            let request = admin.request(Method::PUT, &path).header("catena-allow", "everyone").body(bytes);
            let request = if content_type.is_empty() { request } else { request.header("content-type", content_type) };
            admin.send(request).await
        }
    };
    reply.expect(201);
}

#[tokio::test]
async fn a_document_of_every_format_comes_in_raw_and_is_found() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("acme").await;
    for (id, content_type, _) in FILES {
        let bytes = fs::read(place::project().join("corpora/harbour/documents").join(id)).expect("a demo document");
        put(&admin, id, content_type, bytes).await;
    }
    for (id, _, query) in FILES {
        let answer = admin.search(&json!({"query": query})).await.expect(200).json();
        assert_eq!(text::documents(&answer["results"]).first().map(String::as_str), Some(id), "{query}");
    }
    let leaflet = admin.get(&admin.document("products/sailing-school-leaflet.html")).await.expect(200).json();
    let body = leaflet["text"].as_str().expect("a text");
    assert!(body.contains("| 5 to 10 | 30 | EUR 1,380 |"), "{body}");
    for hidden in ["Print run", "ask legal", "track(", "Imprint"] {
        assert!(!body.contains(hidden), "{hidden} is not to be seen on the page");
    }
}

#[tokio::test]
async fn a_text_in_another_encoding_is_read_in_it_and_a_file_comes_in_as_base64() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("acme").await;
    // "Паром стоит" in windows-1251.
    let ferry = b"\xcf\xe0\xf0\xee\xec \xf1\xf2\xee\xe8\xf2".to_vec();
    put(&admin, "ferry.txt", "text/plain; charset=windows-1251", ferry).await;
    let read = admin.get(&admin.document("ferry.txt")).await.expect(200).json();
    assert_eq!(read["text"], "Паром стоит");
    let envelope = json!({"base64": "z+Dw7uwg8fLu6PI=", "content_type": "text/plain; charset=windows-1251"});
    admin.put(&admin.document("again.txt"), &envelope).await.expect(201);
    assert_eq!(admin.get(&admin.document("again.txt")).await.expect(200).json()["text"], "Паром стоит");
}

#[tokio::test]
async fn a_file_that_ends_its_reader_is_one_failed_document() {
    let home = Home::new();
    let server = home.serve().start().await;
    let admin = server.tenant("acme").await;
    let deep = format!("%PDF-1.7\n1 0 obj\n{}\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF", "[".repeat(100_000));
    let bad = admin.request(Method::PUT, &admin.document("bad.pdf")).body(deep.clone().into_bytes());
    let good = admin.request(Method::PUT, &admin.document("good.csv")).timeout(Duration::from_secs(60));
    let (bad, good) = tokio::join!(admin.send(bad), admin.send(good.body("port,fee\nLarkmoor,12\n")));
    let said = bad.expect(422).detail();
    assert!(said.contains("cannot be read"), "{said}");
    good.expect(201);
    let again = admin.request(Method::PUT, &admin.document("page.html")).body("<h1>Still here</h1>");
    admin.send(again).await.expect(201);
    server.stop().await;
}
