//! A rate's measure: so much at once, and as much again in each window.
//!
//! Promises: in any stretch of time no more is let through than the measure holds, plus what flowed back in that stretch;
//! whoever waits as told is let through. Is told the time rather than reading it, so that every case can be tried. Does
//! not: know whose rate it is, or wait.

use std::time::Duration;

/// A bucket that empties by one for each thing let through and fills up evenly in the course of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// How many it holds.
    size: u64,
    /// How long one takes to flow back.
    interval: Duration,
    /// When it will be full again, if nothing more is taken.
    full_at: Duration,
}

/// What became of an attempt to take one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whether there was one.
    pub outcome: Outcome,
    /// How many are left.
    pub left: u64,
    /// How long until there is one more.
    pub next_in: Duration,
}

/// Whether there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was.
    Through,
    /// There was none.
    Refused,
}

impl Bucket {
    /// A full bucket of `size`, which fills up in one `window`. A size of zero counts as one.
    #[must_use]
    pub fn new(size: u64, window: Duration) -> Self {
        let size = size.max(1);
        let nanos = window.as_nanos().div_ceil(u128::from(size)).max(1);
        let interval = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Self { size, interval, full_at: Duration::ZERO }
    }

    /// How many it holds.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes one at the moment `now`, which lies so long after a beginning that is the same for every call.
    pub fn take(&mut self, now: Duration) -> Taken {
        let full_at = self.full_at.max(now);
        let outcome = if self.left(full_at - now) > 0 { Outcome::Through } else { Outcome::Refused };
        if outcome == Outcome::Through {
            self.full_at = full_at.saturating_add(self.interval);
        }
        let missing = self.full_at.saturating_sub(now);
        Taken { outcome, left: self.left(missing), next_in: self.next_in(missing) }
    }

    /// Whether it is as full as a new one, so that nothing is lost if it is forgotten.
    #[must_use]
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }

    /// How many are in it when it needs so long to be full.
    fn left(&self, missing: Duration) -> u64 {
        let taken = missing.as_nanos().div_ceil(self.interval.as_nanos());
        self.size.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX))
    }

    fn next_in(&self, missing: Duration) -> Duration {
        let rest = missing.as_nanos() % self.interval.as_nanos();
        let nanos = match rest {
            0 if missing.is_zero() => 0,
            0 => self.interval.as_nanos(),
            rest => rest,
        };
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn attempts() -> impl Strategy<Value = (u64, Vec<u64>)> {
        (1u64..200, prop::collection::vec(prop_oneof![3 => 0u64..2_000_000, 1 => 0u64..90_000_000], 1..400))
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_lets_more_through_than_the_measure((size, pauses_us) in attempts()) {
            let mut bucket = Bucket::new(size, WINDOW);
            let (mut now, mut through) = (Duration::ZERO, Vec::new());
            for pause in pauses_us {
                now += Duration::from_micros(pause);
                let taken = bucket.take(now);
                if taken.outcome == Outcome::Through {
                    through.push(now);
                } else {
                    prop_assert_eq!(taken.left, 0);
                    let mut later = bucket;
                    prop_assert_eq!(later.take(now + taken.next_in).outcome, Outcome::Through, "waited in vain");
                    let mut early = bucket;
                    let before = now + taken.next_in - Duration::from_nanos(1);
                    prop_assert_eq!(early.take(before).outcome, Outcome::Refused, "told to wait for nothing");
                }
            }
            for (at, from) in through.iter().enumerate() {
                for (to_at, to) in through.iter().enumerate().skip(at) {
                    let flowed = (*to - *from).as_secs_f64() / WINDOW.as_secs_f64() * size as f64;
                    prop_assert!((to_at - at + 1) as f64 <= size as f64 + flowed + 1e-6);
                }
            }
        }

        #[test]
        fn what_is_told_to_be_left_can_be_taken_at_once_and_no_more((size, pauses_us) in attempts()) {
            let mut bucket = Bucket::new(size, WINDOW);
            let mut now = Duration::ZERO;
            for pause in pauses_us {
                now += Duration::from_micros(pause);
                let taken = bucket.take(now);
                let mut rest = bucket;
                for _ in 0..taken.left {
                    prop_assert_eq!(rest.take(now).outcome, Outcome::Through);
                }
                prop_assert_eq!(rest.take(now).outcome, Outcome::Refused);
            }
        }

        #[test]
        fn a_bucket_at_rest_is_as_good_as_new((size, pauses_us) in attempts()) {
            let mut bucket = Bucket::new(size, WINDOW);
            let mut now = Duration::ZERO;
            for pause in pauses_us {
                now += Duration::from_micros(pause);
                bucket.take(now);
            }
            // Intervals are rounded up, so the last of them may end a little after the window.
            now += WINDOW + Duration::from_micros(1);
            prop_assert!(bucket.is_full(now));
            prop_assert_eq!(bucket.take(now), Bucket::new(size, WINDOW).take(now));
        }
    }
}
