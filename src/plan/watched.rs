//! The plain training step in which every op is followed by a check of what it wrote, to find
//! where values become NaN or infinite.

use super::{Plan, Purpose, plain};
use crate::kernels::Access;
use crate::kernels::tensor::{Role, TensorId};
use crate::net::spec::Spec;
use crate::plan::program::{Op, Routines};

/// The widest tensor that is checked: up to here f32 counts columns exactly.
const WIDEST: usize = 1 << 24;

/// A check of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// The op that wrote it.
    pub op: Op,
    /// The tensor: (rows, cols).
    pub tensor: TensorId,
    /// The first column of each of its rows that isn't finite, or −1: (rows, 1).
    pub found: TensorId,
}

/// A program whose ops are each followed by a check of what they wrote.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The program, with the routines `gradient`, `micro_batch` and `step`.
    pub plan: Plan,
    /// The checks of the routine `gradient`, in order.
    pub gradient: Vec<Watch>,
    /// Those of the rest of the routine `step`.
    pub update: Vec<Watch>,
}

/// The plain training program of `spec` for up to `batch` rows at a time, with checks of all that a step
/// writes.
#[must_use]
pub fn watched(spec: &Spec, batch: usize) -> Watched {
    let mut plan = plain(spec, batch, Purpose::Train);
    let parameters: Vec<TensorId> = (0..plan.program.tensors.len())
        .map(TensorId)
        .filter(|id| plan.program.tensor(*id).role == Role::Parameter && *id != plan.parameters)
        .collect();
    let p = &mut plan.program;
    let [step, micro_batch] =
        [&p.routines.step, &p.routines.micro_batch].map(|r| p.ops[r.clone()].to_vec());
    let (mut ops, mut watches, mut gradient) = (Vec::new(), Vec::new(), None);
    for (i, op) in step.into_iter().enumerate() {
        // A step begins with the ops of the gradient.
        if i == p.routines.gradient.len() {
            gradient = Some((ops.len(), watches.len()));
        }
        let written = p.uses(&op).into_iter().filter(|(_, access)| *access == Access::ReadWrite);
        let written: Vec<TensorId> = written.map(|(id, _)| id).collect();
        ops.push(op.clone());
        for id in written {
            // If an op writes all parameters, each is checked separately.
            let each = if id == plan.parameters { parameters.clone() } else { vec![id] };
            for x in each {
                let t = p.tensor(x);
                if t.role == Role::State || t.cols > WIDEST {
                    continue;
                }
                let (name, rows) = (format!("{}.nonfinite.{}", t.name, watches.len()), t.rows);
                let found = p.add(name, Role::Metric, rows, 1);
                ops.push(Op::Nonfinite { x, found });
                watches.push(Watch { op: op.clone(), tensor: x, found });
            }
        }
    }
    let (gradient_ops, looks) = gradient.unwrap_or((ops.len(), watches.len()));
    let step = 0..ops.len();
    ops.extend(micro_batch);
    let micro_batch = step.end..ops.len();
    p.routines = Routines { gradient: 0..gradient_ops, micro_batch, step, ..Routines::default() };
    p.ops = ops;
    let update = watches.split_off(looks);
    Watched { plan, gradient: watches, update }
}
