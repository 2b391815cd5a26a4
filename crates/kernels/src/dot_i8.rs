//! Dot products of signed bytes: of one pair, and of a query with many rows of a table.
//!
//! Integers add up to the same sum in any order, so every path gives the same result, whatever the processor.

/// The dot product of `a` and `b`; what one has beyond the other's length is left out.
///
/// Exact up to 131,071 numbers, beyond any embedding's dimension; longer rows may wrap around.
#[must_use]
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    debug_assert_eq!(a.len(), b.len(), "two rows have one length");
    let length = a.len().min(b.len());
    let mut product = [0];
    if length > 0 {
        dot_i8_rows(&a[..length], &[0], &b[..length], &mut product);
    }
    product[0]
}

/// The dot product of `query` with each of `rows` of `table`, whose rows are as long as the query. As exact as [`dot_i8`].
///
/// Rows that do not follow each other are fetched ahead, so they may come in any order.
///
/// # Panics
/// When a row lies beyond the table, or `products` is not as long as `rows`.
pub fn dot_i8_rows(table: &[i8], rows: &[u32], query: &[i8], products: &mut [i32]) {
    assert_eq!(rows.len(), products.len(), "each row has a place for its product");
    if query.is_empty() {
        products.fill(0);
        return;
    }
    let held = table.len() / query.len();
    assert!(rows.iter().all(|&row| (row as usize) < held), "every row lies in the table");
    #[cfg(target_arch = "x86_64")]
    {
        if has_vnni() {
            // SAFETY: the processor has what the function is compiled for; rows and lengths were checked above.
            return unsafe { x86::vnni(table, rows, query, products) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for; rows and lengths were checked above.
            return unsafe { x86::avx2(table, rows, query, products) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        // SAFETY: the processor has what the function is compiled for; rows and lengths were checked above.
        return unsafe { arm::neon(table, rows, query, products) };
    }
    scalar(table, rows, query, products);
}

/// Whether the processor has AVX-512 with byte dot products. The answer is cached, so asking costs one load.
#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512f")
}

/// The twin that every path equals.
fn scalar(table: &[i8], rows: &[u32], query: &[i8], products: &mut [i32]) {
    for (&row, product) in rows.iter().zip(products) {
        *product = pair(&table[row as usize * query.len()..][..query.len()], query);
    }
}

fn pair(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).fold(0_i32, |sum, (&x, &y)| sum.wrapping_add(i32::from(x) * i32::from(y)))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m512i, _MM_HINT_T0, _mm_add_epi32, _mm_cvtsi128_si32, _mm_hadd_epi32, _mm_loadu_si128, _mm_prefetch,
        _mm_set1_epi32, _mm_shuffle_epi32, _mm_storeu_si128, _mm_sub_epi32, _mm256_add_epi32, _mm256_castsi256_si128,
        _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_setzero_si256,
        _mm512_castsi512_si256, _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_loadu_epi8,
        _mm512_maskz_loadu_epi8, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_xor_si512,
    };

    const VNNI_BYTES: usize = 64;
    const AVX2_BYTES: usize = 16;
    /// Rows that go through the registers side by side.
    const ABREAST: usize = 4;
    const LINE_BYTES: usize = 64;

    /// 64 bytes of four rows at a step. The instruction multiplies unsigned by signed bytes, so a row is shifted up by 128
    /// (a flipped top bit) and 128 times the sum of the query is taken away at the end.
    ///
    /// # Safety
    /// The processor has the features named below, every row lies in the table, and each has a place for its product.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,ssse3")]
    pub(super) unsafe fn vnni(table: &[i8], rows: &[u32], query: &[i8], products: &mut [i32]) {
        let shifted = query.iter().fold(0_i32, |sum, &value| sum.wrapping_add(i32::from(value))).wrapping_mul(128);
        let start = |row: u32| table[row as usize * query.len()..].as_ptr();
        for (at, (four, places)) in rows.chunks(ABREAST).zip(products.chunks_mut(ABREAST)).enumerate() {
            let ahead = rows.get((at + 1) * ABREAST..).unwrap_or_default();
            for &row in ahead.iter().take(ABREAST) {
                for line in (0..query.len()).step_by(LINE_BYTES) {
                    // SAFETY: a prefetch reads nothing, and the address lies in a row of the table.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(start(row).add(line)) };
                }
            }
            // A short last group repeats its last row; the repeated products are not stored.
            let pointers = std::array::from_fn(|lane| start(four[lane.min(four.len() - 1)]));
            // SAFETY: each pointer has a whole row behind it.
            let sums = unsafe { four_rows(pointers, query) };
            let sums = _mm_sub_epi32(sums, _mm_set1_epi32(shifted));
            let mut out = [0_i32; ABREAST];
            // SAFETY: `out` has room for the register.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
            places.copy_from_slice(&out[..places.len()]);
        }
    }

    /// # Safety
    /// The processor has the features named below, and a row as long as the query lies behind each pointer.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,ssse3")]
    unsafe fn four_rows(rows: [*const i8; ABREAST], query: &[i8]) -> __m128i {
        let top = _mm512_set1_epi8(i8::MIN);
        let mut sums = [_mm512_setzero_si512(); ABREAST];
        let whole = query.len() - query.len() % VNNI_BYTES;
        for at in (0..whole).step_by(VNNI_BYTES) {
            // SAFETY: `at + 64 <= whole <= query.len()`, the length of each row.
            let y = unsafe { _mm512_loadu_epi8(query.as_ptr().add(at)) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                let x = unsafe { _mm512_loadu_epi8(row.add(at)) };
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(x, top), y);
            }
        }
        let rest = query.len() - whole;
        if rest > 0 {
            let mask = u64::MAX >> (VNNI_BYTES - rest);
            // SAFETY: the mask admits `rest` bytes from `whole` on, which lie inside query and rows; bytes that it leaves
            // out are not touched and read as zero, and a zero in `y` adds nothing.
            let y = unsafe { _mm512_maskz_loadu_epi8(mask, query.as_ptr().add(whole)) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                let x = unsafe { _mm512_maskz_loadu_epi8(mask, row.add(whole)) };
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(x, top), y);
            }
        }
        let [a, b, c, d] = sums.map(|sum| quarter(sum));
        _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d))
    }

    /// The sixteen lanes added to four.
    #[target_feature(enable = "avx512f,avx2")]
    fn quarter(sum: __m512i) -> __m128i {
        let half = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum));
        _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
    }

    /// 16 bytes at a step, widened to 16 bits so that no product saturates.
    ///
    /// # Safety
    /// The processor has AVX2, every row lies in the table, and each has a place for its product.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(table: &[i8], rows: &[u32], query: &[i8], products: &mut [i32]) {
        for (&row, product) in rows.iter().zip(products) {
            let x = &table[row as usize * query.len()..][..query.len()];
            let mut sum = _mm256_setzero_si256();
            let whole = x.len() - x.len() % AVX2_BYTES;
            for at in (0..whole).step_by(AVX2_BYTES) {
                // SAFETY: `at + 16 <= whole <= x.len() == query.len()`; the load has no alignment to keep.
                let (x, y) = unsafe {
                    (
                        _mm_loadu_si128(x.as_ptr().add(at).cast::<__m128i>()),
                        _mm_loadu_si128(query.as_ptr().add(at).cast::<__m128i>()),
                    )
                };
                let step = _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(y));
                sum = _mm256_add_epi32(sum, step);
            }
            let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            let half = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
            let half = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_00_01>(half));
            *product = _mm_cvtsi128_si32(half).wrapping_add(super::pair(&x[whole..], &query[whole..]));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::{vaddvq_s32, vdupq_n_s32, vget_high_s8, vget_low_s8, vld1q_s8, vmull_s8, vpadalq_s16};

    const NEON_BYTES: usize = 16;

    /// 16 bytes at a step; products of two bytes fit 16 bits, and pairs of them are added up in 32.
    ///
    /// # Safety
    /// The processor has NEON, every row lies in the table, and each has a place for its product.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn neon(table: &[i8], rows: &[u32], query: &[i8], products: &mut [i32]) {
        for (&row, product) in rows.iter().zip(products) {
            let x = &table[row as usize * query.len()..][..query.len()];
            let mut sum = vdupq_n_s32(0);
            let whole = x.len() - x.len() % NEON_BYTES;
            for at in (0..whole).step_by(NEON_BYTES) {
                // SAFETY: `at + 16 <= whole <= x.len() == query.len()`.
                let (x, y) = unsafe { (vld1q_s8(x.as_ptr().add(at)), vld1q_s8(query.as_ptr().add(at))) };
                sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
                sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(x), vget_high_s8(y)));
            }
            *product = vaddvq_s32(sum).wrapping_add(super::pair(&x[whole..], &query[whole..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(table: &[i8], rows: &[u32], query: &[i8]) {
        let mut want = vec![0; rows.len()];
        scalar(table, rows, query, &mut want);
        let mut got = vec![1; rows.len()];
        dot_i8_rows(table, rows, query, &mut got);
        assert_eq!(got, want);
        #[cfg(target_arch = "x86_64")]
        {
            if has_vnni() {
                // SAFETY: the feature is there, the rows lie in the table.
                unsafe { x86::vnni(table, rows, query, &mut got) };
                assert_eq!(got, want, "vnni");
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the feature is there, the rows lie in the table.
                unsafe { x86::avx2(table, rows, query, &mut got) };
                assert_eq!(got, want, "avx2");
            }
        }
    }

    proptest! {
        #[test]
        fn every_path_equals_the_scalar_twin(
            (dimension, table) in (1_usize..200).prop_flat_map(|dimension| {
                (Just(dimension), prop::collection::vec(any::<i8>(), dimension..dimension * 9))
            }),
            query in prop::collection::vec(any::<i8>(), 200),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let held = table.len() / dimension;
            let rows: Vec<u32> = picks.into_iter().map(|pick| pick.index(held) as u32).collect();
            check(&table[..held * dimension], &rows, &query[..dimension]);
            prop_assert_eq!(dot_i8(&table[..dimension], &query[..dimension]), pair(&table[..dimension], &query[..dimension]));
        }
    }

    #[test]
    fn the_extremes_do_not_saturate() {
        for length in [1, 15, 16, 63, 64, 65, 384, 4096] {
            for (x, y) in [(i8::MIN, i8::MIN), (i8::MIN, i8::MAX), (i8::MAX, i8::MIN), (i8::MAX, i8::MAX)] {
                check(&vec![x; length * 5], &[0, 1, 2, 3, 4], &vec![y; length]);
            }
        }
    }

    #[test]
    fn rows_of_no_length_have_no_product() {
        let mut products = [7];
        dot_i8_rows(&[], &[0], &[], &mut products);
        assert_eq!(products, [0]);
        assert_eq!(dot_i8(&[], &[]), 0);
    }
}
