//! What ops on the gradients of parameters have in common.

use super::super::operand::Operand;
use super::super::{Program, Slice, Task};
use crate::kernels::optim::gradient_update::{NormParameters, NormSums, ParameterGradient};
use crate::kernels::tensor::TensorId;

/// The tensors of a layer's gradient.
pub(super) fn of_layer(l: &mut ParameterGradient) -> impl Iterator<Item = &mut TensorId> {
    let all = [&mut l.delta, &mut l.input, &mut l.weight];
    all.into_iter().chain(l.bias.tensors_mut())
}

/// The tensors of a normalization's gradients.
pub(super) fn of_norm(n: &mut NormParameters) -> impl Iterator<Item = &mut TensorId> {
    let sums = match &mut n.sums {
        NormSums::Given([scale, shift]) => [scale, shift],
        NormSums::Of { gradient, normal } => [gradient, normal],
    };
    [&mut n.scale, &mut n.shift].into_iter().chain(sums)
}

/// The update of the scale and shift of a normalization.
pub(super) fn update_norm(program: &Program, norm: &NormParameters, states: &[TensorId]) -> Task {
    let mut changes = Vec::new();
    for w in [norm.scale, norm.shift] {
        changes.push(program.whole(w));
        let place = program.range(w, 0);
        changes.extend(states.iter().map(|&state| program.slice(state, place.clone())));
    }
    Task { reads: sums_of(program, norm), writes: vec![], changes }
}

/// The inputs of the gradients of scale and shift; those of batch normalization exist already.
fn sums_of(program: &Program, norm: &NormParameters) -> Vec<Slice> {
    let read = match norm.sums {
        NormSums::Given(sums) => sums,
        NormSums::Of { gradient, normal } => [gradient, normal],
    };
    read.map(|id| program.whole(id)).to_vec()
}

/// The gradients of scale and shift in their places in `sums`.
pub(super) fn parts_of_norm(program: &Program, norm: &NormParameters, sums: TensorId) -> Task {
    let mut reads = sums_of(program, norm);
    let places = [norm.scale, norm.shift].map(|w| program.slice(sums, program.range(w, 0)));
    let mut task = Task { writes: places.to_vec(), ..Task::default() };
    // If they are already there, they stay.
    let is_there = |slice: &Slice| places.iter().any(|place| program.overlap(place, slice));
    if reads.iter().any(is_there) {
        (task.changes, task.writes) = (std::mem::take(&mut reads), vec![]);
    }
    task.reads = reads;
    task
}
