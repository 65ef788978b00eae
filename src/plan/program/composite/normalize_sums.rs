//! Normalization backward: the gradients of scale and shift.

use super::super::operand::{Launching, Text};
use super::super::{Program, Task};
pub use super::normalize_gradient::tensors_mut;
use crate::kernels::Launch;
use crate::kernels::layers::norm::{self, NormalizedGradient};
use std::fmt::{self, Formatter};

pub fn effects(op: &NormalizedGradient, program: &Program) -> Vec<Task> {
    program.task(&[op.gradient, op.of.normal], &[op.scale, op.shift], &[])
}

pub fn launch(op: &NormalizedGradient, on: &Launching<'_>) -> Launch {
    norm::launch_sums(op, on.cols(op.delta))
}

pub fn line(op: &NormalizedGradient, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "norm sums            {}, {}", text.tensor(op.scale), text.tensor(op.shift))
}
