//! The program git, told exactly what it may do.
//!
//! Promises: it sees nothing of this process's environment, of the user's or the system's configuration, and no hook, no
//! helper, no submodule; it speaks only the protocols that are given; what is secret goes by its environment, never by its
//! arguments; it ends when it takes too long, says too much, fills the disk beyond a bound, or when nobody waits for it.
//! Does not: decide what is asked.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use catena_runtime::{clock, environment};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::error::SourceError;

/// Longest time for one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(900);
/// Largest mirror, in bytes.
const MIRROR_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// How often the mirror's size is looked at while git writes to it.
const SIZE_EVERY: Duration = Duration::from_secs(1);
/// Most of what git complains that is read, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 16 * 1024;
/// Oldest git that can be told to which addresses it connects.
const VERSION_MIN: (u32, u32) = (2, 37);

/// How git is called for one source.
#[derive(Clone)]
pub(super) struct Git {
    /// The bare repository it works in.
    pub(super) mirror: PathBuf,
    /// What the source is called in messages.
    pub(super) place: String,
    /// Which protocols it may speak, in git's own form.
    pub(super) protocols: &'static str,
    /// Configuration for this source alone; values may be secret.
    pub(super) config: Vec<(String, String)>,
    /// What must not be shown, should git say it.
    pub(super) secrets: Vec<String>,
}

/// Settings of every call.
const CONFIG: [(&str, &str); 17] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("core.sshCommand", "false"),
    ("core.quotePath", "false"),
    ("credential.helper", ""),
    ("diff.renameLimit", "0"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.uriProtocols", ""),
    ("gc.autoDetach", "false"),
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
    ("http.proxy", ""),
    ("maintenance.auto", "false"),
    ("protocol.version", "2"),
    ("transfer.bundleURI", "false"),
];

impl Git {
    /// The configuration of calls that read a repository on the disk. What is said by the environment git does not pass on
    /// to the other side.
    pub(super) fn trusting(&self) -> PathBuf {
        self.mirror.join("catena.config")
    }

    /// A command in the mirror.
    pub(super) fn command<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", environment::variable("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()))
            .env("HOME", &self.mirror)
            .env("LC_ALL", "C")
            .env("GIT_DIR", &self.mirror)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_GLOBAL", if self.protocols == "file" { self.trusting() } else { "/dev/null".into() })
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_ALLOW_PROTOCOL", self.protocols);
        let own = self.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut count = 0;
        for (key, value) in CONFIG.into_iter().chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command
            .env("GIT_CONFIG_COUNT", count.to_string())
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Starts a command.
    pub(super) fn start(&self, mut command: Command) -> Result<Running, SourceError> {
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::invalid(
                "the program git is not installed where the service runs; install git 2.37 or later, or remove the source",
            ),
            _ => SourceError::unreachable(&self.place, format!("git cannot be started: {error}")),
        })?;
        Ok(Running { group: child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)), child })
    }

    /// Runs a command to its end, and gives what it says.
    pub(super) async fn run<I: AsRef<OsStr>>(&self, arguments: &[I], bytes_max: u64) -> Result<Vec<u8>, SourceError> {
        let mut running = self.start(self.command(arguments))?;
        let (out, err) = (running.child.stdout.take(), running.child.stderr.take());
        let work = async {
            let (said, complaint) = tokio::join!(read(out, bytes_max), read(err, COMPLAINT_BYTES_MAX));
            let status = running.wait().await;
            (said, complaint, status)
        };
        let (said, complaint, status) = tokio::select! {
            done = work => done,
            () = clock::pause(COMMAND_TIMEOUT) => {
                return Err(self.failed(&format!("git took longer than {} s", COMMAND_TIMEOUT.as_secs())));
            }
            () = self.overflow() => {
                return Err(self.failed(&format!("its mirror grew beyond {MIRROR_BYTES_MAX} bytes, the limit")));
            }
        };
        let said = said.map_err(|error| self.failed(&error.to_string()))?;
        match status {
            Ok(status) if status.success() => Ok(said),
            Ok(_) => Err(self.complaint(&complaint.unwrap_or_default())),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// Returns when the mirror is larger than it may be.
    async fn overflow(&self) {
        loop {
            clock::pause(SIZE_EVERY).await;
            if pack_bytes(&self.mirror) > MIRROR_BYTES_MAX {
                return;
            }
        }
    }

    pub(super) fn failed(&self, reason: &str) -> SourceError {
        SourceError::unreachable(&self.place, reason)
    }

    /// What git itself gives as the reason, without what may be secret. Lines of the other side are left out.
    pub(super) fn complaint(&self, text: &[u8]) -> SourceError {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.lines().filter(|line| line.starts_with("fatal:") || line.starts_with("error:"));
        let mut reason: String = lines.next().unwrap_or("git failed without saying why").chars().take(400).collect();
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            reason = reason.replace(secret.as_str(), "(hidden)");
        }
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let refusals =
            ["Authentication failed", "could not read Username", "error: 401", "error: 403", "error: 404", "not found"];
        if refusals.iter().any(|refusal| reason.contains(refusal)) {
            SourceError::refused(&self.place, format!("{reason}; see to the address and the credentials"))
        } else {
            self.failed(&reason)
        }
    }

    /// Refuses a git that is too old to be told where to connect to.
    pub(super) async fn check_version(&self) -> Result<(), SourceError> {
        let said = self.run(&["version"], 4_096).await?;
        let said = String::from_utf8_lossy(&said);
        let numbers = said.trim().trim_start_matches("git version ").split('.').map(|part| part.parse().ok());
        match numbers.take(2).collect::<Option<Vec<u32>>>().as_deref() {
            Some(&[major, minor]) if (major, minor) >= VERSION_MIN => Ok(()),
            _ => Err(SourceError::invalid("git 2.37 or later is needed where the service runs; it is older")),
        }
    }
}

/// Reads what a command says, and no more than so much.
async fn read(from: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(from) = from else { return Ok(bytes) };
    from.take(bytes_max + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("git said more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

fn pack_bytes(mirror: &Path) -> u64 {
    let entries = fs::read_dir(mirror.join("objects/pack")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|facts| facts.len()).sum()
}

/// A git that runs, with all that it starts itself. Dropping it ends them.
pub(super) struct Running {
    pub(super) child: Child,
    group: Option<Pid>,
}

impl Running {
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // From here on the number may belong to somebody else.
        self.group = None;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
