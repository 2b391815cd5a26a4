//! The `vectors.*` files: each row's direction, once in eight bits to be scanned and once in sixteen to be scored.
//!
//! Layout of `vectors.i8`: one `f32` scale a row, padding to 64 bytes, then the rows' codes. Layout of `vectors.f16`: the
//! rows. A row is brought to length one before it is stored, so a dot product with such a query is their cosine, but for
//! the rounding of each number to eleven bits.

use std::path::Path;

use catena_kernels::{Map, dot_f16, dot_i8};
use half::f16;

use crate::error::IndexError;

const ALIGN_BYTES: usize = 64;

/// What is wrong with a vector that points nowhere.
pub(crate) type Pointless = &'static str;

/// `values` at length one.
pub(crate) fn unit(values: impl Iterator<Item = f32> + Clone) -> Result<Vec<f32>, Pointless> {
    let norm = values.clone().map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if !norm.is_finite() {
        return Err("not finite");
    }
    if norm == 0.0 {
        return Err("zero");
    }
    Ok(values.map(|value| (f64::from(value) / norm) as f32).collect())
}

/// Eight-bit codes of a vector, and what one step of them is worth.
pub(crate) fn quantise(values: &[f32]) -> (f32, Vec<i8>) {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / f32::from(i8::MAX);
    // A vector of length one has a largest number well above zero, so nothing is divided by zero here; the cast
    // saturates, and rounding never leaves the range anyway.
    (scale, values.iter().map(|value| (value / scale).round() as i8).collect())
}

/// A query at length one, in both precisions.
pub(crate) struct Direction {
    values: Vec<f32>,
    codes: Vec<i8>,
}

impl Direction {
    pub(crate) fn new(values: &[f32]) -> Result<Self, Pointless> {
        let values = unit(values.iter().copied())?;
        let (_, codes) = quantise(&values);
        Ok(Self { values, codes })
    }
}

/// The vectors of a segment that is being built.
pub(crate) struct VectorsBuilder {
    scales: Vec<f32>,
    codes: Vec<i8>,
    halves: Vec<f16>,
}

impl VectorsBuilder {
    pub(crate) fn new(rows: usize, dimension: usize) -> Self {
        Self {
            scales: Vec::with_capacity(rows),
            codes: Vec::with_capacity(rows * dimension),
            halves: Vec::with_capacity(rows * dimension),
        }
    }

    pub(crate) fn push(&mut self, vector: &[f16]) -> Result<(), Pointless> {
        let halves = unit(vector.iter().map(|value| value.to_f32()))?.into_iter().map(f16::from_f32);
        let start = self.halves.len();
        self.halves.extend(halves);
        // Codes are made of what is stored, so that the two files say the same.
        let stored: Vec<f32> = self.halves[start..].iter().map(|value| value.to_f32()).collect();
        let (scale, codes) = quantise(&stored);
        self.scales.push(scale);
        self.codes.extend(codes);
        Ok(())
    }

    /// The bytes of `vectors.i8` and of `vectors.f16`.
    pub(crate) fn into_bytes(self) -> (Vec<u8>, Vec<u8>) {
        let mut codes: Vec<u8> = bytemuck::cast_slice(&self.scales).to_vec();
        codes.resize(codes.len().next_multiple_of(ALIGN_BYTES), 0);
        codes.extend_from_slice(bytemuck::cast_slice(&self.codes));
        (codes, bytemuck::cast_slice(&self.halves).to_vec())
    }
}

/// The vectors of a sealed segment.
pub(crate) struct Vectors {
    eight: Map,
    sixteen: Map,
    codes_at: usize,
    rows: usize,
    dimension: usize,
}

impl Vectors {
    pub(crate) fn open(
        (eight_path, eight): (&Path, Map),
        (sixteen_path, sixteen): (&Path, Map),
        rows: u32,
        dimension: usize,
    ) -> Result<Self, IndexError> {
        let rows = rows as usize;
        let codes_at = (rows * size_of::<f32>()).next_multiple_of(ALIGN_BYTES);
        for (path, found, wanted) in [
            (eight_path, eight.len(), codes_at + rows * dimension),
            (sixteen_path, sixteen.len(), rows * dimension * size_of::<f16>()),
        ] {
            if found != wanted {
                let what = format!("{found} bytes cannot be {rows} rows of {dimension} numbers");
                return Err(IndexError::corrupt(path, what));
            }
        }
        Ok(Self { eight, sixteen, codes_at, rows, dimension })
    }

    /// The rows' scales, and their codes one after the other.
    fn codes(&self) -> (&[f32], &[i8]) {
        let (scales, codes) = self.eight.split_at(self.codes_at);
        (bytemuck::cast_slice(&scales[..self.rows * size_of::<f32>()]), bytemuck::cast_slice(codes))
    }

    /// Nearly the cosine of each of `rows`, times what is the same for all rows of all segments.
    pub(crate) fn scan(&self, query: &Direction, rows: impl Iterator<Item = u32>, mut see: impl FnMut(u32, f32)) {
        let (scales, codes) = self.codes();
        for row in rows {
            let at = row as usize;
            let product = dot_i8(&codes[at * self.dimension..][..self.dimension], &query.codes);
            see(row, product as f32 * scales[at]);
        }
    }

    /// The cosine of one row.
    pub(crate) fn cosine(&self, query: &Direction, row: u32) -> f32 {
        let halves: &[f16] = bytemuck::cast_slice(&self.sixteen);
        dot_f16(&halves[row as usize * self.dimension..][..self.dimension], &query.values)
    }
}
