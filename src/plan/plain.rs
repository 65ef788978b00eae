//! The plain program, which people read to learn and the others are held against.

use super::update::update;
use super::{Layout, Plan, Purpose, allocate, functions};
use crate::kernels::matmul::Form;
use crate::program::{Op, Routines};
use crate::spec::{Spec, Units};

/// The plain program: the kernels that the mathematics names, one after the other.
///
/// Forward, for l = 1…L:    Z_l = A_{l−1} W_lᵀ ± b_l,  A_l = σ_l(Z_l)
/// Loss:                    ∂E/∂A_L
/// Backward, for l = L…1:   δ_l = ∂E/∂A_l ⊙ σ_l′(Z_l)   (for softmax Jᵀ ∂E/∂A_L)
///                          ∂E/∂W_l = δ_lᵀ A_{l−1},  ∂E/∂b_l = ± Σ_rows δ_l
///                          ∂E/∂A_{l−1} = δ_l W_l
/// Update:                  edits of the gradient, then all W, b by the optimiser
#[must_use]
pub fn plain(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    let mut tensors = allocate(spec, batch, purpose, Layout::Plain);
    let (t, gradient) =
        (tensors.transient("target", spec.net.outputs()), tensors.output_gradient());
    let update = update(spec, &mut tensors);
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

    let (loss, y, unit) = (spec.objective.loss, tensors.plan.output, tensors.plan.unit);
    let scores = tensors.scores;
    ops.push(Op::Targets { t });
    ops.push(Op::Loss { loss, y, t, unit, gradient, scores });
    ops.push(Op::Accumulate { scores, sums: tensors.plan.sums });
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
        if let Some(c) = l.checked_sub(1).and_then(|l| layers[l].delta) {
            let (a, b) = (delta, t.weight);
            ops.push(Op::Matmul { form: Form::Nn, a, b, bias: None, c });
        }
    }
    let gradient = 0..ops.len();

    ops.extend(update);
    let step = 0..ops.len();

    p.ops = ops;
    p.routines = Routines { predict, evaluate, gradient, step };
    tensors.plan
}
