//! What measurements of the whole program share: starting it, and numbers about many runs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
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

    /// Ends the service and waits until it has let go of its data.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        Ok(())
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
