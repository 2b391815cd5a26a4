//! One tenant of the service, as its clients use it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use catena_benches::OPERATOR_KEY;
use catena_runtime::clock;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// How long it is until a job is looked at again, at least.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A tenant with a key that may do everything in it.
pub(crate) struct Tenant {
    client: reqwest::Client,
    base: String,
    key: String,
}

/// What a sync says that it did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Synced {
    pub(crate) seconds: f64,
    /// What was embedded: chunks, and their tokens.
    pub(crate) chunks: u64,
    pub(crate) tokens: u64,
    /// What became of the documents, in the service's words.
    pub(crate) said: String,
}

impl Tenant {
    pub(crate) async fn make(url: &str, id: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::new();
        let post = |path: String, body: Value| {
            client.post(format!("{url}{path}")).bearer_auth(OPERATOR_KEY).json(&body).send()
        };
        post("/v1/tenants".into(), json!({ "id": id })).await?.error_for_status()?;
        let scopes = json!({ "name": "bench", "scopes": ["read", "write", "admin"] });
        let made: Value = post(format!("/v1/tenants/{id}/keys"), scopes).await?.error_for_status()?.json().await?;
        let key = made["key"].as_str().context("no key came back")?.to_owned();
        Ok(Self { client: client.clone(), base: format!("{url}/v1/tenants/{id}"), key })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    pub(crate) async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("the service answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Makes the folder a source that everyone may read.
    pub(crate) async fn add_folder(&self, folder: &Path) -> anyhow::Result<()> {
        let rules = json!([{ "path": "**", "allow": ["everyone"] }]);
        let spec = json!({ "kind": "folder", "path": folder, "access": { "rules": rules } });
        // What is measured is the change, not the guard.
        let guards = json!({ "deletes_max_share": 1.0 });
        let body = json!({ "name": "site", "spec": spec, "guards": guards });
        Self::answer(self.request(Method::POST, "/sources").json(&body)).await?;
        Ok(())
    }

    /// Syncs the folder, and waits for the job's end.
    pub(crate) async fn sync(&self) -> anyhow::Result<Synced> {
        let watch = clock::Stopwatch::start();
        let job = Self::answer(self.request(Method::POST, "/sources/site/sync")).await?;
        let id = job["id"].as_str().context("the job has no id")?.to_owned();
        let job = loop {
            let job = Self::answer(self.request(Method::GET, &format!("/jobs/{id}"))).await?;
            match job["state"].as_str() {
                // A fiftieth of the time so far: looking costs the service something too.
                Some("queued" | "running") => clock::pause(LOOK_AGAIN.max(watch.elapsed() / 50)).await,
                Some("succeeded") => break job,
                _ => bail!("the sync did not succeed: {job}"),
            }
        };
        let seconds = watch.elapsed().as_secs_f64();
        let source = Self::answer(self.request(Method::GET, "/sources/site")).await?;
        let number = |what: &str| source["last"][what].as_u64().with_context(|| format!("{what} is not told"));
        Ok(Synced {
            seconds,
            chunks: number("chunks_embedded")?,
            tokens: number("tokens_embedded")?,
            said: job["note"].as_str().unwrap_or_default().to_owned(),
        })
    }
}
