use super::*;
use crate::activation::Activation;
use crate::augment::Augment;
use crate::embedding::Embedding;
use crate::kernels::activation::UnitFunctions;
use crate::kernels::combine::Factors;
use crate::kernels::edits::Edit;
use crate::loss::Loss;
use crate::optim::{Averaging, GradientEdits, Optimizer};
use crate::plan::{self, Purpose};
use crate::precision::Precision;
use crate::spec::{Net, Norm, PlanKind, Spec, Units};
use crate::tensor::{Extent, Role};
use std::collections::BTreeSet;

/// Every place of an op where a tensor is named.
fn tensors(op: &mut Op) -> Vec<&mut TensorId> {
    fn each(functions: &mut UnitFunctions) -> Option<&mut TensorId> {
        match functions {
            UnitFunctions::Same(_) => None,
            UnitFunctions::Each(_, table) => Some(table),
        }
    }
    fn first(pair: &mut Option<(TensorId, f32)>) -> Option<&mut TensorId> {
        pair.as_mut().map(|(id, _)| id)
    }
    fn layer(l: &mut ParameterGradient) -> impl Iterator<Item = &mut TensorId> {
        [&mut l.delta, &mut l.input, &mut l.weight].into_iter().chain(first(&mut l.bias))
    }
    match op {
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
        Op::Matmul { a, b, bias, c, .. } => [a, b, c].into_iter().chain(first(bias)).collect(),
        Op::Activation { functions, z, a } => [z, a].into_iter().chain(each(functions)).collect(),
        Op::ActivationGradient { functions, z, delta } => {
            [z, delta].into_iter().chain(each(functions)).collect()
        }
        Op::Softmax { z, y } => vec![z, y],
        Op::SoftmaxGradient { y, delta } => vec![y, delta],
        Op::Loss { y, t, unit, gradient, scores, .. } => vec![y, t, unit, gradient, scores],
        Op::Accumulate { scores, sums } => vec![scores, sums],
        Op::ColumnSums { delta, out, .. } => vec![delta, out],
        Op::VectorNorm { x, partial, norm } => vec![x, partial, norm],
        Op::Edit { edit, g } => match edit {
            Edit::SignPenalty { w: other, .. }
            | Edit::ClipNorm { norm: other, .. }
            | Edit::Unit { norm: other } => vec![g, other],
            Edit::ClipValue { .. } | Edit::Noise { .. } => vec![g],
        },
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
        Op::Normalize(n) => {
            let all = [&mut n.z, &mut n.scale, &mut n.shift, &mut n.normal, &mut n.out];
            all.into_iter().chain(&mut n.statistics).collect()
        }
        Op::NormalizeSums(n) | Op::NormalizeGradient(n) => {
            let of = [&mut n.of.z, &mut n.of.scale, &mut n.of.normal];
            let all = of.into_iter().chain(&mut n.of.statistics);
            all.chain([&mut n.gradient, &mut n.scale, &mut n.shift, &mut n.delta]).collect()
        }
        Op::Rows(op) => {
            let mut all = vec![&mut op.x, &mut op.t, &mut op.unit, &mut op.gradient];
            all.extend([&mut op.scores, &mut op.arena, &mut op.parameters]);
            for l in &mut op.layers {
                all.extend([&mut l.weight, &mut l.z, &mut l.a]);
                all.extend(first(&mut l.bias).into_iter().chain(&mut l.delta));
            }
            all
        }
        Op::GradientUpdate(op) => {
            let all = op.layers.iter_mut().flat_map(layer).chain(&mut op.state);
            all.chain([&mut op.arena, &mut op.parameters])
                .chain(op.scores.iter_mut().flatten())
                .collect()
        }
        Op::GradientParts(op) => {
            let all = op.layers.iter_mut().flat_map(layer).chain(&mut op.scores);
            all.chain([&mut op.arena, &mut op.parts]).collect()
        }
        Op::SumUpdate(op) => {
            let all = [&mut op.parts, &mut op.parameters].into_iter().chain(&mut op.state);
            all.chain(op.scores.iter_mut().flatten()).collect()
        }
        Op::Dense(op) => {
            let all = [&mut op.input, &mut op.weight, &mut op.z, &mut op.a];
            all.into_iter().chain(first(&mut op.bias)).chain(&mut op.parts).collect()
        }
        Op::Output(op) => {
            let mut all = vec![&mut op.z, &mut op.y, &mut op.unit, &mut op.scores];
            all.extend(&mut op.delta);
            if let Some(parts) = &mut op.parts {
                all.push(&mut parts.sums);
                all.extend(first(&mut parts.bias));
            }
            all
        }
        Op::Backward(op) => {
            let mut all: Vec<_> = op.updates.iter_mut().flat_map(layer).collect();
            all.extend(op.state.iter_mut().chain([&mut op.parameters]));
            all.extend(op.parts.iter_mut().map(|parts| &mut parts.sums));
            if let Some(d) = &mut op.delta {
                all.extend([&mut d.above, &mut d.weight, &mut d.z, &mut d.out]);
            }
            all
        }
        Op::Mixed(op) => match &mut **op {
            Mixed::Gather { x } => vec![x],
            Mixed::Dense { dense: op, loss_scale } => {
                let all = [&mut op.input, &mut op.weight, &mut op.z, &mut op.a];
                all.into_iter().chain(first(&mut op.bias)).chain(loss_scale).collect()
            }
            Mixed::Rescale { x, y, loss_scale } => vec![x, y, loss_scale],
            Mixed::Delta { delta: d, loss_scale } => {
                vec![&mut d.above, &mut d.weight, &mut d.z, &mut d.out, loss_scale]
            }
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

/// Z and A of a layer, which may be one tensor.
fn in_place(op: &Op) -> Vec<[TensorId; 2]> {
    match op {
        Op::Rows(op) => {
            op.layers.iter().filter(|l| l.functions.is_some()).map(|l| [l.z, l.a]).collect()
        }
        Op::Dense(op) => vec![[op.z, op.a]],
        Op::Mixed(op) => match &**op {
            Mixed::Dense { dense, .. } => vec![[dense.z, dense.a]],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Programs in which every op occurs that names more than one tensor.
fn programs() -> Vec<Program> {
    let hidden = |net: Net| net.layer(9, Activation::Gelu).layer(9, Activation::Relu);
    let small = || hidden(Net::new(5)).layer(3, Units::Softmax);
    let spec = |net: Net| Spec::new(net, Loss::CrossEntropyProbabilities);
    let each = Units::Each(vec![Activation::Tanh, Activation::Relu]);
    let everything = Spec {
        averaging: Averaging::Ema { decay: 0.9 },
        edits: GradientEdits { l1: 0.1, clip_norm: Some(1.0), noise: 0.1, ..Default::default() },
        mixup: Some(0.3),
        batch_size: 600,
        micro_batch: Some(300),
        ..spec(
            hidden(Net::new(5).embed(vec![Embedding::new(4, 2); 2]))
                .layer(2, each)
                .norm(Some(Norm::Layer))
                .residual(1)
                .layer(3, Units::Softmax),
        )
    };
    let lamb = Optimizer::ALL.into_iter().find(|o| o.name() == "lamb").unwrap();
    let muon = Optimizer::ALL.into_iter().find(|o| o.name() == "muon").unwrap();
    let plain = |spec: Spec| Spec { plan: PlanKind::Plain, ..spec };
    let augment: Augment = "shift(1)".parse().unwrap();
    let images = Spec { augment: Some((augment, [2, 2, 1])), ..spec(hidden(Net::new(4))) };
    let half = Spec { precision: Precision::F16, ..spec(small()) };
    let train = Purpose::Train;
    let plans = [
        plan::plain(&plain(everything), 300, train),
        plan::plain(
            &plain(Spec { max_norm: Some(1.0), ..spec(small()) }.optimizer(lamb)),
            8,
            train,
        ),
        plan::plain(
            &plain(spec(small().norm(Some(Norm::Batch)).dropout(0.1)).optimizer(muon)),
            8,
            train,
        ),
        plan::plain(&images, 8, train),
        plan::fused(&spec(small()), 70, train),
        plan::rows(&spec(small()), 70, train),
        plan::rows(&spec(small()), 1 << 17, train),
        plan::rows(&spec(hidden(Net::new(300)).layer(3, Units::Softmax)), 70, train),
        plan::merged(&spec(small()), 70, train),
        plan::merged(&spec(small()), 1 << 14, train),
        plan::merged(
            &spec(hidden(Net::new(5)).layer(600, Activation::Relu).layer(3, Activation::Sigmoid)),
            64,
            train,
        ),
        plan::mixed(&half, 70, train),
        plan::watched(&spec(small()), 8).plan,
    ];
    plans.map(|plan| plan.program).to_vec()
}

fn kind(op: &Op) -> String {
    let name =
        |text: String| text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_string();
    match op {
        Op::Mixed(op) => format!("Mixed::{}", name(format!("{op:?}"))),
        op => name(format!("{op:?}")),
    }
}

#[test]
fn no_op_may_write_a_tensor_that_it_names_twice() {
    let mut seen = BTreeSet::new();
    for program in programs() {
        program.check().unwrap();
        for op in &program.ops {
            let (bound, named) = (program.uses(op), named(op));
            let has = |uses: &[(TensorId, Access)], id| uses.iter().any(|(other, _)| *other == id);
            let used = [&bound[..], &named].concat();
            let is_written = |id| used.contains(&(id, Access::ReadWrite));
            let places: Vec<TensorId> =
                tensors(&mut op.clone()).into_iter().map(|id| *id).collect();
            for (i, &a) in places.iter().enumerate() {
                for (j, &b) in places.iter().enumerate() {
                    let apart = |a, b| {
                        let (x, y) =
                            (program.range(a, program.batch), program.range(b, program.batch));
                        let same = program.tensor(a).buffer == program.tensor(b).buffer;
                        !(same && x.start < y.end && y.start < x.end)
                    };
                    let allowed =
                        in_place(op).iter().any(|pair| pair.contains(&a) && pair.contains(&b));
                    // A buffer in place of which a tensor in another one is bound.
                    let is_buffer = !named.is_empty() && !has(&named, b) && !has(&bound, a);
                    if !(is_written(a) || is_written(b))
                        || !has(&used, a)
                        || !has(&used, b)
                        || !apart(a, b)
                        || allowed
                        || is_buffer
                    {
                        continue;
                    }
                    let mut wrong = op.clone();
                    *tensors(&mut wrong)[j] = a;
                    let described = program.describe(op);
                    let changed = Program { ops: vec![wrong], ..program.clone() };
                    let name = |id| &program.tensor(id).name;
                    assert!(
                        changed.check().is_err(),
                        "{described}: {} at {j} for {} as at {i}",
                        name(a),
                        name(b)
                    );
                    seen.insert(kind(op));
                }
            }
        }
    }
    let expected = [
        "Accumulate",
        "Activation",
        "ActivationGradient",
        "Add",
        "Average",
        "Backward",
        "BatchStatistics",
        "Collect",
        "ColumnSums",
        "Combine",
        "Dense",
        "Direction",
        "Edit",
        "Embed",
        "EmbedGradient",
        "GradientParts",
        "GradientUpdate",
        "Loss",
        "Matmul",
        "Mixed::Delta",
        "Mixed::Dense",
        "Mixed::Rescale",
        "Mixed::Update",
        "Nonfinite",
        "Normalize",
        "NormalizeGradient",
        "NormalizeSums",
        "Output",
        "Rows",
        "Softmax",
        "SoftmaxGradient",
        "SortIndices",
        "SumUpdate",
        "Swap",
        "Update",
        "VectorNorm",
    ];
    assert_eq!(seen, expected.map(String::from).into());
}

#[test]
fn an_op_that_writes_what_it_reads_is_refused_with_its_place() {
    let mut program = Program::new(4);
    let mut add = |name| program.add(name, Role::Transient, Extent::Batch, 3);
    let (z, a) = (add("z"), add("a"));
    let op = |a| Op::Activation { functions: UnitFunctions::Same(Activation::Tanh), z, a };
    program.ops = vec![op(a)];
    program.check().unwrap();
    program.ops = vec![op(a), op(z)];
    let error = program.check().unwrap_err().to_string();
    assert!(error.contains("overlaps") && error.contains("op 1"), "{error}");
    program.ops = vec![Op::Swap { a, b: a }];
    let error = program.check().unwrap_err().to_string();
    assert!(error.contains("overlaps") && error.contains("op 0"), "{error}");
}
