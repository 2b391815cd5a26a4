//! What the process was given: variables, folders, processors.
#![expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// A variable's value, if it is set to something and is valid Unicode.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// All variables whose name starts with `prefix`.
#[must_use]
pub fn variables(prefix: &str) -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect()
}

/// The folder in which the process was started.
pub fn current_dir() -> io::Result<PathBuf> {
    std::env::current_dir()
}

/// The path of the running program.
pub fn executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The first argument that the program was called with, if it is valid Unicode.
#[must_use]
pub fn first_argument() -> Option<String> {
    std::env::args_os().nth(1)?.into_string().ok()
}

/// Processors that this process may use.
#[must_use]
pub fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
