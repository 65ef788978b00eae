//! The sums over the parts of all gradients, each immediately followed by the optimizer's step.

use super::super::effects::kept;
use super::super::operand::{Launching, Text};
use super::super::{Program, Task};
use crate::kernels::Launch;
use crate::kernels::fused::gradient::{self, SumUpdate};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut SumUpdate) -> Vec<&mut TensorId> {
    let all = [&mut op.parts, &mut op.parameters].into_iter().chain(&mut op.state);
    all.chain(op.scores.iter_mut().flatten()).collect()
}

pub fn effects(op: &SumUpdate, program: &Program) -> Vec<Task> {
    let changed = [&[op.parameters], kept(op.rule, &op.state)].concat();
    let step = program.task(&[op.parts], &[], &changed).into_iter();
    step.chain(op.scores.map(|scores| program.accumulate(scores))).collect()
}

pub fn launch(op: &SumUpdate, on: &Launching<'_>) -> Launch {
    gradient::launch_sum(op, on.shape(op.parts))
}

pub fn line(op: &SumUpdate, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "sum + update         Σ {} by {}", text.tensor(op.parts), op.rule.optimizer)
}
