//! Which way a dense search takes through each segment: the one place that decides it.
//!
//! By the number of visible rows and by what a row costs on each way, as measured on one core with AVX-512 (see
//! `benches/index`): a scan pays for each visible row and for nothing else, the lists pay for their centres and for the
//! rows that are estimated, visible or not.

use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::visible::{SegmentVisible, Visible};

/// The way through one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// No row is visible.
    Nothing,
    /// Every visible row, in eight bits.
    Scan,
    /// The lists that promise most, by single bits, then as with a scan.
    Lists,
}

impl Way {
    /// The way's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Scan => "scan",
            Self::Lists => "lists",
        }
    }
}

/// Nanoseconds for 64 numbers of a row, scanned, where the codes of all rows fit the processor's cache.
const SCAN: f64 = 6.0;
/// The same where they do not: rows that may be seen lie apart, so most of it is waiting for memory.
const SCAN_FAR: f64 = 13.0;
/// Codes of so many bytes fit.
const CACHED: f64 = 64.0 * 1024.0 * 1024.0;
/// For 64 numbers of a centre, ranked.
const RANK: f64 = 1.0;
/// For a row, estimated.
const ESTIMATE: f64 = 3.0;
/// For what else a walk costs: looking at the rows that pass.
const WALK: f64 = 20_000.0;
/// The share of the rows that are estimated when all may be seen.
const REACHED: f64 = 0.5;

/// The way through each segment of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(Vec<Way>);

impl Plan {
    pub(crate) fn new(snapshot: &Snapshot, visible: &Visible, limit: usize) -> Self {
        Self(
            snapshot
                .segments()
                .iter()
                .zip(&visible.segments)
                .map(|(segment, bits)| way(segment, bits, limit))
                .collect(),
        )
    }

    /// The segments with their ways.
    pub(crate) fn ways(&self) -> impl Iterator<Item = (usize, Way)> + '_ {
        self.0.iter().copied().enumerate()
    }
}

fn way(segment: &Segment, bits: &SegmentVisible, limit: usize) -> Way {
    match (bits.visible.ones(), segment.coarse()) {
        (0, _) => Way::Nothing,
        // As many as are wanted would be walked to anyway.
        (seen, _) if seen as usize <= limit => Way::Scan,
        (_, None) => Way::Scan,
        (seen, Some(coarse)) => {
            let steps = segment.vectors().dimension().div_ceil(64) as f64;
            cheaper(f64::from(segment.rows()), f64::from(seen), coarse.lists() as f64, steps)
        }
    }
}

fn cheaper(rows: f64, seen: f64, lists: f64, steps: f64) -> Way {
    let each = if rows * steps * 64.0 > CACHED { SCAN_FAR } else { SCAN };
    let scan = seen * steps * each;
    // The fewer rows may be seen, the farther away are the best of them, and the more lists are walked.
    let reached = (REACHED * rows * (rows / seen).powf(0.25)).min(rows);
    let walk = lists * steps * RANK + reached * ESTIMATE + WALK;
    if scan <= walk { Way::Scan } else { Way::Lists }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_many_rows_are_scanned_and_many_are_walked_to() {
        for rows in [10_000.0, 100_000.0, 1_000_000.0, 4_000_000.0_f64] {
            let way = |share: f64| cheaper(rows, share * rows, 2.0 * rows.sqrt(), 6.0);
            assert_eq!((way(0.001), way(0.01), way(0.5), way(1.0)), (Way::Scan, Way::Scan, Way::Lists, Way::Lists));
            let turns: Vec<Way> = (1..=100).map(|percent| way(f64::from(percent) / 100.0)).collect();
            assert_eq!(turns.chunk_by(|one, next| one == next).count(), 2, "{rows}: it turns once");
        }
    }
}
