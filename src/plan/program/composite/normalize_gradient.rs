//! Normalization backward: δ.

use super::super::operand::{Launching, Text};
use super::super::{Program, Task};
use super::normalize;
use crate::kernels::Launch;
use crate::kernels::layers::norm::{self, NormalizedGradient};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut NormalizedGradient) -> Vec<&mut TensorId> {
    let mut all = normalize::tensors_mut(&mut op.of);
    all.extend([&mut op.gradient, &mut op.scale, &mut op.shift, &mut op.delta]);
    all
}

pub fn effects(op: &NormalizedGradient, program: &Program) -> Vec<Task> {
    let mut reads = vec![op.gradient, op.of.normal, op.of.scale];
    match op.of.statistics {
        // By the sums of an op before.
        Some(statistics) => reads.extend([statistics, op.scale, op.shift]),
        None => reads.push(op.of.z),
    }
    program.task(&reads, &[op.delta], &[])
}

pub fn launch(op: &NormalizedGradient, on: &Launching<'_>) -> Launch {
    norm::launch_gradient(op, on.cols(op.delta))
}

pub fn line(op: &NormalizedGradient, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "norm gradient        {} from {}", text.tensor(op.delta), text.tensor(op.gradient))
}
