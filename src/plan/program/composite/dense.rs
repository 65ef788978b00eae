//! A layer forward: product, bias and activation in one launch.

use super::super::operand::{Launching, Operand, Text};
use super::super::{Program, Task};
use crate::kernels::Launch;
use crate::kernels::products::dense::{self, Dense};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut Dense) -> Vec<&mut TensorId> {
    let all = [&mut op.input, &mut op.weight, &mut op.z, &mut op.a].into_iter();
    let all = all.chain(op.bias.tensors_mut()).chain(&mut op.parts);
    all.chain(op.functions.iter_mut().flat_map(Operand::tensors_mut)).collect()
}

pub fn effects(op: &Dense, program: &Program) -> Vec<Task> {
    let (mut reads, mut writes) = (vec![op.weight], Vec::new());
    if op.gathers { &mut writes } else { &mut reads }.push(op.input);
    match (op.parts, &op.functions) {
        (Some(parts), _) => writes.push(parts),
        (None, functions) => {
            reads.extend(op.bias.tensors());
            reads.extend(functions.iter().flat_map(Operand::tensors));
            writes.push(op.z);
            writes.extend(functions.as_ref().filter(|_| op.a != op.z).map(|_| op.a));
        }
    }
    program.task(&reads, &writes, &[])
}

pub fn launch(op: &Dense, on: &Launching<'_>) -> Launch {
    dense::launch(op, [on.cols(op.z), on.cols(op.input)], &on.tiling(), on.storage)
}

pub fn line(op: &Dense, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    named_line("dense", op, text, f)
}

/// The line of a layer forward of that name.
pub(super) fn named_line(
    name: &str,
    op: &Dense,
    text: &Text<'_>,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    let from = if op.gathers { "gathered " } else { "" };
    let (x, w) = (text.tensor(op.input), text.tensor(op.weight));
    if let Some(parts) = op.parts {
        return write!(f, "{name:<20} {} = stretches of {from}{x} · {w}ᵀ", text.tensor(parts));
    }
    let to = if op.functions.is_some() { op.a } else { op.z };
    let functions = op.functions.as_ref().map(|functions| format!("{} of ", functions.units()));
    let functions = functions.unwrap_or_default();
    write!(f, "{name:<20} {} = {functions}{from}{x} · {w}ᵀ{}", text.tensor(to), op.bias.text(text))
}
