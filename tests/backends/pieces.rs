//! The ops up to the gradients in pieces: the bits of all ops at once, and each gradient is final with its bucket.

use crate::common::{Shared, cpu32, first_rows, gpu, random_data, random_weights, unscaled};
use pollster::FutureExt as _;
use wgrad::backend::Backend;
use wgrad::kernels::Step;
use wgrad::math::embedding::Embedding;
use wgrad::net::spec::{Net, Norm, PlanKind, Spec};
use wgrad::plan::program::Task;
use wgrad::plan::{self, Piece, Plan, Purpose, Traits};
use wgrad::{Activation, Loss};

fn spec(net: Net, batch_size: usize) -> Spec {
    Spec { batch_size, ..Spec::new(net, Loss::SquaredError) }
}

fn net(inputs: usize) -> Net {
    let hidden = Net::new(inputs).layer(32, Activation::Relu).layer(32, Activation::Tanh);
    hidden.layer(9, Activation::Relu).layer(3, Activation::Identity)
}

fn specs() -> Vec<(&'static str, Spec)> {
    let embedded = Net {
        layers: net(6).layers,
        ..Net::new(6).embed(vec![Embedding::new(11, 3), Embedding::new(30, 2)])
    };
    let mut connected = net(5).dropout(0.3);
    connected.layers[1].skip = 1;
    vec![
        ("a first layer that lies packed", spec(net(7), 20)),
        ("dropout and a residual connection", spec(connected, 33)),
        ("layer norm", spec(net(5).norm(Some(Norm::Layer)), 20)),
        ("batch norm", spec(net(5).norm(Some(Norm::Batch)), 20)),
        ("tables", spec(embedded, 12)),
        (
            "a long batch by chunks",
            spec(Net::new(6).layer(8, Activation::Tanh).layer(2, Activation::Identity), 512),
        ),
        (
            "fused layers",
            spec(
                Net::new(9)
                    .layer(600, Activation::Relu)
                    .layer(17, Activation::Tanh)
                    .layer(3, Activation::Identity),
                24,
            ),
        ),
        ("the plain plan", Spec { plan: PlanKind::Plain, ..spec(net(5), 20) }),
    ]
}

fn planned(spec: &Spec, traits: Traits) -> Plan {
    plan::plan(spec, spec.batch_size, Purpose::TrainWithHook, traits)
}

/// The gradients of a full batch and of a ragged one: those of each piece are read when it has run.
fn gradients(device: &Shared, spec: &Spec, plan: &Plan, pieces: &[Piece]) -> Vec<Vec<u64>> {
    let mut device = device.clone();
    let data =
        random_data(Loss::SquaredError, spec.batch_size, spec.net.inputs, spec.net.outputs(), 1);
    let data = device.start(&plan.program, &unscaled(&data));
    device.set_weights(plan, &random_weights(spec));
    let all = plan.program.find("gradients").unwrap();
    let mut run = |step: &Step| {
        let mut found = vec![u64::MAX; plan.program.len(all)];
        for Piece { ops, bucket } in pieces {
            if !ops.is_empty() {
                device.run(ops.clone(), data, &[*step]).block_on().unwrap();
            }
            let now = device.get(&plan.program, all, 0);
            found[bucket.clone()]
                .iter_mut()
                .zip(&now[bucket.clone()])
                .for_each(|(x, now)| *x = now.to_bits());
        }
        found
    };
    [spec.batch_size, 7 * spec.batch_size / 10].map(|rows| run(&first_rows(spec, rows))).to_vec()
}

#[test]
fn pieces_give_the_bits_of_all_ops_at_once() {
    let devices = [Some(cpu32(1)), Some(cpu32(2)), gpu("pieces")];
    for device in devices.into_iter().flatten() {
        for (name, spec) in specs() {
            for traits in [device.traits(), Traits::LAYERS] {
                let whole = planned(&spec, traits);
                let mut cut = whole.clone();
                let pieces = cut.cut(1);
                if pieces.is_empty() {
                    assert!(whole.has_whole_net() && device.info().backend != "cpu", "{name}");
                    continue;
                }
                let once = Piece {
                    ops: pieces[0].ops.start..whole.program.routines.update.start,
                    bucket: 0..whole.program.len(whole.parameters),
                };
                let expected = gradients(&device, &spec, &whole, &[once]);
                assert!(expected[0] != expected[1], "{name}: the rows matter");
                assert!(
                    gradients(&device, &spec, &cut, &pieces) == expected,
                    "{name}, {traits:?} on {}",
                    device.info()
                );
            }
        }
    }
}

#[test]
fn each_gradient_is_in_one_bucket_and_final_with_it() {
    for (name, spec) in specs() {
        for traits in [Traits::Plain, Traits::Cpu, Traits::GPU, Traits::LAYERS] {
            for least in [1, 200, usize::MAX] {
                let mut plan = planned(&spec, traits);
                let before = plan.program.ops.len();
                let pieces = plan.cut(least);
                let program = &plan.program;
                program.check().unwrap();
                if pieces.is_empty() {
                    assert_eq!(program.ops.len(), before);
                    assert!(least > 1 || traits == Traits::GPU, "{name}, {traits:?}");
                    continue;
                }
                assert!(least < usize::MAX);
                // One after the other they are all ops up to the update.
                let mut at = program.routines.step.start;
                for piece in &pieces {
                    assert_eq!(piece.ops.start, at, "{name}");
                    at = piece.ops.end;
                }
                assert_eq!(at, program.routines.update.start, "{name}");
                assert!(pieces[0].ops.end < at, "{name}: something is left to overlap with");
                let all = program.find("gradients").unwrap();
                for id in program.inside(all) {
                    let range = program.range(id, 0);
                    let inside = pieces
                        .iter()
                        .filter(|p| p.bucket.start <= range.start && range.end <= p.bucket.end);
                    let touched = pieces
                        .iter()
                        .filter(|p| p.bucket.start < range.end && range.start < p.bucket.end);
                    assert_eq!(
                        (inside.count(), touched.count()),
                        (1, 1),
                        "{name}: {}",
                        program.tensor(id).name
                    );
                }
                assert_eq!(
                    pieces.iter().map(|piece| piece.bucket.len()).sum::<usize>(),
                    program.len(all),
                    "{name}"
                );
                // Buckets of weights have the size that was asked for, but for the last one.
                let small = pieces.iter().filter(|piece| piece.bucket.len() < least).count();
                assert!(small <= 2, "{name}: {small}");
                for piece in &pieces {
                    for op in &program.ops[piece.ops.end..program.routines.update.start] {
                        let tasks = program.effects(op);
                        let mut written = tasks.iter().flat_map(Task::written);
                        let buffer = |id| program.tensor(id).buffer;
                        assert!(
                            !written.any(|slice| buffer(slice.tensor) == buffer(all)
                                && slice.range.start < piece.bucket.end
                                && piece.bucket.start < slice.range.end),
                            "{name}: {}",
                            program.describe(op)
                        );
                    }
                }
            }
        }
    }
}
