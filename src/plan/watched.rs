//! The plain training step, in which every op is followed by a look at what it wrote: for finding
//! where values stop being finite.

use super::{Plan, Purpose, plain};
use crate::kernels::Access;
use crate::program::Op;
use crate::spec::Spec;
use crate::tensor::{Role, TensorId};

/// The widest tensor that is looked at: up to here f32 counts columns exactly.
const WIDEST: usize = 1 << 24;

/// A look at a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// The op that wrote it.
    pub op: Op,
    /// The tensor: (rows, cols).
    pub tensor: TensorId,
    /// The first column of each of its rows that isn't finite, or −1: (rows, 1).
    pub found: TensorId,
}

/// The plain training program of `spec` for batches of up to `batch` rows, with looks at all that it
/// writes, in order.
#[must_use]
pub fn watched(spec: &Spec, batch: usize) -> (Plan, Vec<Watch>) {
    let mut plan = plain(spec, batch, Purpose::Train);
    let parameters: Vec<TensorId> = (0..plan.program.tensors.len())
        .map(TensorId)
        .filter(|id| plan.program.tensor(*id).role == Role::Parameter && *id != plan.parameters)
        .collect();
    let p = &mut plan.program;
    let (step, mut watches) = (p.routines.step.clone(), Vec::new());
    let mut ops = Vec::new();
    for op in std::mem::take(&mut p.ops).drain(step) {
        let written = p.uses(&op).into_iter().filter(|(_, access)| *access == Access::ReadWrite);
        let written: Vec<TensorId> = written.map(|(id, _)| id).collect();
        ops.push(op.clone());
        for id in written {
            // All parameters at once are looked at one by one.
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
    p.routines.step = 0..ops.len();
    p.ops = ops;
    (plan, watches)
}
