//! Threads of our own. Each has a name, so that a profile or a stack dump can be read.
#![expect(clippy::disallowed_methods, reason = "this module is where threads are started")]

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a named thread.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work)
}
