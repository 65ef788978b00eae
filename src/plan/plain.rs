//! The plain program: the easiest to read, and the one that the others are compared with.

use super::average::average;
use super::tensors::{Tensors, allocate, functions};
use super::update::update;
use super::{Plan, Purpose};
use crate::kernels::inputs::embed::TableGradients;
use crate::kernels::layers::dropout::Dropout;
use crate::kernels::layers::norm::Normalized;
use crate::kernels::products::matmul::Form;
use crate::kernels::tensor::TensorId;
use crate::math::random::{Stream, stream_key};
use crate::net::augment::Augmentation;
use crate::net::spec::{Spec, Units};
use crate::plan::program::{EmbeddingTensors, LayerTensors, Op, Routines};

/// The plain program: one op for each mathematical operation, in order.
///
/// Forward, for l = 1…L:    Z_l = A_{l−1} W_lᵀ ± b_l,  A_l = σ_l(Z_l)
/// Loss:                    ∂E/∂A_L
/// Backward, for l = L…1:   δ_l = ∂E/∂A_l ⊙ σ_l′(Z_l)   (for softmax Jᵀ ∂E/∂A_L)
///                          ∂E/∂W_l = δ_lᵀ A_{l−1},  ∂E/∂b_l = ± Σ_rows δ_l
///                          ∂E/∂A_{l−1} = δ_l W_l
/// Update:                  edits of the gradient, then all W, b by the optimizer
///
/// If feature columns are embedded, they are first replaced by their rows of the tables, and
/// ∂E/∂A_0 gives the gradients of the tables. If a layer has them, normalization follows Z_l, then the
/// sum of a residual connection, and in training dropout follows A_l; the backward pass is the same
/// in reverse.
#[must_use]
pub fn plain(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    let mut tensors = allocate(spec, batch, purpose);
    let t = tensors.target(spec);
    // In training this becomes δ_L: the loss writes ∂E/∂A_L into it, and the backward pass multiplies it by σ′.
    let gradient = tensors.output_gradient();
    let update = update(spec, &mut tensors);
    let loss = |tensors: &Tensors, training: bool| {
        let (y, unit, scores) = (tensors.plan.output, tensors.plan.unit, tensors.scores);
        let sums = tensors.plan.sums;
        let mut ops = vec![Op::Targets { t }];
        ops.extend(mixup(spec, t).filter(|_| training));
        ops.push(Op::Loss { loss: spec.objective.loss, y, t, unit, gradient, scores });
        ops.push(Op::Accumulate { scores, sums });
        ops
    };

    let mut ops = forward(spec, &mut tensors, false);
    let predict = 0..ops.len();
    ops.extend(loss(&tensors, false));
    let evaluate = 0..ops.len();
    let mut routines = Routines { predict, evaluate: evaluate.clone(), ..Routines::default() };
    if tensors.plan.state.is_some() {
        // Training extends the same ops, or starts anew if its forward pass differs.
        let mut start = 0;
        routines.forward = evaluate;
        if spec.differs_in_training() {
            start = ops.len();
            ops.extend(forward(spec, &mut tensors, true));
            ops.extend(loss(&tensors, true));
            routines.forward = start..ops.len();
        }
        ops.extend(backward(spec, &mut tensors));
        routines.gradient = start..ops.len();
        if spec.accumulates() {
            let gradient = ops[start..].to_vec();
            let [micro_batch, last] = [false, true].map(|last| collect(&mut tensors, last));
            ops.push(micro_batch);
            routines.micro_batch = start..ops.len();
            start = ops.len();
            ops.extend(gradient);
            ops.push(last);
        }
        let behind = ops.len();
        ops.extend(update);
        routines.step = start..ops.len();
        routines.update = behind..ops.len();
    }
    tensors.plan.program.ops = ops;
    tensors.plan.program.routines = routines;
    // Extends the step and the update, or adds routines.
    average(spec, &mut tensors);
    tensors.plan
}

/// The op that accumulates the gradients of micro-batches: after each of them, or after the last.
fn collect(tensors: &mut Tensors, last: bool) -> Op {
    let (g, total) = (tensors.gradients(), tensors.collected());
    Op::Collect { g, total, last }
}

/// The forward pass: features to outputs, in training or not.
fn forward(spec: &Spec, tensors: &mut Tensors, training: bool) -> Vec<Op> {
    let embeddings = tensors.plan.embeddings.clone();
    let features = match embeddings.is_empty() {
        true => tensors.x,
        false => tensors.features(&spec.net),
    };
    let mut ops = vec![match augmentation(spec).filter(|_| training) {
        None => Op::Gather { x: features },
        Some(augmentation) => Op::Augment { augmentation, x: features },
    }];
    ops.extend(embeddings.iter().map(|&EmbeddingTensors { lookup, table, .. }| Op::Embed {
        lookup,
        features,
        table,
        x: tensors.x,
    }));
    let drop = |l: usize, x| {
        dropout(spec, l).filter(|_| training).map(|dropout| Op::Dropout { dropout, x })
    };
    ops.extend(mixup(spec, tensors.x).filter(|_| training));
    ops.extend(drop(0, tensors.x));
    let layers = tensors.plan.layers.clone();
    let x = tensors.x;
    let output = |l: usize| l.checked_sub(1).map_or(x, |l| layers[l].a);
    for (l, (layer, t)) in spec.net.layers.iter().zip(&layers).enumerate() {
        let bias = t.bias.map(|bias| (bias, layer.bias.sign()));
        ops.push(Op::Matmul { form: Form::Nt, a: output(l), b: t.weight, bias, c: t.z });
        ops.extend(normalise(t, training));
        if layer.skip > 0 {
            ops.push(Op::Add { y: output(l + 1 - layer.skip), x: before_activation(t) });
        }
        if layer.activation == Units::Softmax {
            ops.push(Op::Softmax { z: t.z, y: t.a });
        } else if t.a != before_activation(t) {
            let functions = functions(&mut tensors.plan.program, layer, t.z);
            ops.push(Op::Activation { functions, z: before_activation(t), a: t.a });
        }
        ops.extend(drop(l + 1, t.a));
    }
    ops
}

/// The augmentation of the images of a batch in training.
fn augmentation(spec: &Spec) -> Option<Augmentation> {
    let key = stream_key(spec.seed, Stream::Augment, 0);
    spec.augment.map(|(augment, shape)| Augmentation::new(&augment, shape, key))
}

/// The dropout of the outputs of layer `l`, counted from 1, or of the inputs, `l` = 0.
fn dropout(spec: &Spec, l: usize) -> Option<Dropout> {
    let rate = match l.checked_sub(1) {
        Some(l) => spec.net.layers[l].dropout,
        None => spec.net.input_dropout,
    };
    let key = stream_key(spec.seed, Stream::Dropout, l as u64);
    (rate > 0.0).then_some(Dropout { rate, key })
}

/// The op that mixes the rows of `x` in training (mixup).
fn mixup(spec: &Spec, x: TensorId) -> Option<Op> {
    spec.mixup.map(|_| Op::Mixup { x })
}

/// The input of a layer's activation: Z, or Z normalized.
fn before_activation(t: &LayerTensors) -> TensorId {
    t.norm.map_or(t.z, |norm| norm.forward.out)
}

/// The normalization of a layer: by the batch's own statistics in training, else by the running
/// ones.
fn normalise(t: &LayerTensors, training: bool) -> Vec<Op> {
    let Some(norm) = t.norm else { return vec![] };
    match (norm.running, norm.forward.statistics) {
        (Some(running), Some(statistics)) if training => vec![
            Op::BatchStatistics { z: t.z, statistics, running },
            Op::Normalize(Box::new(norm.forward)),
        ],
        (statistics, _) => vec![Op::Normalize(Box::new(Normalized { statistics, ..norm.forward }))],
    }
}

/// The backward pass: ∂E/∂A_L to the gradients of all parameters.
fn backward(spec: &Spec, tensors: &mut Tensors) -> Vec<Op> {
    let mut ops = Vec::new();
    let layers = tensors.plan.layers.clone();
    let embeddings = tensors.plan.embeddings.clone();
    let input_gradient = (!embeddings.is_empty()).then(|| {
        let width = spec.net.input_width();
        tensors.transient("input.gradient", width)
    });
    // The gradients through residual connections from the outputs of layer `l`, counted from 1, are added.
    let connected = |l: usize, x: TensorId| {
        let above = spec.net.layers.iter().zip(&layers).enumerate().skip(l);
        let from = above.filter(move |(at, (above, _))| above.skip > 0 && at + 1 == l + above.skip);
        from.filter_map(move |(_, (_, t))| t.delta.map(|y| Op::Add { y, x }))
    };
    for (l, layer) in spec.net.layers.iter().enumerate().rev() {
        let t = &layers[l];
        let (Some(mut delta), Some(g)) = (t.delta, t.gradients) else { break };
        ops.extend(connected(l + 1, delta));
        ops.extend(dropout(spec, l + 1).map(|dropout| Op::Dropout { dropout, x: delta }));
        if layer.activation == Units::Softmax {
            ops.push(Op::SoftmaxGradient { y: t.a, delta });
        } else if t.a != before_activation(t) {
            let functions = functions(&mut tensors.plan.program, layer, t.z);
            ops.push(Op::ActivationGradient { functions, z: before_activation(t), delta });
        }
        if let Some(backward) = t.norm.and_then(|norm| norm.backward) {
            ops.push(Op::NormalizeSums(Box::new(backward)));
            ops.push(Op::NormalizeGradient(Box::new(backward)));
            delta = backward.delta;
        }
        let input = if l == 0 { tensors.x } else { layers[l - 1].a };
        ops.push(Op::Matmul { form: Form::Tn, a: delta, b: input, bias: None, c: g.weight });
        if let Some(out) = g.bias {
            ops.push(Op::ColumnSums { delta, sign: layer.bias.sign(), out });
        }
        let below = l.checked_sub(1).map_or(input_gradient, |l| layers[l].delta);
        if let Some(c) = below {
            let (a, b) = (delta, t.weight);
            ops.push(Op::Matmul { form: Form::Nn, a, b, bias: None, c });
        }
    }
    let Some(gradient) = input_gradient else { return ops };
    ops.extend(connected(0, gradient));
    ops.extend(dropout(spec, 0).map(|dropout| Op::Dropout { dropout, x: gradient }));
    ops.extend(mixup(spec, gradient));
    let features = tensors.features(&spec.net);
    for EmbeddingTensors { lookup, gradient: of_table, .. } in embeddings {
        let Some(out) = of_table else { continue };
        let tables = TableGradients { each: vec![(lookup, out)], within: None };
        ops.push(Op::EmbedGradient { features, gradient, tables });
    }
    ops
}
