//! A query of four bits a number, cut into planes.

use catena_kernels::{PLANES, PlaneQuery};

use crate::vectors::Direction;

/// The most that four bits hold.
const MOST: f32 = ((1 << PLANES) - 1) as f32;

/// The query as estimates need it. A row's signs are its bits twice, less one: hence twice the step, and the offset.
pub(crate) fn planes(query: &Direction) -> PlaneQuery {
    let values = &query.values;
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Equal numbers are all `low`, whatever a step is worth.
    let step = ((high - low) / MOST).max(f32::MIN_POSITIVE);
    let mut planes = vec![[0_u64; PLANES]; values.len().div_ceil(u64::BITS as usize)];
    let mut total = 0_u32;
    for (at, value) in values.iter().enumerate() {
        let level = ((value - low) / step).round().min(MOST) as u32;
        total += level;
        for (plane, word) in planes[at / 64].iter_mut().enumerate() {
            *word |= u64::from(level >> plane & 1) << (at % 64);
        }
    }
    PlaneQuery { planes, step: 2.0 * step, offset: step * total as f32, low }
}
