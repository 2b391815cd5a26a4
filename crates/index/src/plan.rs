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

/// Nanoseconds for 64 numbers of a row, scanned.
const SCAN: f64 = 1.5;
/// For 64 numbers of a centre, ranked.
const RANK: f64 = 1.0;
/// For a row, estimated.
const ESTIMATE: f64 = 2.5;
/// For what else a walk costs: looking at the rows that pass.
const WALK: f64 = 20_000.0;

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
        (_, None) => Way::Scan,
        (seen, Some(coarse)) => {
            let steps = segment.vectors().dimension().div_ceil(64) as f64;
            let costs = Costs { rows: f64::from(segment.rows()), lists: coarse.lists() as f64, steps };
            costs.cheaper(f64::from(seen), limit as f64)
        }
    }
}

/// What the ways cost in one segment.
struct Costs {
    rows: f64,
    lists: f64,
    steps: f64,
}

impl Costs {
    fn cheaper(&self, seen: f64, limit: f64) -> Way {
        let scan = seen * self.steps * SCAN;
        // As many visible rows as the limit asks for lie the farther apart, the fewer rows are visible.
        let reached = (0.02 * self.rows * (self.rows / seen).sqrt() * (limit / 10.0).max(1.0).sqrt()).min(self.rows);
        let lists = self.lists * self.steps * RANK + reached * ESTIMATE + WALK;
        if scan <= lists { Way::Scan } else { Way::Lists }
    }
}
