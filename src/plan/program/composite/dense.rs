//! A layer forward: product, bias and activation in one launch.

use super::super::operand::{Launching, Operand, Text};
use super::super::{Program, Task};
use crate::kernels::Launch;
use crate::kernels::mixed;
use crate::kernels::products::dense::{self, Dense};
use crate::kernels::tensor::TensorId;
use crate::net::precision::Precision;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut Dense) -> Vec<&mut TensorId> {
    let all = [&mut op.input, &mut op.weight, &mut op.z, &mut op.a].into_iter();
    let all = all.chain(op.bias.tensors_mut()).chain(&mut op.partial_sums).chain(&mut op.overflows);
    all.chain(op.functions.iter_mut().flat_map(Operand::tensors_mut)).collect()
}

pub fn effects(op: &Dense, program: &Program) -> Vec<Task> {
    let (mut reads, mut writes) = (vec![op.weight], Vec::new());
    if op.gathers { &mut writes } else { &mut reads }.push(op.input);
    match (op.partial_sums, &op.functions) {
        (Some(sums), _) => writes.push(sums),
        (None, functions) => {
            reads.extend(op.bias.tensors());
            reads.extend(functions.iter().flat_map(Operand::tensors));
            writes.push(op.z);
            writes.extend(functions.as_ref().filter(|_| op.a != op.z).map(|_| op.a));
        }
    }
    program.task(&reads, &writes, op.overflows.as_slice())
}

pub fn launch(op: &Dense, on: &Launching<'_>) -> Launch {
    let shape = [on.cols(op.z), on.cols(op.input)];
    match on.precision(op.weight) {
        Precision::F32 => dense::launch(op, shape, &on.tiling(), on.storage),
        Precision::F16 => mixed::launch_dense(op, shape, on.precision(op.z), on.block()),
    }
}

pub fn line(op: &Dense, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let from = if op.gathers { "gathered " } else { "" };
    let (x, w) = (text.tensor(op.input), text.tensor(op.weight));
    if let Some(sums) = op.partial_sums {
        return write!(
            f,
            "dense                {} = partial sums of {from}{x} · {w}ᵀ",
            text.tensor(sums)
        );
    }
    let to = if op.functions.is_some() { op.a } else { op.z };
    let functions = op.functions.as_ref().map(|functions| format!("{} of ", functions.units()));
    let functions = functions.unwrap_or_default();
    write!(
        f,
        "dense                {} = {functions}{from}{x} · {w}ᵀ{}",
        text.tensor(to),
        op.bias.text(text)
    )
}
