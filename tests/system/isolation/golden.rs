//! The questions that the demo's people ask: what each should find, and what each must never see.

use catena_domain::limits;
use serde_json::json;

use super::leaked;
use crate::harness::demo::{Demo, DemoTenant, demo};
use crate::harness::text;

/// Of the questions that have an answer, so many in a hundred must show it among the first five passages.
const FOUND_PERCENT_MIN: usize = 90;

#[derive(Debug, Default)]
struct Tally {
    with_answer: usize,
    in_five_passages: usize,
    in_five_documents: usize,
    misses: Vec<String>,
    leaks: Vec<String>,
}

async fn ask_all(demo: &Demo, tenant: &DemoTenant, tally: &mut Tally) {
    for golden in &tenant.corpus.golden {
        let persona = tenant.corpus.persona(&golden.persona);
        let client = demo.client(tenant, &persona.name);
        let forbidden = demo.forbidden(tenant, Some(&persona.user));
        let searched = client.search(&json!({"query": golden.query, "top_k": limits::TOP_K_MAX})).await.expect(200);
        let body = json!({"query": golden.query, "budget": {"tokens": 4_000}, "limits": {"per_document": 20}});
        let context = client.context(&body).await.expect(200);
        for reply in [&searched, &context] {
            let named = DemoTenant::named(&reply.json());
            let seen = golden.absent.iter().filter(|absent| named.contains(absent));
            tally.leaks.extend(seen.map(|absent| format!("{}: {absent} was shown", golden.id)));
            tally.leaks.extend(leaked(reply, &forbidden).iter().map(|word| format!("{}: met {word}", golden.id)));
            let readable = tenant.corpus.readable(Some(&persona.user));
            let beyond = named.iter().filter(|id| !readable.contains(*id));
            tally.leaks.extend(beyond.map(|id| format!("{}: {id} is not for {}", golden.id, persona.name)));
        }
        let Some(expected) = golden.expect.first() else { continue };
        tally.with_answer += 1;
        let results = searched.json()["results"].as_array().cloned().unwrap_or_default();
        let passages = results.iter().take(5).any(|result| result["document"] == *expected);
        let documents = text::documents(&json!(results));
        let place = documents.iter().position(|id| id == expected);
        tally.in_five_passages += usize::from(passages);
        tally.in_five_documents += usize::from(place.is_some_and(|place| place < 5));
        if !passages {
            let first = &documents[..documents.len().min(3)];
            tally
                .misses
                .push(format!("{} ({:?}): {expected} is document {place:?}, after {first:?}", golden.id, golden.query));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_find_what_they_should_and_never_what_they_may_not() {
    let demo = demo().await;
    let mut all = Tally::default();
    for tenant in &demo.tenants {
        let before = (all.with_answer, all.in_five_passages, all.in_five_documents);
        ask_all(demo, tenant, &mut all).await;
        println!(
            "{}: of {} questions with an answer, {} have it in the first 5 passages, {} in the first 5 documents",
            tenant.corpus.id,
            all.with_answer - before.0,
            all.in_five_passages - before.1,
            all.in_five_documents - before.2
        );
    }
    for miss in &all.misses {
        println!("missed: {miss}");
    }
    assert!(all.leaks.is_empty(), "{} leaks: {:#?}", all.leaks.len(), all.leaks);
    assert!(all.with_answer > 100, "only {} questions have an answer", all.with_answer);
    let percent = all.in_five_passages * 100 / all.with_answer;
    println!("found: {} of {} ({percent} %)", all.in_five_passages, all.with_answer);
    assert!(percent >= FOUND_PERCENT_MIN, "only {percent} % of the answers were found");
    let queries: Vec<String> =
        demo.tenants.iter().flat_map(|tenant| &tenant.corpus.golden).map(|golden| golden.query.clone()).collect();
    demo.assert_log_is_silent_on(&queries);
}
