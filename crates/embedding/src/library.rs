//! The ONNX Runtime library of this process.
//!
//! Promises: a library that is missing, not a library, or too old is an error before anything of it is used; asking twice
//! for the same library works. Does not: choose the library (see `locate`).

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::EmbeddingError;

#[cfg(target_os = "linux")]
const LIBRARY_MAGIC: &[u8] = b"\x7fELF";

/// What the process has loaded. Never unloaded: sessions may live as long as the process.
struct Loaded {
    path: PathBuf,
    environment: Environment,
}

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// Loads the ONNX Runtime library into this process, if it is not loaded yet: says whether it can be used.
pub fn check_library(library: &Path) -> Result<(), EmbeddingError> {
    environment(library).map(drop)
}

/// The process's ONNX Runtime, loaded from `library` at the first call.
pub(crate) fn environment(library: &Path) -> Result<Environment, EmbeddingError> {
    let path =
        library.canonicalize().map_err(|_| EmbeddingError::LibraryMissing { looked: vec![library.to_owned()] })?;
    let unusable = |reason: String| EmbeddingError::LibraryUnusable { path: path.clone(), reason };
    require_library_format(&path).map_err(unusable)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = loaded.as_ref() {
        return if known.path == path {
            Ok(known.environment.clone())
        } else {
            Err(EmbeddingError::LibraryFixed { loaded: known.path.clone(), asked: path })
        };
    }
    let builder = ort::init_from(&path).map_err(|error| match error {
        LoadDynamicError::BadVersion { version_str, path } => {
            EmbeddingError::LibraryTooOld { path, version: version_str }
        }
        LoadDynamicError::Dlopen { error, .. } => unusable(error.to_string()),
        LoadDynamicError::MissingApi { .. } => unusable("it is a library, but not ONNX Runtime".to_owned()),
        LoadDynamicError::InvalidVersionString => unusable("it does not say its version".to_owned()),
    })?;
    let environment = builder
        .with_name("catena")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    tracing::debug!(library = %path.display(), "onnx runtime loaded");
    *loaded = Some(Loaded { path, environment: environment.clone() });
    Ok(environment)
}

/// A readable refusal of what is no library at all; the loader's own words for that are less clear.
fn require_library_format(path: &Path) -> Result<(), String> {
    let mut file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|facts| facts.is_file()) {
        return Err("it is not a file".to_owned());
    }
    #[cfg(target_os = "linux")]
    {
        let mut start = [0; LIBRARY_MAGIC.len()];
        if file.read_exact(&mut start).is_err() || start != LIBRARY_MAGIC {
            return Err("it is not a shared library".to_owned());
        }
    }
    Ok(())
}

fn log(level: LogLevel, _category: &str, _id: &str, _location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {}
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(target: "onnxruntime", "{message}"),
    }
}
