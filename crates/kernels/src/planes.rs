//! Products of rows of single bits with a query of four bits a number.
//!
//! The query lies in four planes: bit `p` of each of its numbers makes up plane `p`. So a product is a weighted sum of four
//! counts of common bits, and eight rows at a time have theirs counted side by side: word `w` of the eight rows of a block
//! lie next to each other. Integers, so every path gives the same result.

/// Planes of a query: bits of each of its numbers.
pub const PLANES: usize = 4;
/// Rows of a block.
pub const BLOCK_ROWS: usize = 8;

/// For each row of `blocks`, the sum of those of the query's numbers at which the row has a one.
///
/// A row has as many words as a plane has; `planes` are one after the other; `sums` has a place for each row.
///
/// # Panics
/// When `planes` are not [`PLANES`] of one length, or `blocks` are not whole blocks of as many rows as `sums`.
pub fn plane_sums(blocks: &[u64], planes: &[u64], sums: &mut [u32]) {
    let words = planes.len() / PLANES;
    assert_eq!(words * PLANES, planes.len(), "planes have one length");
    assert_eq!(blocks.len(), sums.len() * words, "each row has a place for its sum");
    assert!(sums.len().is_multiple_of(BLOCK_ROWS), "blocks are whole");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq") {
            // SAFETY: the processor has what the function is compiled for; lengths were checked above.
            return unsafe { x86::vpopcnt(blocks, planes, sums) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { x86::popcnt(blocks, planes, sums) };
        }
    }
    // On 64-bit ARM the compiler turns the counting into NEON's own, so the plain form is the fast one.
    scalar(blocks, planes, sums);
}

/// The twin that every path equals.
#[inline(always)]
fn scalar(blocks: &[u64], planes: &[u64], sums: &mut [u32]) {
    let words = planes.len() / PLANES;
    if words == 0 {
        sums.fill(0);
        return;
    }
    for (block, sums) in blocks.chunks_exact(words * BLOCK_ROWS).zip(sums.chunks_exact_mut(BLOCK_ROWS)) {
        sums.fill(0);
        for (weight, plane) in planes.chunks_exact(words).enumerate() {
            for (rows, &bits) in block.chunks_exact(BLOCK_ROWS).zip(plane) {
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum += (row & bits).count_ones() << weight;
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_storeu_si256, _mm512_add_epi64, _mm512_and_si512, _mm512_cvtepi64_epi32, _mm512_loadu_epi64,
        _mm512_popcnt_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64,
    };

    use super::{BLOCK_ROWS, PLANES};

    /// Eight rows in the lanes of a register, a count for each plane.
    ///
    /// # Safety
    /// The processor has the features named below; `blocks` holds `sums.len()` rows of `planes.len() / PLANES` words.
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    pub(super) unsafe fn vpopcnt(blocks: &[u64], planes: &[u64], sums: &mut [u32]) {
        let words = planes.len() / PLANES;
        let (first, rest) = planes.split_at(words);
        let (second, rest) = rest.split_at(words);
        let (third, fourth) = rest.split_at(words);
        for (at, sums) in sums.chunks_exact_mut(BLOCK_ROWS).enumerate() {
            let block = &blocks[at * words * BLOCK_ROWS..][..words * BLOCK_ROWS];
            let mut counts = [_mm512_setzero_si512(); PLANES];
            for (word, rows) in block.chunks_exact(BLOCK_ROWS).enumerate() {
                // SAFETY: the chunk has the eight words of the register.
                let rows = unsafe { _mm512_loadu_epi64(rows.as_ptr().cast()) };
                for (count, plane) in counts.iter_mut().zip([first, second, third, fourth]) {
                    let bits = _mm512_set1_epi64(plane[word].cast_signed());
                    *count = _mm512_add_epi64(*count, _mm512_popcnt_epi64(_mm512_and_si512(rows, bits)));
                }
            }
            let [one, two, four, eight] = counts;
            let low = _mm512_add_epi64(one, _mm512_slli_epi64::<1>(two));
            let high = _mm512_add_epi64(_mm512_slli_epi64::<2>(four), _mm512_slli_epi64::<3>(eight));
            // SAFETY: `sums` has eight places of four bytes.
            unsafe {
                _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm512_cvtepi64_epi32(_mm512_add_epi64(low, high)))
            };
        }
    }

    /// The plain form, compiled for processors that count the bits of a word in one step.
    ///
    /// # Safety
    /// The processor has the features named below.
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) unsafe fn popcnt(blocks: &[u64], planes: &[u64], sums: &mut [u32]) {
        super::scalar(blocks, planes, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit, from the definition.
    fn plain(blocks: &[u64], planes: &[u64], row: usize) -> u32 {
        let words = planes.len() / PLANES;
        let bit = |word: u64, at: usize| (word >> (at % 64)) & 1;
        let number = |at: usize| (0..PLANES).map(|p| (bit(planes[p * words + at / 64], at) as u32) << p).sum::<u32>();
        let block = row / BLOCK_ROWS * words * BLOCK_ROWS;
        let word = |at: usize| blocks[block + at / 64 * BLOCK_ROWS + row % BLOCK_ROWS];
        (0..words * 64).filter(|&at| bit(word(at), at) == 1).map(number).sum()
    }

    proptest! {
        #[test]
        fn every_path_equals_the_definition(
            (words, blocks, bits) in (1_usize..17, 0_usize..5).prop_flat_map(|(words, blocks)| {
                (Just(words), Just(blocks), prop::collection::vec(any::<u64>(), words * (blocks * BLOCK_ROWS + PLANES)))
            }),
        ) {
            let (planes, table) = bits.split_at(words * PLANES);
            let want: Vec<u32> = (0..blocks * BLOCK_ROWS).map(|row| plain(table, planes, row)).collect();
            let mut got = vec![1; want.len()];
            plane_sums(table, planes, &mut got);
            prop_assert_eq!(&got, &want);
            scalar(table, planes, &mut got);
            prop_assert_eq!(&got, &want);
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq") {
                    // SAFETY: the features are there, the lengths are right.
                    unsafe { x86::vpopcnt(table, planes, &mut got) };
                    prop_assert_eq!(&got, &want);
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
                    // SAFETY: the features are there.
                    unsafe { x86::popcnt(table, planes, &mut got) };
                    prop_assert_eq!(&got, &want);
                }
            }
        }
    }
}
