//! `catena doctor`: what a service would find here, what is missing, and how to mend it.
//!
//! Promises: looks only, but for opening the data folder and asking identity providers for their keys, as a service
//! would; each finding is one line, and each missing thing comes with the way to get it. Does not: keep or repair anything.

use std::fmt;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use catena_catalog::{Catalog, CatalogError, Database};
use catena_embedding::{Embedder, ModelSpec, check_library, find_library, open_model, registry_names};
use catena_runtime::clock::Stopwatch;

use crate::oidc::{Oidc, Trust};
use crate::settings::Settings;

/// The file that makes a folder a model.
const MODEL_DESCRIPTION: &str = "catena-model.toml";
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
    let library = library(settings.onnxruntime.as_deref(), &mut say);
    let model = model(settings, &mut say);
    if let (Some(library), Some(model)) = (library, model) {
        say(embedding(model, &library).await);
    }
    let (usage, found) = data(&settings.data, &settings.database).await;
    say(found);
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

fn library(setting: Option<&Path>, say: &mut impl FnMut(Finding)) -> Option<PathBuf> {
    let usable = find_library(setting).and_then(|path| check_library(&path).map(|()| path));
    match usable {
        Ok(path) => {
            say(good("onnx runtime", format!("{}, of a version that will do", path.display())));
            Some(path)
        }
        Err(error) => {
            say(missing("onnx runtime", error.to_string()));
            None
        }
    }
}

fn model(settings: &Settings, say: &mut impl FnMut(Finding)) -> Option<ModelSpec> {
    let name = &settings.model;
    let there =
        [PathBuf::from(name), settings.models.join(name)].iter().any(|folder| folder.join(MODEL_DESCRIPTION).is_file());
    // Opening a known model that is not there would fetch it, and looking must not.
    if !there && registry_names().iter().any(|known| known == name) {
        let folder = settings.models.display();
        let text =
            format!("{name} is not below {folder} yet; where there is a network, a service fetches it at its start");
        say(missing("model", text));
        return None;
    }
    match open_model(&settings.models, name) {
        Ok(model) => {
            let (dimension, tokens) = (model.dimension(), model.max_tokens());
            say(good(
                "model",
                format!(
                    "{}, its files as they were published; {dimension} numbers for up to {tokens} tokens",
                    model.name()
                ),
            ));
            Some(model)
        }
        Err(error) => {
            say(missing("model", error.to_string()));
            None
        }
    }
}

async fn embedding(model: ModelSpec, library: &Path) -> Finding {
    let embedder = match Embedder::start(model, library, NonZeroUsize::MIN) {
        Ok(embedder) => embedder,
        Err(error) => return missing("embedding", error.to_string()),
    };
    let watch = Stopwatch::start();
    match embedder.embed_query(TEST_TEXT).await {
        Ok(vector) => {
            let (numbers, ms) = (vector.values.len(), watch.elapsed_ms());
            good("embedding", format!("a text became {numbers} numbers in {ms:.1} ms"))
        }
        Err(error) => missing("embedding", error.to_string()),
    }
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
        assert!(library(Some(folder.path()), &mut |finding| said.push(finding)).is_none());
        assert_eq!(said[0].grade, Grade::Missing);
        assert!(said[0].text.contains("provision.py"), "{}", said[0]);
    }
}
