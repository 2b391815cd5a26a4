//! A set of rows of one segment, one bit a row.

/// A set of row numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    ones: u32,
}

impl Bits {
    pub(crate) fn empty(rows: u32) -> Self {
        Self { words: vec![0; rows.div_ceil(u64::BITS) as usize], ones: 0 }
    }

    /// Adds every row of `range`, none of which is in the set yet.
    pub(crate) fn fill(&mut self, range: std::ops::Range<u32>) {
        for row in range.clone() {
            self.words[(row / u64::BITS) as usize] |= 1 << (row % u64::BITS);
        }
        self.ones += range.len() as u32;
    }

    /// Whether `row` is in the set; a row beyond the segment is not.
    pub(crate) fn has(&self, row: u32) -> bool {
        self.words.get((row / u64::BITS) as usize).is_some_and(|word| word >> (row % u64::BITS) & 1 == 1)
    }

    /// The rows of the `at`th run of [`u64::BITS`], a bit each; none beyond the segment.
    pub(crate) fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or_default()
    }

    /// Those of the first `rows` rows that are not in the set, in order.
    pub(crate) fn absent(&self, rows: u32) -> impl Iterator<Item = u32> + '_ {
        let missing = self.words.iter().enumerate().filter(|(_, word)| **word != u64::MAX);
        missing.flat_map(|(at, &word)| ones(at, !word)).take_while(move |row| *row < rows)
    }

    /// How many rows are in the set.
    pub(crate) fn ones(&self) -> u32 {
        self.ones
    }

    /// How much memory the set takes beside itself.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// The rows in the set, in order. Words without any are skipped whole.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(|(at, &word)| ones(at, word))
    }
}

/// The rows that the bits of the `at`th word stand for.
pub(crate) fn ones(at: usize, word: u64) -> impl Iterator<Item = u32> {
    let mut rest = word;
    std::iter::from_fn(move || {
        (rest != 0).then(|| {
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            at as u32 * u64::BITS + bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn bits_are_a_set_of_numbers(rows in 1_u32..300, picks in prop::collection::btree_set(0_u32..300, 0..80)) {
            let picks: BTreeSet<u32> = picks.into_iter().filter(|row| *row < rows).collect();
            let mut bits = Bits::empty(rows);
            for &row in &picks {
                bits.fill(row..row + 1);
            }
            prop_assert_eq!(bits.iter().collect::<BTreeSet<_>>(), picks.clone());
            prop_assert_eq!(bits.ones() as usize, picks.len());
            prop_assert_eq!(bits.absent(rows).collect::<BTreeSet<_>>(), (0..rows).filter(|row| !picks.contains(row)).collect());
            for row in 0..400 {
                prop_assert_eq!(bits.has(row), picks.contains(&row));
            }
        }
    }
}
