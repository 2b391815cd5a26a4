//! The `vectors.i8` and `vectors.f16` files: each row's direction, once in eight bits to be scanned and once in sixteen to
//! be scored.
//!
//! Layout of `vectors.i8`: a line of 64 bytes that begins with how far a row may lie from its codes (`f32`), one `f32` scale a
//! row, padding to 64 bytes, then the rows' codes. Layout of `vectors.f16`: the rows. A row is brought to length one before
//! it is stored, so a dot product with such a query is their cosine, but for the rounding of each number to eleven bits.

use std::ops::Range;
use std::path::Path;

use catena_kernels::{Map, dot_f16, dot_i8_rows};
use half::f16;

use crate::error::IndexError;

pub(crate) const ALIGN_BYTES: usize = 64;
/// What adding up a few thousand products in `f32` may be off by, generously.
const ROUNDING: f32 = 1e-4;

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
    // Without a number above zero all codes are zero: the cast takes what is no number for it.
    (scale, values.iter().map(|value| (value / scale).round() as i8).collect())
}

/// How far a vector lies from its codes.
fn distance(values: &[f32], scale: f32, codes: &[i8]) -> f32 {
    let squares = values.iter().zip(codes).map(|(value, &code)| (value - scale * f32::from(code)).powi(2));
    squares.sum::<f32>().sqrt()
}

/// A query at length one, in both precisions.
pub(crate) struct Direction {
    pub(crate) values: Vec<f32>,
    pub(crate) codes: Vec<i8>,
    pub(crate) scale: f32,
    /// How far the codes lie from the values.
    lost: f32,
}

impl Direction {
    pub(crate) fn new(values: &[f32]) -> Result<Self, Pointless> {
        let values = unit(values.iter().copied())?;
        let (scale, codes) = quantise(&values);
        let lost = distance(&values, scale, &codes);
        Ok(Self { values, codes, scale, lost })
    }
}

/// The vectors of a segment that is being built.
pub(crate) struct VectorsBuilder {
    worst: f32,
    scales: Vec<f32>,
    codes: Vec<i8>,
    halves: Vec<f16>,
}

impl VectorsBuilder {
    pub(crate) fn new(rows: usize, dimension: usize) -> Self {
        Self {
            worst: 0.0,
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
        self.worst = self.worst.max(distance(&stored, scale, &codes));
        self.scales.push(scale);
        self.codes.extend(codes);
        Ok(())
    }

    /// The bytes of `vectors.i8` and of `vectors.f16`.
    pub(crate) fn into_bytes(self) -> (Vec<u8>, Vec<u8>) {
        let mut codes: Vec<u8> = self.worst.to_le_bytes().to_vec();
        codes.resize(ALIGN_BYTES, 0);
        codes.extend_from_slice(bytemuck::cast_slice(&self.scales));
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
        let codes_at = ALIGN_BYTES + (rows * size_of::<f32>()).next_multiple_of(ALIGN_BYTES);
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

    pub(crate) fn rows(&self) -> u32 {
        self.rows as u32
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// How far a row may lie from its codes.
    pub(crate) fn worst(&self) -> f32 {
        bytemuck::pod_read_unaligned(&self.eight[..size_of::<f32>()])
    }

    /// What one step of each row's codes is worth.
    pub(crate) fn scales(&self) -> &[f32] {
        bytemuck::cast_slice(&self.eight[ALIGN_BYTES..][..self.rows * size_of::<f32>()])
    }

    fn table(&self) -> &[i8] {
        bytemuck::cast_slice(&self.eight[self.codes_at..])
    }

    /// The scales of some rows, as they are stored.
    pub(crate) fn scale_bytes(&self, rows: Range<u32>) -> &[u8] {
        bytemuck::cast_slice(&self.scales()[rows.start as usize..rows.end as usize])
    }

    /// The codes of some rows, as they are stored.
    pub(crate) fn code_bytes(&self, rows: Range<u32>) -> &[u8] {
        &self.eight[self.codes_at..][self.numbers(rows)]
    }

    pub(crate) fn codes(&self, row: u32) -> &[i8] {
        &self.table()[self.numbers(row..row + 1)]
    }

    /// The numbers of some rows, one row after the other.
    pub(crate) fn halves(&self, rows: Range<u32>) -> &[f16] {
        &bytemuck::cast_slice(&self.sixteen)[self.numbers(rows)]
    }

    fn numbers(&self, rows: Range<u32>) -> Range<usize> {
        rows.start as usize * self.dimension..rows.end as usize * self.dimension
    }

    /// Nearly the cosine of each of `rows` with the query: off by [`Vectors::error`] at most.
    pub(crate) fn near(&self, query: &Direction, rows: &[u32], cosines: &mut Vec<f32>, products: &mut Vec<i32>) {
        products.resize(rows.len(), 0);
        dot_i8_rows(self.table(), rows, &query.codes, products);
        let scales = self.scales();
        cosines.clear();
        cosines.extend(
            rows.iter().zip(&*products).map(|(&row, &product)| product as f32 * scales[row as usize] * query.scale),
        );
    }

    /// The most by which what [`Vectors::near`] says differs from [`Vectors::cosine`].
    ///
    /// With q and x for query and row, q' and x' for what their codes say: qx - q'x' = (q - q')x + q'(x - x').
    pub(crate) fn error(&self, query: &Direction) -> f32 {
        query.lost + (1.0 + query.lost) * self.worst() + ROUNDING
    }

    /// The cosine of one row.
    pub(crate) fn cosine(&self, query: &Direction, row: u32) -> f32 {
        dot_f16(self.halves(row..row + 1), &query.values)
    }
}
