//! All gradients, each immediately followed by the optimizer's step.

use super::super::effects::kept;
use super::super::operand::{Launching, Text};
use super::super::{Program, Task};
use super::parameters::{of_layer, of_norm, update_norm};
use crate::kernels::Launch;
use crate::kernels::fused::gradient;
use crate::kernels::optim::gradient_update::{Companions, GradientUpdate};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut GradientUpdate) -> Vec<&mut TensorId> {
    let mut all = vec![&mut op.arena, &mut op.parameters];
    all.extend(op.layers.iter_mut().flat_map(of_layer).chain(&mut op.state));
    all.extend(op.scores.iter_mut().flatten());
    all.extend(op.norms.iter_mut().flat_map(of_norm));
    let Companions { collected, direction, average, .. } = &mut op.with;
    all.extend(collected.iter_mut().chain(direction));
    all.extend(average.iter_mut().map(|(_, average)| average));
    all
}

pub fn effects(op: &GradientUpdate, program: &Program) -> Vec<Task> {
    let states = kept(op.rule, &op.state);
    let steps = op.layers.iter().map(|layer| program.update(layer, states));
    let norms = op.norms.iter().map(|norm| update_norm(program, norm, states));
    let steps = steps.chain(norms).map(|step| with(program, step, op));
    steps.chain(op.scores.map(|scores| program.accumulate(scores))).collect()
}

/// A step on some parameters, with other operations on the same elements.
fn with(program: &Program, mut task: Task, op: &GradientUpdate) -> Task {
    let with = &op.with;
    let home = program.tensor(op.parameters).buffer;
    let (of_parameters, of_state): (Vec<_>, Vec<_>) =
        task.changes.into_iter().partition(|s| program.tensor(s.tensor).buffer == home);
    let places = || of_parameters.iter().map(|slice| slice.range.clone());
    let all = |id: TensorId| places().map(move |place| program.slice(id, place));
    let collected = with.collected.into_iter().flat_map(all);
    let average = with.average.into_iter().flat_map(|(_, average)| all(average));
    let mut changes = Vec::from_iter(of_state.into_iter().chain(collected).chain(average));
    task.writes.extend(with.direction.into_iter().flat_map(all));
    match with.direction {
        // Parameters stay.
        Some(_) => task.reads.extend(of_parameters),
        None => changes.extend(of_parameters),
    }
    Task { changes, ..task }
}

pub fn launch(op: &GradientUpdate, on: &Launching<'_>) -> Launch {
    gradient::launch_update(op, on.program.batch, &on.tiling(), &|id| on.layout(id))
}

pub fn line(op: &GradientUpdate, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "gradient + update    {} layers by {}", op.layers.len(), op.rule.optimizer)?;
    let with = &op.with;
    if let Some(collected) = with.collected {
        write!(f, ", with {}", text.tensor(collected))?;
    }
    if with.l1 != 0.0 {
        write!(f, ", sign penalty")?;
    }
    if with.clip_value.is_some() {
        write!(f, ", clip by value")?;
    }
    if with.noise.is_some() {
        write!(f, ", noise")?;
    }
    if let Some(u) = with.direction {
        write!(f, ", direction to {}", text.tensor(u))?;
    }
    with.average.map_or(Ok(()), |(_, average)| write!(f, ", {}", text.tensor(average)))
}
