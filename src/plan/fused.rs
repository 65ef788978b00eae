//! The fused program of a small net: whole rows through the whole net, then all parameters.

use super::{ARENA, Layout, Plan, Purpose, allocate, functions};
use crate::kernels::fused::{
    FusedLayer, GradientUpdate, LARGEST_BLOCK, ParameterGradient, Reach, Rows,
};
use crate::program::{Op, Routines};
use crate::spec::{Spec, Units};
use crate::tensor::Role;

/// The fused program: the same numbers from two ops, of which the first takes a block
/// of rows through the whole net while it lies in cache, and the second gives each part of the
/// parameters its gradient and its step.
#[must_use]
pub fn fused(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    let mut tensors = allocate(spec, batch, purpose, Layout::Arena);
    let (t, gradient) =
        (tensors.transient("target", spec.net.outputs()), tensors.output_gradient());
    let arena = tensors.plan.program.add_whole(ARENA, "arena", Role::Transient);
    let p = &mut tensors.plan.program;
    let layers: Vec<FusedLayer> = spec
        .net
        .layers
        .iter()
        .zip(&tensors.plan.layers)
        .map(|(layer, t)| FusedLayer {
            weight: t.weight,
            bias: t.bias.map(|bias| (bias, layer.bias.sign())),
            functions: (layer.activation != Units::Softmax).then(|| functions(p, layer, t.z)),
            z: t.z,
            a: t.a,
            delta: t.delta,
        })
        .collect();
    let rows = |reach| {
        Op::Rows(Box::new(Rows {
            reach,
            x: tensors.x,
            layers: layers.clone(),
            loss: spec.objective.loss,
            t,
            unit: tensors.plan.unit,
            gradient,
            scores: tensors.scores,
            block: block(batch),
            arena,
            parameters: tensors.plan.parameters,
        }))
    };
    let accumulate = Op::Accumulate { scores: tensors.scores, sums: tensors.plan.sums };
    p.ops = vec![rows(Reach::Outputs), rows(Reach::Loss), accumulate.clone()];
    p.routines = Routines { predict: 0..1, evaluate: 1..3, ..Routines::default() };
    if let Some(state) = tensors.state {
        let mut input = tensors.x;
        let mut layers = Vec::new();
        for (layer, t) in spec.net.layers.iter().zip(&tensors.plan.layers) {
            let Some(delta) = t.delta else { continue };
            let bias = t.bias.map(|bias| (bias, layer.bias.sign()));
            layers.push(ParameterGradient { delta, input, weight: t.weight, bias });
            input = t.a;
        }
        let update = GradientUpdate {
            layers,
            optimizer: spec.optimizer,
            decay: spec.weight_decay,
            state,
            arena,
            parameters: tensors.plan.parameters,
        };
        p.ops.extend([rows(Reach::Deltas), accumulate, Op::GradientUpdate(Box::new(update))]);
        p.routines.step = 3..6;
    }
    tensors.plan
}

/// Rows of a block of a fused pass: enough for a matrix product to be fast, few enough to stay in
/// cache and to occupy all threads.
fn block(batch: usize) -> usize {
    batch.div_ceil(16).next_multiple_of(32).clamp(32, LARGEST_BLOCK)
}
