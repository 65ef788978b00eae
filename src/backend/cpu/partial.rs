//! Gradients of chunks of a long batch.
//!
//! Where a batch has many more rows than the net has weights, the pass over the rows adds up each
//! chunk's gradients while its activations are in cache, and nothing of them is written to memory.
//! The optimiser's step takes the sum over the chunks, in their order.

use super::fused::WEIGHTS_A_ROW;
use super::memory::Shared;
use crate::gemm::Aligned;
use crate::program::{Op, Program};
use crate::real::Real;
use crate::tensor::TensorId;
use std::ops::Range;

/// Chunks of a batch, whatever its length and however many threads there are.
const CHUNKS: usize = 16;

/// The gradients of every chunk.
#[derive(Debug)]
pub(super) struct Partial<T> {
    /// For each chunk, in the places of the parameters.
    chunks: Vec<(Aligned<T>, *mut T)>,
    /// Rows of the blocks in which chunks are passed through the net.
    block: usize,
    /// Elements of a row of the batch that would be written to memory and read again.
    width: usize,
}

// SAFETY: the pointers are to what the chunks own, and the writers keep to the rule of
// `super::memory`.
unsafe impl<T: Send> Send for Partial<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Partial<T> {}

impl<T: Real> Partial<T> {
    /// Room for the chunks, if `program` has a step that can go this way.
    pub(super) fn new(program: &Program) -> Option<Self> {
        program.ops.iter().find(|op| matches!(op, Op::GradientUpdate(_)))?;
        let rows = program.ops.iter().find_map(|op| match op {
            Op::Rows(rows) if rows.from == 0 => Some(rows),
            _ => None,
        })?;
        let parameters = program.range(rows.parameters, 0).len();
        let width = program.range(rows.arena, 0).len() / program.batch.max(1);
        let partial = Partial { chunks: Vec::new(), block: rows.block, width };
        if !partial.pays_with(parameters, program.batch) {
            return None;
        }
        let chunk = |_| {
            let mut numbers = Aligned::zeros(parameters);
            let at = numbers.as_mut_ptr();
            (numbers, at)
        };
        Some(Partial { chunks: (0..CHUNKS).map(chunk).collect(), ..partial })
    }

    /// Whether batches of `rows` rows go this way: where it is rows that should stay in a cache, and
    /// the partial gradients are less to write and read than the activations are.
    pub(super) fn pays(&self, rows: usize) -> bool {
        self.pays_with(self.chunks[0].0.len(), rows)
    }

    fn pays_with(&self, parameters: usize, rows: usize) -> bool {
        rows >= CHUNKS * self.block
            && parameters <= rows * WEIGHTS_A_ROW
            && 2 * CHUNKS * parameters <= rows * self.width
    }

    /// The number of chunks of a batch of `rows` rows.
    pub(super) fn chunks(&self, rows: usize) -> usize {
        rows.div_ceil(self.rows_of_chunk(rows))
    }

    /// The rows of a chunk.
    pub(super) fn chunk(&self, rows: usize, chunk: usize) -> Range<usize> {
        let each = self.rows_of_chunk(rows);
        chunk * each..((chunk + 1) * each).min(rows)
    }

    fn rows_of_chunk(&self, rows: usize) -> usize {
        rows.div_ceil(CHUNKS).next_multiple_of(self.block)
    }

    /// Where a chunk's gradient of a parameter tensor is.
    pub(super) fn pointer(&self, memory: &Shared<'_, T>, chunk: usize, of: TensorId) -> *mut T {
        let offset = memory.program().tensor(of).offset;
        assert!(offset <= self.chunks[chunk].0.len(), "outside of the gradients");
        // SAFETY: inside.
        unsafe { self.chunks[chunk].1.add(offset) }
    }

    /// A part of a chunk's gradient, to be written.
    ///
    /// # Safety
    /// No other piece of the current op reads or writes it.
    #[allow(clippy::mut_from_ref, reason = "the caller has these elements to itself")]
    pub(super) unsafe fn write(
        &self,
        memory: &Shared<'_, T>,
        chunk: usize,
        of: TensorId,
        range: Range<usize>,
    ) -> &mut [T] {
        assert!(range.end <= memory.program().range(of, 0).len(), "outside of the tensor");
        // SAFETY: inside; the caller excludes all other access.
        unsafe {
            let at = self.pointer(memory, chunk, of).add(range.start);
            std::slice::from_raw_parts_mut(at, range.len())
        }
    }

    /// The sum over the chunks of a part of a gradient.
    pub(super) fn sum(
        &self,
        memory: &Shared<'_, T>,
        rows: usize,
        of: TensorId,
        range: Range<usize>,
        sum: &mut [T],
    ) {
        sum.fill(T::zero());
        for chunk in 0..self.chunks(rows) {
            // SAFETY: the chunks were written by an earlier op, and are only read now.
            let part = unsafe { self.write(memory, chunk, of, range.clone()) };
            sum.iter_mut().zip(part.iter()).for_each(|(sum, &part)| *sum += part);
        }
    }
}
