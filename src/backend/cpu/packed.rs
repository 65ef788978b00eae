//! Weights in the order in which the fused forward pass reads them: W_lᵀ, packed.
//!
//! They are packed whenever weights have changed from outside of the fused step, which keeps them
//! up to date itself while the new weights are in cache.

use super::memory::Shared;
use super::team::Worker;
use crate::gemm::{self, Aligned, Gemm, View};
use crate::program::{Op, Program};
use crate::tensor::TensorId;
use std::ops::Range;

/// The packed weights of a program's fused layers.
#[derive(Debug, Default)]
pub(super) struct Packed<T> {
    layers: Vec<Layer<T>>,
    /// Whether they are those of the parameters.
    pub(super) fresh: bool,
}

/// Weights beyond which a layer isn't kept packed: a product with so many packs them in no time that
/// could be felt, and a second copy of them could.
const LARGEST: usize = 1 << 22;

#[derive(Debug)]
struct Layer<T> {
    weight: TensorId,
    /// Units and inputs.
    shape: [usize; 2],
    numbers: Aligned<T>,
    /// Where they are, for the threads that write them.
    at: *mut T,
}

// SAFETY: the pointers are to what the layers own, and the writers keep to the rule of
// `super::memory`.
unsafe impl<T: Send> Send for Packed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Packed<T> {}

impl<T: Gemm> Packed<T> {
    /// Room for the weights that the fused ops of `program` read.
    pub(super) fn new(program: &Program) -> Self {
        let rows = program.ops.iter().find_map(|op| match op {
            Op::Rows(rows) => Some(rows),
            _ => None,
        });
        let layer = |weight: TensorId| {
            let (units, cols) = (program.range(weight, 0).len(), program.tensor(weight).cols);
            let shape = [units / cols, cols];
            let mut numbers = Aligned::zeros(gemm::packed_len::<T>([cols, shape[0]]));
            let at = numbers.as_mut_ptr();
            Layer { weight, shape, numbers, at }
        };
        let small = |weight: &TensorId| program.range(*weight, 0).len() <= LARGEST;
        let weights = rows.into_iter().flat_map(|rows| rows.layers.iter().map(|l| l.weight));
        let layers = weights.filter(small).map(layer);
        Packed { layers: layers.collect(), fresh: false }
    }

    /// The packed form of some units of `weight`, which begin with a panel; none for a large layer.
    pub(super) fn get(&self, weight: TensorId, units: Range<usize>) -> Option<&[T]> {
        let layer = self.layer(weight)?;
        let [n, k] = layer.shape;
        let whole = units.start.is_multiple_of(gemm::panel_cols::<T>());
        assert!(whole && units.end <= n, "not whole panels");
        let len = gemm::packed_len::<T>([k, units.len()]);
        assert!(units.start * k + len <= layer.numbers.len(), "outside of the packed weights");
        // SAFETY: inside; nothing is packed while the ops run that read it (`super::memory`).
        Some(unsafe { std::slice::from_raw_parts(layer.at.add(units.start * k), len) })
    }

    /// Packs all weights, together with the other threads of the team.
    pub(super) fn all(&self, memory: &Shared<'_, T>, worker: &Worker<'_>) {
        let cols = gemm::panel_cols::<T>();
        for layer in &self.layers {
            let [units, inputs] = layer.shape;
            worker.share(units.div_ceil(cols), |i| {
                self.part(memory, layer.weight, i * cols..((i + 1) * cols).min(units), 0..inputs);
            });
        }
    }

    /// Packs the weights of some units, whole panels, to some inputs.
    pub(super) fn part(
        &self,
        memory: &Shared<'_, T>,
        weight: TensorId,
        units: Range<usize>,
        inputs: Range<usize>,
    ) {
        let Some(layer) = self.layer(weight) else { return };
        let [n, k] = layer.shape;
        // SAFETY: the weight has n rows of k numbers; the units' weights to the inputs are written by
        // no other piece, and other pieces have other panels or other inputs.
        unsafe {
            let w = View::from_raw(memory.pointer(weight, 0), n, k);
            gemm::pack(w.transposed(), inputs, units, layer.at);
        }
    }

    fn layer(&self, weight: TensorId) -> Option<&Layer<T>> {
        self.layers.iter().find(|layer| layer.weight == weight)
    }
}
