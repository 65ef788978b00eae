//! Normalizations within a pass: of the layer, for whole rows; of the batch, for all rows of some
//! units.

use super::Pass;
use crate::kernels::fused::whole_net::NetLayer;
use crate::kernels::layers::norm;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::{Gemm, Scratch};
use crate::math::vector::norm::inverse_deviation;
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    /// Some units of all rows, side by side.
    static UNITS: RefCell<[Scratch; 2]> = RefCell::default();
}

impl<T: Gemm> Pass<'_, T> {
    /// The normalization of some whole rows: of layer normalization, or by the running statistics if it
    /// isn't a training pass.
    pub(super) fn normalize_rows(&self, layer: &NetLayer, block: &Range<usize>) {
        let Some(of) = layer.norm.filter(|_| self.takes_rows(layer)) else { return };
        let (n, forward) = (self.cols(layer.z), of.forward);
        let affine = [self.whole(forward.scale), self.whole(forward.shift)];
        // SAFETY: these rows belong to this piece, and these are different tensors.
        let (z, normal, out) = unsafe {
            let z = self.read(layer.z, block);
            (z, self.write(forward.normal, block), self.write(forward.out, block))
        };
        match of.running {
            None => norm::layer(z, affine, normal, out),
            Some(running) => {
                // SAFETY: only a pass of training writes these.
                let running = unsafe { self.memory.read(running, 0..2 * n) };
                norm::batch(z, running.split_at(n).into(), affine, normal, out);
            }
        }
    }

    /// ∂E/∂Z of some whole rows from ∂E/∂u, of layer normalization.
    pub(super) fn normalize_rows_gradient(&self, layer: &NetLayer, block: &Range<usize>) {
        let norm = layer.norm.filter(|_| self.takes_rows(layer));
        let Some(back) = norm.and_then(|norm| norm.backward) else { return };
        // SAFETY: these rows belong to this piece, and these are different tensors.
        let (z, gradient, normal, delta) = unsafe {
            let read = |id| self.read(id, block);
            (
                read(back.of.z),
                read(back.gradient),
                read(back.of.normal),
                self.write(back.delta, block),
            )
        };
        norm::layer_gradient(z, gradient, normal, self.whole(back.of.scale), delta);
    }

    /// Z of some units for all rows, their statistics, and the normalization by these.
    pub(super) fn normalize_batch(
        &self,
        layer: &NetLayer,
        input: TensorId,
        rows: usize,
        units: &Range<usize>,
    ) {
        let norm = layer.norm.map(|norm| (norm.forward, norm.forward.statistics, norm.running));
        let Some((forward, Some(statistics), Some(running))) = norm else { return };
        let (n, width) = (self.cols(layer.z), units.len());
        UNITS.with_borrow_mut(|[z, _]| {
            let z = z.numbers::<T>(rows * width);
            let to = z.as_mut_ptr();
            // SAFETY: the scratch, this thread's own, has as many rows of these units.
            unsafe { self.product_to(layer, input, 0..rows, units.clone(), to, width) };
            // SAFETY: these units of both halves belong to this piece, and the two tensors don't overlap.
            let ([mean, variance], running) = unsafe {
                let of = |id| {
                    [0, n].map(|half| self.memory.write(id, half + units.start..half + units.end))
                };
                (of(statistics), of(running))
            };
            norm::statistics(width, 0..width, z, [mean, variance], running);
            let inverse = Vec::from_iter(variance.iter().map(|&v| inverse_deviation(v)));
            let affine = [forward.scale, forward.shift].map(|id| &self.whole(id)[units.clone()]);
            for (row, z) in z.chunks_exact(width).enumerate() {
                let at = row * n + units.start..row * n + units.end;
                // SAFETY: these units of each row belong to this piece, and the two tensors don't overlap.
                let (normal, out) = unsafe {
                    (
                        self.memory.write(forward.normal, at.clone()),
                        self.memory.write(forward.out, at),
                    )
                };
                T::normalize_columns(z, [mean, &inverse], affine, normal, out);
            }
        });
    }

    /// ∂E/∂Z of some units for all rows from ∂E/∂u, and the gradients of their scale and shift, of batch
    /// normalization.
    pub(super) fn normalize_batch_gradient(
        &self,
        layer: &NetLayer,
        rows: usize,
        units: &Range<usize>,
    ) {
        let norm = layer.norm.filter(|_| self.takes_batch(layer));
        let Some(back) = norm.and_then(|norm| norm.backward) else { return };
        let Some(statistics) = back.of.statistics else { return };
        let (n, width) = (self.cols(layer.z), units.len());
        UNITS.with_borrow_mut(|scratch| {
            let [gradient, normal] = scratch.each_mut().map(|s| s.numbers::<T>(rows * width));
            for (from, to) in [(back.gradient, &mut *gradient), (back.of.normal, &mut *normal)] {
                for (row, to) in to.chunks_exact_mut(width).enumerate() {
                    let at = row * n + units.start..row * n + units.end;
                    // SAFETY: this piece wrote these units, forward and in the backward pass, in earlier phases
                    // or in this one.
                    to.copy_from_slice(unsafe { self.memory.read(from, at) });
                }
            }
            // SAFETY: these units of both gradients belong to this piece; the statistics are another tensor,
            // written in an earlier phase.
            let (scale, shift, variance) = unsafe {
                let of = |id| self.memory.write(id, units.clone());
                let variance = n + units.start..n + units.end;
                (of(back.scale), of(back.shift), self.memory.read(statistics, variance))
            };
            norm::sums(width, 0..width, gradient, normal, scale, shift);
            let of_scale = &self.whole(back.of.scale)[units.clone()];
            let factors = of_scale.iter().zip(variance);
            let factors = Vec::from_iter(factors.map(|(&s, &v)| s * inverse_deviation(v)));
            let (count, sums) = (T::of(rows as f64), [&*scale, &*shift]);
            let of_rows = gradient.chunks_exact(width).zip(normal.chunks_exact(width));
            for (row, (gradient, normal)) in of_rows.enumerate() {
                let at = row * n + units.start..row * n + units.end;
                // SAFETY: these units of each row belong to this piece; what else is used are copies and the
                // gradients of scale and shift.
                let delta = unsafe { self.memory.write(back.delta, at) };
                T::normalize_columns_gradient(count, [gradient, normal], &factors, sums, delta);
            }
        });
    }
}
