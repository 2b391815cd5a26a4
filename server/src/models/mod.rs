//! `catena model`: which models are here, which of them may run, whether they work, and how fast.
//!
//! Promises: reads the settings that a service would read, and needs none to be running; changes nothing but the folder of
//! models, and that by `pull` alone; a model that is in order is never shown as damaged, nor the other way round. Does not:
//! allow a model, which is said in the settings and nowhere else.

mod bench;
mod check;
mod list;
mod pull;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use catena_domain::TenantId;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::client;
use crate::client::output::{Output, print};
use crate::settings::{Flags, Settings};

/// `catena model`.
#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    /// The file with settings, instead of catena.toml in this folder.
    #[arg(long, env = "CATENA_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// List the models that are here, and verify their files.
    List {
        /// List also the names that `pull` can fetch.
        #[arg(long)]
        known: bool,
    },
    /// Fetch a model by its name in the registry, into the folder of models. It is not allowed by that.
    Pull {
        /// A name that `catena model list --known` shows.
        name: String,
    },
    /// Verify a model's files, load it, and see whether its vectors are what they must be.
    Check {
        /// The folder of a model, or its name below the folder of models; the one in use, if none is named.
        name: Option<String>,
    },
    /// Measure how fast a model is on this machine.
    Bench {
        /// The folder of a model, or its name below the folder of models; the one in use, if none is named.
        name: Option<String>,
        /// How long each of the four parts is measured.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
    },
}

/// Runs `catena model`.
pub(crate) async fn run(arguments: ModelArguments) -> anyhow::Result<ExitCode> {
    let ModelArguments { config, json, command } = arguments;
    let settings = Settings::gather(Flags { config, ..Flags::default() })?;
    let output = if json { Output::Json } else { Output::Table };
    client::code(match command {
        ModelCommand::List { known } => {
            let wanted = if known { list::Wanted::WithKnown } else { list::Wanted::Here };
            list::run(&settings, wanted, output)
        }
        ModelCommand::Pull { name } => pull::run(&settings, &name, output),
        ModelCommand::Check { name } => check::run(&settings, name.as_deref(), output).await,
        ModelCommand::Bench { name, seconds } => bench::run(&settings, name.as_deref(), seconds, output).await,
    })
}

/// Prints what was found: as a table for people, as it is for programs.
fn show<T: Serialize>(output: Output, found: &T, table: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    match output {
        Output::Json => print(serde_json::to_string_pretty(found)?.as_bytes())?,
        Output::Table => print(table(found).as_bytes())?,
    }
    Ok(())
}

/// The line of catena.toml that allows this model beside those that are allowed already.
fn allowing(settings: &Settings, fingerprint: &str) -> String {
    let all = settings.allowed_models.named().chain([fingerprint]).map(|one| format!("\"{one}\""));
    format!("allowed_models = [{}]", all.collect::<Vec<_>>().join(", "))
}

/// A name for work that is no tenant's.
fn nobody(number: usize) -> TenantId {
    TenantId::new(&format!("model-{number}")).unwrap_or_else(|_| unreachable!("it is a name"))
}

/// A time as people read it.
fn milliseconds(value: f64) -> String {
    let digits = if value < 10.0 { 2 } else { 0 };
    format!("{value:.digits$} ms")
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1_000_000 => (bytes as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (bytes as f64 / 1e6, "MB"),
        _ => (bytes as f64 / 1e9, "GB"),
    };
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_allows_a_model_keeps_those_that_are_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catena.toml");
        std::fs::write(&file, "allowed_models = ['aa']").unwrap();
        let settings = Settings::gather(Flags { config: Some(file), ..Flags::default() }).unwrap();
        assert_eq!(allowing(&settings, "bb"), r#"allowed_models = ["aa", "bb"]"#);
    }

    #[test]
    fn sizes_are_read_at_a_glance() {
        assert_eq!(
            [size(0), size(466_247), size(23_100_000), size(2_000_000_000)],
            ["0.0 kB", "466.2 kB", "23.1 MB", "2.0 GB"]
        );
    }
}
