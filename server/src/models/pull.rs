//! `catena model pull`: fetches a model of the registry.
//!
//! Promises: says what has to be written where before it may run, and that it may not yet. Does not: write it there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use catena_embedding::{Pulled, find_model, inspect_model, pull_model};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{allowing, show};
use crate::client::Ended;
use crate::client::output::{Output, note, pairs};
use crate::settings::Settings;

const TURN: Duration = Duration::from_millis(120);

#[derive(Debug, Serialize)]
struct Brought {
    folder: PathBuf,
    /// Or it was there already.
    fetched: bool,
    fingerprint: String,
    allowed: bool,
    /// What catena.toml needs before it may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_allow: Option<String>,
}

pub(super) fn run(settings: &Settings, name: &str, output: Output) -> anyhow::Result<Ended> {
    let pulled = match find_model(&settings.models, name) {
        // Also one that the registry does not know.
        Some(folder) => Pulled::WasThere(folder),
        None => fetch(&settings.models, name)?,
    };
    let (folder, fetched) = match pulled {
        Pulled::Fetched(folder) => (folder, true),
        Pulled::WasThere(folder) => (folder, false),
    };
    let model = inspect_model(&settings.models, &folder.display().to_string())
        .with_context(|| format!("{} is there, but not in order; remove it to fetch it again", folder.display()))?;
    let fingerprint = model.fingerprint().to_owned();
    let allowed = settings.allowed_models.has(&fingerprint);
    let to_allow = (!allowed).then(|| allowing(settings, &fingerprint));
    show(output, &Brought { folder, fetched, fingerprint, allowed, to_allow }, as_text)?;
    Ok(Ended::Done)
}

fn fetch(models: &Path, name: &str) -> anyhow::Result<Pulled> {
    note(&format!("Fetching {name} into {}; this can take minutes.", models.display()));
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TURN);
    let pulled = pull_model(models, name);
    spinner.finish_and_clear();
    Ok(pulled?)
}

fn as_text(brought: &Brought) -> String {
    let Brought { folder, fetched, fingerprint, to_allow, .. } = brought;
    let shown = folder.display();
    let what = if *fetched { "fetched into" } else { "there already" };
    let facts = pairs([(what, shown.to_string()), ("fingerprint", fingerprint.clone())]);
    match to_allow {
        None => format!("{facts}\n\nIt may run. The setting `model` says which one does."),
        Some(line) => format!(
            "{facts}\n\nIt may not run yet. `catena model check {shown}` tries it. If you trust it, write into catena.toml:\n\n\
             {line}\n\nThe setting `model` says which one runs; a change of it re-indexes every tenant."
        ),
    }
}
