//! The gradients of a part of the parameters, and their use while they are in cache: the
//! optimizer's step, or a tensor in which they are kept.

use super::Caches;
use super::memory::Shared;
use super::partial::Partial;
use super::taken::Taker;
use super::team::Worker;
use super::whole_net::blocks_of;
use crate::kernels::fused::whole_net::{unit_pieces, units_of};
use crate::kernels::loss::{self, SCORES};
use crate::kernels::optim::gradient_update::{NormParameters, NormSums, ParameterGradient};
use crate::kernels::tensor::TensorId;
use crate::math::gemm::{self, Gemm, Right, Scratch, View};
use crate::math::vector::prefetch_far;
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    static GRADIENT: RefCell<Scratch> = RefCell::default();
}

/// The inputs of an op's gradients.
pub(super) struct Gradients<'a, T> {
    pub layers: &'a [ParameterGradient],
    pub norms: &'a [NormParameters],
    /// (B, 4), and their running sums (1, 4), if the op adds them up too.
    pub scores: Option<[TensorId; 2]>,
    /// Rows of the batch.
    pub rows: usize,
    pub memory: &'a Shared<'a, T>,
    pub caches: Caches<'a, T>,
    /// The consumer of the gradients.
    pub taker: &'a Taker<'a, T>,
}

impl<T: Gemm> Gradients<'_, T> {
    /// All of them, together with the other threads of the team.
    pub(super) fn run(&self, worker: &Worker<'_>) {
        let (layers, norms) = (self.layers.len(), self.norms.len());
        let cols = |id: TensorId| self.memory.program().tensor(id).cols;
        // The scores are a separate group, of one piece.
        let units = |group: usize| match group {
            _ if group < layers => cols(self.layers[group].delta),
            _ if group < layers + norms => cols(self.norms[group - layers].scale),
            _ => 1,
        };
        worker.deal(
            layers + norms + usize::from(self.scores.is_some()),
            |group| unit_pieces(units(group)),
            |group, pieces| {
                let units = units_of(units(group), pieces);
                if let Some(layer) = self.layers.get(group) {
                    let of = LayerGradient { all: self, layer, thread: worker.index() };
                    // SAFETY: other pieces have other units, and other groups other tensors.
                    unsafe { of.run(units) };
                } else if let Some(norm) = self.norms.get(group - layers) {
                    // SAFETY: other pieces have other units of this scale and shift, and other groups
                    // other tensors.
                    unsafe { self.norm(norm, units) };
                } else if let Some([scores, sums]) = self.scores {
                    // SAFETY: the one piece of this group writes the sums, and an earlier op wrote the
                    // scores.
                    let (scores, sums) = unsafe {
                        let scores = self.memory.read(scores, 0..self.rows * SCORES);
                        (scores, self.memory.write(sums, 0..SCORES))
                    };
                    loss::accumulate(scores, sums);
                }
            },
        );
    }

    /// The gradients of scale and shift of some units.
    ///
    /// # Safety
    /// Other pieces have other units.
    unsafe fn norm(&self, norm: &NormParameters, units: Range<usize>) {
        let partial = self.caches.partial.filter(|partial| partial.pays(self.rows));
        let n = self.memory.program().tensor(norm.scale).cols;
        for (i, parameter) in [norm.scale, norm.shift].into_iter().enumerate() {
            GRADIENT.with_borrow_mut(|gradient| {
                let g = gradient.numbers::<T>(units.len());
                match (norm.sums, partial) {
                    (NormSums::Given(sums), _) => {
                        // SAFETY: an earlier op wrote the sums; where they are kept in their place, that is
                        // done by this piece, after the copy.
                        g.copy_from_slice(unsafe { self.memory.read(sums[i], units.clone()) });
                    }
                    (_, Some(partial)) => {
                        // SAFETY: the pass over the rows, an earlier op, wrote the chunks, and nothing writes
                        // them in this one.
                        unsafe {
                            partial.sum(self.memory, self.rows, parameter, units.clone(), g);
                        }
                    }
                    (NormSums::Of { gradient, normal }, None) => {
                        // SAFETY: an earlier op wrote these, and this one only reads them.
                        let [gradient, normal] = [gradient, normal]
                            .map(|id| unsafe { self.memory.read(id, 0..self.rows * n) });
                        if i == 0 {
                            T::sum_column_products(n, units.start, gradient, normal, g);
                        } else {
                            T::sum_columns(n, units.start, T::one(), gradient, g);
                        }
                    }
                }
                // SAFETY: the parameters of these units, and all that goes with them, belong to
                // this piece.
                unsafe { self.taker.take(self.memory, parameter, units.clone(), g) };
            });
        }
    }
}

/// The gradients of one layer.
struct LayerGradient<'a, T> {
    all: &'a Gradients<'a, T>,
    layer: &'a ParameterGradient,
    /// Which of the team's threads this is.
    thread: usize,
}

impl<T: Gemm> LayerGradient<'_, T> {
    /// Those of some units' weights and biases.
    ///
    /// # Safety
    /// Other pieces have other units.
    unsafe fn run(&self, units: Range<usize>) {
        let caches = self.all.caches;
        if let Some(partial) = caches.partial.filter(|partial| partial.pays(self.all.rows)) {
            self.sum_chunks(partial, units);
            return;
        }
        if caches.packed.is_in_place(self.layer.weight) {
            self.packed_weights(&units);
        } else {
            self.weights(&units);
        }
        if let Some((bias, sign)) = self.layer.bias {
            let n = self.cols(self.layer.delta);
            GRADIENT.with_borrow_mut(|gradient| {
                let g = gradient.numbers::<T>(units.len());
                T::sum_columns(n, units.start, T::of(sign.into()), self.deltas(), g);
                self.take(bias, units, g);
            });
        }
    }

    /// From the gradients of chunks of the batch, which the pass over rows has computed.
    fn sum_chunks(&self, partial: &Partial<T>, units: Range<usize>) {
        let (weight, k) = (self.layer.weight, self.cols(self.layer.input));
        let tensors = [
            Some((weight, units.start * k..units.end * k)),
            self.layer.bias.map(|(bias, _)| (bias, units.clone())),
        ];
        GRADIENT.with_borrow_mut(|gradient| {
            for (tensor, range) in tensors.into_iter().flatten() {
                let g = gradient.numbers(range.len());
                // SAFETY: the pass over the rows, an earlier op, wrote the chunks; this op reads them only.
                unsafe { partial.sum(self.all.memory, self.all.rows, tensor, range.clone(), g) };
                self.take(tensor, range, g);
            }
        });
        if self.all.taker.steps() {
            // SAFETY: these units are this piece's, packed or not, and the step on them is done.
            unsafe { self.all.caches.packed.part(self.all.memory, weight, units, 0..k) };
        }
    }

    /// The weights of some units: δᵀ A by blocks, each followed by the step on it.
    fn weights(&self, units: &Range<usize>) {
        let (weight, packed) = (self.layer.weight, self.all.caches.packed);
        let steps = self.all.taker.steps();
        let (n, k) = (self.cols(self.layer.delta), self.cols(self.layer.input));
        let rows = self.all.rows;
        let panel = gemm::panel_cols::<T>();
        for units in blocks_of(units.clone(), gemm::rows_at_once(rows).next_multiple_of(panel)) {
            let delta_columns =
                View::new(self.deltas(), rows, n).transposed().some_rows(units.clone());
            let weights = |unit: usize, cols: &Range<usize>| {
                let first = (units.start + unit) * k;
                first + cols.start..first + cols.end
            };
            let soon = |some: Range<usize>, cols: Range<usize>| {
                some.for_each(|unit| self.ask(weights(unit, &cols)));
            };
            let mut packed_units = 0;
            let done = |some: Range<usize>, cols: Range<usize>, g: &mut [T]| {
                for (unit, g) in some.clone().zip(g.chunks_exact_mut(cols.len())) {
                    self.take(weight, weights(unit, &cols), g);
                }
                if !steps {
                    return;
                }
                // Whole panels of the new weights, while they are in cache.
                if some.start == 0 {
                    packed_units = 0;
                }
                let whole =
                    if some.end == units.len() { some.end } else { some.end - some.end % panel };
                if whole > packed_units {
                    let new = units.start + packed_units..units.start + whole;
                    // SAFETY: these units are this piece's, packed or not, and the step on these columns
                    // of them is done.
                    unsafe { packed.part(self.all.memory, weight, new, cols) };
                    packed_units = whole;
                }
            };
            gemm::in_blocks(delta_columns, Right::Matrix(self.inputs()), soon, done);
        }
    }

    /// The same for packed weights, that is in panels of Wᵀ: Aᵀ δ by panels.
    fn packed_weights(&self, units: &Range<usize>) {
        let (n, k) = (self.cols(self.layer.delta), self.cols(self.layer.input));
        let panel = gemm::panel_cols::<T>();
        let weights = |inputs: &Range<usize>, some: &Range<usize>| {
            let first = (units.start + some.start) * k + inputs.start * some.len();
            first..first + inputs.len() * some.len()
        };
        let soon = |inputs: Range<usize>, some: Range<usize>| {
            for first in some.clone().step_by(panel) {
                self.ask(weights(&inputs, &(first..(first + panel).min(some.end))));
            }
        };
        let done = |inputs: Range<usize>, some: Range<usize>, g: &mut [T]| {
            self.take(self.layer.weight, weights(&inputs, &some), g);
        };
        let rows = self.all.rows;
        let deltas = View::new(self.deltas(), rows, n).some_cols(units.clone());
        gemm::in_panels(self.inputs().transposed(), Right::Matrix(deltas), soon, done);
    }

    /// Prefetches what the step on some weights will read while their gradient is computed, if the weights
    /// exceed a core's cache.
    fn ask(&self, range: Range<usize>) {
        let (program, weight) = (self.all.memory.program(), self.layer.weight);
        if program.range(weight, 0).len() <= 1 << 16 {
            return;
        }
        let offset = program.tensor(weight).offset;
        for &whole in self.all.taker.needs() {
            let range = offset + range.start..offset + range.end;
            // SAFETY: these units' parameters, and all that goes with them number by number, belong to
            // this piece, which has no reference to them while a product runs.
            prefetch_far(unsafe { self.all.memory.read(whole, range) });
        }
    }

    /// Uses the gradient of a part of a parameter tensor that belongs to this piece.
    fn take(&self, w: TensorId, range: Range<usize>, g: &mut [T]) {
        // SAFETY: the parameters of these units, and all that goes with them number by number, belong
        // to this piece; g is scratch.
        unsafe { self.all.taker.take(self.all.memory, w, range, g) };
    }

    /// δ: (B, n_l).
    fn deltas(&self) -> &[T] {
        let len = self.all.rows * self.cols(self.layer.delta);
        // SAFETY: an earlier op wrote δ, which this one only reads (`Program::check`).
        unsafe { self.all.memory.read(self.layer.delta, 0..len) }
    }

    /// A_{l−1}: (B, n_{l−1}).
    fn inputs(&self) -> View<'_, T> {
        let (input, rows, caches) = (self.layer.input, self.all.rows, self.all.caches);
        let k = self.cols(input);
        let span = caches.span(self.all.memory, input, self.thread);
        // SAFETY: an earlier op wrote A, or X by this thread, and this one only reads it.
        let a = unsafe { span.read(0..rows * k) };
        View::new(a, rows, k).sparse(caches.is_sparse(input))
    }

    fn cols(&self, id: TensorId) -> usize {
        self.all.memory.program().tensor(id).cols
    }
}
