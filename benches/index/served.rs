//! Tenants at rest in a whole service: how soon it is ready, what it occupies, and how long a first question takes.
//!
//! The service is filled through its HTTP API, ended and started again, so that what is measured is what an operator sees
//! after a restart. A tenant has one document in which one paragraph stands again and again, so that it is cut into many
//! chunks and embedded once. Questions are hybrid; their time holds the way over HTTP, the embedding of the question and its
//! leaf of the record.

use std::path::Path;

use anyhow::{Context as _, bail};
use catena_benches::{OPERATOR_KEY, Service};
use catena_runtime::clock::Stopwatch;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::data::Data;
use crate::figures::Times;
use crate::ours::{Kept, Tenants};
use crate::tenants::CHUNKS;

/// Tenants that are asked.
const ASKED: usize = 200;
/// Requests that are under way while the service is filled.
const AT_ONCE: usize = 8;
/// Words of the paragraph: two of it are more than a chunk is filled up to.
const WORDS: usize = 90;
/// What is remembered of filling it, beside the service's folder.
const FILLED: &str = "filled.json";

pub(crate) async fn measure(program: &Path, kept: Kept, tenants: usize, data: &Data) -> anyhow::Result<()> {
    let folder = data.cache.join(format!("ours-service-{tenants}"));
    let (service_folder, filled) = (folder.join("data"), folder.join(FILLED));
    if kept == Kept::BuildAnew && folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    if !filled.exists() {
        std::fs::create_dir_all(&service_folder)?;
        let watch = Stopwatch::start();
        let made = fill(program, &service_folder, tenants, data).await?;
        std::fs::write(&filled, serde_json::to_vec(&made)?)?;
        println!("\nfilled through HTTP in {:.0} s", watch.elapsed().as_secs_f64());
    }
    let Filled { keys, empty_kib, chunks } = serde_json::from_slice(&std::fs::read(&filled)?)?;
    let watch = Stopwatch::start();
    let service = Service::start(program, &service_folder, &[]).await?;
    let ready_seconds = watch.elapsed().as_secs_f64();
    let client = reqwest::Client::new();
    client.get(format!("{}/readyz", service.url)).send().await?.error_for_status()?;
    let before = service.resident_kib()?;
    let mut times = Times::default();
    for (number, key) in keys.iter().enumerate() {
        let query = &data.queries[number % data.queries.len()];
        let address = format!("{}/v1/tenants/{}/search", service.url, Tenants::name(number));
        let watch = Stopwatch::start();
        let answer = client.post(address).bearer_auth(key).json(&json!({ "query": query, "top_k": 10 })).send().await?;
        let found: Value = answer.error_for_status()?.json().await?;
        times.add(watch.elapsed());
        if found["results"].as_array().is_none_or(Vec::is_empty) {
            bail!("tenant {} has found nothing: {found}", Tenants::name(number));
        }
    }
    let after = service.resident_kib()?;
    println!("\n| a service with {tenants} tenants | |\n|---|---|");
    println!("| ready after a restart | {ready_seconds:.2} s |");
    println!("| resident before the first question | {:.1} MiB |", before as f64 / 1024.0);
    let idle = before.saturating_sub(empty_kib) as f64 / tenants as f64;
    println!("| more than without tenants, for each of them | {idle:.2} KiB |");
    println!("| chunks of a tenant | {:.1} |", chunks as f64 / tenants as f64);
    println!(
        "| more for each of {} tenants that was asked once | {:.1} KiB |",
        keys.len(),
        after.saturating_sub(before) as f64 / keys.len().max(1) as f64
    );
    println!("| first question of a tenant, p50 and p99 | {:.1} and {:.1} ms |", times.at_ms(0.5), times.at_ms(0.99));
    Ok(())
}

/// What is remembered of filling a service, which shows a key once.
#[derive(Serialize, Deserialize)]
struct Filled {
    /// Keys of the tenants that are asked.
    keys: Vec<String>,
    /// What the service occupied without a tenant.
    empty_kib: u64,
    /// Chunks of all tenants.
    chunks: u64,
}

/// Makes the tenants and their documents. The keys of those that will be asked.
async fn fill(program: &Path, folder: &Path, tenants: usize, data: &Data) -> anyhow::Result<Filled> {
    let service = Service::start(program, folder, &[]).await?;
    let empty_kib = service.resident_kib()?;
    let client = reqwest::Client::new();
    let made = stream::iter(0..tenants).map(|number| tenant(&client, &service.url, number, data));
    let mut made = made.buffered(AT_ONCE);
    let (mut keys, mut done, mut chunks) = (Vec::new(), 0, 0);
    while let Some((key, more)) = made.try_next().await? {
        (done, chunks) = (done + 1, chunks + more);
        if keys.len() < ASKED {
            keys.push(key);
        }
        if done % 500 == 0 {
            eprintln!("filled {done} of {tenants} tenants");
        }
    }
    drop(made);
    service.stop().await?;
    Ok(Filled { keys, empty_kib, chunks })
}

/// Makes one tenant with its document; its key, and how many chunks it has.
async fn tenant(client: &reqwest::Client, url: &str, number: usize, data: &Data) -> anyhow::Result<(String, u64)> {
    let name = Tenants::name(number);
    let post =
        |path: String, body: Value| client.post(format!("{url}{path}")).bearer_auth(OPERATOR_KEY).json(&body).send();
    post("/v1/tenants".into(), json!({ "id": name })).await?.error_for_status()?;
    let scopes = json!({ "name": "bench", "scopes": ["read", "write"] });
    let made: Value = post(format!("/v1/tenants/{name}/keys"), scopes).await?.error_for_status()?.json().await?;
    let key = made["key"].as_str().context("no key came back")?.to_owned();
    let words = data.texts.iter().cycle().skip(number % data.texts.len()).flat_map(|text| text.split(' '));
    let paragraph = words.take(WORDS).collect::<Vec<_>>().join(" ");
    let text = vec![paragraph; CHUNKS].join("\n\n");
    let body = json!({ "text": text, "content_type": "text/plain", "acl": { "allow": ["everyone"] } });
    let address = format!("{url}/v1/tenants/{name}/documents/all?wait=searchable");
    let put = client.put(address).bearer_auth(&key).json(&body).send().await?.error_for_status()?;
    let answer: Value = put.json().await?;
    Ok((key, answer["chunks"]["total"].as_u64().context("the answer counts no chunks")?))
}
