//! What does the truth cost? Writes, the gate's look-up, revocation and idle tenants, on SQLite and PostgreSQL side by side.
//!
//! Measured in this process, against the catalog's own methods: writes a second of documents of one small chunk whose
//! vector is known already (so no embedding), by one writer and by sixteen, and p50 and p99 of looking up fifty candidates
//! at once. Rounds of the two databases alternate. Measured through the HTTP API of a started service: whether the
//! first query after an acknowledged revocation obeys, and how soon its answer is there; the memory of idle tenants.
//!
//! PostgreSQL is started for the bench on the same disk, with `fsync` on and small buffers. Caveat: on a machine with two
//! cores, client and server share them; ratios of one run mean something, absolute times do not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use catena_access::scope::Entry;
use catena_access::{Acl, Credential, Right, Rights, Scope};
use catena_audit::Draft;
use catena_benches::{OPERATOR_KEY, Service, percentile};
use catena_catalog::{Besides, Catalog, Database, Expect, NewChunk, NewDocument, PassageKey, PostgresPlace};
use catena_domain::{DocNo, DocumentId, KeyId, RecipeId, Span, TenantId, VersionNo};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use half::f16;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

const TEXT: &str = "The signing keys are rotated every ninety days; the old key is kept for one more week.";
const TENANT: &str = "bench";
const CANDIDATES: u32 = 50;

#[derive(Parser)]
struct Arguments {
    /// The program to measure.
    #[arg(long, default_value = "target/debug/catena")]
    program: PathBuf,
    /// Documents of one round of writes.
    #[arg(long, default_value_t = 400)]
    documents: u32,
    /// Rounds on each database.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Look-ups of one round.
    #[arg(long, default_value_t = 400)]
    lookups: u32,
    /// Revocations through the HTTP API.
    #[arg(long, default_value_t = 200)]
    revocations: u32,
    /// Idle tenants whose memory is measured, the fewest first.
    #[arg(long, default_values_t = [1_000, 10_000])]
    tenants: Vec<u32>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let server = catena_tests::postgres::Postgres::durable();
    let made = server.database("bench");
    let place = || PostgresPlace::new(made.app_url(), Some(made.owner_url().to_owned()));
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut sides = [
        Side::open("SQLite", folders[0].path(), &Database::Embedded).await?,
        Side::open("PostgreSQL", folders[1].path(), &Database::Postgres(place())).await?,
    ];
    for _ in 0..arguments.rounds {
        for side in &mut sides {
            side.round(&arguments).await?;
        }
    }
    println!(
        "{:<11} {:>14} {:>16} {:>12} {:>12}",
        "catalog", "writes/s by 1", "writes/s by 16", "gate p50 us", "p99 us"
    );
    for side in &mut sides {
        side.print();
    }
    for side in sides {
        side.catalog.close().await?;
    }
    through_http(&arguments, "SQLite", &[]).await?;
    let made = server.database("http");
    let flags = ["--catalog", made.app_url(), "--catalog-owner", made.owner_url()];
    through_http(&arguments, "PostgreSQL", &flags).await
}

/// One database with what was measured on it.
struct Side {
    name: &'static str,
    catalog: Catalog,
    scope: Arc<Scope>,
    written: u32,
    alone: Vec<f64>,
    together: Vec<f64>,
    lookups: Vec<Duration>,
}

impl Side {
    async fn open(name: &'static str, folder: &std::path::Path, database: &Database) -> anyhow::Result<Self> {
        let catalog = Catalog::open(folder, database).await?;
        let tenant = TenantId::new(TENANT)?;
        let operator = credential(None, &[Right::Operator])?.operate()?;
        catalog.create_tenant(&operator, &tenant, TENANT, &recipe()?, 384, draft("tenant.create")).await?;
        let key = credential(Some(tenant.clone()), &[Right::Admin, Right::Read, Right::Write])?;
        let entry = Entry { tenant: &tenant, need: Right::Admin, on_behalf: None, directory: Default::default() };
        let scope = Arc::new(key.enter(entry)?);
        let (alone, together, lookups) = (Vec::new(), Vec::new(), Vec::new());
        let mut side = Self { name, catalog, scope, written: 0, alone, together, lookups };
        side.write(1, 1, 1).await?;
        Ok(side)
    }

    async fn round(&mut self, arguments: &Arguments) -> anyhow::Result<()> {
        let alone = self.write(arguments.documents, 1, 0).await?;
        self.alone.push(alone);
        let together = self.write(arguments.documents, 16, 0).await?;
        self.together.push(together);
        for number in 0..arguments.lookups {
            let keys: Vec<PassageKey> = (0..CANDIDATES)
                .map(|place| (number.wrapping_mul(7_919) + place.wrapping_mul(104_729)) % self.written)
                .map(|doc| PassageKey { doc: DocNo(doc), version: VersionNo(1), chunk: 0 })
                .collect();
            let begun = Instant::now();
            let found = self.catalog.passages(&self.scope, &recipe()?, &keys).await?;
            self.lookups.push(begun.elapsed());
            anyhow::ensure!(found.iter().all(Option::is_some), "a candidate is not there");
        }
        Ok(())
    }

    /// Writes documents, so many at once; how many a second.
    async fn write(&mut self, documents: u32, at_once: usize, vectors: usize) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let from = self.written;
        stream::iter((from..from + documents).map(|number| self.put(number, vectors)))
            .buffer_unordered(at_once)
            .try_collect::<Vec<()>>()
            .await?;
        self.written += documents;
        Ok(f64::from(documents) / begun.elapsed().as_secs_f64())
    }

    async fn put(&self, number: u32, vectors: usize) -> anyhow::Result<()> {
        let hash: [u8; 32] = Sha256::digest(TEXT).into();
        let span = Span { start: 0, end: u32::try_from(TEXT.len())? };
        let chunk = NewChunk { span, headings: Vec::new(), lines: (1, 1), tokens: 20, hash };
        let document = NewDocument {
            id: DocumentId::new(&format!("keys-{number}.md"))?,
            title: "Keys".to_owned(),
            uri: None,
            content_type: "text/markdown".to_owned(),
            attributes: BTreeMap::new(),
            source: None,
            modified_at: None,
            acl: Acl::parse(&["everyone"], &[])?,
            bytes_sha256: hash,
            text: TEXT.to_owned(),
            text_sha256: hash,
            recipe: recipe()?,
            chunks: vec![chunk],
            embeddings: vec![(hash, vec![f16::ONE; 384]); vectors],
            screening: None,
            expect: Expect::Any,
            besides: Besides::default(),
        };
        self.catalog.put_document(&self.scope, document, draft("document.put")).await?;
        Ok(())
    }

    fn print(&mut self) {
        let median = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let (alone, together) = (median(&mut self.alone), median(&mut self.together));
        let [p50, p99] = [0.5, 0.99].map(|share| percentile(&mut self.lookups, share).as_micros());
        println!("{:<11} {alone:>14.0} {together:>16.0} {p50:>12} {p99:>12}", self.name);
    }
}

fn recipe() -> anyhow::Result<RecipeId> {
    Ok(RecipeId::new("bench")?)
}

fn draft(action: &'static str) -> Draft {
    Draft::new("bench", action)
}

fn credential(tenant: Option<TenantId>, rights: &[Right]) -> anyhow::Result<Credential> {
    let rights = Rights::of(rights);
    let key = KeyId::new("bench")?;
    let (user, groups, clearance) = (None, Vec::new(), None);
    Ok(Credential { key, name: "bench".into(), tenant, rights, user, groups, clearance })
}

/// What only a whole service shows.
async fn through_http(arguments: &Arguments, name: &str, flags: &[&str]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(&arguments.program, folder.path(), flags).await?;
    let client = reqwest::Client::new();
    let admin = |method: reqwest::Method, path: String, body: Value| {
        client.request(method, format!("{}{path}", service.url)).bearer_auth(OPERATOR_KEY).json(&body).send()
    };
    admin(reqwest::Method::POST, "/v1/tenants".into(), json!({ "id": TENANT })).await?.error_for_status()?;
    let scopes = json!({ "name": "bench", "scopes": ["read", "write", "impersonate"] });
    let made = admin(reqwest::Method::POST, format!("/v1/tenants/{TENANT}/keys"), scopes).await?;
    let made: Value = made.error_for_status()?.json().await?;
    let key = made["key"].as_str().context("no key came back")?;
    let base = format!("{}/v1/tenants/{TENANT}", service.url);
    let send = async |method: reqwest::Method, path: &str, body: Value| -> anyhow::Result<Value> {
        let sent = client.request(method, format!("{base}{path}")).bearer_auth(key).json(&body).send().await?;
        Ok(sent.error_for_status()?.json().await?)
    };
    let put = json!({ "text": TEXT, "content_type": "text/plain", "acl": { "allow": ["user:ann"] } });
    send(reqwest::Method::PUT, "/documents/keys?wait=searchable", put).await?;
    let (mut times, mut stale) = (Vec::new(), 0);
    let ask = json!({ "query": "signing keys", "as": { "user": "ann" } });
    for round in 0..arguments.revocations * 2 {
        let allow = if round % 2 == 0 { json!([]) } else { json!(["user:ann"]) };
        send(reqwest::Method::PUT, "/documents/keys/acl", json!({ "allow": allow, "deny": [] })).await?;
        let acknowledged = Instant::now();
        let found = send(reqwest::Method::POST, "/search", ask.clone()).await?;
        let hits = found["results"].as_array().context("no results")?.len();
        stale += usize::from((hits == 0) != (round % 2 == 0));
        if round % 2 == 0 {
            times.push(acknowledged.elapsed());
        }
    }
    let [p50, p99] = [0.5, 0.99].map(|share| percentile(&mut times, share).as_secs_f64() * 1e3);
    println!(
        "{name}: {} revocations, {stale} first queries did not obey; answer after the acknowledgement: p50 {p50:.1} ms, p99 {p99:.1} ms",
        arguments.revocations
    );
    let (mut registered, before) = (1, service.resident_kib()?);
    for &wanted in &arguments.tenants {
        let begun = Instant::now();
        let made = stream::iter(registered..wanted).map(|number| {
            let sent = admin(reqwest::Method::POST, "/v1/tenants".into(), json!({ "id": format!("idle-{number}") }));
            async { anyhow::Ok(sent.await?.error_for_status().map(|_| ())?) }
        });
        made.buffer_unordered(8).try_collect::<Vec<()>>().await?;
        registered = wanted;
        let now = service.resident_kib()?;
        println!(
            "{name}: {wanted} tenants: {now} KiB resident, {:.2} KiB for each idle tenant ({:.0} s to register)",
            (now as f64 - before as f64) / f64::from(wanted),
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
