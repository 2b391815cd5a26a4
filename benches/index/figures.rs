//! Times of many queries, and how they are said.
//!
//! A mean is of processor time, so that it does not hold what other programs did meanwhile; p50 and p99 are of the time
//! that passed, as whoever waits sees it.

use std::fmt;
use std::time::Duration;

use catena_benches::percentile;
use catena_runtime::clock::Stopwatch;

/// How long a round must last: the system brings a thread's processor time up to date every few milliseconds.
const ROUND_MIN: Duration = Duration::from_millis(250);

/// Times of queries.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times {
    each: Vec<Duration>,
    /// What all of them took of a processor, where the system says it.
    processor: Option<Duration>,
}

impl Times {
    /// Measures a round: `work` asks all queries, each by [`Times::of`], again and again until it lasted long enough.
    pub(crate) fn round<T>(mut work: impl FnMut(&mut Self) -> anyhow::Result<T>) -> anyhow::Result<(Self, T)> {
        let mut times = Self::default();
        let (watch, before) = (Stopwatch::start(), processor_time());
        let made = loop {
            let made = work(&mut times)?;
            if watch.elapsed() >= ROUND_MIN {
                break made;
            }
        };
        times.processor = before.zip(processor_time()).map(|(before, after)| after.saturating_sub(before));
        Ok((times, made))
    }

    /// Measures one more.
    pub(crate) fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let watch = Stopwatch::start();
        let made = work();
        self.add(watch.elapsed());
        made
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.each.push(time);
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        let all = self.processor.unwrap_or_else(|| self.each.iter().sum());
        all.as_secs_f64() * 1e3 / self.each.len().max(1) as f64
    }

    /// What this share of the queries took at most.
    pub(crate) fn at_ms(&self, share: f64) -> f64 {
        percentile(&mut self.each.clone(), share).as_secs_f64() * 1e3
    }
}

/// Mean, p50 and p99, as columns of a table.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.3} | {:>8.3} | {:>8.3}", self.mean_ms(), self.at_ms(0.5), self.at_ms(0.99))
    }
}

/// What this thread has had of a processor so far; only Linux says it.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
