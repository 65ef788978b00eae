//! Several nets in one program: each has the same bits as in a separate program.

use crate::common::{Shared, cpu32, cpu64, first_rows, gpu, random_classes, unscaled};
use pollster::FutureExt as _;
use std::sync::Arc;
use wgrad::backend::session::{initial_weights, tensors};
use wgrad::backend::{Backend, Values, ValuesMut};
use wgrad::kernels::Step;
use wgrad::kernels::mixed::SCALE_STATE;
use wgrad::kernels::tensor::TensorId;
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::optim::{GradientEdits, Optimizer};
use wgrad::math::random::Permutation;
use wgrad::net::precision::Precision;
use wgrad::net::spec::{Layer, Net, Norm, Spec};
use wgrad::plan::program::{Op, Program};
use wgrad::plan::{self, Plan, Purpose, Traits};

const ROWS: usize = 37;
const BATCH: usize = 16;

fn spec(norm: Option<Norm>) -> Spec {
    let hidden = Layer { norm, ..Layer::new(11, Activation::Tanh) };
    let layers = vec![hidden, Layer::new(3, Activation::Identity)];
    let spec = Spec::new(Net { layers, ..Net::new(5) }, Loss::CrossEntropy);
    let edits = GradientEdits { clip_global_norm: Some(0.5), ..GradientEdits::default() };
    Spec { batch_size: BATCH, edits, optimizer: Optimizer::ALL[4], ..spec }
}

fn plans(spec: &Spec) -> [Plan; 4] {
    [Traits::Plain, Traits::Cpu, Traits::GPU, Traits::LAYERS]
        .map(|offered| plan::plan(spec, BATCH, Purpose::Train, offered))
}

/// The sums and parameters of nets that start with the weights of `seeds`, net by net, and the launches of
/// their steps.
fn trained(device: &Shared, spec: &Spec, plan: &Plan, seeds: &[u64]) -> (Vec<Vec<f32>>, u64) {
    let mut device = device.clone();
    let program = Program { nets: seeds.len(), ..plan.program.clone() };
    let data = device.start(&program, &unscaled(&random_classes(ROWS, 5, 3, 1)));
    let weights = seeds.iter().map(|&seed| initial_weights(&Spec { seed, ..spec.clone() }));
    let weights = Vec::from_iter(weights);
    let mut drawn = Vec::from_iter(weights.iter().map(|net| tensors(plan, net).into_iter()));
    while let Some(each) = drawn.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
        let values = each.iter().flat_map(|(_, values)| values.iter().copied());
        let values = Vec::from_iter(values);
        device.write(each[0].0, Values::F32(&values)).block_on().unwrap();
    }
    if let Some(scale) = program.find("loss_scale") {
        let values = [&[1024.0], &[0.0; SCALE_STATE - 1][..]].concat().repeat(seeds.len());
        device.write(scale, Values::F32(&values)).block_on().unwrap();
    }
    let before = device.traffic().dispatches;
    let order = Permutation::new(ROWS as u32, Some([3, 4])).words();
    let step = |first: usize| {
        let rows = BATCH.min(ROWS - first);
        Step { first: first as u32, order, ..first_rows(spec, rows) }
    };
    let steps = Vec::from_iter((0..ROWS).step_by(BATCH).map(step));
    device.run(program.routines.step.clone(), data, &steps).block_on().unwrap();
    let launched = device.traffic().dispatches - before;
    let mut read = |id: TensorId| {
        let mut values = vec![f32::NAN; seeds.len() * program.len(id)];
        device.read(id, ValuesMut::F32(&mut values)).block_on().unwrap();
        Vec::from_iter(values.chunks(program.len(id)).map(<[f32]>::to_vec))
    };
    let mut found = read(plan.parameters);
    let sums = read(plan.sums);
    found.iter_mut().zip(sums).for_each(|(net, sums)| net.extend(sums));
    (found, launched)
}

/// What two nets of other seeds come to is what each comes to alone.
fn agree(device: &Shared, spec: &Spec, plan: &Plan) {
    let (both, launched) = trained(device, spec, plan, &[7, 8]);
    let (one, launched_for_one) = trained(device, spec, plan, &[7]);
    let (other, _) = trained(device, spec, plan, &[8]);
    assert!(one[0].iter().all(|x| x.is_finite()) && one != other);
    let name = device.info();
    assert!(both[0] == one[0] && both[1] == other[0], "{name}: {:?}", plan.rules);
    assert_eq!(launched, 2 * launched_for_one, "{name}");
}

#[test]
fn nets_of_one_program_have_the_bits_of_programs_of_one_net() {
    let devices = [Some(cpu32(2)), Some(cpu64(1)), gpu("several nets in a program")];
    for device in devices.into_iter().flatten() {
        for spec in [None, Some(Norm::Batch), Some(Norm::Layer)].map(spec) {
            for plan in plans(&spec) {
                let on_gpus = plan.program.ops.iter().all(Op::runs_on_gpus);
                if on_gpus || device.info().backend == "cpu" {
                    agree(&device, &spec, &plan);
                }
            }
        }
    }
}

/// Half as long elements begin at other bytes.
#[test]
fn nets_in_f16_have_the_bits_of_programs_of_one_net() {
    let spec = Spec { precision: Precision::F16, edits: GradientEdits::default(), ..spec(None) };
    let plan = plan::plan(&spec, BATCH, Purpose::Train, Traits::Plain);
    agree(&cpu32(2), &spec, &plan);
    let gpu = gpu("several nets in f16");
    if let Some(gpu) = gpu.filter(|gpu| gpu.clone().open_mixed().block_on().is_ok()) {
        agree(&gpu, &spec, &plan);
    }
}

#[test]
fn nets_that_would_draw_the_same_numbers_are_refused() {
    let layer = Layer { dropout: 0.5, ..Layer::new(7, Activation::Relu) };
    let net = Net { layers: vec![layer, Layer::new(3, Activation::Identity)], ..Net::new(5) };
    let dropped = Spec { batch_size: BATCH, ..Spec::new(net, Loss::CrossEntropy) };
    for plan in plans(&dropped) {
        plan.program.check().unwrap();
        let error = Program { nets: 2, ..plan.program.clone() }.check().unwrap_err().to_string();
        assert!(error.contains("draws the same random numbers in all of 2 nets"), "{error}");
        let none = Arc::new(Program { nets: 0, ..plan.program });
        let error = cpu32(1).load(none).block_on().unwrap_err().to_string();
        assert!(error.contains("a program of no nets"), "{error}");
    }
}

/// The values of a tensor are ordered net by net; more than all nets have are refused.
#[test]
fn transfers_go_net_after_net() {
    let devices = [Some(cpu32(1)), gpu("transfers of several nets")];
    for mut device in devices.into_iter().flatten() {
        let plan = &plans(&spec(None))[0];
        let program = Program { nets: 3, ..plan.program.clone() };
        let weight = plan.layers[0].weight;
        let len = program.len(weight);
        device.load(Arc::new(program)).block_on().unwrap();
        let values = Vec::from_iter((0..3 * len).map(|i| i as f32));
        device.write(weight, Values::F32(&values[..2 * len + 1])).block_on().unwrap();
        let mut found = vec![f32::NAN; 3 * len];
        device.read(weight, ValuesMut::F32(&mut found)).block_on().unwrap();
        assert_eq!(found[..2 * len + 1], values[..2 * len + 1]);
        assert!(found[2 * len + 1..].iter().all(|&x| x == 0.0));
        let more = vec![0.0; 3 * len + 1];
        let error = device.write(weight, Values::F32(&more)).block_on().unwrap_err().to_string();
        assert!(error.contains(&format!("{} values for layers.0.weight", 3 * len + 1)), "{error}");
    }
}
