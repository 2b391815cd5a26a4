//! Logs: set up once, at the start of a process.
//!
//! Logs never hold document text, queries or secrets; those who log see to that, and a system test looks.

use std::io::{self, IsTerminal as _};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::environment;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// What is logged unless `CATENA_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info";

/// Whether a line may be logged at all. Below a warning, other people's crates log whole messages, and with them texts,
/// queries and keys; so no setting turns that on.
fn is_ours_or_grave(line: &Metadata<'_>) -> bool {
    line.target().starts_with("catena") || *line.level() <= Level::WARN
}

/// Sends log lines to standard error from here on. `CATENA_LOG` (as in `info,catena_ingest=debug`) says which.
pub fn start(format: LogFormat) {
    let filter = environment::variable("CATENA_LOG").unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second call in one process (tests) keeps the first set-up.
    let _ = registry().with(filter).with(lines.with_filter(filter_fn(is_ours_or_grave))).try_init();
}
