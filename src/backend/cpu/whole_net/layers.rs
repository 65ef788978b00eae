//! The computations of a pass in a layer, for some units of some rows.

use super::Pass;
use crate::kernels::fused::whole_net::NetLayer;
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::layers::dropout::Dropout;
use crate::kernels::layers::{activation, dropout, softmax};
use crate::kernels::tensor::TensorId;
use crate::math::activation::Activation;
use crate::math::gemm::{self, Begin, End, Gemm, Right, View};
use std::ops::Range;

/// Whether the layer's activation is fused into the product.
fn is_relu_in_place(layer: &NetLayer) -> bool {
    layer.a == layer.z
        && layer.skip.is_none()
        && layer.functions == Some(UnitFunctions::Same(Activation::Relu))
}

impl<T: Gemm> Pass<'_, T> {
    /// Some units' Z for some rows, or directly A if that is a fused relu.
    pub(super) fn product(
        &self,
        layer: &NetLayer,
        input: TensorId,
        block: Range<usize>,
        units: Range<usize>,
    ) {
        let n = self.cols(layer.z);
        let z = self.memory.block(layer.z, block.clone(), units.clone());
        // SAFETY: these units of these rows of Z, n apart, belong to this piece.
        unsafe { self.product_to(layer, input, block, units, z, n) };
    }

    /// The same, written with rows `stride` apart.
    ///
    /// # Safety
    /// `to` points at that many rows of that many units, which nothing else accesses during the call.
    pub(super) unsafe fn product_to(
        &self,
        layer: &NetLayer,
        input: TensorId,
        block: Range<usize>,
        units: Range<usize>,
        to: *mut T,
        stride: usize,
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
        // SAFETY: the caller has the place to itself, which has a row for each of the block.
        unsafe { gemm::product(a, w, begin, end, to, stride) };
    }

    /// Some units' A for some rows, without softmax: residual connection, σ and dropout;
    /// `first` is the batch's row in the first of `block`.
    pub(super) fn activate(
        &self,
        layer: &NetLayer,
        first: usize,
        block: Range<usize>,
        units: Range<usize>,
    ) {
        let (n, before) = (self.cols(layer.z), layer.before_activation());
        let functions = layer.functions.as_ref().filter(|_| !is_relu_in_place(layer));
        for row in block.clone() {
            let at = row * n + units.start..row * n + units.end;
            if let Some(skip) = layer.skip {
                // SAFETY: these units of these rows belong to this piece; an earlier phase, or this
                // piece, wrote those of a layer below or of X, which is another tensor.
                let (y, x) = unsafe {
                    (self.span(skip).read(at.clone()), self.memory.write(before, at.clone()))
                };
                T::add_scaled(T::one(), y, x);
            }
            let Some(functions) = functions else { continue };
            // SAFETY: these units of these rows of Z, or of what normalization made of it, and of A belong
            // to this piece; where A is another tensor, Z is let go before A is taken again.
            let a = unsafe {
                if layer.a != before {
                    let z = self.memory.read(before, at.clone());
                    self.memory.write(layer.a, at.clone()).copy_from_slice(z);
                }
                self.memory.write(layer.a, at)
            };
            activation::value_in_place(functions, units.clone(), a);
        }
        self.drop(layer.dropout, layer.a, first, &block, units);
    }

    /// Dropout of some units of `x` in some rows, in training; `first` is the
    /// batch's row in the first of `block`.
    pub(super) fn drop(
        &self,
        dropout: Option<Dropout>,
        x: TensorId,
        first: usize,
        block: &Range<usize>,
        units: Range<usize>,
    ) {
        let Some(dropout) = dropout.filter(|_| self.trains()) else { return };
        let n = self.cols(x);
        for (i, row) in block.clone().enumerate() {
            // SAFETY: these units of these rows of A, X or a gradient belong to this piece.
            let x = unsafe { self.span(x).write(row * n + units.start..row * n + units.end) };
            dropout::reference(dropout, self.step, first + i, units.clone(), x);
        }
    }

    /// A of a softmax layer, for some rows.
    pub(super) fn softmax(&self, layer: &NetLayer, block: Range<usize>) {
        if layer.functions.is_none() {
            // SAFETY: these rows belong to this piece, and Z and A of a softmax are different tensors.
            let (z, a) = unsafe { (self.read(layer.z, &block), self.write(layer.a, &block)) };
            softmax::value(self.cols(layer.z), z, a);
        }
    }

    /// Adds to a gradient of `a`, for some of its columns, the gradients through residual connections to some
    /// layers.
    pub(super) fn add_connected(
        &self,
        a: TensorId,
        layers: &[NetLayer],
        gradient: TensorId,
        block: &Range<usize>,
        columns: &Range<usize>,
    ) {
        let n = self.cols(gradient);
        let connected = layers.iter().filter(|layer| layer.skip == Some(a));
        for delta in connected.filter_map(|layer| layer.delta) {
            for row in block.clone() {
                let at = row * n + columns.start..row * n + columns.end;
                // SAFETY: these elements belong to this piece; δ of a layer above was written by it, or by
                // all pieces of an earlier phase.
                let (y, x) = unsafe {
                    (self.memory.read(delta, at.clone()), self.memory.write(gradient, at))
                };
                T::add_scaled(T::one(), y, x);
            }
        }
    }

    /// δ of some units of the layer below `l`, from that of layer `l`, for some rows, of which `first`
    /// is the batch's row in the first of `block`.
    pub(super) fn backward(
        &self,
        l: usize,
        first: usize,
        block: Range<usize>,
        units: Range<usize>,
    ) {
        let (layer, below) = (&self.op.layers[l], &self.op.layers[l - 1]);
        let (Some(delta), Some(to)) = (layer.delta_of_z(), below.delta) else { return };
        let (n, k) = (self.cols(delta), self.cols(to));
        let above = &self.op.layers[l..];
        let connected = above.iter().any(|layer| layer.skip == Some(below.a));
        let fused = is_relu_in_place(below) && !connected;
        let at = block.start * k + units.start;
        // SAFETY: z is only read in the backward pass, and δ of layer `l` was written by this piece, or by
        // all pieces of an earlier phase.
        let (z, a) = unsafe {
            let end = block.end * k - (k - units.end);
            let z = self.memory.read(below.before_activation(), at..end.max(at));
            (z, self.read(delta, &block))
        };
        let end = if fused { End::ReluGradient(z) } else { End::Store };
        let a = View::new(a, block.len(), n);
        let w = View::new(self.whole(layer.weight), n, k).some_cols(units.clone());
        let to_at = self.memory.block(to, block.clone(), units.clone());
        // SAFETY: these units of these rows of δ, k apart, belong to this piece.
        unsafe { gemm::product(a, Right::Matrix(w), Begin::Zero, end, to_at, k) };
        if connected {
            self.add_connected(below.a, above, to, &block, &units);
        }
        if fused {
            // Dropped values are 0, and so is the slope there.
            let scale = below.dropout.map(|dropout| T::of(dropout.scale().into()));
            for (scale, row) in scale.into_iter().flat_map(|s| block.clone().map(move |r| (s, r))) {
                // SAFETY: these units of these rows of δ belong to this piece, and the product is over.
                let delta =
                    unsafe { self.memory.write(to, row * k + units.start..row * k + units.end) };
                T::scale(scale, delta);
            }
            return;
        }
        self.drop(below.dropout, to, first, &block, units.clone());
        let Some(f) = &below.functions else {
            // SAFETY: below a softmax, whole rows belong to this piece (`goes_by_units`).
            let (a, to) = unsafe { (self.read(below.a, &block), self.write(to, &block)) };
            softmax::gradient(k, a, to);
            return;
        };
        for row in block {
            let at = row * k + units.start..row * k + units.end;
            // SAFETY: these units of these rows of δ belong to this piece; in the backward pass nothing writes
            // Z or A.
            let (z, delta) = unsafe {
                let z = self.memory.read(below.before_activation(), at.clone());
                (z, self.memory.write(to, at))
            };
            activation::gradient(f, units.clone(), z, delta);
        }
    }
}
