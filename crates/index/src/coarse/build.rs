//! The file's bytes, from a segment's vectors.

use catena_kernels::BLOCK_ROWS;

use super::NO_ROW;
use super::cluster::{gather, lists_for};
use super::layout::{Layout, Parts};
use crate::vectors::{Vectors, quantise};

/// The bytes of `vectors.b1` for these vectors.
pub(crate) fn build(vectors: &Vectors) -> Vec<u8> {
    let mut lists = vec![Vec::new(); lists_for(vectors.rows())];
    for (row, &list) in gather(vectors).iter().enumerate() {
        lists[list as usize].push(row as u32);
    }
    // A list without rows has nothing to offer, and would only be ranked.
    lists.retain(|rows| !rows.is_empty());
    let blocks = lists.iter().map(|rows| rows.len().div_ceil(BLOCK_ROWS)).sum();
    let layout = Layout { lists: lists.len(), blocks, dimension: vectors.dimension() };
    let places = blocks * BLOCK_ROWS;
    let mut parts = Parts {
        centres: Vec::with_capacity(lists.len() * vectors.dimension()),
        steps: Vec::new(),
        spreads: Vec::new(),
        starts: vec![0],
        rows: Vec::with_capacity(places),
        weights: Vec::with_capacity(places),
        leanings: Vec::with_capacity(places),
        bits: Vec::with_capacity(places * layout.words()),
    };
    for rows in lists {
        add_list(&mut parts, vectors, &rows);
    }
    parts.into_bytes(layout)
}

fn add_list(parts: &mut Parts, vectors: &Vectors, rows: &[u32]) {
    let (step, codes) = quantise(&middle(vectors, rows));
    // Rests are taken from the centre as it is stored, so its rounding is made good by them.
    let centre: Vec<f32> = codes.iter().map(|&code| step * f32::from(code)).collect();
    let mut squares = 0.0_f64;
    for block in rows.chunks(BLOCK_ROWS) {
        let mut bits = vec![[0_u64; BLOCK_ROWS]; vectors.dimension().div_ceil(u64::BITS as usize)];
        for (place, &row) in block.iter().enumerate() {
            let halves = vectors.halves(row..row + 1).iter();
            let rest: Vec<f32> = halves.zip(&centre).map(|(value, centre)| value.to_f32() - centre).collect();
            let sign = Signs::of(&rest);
            for (at, _) in rest.iter().enumerate().filter(|(_, value)| **value > 0.0) {
                bits[at / 64][place] |= 1 << (at % 64);
            }
            squares += f64::from(sign.square);
            parts.weights.push(sign.weight);
            parts.leanings.push(sign.weight * sign.leaning);
        }
        let empty = BLOCK_ROWS - block.len();
        parts.rows.extend(block.iter().copied().chain(std::iter::repeat_n(NO_ROW, empty)));
        parts.weights.extend(std::iter::repeat_n(0.0, empty));
        parts.leanings.extend(std::iter::repeat_n(0.0, empty));
        parts.bits.extend(bits.iter().flatten());
    }
    let spread = (squares / (rows.len() * vectors.dimension()) as f64).sqrt();
    parts.centres.extend(codes);
    parts.steps.push(step);
    parts.spreads.push(spread as f32);
    parts.starts.push((parts.rows.len() / BLOCK_ROWS) as u32);
}

/// The mean of some rows.
fn middle(vectors: &Vectors, rows: &[u32]) -> Vec<f32> {
    let mut sum = vec![0.0_f32; vectors.dimension()];
    for &row in rows {
        for (sum, value) in sum.iter_mut().zip(vectors.halves(row..row + 1)) {
            *sum += value.to_f32();
        }
    }
    sum.iter().map(|value| value / rows.len() as f32).collect()
}

/// What is kept of a rest besides its signs.
struct Signs {
    square: f32,
    /// What the signs' product with a query is multiplied by: then the rest's product with itself is right.
    weight: f32,
    /// Ones less zeros.
    leaning: f32,
}

impl Signs {
    fn of(rest: &[f32]) -> Self {
        let square: f32 = rest.iter().map(|value| value * value).sum();
        let sum: f32 = rest.iter().map(|value| value.abs()).sum();
        let ones = rest.iter().filter(|value| **value > 0.0).count() as f32;
        let weight = if sum > 0.0 { square / sum } else { 0.0 };
        Self { square, weight, leaning: 2.0 * ones - rest.len() as f32 }
    }
}
