//! The loss with its scores and δ_L, from the targets of the data set.

use super::super::operand::{Launching, Operand, Text};
use super::super::{Program, Task};
use crate::kernels::Launch;
use crate::kernels::loss::output::{self, Output};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut Output) -> Vec<&mut TensorId> {
    let mut all = vec![&mut op.z, &mut op.y, &mut op.unit, &mut op.scores];
    all.extend(&mut op.delta);
    if let Some(partial) = &mut op.partial_sums {
        all.push(&mut partial.sums);
        all.extend(partial.bias.tensors_mut());
    }
    all.extend(op.functions.iter_mut().flat_map(Operand::tensors_mut));
    all
}

pub fn effects(op: &Output, program: &Program) -> Vec<Task> {
    let (mut reads, mut writes) = (vec![op.unit], Vec::new());
    reads.extend(op.functions.iter().flat_map(Operand::tensors));
    match op.partial_sums {
        Some(partial) => {
            reads.push(partial.sums);
            reads.extend(partial.bias.tensors());
            writes.push(op.y);
        }
        None => {
            reads.push(op.y);
            reads.extend((op.z != op.y).then_some(op.z));
        }
    }
    writes.extend(op.delta.into_iter().chain([op.scores]));
    program.task(&reads, &writes, &[])
}

pub fn launch(op: &Output, on: &Launching<'_>) -> Launch {
    let cols = on.cols(op.y);
    let segments = op.partial_sums.map_or(0, |partial| on.cols(partial.sums) / cols);
    output::launch(op, cols, segments, on.storage)
}

pub fn line(op: &Output, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "output               ")?;
    if let Some(delta) = op.delta {
        write!(f, "{}, ", text.tensor(delta))?;
    }
    write!(f, "{} = {} at {}", text.tensor(op.scores), op.loss.name(), text.tensor(op.y))?;
    op.partial_sums.map_or(Ok(()), |partial| write!(f, " of Σ {}", text.tensor(partial.sums)))
}
