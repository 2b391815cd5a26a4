//! What measurements share: starting the whole program, opening a model, and numbers about many runs.

pub mod hostile;

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use catena_embedding::{Allowed, Embedder, Place, open_model};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The operator's key of every service that is started here.
pub const OPERATOR_KEY: &str = "operator-key-of-the-benches";

/// A service that listens, and ends with this value.
#[derive(Debug)]
pub struct Service {
    process: Child,
    /// Where it listens.
    pub url: String,
}

impl Service {
    /// Starts `program` on the folder `data` and waits until it listens.
    pub async fn start(program: &Path, data: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more)
            .env("CATENA_OPERATOR_KEY", OPERATOR_KEY)
            // A service refuses settings that it does not know, and this one is a bench's.
            .env_remove("CATENA_BENCH_DATA")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started; build it first", program.display()))?;
        let stdout = process.stdout.take().context("the service has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(url) = line.strip_prefix("listening on ") {
                return Ok(Self { process, url: url.to_owned() });
            }
        }
        bail!("the service ended before it listened; its log above says why")
    }

    /// Ends the service as an operator does, and waits until it has ended.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.process.id().context("the service has ended")?;
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        let status = self.process.wait().await?;
        if status.success() { Ok(()) } else { bail!("the service ended with {status}; its log above says why") }
    }

    /// The memory that the service occupies, in KiB.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        let id = self.process.id().context("the service has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS line")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// The value below which this share of the times lies.
#[must_use]
pub fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let place = (share * times.len() as f64) as usize;
    times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The middle one of some figures.
#[must_use]
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A model that may be measured because somebody named it here.
pub fn open(model: &Path, workers: NonZeroUsize) -> anyhow::Result<Embedder> {
    let path = model.to_str().context("the model's folder has no name in Unicode")?;
    let looked = catena_embedding::inspect_model(Path::new("."), path)?;
    let allowed = Allowed::with([looked.fingerprint().to_owned()]);
    Ok(Embedder::start(open_model(Path::new("."), path, &allowed)?, &Place::here(workers))?)
}

/// The most words of the text that the model can read.
#[must_use]
pub fn cut(embedder: &Embedder, text: String) -> String {
    if embedder.count_tokens(&text) <= embedder.max_tokens() {
        return text;
    }
    let ends: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    let fits = ends.partition_point(|&end| embedder.count_tokens(&text[..end]) <= embedder.max_tokens());
    let end = fits.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or_default();
    text[..end].to_owned()
}
