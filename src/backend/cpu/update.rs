//! The gradients of a part of the parameters, and the optimiser's step on them while they are in
//! cache.

use super::Caches;
use super::fused::blocks_of;
use super::memory::Shared;
use super::partial::Partial;
use crate::gemm::{self, Gemm, Right, Scratch, View};
use crate::kernels::fused::{GradientUpdate, ParameterGradient};
use crate::kernels::optimizer::RuleStep;
use crate::tensor::TensorId;
use crate::vector::prefetch_far;
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    static GRADIENT: RefCell<Scratch> = RefCell::default();
}

/// Where the update of one layer finds what it needs.
pub(super) struct LayerUpdate<'a, T> {
    pub op: &'a GradientUpdate,
    pub layer: &'a ParameterGradient,
    /// The step that the optimiser takes, over so many rows.
    pub step: &'a RuleStep<T>,
    pub rows: usize,
    pub memory: &'a Shared<'a, T>,
    pub caches: Caches<'a, T>,
    /// Which of the team's threads this is.
    pub thread: usize,
}

impl<T: Gemm> LayerUpdate<'_, T> {
    /// The gradients of some units' weights and biases, and the optimiser's step on them.
    ///
    /// # Safety
    /// Other pieces have other units.
    pub(super) unsafe fn run(&self, units: Range<usize>) {
        if let Some(partial) = self.caches.partial.filter(|partial| partial.pays(self.rows)) {
            self.sum_chunks(partial, units);
            return;
        }
        if self.caches.packed.is_in_place(self.layer.weight) {
            self.packed_weights(&units);
        } else {
            self.weights(&units);
        }
        if let Some((bias, sign)) = self.layer.bias {
            let n = self.cols(self.layer.delta);
            GRADIENT.with_borrow_mut(|gradient| {
                let g = gradient.numbers::<T>(units.len());
                T::sum_columns(n, units.start, T::of(sign.into()), self.deltas(), g);
                self.update(bias, units, g);
            });
        }
    }

    /// By the gradients of chunks of the batch, which the pass over rows has left.
    fn sum_chunks(&self, partial: &Partial<T>, units: Range<usize>) {
        let (weight, k) = (self.layer.weight, self.cols(self.layer.input));
        let tensors = [
            Some((weight, units.start * k..units.end * k)),
            self.layer.bias.map(|(bias, _)| (bias, units.clone())),
        ];
        GRADIENT.with_borrow_mut(|gradient| {
            for (tensor, range) in tensors.into_iter().flatten() {
                let g = gradient.numbers(range.len());
                // SAFETY: the pass over the rows, an earlier op, wrote the chunks.
                unsafe { partial.sum(self.memory, self.rows, tensor, range.clone(), g) };
                self.update(tensor, range, g);
            }
        });
        // SAFETY: these units are this piece's, packed or not.
        unsafe { self.caches.packed.part(self.memory, weight, units, 0..k) };
    }

    /// The weights of some units: δᵀ A by blocks, each followed by the step on it.
    fn weights(&self, units: &Range<usize>) {
        let (weight, packed) = (self.layer.weight, self.caches.packed);
        let (n, k) = (self.cols(self.layer.delta), self.cols(self.layer.input));
        let rows = self.rows;
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
            let done = |some: Range<usize>, cols: Range<usize>, g: &[T]| {
                for (unit, g) in some.clone().zip(g.chunks_exact(cols.len())) {
                    self.update(weight, weights(unit, &cols), g);
                }
                // Whole panels of the new weights, while they are in cache.
                if some.start == 0 {
                    packed_units = 0;
                }
                let whole =
                    if some.end == units.len() { some.end } else { some.end - some.end % panel };
                if whole > packed_units {
                    let new = units.start + packed_units..units.start + whole;
                    // SAFETY: these units are this piece's, packed or not.
                    unsafe { packed.part(self.memory, weight, new, cols) };
                    packed_units = whole;
                }
            };
            gemm::in_blocks(delta_columns, Right::Matrix(self.inputs()), soon, done);
        }
    }

    /// The same where the weights lie packed, that is in panels of Wᵀ: Aᵀ δ by panels.
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
        let done = |inputs: Range<usize>, some: Range<usize>, g: &[T]| {
            self.update(self.layer.weight, weights(&inputs, &some), g);
        };
        let rows = self.rows;
        let deltas = View::new(self.deltas(), rows, n).some_cols(units.clone());
        gemm::in_panels(self.inputs().transposed(), Right::Matrix(deltas), soon, done);
    }

    /// What the step on some weights will read arrives while their gradient is computed, if they are more
    /// than a core's cache holds from step to step.
    fn ask(&self, range: Range<usize>) {
        let (program, weight) = (self.memory.program(), self.layer.weight);
        if program.range(weight, 0).len() <= 1 << 16 {
            return;
        }
        let offset = program.tensor(weight).offset;
        // SAFETY: these units' parameters and their state belong to this piece.
        prefetch_far(unsafe { self.memory.read(weight, range.clone()) });
        for state in self.op.state.iter().take(self.op.rule.optimizer.state_slots()) {
            let range = offset + range.start..offset + range.end;
            // SAFETY: as above.
            prefetch_far(unsafe { self.memory.read(*state, range) });
        }
    }

    /// The optimiser's step on a part of a parameter tensor that belongs to this piece.
    fn update(&self, w: TensorId, range: Range<usize>, g: &[T]) {
        // SAFETY: the parameters of these units, and their state, belong to this piece.
        unsafe { take_step(self.step, self.op.state, self.memory, w, range, g) };
    }

    /// δ: (B, n_l).
    fn deltas(&self) -> &[T] {
        let len = self.rows * self.cols(self.layer.delta);
        // SAFETY: only read.
        unsafe { self.memory.read(self.layer.delta, 0..len) }
    }

    /// A_{l−1}: (B, n_{l−1}).
    fn inputs(&self) -> View<'_, T> {
        let (input, rows) = (self.layer.input, self.rows);
        let k = self.cols(input);
        let span = self.caches.span(self.memory, input, self.thread);
        // SAFETY: only read.
        let a = unsafe { span.read(0..rows * k) };
        View::new(a, rows, k).sparse(self.caches.is_sparse(input))
    }

    fn cols(&self, id: TensorId) -> usize {
        self.memory.program().tensor(id).cols
    }
}

/// The optimiser's step on a part of a parameter tensor, by its gradient.
///
/// # Safety
/// No other piece of the current op reads or writes this part of the parameters or its state.
pub(super) unsafe fn take_step<T: Gemm>(
    step: &RuleStep<T>,
    state: [TensorId; 3],
    memory: &Shared<'_, T>,
    w: TensorId,
    range: Range<usize>,
    g: &[T],
) {
    // State lies at the same places as the parameters.
    let offset = memory.program().tensor(w).offset;
    let state = |slot: usize| {
        let used = step.state_slots() > slot;
        let range = if used { offset + range.start..offset + range.end } else { 0..0 };
        // SAFETY: the caller's; the states are different tensors.
        unsafe { memory.write(state[slot], range) }
    };
    // SAFETY: the caller's.
    let w = unsafe { memory.write(w, range.clone()) };
    step.apply(offset + range.start, w, g, [state(0), state(1), state(2)]);
}
