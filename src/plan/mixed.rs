//! The program of mixed precision: three ops for each layer.

use super::{Layout, Plan, Purpose, Tensors, allocate, functions};
use crate::kernels::activation::UnitFunctions;
use crate::kernels::backward::Delta;
use crate::kernels::dense::Dense;
use crate::kernels::fused::ParameterGradient;
use crate::kernels::mixed::{Mixed, SCALE_STATE, Update};
use crate::kernels::output::Output;
use crate::program::{Op, Routines};
use crate::spec::{Spec, Units};
use crate::tensor::{Extent, Role, TensorId};

/// The program of mixed precision, 3L + 4 ops for a step of L layers (one more behind a softmax);
/// what is f16 in it, [`crate::kernels::mixed`] says:
///
/// Forward:                 X gathered; for l = 1…L: Z_l = A_{l−1} W_lᵀ ± b_l,  A_l = σ_l(Z_l)
/// Loss:                    δ_L and the scores, in f32; their sums; S δ_L
/// Backward, for l = L−1…1: S δ_l = (S δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l)
/// Update, for l = L…1:     W_l, b_l and W_l in f16, by S δ_lᵀ A_{l−1} / S
/// Last:                    S
///
/// No update stands beside a δ, as in the merged program: all wait for the last δ, which may still
/// overflow. Spec and net are such that [`Spec::check`] lets them through.
#[must_use]
pub fn mixed(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    let mut builder = Builder::new(spec, batch, purpose);
    let mut ops = builder.forward(None);
    let predict = 0..ops.len();
    ops.extend(builder.loss());
    let evaluate = 0..ops.len();
    let mut step = 0..0;
    if let (Some(states), Some(&last)) = (builder.tensors.state, builder.tensors.deltas.last()) {
        let start = ops.len();
        let loss_scale = builder.loss_scale();
        ops.extend(builder.forward(Some(loss_scale)));
        ops.extend(builder.loss());
        // In f32 as the loss gives it, in f16 as it goes back.
        let p = &mut builder.tensors.plan.program;
        let outputs = p.tensor(last).cols;
        let scaled = p.add("delta.scaled", Role::Transient, Extent::Batch, outputs);
        p.store_in_half(scaled);
        ops.push(Op::Mixed(Box::new(Mixed::Rescale { x: last, y: scaled, loss_scale })));
        let mut deltas = builder.tensors.deltas.clone();
        deltas.pop();
        deltas.push(scaled);
        ops.extend(builder.backward(&deltas, loss_scale));
        let [first, second, _] = states;
        ops.extend(builder.updates(&deltas, [first, second], loss_scale));
        let interval = spec.mixed.interval;
        ops.push(Op::Mixed(Box::new(Mixed::Scale { loss_scale, interval })));
        step = start..ops.len();
    }
    let p = &mut builder.tensors.plan.program;
    p.ops = ops;
    p.routines = Routines { predict, evaluate, step, ..Routines::default() };
    builder.tensors.finish(spec)
}

/// The tensors of the program, and what its ops are made from.
struct Builder<'a> {
    spec: &'a Spec,
    tensors: Tensors,
    /// σ of each layer; none for softmax.
    functions: Vec<Option<UnitFunctions>>,
    /// W of each layer in f16.
    shadows: Vec<TensorId>,
}

impl<'a> Builder<'a> {
    fn new(spec: &'a Spec, batch: usize, purpose: Purpose) -> Self {
        let mut tensors = allocate(spec, batch, purpose, Layout::Merged);
        let plan = &mut tensors.plan;
        let p = &mut plan.program;
        p.store_in_half(tensors.x);
        let hidden = plan.layers.len().saturating_sub(1);
        for layer in &plan.layers[..hidden] {
            let stored = [Some(layer.z), Some(layer.a), layer.delta];
            stored.into_iter().flatten().for_each(|id| p.store_in_half(id));
        }
        let mut shadows = Vec::new();
        for (layer, (out, cols)) in plan.layers.iter_mut().zip(spec.net.shapes()) {
            let name = format!("{}.f16", p.tensor(layer.weight).name);
            let shadow = p.add(name, Role::Shadow, Extent::Fixed(out), cols);
            p.store_in_half(shadow);
            layer.shadow = Some(shadow);
            shadows.push(shadow);
        }
        let layers = spec.net.layers.iter().zip(&plan.layers);
        let functions = layers
            .map(|(l, t)| (l.activation != Units::Softmax).then(|| functions(p, l, t.z)))
            .collect();
        Builder { spec, tensors, functions, shadows }
    }

    /// S and its counts, which a run begins with.
    fn loss_scale(&mut self) -> TensorId {
        let p = &mut self.tensors.plan.program;
        let loss_scale = p.add("loss_scale", Role::State, Extent::Fixed(1), SCALE_STATE);
        p.constants.push((loss_scale, vec![self.spec.mixed.scale, 0.0, 0.0, 0.0]));
        loss_scale
    }

    /// A_{l−1}.
    fn input(&self, l: usize) -> TensorId {
        l.checked_sub(1).map_or(self.tensors.x, |below| self.tensors.plan.layers[below].a)
    }

    fn bias(&self, l: usize) -> Option<(TensorId, f32)> {
        let sign = self.spec.net.layers[l].bias.sign();
        self.tensors.plan.layers[l].bias.map(|bias| (bias, sign))
    }

    /// Features to outputs; overflows are noted in `loss_scale`.
    fn forward(&self, loss_scale: Option<TensorId>) -> Vec<Op> {
        let mut ops = vec![Op::Mixed(Box::new(Mixed::Gather { x: self.tensors.x }))];
        for (l, t) in self.tensors.plan.layers.iter().enumerate() {
            let dense = Dense {
                input: self.input(l),
                gathers: false,
                weight: self.shadows[l],
                bias: self.bias(l),
                functions: self.functions[l].clone(),
                z: t.z,
                a: t.a,
                parts: None,
            };
            // What is f32 doesn't overflow.
            let is_last = l + 1 == self.shadows.len();
            let loss_scale = loss_scale.filter(|_| !is_last);
            ops.push(Op::Mixed(Box::new(Mixed::Dense { dense, loss_scale })));
            if self.functions[l].is_none() {
                ops.push(Op::Softmax { z: t.z, y: t.a });
            }
        }
        ops
    }

    /// The loss with its scores, and δ_L in training, all in f32.
    fn loss(&self) -> Vec<Op> {
        let Tensors { plan, scores, deltas, .. } = &self.tensors;
        let (Some(last), Some(functions)) = (plan.layers.last(), self.functions.last()) else {
            return vec![];
        };
        let output = Output {
            loss: self.spec.objective.loss,
            functions: functions.clone(),
            z: last.z,
            y: last.a,
            unit: plan.unit,
            delta: deltas.last().copied(),
            scores: *scores,
            parts: None,
        };
        vec![Op::Output(Box::new(output)), Op::Accumulate { scores: *scores, sums: plan.sums }]
    }

    /// Every δ below the last.
    fn backward(&self, deltas: &[TensorId], loss_scale: TensorId) -> Vec<Op> {
        let layers = &self.tensors.plan.layers;
        let below = (0..layers.len().saturating_sub(1)).rev();
        let delta = |l: usize| {
            let functions = self.functions[l].clone()?;
            let (above, weight) = (deltas[l + 1], self.shadows[l + 1]);
            let delta = Delta { above, weight, functions, z: layers[l].z, out: deltas[l] };
            Some(Op::Mixed(Box::new(Mixed::Delta { delta, loss_scale })))
        };
        below.filter_map(delta).collect()
    }

    /// Every update.
    fn updates(&self, deltas: &[TensorId], state: [TensorId; 2], loss_scale: TensorId) -> Vec<Op> {
        let layers = self.tensors.plan.layers.iter().enumerate().rev();
        let update = |(l, t): (usize, &crate::program::LayerTensors)| {
            let gradient = ParameterGradient {
                delta: deltas[l],
                input: self.input(l),
                weight: t.weight,
                bias: self.bias(l),
            };
            Op::Mixed(Box::new(Mixed::Update(Update {
                gradient,
                shadow: self.shadows[l],
                rule: self.tensors.rule,
                state,
                parameters: self.tensors.plan.parameters,
                loss_scale,
            })))
        };
        layers.map(update).collect()
    }
}
