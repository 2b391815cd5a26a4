//! What one tenant notices of another that loads documents, over HTTP.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use catena_benches::{OPERATOR_KEY, Service, percentile};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Writes that the loading tenant keeps under way.
const WRITES_AT_ONCE: usize = 8;
/// Documents of the tenant that asks.
const KNOWN: usize = 200;

struct Tenant {
    client: reqwest::Client,
    base: String,
    key: String,
}

/// Prints one tenant's query times without and with the other's load.
pub(crate) async fn neighbours(program: &Path, texts: &[String], seconds: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(program, folder.path(), &[]).await?;
    let client = reqwest::Client::new();
    let asks = Tenant::make(&client, &service.url, "asks").await?;
    let loads = Tenant::make(&client, &service.url, "loads").await?;
    let idle_kib = service.resident_kib()?;
    for (number, text) in texts.iter().take(KNOWN).enumerate() {
        asks.put(&format!("d{number}"), text).await?;
    }
    let duration = Duration::from_secs(seconds);
    asks.queries("warm", duration / 5).await?;
    let mut alone = asks.queries("alone", duration).await?;
    let begin = Instant::now();
    let load = async {
        // Each text is new to the tenant: nothing of it can be answered from the cache.
        let numbers = stream::iter(0_usize..).take_while(|_| std::future::ready(begin.elapsed() < duration));
        let loads = &loads;
        numbers
            .map(|number| async move {
                let text = &texts[number % texts.len()];
                loads.put(&format!("l{number}"), &format!("number {number}. {text}")).await
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .fold(Ok(0_usize), |sum, put| std::future::ready(sum.and_then(|sum| put.map(|()| sum + 1))))
            .await
    };
    let (loaded, written) = tokio::join!(asks.queries("loaded", duration), load);
    let (mut loaded, written): (Vec<Duration>, anyhow::Result<usize>) = (loaded?, written);
    let written = written?;
    println!(
        "\none tenant's hybrid search over HTTP ({KNOWN} documents, each query new), alone and while another loads \
         {WRITES_AT_ONCE} documents at a time ({:.0} a second):",
        written as f64 / duration.as_secs_f64()
    );
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        let ms = |times: &mut [Duration]| percentile(times, share).as_secs_f64() * 1e3;
        let (alone, loaded) = (ms(&mut alone), ms(&mut loaded));
        println!("{name}: {alone:>7.2} ms alone, {loaded:>7.2} ms loaded, x {:.2}", loaded / alone);
    }
    println!("memory: {} MiB idle, {} MiB at the end", idle_kib >> 10, service.resident_kib()? >> 10);
    Ok(())
}

impl Tenant {
    async fn make(client: &reqwest::Client, url: &str, id: &str) -> anyhow::Result<Self> {
        let post = |path: String, body: Value| {
            client.post(format!("{url}{path}")).bearer_auth(OPERATOR_KEY).json(&body).send()
        };
        post("/v1/tenants".into(), json!({ "id": id })).await?.error_for_status()?;
        let scopes = json!({ "name": "bench", "scopes": ["read", "write"] });
        let made: Value = post(format!("/v1/tenants/{id}/keys"), scopes).await?.error_for_status()?.json().await?;
        let key = made["key"].as_str().context("no key came back")?.to_owned();
        Ok(Self { client: client.clone(), base: format!("{url}/v1/tenants/{id}"), key })
    }

    async fn put(&self, id: &str, text: &str) -> anyhow::Result<()> {
        let body = json!({ "text": text, "content_type": "text/plain", "acl": { "allow": ["everyone"] } });
        let address = format!("{}/documents/{id}", self.base);
        let answer = self.client.put(address).bearer_auth(&self.key).json(&body).send().await?;
        if !answer.status().is_success() {
            bail!("document {id} was refused: {}", answer.text().await?);
        }
        Ok(())
    }

    async fn queries(&self, part: &str, duration: Duration) -> anyhow::Result<Vec<Duration>> {
        let (begin, mut times) = (Instant::now(), Vec::new());
        while begin.elapsed() < duration {
            let query = format!("effect of the protein on cell growth {part} {}", times.len());
            let body = json!({ "query": query, "top_k": 10 });
            let watch = Instant::now();
            let answer = self.client.post(format!("{}/search", self.base)).bearer_auth(&self.key).json(&body);
            let answer = answer.send().await?.error_for_status()?;
            answer.bytes().await?;
            times.push(watch.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(times)
    }
}
