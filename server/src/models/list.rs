//! `catena model list`: the models that are here, and on request those that can be fetched.
//!
//! Promises: every file is verified; a folder that is damaged is a line that says what is wrong, beside the others.

use std::path::{Path, PathBuf};

use catena_embedding::{ModelSpec, find_model, inspect_model, registry};
use serde::Serialize;

use super::{show, size};
use crate::client::Ended;
use crate::client::output::{Output, note, table};
use crate::settings::Settings;

/// What is to be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What is here.
    Here,
    /// That, and what can be fetched.
    WithKnown,
}

/// Digits of a fingerprint that tell models apart for people.
const DIGITS: usize = 12;

#[derive(Debug, Serialize)]
struct Listed {
    models: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Vec<Known>>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    folder: PathBuf,
    in_use: bool,
    size_bytes: u64,
    #[serde(flatten)]
    state: State,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum State {
    Whole(Facts),
    Damaged { error: String },
}

#[derive(Debug, Serialize)]
struct Facts {
    kind: &'static str,
    precision: Option<&'static str>,
    remote: Option<String>,
    dimension: usize,
    window_tokens: usize,
    allowed: bool,
    fingerprint: String,
}

#[derive(Debug, Serialize)]
struct Known {
    name: String,
    kind: &'static str,
    repository: String,
    dimension: usize,
}

pub(super) fn run(settings: &Settings, wanted: Wanted, output: Output) -> anyhow::Result<Ended> {
    let models = here(settings);
    if models.is_empty() {
        note(&format!(
            "There are no models below {}; run `python3 deploy/provision/provision.py`.",
            settings.models.display()
        ));
    }
    let known = (wanted == Wanted::WithKnown).then(|| {
        let known = registry().into_iter();
        known.map(|it| Known { name: it.name, kind: it.kind, repository: it.repository, dimension: it.dimension })
    });
    show(output, &Listed { models, known: known.map(Iterator::collect) }, as_tables)?;
    Ok(Ended::Done)
}

/// The folders below that of the models, and the one in use if it lies elsewhere.
fn here(settings: &Settings) -> Vec<Row> {
    let in_use = find_model(&settings.models, &settings.model);
    let real = |folder: &Path| folder.canonicalize().ok();
    let is_in_use = |folder: &Path| in_use.as_deref().is_some_and(|used| real(used) == real(folder));
    let entries = std::fs::read_dir(&settings.models).into_iter().flatten().flatten();
    // What begins with a dot is being fetched, or was.
    let name = |folder: &Path| folder.file_name()?.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned);
    let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut named: Vec<(String, PathBuf)> = folders.filter_map(|path| Some((name(&path)?, path))).collect();
    named.sort();
    let mut rows: Vec<Row> = named
        .into_iter()
        .map(|(name, folder)| Row { in_use: is_in_use(&folder), ..row(settings, name, folder) })
        .collect();
    if !rows.iter().any(|row| row.in_use) {
        let folder = in_use.unwrap_or_else(|| settings.models.join(&settings.model));
        // Whoever has no model at all is told so in other words.
        if !rows.is_empty() || folder.exists() {
            rows.push(Row { in_use: true, ..row(settings, settings.model.clone(), folder) });
        }
    }
    rows
}

fn row(settings: &Settings, name: String, folder: PathBuf) -> Row {
    let inspected = inspect_model(&settings.models, &folder.display().to_string());
    let state = match inspected {
        Ok(model) => State::Whole(facts(&model, settings)),
        Err(_) if folder.is_dir() && find_model(&settings.models, &folder.display().to_string()).is_none() => {
            State::Damaged { error: "it has no catena-model.toml".to_owned() }
        }
        Err(_) if !folder.is_dir() => State::Damaged { error: "it is in the settings, and not here".to_owned() },
        Err(error) => State::Damaged { error: error.to_string() },
    };
    Row { name, in_use: false, size_bytes: bytes_in(&folder), folder, state }
}

fn facts(model: &ModelSpec, settings: &Settings) -> Facts {
    Facts {
        kind: model.kind().as_str(),
        precision: model.precision().map(|precision| precision.as_str()),
        remote: model.remote_url().map(str::to_owned),
        dimension: model.dimension(),
        window_tokens: model.window_tokens(),
        allowed: settings.allowed_models.has(model.fingerprint()),
        fingerprint: model.fingerprint().to_owned(),
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| std::fs::metadata(entry.path()).ok()).map(|facts| facts.len()).sum()
}

fn as_tables(listed: &Listed) -> String {
    let header = ["", "name", "kind", "precision", "dimension", "tokens", "size", "allowed", "fingerprint", "note"];
    let mut text = table(header, listed.models.iter().map(cells));
    if let Some(known) = &listed.known {
        let known = known
            .iter()
            .map(|it| [it.name.clone(), it.kind.to_owned(), it.dimension.to_string(), it.repository.clone()]);
        text.push_str("\n\n");
        text.push_str(&table(["known name", "kind", "dimension", "repository"], known));
    }
    text
}

fn cells(row: &Row) -> [String; 10] {
    let mark = if row.in_use { "*" } else { "" }.to_owned();
    let (name, size) = (row.name.clone(), size(row.size_bytes));
    match &row.state {
        State::Whole(facts) => [
            mark,
            name,
            facts.kind.to_owned(),
            facts.precision.unwrap_or(if facts.remote.is_some() { "remote" } else { "-" }).to_owned(),
            facts.dimension.to_string(),
            facts.window_tokens.to_string(),
            size,
            if facts.allowed { "yes" } else { "no" }.to_owned(),
            facts.fingerprint.chars().take(DIGITS).collect(),
            facts.remote.as_ref().map(|url| format!("run by {url}")).unwrap_or_default(),
        ],
        State::Damaged { error } => {
            let dash = || "-".to_owned();
            [mark, name, dash(), dash(), dash(), dash(), size, "no".to_owned(), dash(), format!("DAMAGED: {error}")]
        }
    }
}
