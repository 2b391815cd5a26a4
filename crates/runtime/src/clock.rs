//! What time it is, and how long something took.
#![expect(clippy::disallowed_methods, reason = "this module is where the clocks are read")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use catena_domain::Timestamp;

/// The time of day. A clock before 1970 reads as zero.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// Measures how long something takes; never runs backwards.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The time since the start in milliseconds, with fractions.
    #[must_use]
    pub fn elapsed_ms(self) -> f64 {
        self.elapsed().as_secs_f64() * 1_000.0
    }
}

/// Waits. Dropping the future ends the wait.
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
