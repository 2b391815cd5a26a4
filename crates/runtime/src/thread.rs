//! Threads of our own. Each has a name, so that a profile or a stack dump can be read.
//!
//! Promises: a thread that works in the background yields the processor to one that somebody waits for, as soon as that
//! one has work. Does not: starve the background, which keeps about a tenth of a processor that is wanted by both.
#![expect(clippy::disallowed_methods, reason = "this module is where threads are started")]

use std::io;
use std::thread::{Builder, JoinHandle};

/// How far threads in the background stand back, as `nice` counts. Ten steps are a tenth of the share.
#[cfg(target_os = "linux")]
const BACKGROUND_NICENESS: i32 = 10;

/// Whom a thread works for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody waits for the answer.
    Foreground,
    /// The work is to be done, but not before what somebody waits for.
    Background,
}

/// Starts a named thread.
pub fn spawn(name: &str, priority: Priority, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        stand_back(priority);
        work();
    })
}

/// Gives the calling thread its priority. Where the system refuses, the thread works all the same, only less politely.
pub(crate) fn stand_back(priority: Priority) {
    if priority == Priority::Background {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::process::setpriority_process(None, BACKGROUND_NICENESS) {
            tracing::debug!(%error, "a background thread keeps the usual priority");
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn niceness(priority: Priority) -> i32 {
        let (sender, receiver) = mpsc::channel();
        let thread = spawn("try", priority, move || {
            let _ = sender.send(rustix::process::getpriority_process(None).unwrap());
        });
        thread.unwrap().join().unwrap();
        receiver.recv().unwrap()
    }

    #[test]
    fn only_the_thread_in_the_background_stands_back() {
        let own = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(niceness(Priority::Background), BACKGROUND_NICENESS.max(own));
        assert_eq!(niceness(Priority::Foreground), own);
    }
}
