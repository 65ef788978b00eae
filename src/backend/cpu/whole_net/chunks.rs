//! The gradients of chunks of a long batch, summed while their rows are in cache.

use super::super::partial::Partial;
use super::Pass;
use crate::math::gemm::{self, Begin, End, Gemm, Right, View};
use std::ops::Range;

impl<T: Gemm> Pass<'_, T> {
    /// The gradients of a block of rows, added to those of its chunk.
    pub(super) fn add_gradients(
        &self,
        block: &Range<usize>,
        partial: &Partial<T>,
        chunk: usize,
        add: bool,
    ) {
        let mut input = self.op.x;
        for layer in &self.op.layers {
            let Some(delta) = layer.delta_of_z() else { return };
            let (n, k) = (self.cols(delta), self.cols(input));
            // SAFETY: this piece wrote these rows, which are its own, and now only reads them.
            let (delta, a) = unsafe { (self.read(delta, block), self.read(input, block)) };
            let rows = block.len();
            let delta_columns = View::new(delta, rows, n).transposed();
            let sparse = self.caches.is_sparse(input);
            let inputs = Right::Matrix(View::new(a, rows, k).sparse(sparse));
            let begin = if add { Begin::Add } else { Begin::Zero };
            let g = partial.span(self.memory, chunk, layer.weight).block(k, 0..n, 0..k);
            // SAFETY: the chunk's gradients are this piece's, and that of the weights has n rows of k.
            unsafe { gemm::product(delta_columns, inputs, begin, End::Store, g, k) };
            if let Some((bias, sign)) = layer.bias {
                // SAFETY: the chunk's gradients are this piece's, and it has no other reference to them.
                let g = unsafe { partial.span(self.memory, chunk, bias).write(0..n) };
                let sums = |first: usize, sums: &mut [T]| {
                    T::sum_columns(n, first, T::of(sign.into()), delta, sums);
                };
                add_sums(sums, add, g);
            }
            if let Some(norm) = layer.norm.and_then(|norm| norm.backward) {
                // SAFETY: this piece wrote these rows; of the chunk's gradients, which are its own, scale and
                // shift have different places.
                let (gradient, normal, scale, shift) = unsafe {
                    let g = |of| partial.span(self.memory, chunk, of).write(0..n);
                    let read = |id| self.read(id, block);
                    (read(norm.gradient), read(norm.of.normal), g(norm.of.scale), g(norm.of.shift))
                };
                let products = |first: usize, sums: &mut [T]| {
                    T::sum_column_products(n, first, gradient, normal, sums);
                };
                add_sums(products, add, scale);
                let sums = |first: usize, sums: &mut [T]| {
                    T::sum_columns(n, first, T::one(), gradient, sums);
                };
                add_sums(sums, add, shift);
            }
            input = layer.a;
        }
    }
}

/// g ← sums by column, or g ← g + sums if `add`; `sums` gives those from a column on.
fn add_sums<T: Gemm>(sums: impl Fn(usize, &mut [T]), add: bool, g: &mut [T]) {
    const BLOCK: usize = 64;
    for (first, g) in (0..).step_by(BLOCK).zip(g.chunks_mut(BLOCK)) {
        let block = &mut [T::zero(); BLOCK][..g.len()];
        sums(first, block);
        if add {
            T::add_scaled(T::one(), g, block);
        }
        g.copy_from_slice(block);
    }
}
