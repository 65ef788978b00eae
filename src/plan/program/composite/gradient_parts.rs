//! All gradients without a step, separately for each part of the batch.

use super::super::operand::{Launching, Text};
use super::super::{Program, Task};
use super::parameters::{of_layer, of_norm, parts_of_norm};
use crate::kernels::Launch;
use crate::kernels::fused::gradient::{self, GradientParts};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut GradientParts) -> Vec<&mut TensorId> {
    let mut all = vec![&mut op.arena, &mut op.parts];
    all.extend(op.layers.iter_mut().flat_map(of_layer));
    all.extend(op.scores.iter_mut().flatten());
    all.extend(op.norms.iter_mut().flat_map(of_norm));
    all.extend(&mut op.collected);
    all
}

pub fn effects(op: &GradientParts, program: &Program) -> Vec<Task> {
    let count = program.tensor(op.parts).rows.rows(program.batch);
    let layers = op.layers.iter().map(|layer| program.parts(layer, op.parts, count));
    let norms = op.norms.iter().map(|norm| parts_of_norm(program, norm, op.parts));
    let parts = layers.chain(norms).map(|mut task| {
        if let Some(collected) = op.collected {
            let places = task.writes.iter().map(|s| s.range.clone());
            task.changes.extend(places.map(|place| program.slice(collected, place)));
        }
        if op.adds {
            task.changes.append(&mut task.writes);
        }
        task
    });
    parts.chain(op.scores.map(|scores| program.accumulate(scores))).collect()
}

pub fn launch(op: &GradientParts, on: &Launching<'_>) -> Launch {
    gradient::launch_parts(op, on.shape(op.parts), &on.tiling(), &|id| on.layout(id))
}

pub fn line(op: &GradientParts, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let equals = if op.adds { "+=" } else { "=" };
    let (parts, layers, rows) = (text.tensor(op.parts), op.layers.len(), op.rows);
    write!(f, "gradient parts       {parts} {equals} of {layers} layers, {rows} rows each")?;
    op.collected.map_or(Ok(()), |collected| write!(f, ", with {}", text.tensor(collected)))
}
