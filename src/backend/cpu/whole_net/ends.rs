//! The ends of a pass: the inputs, and the loss.

use super::Pass;
use crate::kernels::inputs::{augment, embed, gather, mixup};
use crate::kernels::layers::{activation, softmax};
use crate::kernels::loss;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::{self, Begin, End, Gemm, Right, View};
use std::ops::Range;

impl<T: Gemm> Pass<'_, T> {
    /// The start of the pass: gathers X from rows `found` of the data set, if it starts with X;
    /// `first` is the batch's row in the first of `block`.
    pub(super) fn begin(&self, found: &[u32], first: usize, block: &Range<usize>) -> TensorId {
        if self.op.from > 0 {
            return self.input();
        }
        let (op, embedded) = (self.op, self.op.embedded.as_ref());
        let gathered = embedded.map_or(op.x, |embedded| embedded.features);
        let (features, affine) = (&self.data.features, &self.data.affine);
        // SAFETY: these rows belong to this piece, or to this thread where it has a copy of its own.
        let to = unsafe { self.write(gathered, block) };
        match op.augmentation.filter(|_| self.trains()) {
            None => gather::features(found, features, affine, to),
            Some(a) => augment::features(&a, self.step, first, found, features, affine, to),
        }
        if let Some(embedded) = embedded {
            // SAFETY: these rows of both belong to this piece or thread: it has just written the features,
            // and X is another tensor.
            let (features, x) = unsafe { (self.read(gathered, block), self.write(op.x, block)) };
            for (lookup, table) in &embedded.tables {
                embed::reference(*lookup, features, self.whole(*table), x);
            }
        }
        if self.trains() && op.mixup {
            // Blocks start with the first row of a pair.
            // SAFETY: these rows of X belong to this piece or thread, whose references to them are gone.
            let x = unsafe { self.write(op.x, block) };
            mixup::reference(self.step.mixing, self.cols(op.x), x);
        }
        self.drop(op.input_dropout, op.x, first, block, 0..self.cols(op.x));
        self.input()
    }

    /// ∂E/∂X of some rows if there are embeddings; `first` is the batch's row in the first of `block`.
    pub(super) fn input_gradient(&self, first: usize, block: &Range<usize>) {
        let op = self.op;
        let Some(embedded) = op.embedded.as_ref().filter(|_| self.trains()) else { return };
        let layer = op.layers.first();
        let (Some(layer), Some(gradient)) = (layer, embedded.gradient) else { return };
        let Some(delta) = layer.delta_of_z() else { return };
        let (n, k) = (self.cols(delta), self.cols(gradient));
        let columns = embedded.first()..k;
        // SAFETY: this piece wrote these rows of δ, or all pieces of an earlier phase did.
        let delta = View::new(unsafe { self.read(delta, block) }, block.len(), n);
        let w = View::new(self.whole(layer.weight), n, k).some_cols(columns.clone());
        let to = self.memory.block(gradient, block.clone(), columns.clone());
        // SAFETY: these rows of the gradient, k apart, belong to this piece.
        unsafe { gemm::product(delta, Right::Matrix(w), Begin::Zero, End::Store, to, k) };
        self.add_connected(op.x, &op.layers, gradient, block, &columns);
        self.drop(op.input_dropout, gradient, first, block, columns);
        if op.mixup {
            // The gradient of mixing is the same mixing.
            // SAFETY: these rows of the gradient belong to this piece, and the product is over.
            let gradient = unsafe { self.write(gradient, block) };
            mixup::reference(self.step.mixing, k, gradient);
        }
    }

    /// The loss, the scores and δ of the last layer for some rows, as far as the op goes; `found`
    /// are the rows of the data set.
    pub(super) fn loss(&self, found: &[u32], rows: Range<usize>, block: &Range<usize>) {
        let op = self.op;
        let Some(of) = &op.loss else { return };
        let last = op.layers.last();
        let y = last.map_or(op.x, |layer| layer.a);
        if let Some(targets) = &self.data.targets {
            // SAFETY: these rows of the targets belong to this piece.
            let t = unsafe { self.write(of.t, block) };
            gather::targets(found, targets, self.cols(of.t), t);
            if self.trains() && op.mixup {
                mixup::reference(self.step.mixing, self.cols(of.t), t);
            }
        }
        // SAFETY: these rows belong to this piece, which wrote those of Y and T or, of Y, all pieces of an
        // earlier phase did; the four don't overlap (`Program::check`).
        let (y, t, gradient, scores) = unsafe {
            let (y, t) = (self.read(y, block), self.read(of.t, block));
            (y, t, self.write(of.gradient, block), self.write(of.scores, &rows))
        };
        loss::rows(of.loss, self.step, y, t, self.whole(of.unit), gradient, scores);
        if let Some(weights) = &self.data.weights {
            loss::weigh(weights, found, gradient, scores);
        }
        let Some((layer, delta)) = last.and_then(|l| l.delta.map(|delta| (l, delta))) else {
            return;
        };
        let n = self.cols(delta);
        // SAFETY: these rows belong to this piece; δ overlaps neither Z nor A, and where it takes the place of
        // the loss's gradient, that reference is gone.
        let (z, a, delta) = unsafe {
            let z = self.read(layer.before_activation(), block);
            (z, self.read(layer.a, block), self.write(delta, block))
        };
        match &layer.functions {
            None => softmax::gradient(n, a, delta),
            Some(f) => activation::gradient(f, 0..n, z, delta),
        }
    }
}
