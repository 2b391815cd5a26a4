//! What one tenant's hostile files are to another tenant's searches.

use std::time::Duration;

use catena_benches::{hostile, percentile};
use catena_runtime::clock::Stopwatch;
use catena_text::Format;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::freshness;
use crate::tenant::Tenant;

/// Searches without hostile files, of which the same number is made before and after.
const QUIET: usize = 500;
const DOCUMENTS: usize = 50;

pub(crate) async fn measure(url: &str) -> anyhow::Result<()> {
    let (beside, hostile) = (Tenant::make(url, "beside").await?, Tenant::make(url, "hostile").await?);
    for number in 0..DOCUMENTS {
        freshness::write(&beside, number, "?wait=searchable").await?;
    }
    let mut quiet = Vec::new();
    for number in 0..QUIET {
        quiet.push(search(&beside, number).await?);
    }
    let mut busy = Vec::new();
    let files = hostile::files()?;
    println!("\n{:<40} {:>6} {:>9}  detail", "hostile file", "status", "seconds");
    for (name, format, bytes) in files {
        let watch = Stopwatch::start();
        let mut sent = std::pin::pin!(sending(&hostile, name, format, bytes).send());
        let answer = loop {
            // The search that is under way when the answer comes is not counted.
            tokio::select! {
                biased;
                answer = &mut sent => break answer?,
                took = search(&beside, busy.len()) => busy.push(took?),
            }
        };
        let (status, seconds) = (answer.status().as_u16(), watch.elapsed().as_secs_f64());
        let said: Value = answer.json().await.unwrap_or_default();
        let detail = said["detail"].as_str().unwrap_or("written");
        println!("{name:<40} {status:>6} {seconds:>9.3}  {detail}");
    }
    for number in 0..QUIET {
        quiet.push(search(&beside, number).await?);
    }
    println!("searches of another tenant:");
    for (name, times) in [("without hostile files", &mut quiet), ("beside them", &mut busy)] {
        let ms = |times: &mut [Duration], share| percentile(times, share).as_secs_f64() * 1e3;
        let (many, p50, p99) = (times.len(), ms(times, 0.5), ms(times, 0.99));
        println!("{name:<40} {many:>6} searches, p50 {p50:>7.1} ms, p99 {p99:>7.1} ms");
    }
    Ok(())
}

fn sending(tenant: &Tenant, name: &str, format: Format, bytes: Vec<u8>) -> RequestBuilder {
    let id: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let request = tenant.request(Method::PUT, &format!("/documents/{id}"));
    let kind = format.as_content_type();
    if format == Format::Json {
        // JSON as it is would be taken for the envelope.
        let text = String::from_utf8_lossy(&bytes);
        return request.json(&json!({ "text": text, "content_type": kind, "acl": { "allow": ["everyone"] } }));
    }
    request.header("content-type", kind).header("catena-allow", "everyone").body(bytes)
}

async fn search(tenant: &Tenant, number: usize) -> anyhow::Result<Duration> {
    let watch = Stopwatch::start();
    let body = json!({ "query": freshness::word(number % DOCUMENTS), "top_k": 5 });
    Tenant::answer(tenant.request(Method::POST, "/search").json(&body)).await?;
    Ok(watch.elapsed())
}
