//! The element-wise loops that matter for speed, compiled for the widest vectors of the processor
//! at hand (AVX-512, AVX2, or what every processor has).
//!
//! No variant contracts a·b + c or reorders a sum, so all give the same bits.

pub mod norm;

use crate::activation::{Activation, each};
use crate::loss::{self, Loss, Scale};
use crate::optim::Optimizer;
use crate::optim::rules::{self, Scalars};
use crate::random::threefry_lanes;
use crate::real::Real;
use multiversion::multiversion;

/// A precision with vectorised loops. Shapes: all slices of a call are of equal length.
pub trait Vector: Real {
    /// The sums of columns `first` and behind of delta, as many as sums has, each times sign: delta: (rows,
    /// cols). Rows are summed in stretches, so that the rounding errors of a long sum don't grow with
    /// its length.
    fn sum_columns(cols: usize, first: usize, sign: Self, delta: &[Self], sums: &mut [Self]);
    /// x ← x + sign · y.
    fn add_scaled(sign: Self, y: &[Self], x: &mut [Self]);
    /// sums ← Σ_rows a ⊙ b of columns `first` and behind, as many as sums has, in the stretches of
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
    /// [`crate::optim::rules::lamb_direction`].
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
    /// [`norm::layer`].
    fn layer_norm(z: &[Self], affine: [&[Self]; 2], normal: &mut [Self], out: &mut [Self]);
    /// [`norm::layer_gradient`].
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
    /// The optimiser's step on w from g; states: where the rule has them.
    fn update(
        optimizer: Optimizer,
        s: &Scalars<Self>,
        w: &mut [Self],
        g: &[Self],
        state: [&mut [Self]; 3],
    );

    /// [`crate::loss::score`].
    fn score(
        loss: Loss,
        scale: Scale<Self>,
        data: [&[Self]; 3],
        gradient: &mut [Self],
        scores: &mut [Self],
    );
    /// x ← x · min(1, limit / ‖x‖₂), and whether that changed it.
    fn limit_norm(limit: Self, x: &mut [Self]) -> bool;
    /// Dropout of one row from column `first` on, a multiple of 32: `kernels::dropout`.
    fn drop_out(
        key: [u32; 2],
        position: u32,
        first: usize,
        threshold: u32,
        scale: Self,
        x: &mut [Self],
    );
}

/// Asks for memory that will be read soon.
pub fn prefetch<T>(what: &[T]) {
    prefetch_at(what.as_ptr(), what.len());
}

/// Asks for memory that will be read a little later: into the second-level cache.
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

/// Asks for `len` elements that will be read soon.
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

/// Asks for `len` elements that will be written soon, and takes them from other processors' caches.
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

/// Methods whose bodies are compiled for the vectors of each kind of processor: a method calls
/// the function inside it, and that the one for the processor at hand.
macro_rules! multiversioned {
    ($(
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {$(
        fn $name($($argument: $type),*) $(-> $result)? {
            #[multiversion(targets(
                "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+fma",
                "x86_64+avx2+fma"
            ))]
            fn $name($($argument: $type),*) $(-> $result)? $body
            $name($($argument),*)
        }
    )*};
}

/// sums ← sums + Σ_rows of columns `first` and behind of (rows, cols).
#[inline(always)]
fn add_rows<T: Real>(rows: &[T], cols: usize, first: usize, sums: &mut [T]) {
    for row in rows.chunks_exact(cols) {
        let row = &row[first..first + sums.len()];
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
    }
}

/// sums ← sums + Σ_rows a ⊙ b of columns `first` and behind of (rows, cols).
#[inline(always)]
fn add_row_products<T: Real>(a: &[T], b: &[T], cols: usize, first: usize, sums: &mut [T]) {
    for (a, b) in a.chunks_exact(cols).zip(b.chunks_exact(cols)) {
        let columns = first..first + sums.len();
        let products = a[columns.clone()].iter().zip(&b[columns]);
        sums.iter_mut().zip(products).for_each(|(sum, (&a, &b))| *sum += a * b);
    }
}

/// The loops of one precision.
macro_rules! vector {
    ($type:ty) => {
        impl Vector for $type {
            multiversioned! {
                fn sum_columns(
                    cols: usize,
                    first: usize,
                    sign: $type,
                    delta: &[$type],
                    sums: &mut [$type],
                ) {
                    const STRETCH: usize = 64;
                    const BLOCK: usize = 64;
                    sums.fill(0.0);
                    for stretch in delta.chunks(STRETCH * cols) {
                        for (first, sums) in (first..).step_by(BLOCK).zip(sums.chunks_mut(BLOCK)) {
                            let mut block = [0.0; BLOCK];
                            // A whole block stays in registers.
                            match sums.len() {
                                BLOCK => add_rows(stretch, cols, first, &mut block),
                                len => add_rows(stretch, cols, first, &mut block[..len]),
                            }
                            sums.iter_mut().zip(block).for_each(|(s, x)| *s += sign * x);
                        }
                    }
                }

                fn add_scaled(sign: $type, y: &[$type], x: &mut [$type]) {
                    x.iter_mut().zip(y).for_each(|(x, &y)| *x += sign * y);
                }

                fn sum_column_products(
                    cols: usize,
                    first: usize,
                    a: &[$type],
                    b: &[$type],
                    sums: &mut [$type],
                ) {
                    const STRETCH: usize = 64;
                    const BLOCK: usize = 64;
                    sums.fill(0.0);
                    for (a, b) in a.chunks(STRETCH * cols).zip(b.chunks(STRETCH * cols)) {
                        for (first, sums) in (first..).step_by(BLOCK).zip(sums.chunks_mut(BLOCK)) {
                            let mut block = [0.0; BLOCK];
                            match sums.len() {
                                BLOCK => add_row_products(a, b, cols, first, &mut block),
                                len => add_row_products(a, b, cols, first, &mut block[..len]),
                            }
                            sums.iter_mut().zip(block).for_each(|(s, x)| *s += x);
                        }
                    }
                }

                fn combine(alpha: $type, beta: $type, y: &[$type], x: &mut [$type]) {
                    x.iter_mut().zip(y).for_each(|(x, &y)| *x = alpha * *x + beta * y);
                }

                fn follow(share: $type, w: &[$type], average: &mut [$type]) {
                    average.iter_mut().zip(w).for_each(|(a, &w)| *a += share * (w - *a));
                }

                fn mix(mixing: $type, a: &mut [$type], b: &mut [$type]) {
                    let rest = 1.0 - mixing;
                    for (a, b) in a.iter_mut().zip(b) {
                        (*a, *b) = (rest * *a + mixing * *b, rest * *b + mixing * *a);
                    }
                }

                fn scale(factor: $type, x: &mut [$type]) {
                    x.iter_mut().for_each(|x| *x *= factor);
                }

                fn add_signs(strength: $type, w: &[$type], g: &mut [$type]) {
                    g.iter_mut().zip(w).for_each(|(g, &w)| *g += strength * rules::sign(w));
                }

                fn clip(limit: $type, g: &mut [$type]) {
                    for g in g {
                        // By comparisons, so that NaN stays NaN.
                        let x = if *g > limit { limit } else { *g };
                        *g = if x < -limit { -limit } else { x };
                    }
                }

                fn square_sum(x: &[$type]) -> $type {
                    let mut sums = [0.0; 64];
                    let (whole, rest) = x.as_chunks::<64>();
                    for part in whole {
                        sums.iter_mut().zip(part).for_each(|(sum, &x)| *sum += x * x);
                    }
                    sums.iter_mut().zip(rest).for_each(|(sum, &x)| *sum += x * x);
                    sums.into_iter().sum()
                }

                fn lamb_direction(
                    s: &Scalars<$type>,
                    w: &[$type],
                    g: &[$type],
                    state: [&mut [$type]; 2],
                    u: &mut [$type],
                ) {
                    rules::lamb_direction(s, w, g, state, u);
                }

                fn normalize_columns(
                    z: &[$type],
                    statistics: [&[$type]; 2],
                    affine: [&[$type]; 2],
                    normal: &mut [$type],
                    out: &mut [$type],
                ) {
                    norm::columns(z, statistics, affine, normal, out);
                }

                fn normalize_columns_gradient(
                    count: $type,
                    data: [&[$type]; 2],
                    factors: &[$type],
                    sums: [&[$type]; 2],
                    delta: &mut [$type],
                ) {
                    norm::columns_gradient(count, data, factors, sums, delta);
                }

                fn layer_norm(
                    z: &[$type],
                    affine: [&[$type]; 2],
                    normal: &mut [$type],
                    out: &mut [$type],
                ) {
                    norm::layer(z, affine, normal, out);
                }

                fn layer_norm_gradient(
                    data: [&[$type]; 3],
                    scale: &[$type],
                    delta: &mut [$type],
                ) {
                    norm::layer_gradient(data, scale, delta);
                }

                fn activate(f: Activation, a: &mut [$type]) {
                    each::values(f, a);
                }

                fn activate_gradient(f: Activation, z: &[$type], delta: &mut [$type]) {
                    each::gradients(f, z, delta);
                }

                fn exp_each(x: &mut [$type]) {
                    for x in x {
                        *x = Real::exp(*x);
                    }
                }

                fn scale_bytes(raw: &[u8], shift: &[f32], scale: &[f32], x: &mut [$type]) {
                    let columns = shift.iter().zip(scale);
                    for ((x, &raw), (shift, scale)) in x.iter_mut().zip(raw).zip(columns) {
                        *x = <$type>::from((f32::from(raw) - shift) * scale);
                    }
                }

                fn scale_floats(raw: &[f32], shift: &[f32], scale: &[f32], x: &mut [$type]) {
                    let columns = shift.iter().zip(scale);
                    for ((x, &raw), (shift, scale)) in x.iter_mut().zip(raw).zip(columns) {
                        *x = <$type>::from((raw - shift) * scale);
                    }
                }

                fn scale_values(
                    values: &[i32],
                    shift: &[f32],
                    scale: &[f32],
                    x: &mut [$type],
                ) {
                    let columns = shift.iter().zip(scale);
                    for ((x, &value), (shift, scale)) in x.iter_mut().zip(values).zip(columns) {
                        // Exact: at most 20 bits, and a power of two.
                        *x = <$type>::from((value as f32 * (1.0 / 4096.0) - shift) * scale);
                    }
                }

                fn score(
                    loss: Loss,
                    scale: Scale<$type>,
                    data: [&[$type]; 3],
                    gradient: &mut [$type],
                    scores: &mut [$type],
                ) {
                    loss::score(loss, scale, data, gradient, scores);
                }

                fn limit_norm(limit: $type, x: &mut [$type]) -> bool {
                    let norm = loss::sum([&*x], |[x]| x * x).sqrt();
                    let exceeds = norm > limit;
                    if exceeds {
                        let factor = limit / norm;
                        x.iter_mut().for_each(|x| *x *= factor);
                    }
                    exceeds
                }

                fn drop_out(
                    key: [u32; 2],
                    position: u32,
                    first: usize,
                    threshold: u32,
                    scale: $type,
                    x: &mut [$type],
                ) {
                    // Columns c and c + 16 of each 32 share a draw.
                    for (group, x) in x.chunks_mut(32).enumerate() {
                        let counter = (first / 2 + 16 * group) as u32;
                        let draws = threefry_lanes::<16>(key, position, counter);
                        for (x, &drawn) in x.iter_mut().zip(draws.as_flattened()) {
                            *x = if drawn < threshold { 0.0 } else { *x * scale };
                        }
                    }
                }

                fn update(
                    optimizer: Optimizer,
                    s: &Scalars<$type>,
                    w: &mut [$type],
                    g: &[$type],
                    state: [&mut [$type]; 3],
                ) {
                    rules::step(optimizer, s, w, g, state);
                }
            }
        }
    };
}

vector!(f32);
vector!(f64);
