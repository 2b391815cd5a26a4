//! Centres for rows: directions, moved a few times to the middle of the rows that are nearest to them.
//!
//! Deterministic: it begins with rows at even distances. Rows and centres are compared in eight bits.

use catena_kernels::dot_i8_rows;

use crate::vectors::{Vectors, quantise};

/// Lists for the square root of the rows.
const LISTS_PER_ROOT: f64 = 2.0;
/// Rows that centres are moved by, for each centre.
const SAMPLE_PER_LIST: usize = 64;
const MOVES: usize = 5;
/// Centres that stay in the cache while some rows are compared with them.
const CENTRES_AT_ONCE: usize = 256;
const ROWS_AT_ONCE: usize = 256;

/// How many lists a number of rows is gathered into.
pub(super) fn lists_for(rows: u32) -> usize {
    ((f64::from(rows).sqrt() * LISTS_PER_ROOT) as usize).clamp(1, rows as usize)
}

/// The list of each row.
pub(super) fn gather(vectors: &Vectors) -> Vec<u32> {
    let lists = lists_for(vectors.rows());
    let sample = spaced(vectors.rows(), lists * SAMPLE_PER_LIST);
    let mut centres = Centres::at(vectors, &spaced(vectors.rows(), lists));
    for _ in 0..MOVES {
        let nearest = centres.nearest(vectors, &sample);
        centres.move_to(vectors, &sample, &nearest);
    }
    centres.nearest(vectors, &(0..vectors.rows()).collect::<Vec<_>>())
}

/// `count` rows at even distances, or all if there are fewer.
fn spaced(rows: u32, count: usize) -> Vec<u32> {
    let count = (count as u64).min(u64::from(rows));
    (0..count).map(|at| (at * u64::from(rows) / count) as u32).collect()
}

/// Directions in eight bits, each with what a step is worth.
struct Centres {
    dimension: usize,
    codes: Vec<i8>,
    steps: Vec<f32>,
}

impl Centres {
    fn at(vectors: &Vectors, rows: &[u32]) -> Self {
        let codes = rows.iter().flat_map(|&row| vectors.codes(row)).copied().collect();
        let steps = rows.iter().map(|&row| vectors.scales()[row as usize]).collect();
        Self { dimension: vectors.dimension(), codes, steps }
    }

    /// The centre nearest to each row; of equally near ones the first.
    fn nearest(&self, vectors: &Vectors, rows: &[u32]) -> Vec<u32> {
        let every: Vec<u32> = (0..self.steps.len() as u32).collect();
        let mut products = [0; CENTRES_AT_ONCE];
        let mut best = vec![(f32::NEG_INFINITY, 0); rows.len()];
        for (rows, best) in rows.chunks(ROWS_AT_ONCE).zip(best.chunks_mut(ROWS_AT_ONCE)) {
            for centres in every.chunks(CENTRES_AT_ONCE) {
                for (&row, best) in rows.iter().zip(&mut *best) {
                    let products = &mut products[..centres.len()];
                    dot_i8_rows(&self.codes, centres, vectors.codes(row), products);
                    for (&centre, &product) in centres.iter().zip(&*products) {
                        let near = product as f32 * self.steps[centre as usize];
                        if near > best.0 {
                            *best = (near, centre);
                        }
                    }
                }
            }
        }
        best.into_iter().map(|(_, centre)| centre).collect()
    }

    /// Moves each centre to the middle of its rows. One without rows goes to a row of the list that has most.
    fn move_to(&mut self, vectors: &Vectors, rows: &[u32], nearest: &[u32]) {
        let lists = self.steps.len();
        let mut sums = vec![0.0_f32; lists * self.dimension];
        let mut counts = vec![0_usize; lists];
        for (&row, &list) in rows.iter().zip(nearest) {
            counts[list as usize] += 1;
            let sum = &mut sums[list as usize * self.dimension..][..self.dimension];
            for (sum, value) in sum.iter_mut().zip(vectors.halves(row..row + 1)) {
                *sum += value.to_f32();
            }
        }
        let mut crowded: Vec<usize> = (0..lists).collect();
        crowded.sort_by_key(|&list| (std::cmp::Reverse(counts[list]), list));
        let mut crowded = crowded.into_iter().cycle();
        for list in 0..lists {
            if counts[list] > 0 {
                let sum = &sums[list * self.dimension..][..self.dimension];
                let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
                // A middle that points nowhere stays where it was.
                if norm > 0.0 {
                    self.set(list, &sum.iter().map(|value| value / norm).collect::<Vec<_>>());
                }
            } else if let Some(from) = crowded.next()
                && let Some(at) = nearest.iter().rposition(|&list| list as usize == from)
            {
                let values: Vec<f32> =
                    vectors.halves(rows[at]..rows[at] + 1).iter().map(|value| value.to_f32()).collect();
                self.set(list, &values);
            }
        }
    }

    fn set(&mut self, list: usize, values: &[f32]) {
        let (step, codes) = quantise(values);
        self.steps[list] = step;
        self.codes[list * self.dimension..][..self.dimension].copy_from_slice(&codes);
    }
}
