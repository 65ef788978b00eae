//! The scale of an op's results: the largest sum of the magnitudes of the terms, if it sums
//! terms.

use super::Replay;
use crate::backend::{Values, ValuesMut};
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::kernels::fused::whole_net::WholeNet;
use crate::kernels::optim::gradient_update::ParameterGradient;
use crate::kernels::optim::optimizer::RuleStep;
use crate::kernels::products::backward::{Delta, Scaled};
use crate::kernels::products::dense::Dense;
use crate::kernels::products::matmul::{self, Form};
use crate::kernels::tensor::TensorId;
use crate::kernels::{Access, Step};
use crate::math::optim::UpdateRule;
use crate::plan::program::Op;

/// A product inside a fused op.
struct Product {
    /// Its result, to which a function may be applied.
    out: TensorId,
    left: TensorId,
    weight: TensorId,
    /// Whether each unit's row of weights is multiplied, as in a forward pass, or each column, as in a backward
    /// pass.
    forward: bool,
    bias: Option<TensorId>,
}

/// The products of a fused op whose results are the op's.
fn products(op: &Op) -> Vec<Product> {
    match op {
        Op::WholeNet(op) => fused(op),
        Op::Dense(op) => vec![dense(op)],
        Op::Backward(op) => op.delta.iter().map(delta).collect(),
        _ => Vec::new(),
    }
}

fn dense(op: &Dense) -> Product {
    let bias = op.bias.map(|(bias, _)| bias);
    Product { out: op.z, left: op.input, weight: op.weight, forward: true, bias }
}

fn delta(op: &Delta) -> Product {
    Product { out: op.out, left: op.above, weight: op.weight, forward: false, bias: None }
}

fn fused(op: &WholeNet) -> Vec<Product> {
    let inputs = std::iter::once(op.x).chain(op.layers.iter().map(|layer| layer.a));
    let forward = op.layers.iter().zip(inputs).skip(op.from).map(|(layer, left)| Product {
        out: layer.z,
        left,
        weight: layer.weight,
        forward: true,
        bias: layer.bias.map(|(bias, _)| bias),
    });
    let backward = op.layers.windows(2).filter_map(|pair| {
        let (out, left) = (pair[0].delta?, pair[1].delta?);
        Some(Product { out, left, weight: pair[1].weight, forward: false, bias: None })
    });
    let of_input = || {
        let (out, layer) = (op.embedded.as_ref()?.gradient?, op.layers.first()?);
        let (left, weight) = (layer.delta?, layer.weight);
        Some(Product { out, left, weight, forward: false, bias: None })
    };
    forward.chain(backward).chain(of_input()).collect()
}

/// A gradient inside an op, and the optimizer's rule applied to it there.
struct Updated<'a> {
    gradient: &'a ParameterGradient,
    rule: UpdateRule,
    state: [TensorId; 3],
    /// The loss scaling in mixed precision.
    scaled: Option<Scaled>,
}

/// The updates in an op that also computes their gradients.
fn updates(op: &Op) -> Vec<Updated<'_>> {
    match op {
        Op::Backward(op) if op.parts.is_none() => {
            let [first, second] = op.state;
            let state = [first, second, second];
            let of = |gradient| Updated { gradient, rule: op.rule, state, scaled: op.scaled };
            op.updates.iter().map(of).collect()
        }
        Op::GradientUpdate(op) => {
            let of = |gradient| Updated { gradient, rule: op.rule, state: op.state, scaled: None };
            op.layers.iter().map(of).collect()
        }
        _ => Vec::new(),
    }
}

impl Replay<'_> {
    /// The effect on each parameter, through the optimizer's step, of the error that a gradient's sums are
    /// always allowed, `floor` times the magnitudes of their terms: a rule that divides by the gradient
    /// amplifies it where the gradient is near 0.
    pub(super) fn floors_of_updates(
        &self,
        op: &Op,
        step: &Step,
        floor: f64,
    ) -> Vec<(TensorId, Vec<f64>)> {
        let rows = step.rows as usize;
        let value = |tensor| self.get(tensor).into_iter().map(f64::from).collect::<Vec<_>>();
        let mut floors = Vec::<(TensorId, Vec<f64>)>::new();
        for Updated { gradient, rule, state, scaled } in updates(op) {
            let scale = match scaled.map(|scaled| value(scaled.loss_scale)).as_deref() {
                // After an overflow nothing changes.
                Some([_, _, _, overflow]) if *overflow != 0.0 => continue,
                Some([scale, ..]) => *scale,
                _ => 1.0,
            };
            let [n, k] = [gradient.delta, gradient.input].map(|t| self.program.tensor(t).cols);
            let (delta, input) = (value(gradient.delta), value(gradient.input));
            let sums = |delta: &[f64], input: &[f64], k: usize| {
                let mut g = vec![0.0; n * k];
                let (delta, input) = (&delta[..rows * n], &input[..rows * k]);
                matmul::reference_rows(Form::Tn, [n, k, rows], delta, input, None, &mut g);
                g
            };
            let magnitudes = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
            let first = floors.len();
            let mut of = |parameter: TensorId, input: &[f64], k: usize, sign: f64| {
                let g = sums(&delta, input, k);
                let error = sums(&magnitudes(&delta), &magnitudes(input), k);
                let stepped = |by: f64| {
                    let g: Vec<f64> =
                        g.iter().zip(&error).map(|(g, e)| (sign * g + by * e) / scale).collect();
                    self.stepped(rule, state, step, parameter, &g)
                };
                let between = stepped(-floor).into_iter().zip(stepped(floor));
                floors.push((parameter, between.map(|(a, b)| (a - b).abs()).collect()));
            };
            of(gradient.weight, &input, k, 1.0);
            if let Some((bias, sign)) = gradient.bias {
                of(bias, &vec![1.0; rows], 1, sign.into());
            }
            let shadow = scaled.and_then(|scaled| scaled.shadow);
            if let (Some(shadow), Some((_, floor))) = (shadow, floors.get(first)) {
                floors.push((shadow, floor.clone()));
            }
        }
        floors
    }

    /// A parameter tensor after the optimizer's step by `g`, in f64.
    fn stepped(
        &self,
        rule: UpdateRule,
        state: [TensorId; 3],
        step: &Step,
        parameter: TensorId,
        g: &[f64],
    ) -> Vec<f64> {
        let value = |tensor| self.get(tensor).into_iter().map(f64::from).collect::<Vec<_>>();
        let start = self.program.tensor(parameter).offset;
        let mut w = value(parameter);
        let mut states = [0, 1, 2].map(|slot| match rule.optimizer.state_slots() > slot {
            true => value(state[slot])[start..start + w.len()].to_vec(),
            false => Vec::new(),
        });
        let [first, second, third] = &mut states;
        RuleStep::new(rule, step).apply(start, &mut w, g, [first, second, third]);
        w
    }

    /// The scales of those tensors whose elements `op` sums as intermediate results, from what it
    /// read and, in `value`, what it wrote.
    pub(super) fn scales_within(
        &self,
        op: &Op,
        rows: usize,
        value: impl Fn(TensorId) -> Vec<f64>,
    ) -> Vec<(TensorId, f64)> {
        let scale = |product: &Product| {
            let magnitudes = |tensor| value(tensor).into_iter().map(f64::abs).collect::<Vec<_>>();
            let (left, weight) = (magnitudes(product.left), magnitudes(product.weight));
            let bias = product.bias.map(magnitudes);
            let [n, k] = [product.out, product.left].map(|t| self.program.tensor(t).cols);
            let form = if product.forward { Form::Nt } else { Form::Nn };
            let mut sums = vec![0.0; rows * n];
            let bias = bias.as_deref().map(|bias| (bias, 1.0));
            matmul::reference_rows(form, [rows, n, k], &left[..rows * k], &weight, bias, &mut sums);
            sums.into_iter().fold(0.0, f64::max)
        };
        products(op).iter().map(|product| (product.out, scale(product))).collect()
    }

    /// The largest sum of the magnitudes of the terms, for an op that sums terms: the op itself
    /// applied to the magnitudes of its inputs.
    pub(super) fn scale(
        &mut self,
        i: usize,
        op: &Op,
        uses: &[(TensorId, Access)],
        step: &Step,
    ) -> Result<Option<f64>> {
        if !matches!(
            op,
            Op::Matmul { .. }
                | Op::ColumnSums { .. }
                | Op::EmbedGradient { .. }
                | Op::Accumulate { .. }
                | Op::NormalizeSums(_)
        ) {
            return Ok(None);
        }
        let (backend, data) = &mut self.backends[2];
        // A bias that is subtracted counts like one that is added.
        let subtracted = match op {
            Op::Matmul { bias: Some((bias, sign)), .. } if *sign < 0.0 => Some(*bias),
            _ => None,
        };
        for (tensor, _) in uses {
            let sign = if Some(*tensor) == subtracted { -1.0 } else { 1.0 };
            let values = self.values.get(tensor).into_iter().flatten();
            let magnitudes: Vec<f32> = values.map(|x| sign * x.abs()).collect();
            backend.write(*tensor, Values::F32(&magnitudes)).block_on()?;
        }
        backend.run(i..i + 1, *data, &[*step]).block_on()?;
        let mut largest = 0.0f64;
        for (tensor, _) in uses.iter().filter(|(_, access)| *access == Access::ReadWrite) {
            let mut values = vec![0.0; self.program.range(*tensor, step.rows as usize).len()];
            backend.read(*tensor, ValuesMut::F64(&mut values)).block_on()?;
            largest = values.iter().fold(largest, |m, x| m.max(x.abs()));
        }
        Ok(Some(largest))
    }
}
