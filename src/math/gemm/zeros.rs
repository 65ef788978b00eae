//! Steps of the inner dimension that a product skips, because one operand is all 0 there in
//! a tile: the blank borders of images, and most one-hot columns.

use super::simd::Simd;
use num_traits::Zero;

/// `(count, at, stride, k, to)`: for an operand that begins at `at` and has `count` rows, or rows of `count`
/// vectors, `stride` apart, writes to `to` which of the `k` steps aren't all 0, and returns their
/// number. `to` has room for k + [`SPARE`].
///
/// # Safety
/// The pointers are valid for these shapes, and the processor has the instructions.
pub(super) type Scan<T> = unsafe fn(usize, *const T, usize, usize, *mut u32) -> usize;

/// `(mask, at, stride, k, to)`: the same where a step is a vector, of which only the elements count whose bit
/// is set in the mask.
///
/// # Safety
/// As above.
pub(super) type SideScan<T> = unsafe fn(u32, *const T, usize, usize, *mut u32) -> usize;

/// The most scalars of a vector.
pub(super) const SPARE: usize = 16;

/// [`Scan`] of rows, each of which has an element for every step.
#[inline(always)]
pub(super) unsafe fn of_rows<S: Simd>(
    rows: usize,
    at: *const S::Scalar,
    stride: usize,
    k: usize,
    to: *mut u32,
) -> usize {
    let mut count = 0;
    let whole = k - k % S::LANES;
    // SAFETY: each row has `k` elements, and vectors end at `whole`; `to` has room for a vector's places behind
    // those that were counted.
    unsafe {
        for p in (0..whole).step_by(S::LANES) {
            let mut any = S::load(at.add(p));
            for i in 1..rows {
                any = any.or(S::load(at.add(i * stride + p)));
            }
            count += S::places(any.nonzero(), p as u32, to.add(count));
        }
        for p in whole..k {
            *to.add(count) = p as u32;
            let is_zero = |i: usize| (*at.add(i * stride + p)).is_zero();
            count += usize::from(!(0..rows).all(is_zero));
        }
    }
    count
}

/// [`Scan`] of a panel, which has a row of vectors for every step.
#[inline(always)]
pub(super) unsafe fn of_panel<S: Simd>(
    vectors: usize,
    at: *const S::Scalar,
    stride: usize,
    k: usize,
    to: *mut u32,
) -> usize {
    let mut count = 0;
    // SAFETY: each of the `k` rows has that many vectors, and `to` room for `k` steps.
    unsafe {
        for p in 0..k {
            let mut any = S::load(at.add(p * stride));
            for v in 1..vectors {
                any = any.or(S::load(at.add(p * stride + v * S::LANES)));
            }
            *to.add(count) = p as u32;
            count += usize::from(any.nonzero() != 0);
        }
    }
    count
}

/// [`SideScan`].
#[inline(always)]
pub(super) unsafe fn of_side<S: Simd>(
    mask: u32,
    at: *const S::Scalar,
    stride: usize,
    k: usize,
    to: *mut u32,
) -> usize {
    let mut count = 0;
    // SAFETY: each of the `k` steps is a whole vector, and `to` has room for `k` steps.
    unsafe {
        for p in 0..k {
            *to.add(count) = p as u32;
            count += usize::from(S::load(at.add(p * stride)).nonzero() & mask != 0);
        }
    }
    count
}
