//! Gradients of chunks of a long batch.
//!
//! If a batch has many more rows than the net has weights, the pass over the rows sums each
//! chunk's gradients while its activations are in cache, and no activations are written to memory.
//! The optimizer's step takes the sum over the chunks, in their order.

use super::memory::{Cells, Shared, Span};
use super::takes_whole_batch;
use super::whole_net::WEIGHTS_A_ROW;
use crate::kernels::fused::whole_net::{NetLayer, Reach};
use crate::kernels::tensor::TensorId;
use crate::math::real::Real;
use crate::plan::program::{Op, Program};
use std::ops::Range;

/// The number of chunks of a batch, for any length and number of threads.
const CHUNKS: usize = 16;

/// The gradients of every chunk.
#[derive(Debug)]
pub(super) struct Partial<T> {
    /// For each chunk, at the offsets of the parameters.
    chunks: Vec<Cells<T>>,
    /// Elements of each.
    parameters: usize,
    /// Rows of the blocks in which chunks are passed through the net.
    block: usize,
    /// The number of elements per row of the batch that would be written to memory and read again.
    width: usize,
}

impl<T: Real> Partial<T> {
    /// Memory for the chunks, if `program` has a step that can be computed this way.
    pub(super) fn new(program: &Program) -> Option<Self> {
        program.ops.iter().find(|op| takes_whole_batch(op, program.batch))?;
        let rows = program.ops.iter().find_map(|op| match op {
            Op::WholeNet(net) if net.from == 0 && net.reach() == Reach::Deltas => Some(net),
            _ => None,
        })?;
        // Statistics need all rows, and so do the gradients of tables.
        let learns = rows.embedded.as_ref().is_some_and(|embedded| embedded.gradient.is_some());
        if learns || rows.layers.iter().any(NetLayer::has_batch_norm) {
            return None;
        }
        let parameters = program.range(rows.parameters, 0).len();
        let width = program.range(rows.arena, 0).len() / program.batch.max(1);
        let partial = Partial { chunks: Vec::new(), parameters, block: rows.block, width };
        let chunk = |_| Cells::zeros(parameters);
        let pays = partial.pays(program.batch);
        pays.then(|| Partial { chunks: (0..CHUNKS).map(chunk).collect(), ..partial })
    }

    /// Whether batches of `rows` rows are computed this way: if rows should stay in a cache, and
    /// partial gradients take less memory traffic than activations.
    pub(super) fn pays(&self, rows: usize) -> bool {
        rows >= CHUNKS * self.block
            && self.parameters <= rows * WEIGHTS_A_ROW
            && 2 * CHUNKS * self.parameters <= rows * self.width
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

    /// A chunk's gradient of a parameter tensor.
    pub(super) fn span<'a>(
        &'a self,
        memory: &Shared<'_, T>,
        chunk: usize,
        of: TensorId,
    ) -> Span<'a, T> {
        self.chunks[chunk].span().part(memory.program().range(of, 0))
    }

    /// The sum over the chunks of a part of a gradient.
    ///
    /// # Safety
    /// An earlier op wrote the chunks, and none is written meanwhile.
    pub(super) unsafe fn sum(
        &self,
        memory: &Shared<'_, T>,
        rows: usize,
        of: TensorId,
        range: Range<usize>,
        sum: &mut [T],
    ) {
        sum.fill(T::zero());
        for chunk in 0..self.chunks(rows) {
            // SAFETY: the caller keeps the chunks from being written.
            let part = unsafe { self.span(memory, chunk, of).read(range.clone()) };
            sum.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
        }
    }
}
