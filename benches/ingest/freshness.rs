//! How soon a written document is found.

use std::time::Duration;

use anyhow::Context as _;
use catena_benches::percentile;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::tenant::Tenant;

/// A page of a handbook; the number makes each one findable by a word of its own.
const PAGE: &str = "The desk on the third floor keeps the list of who may open the archive at night. Whoever needs \
                    to go in asks there the day before, signs for the key, and brings it back by nine. Keys that \
                    are lost are reported to the desk and to the guard at once, and the lock is changed the same \
                    day. ";

pub(crate) async fn measure(url: &str, documents: usize) -> anyhow::Result<()> {
    let tenant = Tenant::make(url, "fresh").await?;
    let mut put = Vec::new();
    let mut hit = Vec::new();
    for number in 0..documents {
        let begin = Instant::now();
        write(&tenant, number, "").await?;
        let acknowledged = Instant::now();
        put.push(acknowledged - begin);
        while !is_found(&tenant, number).await? {}
        hit.push(acknowledged.elapsed());
    }
    let mut waited = Vec::new();
    for number in documents..documents * 2 {
        let begin = Instant::now();
        write(&tenant, number, "?wait=searchable").await?;
        waited.push(begin.elapsed());
        anyhow::ensure!(is_found(&tenant, number).await?, "a write that waited is not found");
    }
    println!("\n{documents} documents of one page, one after the other:");
    for (name, times) in [
        ("PUT to its answer", &mut put),
        ("from the answer to the first hit", &mut hit),
        ("PUT with wait=searchable to its answer", &mut waited),
    ] {
        let ms = |times: &mut [Duration], share| percentile(times, share).as_secs_f64() * 1e3;
        println!("{name:<40} p50 {:>7.1} ms, p99 {:>7.1} ms", ms(times, 0.5), ms(times, 0.99));
    }
    Ok(())
}

pub(crate) fn word(number: usize) -> String {
    format!("archivekey{number}")
}

pub(crate) async fn write(tenant: &Tenant, number: usize, query: &str) -> anyhow::Result<()> {
    let text = format!("# Archive at night, rule {number}\n\n{}The word is {}.\n", PAGE.repeat(6), word(number));
    let body = json!({ "text": text, "acl": { "allow": ["everyone"] } });
    let request = tenant.request(Method::PUT, &format!("/documents/page-{number}.md{query}"));
    Tenant::answer(request.json(&body)).await?;
    Ok(())
}

async fn is_found(tenant: &Tenant, number: usize) -> anyhow::Result<bool> {
    let body = json!({ "query": word(number), "mode": "lexical", "top_k": 1 });
    let answer: Value = Tenant::answer(tenant.request(Method::POST, "/search").json(&body)).await?;
    let results = answer["results"].as_array().context("a search without results")?;
    Ok(results.first().is_some_and(|found| found["document"] == format!("page-{number}.md")))
}
