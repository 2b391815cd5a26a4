//! `catena doctor`: what a service would find here, what is missing, and how to mend it.
//!
//! Promises: looks only, but for opening the data folder and asking identity providers for their keys, as a service
//! would; each finding is one line, and each missing thing comes with the way to get it. Does not: keep or repair
//! anything, unless it is told to (`doctor/verify.rs`).

mod verify;

use std::fmt;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

use catena_catalog::{Catalog, CatalogError, Database};
use catena_domain::TenantId;
use catena_embedding::{Device, Embedder, ModelSpec, Place, Reranker, check_library, find_library, open_model};
use catena_runtime::clock::Stopwatch;

use crate::oidc::{Oidc, Trust};
use crate::settings::Settings;

pub(crate) use verify::{Then, run as verify};

/// The file that makes a folder a data folder.
const CATALOG: &str = "catalog.db";
/// What is embedded for a test.
const TEST_TEXT: &str = "a test";

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    /// As it should be.
    Good,
    /// Worth knowing; a service starts all the same.
    Remark,
    /// A service cannot start.
    Missing,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Remark => "note",
            Self::Missing => "MISSING",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    what: &'static str,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<13} {}", self.grade, self.what, self.text)
    }
}

fn good(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Good, what, text: text.into() }
}

fn remark(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Remark, what, text: text.into() }
}

fn missing(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Missing, what, text: text.into() }
}

/// Looks at everything that a service needs and prints what it found.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut all_there = true;
    let mut say = |finding: Finding| {
        all_there &= finding.grade != Grade::Missing;
        println!("{finding}");
    };
    say(good("program", format!("catena {}, {} workers", env!("CARGO_PKG_VERSION"), settings.workers)));
    let model = model(settings, &mut say);
    let is_remote = model.as_ref().is_some_and(|model| model.remote_url().is_some());
    let can_compute = is_remote || library(settings.onnxruntime.as_deref(), settings.device, &mut say);
    if let (true, Some(model)) = (can_compute, model) {
        say(embedding(model, settings).await);
    }
    if let Some(name) = &settings.reranker {
        say(reranking(name, settings).await);
    }
    let (usage, found) = data(&settings.data, &settings.database).await;
    say(found);
    say(verify::glance(settings).await);
    say(address(settings, usage));
    providers(&settings.oidc, &mut say).await;
    say(corpora(&settings.corpora));
    let (verdict, code) = match (all_there, usage) {
        (false, _) => ("Something is missing. Mend what is marked MISSING, then look again.", ExitCode::FAILURE),
        (true, Use::Running) => ("All is there, and a service runs here already.", ExitCode::SUCCESS),
        (true, Use::Free) => ("All is there: catena serve", ExitCode::SUCCESS),
    };
    println!("\n{verdict}");
    Ok(code)
}

/// Whether a service has the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Free,
    Running,
}

/// Whether there is a library that computes.
fn library(setting: Option<&Path>, device: Device, say: &mut impl FnMut(Finding)) -> bool {
    let found = find_library(setting, device);
    let usable = found.and_then(|path| check_library(&path).map(|()| path));
    let is_usable = usable.is_ok();
    say(match usable {
        Ok(path) => good("onnx runtime", format!("{}, of a version that will do", path.display())),
        Err(error) => missing("onnx runtime", error.to_string()),
    });
    is_usable
}

fn model(settings: &Settings, say: &mut impl FnMut(Finding)) -> Option<ModelSpec> {
    match open_model(&settings.models, &settings.model, &settings.allowed_models) {
        Ok(model) => {
            let (dimension, tokens) = (model.dimension(), model.max_tokens());
            let place = match (model.remote_url(), model.precision()) {
                (Some(url), _) => format!("run by {url}"),
                (None, Some(precision)) => format!("{}, its files as they were described", precision.as_str()),
                (None, None) => "its files as they were described".to_owned(),
            };
            say(good("model", format!("{}, {place}; {dimension} numbers for up to {tokens} tokens", model.name())));
            Some(model)
        }
        Err(error) => {
            say(missing("model", error.to_string()));
            None
        }
    }
}

async fn embedding(model: ModelSpec, settings: &Settings) -> Finding {
    let embedder = match Embedder::start(model, &Place { workers: NonZeroUsize::MIN, ..settings.place() }) {
        Ok(embedder) => embedder,
        Err(error) => return missing("embedding", error.to_string()),
    };
    let device = embedder.device();
    let watch = Stopwatch::start();
    match embedder.embed_query(&nobody(), TEST_TEXT).await {
        Ok(vector) => {
            let (numbers, ms) = (vector.values.len(), watch.elapsed_ms());
            let text = format!("a text became {numbers} numbers in {ms:.1} ms");
            match (device, embedder.device_missed()) {
                (Some(device), Some(reason)) => {
                    let (wanted, used) = (settings.device.as_str(), device.as_str());
                    remark("embedding", format!("{text}, on {used}: {wanted} cannot be used: {reason}"))
                }
                (Some(device), None) => good("embedding", format!("{text}, on {}", device.as_str())),
                (None, _) => good("embedding", text),
            }
        }
        Err(error) => missing("embedding", error.to_string()),
    }
}

/// Whether the reranker that is set can judge.
async fn reranking(name: &str, settings: &Settings) -> Finding {
    const WHAT: &str = "reranker";
    let place = Place { workers: NonZeroUsize::MIN, ..settings.place() };
    let opened = open_model(&settings.models, name, &settings.allowed_models);
    let reranker = match opened.and_then(|model| Reranker::start(model, &place)) {
        Ok(reranker) => reranker,
        Err(error) => return missing(WHAT, error.to_string()),
    };
    let watch = Stopwatch::start();
    match reranker.judge(&nobody(), TEST_TEXT, vec![TEST_TEXT.to_owned()]).await {
        Ok(_) => good(WHAT, format!("{} judged a text in {:.1} ms", reranker.name(), watch.elapsed_ms())),
        Err(error) => missing(WHAT, error.to_string()),
    }
}

/// A name for work that is no tenant's.
fn nobody() -> TenantId {
    TenantId::new("doctor").unwrap_or_else(|_| unreachable!("it is a name"))
}

async fn data(folder: &Path, database: &Database) -> (Use, Finding) {
    const WHAT: &str = "data folder";
    let shown = folder.display();
    if matches!(database, Database::Embedded) && !folder.join(CATALOG).is_file() {
        let found = match writable(folder) {
            Ok(()) if folder.is_dir() => good(WHAT, format!("{shown} can be written; it holds nothing so far")),
            Ok(()) => good(WHAT, format!("{shown} is not there yet; a service makes it")),
            Err(error) => missing(WHAT, format!("{shown} cannot be written: {error}; name another with --data")),
        };
        return (Use::Free, found);
    }
    let catalog = match Catalog::open(folder, database).await {
        Ok(catalog) => catalog,
        Err(CatalogError::Locked { .. }) => {
            let text = format!("a service runs on {shown}; stop it before starting another");
            return (Use::Running, remark(WHAT, text));
        }
        Err(error @ CatalogError::Taken { .. }) => return (Use::Running, remark(WHAT, error.to_string())),
        Err(error) => return (Use::Free, missing(WHAT, error.to_string())),
    };
    let tenants = catalog.all_tenants().await;
    let closed = catalog.close().await;
    let found = match tenants.and_then(|tenants| closed.map(|()| tenants.len())) {
        Ok(tenants) => good(WHAT, format!("{shown} opens; it holds {tenants} tenants")),
        Err(error) => missing(WHAT, error.to_string()),
    };
    (Use::Free, found)
}

/// Whether files can be made in `folder`, or else in the nearest folder above it that is there.
fn writable(folder: &Path) -> std::io::Result<()> {
    let absolute = std::path::absolute(folder)?;
    let there = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let probe = there.join(".catena-doctor");
    std::fs::File::create_new(&probe)?;
    std::fs::remove_file(&probe)
}

fn address(settings: &Settings, usage: Use) -> Finding {
    let listen = settings.listen;
    match TcpListener::bind(listen) {
        Ok(_) => good("address", format!("{listen} is free")),
        Err(error) if usage == Use::Running => {
            remark("address", format!("{listen} is taken ({error}), by that service it seems"))
        }
        Err(error) => missing("address", format!("{listen} cannot be listened on: {error}; choose one with --listen")),
    }
}

/// Whether the identity providers give their keys. A service starts without them.
async fn providers(trusted: &[Trust], say: &mut impl FnMut(Finding)) {
    let oidc = match Oidc::new(trusted) {
        Ok(oidc) => oidc,
        Err(error) => return say(missing("identity", format!("{error:#}"))),
    };
    for (name, seen) in oidc.look().await {
        say(match seen {
            Ok(0) => {
                remark("identity", format!("{name} has no key for its `algorithms`, so no token of it is accepted"))
            }
            Ok(keys) => good("identity", format!("{name} gives its keys, {keys} of them for its `algorithms`")),
            Err(error) => remark("identity", format!("{name}: {error}; its tokens are refused until this works")),
        });
    }
}

fn corpora(folder: &Path) -> Finding {
    let tenants = std::fs::read_dir(folder)
        .map_or(0, |entries| entries.flatten().filter(|entry| entry.path().join("tenant.toml").is_file()).count());
    match tenants {
        0 => remark(
            "demo",
            format!("no demo tenants in {}; only `serve --demo` needs them (CATENA_CORPORA)", folder.display()),
        ),
        tenants => good("demo", format!("{tenants} tenants in {}, for `serve --demo`", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_no_fault_and_is_not_made() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        assert_eq!(data(&folder, &Database::Embedded).await.1.grade, Grade::Good);
        assert!(!parent.path().join("a").exists());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_folder_in_usageis_told_apart_from_a_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path(), &Database::Embedded).await.unwrap();
        let (usage, found) = data(folder.path(), &Database::Embedded).await;
        assert_eq!((usage, found.grade), (Use::Running, Grade::Remark));
        catalog.close().await.unwrap();
        drop(catalog);
        assert_eq!(data(folder.path(), &Database::Embedded).await.1.grade, Grade::Good);
        std::fs::remove_file(folder.path().join("secret.key")).unwrap();
        let (_, found) = data(folder.path(), &Database::Embedded).await;
        assert_eq!(found.grade, Grade::Missing, "{found}");
        assert!(found.text.contains("secret.key"), "{found}");
    }

    #[test]
    fn a_missing_library_is_told_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        assert!(!library(Some(folder.path()), Device::Cpu, &mut |finding| said.push(finding)));
        assert_eq!(said[0].grade, Grade::Missing);
        assert!(said[0].text.contains("provision.py"), "{}", said[0]);
    }
}
