use super::*;
use crate::data::Storage;
use crate::kernels::fused::whole_net::Reach;
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::products::tile::Tuning;
use crate::kernels::tensor::{Extent, Role};
use crate::kernels::{Access, Arg};
use crate::math::activation::Activation;
use crate::math::embedding::Embedding;
use crate::math::loss::Loss;
use crate::math::optim::{Averaging, GradientEdits, Optimizer};
use crate::net::augment::Augment;
use crate::net::precision::Precision;
use crate::net::spec::{Net, Norm, PlanKind, Spec, Units};
use crate::plan::program::Routines;
use crate::plan::{self, Purpose, Traits};
use std::collections::BTreeSet;

/// Z and A of a layer, which may be one tensor.
fn in_place(op: &Op) -> Vec<[TensorId; 2]> {
    match op {
        Op::WholeNet(op) => {
            let active = op.layers.iter().filter(|l| l.functions.is_some());
            active.map(|l| [l.before_activation(), l.a]).collect()
        }
        Op::Dense(op) => vec![[op.z, op.a]],
        _ => Vec::new(),
    }
}

/// Programs that contain every op with more than one tensor.
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
        plan::plan(&spec(small()), 70, train, Traits::Cpu),
        plan::plan(&spec(small()), 70, train, Traits::GPU),
        plan::plan(&spec(small()), 1 << 17, train, Traits::GPU),
        plan::plan(&spec(hidden(Net::new(300)).layer(3, Units::Softmax)), 70, train, Traits::GPU),
        plan::plan(&spec(Net::new(300).layer(3, Units::Softmax)), 70, train, Traits::GPU),
        plan::plan(&spec(small()), 70, train, Traits::LAYERS),
        plan::plan(
            &spec(hidden(Net::new(5).embed(vec![Embedding::new(4, 2)]))),
            8,
            train,
            Traits::LAYERS,
        ),
        plan::plan(&spec(small()), 1 << 14, train, Traits::LAYERS),
        plan::plan(
            &spec(hidden(Net::new(5)).layer(600, Activation::Relu).layer(3, Activation::Sigmoid)),
            64,
            train,
            Traits::LAYERS,
        ),
        plan::plan(&half, 70, train, Traits::LAYERS),
        plan::watched(&spec(small()), 8).plan,
    ];
    plans.map(|plan| plan.program).to_vec()
}

/// Programs of the CPU, with ops that do more than a GPU's kernels.
fn programs_of_the_cpu() -> Vec<Program> {
    let net = || Net::new(5).layer(9, Activation::Gelu).layer(9, Activation::Relu);
    let spec = |net: Net| Spec::new(net.layer(3, Activation::Identity), Loss::SquaredError);
    let embedded = net().embed(vec![Embedding::new(4, 2); 2]);
    let edits = GradientEdits { l1: 0.1, clip_value: Some(1.0), ..Default::default() };
    let averaging = Averaging::Ema { decay: 0.9 };
    let clipped = GradientEdits { clip_global_norm: Some(1.0), ..Default::default() };
    let lamb = Optimizer::ALL.into_iter().find(|o| o.name() == "lamb").unwrap();
    let muon = Optimizer::ALL.into_iter().find(|o| o.name() == "muon").unwrap();
    let micro_batch = Some(4);
    let specs = [
        Spec { edits, averaging, micro_batch, ..spec(net()) },
        Spec { edits: clipped, micro_batch, ..spec(net().layer(9, Activation::Tanh)) },
        Spec { edits, mixup: Some(0.3), ..spec(embedded.clone()) },
        Spec { micro_batch, ..spec(embedded) },
        spec(net()).optimizer(lamb),
        spec(net()).optimizer(muon),
    ];
    let normalized = [Norm::Layer, Norm::Batch].map(|norm| {
        let mut spec = spec(net());
        spec.net = spec.net.norm(Some(norm)).residual(1);
        spec
    });
    let kept = normalized.clone().map(|mut spec| {
        spec.edits.clip_norm = Some(1.0);
        spec
    });
    let all = specs.into_iter().chain(normalized).chain(kept);
    all.map(|spec| plan::plan(&spec, 8, Purpose::Train, Traits::Cpu).program).collect()
}

fn kind(op: &Op) -> String {
    format!("{op:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_string()
}

#[test]
fn no_op_may_write_a_tensor_that_it_names_twice() {
    let mut seen = BTreeSet::new();
    for program in programs().into_iter().chain(programs_of_the_cpu()) {
        program.check().unwrap();
        // What a pass that ends at the loss names for the backward pass, it doesn't use.
        let ends_early = |op: &&Op| matches!(op, Op::WholeNet(net) if net.reach() < Reach::Deltas);
        for op in program.ops.iter().filter(|op| !ends_early(op)) {
            let tasks = program.effects(op);
            let touched: Vec<&Slice> = tasks.iter().flat_map(Task::touched).collect();
            let is_touched = |id| touched.iter().any(|slice| slice.tensor == id);
            let is_written =
                |id| tasks.iter().flat_map(Task::written).any(|slice| slice.tensor == id);
            // What an output adds up itself, it doesn't read as Z.
            let unused =
                usize::from(matches!(op, Op::Output(output) if output.partial_sums.is_some()));
            let places: Vec<TensorId> =
                op.clone().tensors_mut().into_iter().map(|id| *id).collect();
            for (i, &a) in places.iter().enumerate().skip(unused) {
                for (j, &b) in places.iter().enumerate().skip(unused) {
                    let allowed =
                        in_place(op).iter().any(|pair| pair.contains(&a) && pair.contains(&b));
                    if a == b
                        || !(is_written(a) || is_written(b))
                        || !(is_touched(a) && is_touched(b))
                        || allowed
                    {
                        continue;
                    }
                    let mut wrong = op.clone();
                    *wrong.tensors_mut()[j] = a;
                    let described = program.describe(op);
                    let name = |id| &program.tensor(id).name;
                    assert!(
                        program.check_op(&wrong).is_err(),
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
        "Nonfinite",
        "Normalize",
        "NormalizeGradient",
        "NormalizeSums",
        "Output",
        "Rescale",
        "WholeNet",
        "Softmax",
        "SoftmaxGradient",
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

/// Effects agree with the bindings of a device: what is written is in a writable binding, what is
/// read is in a binding, and no tensor is bound as writable that the op doesn't write.
#[test]
fn effects_are_what_launches_bind() {
    let inside = |slice: &Slice, bound: &[(TensorId, Range<usize>)], program: &Program| {
        let buffer = program.tensor(slice.tensor).buffer;
        let mut of_buffer: Vec<_> =
            bound.iter().filter(|(id, _)| program.tensor(*id).buffer == buffer).collect();
        of_buffer.sort_by_key(|(_, range)| range.start);
        let reach = of_buffer.iter().fold(slice.range.start, |reach, (_, range)| {
            if range.start <= reach { reach.max(range.end) } else { reach }
        });
        reach >= slice.range.end
    };
    for program in programs() {
        for op in &program.ops {
            let (mut bound, mut bound_to_write) = (Vec::new(), Vec::new());
            for launch in program.launches(op, Storage::default(), usize::MAX, &Tuning::default()) {
                for (arg, binding) in launch.args.iter().zip(launch.kernel.bindings) {
                    let (id, range) = match *arg {
                        Arg::Tensor(id) => (id, program.range(id, program.batch)),
                        Arg::Slice(id, start, len) => {
                            let first = program.tensor(id).offset + start;
                            (id, first..first + len)
                        }
                        _ => continue,
                    };
                    bound.push((id, range.clone()));
                    if binding.access == Access::ReadWrite {
                        bound_to_write.push((id, range));
                    }
                }
            }
            let text = program.describe(op);
            let tasks = program.effects(op);
            for slice in tasks.iter().flat_map(Task::written) {
                let name = &program.tensor(slice.tensor).name;
                assert!(inside(slice, &bound_to_write, &program), "{text}: {name} is written");
            }
            for slice in tasks.iter().flat_map(Task::read) {
                let name = &program.tensor(slice.tensor).name;
                assert!(inside(slice, &bound, &program), "{text}: {name} is read");
            }
            for (id, range) in bound_to_write {
                let slice = Slice { tensor: id, range };
                let written = tasks.iter().flat_map(Task::written);
                let name = &program.tensor(id).name;
                // Of a rule's states that it doesn't keep there is one element, which is bound nevertheless.
                let unused = program.tensor(id).role == Role::State && program.len(id) == 1;
                // The kernel of whole nets binds all, however far it goes.
                let unused = unused || matches!(op, Op::WholeNet(_));
                // The kernel that updates beside a δ binds what an update changes, also where there is none.
                let kept = program.tensor(id).role != Role::Transient;
                let unused = unused || (kept && matches!(op, Op::Backward(_)));
                assert!(
                    unused || written.into_iter().any(|w| program.overlap(w, &slice)),
                    "{text}: {name} is bound to be written"
                );
            }
        }
    }
}

/// Programs of two ops that are refused, each with its error.
#[test]
fn routines_that_use_what_is_not_there_are_refused() {
    let mut program = Program::new(4);
    let mut add = |name, role| program.add(name, role, Extent::Batch, 32);
    let (x, z, a) =
        (add("x", Role::Transient), add("z", Role::Transient), add("a", Role::Transient));
    let over = add("over", Role::Transient);
    let functions = UnitFunctions::Same(Activation::Tanh);
    let activation = |z, a| Op::Activation { functions: functions.clone(), z, a };
    let refused = |program: &Program, ops: Vec<Op>| {
        let predict = 0..ops.len();
        let routines = Routines { predict, ..Routines::default() };
        let program = Program { ops, routines, ..program.clone() };
        program.check().map_err(|error| error.to_string())
    };
    let sound = vec![Op::Gather { x: z }, activation(z, a)];
    refused(&program, sound.clone()).unwrap();
    // A dead read: Z was never written.
    let error = refused(&program, vec![Op::Gather { x }, activation(z, a)]).unwrap_err();
    assert!(error.contains("z is read before it is written") && error.contains("op 1"), "{error}");
    // A routine that goes on where there is no op.
    let routines = Routines { step: 0..3, ..Routines::default() };
    let beyond = Program { ops: sound, routines, ..program.clone() };
    assert!(beyond.check().unwrap_err().to_string().contains("op 2 of 2"));
    // An alias that lives too long: `over` has the place of Z, which is still to be read.
    let mut aliased = program.clone();
    aliased.tensors[over.0].buffer = aliased.tensors[z.0].buffer;
    let ops = vec![Op::Gather { x: z }, Op::Gather { x: over }, activation(z, a)];
    let error = refused(&aliased, ops).unwrap_err();
    assert!(error.contains("z is read where over was written over it"), "{error}");
    // Where Z was read before, it may.
    let ops = vec![Op::Gather { x: z }, activation(z, a), Op::Gather { x: over }];
    refused(&aliased, ops).unwrap();
}

/// δ_1 needs W_2, so W_2 may not change beside it, nor may two updates change one layer.
#[test]
fn updates_beside_what_reads_their_weights_are_refused() {
    let net = Net::new(5).layer(9, Activation::Relu).layer(9, Activation::Relu);
    let spec = Spec::new(net.layer(3, Activation::Identity), Loss::CrossEntropy);
    let program = plan::plan(&spec, 8, Purpose::Train, Traits::LAYERS).program;
    let changed = |change: &dyn Fn(&mut crate::kernels::products::backward::Backward)| {
        let mut program = program.clone();
        let steps = program.routines.step.clone();
        let backward = program.ops[steps].iter_mut().find_map(|op| match op {
            Op::Backward(backward) if backward.delta.is_some() && !backward.updates.is_empty() => {
                Some(backward)
            }
            _ => None,
        });
        change(backward.unwrap());
        program.check().map_err(|error| error.to_string())
    };
    changed(&|_| {}).unwrap();
    let error = changed(&|op| op.updates[0].weight = op.delta.as_ref().unwrap().weight);
    assert!(error.unwrap_err().contains("side by side"));
    let error = changed(&|op| op.updates.push(op.updates[0].clone()));
    assert!(error.unwrap_err().contains("side by side"));
    // There is no room for a third state.
    let amsgrad = Optimizer::ALL.into_iter().find(|o| o.name() == "amsgrad").unwrap();
    let error = changed(&|op| op.rule.optimizer = amsgrad);
    assert!(error.unwrap_err().contains("3 states, and room for 2"));
    // What is computed beside it isn't there yet.
    let error = changed(&|op| op.updates[0].delta = op.delta.as_ref().unwrap().out);
    assert!(error.unwrap_err().contains("side by side"));
}
