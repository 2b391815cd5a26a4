//! Logs: set up once, at the start of a process.
//!
//! Logs never hold document text, queries or secrets; those who log see to that, and a system test looks.

use std::io;

use tracing_subscriber::EnvFilter;

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
const DEFAULT_FILTER: &str = "info,ort=warn,rmcp=warn,sqlx=warn,tantivy=warn,hf_hub=warn";

/// Sends log lines to standard error from here on. `CATENA_LOG` (as in `info,catena_ingest=debug`) says which.
pub fn start(format: LogFormat) {
    let filter = environment::variable("CATENA_LOG").unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second call in one process (tests) keeps the first set-up.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
