//! The dot product of a stored half-precision row and a query.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Sums kept side by side. Part of the result, not only of the speed: another number gives another rounding.
const LANES: usize = 16;
/// Numbers widened at a time, on the stack.
const BLOCK: usize = 64;

/// The dot product of `a` and `b`; what one has beyond the other's length is left out.
///
/// The result is the same bits on every machine: widening is exact, each product and each sum is rounded on its own (no
/// fused multiply-add), and the order of the sums is fixed here rather than by the width of a register.
#[must_use]
pub fn dot_f16(a: &[f16], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len(), "a row and its query have one length");
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has what the function is compiled for, and both slices have one length.
        return unsafe { x86::avx512(a, b) };
    }
    blocked(a, b)
}

/// The form for processors that widen eight numbers at a time, or one.
fn blocked(a: &[f16], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let mut wide = [0.0_f32; BLOCK];
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let wide = &mut wide[..a.len()];
        a.convert_to_f32_slice(wide);
        for (x, y) in wide.chunks(LANES).zip(b.chunks(LANES)) {
            for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
                *sum += x * y;
            }
        }
    }
    fold(sums)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_loadu_si256, _mm512_add_ps, _mm512_cvtph_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use half::f16;

    use super::{LANES, fold};

    /// A lane of the register for each sum.
    ///
    /// # Safety
    /// The processor has AVX-512, and `b` is as long as `a`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512(a: &[f16], b: &[f32]) -> f32 {
        let mut sum = _mm512_setzero_ps();
        let whole = a.len() - a.len() % LANES;
        for at in (0..whole).step_by(LANES) {
            // SAFETY: `at + 16 <= whole <= a.len() == b.len()`; the loads have no alignment to keep.
            let (x, y) =
                unsafe { (_mm256_loadu_si256(a.as_ptr().add(at).cast()), _mm512_loadu_ps(b.as_ptr().add(at))) };
            // Not fused: each product is rounded on its own, as everywhere.
            sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_cvtph_ps(x), y));
        }
        let mut sums = [0.0_f32; LANES];
        // SAFETY: `sums` has room for the register.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), sum) };
        for ((sum, x), y) in sums.iter_mut().zip(&a[whole..]).zip(&b[whole..]) {
            *sum += x.to_f32() * y;
        }
        fold(sums)
    }
}

/// Adds the lanes, halves onto halves.
fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same sums in the same order, number by number.
    fn twin(a: &[f16], b: &[f32]) -> f32 {
        let mut sums = [0.0_f32; LANES];
        for (at, (x, y)) in a.iter().zip(b).enumerate() {
            sums[at % LANES] += x.to_f32() * y;
        }
        fold(sums)
    }

    proptest! {
        #[test]
        fn the_blocked_product_is_its_plain_twin_bit_for_bit(
            pairs in prop::collection::vec((-2.0_f32..2.0, -2.0_f32..2.0), 0..900),
        ) {
            let a: Vec<f16> = pairs.iter().map(|pair| f16::from_f32(pair.0)).collect();
            let b: Vec<f32> = pairs.iter().map(|pair| pair.1).collect();
            prop_assert_eq!(dot_f16(&a, &b).to_bits(), twin(&a, &b).to_bits());
            prop_assert_eq!(blocked(&a, &b).to_bits(), twin(&a, &b).to_bits());
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| x.to_f64() * f64::from(*y)).sum();
            prop_assert!((f64::from(dot_f16(&a, &b)) - exact).abs() < 1e-2);
        }
    }
}
