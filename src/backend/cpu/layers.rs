//! Ops of the GPU programs, which the CPU backend has for reference: split into pieces by the shape.

use super::half;
use super::memory::Shared;
use super::ops::{ROWS, from};
use super::taken::take_step;
use super::team::Worker;
use crate::data::Samples;
use crate::kernels::fused::gradient::{self, GradientParts, SumUpdate};
use crate::kernels::inputs::gather;
use crate::kernels::layers::activation;
use crate::kernels::loss::SCORES;
use crate::kernels::loss::output::{self, Output};
use crate::kernels::optim::gradient_update::ParameterGradient;
use crate::kernels::optim::optimizer::RuleStep;
use crate::kernels::products::backward::{Backward, Delta};
use crate::kernels::products::dense::{self, Dense};
use crate::kernels::products::matmul::{self, Form};
use crate::kernels::products::sums;
use crate::kernels::tensor::TensorId;
use crate::kernels::{Step, loss};
use crate::math::gemm::{self, Begin, End, Gemm, Right, View};
use std::ops::Range;

/// The number of units whose gradients are one piece of work.
const UNITS: usize = 64;

/// Calls `piece` with each block of the batch's rows.
pub(super) fn blocks(rows: usize, worker: &Worker<'_>, piece: impl Fn(Range<usize>)) {
    worker.share(rows.div_ceil(ROWS), |i| piece(i * ROWS..((i + 1) * ROWS).min(rows)));
}

/// A layer forward.
pub(super) fn dense<T: Gemm>(
    op: &Dense,
    data: &Samples,
    step: &Step,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let program = memory.program();
    let cols = |id: TensorId| program.tensor(id).cols;
    blocks(step.rows as usize, worker, |block| {
        let span = |id: TensorId| block.start * cols(id)..block.end * cols(id);
        // SAFETY: other pieces have other rows. Those of the input are taken once and let go before they
        // are read, those of partial sums, Z and A once; Z and A are taken both only where they are two tensors.
        let write = |id: TensorId| unsafe { memory.write(id, span(id)) };
        // SAFETY: weights and biases, which no such op writes.
        let whole = |id: TensorId| unsafe { memory.read(id, 0..program.range(id, 0).len()) };
        if op.gathers {
            let found = &mut [0; ROWS][..block.len()];
            gather::rows(&from(step, block.start), found);
            gather::features(found, &data.features, &data.affine, write(op.input));
        }
        // SAFETY: this piece wrote these rows above, or an earlier op did; the op writes other tensors now.
        let x = unsafe { memory.read(op.input, span(op.input)) };
        if let Some(sums) = op.partial_sums {
            let shape = [cols(op.z), cols(op.input)];
            return dense::reference_partial_sums(shape, x, whole(op.weight), write(sums));
        }
        let bias = op.bias.map(|(b, sign)| (whole(b), T::of(sign.into())));
        let activates = op.functions.is_some();
        let z = (op.z != op.a || !activates).then(|| write(op.z));
        let a = activates.then(|| write(op.a));
        let shape = [cols(op.z), cols(op.input)];
        dense::reference(op.functions.as_ref(), shape, x, whole(op.weight), bias, z, a);
    });
    let written = if op.z == op.a { &[op.a][..] } else { &[op.z, op.a] };
    half::store(written, op.overflows, step.rows as usize, memory, worker);
}

/// The loss and δ of the outputs.
pub(super) fn output<T: Gemm>(
    op: &Output,
    data: &Samples,
    step: &Step,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let cols = memory.program().tensor(op.y).cols;
    let targets = memory.program().tensor(op.unit).cols;
    blocks(step.rows as usize, worker, |block| {
        let span = block.start * cols..block.end * cols;
        // SAFETY: Z and Y: an earlier op wrote them, or this piece did below, whose reference to its rows
        // of Y is gone by then.
        let read = |id: TensorId| unsafe { memory.read(id, span.clone()) };
        // SAFETY: a constant.
        let unit = unsafe { memory.read(op.unit, 0..targets) };
        let scored = block.start * SCORES..block.end * SCORES;
        // SAFETY: other pieces have other rows, and nothing else is written there.
        let scores = unsafe { memory.write(op.scores, scored) };
        let found = &mut [0; ROWS][..block.len()];
        let mut t = vec![T::zero(); block.len() * targets];
        gather::rows(&from(step, block.start), found);
        if let Some(of_rows) = &data.targets {
            gather::targets(found, of_rows, targets, &mut t);
        }
        let mut unwanted = Vec::new();
        let delta = match op.delta {
            // SAFETY: other pieces have other rows, and δ overlaps neither Z nor Y (`Program::check`).
            Some(delta) => unsafe { memory.write(delta, span.clone()) },
            None => {
                unwanted.resize(span.len(), T::zero());
                &mut unwanted[..]
            }
        };
        let mut added = Vec::new();
        let z = match &op.partial_sums {
            None => read(op.z),
            Some(partial) => {
                let of_row = memory.program().tensor(partial.sums).cols;
                let sums = block.start * of_row..block.end * of_row;
                // SAFETY: an earlier op wrote the sums, and these rows of Y are this piece's alone.
                let (sums, y) =
                    unsafe { (memory.read(partial.sums, sums), memory.write(op.y, span.clone())) };
                // SAFETY: a bias, which this op doesn't write.
                let whole = |b: TensorId| unsafe { memory.read(b, 0..cols) };
                let bias = partial.bias.map(|(b, sign)| (whole(b), T::of(sign.into())));
                added.resize(span.len(), T::zero());
                if let Some(functions) = &op.functions {
                    output::add_up(functions, cols, sums, bias, &mut added, y);
                }
                &added[..]
            }
        };
        output::reference(op, step, z, read(op.y), &t, unit, delta, scores);
        if let Some(weights) = &data.weights {
            loss::weigh(weights, found, delta, scores);
        }
    });
}

/// A δ and updates, concurrently.
pub(super) fn backward<T: Gemm>(
    op: &Backward,
    step: &Step,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let rows = step.rows as usize;
    if let Some(delta) = &op.delta {
        blocks(rows, worker, |block| delta_rows(delta, memory, block));
        half::store(&[delta.out], op.scaled.map(|scaled| scaled.loss_scale), rows, memory, worker);
    }
    for layer in &op.updates {
        if let Some(parts) = op.parts {
            worker.share(parts.count, |part| {
                let block = (part * parts.rows).min(rows)..((part + 1) * parts.rows).min(rows);
                layer_part(parts.sums, layer, part, block, memory);
            });
            continue;
        }
        let units = memory.program().tensor(layer.delta).cols;
        worker.share(units.div_ceil(UNITS), |i| {
            update_units(op, layer, step, memory, i * UNITS..((i + 1) * UNITS).min(units));
        });
    }
}

/// Some rows of δ_l.
fn delta_rows<T: Gemm>(op: &Delta, memory: &Shared<'_, T>, block: Range<usize>) {
    let cols = |id: TensorId| memory.program().tensor(id).cols;
    let (n, k) = (cols(op.out), cols(op.above));
    // SAFETY: δ of the layer above and Z, which earlier ops wrote and this one doesn't.
    let part = |id, cols| unsafe { memory.read(id, block.start * cols..block.end * cols) };
    // SAFETY: no update of these weights runs before the next barrier.
    let weight = unsafe { memory.read(op.weight, 0..n * k) };
    // SAFETY: other pieces have other rows, and δ overlaps nothing that is read (`Program::check`).
    let out = unsafe { memory.write(op.out, block.start * n..block.end * n) };
    let shape = [block.len(), n, k];
    matmul::reference_rows(Form::Nn, shape, part(op.above, k), weight, None, out);
    activation::gradient(&op.functions, 0..n, part(op.z, n), out);
}

/// The gradients of some units' weights and biases, and the optimizer's step on them.
fn update_units<T: Gemm>(
    op: &Backward,
    layer: &ParameterGradient,
    step: &Step,
    memory: &Shared<'_, T>,
    units: Range<usize>,
) {
    let rule = RuleStep::new(op.rule, step);
    let scale = op.scaled.map(|scaled| half::scale(scaled, memory));
    if scale == Some(None) {
        return;
    }
    unit_gradients(layer, step.rows as usize, memory, units.clone(), |w, range, gradient| {
        if let Some(scale) = scale.flatten() {
            gradient.iter_mut().for_each(|g| *g = *g / scale);
        }
        // The rule has no third state.
        let [first, second] = op.state;
        // SAFETY: these units' parameters and their state belong to this piece.
        unsafe { take_step(&rule, [first, second, second], memory, w, range, gradient) };
    });
    if let Some(shadow) = op.scaled.and_then(|scaled| scaled.shadow) {
        let k = memory.program().tensor(layer.input).cols;
        let range = units.start * k..units.end * k;
        // SAFETY: other pieces have other units of both, and the step's references are gone.
        unsafe { half::shadow(layer.weight, shadow, range, memory) };
    }
}

/// Hands the gradients of some units' weights and biases over `rows` rows to `take`, each with the tensor
/// and where in it they belong.
fn unit_gradients<T: Gemm>(
    layer: &ParameterGradient,
    rows: usize,
    memory: &Shared<'_, T>,
    units: Range<usize>,
    mut take: impl FnMut(TensorId, Range<usize>, &mut [T]),
) {
    let program = memory.program();
    let (n, k) = (program.tensor(layer.delta).cols, program.tensor(layer.input).cols);
    // SAFETY: δ and inputs, which earlier ops wrote; ops that take gradients only read them.
    let read = |id: TensorId| unsafe { memory.read(id, 0..program.range(id, rows).len()) };
    let (delta, input) = (read(layer.delta), read(layer.input));
    let mut gradient = vec![T::zero(); units.len() * k];
    let units_delta = View::new(delta, rows, n).transposed().some_rows(units.clone());
    let inputs = Right::Matrix(View::new(input, rows, k));
    let to = gradient.as_mut_ptr();
    // SAFETY: the gradient has k elements for each of these units, one after the other, and is this
    // function's own.
    unsafe { gemm::product(units_delta, inputs, Begin::Zero, End::Store, to, k) };
    take(layer.weight, units.start * k..units.end * k, &mut gradient);
    if let Some((bias, sign)) = layer.bias {
        let mut gradient = vec![T::zero(); units.len()];
        T::sum_columns(n, units.start, T::of(sign.into()), delta, &mut gradient);
        take(bias, units, &mut gradient);
    }
}

/// The gradients of all parameters over each part of the batch, and the sums of the scores.
pub(super) fn gradient_parts<T: Gemm>(
    op: &GradientParts,
    step: &Step,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let program = memory.program();
    let parts = program.tensor(op.parts).rows.rows(program.batch);
    let rows = step.rows as usize;
    for layer in &op.layers {
        worker.share(parts, |part| {
            let block = (part * op.rows).min(rows)..((part + 1) * op.rows).min(rows);
            layer_part(op.parts, layer, part, block, memory);
        });
    }
    let Some([scores, sums]) = op.scores else { return };
    worker.share(1, |_| {
        // SAFETY: the one piece writes the sums, and an earlier op wrote the scores.
        let (scores, sums) =
            unsafe { (memory.read(scores, 0..rows * SCORES), memory.write(sums, 0..SCORES)) };
        loss::accumulate(scores, sums);
    });
}

/// The gradient of a layer over rows `block`, the part with number `part`.
fn layer_part<T: Gemm>(
    parts: TensorId,
    layer: &ParameterGradient,
    part: usize,
    block: Range<usize>,
    memory: &Shared<'_, T>,
) {
    let program = memory.program();
    let cols = |id: TensorId| program.tensor(id).cols;
    let (n, k) = (cols(layer.delta), cols(layer.input));
    // SAFETY: δ and inputs, which earlier ops wrote and this one only reads.
    let read =
        |id: TensorId| unsafe { memory.read(id, block.start * cols(id)..block.end * cols(id)) };
    let place = |w: TensorId, len: usize| {
        let start = part * cols(parts) + program.tensor(w).offset;
        // SAFETY: each piece has its own row of the parts, and each parameter tensor its place in it.
        unsafe { memory.write(parts, start..start + len) }
    };
    let (delta, input) = (read(layer.delta), read(layer.input));
    let shape = [n, k, block.len()];
    let gradient = place(layer.weight, n * k);
    matmul::reference_rows(Form::Tn, shape, delta, input, None, gradient);
    if let Some((bias, sign)) = layer.bias {
        sums::reference(n, T::of(sign.into()), delta, place(bias, n));
    }
}

/// The sums over the parts of all gradients, and the step.
pub(super) fn sum_update<T: Gemm>(
    op: &SumUpdate,
    step: &Step,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let program = memory.program();
    let len = |id: TensorId| program.range(id, 0).len();
    worker.share(1, |_| {
        let w = op.parameters;
        let state = |slot: usize| {
            let used = op.rule.optimizer.state_slots() > slot;
            // SAFETY: the one piece takes each state once, and none of one that the rule doesn't keep.
            unsafe { memory.write(op.state[slot], 0..if used { len(w) } else { 0 }) }
        };
        // SAFETY: an earlier op wrote the parts; the one piece takes the parameters once.
        let (parts, w) =
            unsafe { (memory.read(op.parts, 0..len(op.parts)), memory.write(w, 0..len(w))) };
        gradient::sum_update(op, step, parts, w, [state(0), state(1), state(2)]);
        if let Some([scores, sums]) = op.scores {
            let rows = step.rows as usize;
            // SAFETY: the one piece writes the sums, and an earlier op wrote the scores.
            let (scores, sums) =
                unsafe { (memory.read(scores, 0..rows * SCORES), memory.write(sums, 0..SCORES)) };
            loss::accumulate(scores, sums);
        }
    });
}
