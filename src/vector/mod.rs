//! The element-wise loops that matter for speed, compiled for the widest vectors of the processor
//! at hand (AVX-512, AVX2, or what every processor has).
//!
//! No variant contracts a·b + c or reorders a sum, so all give the same bits.

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
