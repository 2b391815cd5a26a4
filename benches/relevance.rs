//! How good are the answers? nDCG@10 on judged collections, through the real HTTP API of a service started for it.
//!
//! Measured: every document is put and every judged query is searched as an application would do it; a document's place
//! is that of its first passage. Any positive grade counts as relevant, gains are binary. The collections are given by a
//! folder in the BEIR layout (`corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`); none is part of this project.
//!
//! Caveat: figures for one set are comparable with published ones only where those index title and text too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use catena_benches::{OPERATOR_KEY, Service};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};

const AT_ONCE: usize = 8;
const PLACES: usize = 10;

#[derive(Parser)]
struct Arguments {
    /// The folder that holds the collections.
    #[arg(long, env = "CATENA_BENCH_DATA")]
    data: PathBuf,
    /// The program to measure.
    #[arg(long, default_value = "target/debug/catena")]
    program: PathBuf,
    /// The collections.
    #[arg(default_values = ["scifact", "cranfield"])]
    sets: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

struct Collection {
    documents: Vec<Line>,
    queries: Vec<Line>,
    relevant: HashMap<String, HashSet<String>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let service = Service::start(&arguments.program, folder.path(), &[]).await?;
    let client = reqwest::Client::new();
    println!("{:<12} {:>6} {:>8} {:>8} {:>8} {:>8}", "set", "docs", "queries", "hybrid", "lexical", "dense");
    for set in &arguments.sets {
        let collection = read(&arguments.data.join(set))?;
        let tenant = Tenant::make(&client, &service.url, set).await?;
        tenant.put_all(&collection).await?;
        let mut row = format!("{set:<12} {:>6} {:>8}", collection.documents.len(), collection.queries.len());
        for mode in ["hybrid", "lexical", "dense"] {
            let figure = tenant.ndcg(&collection, mode).await?;
            row.push_str(&format!(" {:>8.2}", figure * 100.0));
        }
        println!("{row}");
    }
    Ok(())
}

fn read(folder: &Path) -> anyhow::Result<Collection> {
    let lines = |name: &str| -> anyhow::Result<Vec<Line>> {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    };
    let judgements = std::fs::read_to_string(folder.join("qrels/test.tsv"))?;
    let mut relevant: HashMap<String, HashSet<String>> = HashMap::new();
    for line in judgements.lines().skip(1) {
        let mut fields = line.split('\t');
        let (Some(query), Some(document), Some(grade)) = (fields.next(), fields.next(), fields.next()) else {
            bail!("a judgement of {} has fewer than three fields: {line}", folder.display());
        };
        if grade.trim().parse::<f64>()? > 0.0 {
            relevant.entry(query.to_owned()).or_default().insert(document.to_owned());
        }
    }
    let queries = lines("queries.jsonl")?.into_iter().filter(|query| relevant.contains_key(&query.id)).collect();
    Ok(Collection { documents: lines("corpus.jsonl")?, queries, relevant })
}

struct Tenant {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Tenant {
    async fn make(client: &reqwest::Client, url: &str, set: &str) -> anyhow::Result<Self> {
        let id = set.replace('_', "-");
        let post = |path: String, body: Value| {
            client.post(format!("{url}{path}")).bearer_auth(OPERATOR_KEY).json(&body).send()
        };
        post("/v1/tenants".into(), json!({ "id": id })).await?.error_for_status()?;
        let scopes = json!({ "name": "bench", "scopes": ["read", "write", "admin"] });
        let made: Value = post(format!("/v1/tenants/{id}/keys"), scopes).await?.error_for_status()?.json().await?;
        let key = made["key"].as_str().context("no key came back")?.to_owned();
        Ok(Self { client: client.clone(), base: format!("{url}/v1/tenants/{id}"), key })
    }

    async fn put_all(&self, collection: &Collection) -> anyhow::Result<()> {
        let (last, rest) = collection.documents.split_last().context("the collection is empty")?;
        stream::iter(rest.iter().map(|line| self.put(line, "")))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.put(last, "?wait=searchable").await
    }

    async fn put(&self, line: &Line, wait: &str) -> anyhow::Result<()> {
        let text = if line.text.trim().is_empty() { &line.title } else { &line.text };
        if text.trim().is_empty() {
            return Ok(());
        }
        let body = json!({ "text": text, "title": line.title, "content_type": "text/plain",
            "acl": { "allow": ["everyone"] } });
        let address = format!("{}/documents/{}{wait}", self.base, line.id);
        let answer = self.client.put(address).bearer_auth(&self.key).json(&body).send().await?;
        if !answer.status().is_success() {
            bail!("document {} was refused: {}", line.id, answer.text().await?);
        }
        Ok(())
    }

    async fn ndcg(&self, collection: &Collection, mode: &str) -> anyhow::Result<f64> {
        let figures: Vec<f64> = stream::iter(collection.queries.iter().map(async |query| {
            let ranking = self.search(&query.text, mode).await?;
            anyhow::Ok(ndcg(&ranking, &collection.relevant[&query.id]))
        }))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
        Ok(figures.iter().sum::<f64>() / figures.len() as f64)
    }

    /// Documents in the order of their first passage.
    async fn search(&self, query: &str, mode: &str) -> anyhow::Result<Vec<String>> {
        let body = json!({ "query": query, "top_k": 100, "mode": mode });
        let answer =
            self.client.post(format!("{}/search", self.base)).bearer_auth(&self.key).json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let mut places = BTreeMap::new();
        for (place, result) in answer["results"].as_array().into_iter().flatten().enumerate() {
            let document = result["document"].as_str().unwrap_or_default().to_owned();
            places.entry(document).or_insert(place);
        }
        let mut ranking: Vec<(usize, String)> = places.into_iter().map(|(document, place)| (place, document)).collect();
        ranking.sort();
        Ok(ranking.into_iter().map(|(_, document)| document).collect())
    }
}

fn ndcg(ranking: &[String], relevant: &HashSet<String>) -> f64 {
    let gain = |place: usize| 1.0 / ((place + 2) as f64).log2();
    let found = ranking.iter().take(PLACES).enumerate().filter(|(_, document)| relevant.contains(*document));
    let reached: f64 = found.map(|(place, _)| gain(place)).sum();
    let best: f64 = (0..relevant.len().min(PLACES)).map(gain).sum();
    reached / best
}
