//! One answer out of a run's output: pooled, normalised and converted in one pass over its row.
//!
//! Promises: a vector is finite and not zero; a row depends on nothing but itself. Does not: run anything.

use half::f16;

use crate::description::{Description, Pooling};

/// A number that vectors are kept as.
pub(crate) trait Number: Copy + Send + 'static {
    fn of(value: f64) -> Self;
}

impl Number for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }
}

impl Number for f16 {
    fn of(value: f64) -> Self {
        // By way of 32 bits, so that a vector is the same number whichever way it is kept.
        Self::from_f32(value as f32)
    }
}

/// A run's output: for each text either a row of numbers for each token, or one row when the graph pools by itself.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    numbers: &'a [f32],
    rows: usize,
    /// Tokens in each row; none if they are pooled.
    tokens: Option<usize>,
    dimension: usize,
}

impl<'a> Output<'a> {
    /// Checks that the output has the shape that was asked for.
    pub(crate) fn new(
        shape: &[i64],
        numbers: &'a [f32],
        (rows, width): (usize, usize),
        dimension: usize,
    ) -> Result<Self, String> {
        let sizes: Vec<usize> = shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect();
        let tokens = match sizes.as_slice() {
            [texts, tokens, numbers] if (*texts, *tokens, *numbers) == (rows, width, dimension) => Some(width),
            [texts, numbers] if (*texts, *numbers) == (rows, dimension) => None,
            [texts] if *texts == rows && dimension == 1 => None,
            _ => {
                return Err(format!(
                    "its output has the shape {sizes:?} for {rows} texts of {width} tokens and dimension {dimension}"
                ));
            }
        };
        if numbers.len() != rows * tokens.unwrap_or(1) * dimension {
            return Err(format!("its output has {} numbers for the shape {sizes:?}", numbers.len()));
        }
        Ok(Self { numbers, rows, tokens, dimension })
    }

    /// What the run says of one text.
    pub(crate) fn row(&self, row: usize) -> Row<'a> {
        debug_assert!(row < self.rows);
        let size = self.tokens.unwrap_or(1) * self.dimension;
        let numbers = self.numbers.get(row * size..(row + 1) * size).unwrap_or_default();
        Row { numbers, is_pooled: self.tokens.is_none() }
    }
}

/// One text's part of an output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    numbers: &'a [f32],
    is_pooled: bool,
}

impl Row<'_> {
    /// The only number of a row that has but one.
    pub(crate) fn score(&self) -> Result<f32, &'static str> {
        match self.numbers {
            [score] if score.is_finite() => Ok(*score),
            [_] => Err("not finite"),
            _ => Err("more than a score"),
        }
    }

    /// The text's vector. `mask` says which tokens count; `sum` is scratch space.
    pub(crate) fn vector<N: Number>(
        &self,
        description: &Description,
        mask: &[u32],
        sum: &mut Vec<f32>,
    ) -> Result<Vec<N>, &'static str> {
        let dimension = description.dimension;
        let pooled = match (self.is_pooled, description.pooling) {
            (true, _) | (false, Pooling::Cls) => self.numbers.get(..dimension).unwrap_or_default(),
            (false, Pooling::Mean) => {
                mean(self.numbers, mask, dimension, sum);
                sum.as_slice()
            }
        };
        finish(pooled, description.normalise)
    }
}

fn mean(numbers: &[f32], mask: &[u32], dimension: usize, sum: &mut Vec<f32>) {
    sum.clear();
    sum.resize(dimension, 0.0);
    let mut count = 0.0_f32;
    for (token, counts) in numbers.chunks_exact(dimension).zip(mask) {
        if *counts != 0 {
            count += 1.0;
            for (total, number) in sum.iter_mut().zip(token) {
                *total += number;
            }
        }
    }
    // With no token that counts the sum is zero, which is refused as a vector later.
    let count = count.max(1.0);
    sum.iter_mut().for_each(|total| *total /= count);
}

/// A vector that can be compared: of length one if the model says so, finite and not zero in any case.
pub(crate) fn finish<N: Number>(values: &[f32], normalise: bool) -> Result<Vec<N>, &'static str> {
    let length = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
    if !length.is_finite() {
        return Err("not finite");
    }
    if length < f64::from(f32::MIN_POSITIVE) {
        return Err("zero");
    }
    let length = if normalise { length } else { 1.0 };
    Ok(values.iter().map(|value| N::of(f64::from(*value) / length)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::description::Kind;

    fn description(pooling: Pooling, normalise: bool) -> Description {
        Description {
            name: "m".to_owned(),
            kind: Kind::Embedder,
            dimension: 2,
            max_tokens: 8,
            pooling,
            normalise,
            query_prefix: String::new(),
            document_prefix: String::new(),
            precision: None,
            output: None,
            files: BTreeMap::new(),
            remote: None,
        }
    }

    fn vector(shape: &[i64], numbers: &[f32], row: usize, pooling: Pooling) -> Result<Vec<f32>, String> {
        let output = Output::new(shape, numbers, (2, 3), 2)?;
        let row = output.row(row);
        row.vector(&description(pooling, false), &[1, 1, 0], &mut vec![9.0]).map_err(str::to_owned)
    }

    #[test]
    fn the_mean_counts_only_the_tokens_of_the_mask_and_only_its_own_row() {
        let numbers = [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 1.0, 2.0, 3.0, 4.0, 50.0, 60.0];
        assert_eq!(vector(&[2, 3, 2], &numbers, 1, Pooling::Mean), Ok(vec![2.0, 3.0]));
        assert_eq!(vector(&[2, 3, 2], &numbers, 1, Pooling::Cls), Ok(vec![1.0, 2.0]));
        assert_eq!(vector(&[2, 2], &numbers[6..10], 1, Pooling::Mean), Ok(vec![3.0, 4.0]));
    }

    #[test]
    fn an_output_of_another_shape_is_refused() {
        for shape in [&[2, 3, 3][..], &[1, 3, 2], &[2, 2, 2], &[3, 2], &[2], &[], &[-1, 3, 2]] {
            assert!(Output::new(shape, &[0.5; 12], (2, 3), 2).is_err(), "{shape:?}");
        }
        assert!(Output::new(&[2, 3, 2], &[0.5; 11], (2, 3), 2).is_err());
    }

    #[test]
    fn a_score_is_one_finite_number() {
        let score = |shape: &[i64], numbers: &[f32]| Output::new(shape, numbers, (1, 3), 1).map(|it| it.row(0).score());
        assert_eq!(score(&[1, 1], &[0.5]), Ok(Ok(0.5)));
        assert_eq!(score(&[1], &[-2.0]), Ok(Ok(-2.0)));
        assert_eq!(score(&[1, 1], &[f32::NAN]), Ok(Err("not finite")));
        assert!(score(&[1, 2], &[0.5, 0.5]).is_err());
    }

    #[test]
    fn zero_and_infinite_vectors_are_refused_and_others_get_length_one() {
        let finish = |values: &[f32], normalise| finish::<f32>(values, normalise);
        assert_eq!(finish(&[0.0; 3], true), Err("zero"));
        assert_eq!(finish(&[0.0; 3], false), Err("zero"));
        assert_eq!(finish(&[1.0, f32::NAN], true), Err("not finite"));
        assert_eq!(finish(&[f32::INFINITY, 1.0], false), Err("not finite"));
        assert_eq!(finish(&[3.0, 4.0], true), Ok(vec![0.6, 0.8]));
        assert_eq!(finish(&[3.0, 4.0], false), Ok(vec![3.0, 4.0]));
    }

    #[test]
    fn a_vector_is_the_same_number_in_both_widths() {
        let values = [0.123_456_79, -0.987_654_3, 1e-6];
        let narrow: Vec<f16> = finish(&values, true).unwrap();
        let wide: Vec<f32> = finish(&values, true).unwrap();
        assert_eq!(narrow, wide.into_iter().map(f16::from_f32).collect::<Vec<_>>());
    }
}
