//! The update of the plain program: edits of the gradients, then the optimizer.
//!
//! LAMB and Muon need whole tensors: their steps are ops of several kinds.

use super::tensors::Tensors;
use crate::kernels::optim::combine::Factors;
use crate::kernels::optim::edits::Edit;
use crate::kernels::optim::vector_norm::CHUNK;
use crate::kernels::products::matmul::Form;
use crate::kernels::tensor::{Extent, Role, TensorId};
use crate::math::optim::lbfgs::HISTORY;
use crate::math::optim::{
    MUON_ADAMW, MUON_ADAMW_SHARE, MUON_COEFFICIENTS, MUON_ITERATIONS, Optimizer, UpdateRule,
};
use crate::math::random::{Stream, stream_key};
use crate::net::spec::Spec;
use crate::plan::program::{Op, Program};

/// The ops after the gradients of a training step; none in a program without gradients.
pub(super) fn update(spec: &Spec, tensors: &mut Tensors) -> Vec<Op> {
    let Some(state) = tensors.plan.state else { return Vec::new() };
    let g = tensors.gradients();
    let mut ops = edits(spec, tensors, g);
    let (rule, w) = (tensors.rule, tensors.plan.parameters);
    match spec.optimizer {
        Optimizer::Lamb { .. } => {
            let (u, steps) = lamb(tensors);
            ops.push(Op::Direction { rule, w, g, state: [state[0], state[1]], at: 0, u });
            ops.extend(steps);
        }
        Optimizer::Muon { .. } => ops.extend(muon(tensors, g, state)),
        Optimizer::Lbfgs => add_history(tensors),
        _ => {
            let range = 0..tensors.plan.program.len(w);
            ops.push(Op::Update { rule, w, g, state, range });
        }
    }
    ops.extend(max_norm(spec, tensors));
    ops
}

/// The ops that keep weights within their largest norm, after a step.
fn max_norm(spec: &Spec, tensors: &Tensors) -> impl Iterator<Item = Op> {
    let layers = tensors.plan.layers.iter();
    let limit = spec.max_norm;
    layers.filter_map(move |t| limit.map(|limit| Op::MaxNorm { w: t.weight, limit }))
}

/// The edits of the gradients `g` of all parameters, in the order of
/// [`crate::math::optim::GradientEdits`].
fn edits(spec: &Spec, tensors: &mut Tensors, g: TensorId) -> Vec<Op> {
    let edits = &spec.edits;
    let p = &mut tensors.plan.program;
    let each: Vec<TensorId> = p.inside(g).collect();
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
        // Not in one op: the padding between the tensors must stay 0, for norms.
        for g in each {
            let first = p.tensor(g).offset;
            ops.push(Op::Edit { edit: Edit::Noise { variance: edits.noise, key, first }, g });
        }
    }
    ops
}

/// The step of LAMB: the tensor of the directions of all parameters, and the ops that step along them by the
/// trust ratio of each tensor.
fn lamb(tensors: &mut Tensors) -> (TensorId, Vec<Op>) {
    let w = tensors.plan.parameters;
    let p = &mut tensors.plan.program;
    // At the offsets of the parameters.
    let buffer = p.buffers.len();
    p.buffers.push(0);
    let mut steps = Vec::new();
    let parameters: Vec<TensorId> = p.inside(w).collect();
    let along: Vec<TensorId> = parameters
        .iter()
        .map(|&id| {
            let t = p.tensor(id);
            let (name, rows, cols) = (format!("{}.direction", t.name), t.rows, t.cols);
            p.add_to(buffer, name, Role::Transient, rows, cols)
        })
        .collect();
    let u = p.add_whole(buffer, "directions", Role::Transient);
    for (x, y) in parameters.into_iter().zip(along) {
        let norms = [x, y].map(|x| {
            let [partial, norm] = norm_tensors(p, x);
            steps.push(Op::VectorNorm { x, partial, norm });
            norm
        });
        steps.push(Op::Combine { factors: Factors::Trust { norms }, x, y });
    }
    (u, steps)
}

/// The step of Muon on all weight matrices but the output layer's, and AdamW on the parameters
/// after those.
fn muon(tensors: &mut Tensors, g: TensorId, state: [TensorId; 3]) -> Vec<Op> {
    let rule = tensors.rule;
    let Some((output, hidden)) = tensors.plan.layers.split_last() else { return Vec::new() };
    let p = &mut tensors.plan.program;
    let mut ops = Vec::new();
    for layer in hidden {
        let (w, Some(gradients)) = (layer.weight, layer.gradients) else { continue };
        let (name, at) = (p.tensor(w).name.clone(), p.tensor(w).offset);
        let (rows, cols) = (p.tensor(w).rows.rows(0), p.tensor(w).cols);
        let mut add = |what: &str, rows: usize, cols: usize| {
            p.add(format!("{name}.{what}"), Role::Transient, Extent::Fixed(rows), cols)
        };
        let u = add("direction", rows, cols);
        let side = rows.min(cols);
        let scratch =
            [add("gram", side, side), add("gram.squared", side, side), add("next", rows, cols)];
        let of = [state[0], state[1]];
        ops.push(Op::Direction { rule, w, g: gradients.weight, state: of, at, u });
        let [partial, norm] = norm_tensors(p, u);
        ops.push(Op::VectorNorm { x: u, partial, norm });
        ops.push(Op::Edit { edit: Edit::Unit { norm }, g: u });
        for _ in 0..MUON_ITERATIONS {
            ops.extend(newton_schulz(u, scratch, rows <= cols));
        }
        let scale = (rows as f32 / cols as f32).max(1.0).sqrt();
        let factors = Factors::Step { decay: rule.decay, scale };
        ops.push(Op::Combine { factors, x: w, y: u });
    }
    let decay = rule.decay * MUON_ADAMW_SHARE;
    let rule = UpdateRule { optimizer: MUON_ADAMW, decay, ..rule };
    let w = tensors.plan.parameters;
    let range = p.tensor(output.weight).offset..p.len(w);
    ops.push(Op::Update { rule, w, g, state, range });
    ops
}

/// Room for the changes of w and g that L-BFGS keeps. Its steps are driven by the host.
fn add_history(tensors: &mut Tensors) {
    let w = tensors.plan.parameters;
    let p = &mut tensors.plan.program;
    for slot in 0..HISTORY {
        for which in ["s", "y"] {
            let name = format!("optimizer.history.{slot}.{which}");
            p.add(name, Role::State, Extent::Fixed(1), p.len(w));
        }
    }
}

/// X ← a X + (b A + c A²) X with A = X Xᵀ where X is `wide`, or else X (b A + c A²) with A = Xᵀ X,
/// which is the same with smaller products.
fn newton_schulz(x: TensorId, [gram, square, next]: [TensorId; 3], wide: bool) -> [Op; 5] {
    let [a, b, c] = MUON_COEFFICIENTS;
    let product = |form, a, b, c| Op::Matmul { form, a, b, bias: None, c };
    let combine = |factors, x, y| Op::Combine { factors: Factors::Fixed(factors), x, y };
    let (form, [left, right]) = match wide {
        true => (Form::Nt, [gram, x]),
        false => (Form::Tn, [x, gram]),
    };
    [
        product(form, x, x, gram),
        product(Form::Nn, gram, gram, square),
        combine([b, c], gram, square),
        product(Form::Nn, left, right, next),
        combine([a, 1.0], x, next),
    ]
}

/// The partial sums and the norm of `x`.
fn norm_tensors(p: &mut Program, x: TensorId) -> [TensorId; 2] {
    let name = p.tensor(x).name.clone();
    let chunks = p.len(x).div_ceil(CHUNK);
    let one = Extent::Fixed(1);
    let partial = p.add(format!("{name}.squares"), Role::Transient, one, chunks);
    [partial, p.add(format!("{name}.norm"), Role::Transient, one, 1)]
}
