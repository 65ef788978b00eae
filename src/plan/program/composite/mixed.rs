//! Ops of mixed precision.

use super::super::effects::kept;
use super::super::operand::{Launching, Operand, Text};
use super::super::{Program, Task};
use super::backward::{effects_of_delta, of_delta, text_of_delta};
use super::{dense, parameters};
use crate::kernels::Launch;
use crate::kernels::mixed::{self, Mixed};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut Mixed) -> Vec<&mut TensorId> {
    match op {
        Mixed::Gather { x } => vec![x],
        Mixed::Dense { dense: op, loss_scale } => {
            dense::tensors_mut(op).into_iter().chain(loss_scale).collect()
        }
        Mixed::Rescale { x, y, loss_scale } => vec![x, y, loss_scale],
        Mixed::Delta { delta, loss_scale } => of_delta(delta).chain([loss_scale]).collect(),
        Mixed::Update(op) => {
            let all = parameters::of_layer(&mut op.gradient).chain(op.state.tensors_mut());
            let others = [&mut op.shadow, &mut op.parameters, &mut op.loss_scale];
            all.chain(others).collect()
        }
        Mixed::Scale { loss_scale, .. } => vec![loss_scale],
    }
}

pub fn effects(op: &Mixed, program: &Program) -> Vec<Task> {
    // Every invocation that sees an overflow writes the same value.
    let notes = |mut tasks: Vec<Task>, loss_scale: Option<TensorId>| {
        tasks[0].changes.extend(loss_scale.map(|id| program.whole(id)));
        tasks
    };
    match op {
        Mixed::Gather { x } => program.task(&[], &[*x], &[]),
        Mixed::Dense { dense: op, loss_scale } => notes(dense::effects(op, program), *loss_scale),
        Mixed::Rescale { x, y, loss_scale } => program.task(&[*x], &[*y], &[*loss_scale]),
        Mixed::Delta { delta, loss_scale } => {
            notes(effects_of_delta(delta, program), Some(*loss_scale))
        }
        Mixed::Update(op) => {
            let mut task = program.update(&op.gradient, kept(op.rule, &op.state));
            task.reads.push(program.whole(op.loss_scale));
            task.writes.push(program.whole(op.shadow));
            vec![task]
        }
        Mixed::Scale { loss_scale, .. } => program.task(&[], &[], &[*loss_scale]),
    }
}

pub fn launch(op: &Mixed, on: &Launching<'_>) -> Launch {
    let precision = |id: TensorId| on.program.tensor(id).precision;
    let place = |id| on.place(id);
    mixed::launch(op, on.program.batch, on.storage, on.tuning, &place, precision)
}

pub fn line(op: &Mixed, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let t = |id: &TensorId| text.tensor(*id);
    match op {
        Mixed::Gather { x } => write!(f, "f16 gather           {} = scaled feature rows", t(x)),
        Mixed::Dense { dense: op, .. } => dense::named_line("f16 dense", op, text, f),
        Mixed::Rescale { x, y, loss_scale } => {
            write!(f, "f16 rescale          {} = {} · {}", t(y), t(x), t(loss_scale))
        }
        Mixed::Delta { delta, .. } => {
            write!(f, "f16 delta            {}", text_of_delta(delta, text))
        }
        Mixed::Update(op) => {
            let (w, shadow) = (t(&op.gradient.weight), t(&op.shadow));
            write!(f, "f16 update           {w}, {shadow} by {}", op.rule.optimizer)
        }
        Mixed::Scale { loss_scale, .. } => {
            write!(f, "f16 loss scale       {} by overflows", t(loss_scale))
        }
    }
}
