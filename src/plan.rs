//! From a spec to a program: the only file that knows the order of backpropagation.

use crate::activation::Activation;
use crate::kernels::activation::{UnitFunctions, unit_table};
use crate::kernels::fused::{
    FusedLayer, GradientUpdate, LARGEST_BLOCK, ParameterGradient, Reach, Rows,
};
use crate::kernels::loss::SCORES;
use crate::kernels::matmul::Form;
use crate::program::{LayerGradients, LayerTensors, Op, Program, Routines};
use crate::spec::{Bias, Layer, Net, PlanKind, Spec, Units};
use crate::tensor::{Extent, Role, TensorId};

/// A program for a spec, and where its tensors are.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The ops.
    pub program: Program,
    /// The tensors of each layer.
    pub layers: Vec<LayerTensors>,
    /// The net's output: (B, n_L).
    pub output: TensorId,
    /// The running sums of losses and scores: (1, 4).
    pub sums: TensorId,
    /// Users' units in one of ours, for each output: (1, n_L).
    pub unit: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training: with gradients and optimiser state.
    Train,
    /// Predictions and losses only.
    Evaluate,
}

/// Rows that predictions and losses take at a time: no more than there are, and fewer for a wide net.
#[must_use]
pub fn evaluation_rows(net: &Net, rows: usize) -> usize {
    let widest = net.shapes().map(|(out, cols)| out.max(cols)).max().unwrap_or(1);
    ((1 << 21) / widest).clamp(1, 1024).min(rows.max(1))
}

/// The program that `spec` asks for, plain where the backend doesn't fuse.
#[must_use]
pub fn plan(spec: &Spec, batch: usize, purpose: Purpose, fuses: bool) -> Plan {
    match spec.plan {
        PlanKind::Fused if fuses => fused(spec, batch, purpose),
        _ => plain(spec, batch, purpose),
    }
}

/// The plain program: the kernels that the mathematics names, one after the other.
///
/// Forward, for l = 1…L:    Z_l = A_{l−1} W_lᵀ ± b_l,  A_l = σ_l(Z_l)
/// Loss:                    ∂E/∂A_L
/// Backward, for l = L…1:   δ_l = ∂E/∂A_l ⊙ σ_l′(Z_l)   (for softmax Jᵀ ∂E/∂A_L)
///                          ∂E/∂W_l = δ_lᵀ A_{l−1},  ∂E/∂b_l = ± Σ_rows δ_l
///                          ∂E/∂A_{l−1} = δ_l W_l
/// Update:                  all W, b by the optimiser
#[must_use]
pub fn plain(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    let mut tensors = allocate(spec, batch, purpose, false);
    let p = &mut tensors.plan.program;
    let mut ops = Vec::new();

    ops.push(Op::Gather { x: tensors.x });
    let mut input = tensors.x;
    for (layer, t) in spec.net.layers.iter().zip(&tensors.plan.layers) {
        let bias = t.bias.map(|bias| (bias, layer.bias.sign()));
        ops.push(Op::Matmul { form: Form::Nt, a: input, b: t.weight, bias, c: t.z });
        if layer.activation == Units::Softmax {
            ops.push(Op::Softmax { z: t.z, y: t.a });
        } else if t.a != t.z {
            let functions = functions(p, layer, t.z);
            ops.push(Op::Activation { functions, z: t.z, a: t.a });
        }
        input = t.a;
    }
    let predict = 0..ops.len();

    let (y, t) = (tensors.plan.output, tensors.t);
    ops.push(Op::Targets { t });
    ops.push(Op::Loss {
        loss: spec.objective.loss,
        y,
        t,
        unit: tensors.plan.unit,
        gradient: tensors.output_gradient,
        scores: tensors.scores,
    });
    ops.push(Op::Accumulate { scores: tensors.scores, sums: tensors.plan.sums });
    let evaluate = 0..ops.len();

    let layers = &tensors.plan.layers;
    for (l, layer) in spec.net.layers.iter().enumerate().rev() {
        let t = layers[l];
        let (Some(delta), Some(g)) = (t.delta, t.gradients) else { break };
        if layer.activation == Units::Softmax {
            ops.push(Op::SoftmaxGradient { y: t.a, delta });
        } else if t.a != t.z {
            let functions = functions(p, layer, t.z);
            ops.push(Op::ActivationGradient { functions, z: t.z, delta });
        }
        let input = if l == 0 { tensors.x } else { layers[l - 1].a };
        ops.push(Op::Matmul { form: Form::Tn, a: delta, b: input, bias: None, c: g.weight });
        if let Some(out) = g.bias {
            ops.push(Op::ColumnSums { delta, sign: layer.bias.sign(), out });
        }
        if let Some(below) = l.checked_sub(1).and_then(|l| layers[l].delta) {
            let (a, b) = (delta, t.weight);
            ops.push(Op::Matmul { form: Form::Nn, a, b, bias: None, c: below });
        }
    }
    let gradient = 0..ops.len();

    if let (Some([first, second]), Some(g)) = (tensors.state, tensors.gradients) {
        let (optimizer, decay, w) = (spec.optimizer, spec.weight_decay, tensors.plan.parameters);
        ops.push(Op::Update { optimizer, decay, w, g, first, second });
    }
    let step = 0..ops.len();

    p.ops = ops;
    p.routines = Routines { predict, evaluate, gradient, step };
    tensors.plan
}

/// The fused program: the same numbers from two ops, of which the first takes a block
/// of rows through the whole net while it lies in cache, and the second gives each part of the
/// parameters its gradient and its step.
#[must_use]
pub fn fused(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    let mut tensors = allocate(spec, batch, purpose, true);
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
            t: tensors.t,
            unit: tensors.plan.unit,
            gradient: tensors.output_gradient,
            scores: tensors.scores,
            block: block(batch),
            arena: tensors.arena,
            parameters: tensors.plan.parameters,
        }))
    };
    let accumulate = Op::Accumulate { scores: tensors.scores, sums: tensors.plan.sums };
    p.ops = vec![rows(Reach::Outputs), rows(Reach::Loss), accumulate.clone()];
    p.routines = Routines { predict: 0..1, evaluate: 1..3, ..Routines::default() };
    if let Some([first, second]) = tensors.state {
        let mut input = tensors.x;
        let mut gradients = Vec::new();
        for (layer, t) in spec.net.layers.iter().zip(&tensors.plan.layers) {
            let Some(delta) = t.delta else { continue };
            let bias = t.bias.map(|bias| (bias, layer.bias.sign()));
            gradients.push(ParameterGradient { delta, input, weight: t.weight, bias });
            input = t.a;
        }
        let update = GradientUpdate {
            layers: gradients,
            optimizer: spec.optimizer,
            decay: spec.weight_decay,
            state: [first, second],
            arena: tensors.arena,
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

/// The tensors of a spec before there are ops.
struct Tensors {
    plan: Plan,
    x: TensorId,
    t: TensorId,
    /// ∂E/∂A_L: (B, n_L); in training the last layer's δ, which is made from it in place.
    output_gradient: TensorId,
    scores: TensorId,
    /// What has a row for each row of the batch, where that shares a buffer.
    arena: TensorId,
    /// All gradients, where they are kept.
    gradients: Option<TensorId>,
    /// The two states of the optimiser, in training.
    state: Option<[TensorId; 2]>,
}

/// Parameters lie in one buffer, gradients in another, in the same places, so that one op updates
/// them all; everything else has a buffer of its own. With `in_arena`, what has a row for each row of
/// the batch shares one too, A takes the place of Z where the derivative follows from it, and no
/// gradient is kept.
fn allocate(spec: &Spec, batch: usize, purpose: Purpose, in_arena: bool) -> Tensors {
    let net = &spec.net;
    let training = purpose == Purpose::Train;
    let mut p = Program::new(batch);
    let (parameters, shared) = (0, 1);
    p.buffers = vec![0; 2];
    // A tensor with a row for each row of the batch.
    let transient = |p: &mut Program, name: String, cols: usize| {
        if in_arena {
            return p.add_to(shared, name, Role::Transient, Extent::Batch, cols);
        }
        p.add(name, Role::Transient, Extent::Batch, cols)
    };

    let x = transient(&mut p, "input".into(), net.inputs);
    let mut layers = Vec::new();
    for (l, (layer, (out, cols))) in net.layers.iter().zip(net.shapes()).enumerate() {
        let biased = layer.bias != Bias::None;
        let name = |what: &str| format!("layers.{l}.{what}");
        let mut pair = |buffer, role, suffix: &str| {
            let weight =
                p.add_to(buffer, name(&format!("weight{suffix}")), role, Extent::Fixed(out), cols);
            let bias = biased.then(|| {
                p.add_to(buffer, name(&format!("bias{suffix}")), role, Extent::Fixed(1), out)
            });
            (weight, bias)
        };
        let (weight, bias) = pair(parameters, Role::Parameter, "");
        let gradients = (training && !in_arena)
            .then(|| pair(shared, Role::Gradient, ".gradient"))
            .map(|(weight, bias)| LayerGradients { weight, bias });
        let z = transient(&mut p, name("z"), out);
        let same = match layer.activation {
            Units::Same(Activation::Identity) => true,
            Units::Same(activation) => in_arena && activation.derivative_follows_from_value(),
            _ => false,
        };
        let a = if same { z } else { transient(&mut p, name("a"), out) };
        let delta = training.then(|| transient(&mut p, name("delta"), out));
        layers.push(LayerTensors { weight, bias, z, a, delta, gradients });
    }

    let outputs = net.outputs();
    let output = layers.last().map_or(x, |t| t.a);
    let t = transient(&mut p, "target".into(), outputs);
    let scores = p.add("scores", Role::Transient, Extent::Batch, SCORES);
    let sums = p.add("sums", Role::Metric, Extent::Fixed(1), SCORES);
    let unit = p.add("unit", Role::Constant, Extent::Fixed(1), outputs);
    p.constants.push((unit, vec![1.0; outputs]));
    let output_gradient = match layers.last().and_then(|t| t.delta) {
        Some(delta) => delta,
        None => transient(&mut p, "output.gradient".into(), outputs),
    };
    let whole = p.add_whole(parameters, "parameters", Role::Parameter);
    // In the second buffer lies the one or the other.
    let (name, role) =
        if in_arena { ("arena", Role::Transient) } else { ("gradients", Role::Gradient) };
    let shared = p.add_whole(shared, name, role);
    let state = training.then(|| {
        let len = p.len(whole);
        let slots = spec.optimizer.state_slots();
        let mut state = |name, used: bool| {
            p.add(name, Role::State, Extent::Fixed(1), if used { len } else { 1 })
        };
        [state("optimizer.first", slots > 0), state("optimizer.second", slots > 1)]
    });
    let plan = Plan { program: p, layers, output, sums, unit, parameters: whole };
    let gradients = (training && !in_arena).then_some(shared);
    Tensors { plan, x, t, output_gradient, scores, arena: shared, gradients, state }
}

/// The functions of a layer's units, with their table on the device where they differ.
fn functions(p: &mut Program, layer: &Layer, z: TensorId) -> UnitFunctions {
    match &layer.activation {
        Units::Same(activation) => UnitFunctions::Same(*activation),
        Units::Each(each) => {
            let name = p.tensor(z).name.replace(".z", ".units");
            let table = p.find(&name).unwrap_or_else(|| {
                let table = p.add(name, Role::Constant, Extent::Fixed(each.len()), 2);
                p.constants.push((table, unit_table(each)));
                table
            });
            UnitFunctions::Each(each.clone(), table)
        }
        Units::Softmax => UnitFunctions::Same(Activation::Identity),
    }
}
