//! The tensors that an op names.

use super::Op;
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::layers::norm::{Normalized, NormalizedGradient};
use crate::kernels::mixed::Mixed;
use crate::kernels::optim::combine::Factors;
use crate::kernels::optim::edits::Edit;
use crate::kernels::optim::update::{Companions, NormParameters, NormSums, ParameterGradient};
use crate::kernels::products::backward::Delta;
use crate::kernels::products::dense::Dense;
use crate::kernels::tensor::TensorId;

impl Op {
    /// Every place where the op names a tensor.
    #[must_use]
    pub fn tensors_mut(&mut self) -> Vec<&mut TensorId> {
        fn each(functions: &mut UnitFunctions) -> Option<&mut TensorId> {
            match functions {
                UnitFunctions::Same(_) => None,
                UnitFunctions::Each(_, table) => Some(table),
            }
        }
        fn first(pair: &mut Option<(TensorId, f32)>) -> Option<&mut TensorId> {
            pair.as_mut().map(|(id, _)| id)
        }
        fn read_by(edit: &mut Edit) -> Option<&mut TensorId> {
            match edit {
                Edit::SignPenalty { w: other, .. }
                | Edit::ClipNorm { norm: other, .. }
                | Edit::Unit { norm: other } => Some(other),
                Edit::ClipValue { .. } | Edit::Noise { .. } => None,
            }
        }
        fn layer(l: &mut ParameterGradient) -> impl Iterator<Item = &mut TensorId> {
            [&mut l.delta, &mut l.input, &mut l.weight].into_iter().chain(first(&mut l.bias))
        }
        fn dense(d: &mut Dense) -> impl Iterator<Item = &mut TensorId> {
            let all = [&mut d.input, &mut d.weight, &mut d.z, &mut d.a].into_iter();
            let all = all.chain(first(&mut d.bias)).chain(&mut d.parts);
            all.chain(d.functions.as_mut().and_then(each))
        }
        fn normalized(n: &mut Normalized) -> impl Iterator<Item = &mut TensorId> {
            let all = [&mut n.z, &mut n.scale, &mut n.shift, &mut n.normal, &mut n.out];
            all.into_iter().chain(&mut n.statistics)
        }
        fn normalized_gradient(n: &mut NormalizedGradient) -> impl Iterator<Item = &mut TensorId> {
            let own = [&mut n.gradient, &mut n.scale, &mut n.shift, &mut n.delta];
            normalized(&mut n.of).chain(own)
        }
        fn norm(n: &mut NormParameters) -> impl Iterator<Item = &mut TensorId> {
            let sums = match &mut n.sums {
                NormSums::Given([scale, shift]) => [scale, shift],
                NormSums::Of { gradient, normal } => [gradient, normal],
            };
            [&mut n.scale, &mut n.shift].into_iter().chain(sums)
        }
        fn delta(d: &mut Delta) -> impl Iterator<Item = &mut TensorId> {
            let all = [&mut d.above, &mut d.weight, &mut d.z, &mut d.out];
            all.into_iter().chain(each(&mut d.functions))
        }
        match self {
            Op::Gather { x }
            | Op::Augment { x, .. }
            | Op::Targets { t: x }
            | Op::Mixup { x }
            | Op::Dropout { x, .. }
            | Op::MaxNorm { w: x, .. }
            | Op::Uniform { out: x, .. }
            | Op::Permutation { out: x } => vec![x],
            Op::Embed { features, table, x, .. } => vec![features, table, x],
            Op::SortIndices { features, order, spare, .. } => vec![features, order, spare],
            Op::EmbedGradient { order, gradient, out, .. } => vec![order, gradient, out],
            Op::TableGradient { features, gradient, out, .. } => vec![features, gradient, out],
            Op::Matmul { a, b, bias, c, .. } => [a, b, c].into_iter().chain(first(bias)).collect(),
            Op::Activation { functions, z, a } => {
                [z, a].into_iter().chain(each(functions)).collect()
            }
            Op::ActivationGradient { functions, z, delta } => {
                [z, delta].into_iter().chain(each(functions)).collect()
            }
            Op::Softmax { z, y } => vec![z, y],
            Op::SoftmaxGradient { y, delta } => vec![y, delta],
            Op::Loss { y, t, unit, gradient, scores, .. } => vec![y, t, unit, gradient, scores],
            Op::Accumulate { scores, sums } => vec![scores, sums],
            Op::ColumnSums { delta, out, .. } => vec![delta, out],
            Op::VectorNorm { x, partial, norm } => vec![x, partial, norm],
            Op::Edit { edit, g } => [g].into_iter().chain(read_by(edit)).collect(),
            Op::Update { w, g, state, .. } => [w, g].into_iter().chain(state).collect(),
            Op::Direction { w, g, state, u, .. } => [w, g, u].into_iter().chain(state).collect(),
            Op::Combine { factors, x, y } => match factors {
                Factors::Trust { norms } => [x, y].into_iter().chain(norms).collect(),
                Factors::Fixed(_) | Factors::Step { .. } => vec![x, y],
            },
            Op::Average { w, average, .. } => vec![w, average],
            Op::Swap { a, b } => vec![a, b],
            Op::Collect { g, total, .. } => vec![g, total],
            Op::Add { y, x } => vec![y, x],
            Op::BatchStatistics { z, statistics, running } => vec![z, statistics, running],
            Op::Normalize(n) => normalized(n).collect(),
            Op::NormalizeSums(n) | Op::NormalizeGradient(n) => normalized_gradient(n).collect(),
            Op::WholeNet(op) => {
                let mut all = vec![&mut op.x, &mut op.arena, &mut op.parameters];
                if let Some(of) = &mut op.loss {
                    all.extend([&mut of.t, &mut of.unit, &mut of.gradient, &mut of.scores]);
                }
                for l in &mut op.layers {
                    all.extend([&mut l.weight, &mut l.z, &mut l.a]);
                    all.extend(first(&mut l.bias).into_iter().chain(&mut l.delta));
                    all.extend(l.functions.as_mut().and_then(each));
                    if let Some(norm) = &mut l.norm {
                        all.extend(normalized(&mut norm.forward).chain(&mut norm.running));
                        all.extend(norm.backward.iter_mut().flat_map(normalized_gradient));
                    }
                    all.extend(&mut l.skip);
                }
                if let Some(embedded) = &mut op.embedded {
                    all.push(&mut embedded.features);
                    all.extend(embedded.tables.iter_mut().map(|(_, table)| table));
                    all.extend(&mut embedded.gradient);
                }
                all
            }
            Op::GradientUpdate(op) => {
                let mut all = vec![&mut op.arena, &mut op.parameters];
                all.extend(op.layers.iter_mut().flat_map(layer).chain(&mut op.state));
                all.extend(op.scores.iter_mut().flatten());
                all.extend(op.norms.iter_mut().flat_map(norm));
                let Companions { collected, direction, average, .. } = &mut op.with;
                all.extend(collected.iter_mut().chain(direction));
                all.extend(average.iter_mut().map(|(_, average)| average));
                all
            }
            Op::GradientParts(op) => {
                let mut all = vec![&mut op.arena, &mut op.parts];
                all.extend(op.layers.iter_mut().flat_map(layer));
                all.extend(op.scores.iter_mut().flatten());
                all.extend(op.norms.iter_mut().flat_map(norm));
                all.extend(&mut op.collected);
                all
            }
            Op::SumUpdate(op) => {
                let all = [&mut op.parts, &mut op.parameters].into_iter().chain(&mut op.state);
                all.chain(op.scores.iter_mut().flatten()).collect()
            }
            Op::Dense(op) => dense(op).collect(),
            Op::Output(op) => {
                let mut all = vec![&mut op.z, &mut op.y, &mut op.unit, &mut op.scores];
                all.extend(&mut op.delta);
                if let Some(parts) = &mut op.parts {
                    all.push(&mut parts.sums);
                    all.extend(first(&mut parts.bias));
                }
                all.extend(op.functions.as_mut().and_then(each));
                all
            }
            Op::Backward(op) => {
                let mut all: Vec<_> = op.updates.iter_mut().flat_map(layer).collect();
                all.extend(op.state.iter_mut().chain([&mut op.parameters]));
                all.extend(op.parts.iter_mut().map(|parts| &mut parts.sums));
                all.extend(op.delta.iter_mut().flat_map(delta));
                all
            }
            Op::Mixed(op) => match &mut **op {
                Mixed::Gather { x } => vec![x],
                Mixed::Dense { dense: op, loss_scale } => dense(op).chain(loss_scale).collect(),
                Mixed::Rescale { x, y, loss_scale } => vec![x, y, loss_scale],
                Mixed::Delta { delta: d, loss_scale } => delta(d).chain([loss_scale]).collect(),
                Mixed::Update(op) => {
                    let all = layer(&mut op.gradient).chain(&mut op.state);
                    let others = [&mut op.shadow, &mut op.parameters, &mut op.loss_scale];
                    all.chain(others).collect()
                }
                Mixed::Scale { loss_scale, .. } => vec![loss_scale],
            },
            Op::Nonfinite { x, found } => vec![x, found],
        }
    }
}
