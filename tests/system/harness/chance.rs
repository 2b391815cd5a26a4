//! Chance that can be replayed: `CATENA_SYSTEM_TESTS_SEED` gives the seed that a failed run has printed.

use std::hash::{BuildHasher as _, RandomState};

use super::place;

/// A small generator of numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Begins with a new seed, or with the one that is wished for, and prints it.
    pub(crate) fn new(what: &str) -> Self {
        let seed = place::wish("SEED").unwrap_or_else(|| RandomState::new().hash_one(what));
        println!("{what}: replay with CATENA_SYSTEM_TESTS_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Another generator that goes its own way.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// An invented word that no tokenizer and no corpus knows.
    pub(crate) fn word(&mut self) -> String {
        (0..12)
            .map(|at| {
                let letters: &[u8] = if at % 2 == 0 { b"bdfgklmnprstvz" } else { b"aeiou" };
                char::from(letters[self.below(letters.len())])
            })
            .collect()
    }
}
