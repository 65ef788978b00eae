//! The merged program of larger nets: about two ops for each layer.

use super::{Layout, Plan, Purpose, allocate, dropout, functions, max_norm, plain};
use crate::kernels::backward::{Backward, Delta, Parts, part_rows};
use crate::kernels::dense::{self, Dense};
use crate::kernels::fused::ParameterGradient;
use crate::kernels::gradient::SumUpdate;
use crate::kernels::output::{self, Output};
use crate::kernels::tile::short_stretches;
use crate::program::{Op, Program, Routines};
use crate::spec::{Bias, Net, Spec, Units};
use crate::tensor::{Extent, Role, TensorId};

/// The merged program, 2L + 2 ops for a step of L layers (one more behind a softmax):
///
/// Forward, for l = 1…L:    Z_l = A_{l−1} W_lᵀ ± b_l,  A_l = σ_l(Z_l), the first with the gather
/// Loss:                    δ_L and the scores; their sums
/// Backward, for l = L−1…1: δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l), beside the update of W_{l+2}
/// Last:                    the updates of W_2 and W_1
///
/// Where products don't fill a GPU they are cut along the inner dimension, at no launch more. A narrow
/// last layer gives the stretches of its sums, and the loss adds them up
/// ([`dense::is_worth_cutting`]). Over a long batch ([`part_rows`]) updates give sums over parts of
/// it, and a last launch adds those up in order, takes the step and adds up the scores.
///
/// Dropout is an op of its own behind A_l and behind δ_l, and the largest norm of weights one behind
/// the step. A net that the kernels don't take ([`dense::takes`]) gets the plain program, and so does
/// a rule with three states, for which they have no binding left.
#[must_use]
pub fn merged(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    if !dense::takes(&spec.net) || spec.optimizer.state_slots() > 2 {
        return plain(spec, batch, purpose);
    }
    let mut tensors = allocate(spec, batch, purpose, Layout::Merged);
    let p = &mut tensors.plan.program;
    let net = &spec.net;
    let of_layer: Vec<_> = net
        .layers
        .iter()
        .zip(&tensors.plan.layers)
        .map(|(layer, t)| (layer.activation != Units::Softmax).then(|| functions(p, layer, t.z)))
        .collect();
    let layers = &tensors.plan.layers;
    let input = |l: usize| l.checked_sub(1).map_or(tensors.x, |below| layers[below].a);
    let bias = |l: usize| layers[l].bias.map(|bias| (bias, net.layers[l].bias.sign()));

    let (stretches, parts) = match purpose {
        Purpose::Train => (
            stretches(p, net, batch, tensors.plan.output),
            gradient_parts(p, net, batch, tensors.plan.parameters),
        ),
        Purpose::Evaluate => (None, None),
    };
    let forward = |training: bool| {
        let mut ops = Vec::new();
        for (l, t) in layers.iter().enumerate() {
            ops.push(Op::Dense(Box::new(Dense {
                input: input(l),
                gathers: l == 0,
                weight: t.weight,
                bias: bias(l),
                functions: of_layer[l].clone(),
                z: t.z,
                a: t.a,
                parts: stretches.filter(|_| training && l + 1 == layers.len()),
            })));
            if of_layer[l].is_none() {
                ops.push(Op::Softmax { z: t.z, y: t.a });
            }
            let dropout = dropout(spec, l + 1).filter(|_| training);
            ops.extend(dropout.map(|dropout| Op::Dropout { dropout, x: t.a }));
        }
        ops
    };
    let last_bias = bias(layers.len() - 1);
    let loss = |training: bool| {
        let sums = stretches.filter(|_| training);
        let output = layers.last().zip(of_layer.last()).map(|(last, functions)| {
            Op::Output(Box::new(Output {
                loss: spec.objective.loss,
                functions: functions.clone(),
                z: last.z,
                y: last.a,
                parts: sums.map(|sums| output::Parts { sums, bias: last_bias }),
                unit: tensors.plan.unit,
                delta: tensors.deltas.last().copied(),
                scores: tensors.scores,
            }))
        });
        // Else the launch behind the last parts adds up the scores.
        let accumulate = !training || parts.is_none();
        let scores = Op::Accumulate { scores: tensors.scores, sums: tensors.plan.sums };
        output.into_iter().chain(accumulate.then_some(scores))
    };

    let mut ops = forward(false);
    let predict = 0..ops.len();
    ops.extend(loss(false));
    let evaluate = 0..ops.len();

    let mut step = 0..0;
    if let Some([first, second, third]) = tensors.state {
        let mut start = 0;
        if spec.differs_in_training() || stretches.is_some() || parts.is_some() {
            start = ops.len();
            ops.extend(forward(true));
            ops.extend(loss(true));
        }
        let backward = |delta: Option<Delta>, updates: Vec<ParameterGradient>| {
            Op::Backward(Box::new(Backward {
                delta,
                updates,
                rule: tensors.rule,
                state: [first, second],
                parameters: tensors.plan.parameters,
                parts,
            }))
        };
        let update = |l: usize| ParameterGradient {
            delta: tensors.deltas[l],
            input: input(l),
            weight: layers[l].weight,
            bias: bias(l),
        };
        // δ_l needs W_{l+1}; W_{l+2} has served.
        for l in (0..layers.len() - 1).rev() {
            let Some(functions) = of_layer[l].clone() else { continue };
            let out = tensors.deltas[l];
            let delta = Delta {
                above: tensors.deltas[l + 1],
                weight: layers[l + 1].weight,
                functions,
                z: layers[l].z,
                out,
            };
            let served = (l + 2 < layers.len()).then(|| update(l + 2));
            ops.push(backward(Some(delta), served.into_iter().collect()));
            ops.extend(dropout(spec, l + 1).map(|dropout| Op::Dropout { dropout, x: out }));
        }
        let rest = (0..layers.len().min(2)).rev().map(update).collect();
        ops.push(backward(None, rest));
        ops.extend(parts.map(|parts| {
            Op::SumUpdate(Box::new(SumUpdate {
                parts: parts.sums,
                rule: tensors.rule,
                parameters: tensors.plan.parameters,
                state: [first, second, third],
                scores: Some([tensors.scores, tensors.plan.sums]),
            }))
        }));
        ops.extend(max_norm(spec, &tensors));
        step = start..ops.len();
    }
    let p = &mut tensors.plan.program;
    p.ops = ops;
    p.routines = Routines { predict, evaluate, step, ..Routines::default() };
    tensors.finish(spec)
}

/// The tensor for the stretches of the last layer's sums, where they are worth cutting.
fn stretches(p: &mut Program, net: &Net, batch: usize, output: TensorId) -> Option<TensorId> {
    let last = net.layers.last()?;
    let (n, k) = net.shapes().last()?;
    if last.activation == Units::Softmax || !dense::is_worth_cutting([batch, n, k]) {
        return None;
    }
    let name = p.tensor(output).name.clone() + ".stretches";
    Some(p.add(name, Role::Transient, Extent::Batch, short_stretches(k) * n))
}

/// The parts of a long batch over which gradients are added up, where that is worth it.
fn gradient_parts(p: &mut Program, net: &Net, batch: usize, parameters: TensorId) -> Option<Parts> {
    let bias = |l: usize| usize::from(net.layers[l].bias != Bias::None);
    let shapes: Vec<_> = net.shapes().enumerate().map(|(l, (n, k))| [n, k + bias(l)]).collect();
    let rows = part_rows(&shapes, batch);
    let count = batch.div_ceil(rows);
    (count > 1).then(|| {
        let len = p.len(parameters);
        let sums = p.add("gradients.parts", Role::Gradient, Extent::Fixed(count), len);
        Parts { sums, rows, count }
    })
}
