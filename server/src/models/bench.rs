//! `catena model bench`: how fast a model is on this machine.
//!
//! Promises: texts are made here and are the same at every run; no query is asked twice, because a repeated one is
//! answered from memory; what else the machine had to do is said beside the figures. Does not: judge a model's quality.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use catena_embedding::{Device, Embedder, Kind, inspect_model};
use catena_runtime::clock::{Stopwatch, pause};
use catena_runtime::environment;
use serde::Serialize;
use tokio::task::JoinSet;

use super::words::Words;
use super::{milliseconds, nobody, show, size};
use crate::client::Ended;
use crate::client::output::{Output, note, pairs};
use crate::settings::Settings;

const LONG_TOKENS: usize = 250;
const SHORT_TOKENS: usize = 40;
const QUERY_TOKENS: usize = 12;
/// Different texts, which are embedded again and again: documents' vectors are not kept.
const TEXTS: usize = 64;
/// Before anything is measured, so that all workers are at work.
const RUN_UP: Duration = Duration::from_millis(500);
/// Between two queries, as long as a person's would be further apart than this.
const BETWEEN_QUERIES: Duration = Duration::from_millis(5);
/// Callers whose texts wait in one tenant's line.
const CALLERS_OF_A_TENANT: usize = 16;

#[derive(Debug, Serialize)]
struct Measured {
    model: String,
    fingerprint: String,
    runs: String,
    workers: usize,
    seconds_per_part: u64,
    load_ms: f64,
    long_documents: Throughput,
    short_documents: Throughput,
    query_alone: Latency,
    query_beside_documents: Latency,
    /// Beside documents by alone.
    p50_ratio: f64,
    p99_ratio: f64,
    memory: Option<Memory>,
    machine: Machine,
}

#[derive(Debug, Serialize)]
struct Throughput {
    tokens_in_a_text: f64,
    tokens_per_s: f64,
}

#[derive(Debug, Serialize)]
struct Latency {
    queries: usize,
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Debug, Serialize)]
struct Memory {
    now_bytes: u64,
    most_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Machine {
    processors: usize,
    /// Of the last minute before the measurement.
    load_before: Option<f64>,
}

pub(super) async fn run(
    settings: &Settings,
    name: Option<&str>,
    seconds: u64,
    output: Output,
) -> anyhow::Result<Ended> {
    let load_before = load();
    let watch = Stopwatch::start();
    let model = inspect_model(&settings.models, name.unwrap_or(&settings.model))?;
    if model.kind() != Kind::Embedder {
        bail!("{} is a reranker, and what is measured here is embedding; name an embedder", model.name());
    }
    let url = model.remote_url().map(str::to_owned);
    let precision = model.precision().map_or("-", |precision| precision.as_str());
    let embedder = Embedder::start(model, &settings.place())?;
    let load_ms = watch.elapsed_ms();
    let runs = match (&url, embedder.device()) {
        (Some(url), _) => format!("by {url}"),
        (None, device) => format!("{precision}, on {}", device.map_or("-", Device::as_str)),
    };
    note(&format!("Measuring {} for about {} s …", embedder.name(), 4 * seconds + 2));
    let span = Duration::from_secs(seconds);
    let mut words = Words::new(1);
    let long_documents = documents(&embedder, settings, &mut words, LONG_TOKENS, span).await?;
    let short_documents = documents(&embedder, settings, &mut words, SHORT_TOKENS, span).await?;
    let query_alone = queries(&embedder, &mut words, span).await?;
    let crowd = Crowd::start(&embedder, settings, texts(&embedder, &mut words, LONG_TOKENS));
    pause(RUN_UP).await;
    let query_beside_documents = queries(&embedder, &mut words, span).await?;
    crowd.end()?;
    let measured = Measured {
        model: embedder.name().to_owned(),
        fingerprint: embedder.fingerprint().to_owned(),
        runs,
        workers: settings.workers.get(),
        seconds_per_part: seconds,
        load_ms,
        long_documents,
        short_documents,
        p50_ratio: query_beside_documents.p50_ms / query_alone.p50_ms,
        p99_ratio: query_beside_documents.p99_ms / query_alone.p99_ms,
        query_alone,
        query_beside_documents,
        memory: memory(),
        machine: Machine { processors: environment::processors().get(), load_before },
    };
    show(output, &measured, as_text)?;
    Ok(Ended::Done)
}

/// A text, and its tokens.
type Counted = (String, u64);

fn texts(embedder: &Embedder, words: &mut Words, tokens: usize) -> Vec<Counted> {
    let (tokens, count) = (tokens.min(embedder.max_tokens()), |text: &str| embedder.count_tokens(text));
    let made = (0..TEXTS).map(|_| words.text(tokens, &count));
    made.map(|text| {
        let tokens = count(&text) as u64;
        (text, tokens)
    })
    .collect()
}

/// How many tokens of documents are embedded in a second.
async fn documents(
    embedder: &Embedder,
    settings: &Settings,
    words: &mut Words,
    tokens: usize,
    span: Duration,
) -> anyhow::Result<Throughput> {
    let texts = texts(embedder, words, tokens);
    let tokens_in_a_text = texts.iter().map(|(_, tokens)| *tokens).sum::<u64>() as f64 / texts.len() as f64;
    let crowd = Crowd::start(embedder, settings, texts);
    pause(RUN_UP).await;
    let (watch, before) = (Stopwatch::start(), crowd.done());
    pause(span).await;
    let tokens_per_s = (crowd.done() - before) as f64 / watch.elapsed().as_secs_f64();
    crowd.end()?;
    Ok(Throughput { tokens_in_a_text, tokens_per_s })
}

/// Callers that bring documents without end, enough of them that no worker waits.
struct Crowd {
    callers: JoinSet<()>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    tokens: AtomicU64,
    failed: Mutex<Option<String>>,
}

impl Crowd {
    fn start(embedder: &Embedder, settings: &Settings, texts: Vec<Counted>) -> Self {
        let workers = settings.workers.get();
        let (callers, batch) = match embedder.device() {
            Some(Device::Cpu) => ((8 * workers).max(CALLERS_OF_A_TENANT), 4),
            // A card and another server take very much at once.
            Some(Device::Cuda) | None => (2 * CALLERS_OF_A_TENANT, 32),
        };
        let (texts, state) = (Arc::new(texts), Arc::new(State::default()));
        let mut crowd = Self { callers: JoinSet::new(), state: Arc::clone(&state) };
        for caller in 0..callers {
            let (embedder, texts, state) = (embedder.clone(), Arc::clone(&texts), Arc::clone(&state));
            crowd.callers.spawn(async move {
                let tenant = nobody(caller / CALLERS_OF_A_TENANT);
                for turn in 0.. {
                    let at = |text: usize| &texts[(caller * batch + turn * 7 + text) % texts.len()];
                    let (brought, tokens): (Vec<String>, Vec<u64>) = (0..batch).map(|text| at(text).clone()).unzip();
                    if let Err(error) = embedder.embed_documents(&tenant, brought).await {
                        *state.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                        return;
                    }
                    state.tokens.fetch_add(tokens.iter().sum(), Ordering::Relaxed);
                }
            });
        }
        crowd
    }

    fn done(&self) -> u64 {
        self.state.tokens.load(Ordering::Relaxed)
    }

    /// Sends the callers away. A figure counts only if none of them failed.
    fn end(mut self) -> anyhow::Result<()> {
        self.callers.abort_all();
        let failed = self.state.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), |error| bail!("documents were not embedded: {error}"))
    }
}

/// How long a query takes, one at a time.
async fn queries(embedder: &Embedder, words: &mut Words, span: Duration) -> anyhow::Result<Latency> {
    let count = |text: &str| embedder.count_tokens(text);
    let (mut took_ms, whole) = (Vec::new(), Stopwatch::start());
    while whole.elapsed() < span || took_ms.is_empty() {
        let query = words.text(QUERY_TOKENS, &count);
        let watch = Stopwatch::start();
        embedder.embed_query(&nobody(usize::MAX), &query).await.context("a query was not embedded")?;
        took_ms.push(watch.elapsed_ms());
        pause(BETWEEN_QUERIES).await;
    }
    took_ms.sort_by(f64::total_cmp);
    Ok(Latency { queries: took_ms.len(), p50_ms: at_share(&took_ms, 0.5), p99_ms: at_share(&took_ms, 0.99) })
}

/// The value that this share of the sorted values does not exceed.
fn at_share(sorted: &[f64], share: f64) -> f64 {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

/// What this process holds in memory, where the system says so in the way of Linux.
fn memory() -> Option<Memory> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024)
    };
    Some(Memory { now_bytes: bytes("VmRSS:")?, most_bytes: bytes("VmHWM:")? })
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn as_text(it: &Measured) -> String {
    let throughput =
        |of: &Throughput| format!("{:.0} tokens/s, in texts of {:.0} tokens", of.tokens_per_s, of.tokens_in_a_text);
    let latency = |of: &Latency| {
        format!("p50 {}, p99 {}, of {} queries", milliseconds(of.p50_ms), milliseconds(of.p99_ms), of.queries)
    };
    let memory = it.memory.as_ref().map_or_else(
        || "not known on this system".to_owned(),
        |memory| format!("{} now, {} at most", size(memory.now_bytes), size(memory.most_bytes)),
    );
    let figures = pairs([
        ("model", format!("{}, {}", it.model, it.runs)),
        ("workers", it.workers.to_string()),
        ("loading", milliseconds(it.load_ms)),
        ("documents", throughput(&it.long_documents)),
        ("short documents", throughput(&it.short_documents)),
        ("a query alone", latency(&it.query_alone)),
        ("beside documents", latency(&it.query_beside_documents)),
        ("", format!("{:.1} and {:.1} times as long", it.p50_ratio, it.p99_ratio)),
        ("memory", memory),
        ("processors", it.machine.processors.to_string()),
    ]);
    format!("{figures}\n\n{}", beside(&it.machine))
}

/// What else ran.
fn beside(machine: &Machine) -> String {
    match machine.load_before {
        Some(load) if load > 0.3 * machine.processors as f64 => format!(
            "The machine was not idle: its load in the minute before was {load:.1} on {} processors. Documents are embedded \
             behind whatever else runs, so these figures are worse than its best; measure again when it is quiet.",
            machine.processors
        ),
        _ => "What else runs on the machine makes these figures worse.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_values_does_not_exceed_its_percentile() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((at_share(&sorted, 0.5), at_share(&sorted, 0.99)), (100.0, 198.0));
        assert_eq!((at_share(&[7.0], 0.99), at_share(&[], 0.5)), (7.0, 0.0));
    }

    #[test]
    fn a_machine_that_was_busy_is_said_to_have_been() {
        let said = |load_before| beside(&Machine { processors: 2, load_before });
        assert!(said(Some(3.4)).contains("3.4 on 2"));
        assert!(!said(Some(0.1)).contains("not idle"));
        assert!(!said(None).contains("not idle"));
    }
}
