//! A query of four bits a number, cut into planes.

use catena_kernels::PLANES;

use crate::vectors::Direction;

/// The most that four bits hold.
const MOST: f32 = ((1 << PLANES) - 1) as f32;

/// A query, number for number `low` plus `step / 2` times what its four bits say.
pub(crate) struct Planes {
    pub(super) bits: Vec<u64>,
    pub(super) low: f32,
    /// Twice what a step is worth: a sign is twice a bit, less one.
    pub(super) step: f32,
    /// What all the steps are worth, which the signs' less one takes away.
    pub(super) offset: f32,
}

impl Planes {
    pub(crate) fn new(query: &Direction) -> Self {
        let values = &query.values;
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Equal numbers are all `low`, whatever a step is worth.
        let step = ((high - low) / MOST).max(f32::MIN_POSITIVE);
        let words = values.len().div_ceil(u64::BITS as usize);
        let mut bits = vec![0_u64; words * PLANES];
        let mut total = 0_u32;
        for (at, value) in values.iter().enumerate() {
            let level = ((value - low) / step).round().min(MOST) as u32;
            total += level;
            for plane in 0..PLANES {
                bits[plane * words + at / 64] |= u64::from(level >> plane & 1) << (at % 64);
            }
        }
        Self { bits, low, step: 2.0 * step, offset: step * total as f32 }
    }
}
