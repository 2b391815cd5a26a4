//! Which rows of single bits may have a product with a query that reaches a bar.
//!
//! The query has four bits a number: bit `p` of each of its numbers makes up plane `p`. So a product is a weighted sum of
//! four counts of common bits, and eight rows at a time have theirs counted side by side: word `w` of the eight rows of a
//! block lie next to each other. Counts are integers and each rounding of what follows is its own (no fused multiply-add),
//! so every path gives the same result.

/// Planes of a query: bits of each of its numbers.
pub const PLANES: usize = 4;
/// Rows of a block.
pub const BLOCK_ROWS: usize = 8;

/// A query. With `n` for the sum of its numbers at which a row has a one, the row's product is estimated as
/// `weight * (step * n - offset) + leaning * low`, by the row's own two factors.
#[derive(Debug, Clone, Default)]
pub struct PlaneQuery {
    /// For each word of a row, the word of each plane.
    pub planes: Vec<[u64; PLANES]>,
    /// What one of the numbers' steps is worth.
    pub step: f32,
    /// What all of them are worth together.
    pub offset: f32,
    /// What each number has at least.
    pub low: f32,
}

/// Marks the rows of `blocks` whose estimate is `bar` or more: a byte for each block, a bit for each of its rows.
///
/// # Panics
/// When `blocks`, `weights` and `leanings` are not of as many rows as `marks` has bits.
pub fn reaching(blocks: &[u64], weights: &[f32], leanings: &[f32], query: &PlaneQuery, bar: f32, marks: &mut [u8]) {
    let rows = marks.len() * BLOCK_ROWS;
    assert_eq!((weights.len(), leanings.len()), (rows, rows), "each row has its factors");
    assert_eq!(blocks.len(), rows * query.planes.len(), "each row has its words");
    #[cfg(target_arch = "x86_64")]
    {
        if has_vpopcnt() {
            // SAFETY: the processor has what the function is compiled for; lengths were checked above.
            return unsafe { x86::vpopcnt(blocks, weights, leanings, query, bar, marks) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { x86::popcnt(blocks, weights, leanings, query, bar, marks) };
        }
    }
    // On 64-bit ARM the compiler turns the counting into NEON's own, so the plain form is the fast one.
    scalar(blocks, weights, leanings, query, bar, marks);
}

#[cfg(target_arch = "x86_64")]
fn has_vpopcnt() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vpopcntdq")
        && is_x86_feature_detected!("avx2")
}

/// The twin that every path equals.
#[inline(always)]
fn scalar(blocks: &[u64], weights: &[f32], leanings: &[f32], query: &PlaneQuery, bar: f32, marks: &mut [u8]) {
    let words = query.planes.len();
    for (at, mark) in marks.iter_mut().enumerate() {
        let block = &blocks[at * words * BLOCK_ROWS..][..words * BLOCK_ROWS];
        let mut sums = [0_u32; BLOCK_ROWS];
        for (rows, planes) in block.chunks_exact(BLOCK_ROWS).zip(&query.planes) {
            for (sum, row) in sums.iter_mut().zip(rows) {
                for (weight, plane) in planes.iter().enumerate() {
                    *sum += (row & plane).count_ones() << weight;
                }
            }
        }
        let factors = weights[at * BLOCK_ROWS..].iter().zip(&leanings[at * BLOCK_ROWS..]);
        *mark = 0;
        for (row, (&sum, (weight, leaning))) in sums.iter().zip(factors).enumerate() {
            let product = sum as i32 as f32 * query.step - query.offset;
            *mark |= u8::from(weight * product + leaning * query.low >= bar) << row;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _CMP_GE_OQ, _mm256_add_ps, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_movemask_ps,
        _mm256_mul_ps, _mm256_set1_ps, _mm256_sub_ps, _mm512_add_epi64, _mm512_and_si512, _mm512_cvtepi64_epi32,
        _mm512_loadu_epi64, _mm512_popcnt_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64,
    };

    use super::{BLOCK_ROWS, PLANES, PlaneQuery};

    /// Eight rows in the lanes of a register, a count for each plane.
    ///
    /// # Safety
    /// The processor has the features named below; there are as many rows in `blocks`, `weights` and `leanings` as bits
    /// in `marks`.
    #[target_feature(enable = "avx512f,avx512vpopcntdq,avx2")]
    pub(super) unsafe fn vpopcnt(
        blocks: &[u64],
        weights: &[f32],
        leanings: &[f32],
        query: &PlaneQuery,
        bar: f32,
        marks: &mut [u8],
    ) {
        let words = query.planes.len();
        let (step, offset) = (_mm256_set1_ps(query.step), _mm256_set1_ps(query.offset));
        let (low, bar) = (_mm256_set1_ps(query.low), _mm256_set1_ps(bar));
        for (at, mark) in marks.iter_mut().enumerate() {
            let block = &blocks[at * words * BLOCK_ROWS..][..words * BLOCK_ROWS];
            let mut counts = [_mm512_setzero_si512(); PLANES];
            for (rows, planes) in block.chunks_exact(BLOCK_ROWS).zip(&query.planes) {
                // SAFETY: the chunk has the eight words of the register.
                let rows = unsafe { _mm512_loadu_epi64(rows.as_ptr().cast()) };
                for (count, plane) in counts.iter_mut().zip(planes) {
                    let common = _mm512_and_si512(rows, _mm512_set1_epi64(plane.cast_signed()));
                    *count = _mm512_add_epi64(*count, _mm512_popcnt_epi64(common));
                }
            }
            let [one, two, four, eight] = counts;
            let few = _mm512_add_epi64(one, _mm512_slli_epi64::<1>(two));
            let many = _mm512_add_epi64(_mm512_slli_epi64::<2>(four), _mm512_slli_epi64::<3>(eight));
            let sums = _mm256_cvtepi32_ps(_mm512_cvtepi64_epi32(_mm512_add_epi64(few, many)));
            let row = at * BLOCK_ROWS;
            // SAFETY: both have eight numbers from `row` on.
            let (weight, leaning) =
                unsafe { (_mm256_loadu_ps(weights.as_ptr().add(row)), _mm256_loadu_ps(leanings.as_ptr().add(row))) };
            let product = _mm256_sub_ps(_mm256_mul_ps(sums, step), offset);
            let estimate = _mm256_add_ps(_mm256_mul_ps(weight, product), _mm256_mul_ps(leaning, low));
            *mark = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(estimate, bar)) as u8;
        }
    }

    /// The plain form, compiled for processors that count the bits of a word in one step.
    ///
    /// # Safety
    /// The processor has the features named below.
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) unsafe fn popcnt(
        blocks: &[u64],
        weights: &[f32],
        leanings: &[f32],
        query: &PlaneQuery,
        bar: f32,
        marks: &mut [u8],
    ) {
        super::scalar(blocks, weights, leanings, query, bar, marks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit, from the definition.
    fn plain(blocks: &[u64], factors: (f32, f32), query: &PlaneQuery, row: usize) -> f32 {
        let words = query.planes.len();
        let bit = |word: u64, at: usize| (word >> (at % 64)) & 1;
        let number = |at: usize| (0..PLANES).map(|p| (bit(query.planes[at / 64][p], at) as u32) << p).sum::<u32>();
        let block = row / BLOCK_ROWS * words * BLOCK_ROWS;
        let word = |at: usize| blocks[block + at / 64 * BLOCK_ROWS + row % BLOCK_ROWS];
        let sum: u32 = (0..words * 64).filter(|&at| bit(word(at), at) == 1).map(number).sum();
        factors.0 * (sum as f32 * query.step - query.offset) + factors.1 * query.low
    }

    proptest! {
        #[test]
        fn every_path_equals_the_definition(
            (words, blocks, bits) in (1_usize..17, 0_usize..5).prop_flat_map(|(words, blocks)| {
                (Just(words), Just(blocks), prop::collection::vec(any::<u64>(), words * (blocks * BLOCK_ROWS + PLANES)))
            }),
            numbers in prop::collection::vec(-1.0_f32..1.0, 2 * 5 * BLOCK_ROWS),
            (step, offset, low, bar) in (0.0_f32..0.1, 0.0_f32..9.0, -1.0_f32..0.0, -9.0_f32..9.0),
        ) {
            let (planes, table) = bits.split_at(words * PLANES);
            let planes = planes.as_chunks::<PLANES>().0.to_vec();
            let query = PlaneQuery { planes, step, offset, low };
            let rows = blocks * BLOCK_ROWS;
            let (weights, leanings) = (&numbers[..rows], &numbers[rows..2 * rows]);
            let reaches = |row: usize| plain(table, (weights[row], leanings[row]), &query, row) >= bar;
            let mark = |block: usize| (0..BLOCK_ROWS).fold(0, |mark, row| mark | u8::from(reaches(block * BLOCK_ROWS + row)) << row);
            let want: Vec<u8> = (0..blocks).map(mark).collect();
            let mut got = vec![1; blocks];
            reaching(table, weights, leanings, &query, bar, &mut got);
            prop_assert_eq!(&got, &want);
            scalar(table, weights, leanings, &query, bar, &mut got);
            prop_assert_eq!(&got, &want);
            #[cfg(target_arch = "x86_64")]
            {
                if has_vpopcnt() {
                    // SAFETY: the features are there, the lengths are right.
                    unsafe { x86::vpopcnt(table, weights, leanings, &query, bar, &mut got) };
                    prop_assert_eq!(&got, &want);
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
                    // SAFETY: the features are there.
                    unsafe { x86::popcnt(table, weights, leanings, &query, bar, &mut got) };
                    prop_assert_eq!(&got, &want);
                }
            }
        }
    }
}
