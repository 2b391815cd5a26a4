//! The embedder of this project, alone in its process.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use catena_benches::{open, percentile};
use catena_domain::TenantId;
use catena_embedding::Embedder;
use catena_runtime::clock;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::Throughput;

const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
/// Tokens of the query, of which the marks are two and its number a few.
const QUERY: &str = "how are the signing keys rotated";

pub(crate) async fn throughput(model: &Path, texts: Vec<String>) -> anyhow::Result<Throughput> {
    let embedder = open(model, TWO)?;
    let tenant = TenantId::new("bench")?;
    embedder.embed_documents(&tenant, texts.iter().take(20).cloned().collect()).await?;
    let tokens = texts.iter().map(|text| embedder.count_tokens(text) + 2).sum();
    let watch = Instant::now();
    embedder.embed_documents(&tenant, texts).await?;
    Ok(Throughput { tokens, seconds: watch.elapsed().as_secs_f64(), peak_rss_bytes: crate::peak_rss_bytes() })
}

/// A query's time in milliseconds, and what tokenising costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    loaded_p50_ms: f64,
    loaded_p99_ms: f64,
    loaded_tokens_per_second: f64,
    tokenising_us_per_text: f64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.2} {:>9.2} {:>11.2} {:>11.2} {:>7.2} {:>7.2}   ({:.0} tokens/s meanwhile; tokenising a document: {:.0} us)",
            self.p50_ms,
            self.p99_ms,
            self.loaded_p50_ms,
            self.loaded_p99_ms,
            self.loaded_p50_ms / self.p50_ms,
            self.loaded_p99_ms / self.p99_ms,
            self.loaded_tokens_per_second,
            self.tokenising_us_per_text,
        )
    }
}

pub(crate) async fn latency(model: &Path, texts: Vec<String>, seconds: u64) -> anyhow::Result<Latency> {
    let embedder = open(model, TWO)?;
    let duration = Duration::from_secs(seconds);
    queries(&embedder, "warm", duration / 10).await?;
    let mut alone = queries(&embedder, "alone", duration).await?;
    let bulk = TenantId::new("bulk")?;
    let work = tokio::spawn({
        let (embedder, texts) = (embedder.clone(), texts.clone());
        async move {
            let (watch, mut tokens) = (Instant::now(), 0);
            for group in texts.chunks(100).cycle() {
                if embedder.embed_documents(&bulk, group.to_vec()).await.is_err() {
                    break;
                }
                tokens += group.iter().map(|text| embedder.count_tokens(text) + 2).sum::<usize>();
                if watch.elapsed() > duration {
                    break;
                }
            }
            tokens as f64 / watch.elapsed().as_secs_f64()
        }
    });
    let mut loaded = queries(&embedder, "loaded", duration * 9 / 10).await?;
    let loaded_tokens_per_second = work.await?;
    let watch = Instant::now();
    let counted: usize = texts.iter().map(|text| embedder.count_tokens(text)).sum();
    let tokenising = watch.elapsed().as_secs_f64();
    assert!(counted > 0, "texts without a token measure nothing");
    let ms = |times: &mut [Duration], share| percentile(times, share).as_secs_f64() * 1e3;
    Ok(Latency {
        p50_ms: ms(&mut alone, 0.5),
        p99_ms: ms(&mut alone, 0.99),
        loaded_p50_ms: ms(&mut loaded, 0.5),
        loaded_p99_ms: ms(&mut loaded, 0.99),
        loaded_tokens_per_second,
        tokenising_us_per_text: tokenising * 1e6 / texts.len() as f64,
    })
}

/// Times of queries that nobody asked before, with pauses as people make them.
async fn queries(embedder: &Embedder, part: &str, duration: Duration) -> anyhow::Result<Vec<Duration>> {
    let tenant = TenantId::new("asks")?;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < duration {
        let text = format!("{QUERY} {part} {}", times.len() % 1_000);
        embedder.forget(&tenant);
        let watch = Instant::now();
        embedder.embed_query(&tenant, &text).await?;
        times.push(watch.elapsed());
        clock::pause(Duration::from_millis(5)).await;
    }
    Ok(times)
}
