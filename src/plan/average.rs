//! The ops that average weights.

use super::tensors::Tensors;
use crate::kernels::optim::average::Share;
use crate::kernels::tensor::{Extent, Role};
use crate::math::optim::Averaging;
use crate::net::spec::Spec;
use crate::plan::program::Op;

/// Adds the ops that average weights after all others: a moving average at the end of a step, one over epochs as a
/// routine of its own.
pub(super) fn average(spec: &Spec, tensors: &mut Tensors) {
    let share = match spec.averaging {
        Averaging::None => return,
        _ if tensors.plan.state.is_none() => return,
        Averaging::Ema { decay } => Share::Constant(1.0 - decay),
        Averaging::Swa { .. } => Share::Equal(spec.averaging.first_epoch(spec.epochs) as u32),
    };
    let (p, w) = (&mut tensors.plan.program, tensors.plan.parameters);
    let average = p.add("parameters.average", Role::State, Extent::Fixed(1), p.len(w));
    let at = p.ops.len();
    p.ops.push(Op::Average { share, w, average });
    p.ops.push(Op::Swap { a: w, b: average });
    match share {
        Share::Constant(_) => [p.routines.step.end, p.routines.update.end] = [at + 1; 2],
        Share::Equal(_) => p.routines.average = at..at + 1,
    }
    p.routines.swap = at + 1..at + 2;
}
