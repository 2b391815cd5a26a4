//! Times of many queries, and how they are said.

use std::fmt;
use std::time::Duration;

use catena_benches::percentile;
use catena_runtime::clock::Stopwatch;

/// Times of queries.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Measures one more.
    pub(crate) fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let watch = Stopwatch::start();
        let made = work();
        self.0.push(watch.elapsed());
        made
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_secs_f64() * 1e3 / self.0.len().max(1) as f64
    }

    /// What this share of the queries took at most.
    pub(crate) fn at_ms(&self, share: f64) -> f64 {
        percentile(&mut self.0.clone(), share).as_secs_f64() * 1e3
    }
}

/// Mean, p50 and p99, as columns of a table.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.3} | {:>8.3} | {:>8.3}", self.mean_ms(), self.at_ms(0.5), self.at_ms(0.99))
    }
}
