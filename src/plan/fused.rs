//! The fused programs of a small net: whole rows through the whole net, then all parameters.

use super::{
    ARENA, Layout, Plan, Purpose, Tensors, allocate, augmentation, dropout, functions, max_norm,
};
use crate::kernels::dense::Dense;
use crate::kernels::fused::{
    FusedLayer, GradientUpdate, LARGEST_BLOCK, ParameterGradient, Reach, Rows,
};
use crate::kernels::gradient::{GradientParts, SumUpdate, part_rows};
use crate::program::{Op, Routines};
use crate::spec::{Spec, Units};
use crate::tensor::{Extent, Role, TensorId};

/// The fused program: the same numbers from two ops, of which the first takes a block
/// of rows through the whole net while it lies in cache, and the second gives each part of the
/// parameters its gradient and its step.
#[must_use]
pub fn fused(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    build(spec, batch, purpose, 0, batch, false)
}

/// The fused program with ops enough to fill a GPU, three at most for a step: a wide first layer
/// is an op of its own, or a long batch is cut into parts whose gradients are added up by another.
#[must_use]
pub fn rows(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    /// Inputs from which on the first layer is worth a launch.
    const WIDE: usize = 256;
    let part = part_rows(&spec.net, batch);
    // What it drops of X and A_1, only the op that does all drops beside.
    let drops = spec.net.differs_in_training();
    let from = usize::from(spec.net.inputs >= WIDE && part >= batch && !drops);
    build(spec, batch, purpose, from, part, true)
}

/// A fused program whose first `from` layers are ops of their own (0 or 1), and whose gradients
/// are added up over parts of `part` rows, for a GPU or the CPU.
fn build(
    spec: &Spec,
    batch: usize,
    purpose: Purpose,
    from: usize,
    part: usize,
    on_gpu: bool,
) -> Plan {
    let mut tensors = allocate(spec, batch, purpose, Layout::Arena);
    let (t, gradient) = (tensors.target(spec), tensors.output_gradient());
    let arena = tensors.plan.program.add_whole(ARENA, "arena", Role::Transient);
    let p = &mut tensors.plan.program;
    let layers: Vec<FusedLayer> = spec
        .net
        .layers
        .iter()
        .zip(&tensors.plan.layers)
        .enumerate()
        .map(|(l, (layer, t))| FusedLayer {
            weight: t.weight,
            bias: t.bias.map(|bias| (bias, layer.bias.sign())),
            functions: (layer.activation != Units::Softmax).then(|| functions(p, layer, t.z)),
            z: t.z,
            a: t.a,
            delta: t.delta,
            dropout: dropout(spec, l + 1),
        })
        .collect();
    let first = layers[..from].iter().map(|layer| {
        Op::Dense(Box::new(Dense {
            input: tensors.x,
            gathers: true,
            weight: layer.weight,
            bias: layer.bias,
            functions: layer.functions.clone(),
            z: layer.z,
            a: layer.a,
            parts: None,
        }))
    });
    let first: Vec<Op> = first.collect();
    let rows = |reach| {
        Op::Rows(Box::new(Rows {
            reach,
            from,
            x: tensors.x,
            augmentation: augmentation(spec),
            input_dropout: dropout(spec, 0),
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
    let mut ops = Vec::new();
    let mut routine = |ops_of: Vec<Op>| {
        let start = ops.len();
        ops.extend(first.iter().cloned().chain(ops_of));
        start..ops.len()
    };
    let accumulate = Op::Accumulate { scores: tensors.scores, sums: tensors.plan.sums };
    let predict = routine(vec![rows(Reach::Outputs)]);
    let evaluate = routine(vec![rows(Reach::Loss), accumulate.clone()]);
    let mut step = 0..0;
    let mut of_step = vec![rows(Reach::Deltas)];
    if let Some(state) = tensors.state {
        if !on_gpu {
            of_step.push(accumulate);
        }
        of_step.extend(updates(spec, &mut tensors, arena, state, part, on_gpu));
        of_step.extend(max_norm(spec, &tensors));
        step = routine(of_step);
    }
    tensors.plan.program.ops = ops;
    tensors.plan.program.routines = Routines { predict, evaluate, step, ..Routines::default() };
    tensors.finish(spec)
}

/// The gradients of all parameters over parts of `part` rows, and the step on them; on a GPU with
/// the sums of the scores beside them.
fn updates(
    spec: &Spec,
    tensors: &mut Tensors,
    arena: TensorId,
    state: [TensorId; 3],
    part: usize,
    on_gpu: bool,
) -> Vec<Op> {
    let (batch, parameters) = (tensors.plan.program.batch, tensors.plan.parameters);
    let scores = [tensors.scores, tensors.plan.sums];
    let mut input = tensors.x;
    let mut layers = Vec::new();
    for (layer, t) in spec.net.layers.iter().zip(&tensors.plan.layers) {
        let Some(delta) = t.delta else { continue };
        let bias = t.bias.map(|bias| (bias, layer.bias.sign()));
        layers.push(ParameterGradient { delta, input, weight: t.weight, bias });
        input = t.a;
    }
    let rule = tensors.rule;
    if part >= batch {
        let scores = on_gpu.then_some(scores);
        return vec![Op::GradientUpdate(Box::new(GradientUpdate {
            layers,
            rule,
            state,
            arena,
            parameters,
            scores,
        }))];
    }
    let p = &mut tensors.plan.program;
    let (count, len) = (Extent::Fixed(batch.div_ceil(part)), p.len(parameters));
    let parts = p.add("gradients.parts", Role::Gradient, count, len);
    vec![
        Op::GradientParts(Box::new(GradientParts { layers, arena, parts, rows: part, scores })),
        Op::SumUpdate(Box::new(SumUpdate { parts, rule, parameters, state, scores: None })),
    ]
}

/// Rows of a block of a fused pass: enough for a matrix product to be fast, few enough to stay in
/// cache and to occupy all threads.
fn block(batch: usize) -> usize {
    batch.div_ceil(16).next_multiple_of(32).clamp(32, LARGEST_BLOCK)
}
