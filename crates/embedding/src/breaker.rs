//! Leaves a server alone that has just failed several times.
//!
//! Promises: while it is open nobody waits for a server that is known to be away; after a pause one call tries it, and
//! the others go on only when that one succeeded. Does not: call anything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catena_runtime::clock::Stopwatch;

/// Failures in a row after which a server is left alone.
const FAILURES: u32 = 5;
/// For how long.
const PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum State {
    /// Calls go through; so many have failed since the last that did not.
    Closed { failures: u32 },
    /// No call goes through until the pause is over.
    Open { since: Stopwatch },
    /// One call is trying.
    Trying { since: Stopwatch },
}

/// The breaker of one server.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    pause: Duration,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self::with_pause(PAUSE)
    }

    fn with_pause(pause: Duration) -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }), pause }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may be made now. Whoever may, says afterwards how it went; a try that never says is forgotten
    /// after another pause.
    pub(crate) fn may_call(&self) -> bool {
        let mut state = self.lock();
        match &*state {
            State::Closed { .. } => true,
            State::Open { since } | State::Trying { since } if since.elapsed() >= self.pause => {
                *state = State::Trying { since: Stopwatch::start() };
                true
            }
            State::Open { .. } | State::Trying { .. } => false,
        }
    }

    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        if !matches!(*state, State::Closed { .. }) {
            tracing::info!("the embedding server answers again");
        }
        *state = State::Closed { failures: 0 };
        metrics::gauge!("catena_embedding_server_away").set(0.0);
    }

    pub(crate) fn failed(&self) {
        let mut state = self.lock();
        let failures = match &*state {
            State::Closed { failures } => failures + 1,
            State::Open { .. } | State::Trying { .. } => FAILURES,
        };
        if failures < FAILURES {
            *state = State::Closed { failures };
            return;
        }
        if matches!(*state, State::Closed { .. }) {
            tracing::warn!(failures, pause_s = self.pause.as_secs(), "the embedding server is left alone for a while");
        }
        *state = State::Open { since: Stopwatch::start() };
        metrics::gauge!("catena_embedding_server_away").set(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(pause: Duration) -> Breaker {
        let breaker = Breaker::with_pause(pause);
        for _ in 0..FAILURES {
            assert!(breaker.may_call());
            breaker.failed();
        }
        breaker
    }

    #[test]
    fn after_failures_in_a_row_nobody_calls() {
        assert!(!broken(PAUSE).may_call());
        let breaker = Breaker::with_pause(PAUSE);
        for _ in 0..3 * FAILURES {
            breaker.failed();
            breaker.succeeded();
        }
        assert!(breaker.may_call());
    }

    #[test]
    fn after_the_pause_one_call_tries_and_decides_for_all() {
        let breaker = broken(Duration::ZERO);
        assert!(breaker.may_call());
        breaker.succeeded();
        assert!(breaker.may_call() && breaker.may_call());

        let breaker = broken(PAUSE);
        *breaker.lock() = State::Trying { since: Stopwatch::start() };
        assert!(!breaker.may_call());
        breaker.failed();
        assert!(!breaker.may_call());
    }
}
