//! Backward by data, which is δ of a layer, and by weights, the updates of layers whose weights no later op reads.

use super::super::effects::kept;
use super::super::operand::{Launching, Operand, Text};
use super::super::{Program, Task};
use super::parameters;
use crate::kernels::Launch;
use crate::kernels::mixed;
use crate::kernels::products::backward::{self, Backward, Delta, Scaled};
use crate::kernels::tensor::TensorId;
use crate::net::precision::Precision;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut Backward) -> Vec<&mut TensorId> {
    let mut all: Vec<_> = op.updates.iter_mut().flat_map(parameters::of_layer).collect();
    all.extend(op.state.iter_mut().chain([&mut op.parameters]));
    all.extend(op.parts.iter_mut().map(|parts| &mut parts.sums));
    all.extend(op.delta.iter_mut().flat_map(of_delta));
    if let Some(Scaled { loss_scale, shadow }) = &mut op.scaled {
        all.extend([loss_scale].into_iter().chain(shadow));
    }
    all
}

/// The tensors that a δ names.
fn of_delta(d: &mut Delta) -> impl Iterator<Item = &mut TensorId> {
    let all = [&mut d.above, &mut d.weight, &mut d.z, &mut d.out];
    all.into_iter().chain(d.functions.tensors_mut())
}

pub fn effects(op: &Backward, program: &Program) -> Vec<Task> {
    let states = kept(op.rule, &op.state);
    let updates = op.updates.iter().map(|layer| match op.parts {
        None => {
            let mut task = program.update(layer, states);
            if let Some(Scaled { loss_scale, shadow }) = op.scaled {
                task.reads.push(program.whole(loss_scale));
                task.writes.extend(shadow.map(|shadow| program.whole(shadow)));
            }
            task
        }
        Some(parts) => program.parts(layer, parts.sums, parts.count),
    });
    let overflows = op.scaled.map(|scaled| scaled.loss_scale);
    let deltas = op.delta.iter().flat_map(|d| effects_of_delta(d, overflows, program));
    deltas.chain(updates).collect()
}

/// The effects of a δ. All invocations that see an overflow store the same value.
fn effects_of_delta(d: &Delta, overflows: Option<TensorId>, program: &Program) -> Vec<Task> {
    let reads = [d.above, d.weight, d.z].into_iter().chain(d.functions.tensors());
    program.task(&Vec::from_iter(reads), &[d.out], overflows.as_slice())
}

pub fn launch(op: &Backward, on: &Launching<'_>) -> Launch {
    match on.program.precision_of(on.op) {
        Precision::F32 => backward::launch(op, &on.tiling(), &|id| on.layout(id)),
        Precision::F16 => mixed::launch_backward(op, on.block(), &|id| on.layout(id)),
    }
}

pub fn line(op: &Backward, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "backward             ")?;
    op.delta.as_ref().map_or(Ok(()), |d| write!(f, "{}", text_of_delta(d, text)))?;
    for (i, update) in op.updates.iter().enumerate() {
        let between = if i > 0 || op.delta.is_some() { "; " } else { "" };
        write!(f, "{between}{}", text.tensor(update.weight))?;
        match op.parts {
            Some(parts) if parts.count == 1 => write!(f, ", its gradient")?,
            Some(parts) => write!(f, " in {} parts", parts.count)?,
            None => write!(f, " by {}", op.rule.optimizer)?,
        }
    }
    Ok(())
}

/// δ as an equation.
fn text_of_delta(d: &Delta, text: &Text<'_>) -> String {
    let [out, above, w, z] = [d.out, d.above, d.weight, d.z].map(|id| text.tensor(id));
    format!("{out} = {above} · {w} ⊙ {}′({z})", d.functions.units())
}
