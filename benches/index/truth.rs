//! How many of the nearest rows an answer holds, whoever gave it.
//!
//! The exact answer is computed once in single precision over all rows, by numpy, and kept. What is kept of it is how near
//! the last of the nearest is: a row counts if it is as near, so that of two equal texts either is right.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::data::{Data, Vectors};
use crate::peer::Peer;

/// Rows of an answer.
pub(crate) const LIMIT: usize = 10;
/// What two ways of summing the same products in single precision may differ by.
const SLACK: f32 = 1e-6;

/// The exact answers to some queries.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Truth {
    /// How many rows there are to find, query by query: the limit, or fewer where fewer may be seen.
    wanted: Vec<usize>,
    /// How near the last of them is.
    least: Vec<f32>,
}

impl Truth {
    /// The exact answers to all queries over all rows.
    pub(crate) fn of(data: &Data, rows: &Vectors, peer: &mut Peer) -> anyhow::Result<Self> {
        kept(&data.cache.join(format!("truth-{}.json", rows.rows)), || {
            let command = json!({
                "do": "truth", "rows": rows.path, "queries": data.asked.path, "dimension": rows.dimension, "limit": LIMIT,
            });
            peer.compute(&command)
        })
    }

    /// The share of the nearest rows that was found.
    pub(crate) fn recall(&self, rows: &Vectors, queries: &[Vec<f32>], found: &[Vec<u32>]) -> anyhow::Result<f64> {
        let (mut hits, mut wanted) = (0, 0);
        for (at, found) in found.iter().enumerate() {
            let query = queries.get(at).context("an answer has no query")?;
            let distinct: HashSet<u32> = found.iter().copied().take(LIMIT).collect();
            let vectors = rows.some(distinct.into_iter())?;
            let near = vectors.iter().filter(|vector| dot(query, vector) >= self.least[at] - SLACK).count();
            hits += near.min(self.wanted[at]);
            wanted += self.wanted[at];
        }
        Ok(hits as f64 / wanted.max(1) as f64)
    }
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// What a file holds, or what is made and then kept in it.
pub(crate) fn kept<T: Serialize + for<'a> Deserialize<'a>>(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if path.exists() {
        let text = std::fs::read_to_string(path)?;
        return serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; remove it, and it is made again", path.display()));
    }
    let made = make()?;
    let partial = path.with_extension("partial");
    std::fs::write(&partial, serde_json::to_vec(&made)?)?;
    std::fs::rename(partial, path)?;
    Ok(made)
}
