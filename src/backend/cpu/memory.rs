//! The memory that the threads of a team share: its address, without a reference to all of it.
//!
//! The rule that makes it sound: between two barriers ([`super::team`]), what one thread writes, no
//! other thread reads or writes. A reference counts as an access to all that it covers, whether or not
//! it is used. So while threads write parts of a buffer or tensor, there is no reference to the whole, only to
//! those elements that the rule gives to the caller.

use crate::kernels::tensor::TensorId;
use crate::math::gemm::Aligned;
use crate::math::real::Real;
use crate::plan::program::Program;
use std::marker::PhantomData;
use std::ops::Range;

/// Numbers in memory that threads read and write in parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'a, T> {
    at: *mut T,
    len: usize,
    borrowed: PhantomData<&'a ()>,
}

// SAFETY: all access goes through methods whose callers keep the rule above.
unsafe impl<T: Send> Send for Span<'_, T> {}
// SAFETY: what is done through `&Span` is done through a copy of it, under the same rule.
unsafe impl<T: Send + Sync> Sync for Span<'_, T> {}

impl<'a, T> Span<'a, T> {
    /// All of `numbers`, which aren't accessed in other ways during the lifetime of the span.
    fn new(numbers: &'a mut [T]) -> Self {
        Span { at: numbers.as_mut_ptr(), len: numbers.len(), borrowed: PhantomData }
    }

    /// Some of them.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        let inside = range.start <= range.end && range.end <= self.len;
        assert!(inside, "elements {range:?} of {}", self.len);
        // SAFETY: the first element of the range, or the end, of `len` in one allocation.
        Span { at: unsafe { self.at.add(range.start) }, len: range.len(), ..self }
    }

    /// The start of rows `rows` and columns `cols` of a matrix whose rows are `stride` apart, for pieces
    /// whose elements aren't contiguous. All of them are inside.
    pub(super) fn block(self, stride: usize, rows: Range<usize>, cols: Range<usize>) -> *mut T {
        let first = rows.start * stride + cols.start;
        let is_empty = rows.is_empty() || cols.is_empty();
        let end = if is_empty { first } else { (rows.end - 1) * stride + cols.end };
        self.part(first..end).at
    }

    /// Elements `range`.
    ///
    /// # Safety
    /// Nothing writes them while the reference lives.
    pub(super) unsafe fn read(self, range: Range<usize>) -> &'a [T] {
        let Span { at, len, .. } = self.part(range);
        // SAFETY: `part` found them inside, and the caller excludes writers.
        unsafe { std::slice::from_raw_parts(at, len) }
    }

    /// Elements `range`, to be written.
    ///
    /// # Safety
    /// Nothing else reads or writes them while the reference lives.
    pub(super) unsafe fn write(self, range: Range<usize>) -> &'a mut [T] {
        let Span { at, len, .. } = self.part(range);
        // SAFETY: `part` found them inside, and the caller excludes all other access.
        unsafe { std::slice::from_raw_parts_mut(at, len) }
    }
}

/// Numbers besides a program's tensors that threads read and write in parts.
#[derive(Debug)]
pub(super) struct Cells<T> {
    span: Span<'static, T>,
    /// The memory of the span. It is kept but never dereferenced, which would be a reference to all of it.
    _memory: Aligned<T>,
}

impl<T: Real> Cells<T> {
    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut memory = Aligned::zeros(len);
        let numbers: &mut [T] = &mut memory;
        let span = Span { at: numbers.as_mut_ptr(), len, borrowed: PhantomData };
        Cells { span, _memory: memory }
    }

    /// Their span, for their lifetime.
    pub(super) fn span(&self) -> Span<'_, T> {
        self.span
    }
}

/// A program's tensors, for the threads that run it.
pub(super) struct Shared<'a, T> {
    program: &'a Program,
    tensors: Vec<Span<'a, T>>,
}

impl<'a, T: Real> Shared<'a, T> {
    pub(super) fn new(program: &'a Program, buffers: &'a mut [Aligned<T>]) -> Self {
        let buffers: Vec<_> = buffers.iter_mut().map(|numbers| Span::new(numbers)).collect();
        let tensors = program.tensors.iter().enumerate().map(|(i, t)| {
            let all = program.range(TensorId(i), program.batch);
            buffers[t.buffer].part(all)
        });
        Shared { program, tensors: tensors.collect() }
    }

    /// The program whose tensors these are.
    pub(super) fn program(&self) -> &'a Program {
        self.program
    }

    /// The span of a tensor.
    pub(super) fn span(&self, id: TensorId) -> Span<'_, T> {
        self.tensors[id.0]
    }

    /// Elements `range` of a tensor.
    ///
    /// # Safety
    /// As [`Span::read`].
    pub(super) unsafe fn read(&self, id: TensorId, range: Range<usize>) -> &[T] {
        // SAFETY: the caller keeps the contract of `Span::read`.
        unsafe { self.span(id).read(range) }
    }

    /// Elements `range` of a tensor, to be written.
    ///
    /// # Safety
    /// As [`Span::write`].
    #[allow(clippy::mut_from_ref, reason = "the caller has these elements to itself")]
    pub(super) unsafe fn write(&self, id: TensorId, range: Range<usize>) -> &mut [T] {
        // SAFETY: the caller keeps the contract of `Span::write`.
        unsafe { self.span(id).write(range) }
    }

    /// The start of some rows and columns of a tensor, as [`Span::block`].
    pub(super) fn block(&self, id: TensorId, rows: Range<usize>, cols: Range<usize>) -> *mut T {
        self.span(id).block(self.program.tensor(id).cols, rows, cols)
    }
}

#[cfg(test)]
mod tests {
    use super::super::team::Team;
    use super::*;

    /// By elements, by ranges and by columns; Miri sees whether a reference covers more than its piece has.
    #[test]
    fn threads_write_parts_and_read_all_behind_a_barrier() {
        let (rows, cols) = (3, 5);
        let cells = Cells::<f32>::zeros(rows * cols);
        Team::new(3).unwrap().run(3, |worker| {
            let span = cells.span();
            worker.share(rows, |row| {
                // SAFETY: other pieces have other rows.
                let row = unsafe { span.write(row * cols..(row + 1) * cols) };
                row.iter_mut().for_each(|x| *x += 1.0);
            });
            worker.share(cols, |col| {
                let at = span.block(cols, 0..rows, col..col + 1);
                for row in 0..rows {
                    // SAFETY: `block` found these rows of the column inside, and other pieces have others.
                    unsafe { *at.add(row * cols) += col as f32 };
                }
            });
            worker.share(4, |_| {
                // SAFETY: nothing writes before the next barrier.
                let all = unsafe { span.read(0..rows * cols) };
                assert!(all.iter().enumerate().all(|(i, &x)| x == 1.0 + (i % cols) as f32));
            });
        });
    }

    #[test]
    #[should_panic(expected = "elements 10..16 of 15")]
    fn rows_outside_are_refused() {
        let cells = Cells::<f32>::zeros(15);
        cells.span().block(5, 2..4, 0..1);
    }
}
