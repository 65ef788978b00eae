//! Normalization forward.

use super::super::operand::{Launching, Text};
use super::super::{Program, Task};
use crate::kernels::Launch;
use crate::kernels::layers::norm::{self, Normalized};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut Normalized) -> Vec<&mut TensorId> {
    let all = [&mut op.z, &mut op.scale, &mut op.shift, &mut op.normal, &mut op.out];
    all.into_iter().chain(&mut op.statistics).collect()
}

pub fn effects(op: &Normalized, program: &Program) -> Vec<Task> {
    let reads = [op.z, op.scale, op.shift].into_iter().chain(op.statistics);
    program.task(&Vec::from_iter(reads), &[op.normal, op.out], &[])
}

pub fn launch(op: &Normalized, on: &Launching<'_>) -> Launch {
    norm::launch_forward(op, on.cols(op.z))
}

pub fn line(op: &Normalized, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let over = if op.statistics.is_some() { "batch" } else { "layer" };
    write!(f, "{over} norm           {} of {}", text.tensor(op.out), text.tensor(op.z))
}
