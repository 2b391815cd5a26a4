//! Waiting for something that will be there.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until there is something, at most `limit_s` seconds; `what` names it if it never comes.
pub(crate) async fn until<T, F>(what: &str, limit_s: u64, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    let mut again = tokio::time::interval(LOOK_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        again.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(limit_s), "waited {limit_s} s in vain: {what}");
    }
}

/// Lets a moment pass: where a test must interrupt at a moment that nothing announces.
pub(crate) async fn moment(microseconds: u64) {
    let never = std::future::pending::<()>();
    let _ = tokio::time::timeout(Duration::from_micros(microseconds), never).await;
}
