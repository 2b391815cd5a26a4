//! The best rows of many, in an order that does not depend on how they came.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::row::{Hit, RowId, RowKey};

/// A row with its score; greater is better, and of two equal scores the lesser key is.
#[derive(Clone, Copy)]
struct Ranked {
    score: f32,
    key: RowKey,
    row: RowId,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |ranked: &Self| (ranked.key.doc, ranked.key.chunk, ranked.key.version);
        self.score.total_cmp(&other.score).then_with(|| key(other).cmp(&key(self)))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// Keeps the best `limit` rows of all that are offered.
pub(crate) struct Top {
    limit: usize,
    worst_first: BinaryHeap<Reverse<Ranked>>,
}

impl Top {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, worst_first: BinaryHeap::new() }
    }

    /// Offers a row. Its key is asked for only when the score may be good enough.
    pub(crate) fn offer(&mut self, score: f32, row: RowId, key: impl FnOnce() -> RowKey) {
        if self.worst_first.len() < self.limit {
            self.worst_first.push(Reverse(Ranked { score, key: key(), row }));
            return;
        }
        let Some(mut worst) = self.worst_first.peek_mut() else { return };
        if score.total_cmp(&worst.0.score) == Ordering::Less {
            return;
        }
        let ranked = Ranked { score, key: key(), row };
        if ranked > worst.0 {
            *worst = Reverse(ranked);
        }
    }

    /// The score that a row must have at least to be kept; `None` while there is room.
    pub(crate) fn least(&self) -> Option<f32> {
        let worst = self.worst_first.peek().filter(|_| self.worst_first.len() >= self.limit)?;
        Some(worst.0.score)
    }

    /// The rows that were kept, best first.
    pub(crate) fn into_hits(self) -> Vec<Hit> {
        let sorted = self.worst_first.into_sorted_vec();
        sorted.into_iter().map(|Reverse(ranked)| Hit { row: ranked.row, score: ranked.score }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_domain::{DocNo, VersionNo};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_are_kept_whatever_the_order_of_arrival(
            rows in prop::collection::hash_map(0_u32..1_000, 0_u8..5, 0..60).prop_flat_map(|rows| {
                let rows: Vec<(u32, u8)> = rows.into_iter().collect();
                (Just(rows.clone()), Just(rows).prop_shuffle())
            }),
            limit in 0_usize..20,
        ) {
            let kept = |rows: &[(u32, u8)]| {
                let mut top = Top::new(limit);
                for &(doc, score) in rows {
                    let key = RowKey { doc: DocNo(doc), version: VersionNo(1), chunk: 0 };
                    top.offer(f32::from(score), RowId { segment: 0, row: doc }, || key);
                }
                top.into_hits()
            };
            let mut sorted = rows.0.clone();
            sorted.sort_by_key(|&(doc, score)| (Reverse(score), doc));
            let want: Vec<u32> = sorted.iter().take(limit).map(|row| row.0).collect();
            for order in [&rows.0, &rows.1] {
                prop_assert_eq!(kept(order).iter().map(|hit| hit.row.row).collect::<Vec<_>>(), want.clone());
            }
        }
    }
}
