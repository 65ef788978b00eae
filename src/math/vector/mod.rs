//! The element-wise loops that matter for speed, compiled for the widest vectors of this
//! processor (AVX-512, AVX2, or the baseline).
//!
//! No variant contracts a·b + c or reorders a sum, so all give the same bits.

mod loops;
pub mod norm;

use crate::math::activation::Activation;
use crate::math::loss::{Loss, Scale};
use crate::math::optim::Optimizer;
use crate::math::optim::rules::Scalars;
use crate::math::real::Real;

/// A precision with vectorized loops. Shapes: all slices of a call are of equal length.
pub trait Vector: Real {
    /// The sums of the columns of delta from `first` on, as many as `sums` has, each times sign; delta: (rows,
    /// cols). Rows are summed in chunks, so that the rounding errors of a long sum don't grow with
    /// its length.
    fn sum_columns(cols: usize, first: usize, sign: Self, delta: &[Self], sums: &mut [Self]);
    /// x ← x + sign · y.
    fn add_scaled(sign: Self, y: &[Self], x: &mut [Self]);
    /// sums ← Σ_rows a ⊙ b of the columns from `first` on, as many as `sums` has, in the chunks of
    /// [`Self::sum_columns`]; a, b: (rows, cols).
    fn sum_column_products(cols: usize, first: usize, a: &[Self], b: &[Self], sums: &mut [Self]);
    /// x ← α x + β y.
    fn combine(alpha: Self, beta: Self, y: &[Self], x: &mut [Self]);
    /// average ← average + ρ (w − average).
    fn follow(share: Self, w: &[Self], average: &mut [Self]);
    /// (a, b) ← ((1 − m) a + m b, (1 − m) b + m a).
    fn mix(mixing: Self, a: &mut [Self], b: &mut [Self]);
    /// x ← x · factor.
    fn scale(factor: Self, x: &mut [Self]);
    /// g ← g + strength · sign(w).
    fn add_signs(strength: Self, w: &[Self], g: &mut [Self]);
    /// g ← min(max(g, −limit), limit); NaN stays NaN.
    fn clip(limit: Self, g: &mut [Self]);
    /// Σ x², as a sum of 64 sums.
    fn square_sum(x: &[Self]) -> Self;
    /// [`crate::math::optim::rules::lamb_direction`].
    fn lamb_direction(
        s: &Scalars<Self>,
        w: &[Self],
        g: &[Self],
        state: [&mut [Self]; 2],
        u: &mut [Self],
    );
    /// normal ← (z − mean) · inverse, out ← scale · normal + shift for each column; z, normal, out:
    /// (rows, n), the rest: (n).
    fn normalize_columns(
        z: &[Self],
        statistics: [&[Self]; 2],
        affine: [&[Self]; 2],
        normal: &mut [Self],
        out: &mut [Self],
    );
    /// delta ← factor · (gradient − (shift + normal · scale) / count) for each column; gradient,
    /// normal, delta: (rows, n), the rest: (n).
    fn normalize_columns_gradient(
        count: Self,
        data: [&[Self]; 2],
        factors: &[Self],
        sums: [&[Self]; 2],
        delta: &mut [Self],
    );
    /// `norm::layer`.
    fn layer_norm(z: &[Self], affine: [&[Self]; 2], normal: &mut [Self], out: &mut [Self]);
    /// `norm::layer_gradient`.
    fn layer_norm_gradient(data: [&[Self]; 3], scale: &[Self], delta: &mut [Self]);
    /// a ← σ(a).
    fn activate(f: Activation, a: &mut [Self]);
    /// δ ← δ ⊙ σ′(z).
    fn activate_gradient(f: Activation, z: &[Self], delta: &mut [Self]);
    /// x ← eˣ.
    fn exp_each(x: &mut [Self]);
    /// x ← (raw − shift) · scale, in f32, then widened.
    fn scale_bytes(raw: &[u8], shift: &[f32], scale: &[f32], x: &mut [Self]);
    /// x ← (raw − shift) · scale, in f32, then widened.
    fn scale_floats(raw: &[f32], shift: &[f32], scale: &[f32], x: &mut [Self]);
    /// x ← (value / 4096 − shift) · scale, in f32, then widened: values of up to 20 bits.
    fn scale_values(values: &[i32], shift: &[f32], scale: &[f32], x: &mut [Self]);
    /// The optimizer's step on w from g; states: as many as the rule has.
    fn update(
        optimizer: Optimizer,
        s: &Scalars<Self>,
        w: &mut [Self],
        g: &[Self],
        state: [&mut [Self]; 3],
    );

    /// [`crate::math::loss::score`].
    fn score(
        loss: Loss,
        scale: Scale<Self>,
        data: [&[Self]; 3],
        gradient: &mut [Self],
        scores: &mut [Self],
    );
    /// x ← x · min(1, limit / ‖x‖₂), and whether that changed it.
    fn limit_norm(limit: Self, x: &mut [Self]) -> bool;
    /// Dropout of one row from column `first` on, a multiple of 32: `kernels::layers::dropout`.
    fn drop_out(
        key: [u32; 2],
        position: u32,
        first: usize,
        threshold: u32,
        scale: Self,
        x: &mut [Self],
    );
    /// x ← x + deviation · √(−2 ln u₁) cos 2πu₂ (Box, Muller 1958), where u₁ in (0, 1] and u₂ in [0, 1), multiples
    /// of 2⁻²⁴, are drawn by key at counters (first + i, second) for element i: N(0, 1) times the deviation.
    fn add_normals(deviation: Self, key: [u32; 2], counter: [u32; 2], x: &mut [Self]);
}

/// Prefetches memory that will be read soon.
pub fn prefetch<T>(what: &[T]) {
    prefetch_at(what.as_ptr(), what.len());
}

/// Prefetches memory that will be read a little later, into the second-level cache.
pub fn prefetch_far<T>(what: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, which reads nothing.
        lines(what.as_ptr(), what.len(), |line| unsafe { _mm_prefetch::<_MM_HINT_T1>(line) });
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// Prefetches `len` elements that will be read soon.
#[inline(always)]
pub fn prefetch_at<T>(at: *const T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing.
        lines(at, len, |line| unsafe { _mm_prefetch::<_MM_HINT_T0>(line) });
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, len);
}

/// Prefetches `len` elements that will be written soon, taking them from other processors' caches.
#[inline(always)]
pub fn prefetch_to_write<T>(at: *const T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing.
        lines(at, len, |line| unsafe { _mm_prefetch::<_MM_HINT_ET0>(line) });
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, len);
}

/// Each cache line of `len` elements.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn lines<T>(at: *const T, len: usize, line: impl Fn(*const i8)) {
    const LINE: usize = 64;
    for byte in (0..len * size_of::<T>()).step_by(LINE) {
        line(at.cast::<i8>().wrapping_add(byte));
    }
}
