//! Threads of our own. Each has a name, so that a profile or a stack dump can be read.
//!
//! Promises: a thread that works in the background leaves its processor to any usual thread that wants it, of this program
//! or of another in the same share of the machine. Does not: promise the background more than a sliver while all processors
//! are wanted by others.
#![expect(clippy::disallowed_methods, reason = "this module is where threads are started")]

use std::io;
use std::thread::{Builder, JoinHandle};

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
        if let Err(error) = linux::be_idle() {
            tracing::debug!(?error, "a background thread keeps the usual priority");
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use thread_priority::unix::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };
    use thread_priority::{Error, ThreadPriority};

    /// Of this kind, because a processor that runs nothing else counts as free when another thread wakes up: a lower
    /// `nice` value alone lets that thread wait behind its equals on another processor.
    pub(super) const POLICY: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

    pub(super) fn be_idle() -> Result<(), Error> {
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, POLICY)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use thread_priority::unix::thread_schedule_policy;

    fn is_idle(priority: Priority) -> bool {
        let (sender, receiver) = mpsc::channel();
        let thread = spawn("try", priority, move || {
            let _ = sender.send(thread_schedule_policy().unwrap() == linux::POLICY);
        });
        thread.unwrap().join().unwrap();
        receiver.recv().unwrap()
    }

    #[test]
    fn only_the_thread_in_the_background_stands_back() {
        assert!(is_idle(Priority::Background));
        assert!(!is_idle(Priority::Foreground));
    }
}
