//! The few vector operations that a product needs, for each instruction set.

use crate::math::real::Real;

/// A vector of `LANES` scalars.
///
/// # Safety
/// For all methods: the processor has the instruction set, and pointers are valid for `LANES` scalars.
pub(super) trait Simd: Copy {
    type Scalar: Real;
    const LANES: usize;

    unsafe fn splat(x: Self::Scalar) -> Self;
    unsafe fn load(from: *const Self::Scalar) -> Self;
    unsafe fn store(self, to: *mut Self::Scalar);
    /// self · x + sum.
    unsafe fn mul_add(self, x: Self, sum: Self) -> Self;
    /// 0 where self ≤ 0, else self: NaN stays.
    unsafe fn relu(self) -> Self;
    /// self where z > 0, else 0 · self.
    unsafe fn relu_gradient(self, z: Self) -> Self;
    /// Nonzero where self or x is.
    unsafe fn or(self, x: Self) -> Self;
    /// A bit for each scalar that isn't 0, the first the lowest.
    unsafe fn nonzero(self) -> u32;

    /// Writes first + i for each bit i set in `mask`, and returns their number; there is room for
    /// `LANES` of them.
    #[inline(always)]
    unsafe fn places(mut mask: u32, first: u32, to: *mut u32) -> usize {
        let count = mask.count_ones() as usize;
        for i in 0..count {
            // SAFETY: no mask has more bits than the vector has scalars, for which there is room.
            unsafe { *to.add(i) = first + mask.trailing_zeros() };
            mask &= mask - 1;
        }
        count
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// An instruction set's vectors for one precision.
    macro_rules! simd {
        ($vector:ty, $scalar:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident,
         $mul_add:ident, $mul:ident, $zero:ident, $positive:expr, $not_negative:expr, $or:expr,
         $nonzero:expr $(, $places:item)?) => {
            impl Simd for $vector {
                type Scalar = $scalar;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn splat(x: $scalar) -> Self {
                    // SAFETY: the processor has the instruction.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const $scalar) -> Self {
                    // SAFETY: the processor has the instruction, and `from` reaches a whole vector.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $scalar) {
                    // SAFETY: the processor has the instruction, and `to` reaches a whole vector.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, x: Self, sum: Self) -> Self {
                    // SAFETY: the processor has the instruction.
                    unsafe { $mul_add(self, x, sum) }
                }
                #[inline(always)]
                unsafe fn relu(self) -> Self {
                    // SAFETY: the processor has the instructions.
                    unsafe { $not_negative(self, $zero()) }
                }
                #[inline(always)]
                unsafe fn relu_gradient(self, z: Self) -> Self {
                    // SAFETY: the processor has the instructions.
                    unsafe { $mul(self, $positive(z, $zero(), $splat(1.0))) }
                }
                #[inline(always)]
                unsafe fn or(self, x: Self) -> Self {
                    // SAFETY: the processor has the instruction.
                    unsafe { $or(self, x) }
                }
                #[inline(always)]
                unsafe fn nonzero(self) -> u32 {
                    // SAFETY: the processor has the instructions.
                    unsafe { $nonzero(self, $zero()) as u32 }
                }
                $($places)?
            }
        };
    }

    simd!(
        __m512,
        f32,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_mul_ps,
        _mm512_setzero_ps,
        |z, zero, one| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(z, zero), one),
        |x, zero| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(x, zero), x),
        |x, y| _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(x), _mm512_castps_si512(y))),
        |x, zero| _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, zero),
        #[inline(always)]
        unsafe fn places(mask: u32, first: u32, to: *mut u32) -> usize {
            // SAFETY: the processor has AVX-512F, and there is room for all 16 lanes.
            unsafe {
                let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                let all = _mm512_add_epi32(lanes, _mm512_set1_epi32(first as i32));
                let those = _mm512_maskz_compress_epi32(mask as u16, all);
                _mm512_storeu_si512(to.cast(), those);
            }
            mask.count_ones() as usize
        }
    );
    simd!(
        __m512d,
        f64,
        8,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_mul_pd,
        _mm512_setzero_pd,
        |z, zero, one| _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(z, zero), one),
        |x, zero| _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_NLE_UQ>(x, zero), x),
        |x, y| _mm512_castsi512_pd(_mm512_or_si512(_mm512_castpd_si512(x), _mm512_castpd_si512(y))),
        |x, zero| _mm512_cmp_pd_mask::<_CMP_NEQ_UQ>(x, zero)
    );
    simd!(
        __m256,
        f32,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_mul_ps,
        _mm256_setzero_ps,
        |z, zero, one| _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(z, zero), one),
        |x, zero| _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(x, zero), x),
        |x, y| _mm256_or_ps(x, y),
        |x, zero| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, zero))
    );
    simd!(
        __m256d,
        f64,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_fmadd_pd,
        _mm256_mul_pd,
        _mm256_setzero_pd,
        |z, zero, one| _mm256_and_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(z, zero), one),
        |x, zero| _mm256_and_pd(_mm256_cmp_pd::<_CMP_NLE_UQ>(x, zero), x),
        |x, y| _mm256_or_pd(x, y),
        |x, zero| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_NEQ_UQ>(x, zero))
    );
}

/// Four scalars, which the compiler turns into the vectors of the target's baseline.
#[derive(Clone, Copy)]
pub(super) struct Four<T>([T; 4]);

impl<T: Real> Simd for Four<T> {
    type Scalar = T;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: T) -> Self {
        Four([x; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: `from` reaches four scalars, aligned as one.
        unsafe { Four(from.cast::<[T; 4]>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: `to` reaches four scalars, aligned as one.
        unsafe { to.cast::<[T; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, x: Self, sum: Self) -> Self {
        // Fused only where every processor of the target has the instruction, else it would be a call.
        Four(std::array::from_fn(|i| {
            if cfg!(target_arch = "aarch64") {
                self.0[i].mul_add(x.0[i], sum.0[i])
            } else {
                self.0[i] * x.0[i] + sum.0[i]
            }
        }))
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Four(self.0.map(|x| if x <= T::zero() { T::zero() } else { x }))
    }
    #[inline(always)]
    unsafe fn relu_gradient(self, z: Self) -> Self {
        Four(std::array::from_fn(|i| {
            self.0[i] * if z.0[i] > T::zero() { T::one() } else { T::zero() }
        }))
    }
    #[inline(always)]
    unsafe fn or(self, x: Self) -> Self {
        Four(std::array::from_fn(|i| if self.0[i] == T::zero() { x.0[i] } else { self.0[i] }))
    }
    #[inline(always)]
    unsafe fn nonzero(self) -> u32 {
        (0..4).map(|i| u32::from(self.0[i] != T::zero()) << i).sum()
    }
}
