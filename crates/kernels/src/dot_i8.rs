//! The dot product of two rows of signed bytes.
//!
//! Integers add up to the same sum in any order, so every path gives the same result, whatever the processor.

/// The dot product of `a` and `b`; what one has beyond the other's length is left out.
///
/// Exact up to 131,071 numbers, beyond any embedding's dimension; longer rows may wrap around.
#[must_use]
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    debug_assert_eq!(a.len(), b.len(), "two rows have one length");
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    #[cfg(target_arch = "x86_64")]
    {
        if has_vnni() {
            // SAFETY: the processor has what the function is compiled for, and both slices have one length.
            return unsafe { x86::vnni(a, b) };
        }
        if has_avx2() {
            // SAFETY: the processor has what the function is compiled for, and both slices have one length.
            return unsafe { x86::avx2(a, b) };
        }
    }
    scalar(a, b)
}

/// Whether the processor has AVX-512 with byte dot products. The answer is cached, so asking costs one load.
#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512f")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

/// The twin that every path equals.
fn scalar(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).fold(0_i32, |sum, (&x, &y)| sum.wrapping_add(i32::from(x) * i32::from(y)))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_shuffle_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16,
        _mm256_setzero_si256, _mm512_dpbusd_epi32, _mm512_loadu_epi8, _mm512_maskz_loadu_epi8, _mm512_reduce_add_epi32,
        _mm512_set1_epi8, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_sub_epi32, _mm512_xor_si512,
    };

    const VNNI_BYTES: usize = 64;
    const AVX2_BYTES: usize = 16;

    /// 64 bytes at a step. The instruction multiplies unsigned by signed bytes, so `a` is shifted up by 128 (a flipped
    /// top bit) and 128 times the sum of `b` is taken away at the end.
    ///
    /// # Safety
    /// The processor has the features named below, and `b` is as long as `a`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn vnni(a: &[i8], b: &[i8]) -> i32 {
        let top = _mm512_set1_epi8(i8::MIN);
        let one = _mm512_set1_epi8(1);
        let mut product = _mm512_setzero_si512();
        let mut sum = _mm512_setzero_si512();
        let whole = a.len() - a.len() % VNNI_BYTES;
        for at in (0..whole).step_by(VNNI_BYTES) {
            // SAFETY: `at + 64 <= whole <= a.len() == b.len()`.
            let (x, y) = unsafe { (_mm512_loadu_epi8(a.as_ptr().add(at)), _mm512_loadu_epi8(b.as_ptr().add(at))) };
            product = _mm512_dpbusd_epi32(product, _mm512_xor_si512(x, top), y);
            sum = _mm512_dpbusd_epi32(sum, one, y);
        }
        let rest = a.len() - whole;
        if rest > 0 {
            let mask = u64::MAX >> (VNNI_BYTES - rest);
            // SAFETY: the mask admits `rest` bytes from `whole` on, which lie inside both slices; bytes that the mask
            // leaves out are not touched and read as zero, and a zero in `y` adds nothing to either sum.
            let (x, y) = unsafe {
                (
                    _mm512_maskz_loadu_epi8(mask, a.as_ptr().add(whole)),
                    _mm512_maskz_loadu_epi8(mask, b.as_ptr().add(whole)),
                )
            };
            product = _mm512_dpbusd_epi32(product, _mm512_xor_si512(x, top), y);
            sum = _mm512_dpbusd_epi32(sum, one, y);
        }
        _mm512_reduce_add_epi32(_mm512_sub_epi32(product, _mm512_slli_epi32::<7>(sum)))
    }

    /// 16 bytes at a step, widened to 16 bits so that no product saturates.
    ///
    /// # Safety
    /// The processor has AVX2, and `b` is as long as `a`.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(a: &[i8], b: &[i8]) -> i32 {
        let mut sum = _mm256_setzero_si256();
        let whole = a.len() - a.len() % AVX2_BYTES;
        for at in (0..whole).step_by(AVX2_BYTES) {
            // SAFETY: `at + 16 <= whole <= a.len() == b.len()`; the load has no alignment to keep.
            let (x, y) = unsafe {
                (
                    _mm_loadu_si128(a.as_ptr().add(at).cast::<__m128i>()),
                    _mm_loadu_si128(b.as_ptr().add(at).cast::<__m128i>()),
                )
            };
            let step = _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(y));
            sum = _mm256_add_epi32(sum, step);
        }
        let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let half = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
        let half = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_00_01>(half));
        _mm_cvtsi128_si32(half).wrapping_add(super::scalar(&a[whole..], &b[whole..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(a: &[i8], b: &[i8]) {
        let want = scalar(a, b);
        assert_eq!(dot_i8(a, b), want);
        #[cfg(target_arch = "x86_64")]
        {
            if has_vnni() {
                // SAFETY: the feature is there, the lengths are equal.
                assert_eq!(unsafe { x86::vnni(a, b) }, want, "vnni");
            }
            if has_avx2() {
                // SAFETY: the feature is there, the lengths are equal.
                assert_eq!(unsafe { x86::avx2(a, b) }, want, "avx2");
            }
        }
    }

    proptest! {
        #[test]
        fn every_path_equals_the_scalar_twin(pairs in prop::collection::vec(any::<(i8, i8)>(), 0..1100)) {
            let (a, b): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
            check(&a, &b);
        }
    }

    #[test]
    fn the_extremes_do_not_saturate() {
        for length in [1, 15, 16, 63, 64, 65, 384, 4096] {
            for (x, y) in [(i8::MIN, i8::MIN), (i8::MIN, i8::MAX), (i8::MAX, i8::MIN), (i8::MAX, i8::MAX)] {
                check(&vec![x; length], &vec![y; length]);
            }
        }
    }
}
