//! The gradients of a part of the parameters, and the optimiser's step on them while they are in
//! cache.

use super::Caches;
use super::fused::blocks_of;
use super::memory::Shared;
use crate::gemm::{self, Gemm, Right, Scratch, View};
use crate::kernels::fused::GradientUpdate;
use crate::kernels::{Step, optimizer, sums};
use crate::optim::Rule;
use crate::tensor::TensorId;
use crate::vector::prefetch_far;
use std::cell::RefCell;
use std::ops::Range;

/// The gradients of some units' weights and biases, and the optimiser's step on them.
pub(super) fn gradient_update<T: Gemm>(
    op: &GradientUpdate,
    layer: usize,
    units: Range<usize>,
    step: &Step,
    memory: &Shared<'_, T>,
    caches: Caches<'_, T>,
    thread: usize,
) {
    let Caches { packed, partial, inputs } = caches;
    thread_local! {
        static GRADIENT: RefCell<Scratch> = RefCell::default();
    }
    let layer = &op.layers[layer];
    let program = memory.program();
    let rows = step.rows as usize;
    let (n, k) = (program.tensor(layer.delta).cols, program.tensor(layer.input).cols);
    // SAFETY, for all of this function: δ and inputs are only read, and other pieces have other units.
    let read = |id: TensorId| unsafe { memory.read(id, 0..program.range(id, rows).len()) };
    let update = |w: TensorId, range: Range<usize>, g: &[T]| {
        // SAFETY: these units' parameters and their state belong to this piece.
        unsafe { take_step(op.rule, op.state, step, memory, w, range, g) };
    };

    if let Some(partial) = partial.filter(|partial| partial.pays(rows)) {
        GRADIENT.with_borrow_mut(|gradient| {
            let weights = units.start * k..units.end * k;
            for (tensor, range) in
                [Some((layer.weight, weights)), layer.bias.map(|(bias, _)| (bias, units.clone()))]
                    .into_iter()
                    .flatten()
            {
                let g = gradient.numbers(range.len());
                partial.sum(memory, rows, tensor, range.clone(), g);
                update(tensor, range, g);
            }
            packed.part(memory, layer.weight, units, 0..k);
        });
        return;
    }
    let delta = read(layer.delta);
    let input = match inputs.and_then(|inputs| inputs.of(layer.input, thread, rows)) {
        // SAFETY: this thread's, and not written now.
        Some((at, len)) => unsafe { std::slice::from_raw_parts(at, len) },
        None => read(layer.input),
    };
    let inputs = Right::Matrix(View::new(input, rows, k));
    // Whether weights and state are more than a core's cache holds from step to step.
    let streams = n * k > (1 << 16);
    let panel = gemm::panel_cols::<T>();
    for units in blocks_of(units.clone(), gemm::rows_at_once(rows).next_multiple_of(panel)) {
        let delta_columns = View::new(delta, rows, n).transposed().some_rows(units.clone());
        let weights = |unit: usize, cols: &Range<usize>| {
            let first = (units.start + unit) * k;
            first + cols.start..first + cols.end
        };
        let soon = |some: Range<usize>, cols: Range<usize>| {
            // What the optimiser's step will read arrives while the product is computed.
            for range in some.filter(|_| streams).map(|unit| weights(unit, &cols)) {
                let offset = program.tensor(layer.weight).offset;
                // SAFETY: as above.
                prefetch_far(unsafe { memory.read(layer.weight, range.clone()) });
                for state in op.state.iter().take(op.rule.optimizer.state_slots()) {
                    let range = offset + range.start..offset + range.end;
                    prefetch_far(unsafe { memory.read(*state, range) });
                }
            }
        };
        let mut packed_units = 0;
        let done = |some: Range<usize>, cols: Range<usize>, g: &[T]| {
            for (unit, g) in some.clone().zip(g.chunks_exact(cols.len())) {
                update(layer.weight, weights(unit, &cols), g);
            }
            // Whole panels of the new weights, while they are in cache.
            if some.start == 0 {
                packed_units = 0;
            }
            let whole =
                if some.end == units.len() { some.end } else { some.end - some.end % panel };
            if whole > packed_units {
                let new = units.start + packed_units..units.start + whole;
                packed.part(memory, layer.weight, new, cols);
                packed_units = whole;
            }
        };
        gemm::in_blocks(delta_columns, inputs, soon, done);
    }
    if let Some((bias, sign)) = layer.bias {
        GRADIENT.with_borrow_mut(|gradient| {
            let g = gradient.numbers::<T>(units.len());
            sums::some_columns(n, units.clone(), T::of(sign.into()), delta, g);
            update(bias, units, g);
        });
    }
}

/// The optimiser's step on a part of a parameter tensor, by its gradient.
///
/// # Safety
/// No other piece of the current op reads or writes this part of the parameters or its state.
pub(super) unsafe fn take_step<T: Gemm>(
    rule: Rule,
    state: [TensorId; 3],
    step: &Step,
    memory: &Shared<'_, T>,
    w: TensorId,
    range: Range<usize>,
    g: &[T],
) {
    // State lies at the same places as the parameters.
    let offset = memory.program().tensor(w).offset;
    let state = |slot: usize| {
        let used = rule.optimizer.state_slots() > slot;
        let range = if used { offset + range.start..offset + range.end } else { 0..0 };
        // SAFETY: the caller's; the states are different tensors.
        unsafe { memory.write(state[slot], range) }
    };
    // SAFETY: the caller's.
    let w = unsafe { memory.write(w, range.clone()) };
    optimizer::reference(rule, step, offset + range.start, w, g, [state(0), state(1), state(2)]);
}
