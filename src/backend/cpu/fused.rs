//! The fused pass: through the whole net and back, by blocks of rows or by units, whichever should
//! stay in cache.

use super::Caches;
use super::memory::{Shared, Span};
use super::ops::{ROWS, from};
use super::partial::Partial;
use super::team::Worker;
use crate::activation::Activation;
use crate::data::Samples;
use crate::gemm::{self, Begin, End, Gemm, Right, View};
use crate::kernels::activation::UnitFunctions;
use crate::kernels::dropout::Dropout;
use crate::kernels::fused::{FusedLayer, Reach, Rows, unit_pieces, units_of};
use crate::kernels::{Step, activation, augment, dropout, gather, loss, softmax};
use crate::program::Program;
use crate::tensor::TensorId;
use std::ops::Range;

/// Whether the layer's activation is done by the product that makes Z.
fn is_relu_in_place(layer: &FusedLayer) -> bool {
    layer.a == layer.z && layer.functions == Some(UnitFunctions::Same(Activation::Relu))
}

/// What the passes over rows work with.
pub(super) struct Pass<'a, T> {
    pub op: &'a Rows,
    pub data: &'a Samples,
    pub step: &'a Step,
    pub memory: &'a Shared<'a, T>,
    pub caches: Caches<'a, T>,
    /// Which of the team's threads this is.
    pub thread: usize,
}

/// Whether a pass over `rows` rows has every thread compute some units of each layer for all rows, so
/// that their weights stay in its cache, or some rows through all layers: a matter of the shape alone.
pub(super) fn goes_by_units(op: &Rows, program: &Program, rows: usize) -> bool {
    let weights = |layer: &FusedLayer| program.range(layer.weight, 0).len();
    // δ of a softmax needs whole rows.
    let hidden = &op.layers[..op.layers.len() - 1];
    hidden.iter().all(|layer| layer.functions.is_some())
        && op.layers.iter().map(weights).sum::<usize>() > rows * WEIGHTS_A_ROW
}

impl<T: Gemm> Pass<'_, T> {
    /// The whole pass, together with the other threads of the team.
    ///
    /// Either each takes blocks of rows through the whole net, while they lie in its cache, or each
    /// has some units of every layer for all rows, while their weights lie there; which of them is a
    /// matter of the shape alone.
    pub(super) fn run(&self, worker: &Worker<'_>) {
        let rows = self.step.rows as usize;
        if rows == 0 {
            return;
        }
        let block = self.op.block;
        // First what the optimiser's step asks too, so that both answer alike.
        if let Some(partial) = self.caches.partial.filter(|partial| partial.pays(rows)) {
            worker.share(partial.chunks(rows), |chunk| {
                let range = partial.chunk(rows, chunk);
                for rows in blocks_of(range.clone(), block) {
                    // All blocks of a chunk in the place of its first, which stays in cache.
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

    /// The gradients of a block of rows, added to those of its chunk.
    fn add_gradients(&self, block: &Range<usize>, partial: &Partial<T>, chunk: usize, add: bool) {
        let mut input = self.op.x;
        for layer in &self.op.layers {
            let Some(delta) = layer.delta else { return };
            let (n, k) = (self.cols(delta), self.cols(input));
            // SAFETY: this piece wrote these rows, and reads them only.
            let (delta, a) = unsafe { (self.read(delta, block), self.read(input, block)) };
            let rows = block.len();
            let delta_columns = View::new(delta, rows, n).transposed();
            let sparse = self.caches.is_sparse(input);
            let inputs = Right::Matrix(View::new(a, rows, k).sparse(sparse));
            let begin = if add { Begin::Add } else { Begin::Zero };
            let g = partial.span(self.memory, chunk, layer.weight);
            // SAFETY: the chunk is this piece's, and the gradient has n rows of k.
            unsafe { gemm::product(delta_columns, inputs, begin, End::Store, g.pointer(0), k) };
            if let Some((bias, sign)) = layer.bias {
                // SAFETY: as above.
                let g = unsafe { partial.span(self.memory, chunk, bias).write(0..n) };
                self.add_bias_gradient(T::of(sign.into()), delta, add, g);
            }
            input = layer.a;
        }
    }

    /// g ← sign · Σ_rows δ, added to what it holds if `add`; δ: (rows, n), g: (n).
    fn add_bias_gradient(&self, sign: T, delta: &[T], add: bool, g: &mut [T]) {
        const BLOCK: usize = 64;
        let n = g.len();
        for (first, g) in (0..).step_by(BLOCK).zip(g.chunks_mut(BLOCK)) {
            let sums = &mut [T::zero(); BLOCK][..g.len()];
            T::sum_columns(n, first, sign, delta, sums);
            if add {
                T::add_scaled(T::one(), g, sums);
            }
            g.copy_from_slice(sums);
        }
    }

    /// Some rows of the batch through the whole net, and back as far as the op reaches, worked on in
    /// rows `block` of the tensors.
    fn by_rows(&self, rows: Range<usize>, block: Range<usize>) {
        let found = &mut [0; ROWS][..rows.len()];
        gather::rows(&from(self.step, rows.start), found);
        let input = self.begin(found, rows.start, &block);
        self.forward_and_back(self.op.from, 1, input, found, rows, block);
    }

    /// Some rows, `found` in the data set, through the layers from `first` on, the loss, and back to the
    /// δ of the layer below `to`, as far as the op reaches.
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
            self.forward(layer, input, block.clone(), units.clone());
            self.softmax(layer, block.clone());
            self.drop(layer.dropout, layer.a, rows.start, &block, units);
            input = layer.a;
        }
        if self.op.reach < Reach::Loss {
            return;
        }
        let start = rows.start;
        self.loss(found, rows, &block);
        if self.op.reach < Reach::Deltas {
            return;
        }
        for l in (to..self.op.layers.len()).rev() {
            let width = self.cols(self.op.layers[l - 1].z);
            self.backward(l, start, block.clone(), 0..width);
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
                    self.forward(layer, input, 0..rows, units.clone());
                    self.drop(layer.dropout, layer.a, 0, &(0..rows), units);
                },
            );
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
        if op.reach < Reach::Deltas {
            return;
        }
        for l in (1..op.layers.len().min(tail + 1)).rev() {
            let n = self.cols(op.layers[l - 1].z);
            let part = |pieces| self.backward(l, 0, 0..rows, units_of(n, pieces));
            worker.deal(1, |_| unit_pieces(n), |_, pieces| part(pieces));
        }
    }

    /// The first of the last layers that have so few weights that dealing out rows costs less than
    /// dealing out units, and waiting once more.
    fn tail(&self) -> usize {
        const WEIGHTS: usize = 1 << 14;
        let layers = &self.op.layers;
        let large = layers.iter().rposition(|layer| self.len(layer.weight) > WEIGHTS);
        large.map_or(0, |l| l + 1).max(self.op.from + 1).min(layers.len())
    }

    /// What the pass begins with: X, or the activations of a layer that another op has computed.
    fn input(&self) -> TensorId {
        self.op.from.checked_sub(1).map_or(self.op.x, |computed| self.op.layers[computed].a)
    }

    /// The same, after X was gathered from rows `found` of the data set if the pass begins with it;
    /// `first` is the batch's row in the first of `block`.
    fn begin(&self, found: &[u32], first: usize, block: &Range<usize>) -> TensorId {
        if self.op.from == 0 {
            // SAFETY: these rows of X belong to this piece.
            let x = unsafe { self.write(self.op.x, block) };
            let (features, affine) = (&self.data.features, &self.data.affine);
            match self.op.augmentation.filter(|_| self.op.reach == Reach::Deltas) {
                None => gather::features(found, features, affine, x),
                Some(a) => augment::features(&a, self.step, first, found, features, affine, x),
            }
            let inputs = 0..self.cols(self.op.x);
            self.drop(self.op.input_dropout, self.op.x, first, block, inputs);
        }
        self.input()
    }

    /// Some units' Z and, softmax apart, A for some rows.
    fn forward(
        &self,
        layer: &FusedLayer,
        input: TensorId,
        block: Range<usize>,
        units: Range<usize>,
    ) {
        let (n, k) = (self.cols(layer.z), self.cols(input));
        let whole_bias = layer.bias.map(|(b, sign)| (self.whole(b), T::of(sign.into())));
        let begin =
            whole_bias.map_or(Begin::Zero, |(bias, sign)| Begin::Bias(&bias[units.clone()], sign));
        let end = if is_relu_in_place(layer) { End::Relu } else { End::Store };
        let sparse = self.caches.is_sparse(input);
        // SAFETY: this piece wrote these rows, or all pieces of an earlier phase did; no weight is
        // written in a pass.
        let (a, packed) = unsafe {
            let packed = self.caches.packed.get(self.memory, layer.weight, units.clone());
            (self.read(input, &block), packed)
        };
        let a = View::new(a, block.len(), k).sparse(sparse);
        let w = match packed {
            Some(packed) => Right::Packed(packed, units.len()),
            None => {
                let w = View::new(self.whole(layer.weight), n, k);
                Right::Matrix(w.some_rows(units.clone()).transposed())
            }
        };
        let z = self.memory.pointer(layer.z, block.start * n + units.start);
        // SAFETY: z has block.len() rows of n, and these units of them belong to this piece.
        unsafe { gemm::product(a, w, begin, end, z, n) };
        let Some(functions) = &layer.functions else { return };
        if is_relu_in_place(layer) {
            return;
        }
        for row in block {
            // SAFETY: as above.
            let a = unsafe {
                let at = row * n + units.start..row * n + units.end;
                if layer.a != layer.z {
                    let z = self.memory.read(layer.z, at.clone());
                    self.memory.write(layer.a, at.clone()).copy_from_slice(z);
                }
                self.memory.write(layer.a, at)
            };
            activation::value_in_place(functions, units.clone(), a);
        }
    }

    /// Dropout of some units of `x` in some rows, if the pass is one of training; `first` is the
    /// batch's row in the first of `block`.
    fn drop(
        &self,
        dropout: Option<Dropout>,
        x: TensorId,
        first: usize,
        block: &Range<usize>,
        units: Range<usize>,
    ) {
        let Some(dropout) = dropout.filter(|_| self.op.reach == Reach::Deltas) else { return };
        let n = self.cols(x);
        for (i, row) in block.clone().enumerate() {
            // SAFETY: these units of these rows belong to this piece.
            let x = unsafe { self.memory.write(x, row * n + units.start..row * n + units.end) };
            dropout::reference(dropout, self.step, first + i, units.clone(), x);
        }
    }

    /// A of a softmax layer, for some rows.
    fn softmax(&self, layer: &FusedLayer, block: Range<usize>) {
        if layer.functions.is_none() {
            // SAFETY: these rows belong to this piece, and Z and A of a softmax are different tensors.
            let (z, a) = unsafe { (self.read(layer.z, &block), self.write(layer.a, &block)) };
            softmax::value(self.cols(layer.z), z, a);
        }
    }

    /// The loss, the scores and δ of the last layer for some rows, as far as the op reaches; `found`
    /// are the rows of the data set.
    fn loss(&self, found: &[u32], rows: Range<usize>, block: &Range<usize>) {
        let op = self.op;
        let last = op.layers.last();
        let y = last.map_or(op.x, |layer| layer.a);
        if op.reach < Reach::Loss {
            return;
        }
        if let Some(targets) = &self.data.targets {
            // SAFETY: these rows belong to this piece.
            let t = unsafe { self.write(op.t, block) };
            gather::targets(found, targets, self.cols(op.t), t);
        }
        // SAFETY: as above, and all of these are different tensors.
        let (y, t, gradient, scores) = unsafe {
            let (y, t) = (self.read(y, block), self.read(op.t, block));
            (y, t, self.write(op.gradient, block), self.write(op.scores, &rows))
        };
        loss::rows(op.loss, self.step, y, t, self.whole(op.unit), gradient, scores);
        if let Some(weights) = &self.data.weights {
            loss::weigh(weights, found, gradient, scores);
        }
        let Some((layer, delta)) = last.and_then(|l| l.delta.map(|delta| (l, delta))) else {
            return;
        };
        if op.reach < Reach::Deltas {
            return;
        }
        let n = self.cols(delta);
        // SAFETY: as above; δ takes the place of the gradient, which isn't used any more.
        let (z, a, delta) = unsafe {
            (self.read(layer.z, block), self.read(layer.a, block), self.write(delta, block))
        };
        match &layer.functions {
            None => softmax::gradient(n, a, delta),
            Some(f) => activation::gradient(f, 0..n, z, delta),
        }
    }

    /// δ of some units of the layer below `l`, from that of layer `l`, for some rows, of which `first`
    /// is the batch's row in the first of `block`.
    fn backward(&self, l: usize, first: usize, block: Range<usize>, units: Range<usize>) {
        let (layer, below) = (&self.op.layers[l], &self.op.layers[l - 1]);
        let (Some(delta), Some(to)) = (layer.delta, below.delta) else { return };
        let (n, k) = (self.cols(delta), self.cols(to));
        let fused = is_relu_in_place(below);
        let at = block.start * k + units.start;
        // SAFETY: z is only read on the way back, and δ of layer `l` was written by this piece, or by
        // all pieces of an earlier phase.
        let (z, a) = unsafe {
            let end = block.end * k - (k - units.end);
            (self.memory.read(below.z, at..end.max(at)), self.read(delta, &block))
        };
        let end = if fused { End::ReluGradient(z) } else { End::Store };
        let a = View::new(a, block.len(), n);
        let w = View::new(self.whole(layer.weight), n, k).some_cols(units.clone());
        let to_at = self.memory.pointer(to, at);
        // SAFETY: `to` has block.len() rows of k, and these units of them belong to this piece.
        unsafe { gemm::product(a, Right::Matrix(w), Begin::Zero, end, to_at, k) };
        self.drop(below.dropout, to, first, &block, units.clone());
        if fused {
            return;
        }
        let Some(f) = &below.functions else {
            // SAFETY: below a softmax, whole rows belong to this piece (`goes_by_units`).
            let (a, to) = unsafe { (self.read(below.a, &block), self.write(to, &block)) };
            softmax::gradient(k, a, to);
            return;
        };
        for row in block {
            let at = row * k + units.start..row * k + units.end;
            // SAFETY: as above.
            let (z, delta) =
                unsafe { (self.memory.read(below.z, at.clone()), self.memory.write(to, at)) };
            activation::gradient(f, units.clone(), z, delta);
        }
    }

    fn cols(&self, id: TensorId) -> usize {
        self.memory.program().tensor(id).cols
    }

    /// The length of a tensor that has no row for each row of the batch.
    fn len(&self, id: TensorId) -> usize {
        self.memory.program().range(id, 0).len()
    }

    /// Where a tensor lies for this thread.
    fn span(&self, id: TensorId) -> Span<'_, T> {
        self.caches.span(self.memory, id, self.thread)
    }

    /// Some rows of a tensor.
    ///
    /// # Safety
    /// As [`Span::read`]: an earlier op or phase wrote them, or this piece.
    unsafe fn read(&self, id: TensorId, block: &Range<usize>) -> &[T] {
        let n = self.cols(id);
        // SAFETY: the caller's.
        unsafe { self.span(id).read(block.start * n..block.end * n) }
    }

    /// Some rows of a tensor, to be written.
    ///
    /// # Safety
    /// As [`Span::write`]: all of them belong to this piece, which has no other reference to them.
    #[allow(clippy::mut_from_ref, reason = "the piece has these rows to itself")]
    unsafe fn write(&self, id: TensorId, block: &Range<usize>) -> &mut [T] {
        let n = self.cols(id);
        // SAFETY: the caller's.
        unsafe { self.span(id).write(block.start * n..block.end * n) }
    }

    /// A tensor that the pass doesn't write.
    fn whole(&self, id: TensorId) -> &[T] {
        // SAFETY: parameters and constants are only read.
        unsafe { self.memory.read(id, 0..self.len(id)) }
    }
}

/// Weights for each row of the batch from which on it is weights that should stay in a thread's
/// cache, not rows.
pub(super) const WEIGHTS_A_ROW: usize = 32;

/// A range in parts of at most `len`.
pub(super) fn blocks_of(range: Range<usize>, len: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(len).map(move |first| first..(first + len).min(end))
}
