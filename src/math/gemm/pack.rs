//! Operands laid out in the order in which a product reads them.

use super::transpose::BLOCK;
use super::{Kernel, View};
use crate::math::real::Real;
use crate::math::vector::prefetch;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A cache line: what vectors of every width are aligned to.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: 64 bytes, which may all be 0.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: every pattern of 64 bytes is valid, and there is no padding.
unsafe impl bytemuck::Pod for Line {}

/// Lines of a page.
const PAGE: usize = 4096 / size_of::<Line>();

/// The offset in its page at which the next allocation begins: each differs from the last few, as
/// processors mistake a load for one of what was just stored when the two addresses differ by whole
/// pages (Intel, "Optimization Reference Manual", 4-KByte aliasing; here Adam took 2.5 times as long).
fn next_place() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) * 29 % PAGE
}

/// Scratch memory aligned to a cache line, for numbers of any precision.
#[derive(Debug, Default)]
pub struct Scratch {
    lines: Vec<Line>,
    first: usize,
}

impl Scratch {
    /// Zeros for `len` numbers.
    fn zeros<T>(len: usize) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        // Counted from the beginning of a page, wherever the memory itself begins.
        let lines: Vec<Line> = vec![bytemuck::Zeroable::zeroed(); lines + 2 * PAGE];
        let line = lines.as_ptr() as usize / size_of::<Line>();
        let first = (PAGE - line % PAGE) % PAGE + next_place();
        Scratch { lines, first }
    }

    /// The first `len` numbers, with unspecified values; the memory grows as needed.
    pub fn numbers<T: Real>(&mut self, len: usize) -> &mut [T] {
        if (self.lines.len().saturating_sub(2 * PAGE)) * size_of::<Line>() < len * size_of::<T>() {
            *self = Self::zeros::<T>(len);
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines[self.first..])[..len]
    }
}

/// Numbers in memory aligned to a cache line.
#[derive(Debug)]
pub struct Aligned<T> {
    memory: Scratch,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Real> Aligned<T> {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Aligned { memory: Scratch::zeros::<T>(len), len, of: PhantomData }
    }
}

impl<T: Real> std::ops::Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.memory.lines[self.memory.first..])[..self.len]
    }
}

impl<T: Real> std::ops::DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.memory.lines[self.memory.first..])[..self.len]
    }
}

/// How many rows ahead a row is prefetched.
const AHEAD: usize = 16;

/// Packs all columns of a (k, n) matrix, one of whose strides is 1: to[p · width + j] = b(p, j), and
/// 0 for columns from n to `width`.
pub(super) fn columns<T: Real>(kernel: &Kernel<T>, b: View<'_, T>, width: usize, to: &mut [T]) {
    let (k, n) = (b.rows, b.cols);
    assert!(to.len() >= k * width && n <= width, "a panel too small");
    if n < width {
        to[..k * width].fill(T::zero());
    }
    if b.col_stride == 1 {
        for (p, to) in to.chunks_exact_mut(width).take(k).enumerate() {
            // SAFETY: one of the k rows of b, whose n numbers lie next to each other.
            prefetch(unsafe { b.run((p + AHEAD).min(k - 1), 0, n) });
            // SAFETY: row p < k.
            copy(unsafe { b.run(p, 0, n) }, &mut to[..n]);
        }
        return;
    }
    assert_eq!(b.row_stride, 1, "a matrix or its transpose");
    let (cols, steps) = (n - n % BLOCK, k - k % BLOCK);
    // SAFETY: b has that many columns, the panel, which is borrowed exclusively, k rows of `width`, and the
    // processor the kernel's instructions.
    unsafe { (kernel.transpose)(b.at, b.col_stride, [cols, steps], to.as_mut_ptr(), width) };
    for j in 0..n {
        let from = if j < cols { steps } else { 0 };
        // SAFETY: the rest of a column of b, whose rows have stride 1.
        let column = unsafe { b.run(from, j, k - from) };
        let to = to[from * width..].iter_mut().skip(j).step_by(width);
        to.zip(column).for_each(|(to, &b)| *to = b);
    }
}

/// Copies rows so short that a call would cost more than the copy.
fn copy<T: Real>(from: &[T], to: &mut [T]) {
    if let (Ok(from), Ok(to)) = (<&[T; 32]>::try_from(from), <&mut [T; 32]>::try_from(&mut *to)) {
        *to = *from;
    } else if let (Ok(from), Ok(to)) =
        (<&[T; 8]>::try_from(from), <&mut [T; 8]>::try_from(&mut *to))
    {
        *to = *from;
    } else {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// Packs all rows of an (m, k) matrix whose rows have stride 1: to[p · m + i] = a(i, p).
pub(super) fn rows<T: Real>(a: View<'_, T>, to: &mut [T]) {
    assert_eq!(a.row_stride, 1, "the transpose of a matrix");
    for (p, to) in to.chunks_exact_mut(a.rows).take(a.cols).enumerate() {
        // SAFETY: one of the columns of a, whose rows have stride 1.
        prefetch(unsafe { a.run(0, (p + AHEAD).min(a.cols - 1), a.rows) });
        // SAFETY: column p < a.cols.
        copy(unsafe { a.run(0, p, a.rows) }, to);
    }
}
