//! What the plain program does with gradients: edits, then the optimiser.

use super::Tensors;
use crate::kernels::edits::Edit;
use crate::kernels::vector_norm::STRETCH;
use crate::program::{Op, Program};
use crate::random::{Stream, stream_key};
use crate::spec::Spec;
use crate::tensor::{Extent, Role, TensorId};

/// The ops behind the gradients of a training step; none in a program that has no gradients.
pub(super) fn update(spec: &Spec, tensors: &mut Tensors) -> Vec<Op> {
    let Some(state) = tensors.state else { return Vec::new() };
    let g = tensors.gradients();
    let mut ops = edits(spec, tensors, g);
    ops.push(Op::Update { rule: tensors.rule, w: tensors.plan.parameters, g, state });
    ops
}

/// The edits of the gradients `g` of all parameters, in the order of
/// [`crate::optim::GradientEdits`].
fn edits(spec: &Spec, tensors: &mut Tensors, g: TensorId) -> Vec<Op> {
    let edits = &spec.edits;
    let p = &mut tensors.plan.program;
    let each = parts(p, g);
    let mut ops = Vec::new();
    if edits.l1 > 0.0 {
        for layer in &tensors.plan.layers {
            let Some(gradients) = layer.gradients else { continue };
            let edit = Edit::SignPenalty { strength: edits.l1, w: layer.weight };
            ops.push(Op::Edit { edit, g: gradients.weight });
        }
    }
    if let Some(limit) = edits.clip_value {
        ops.push(Op::Edit { edit: Edit::ClipValue { limit }, g });
    }
    let norms = [(edits.clip_norm, each.clone()), (edits.clip_global_norm, vec![g])];
    for (limit, of) in norms {
        let Some(limit) = limit else { continue };
        for g in of {
            let [partial, norm] = norm_tensors(p, g);
            ops.push(Op::VectorNorm { x: g, partial, norm });
            ops.push(Op::Edit { edit: Edit::ClipNorm { limit, norm }, g });
        }
    }
    if edits.noise > 0.0 {
        let key = stream_key(spec.seed, Stream::GradientNoise, 0);
        // Not in one op: what lies between the tensors must stay 0, for norms.
        for g in each {
            let first = p.tensor(g).offset;
            ops.push(Op::Edit { edit: Edit::Noise { variance: edits.noise, key, first }, g });
        }
    }
    ops
}

/// The tensors that lie in `whole`, which spans a buffer.
fn parts(p: &Program, whole: TensorId) -> Vec<TensorId> {
    let inside = |id: &TensorId| p.tensor(*id).buffer == p.tensor(whole).buffer && *id != whole;
    (0..p.tensors.len()).map(TensorId).filter(inside).collect()
}

/// The partial sums and the norm of `x`.
fn norm_tensors(p: &mut Program, x: TensorId) -> [TensorId; 2] {
    let name = p.tensor(x).name.clone();
    let stretches = p.len(x).div_ceil(STRETCH);
    let one = Extent::Fixed(1);
    let partial = p.add(format!("{name}.squares"), Role::Transient, one, stretches);
    [partial, p.add(format!("{name}.norm"), Role::Transient, one, 1)]
}
