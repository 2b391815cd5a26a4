//! Others' indexes: a Python that holds one of them, takes a command a line and answers each with a line.
//!
//! It computes on one thread, waits while nothing is asked, and ends with this value. What times and bounds it promises
//! stands in `benches/peers/index.py`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A Python and where it finds its packages.
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    pub(crate) packages: PathBuf,
}

/// What came back.
pub(crate) enum Answer<T> {
    Done(T),
    /// It could not be measured here, and why.
    Skipped(String),
}

pub(crate) struct Peer {
    process: Child,
    /// Gone when the process is to end.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// An index that was built or found.
#[derive(Deserialize)]
pub(crate) struct Opened {
    pub(crate) build_seconds: f64,
    pub(crate) bytes: u64,
    /// How hard it can be told to search, from the least on.
    pub(crate) efforts: Vec<u32>,
}

/// One round of all queries.
#[derive(Deserialize)]
pub(crate) struct Round {
    /// A query's share of the processor's time when all are given at once, so that Python itself costs nothing; not every
    /// search can be asked so.
    pub(crate) together_ms: Option<f64>,
    /// The processor's time of one query after the other, each a call from Python.
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) found: Vec<Vec<u32>>,
}

impl Round {
    /// A query's time with as little of Python in it as could be had.
    pub(crate) fn own_ms(&self) -> f64 {
        self.together_ms.unwrap_or(self.mean_ms)
    }
}

impl Peer {
    pub(crate) fn start(python: &Python) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/index.py");
        let mut command = Command::new(&python.program);
        command.env("PYTHONPATH", &python.packages).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| {
                format!("{} cannot be started; name a Python with --python", python.program.display())
            })?;
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("the peer has no output")?);
        Ok(Self { process, commands, answers })
    }

    pub(crate) fn ask<T: DeserializeOwned>(&mut self, command: &Value) -> anyhow::Result<Answer<T>> {
        let stdin = self.commands.as_mut().context("the peer has no input")?;
        writeln!(stdin, "{command}")
            .and_then(|()| stdin.flush())
            .context("the peer has ended; its last words are above")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            bail!("the peer ended over {command}; its last words are above");
        }
        let mut said: Value = serde_json::from_str(&line)?;
        if let Some(error) = said.get("error") {
            bail!("the peer failed: {error}");
        }
        match said.get_mut("skipped").map(Value::take) {
            Some(why) => Ok(Answer::Skipped(why.as_str().unwrap_or_default().to_owned())),
            None => Ok(Answer::Done(serde_json::from_value(said)?)),
        }
    }

    /// The answer to what every Python with numpy can do.
    pub(crate) fn compute<T: DeserializeOwned>(&mut self, command: &Value) -> anyhow::Result<T> {
        match self.ask(command)? {
            Answer::Done(answer) => Ok(answer),
            Answer::Skipped(why) => {
                bail!("{why}, and without it nothing can be measured: provision.py --with-benches brings it")
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Without input it ends by itself.
        drop(self.commands.take());
        let _ = self.process.wait();
    }
}
