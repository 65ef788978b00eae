//! The fused pass: forward and backward through the whole net, by blocks of rows or by units, whichever should
//! stay in cache.

mod chunks;
mod ends;
mod layers;
mod norms;

use super::Caches;
use super::memory::{Shared, Span};
use super::ops::{ROWS, from};
use super::team::Worker;
use crate::data::Samples;
use crate::kernels::Step;
use crate::kernels::fused::whole_net::{NetLayer, Reach, WholeNet, unit_pieces, units_of};
use crate::kernels::inputs::gather;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::Gemm;
use crate::plan::program::Program;
use std::ops::Range;

/// The context of a pass over rows.
pub(super) struct Pass<'a, T> {
    pub op: &'a WholeNet,
    pub data: &'a Samples,
    pub step: &'a Step,
    pub memory: &'a Shared<'a, T>,
    pub caches: Caches<'a, T>,
    /// The index of the thread in the team.
    pub thread: usize,
}

/// Whether a pass over `rows` rows has every thread compute some units of each layer for all rows, so
/// that their weights stay in its cache, or some rows through all layers: decided by the shape alone.
/// Statistics of a batch need all rows of a unit.
pub(super) fn goes_by_units(op: &WholeNet, program: &Program, rows: usize) -> bool {
    let weights = |layer: &NetLayer| program.range(layer.weight, 0).len();
    // δ of a softmax needs whole rows.
    let hidden = &op.layers[..op.layers.len() - 1];
    let takes_batch = op.reach() == Reach::Deltas && hidden.iter().any(NetLayer::has_batch_norm);
    hidden.iter().all(|layer| layer.functions.is_some())
        && (takes_batch || op.layers.iter().map(weights).sum::<usize>() > rows * WEIGHTS_A_ROW)
}

impl<T: Gemm> Pass<'_, T> {
    /// The whole pass, together with the other threads of the team.
    ///
    /// Either each thread takes blocks of rows through the whole net, while they are in its cache, or each
    /// has some units of every layer for all rows, while their weights are there; the shape alone
    /// decides.
    pub(super) fn run(&self, worker: &Worker<'_>) {
        let rows = self.step.rows as usize;
        if rows == 0 {
            return;
        }
        let block = self.op.block;
        // The same condition as in the optimizer's step, so that both agree.
        if let Some(partial) = self.caches.partial.filter(|partial| partial.pays(rows)) {
            worker.share(partial.chunks(rows), |chunk| {
                let range = partial.chunk(rows, chunk);
                for rows in blocks_of(range.clone(), block) {
                    // All blocks of a chunk use the memory of its first, which stays in cache.
                    let place = range.start..range.start + rows.len();
                    let begun = rows.start > range.start;
                    self.by_rows(rows, place.clone());
                    self.add_gradients(&place, partial, chunk, begun);
                }
            });
        } else if goes_by_units(self.op, self.memory.program(), rows) {
            self.by_units(worker);
        } else {
            worker.share(rows.div_ceil(block), |i| {
                let rows = i * block..((i + 1) * block).min(rows);
                self.by_rows(rows.clone(), rows);
            });
        }
    }

    /// Some rows of the batch through the whole net, and back as far as the op goes, in
    /// rows `block` of the tensors.
    fn by_rows(&self, rows: Range<usize>, block: Range<usize>) {
        let found = &mut [0; ROWS][..rows.len()];
        gather::rows(&from(self.step, rows.start), found);
        let input = self.begin(found, rows.start, &block);
        let start = rows.start;
        self.forward_and_back(self.op.from, 1, input, found, rows, block.clone());
        self.input_gradient(start, &block);
    }

    /// Some rows, `found` in the data set, through the layers from `first` on, the loss, and back to the
    /// δ of the layer below `to`, as far as the op goes.
    fn forward_and_back(
        &self,
        first: usize,
        to: usize,
        input: TensorId,
        found: &[u32],
        rows: Range<usize>,
        block: Range<usize>,
    ) {
        let mut input = input;
        for layer in &self.op.layers[first..] {
            let units = 0..self.cols(layer.z);
            self.product(layer, input, block.clone(), units.clone());
            self.normalize_rows(layer, &block);
            self.activate(layer, rows.start, block.clone(), units);
            self.softmax(layer, block.clone());
            input = layer.a;
        }
        let start = rows.start;
        self.loss(found, rows, &block);
        if self.op.reach() < Reach::Deltas {
            return;
        }
        for l in (to..self.op.layers.len()).rev() {
            let width = self.cols(self.op.layers[l - 1].z);
            self.backward(l, start, block.clone(), 0..width);
            self.normalize_rows_gradient(&self.op.layers[l - 1], &block);
        }
    }

    /// All rows through the net and back, each thread with some units of every layer; small last
    /// layers and the loss, which needs whole rows, with some rows.
    fn by_units(&self, worker: &Worker<'_>) {
        let op = self.op;
        let rows = self.step.rows as usize;
        let by_rows = |part: &dyn Fn(Range<usize>)| {
            const BLOCK: usize = 16;
            let rows_of =
                |blocks: Range<usize>| blocks.start * BLOCK..(blocks.end * BLOCK).min(rows);
            worker.deal(
                1,
                |_| rows.div_ceil(BLOCK),
                |_, blocks| {
                    blocks_of(rows_of(blocks), ROWS).for_each(part);
                },
            );
        };
        let begin = |rows: Range<usize>| {
            let found = &mut [0; ROWS][..rows.len()];
            gather::rows(&from(self.step, rows.start), found);
            self.begin(found, rows.start, &rows);
        };
        if self.caches.inputs.is_some() {
            blocks_of(0..rows, ROWS).for_each(begin);
        } else if op.from == 0 {
            by_rows(&begin);
        }
        let tail = self.tail();
        let mut input = self.input();
        for layer in &op.layers[op.from..tail] {
            let n = self.cols(layer.z);
            worker.deal(
                1,
                |_| unit_pieces(n),
                |_, pieces| {
                    let units = units_of(n, pieces);
                    if self.takes_batch(layer) {
                        self.normalize_batch(layer, input, rows, &units);
                    } else {
                        self.product(layer, input, 0..rows, units.clone());
                    }
                    if !self.takes_rows(layer) {
                        self.activate(layer, 0, 0..rows, units);
                    }
                },
            );
            if self.takes_rows(layer) {
                by_rows(&|rows| {
                    self.normalize_rows(layer, &rows);
                    self.activate(layer, rows.start, rows, 0..n);
                });
            }
            input = layer.a;
        }
        by_rows(&|rows| {
            if let Some(last) = op.layers.last().filter(|_| tail == op.layers.len()) {
                self.softmax(last, rows.clone());
            }
            let found = &mut [0; ROWS][..rows.len()];
            gather::rows(&from(self.step, rows.start), found);
            self.forward_and_back(tail, tail + 1, input, found, rows.clone(), rows);
        });
        if op.reach() < Reach::Deltas {
            return;
        }
        for l in (1..op.layers.len().min(tail + 1)).rev() {
            let below = &op.layers[l - 1];
            let n = self.cols(below.z);
            let part = |pieces| {
                let units = units_of(n, pieces);
                self.backward(l, 0, 0..rows, units.clone());
                self.normalize_batch_gradient(below, rows, &units);
            };
            worker.deal(1, |_| unit_pieces(n), |_, pieces| part(pieces));
            if self.takes_rows(below) {
                by_rows(&|rows| self.normalize_rows_gradient(below, &rows));
            }
        }
        if op.embedded.is_some() {
            by_rows(&|rows| self.input_gradient(rows.start, &rows));
        }
    }

    /// The first of the last layers that have so few weights that distributing rows costs less than
    /// distributing units with one more barrier.
    fn tail(&self) -> usize {
        const WEIGHTS: usize = 1 << 14;
        let layers = &self.op.layers;
        let is_large =
            |layer: &NetLayer| self.len(layer.weight) > WEIGHTS || self.takes_batch(layer);
        let large = layers.iter().rposition(is_large);
        large.map_or(0, |l| l + 1).max(self.op.from + 1).min(layers.len())
    }

    /// The input of the pass: X, or the activations of a layer computed by another op.
    fn input(&self) -> TensorId {
        self.op.from.checked_sub(1).map_or(self.op.x, |computed| self.op.layers[computed].a)
    }

    /// Whether it is a training pass.
    fn trains(&self) -> bool {
        self.op.reach() == Reach::Deltas
    }

    /// Whether a layer is normalized by the statistics of the batch.
    fn takes_batch(&self, layer: &NetLayer) -> bool {
        self.trains() && layer.has_batch_norm()
    }

    /// Whether a layer is normalized row by row.
    fn takes_rows(&self, layer: &NetLayer) -> bool {
        layer.norm.is_some() && !self.takes_batch(layer)
    }

    fn cols(&self, id: TensorId) -> usize {
        self.memory.program().tensor(id).cols
    }

    /// The length of a tensor whose rows aren't those of the batch.
    fn len(&self, id: TensorId) -> usize {
        self.memory.program().range(id, 0).len()
    }

    /// The span of a tensor for this thread.
    fn span(&self, id: TensorId) -> Span<'_, T> {
        self.caches.span(self.memory, id, self.thread)
    }

    /// Some rows of a tensor.
    ///
    /// # Safety
    /// As [`Span::read`]: an earlier op or phase wrote them, or this piece.
    unsafe fn read(&self, id: TensorId, block: &Range<usize>) -> &[T] {
        let n = self.cols(id);
        // SAFETY: the caller keeps the contract of `Span::read` for these rows.
        unsafe { self.span(id).read(block.start * n..block.end * n) }
    }

    /// Some rows of a tensor, to be written.
    ///
    /// # Safety
    /// As [`Span::write`]: all of them belong to this piece, which has no other reference to them.
    #[allow(clippy::mut_from_ref, reason = "the piece has these rows to itself")]
    unsafe fn write(&self, id: TensorId, block: &Range<usize>) -> &mut [T] {
        let n = self.cols(id);
        // SAFETY: the caller keeps the contract of `Span::write` for these rows.
        unsafe { self.span(id).write(block.start * n..block.end * n) }
    }

    /// A tensor that the pass doesn't write.
    fn whole(&self, id: TensorId) -> &[T] {
        // SAFETY: it is called for parameters and constants: a pass reads those of its op, which overlap
        // nothing that it writes (`Program::check`).
        unsafe { self.memory.read(id, 0..self.len(id)) }
    }
}

/// The number of weights per row of the batch from which weights, not rows, should stay in a thread's
/// cache.
pub(super) const WEIGHTS_A_ROW: usize = 32;

/// A range in parts of at most `len`.
pub(super) fn blocks_of(range: Range<usize>, len: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(len).map(move |first| first..(first + len).min(end))
}
