//! What one tenant notices of another that loads documents, over HTTP.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use catena_benches::{OPERATOR_KEY, Service, percentile};
use catena_runtime::{clock, environment};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
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

/// A tenant that loads documents for a while.
#[derive(Args)]
pub(crate) struct Load {
    #[arg(long)]
    base: String,
    #[arg(long)]
    key: String,
    #[arg(long)]
    texts: PathBuf,
    #[arg(long)]
    seconds: u64,
}

/// Loads documents and says how many.
pub(crate) async fn load(load: Load) -> anyhow::Result<usize> {
    let texts = crate::read_texts(&load.texts)?;
    let tenant = Tenant { client: reqwest::Client::new(), base: load.base, key: load.key };
    let (begin, duration) = (Instant::now(), Duration::from_secs(load.seconds));
    // Each text is new to the tenant: nothing of it can be answered from the cache.
    stream::iter(0_usize..)
        .take_while(|_| std::future::ready(begin.elapsed() < duration))
        .map(|number| {
            let (tenant, text) = (&tenant, &texts[number % texts.len()]);
            async move { tenant.put(&format!("l{number}"), &format!("number {number}. {text}")).await }
        })
        .buffer_unordered(WRITES_AT_ONCE)
        .try_fold(0, |sum, ()| std::future::ready(Ok(sum + 1)))
        .await
}

/// Prints one tenant's query times without and with the other's load.
pub(crate) async fn neighbours(program: &Path, texts: &[String], file: &Path, seconds: u64) -> anyhow::Result<()> {
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
    // In a process of its own: what the loading client does is no part of what the asking one waits for.
    let mut load = Command::new(environment::executable()?)
        .args(["load", "--base", &loads.base, "--key", &loads.key, "--seconds", &seconds.to_string(), "--texts"])
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut loaded = asks.queries("loaded", duration).await?;
    let mut written = String::new();
    load.stdout.take().context("the loading process has no output")?.read_to_string(&mut written).await?;
    let written: usize = written.trim().parse().context("the loading process failed")?;
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
            clock::pause(Duration::from_millis(5)).await;
        }
        Ok(times)
    }
}
