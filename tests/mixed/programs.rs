//! Each op against f64 by the parity rule, and the values stored in f16.

use super::adapter::has_gpu;
use super::device::Device;
use super::task::{draw, in_f16, normal, task, train, trainer};
use pollster::FutureExt as _;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::initial_weights;
use wgrad::backend::{Backend, ValuesMut};
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::mixed::{BLOCKS, MixedTuning, Multiplier};
use wgrad::kernels::products::tile::Tuning;
use wgrad::kernels::tensor::{Role, TensorId};
use wgrad::math::random::{Random, Stream};
use wgrad::net::precision::{MixedPrecision, Precision};
use wgrad::net::spec::{Net, Spec};
use wgrad::plan::program::Op;
use wgrad::plan::{Purpose, Traits};
use wgrad::proof::parity;
use wgrad::proof::parity::Replay;
use wgrad::{Activation, Loss, plan};

#[test]
fn mixed_steps_agree_tensor_by_tensor() {
    let mut random = Random::new(31, Stream::Check, 0);
    for round in 0..12 {
        if !has_gpu("mixed steps") {
            return;
        }
        let (spec, data) = draw(&mut random, round);
        // With the checks of shaders at run time on and off.
        let mut gpu = Gpu::open_with(0, round % 2 == 0).unwrap();
        gpu.open_mixed().block_on().unwrap();
        let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, Traits::LAYERS);
        let samples = Preprocessing::none(&data).samples(&data).unwrap();
        let mut replay = Replay::new(plan.program.clone(), samples, Box::new(gpu)).unwrap();
        let reports = replay.steps(&spec, &plan).unwrap();
        let failed: Vec<_> = reports.iter().filter(|op| !op.passed).collect();
        assert!(failed.is_empty(), "round {round}: {spec:?}\n{failed:#?}");
        for name in ["f16 gather", "f16 dense", "f16 rescale", "f16 backward", "loss scale"] {
            assert!(reports.iter().any(|report| report.op.starts_with(name)), "{name}");
        }
    }
}

/// The result of a long sum of terms of both signs is small compared with the terms and with its error.
#[test]
fn sums_are_held_against_the_magnitudes_of_their_terms() {
    let mut random = Random::new(33, Stream::Check, 0);
    let (x, y) = (normal(&mut random, 8, 4000), normal(&mut random, 8, 1));
    let net = Net::new(4000).layer(1, Activation::Identity);
    let mut spec = in_f16(&Spec::new(net, Loss::SquaredError));
    spec.batch_size = 8;
    let half = |x: &f32| f64::from(Precision::F16.round(*x));
    let weights = initial_weights(&spec).remove(0).weight;
    let terms = |row: usize| x.row(row).iter().zip(weights.data()).map(|(x, w)| half(x) * half(w));
    let largest = |of: &dyn Fn(usize) -> f64| (0..8).map(of).fold(0.0, f64::max);
    let scale = largest(&|row| terms(row).map(f64::abs).sum());
    assert!(scale > 5.0 * largest(&|row| terms(row).sum::<f64>().abs()));
    let data = Dataset::new("long", Features::F32(x.clone()), Targets::from(y)).unwrap();
    let plan = plan::plan(&spec, 8, Purpose::Train, Traits::LAYERS);
    let samples = Preprocessing::none(&data).samples(&data).unwrap();
    let mut replay = Replay::new(plan.program.clone(), samples, Device::boxed()).unwrap();
    let reports = replay.steps(&spec, &plan).unwrap();
    assert!(reports.iter().all(|report| report.passed), "{reports:#?}");
    let z = reports.iter().find(|report| report.tensor == "layers.0.z").unwrap();
    let held_against = (z.allowed - parity::FACTOR * z.cpu_error) / parity::FLOOR;
    assert!((held_against / scale - 1.0).abs() < 1e-6, "{held_against}, not {scale}");
}

/// A check that the rule above can be violated.
#[test]
fn parity_in_f16_sees_one_unit_in_the_last_place() {
    let (spec, data) = task(0);
    let spec = in_f16(&spec);
    let reports = |device: Box<dyn Backend>| {
        let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, Traits::LAYERS);
        let samples = Preprocessing::none(&data).samples(&data).unwrap();
        let mut replay = Replay::new(plan.program.clone(), samples, device).unwrap();
        replay.steps(&spec, &plan).unwrap()
    };
    let of = |tensor: &str, reports: &[parity::OpReport]| {
        let mut found = reports.iter().filter(|r| r.tensor == tensor);
        found.next().unwrap_or_else(|| panic!("{tensor}")).passed
    };
    let right = reports(Device::boxed());
    assert!(right.iter().all(|report| report.passed), "{right:#?}");
    let wrong = reports(Box::new(Device { wrong: Some(Multiplier::Fma), ..Device::new() }));
    for tensor in ["input", "layers.1.z", "layers.0.delta", "layers.0.weight.f16"] {
        assert!(of(tensor, &right) && !of(tensor, &wrong), "{tensor}");
    }
}

#[test]
fn the_reference_rounds_what_is_stored_in_f16() {
    let (spec, data) = task(1);
    let mut trainer = trainer(&in_f16(&spec), &data, Device::boxed());
    trainer.run_steps(3).unwrap();
    let program = trainer.session().plan().program.clone();
    let weights = trainer.weights().unwrap();
    let mut found = 0;
    for (i, tensor) in program.tensors.iter().enumerate() {
        if tensor.precision == Precision::F32 {
            continue;
        }
        let mut values = vec![0.0f32; program.range(TensorId(i), 1).len()];
        let backend = trainer.session().backend_mut();
        backend.read(TensorId(i), ValuesMut::F32(&mut values)).block_on().unwrap();
        assert!(values.iter().all(|&x| Precision::F16.round(x) == x), "{}", tensor.name);
        assert!(values.iter().any(|&x| x != 0.0), "{}", tensor.name);
        if tensor.role == Role::Shadow {
            let l: usize = tensor.name.split('.').nth(1).unwrap().parse().unwrap();
            let master = weights[l].weight.data();
            assert!(master.iter().any(|&w| Precision::F16.round(w) != w), "masters are f32");
            let rounded: Vec<f32> = master.iter().map(|&w| Precision::F16.round(w)).collect();
            assert_eq!(values, rounded, "{}", tensor.name);
        }
        found += 1;
    }
    // X, three δ, A_1 in the place of Z_1, Z_2 and A_2, three W.
    assert_eq!(found, 1 + 3 + 1 + 2 + 3);
}

#[test]
fn each_multiplier_is_verified_and_named() {
    let (mut spec, data) = task(9);
    spec.precision = Precision::F16;
    let verify = |wrong| {
        let offered = vec![Multiplier::Fma, Multiplier::Matrices(16)];
        let device = Device { offered, wrong, ..Device::new() };
        parity::verify(&spec, &Preprocessing::none(&data), &data, Box::new(device)).unwrap()
    };
    let by = |report: &parity::Report, name: &str, tensor: &str| {
        let ops = report.ops.iter();
        let mut found = ops.filter(|r| r.multiplier.as_deref() == Some(name) && r.tensor == tensor);
        found.next().unwrap_or_else(|| panic!("{tensor} by {name}")).passed
    };
    let (report, wrong) = (verify(None), verify(Some(Multiplier::Matrices(16))));
    assert!(report.passed && !wrong.passed);
    for tensor in ["layers.0.delta", "layers.1.z", "layers.0.weight.f16"] {
        for name in ["f16 storage", "16x16 cooperative matrices"] {
            let is_right = name == "f16 storage";
            assert!(by(&report, name, tensor) && by(&wrong, name, tensor) == is_right, "{tensor}");
        }
    }
}

/// The choice of blocks, which may be measured, must not change results.
#[test]
fn every_block_of_a_multiplier_gives_the_same_bits() {
    if !has_gpu("blocks") {
        return;
    }
    let (mut spec, data) = task(6);
    spec.epochs = 1;
    let spec = in_f16(&spec);
    let program = |batch| plan::plan(&spec, batch, Purpose::Train, Traits::LAYERS).program;
    let batches = [spec.batch_size, plan::evaluation_rows(&spec.net, spec.batch_size)];
    let products: Vec<[usize; 3]> = batches
        .into_iter()
        .flat_map(|batch| {
            let program = program(batch);
            program.ops.iter().flat_map(|op| program.products(op).shapes).collect::<Vec<_>>()
        })
        .collect();
    let mut runs = Vec::new();
    for (choice, block) in BLOCKS.iter().enumerate() {
        if block.multiplier() != Multiplier::Fma {
            continue;
        }
        let mut mixed = MixedTuning::default();
        for &product in &products {
            if mixed.candidates(product, None).contains(&choice) {
                mixed.keep(product, choice);
            }
        }
        let mut gpu = Gpu::open(0).unwrap();
        gpu.set_tuning(Tuning { mixed, ..Tuning::default() });
        runs.push((block, train(&spec, &data, Box::new(gpu)).1));
    }
    assert_eq!(runs.len(), 5);
    for (block, weights) in &runs {
        assert!(*weights == runs[0].1, "{block} differs from {}", runs[0].0);
    }
}

#[test]
fn f32_programs_know_nothing_of_f16() {
    let mut random = Random::new(32, Stream::Check, 0);
    for round in 0..8 {
        let (half, _) = draw(&mut random, round);
        let single = Spec { precision: Precision::F32, ..half.clone() };
        let other = Spec { mixed: MixedPrecision::default(), ..single.clone() };
        let layers = single.net.layers.len();
        for offered in [Traits::Plain, Traits::Cpu, Traits::GPU, Traits::LAYERS] {
            let program = plan::plan(&single, 16, Purpose::Train, offered).program;
            assert_eq!(program.ops, plan::plan(&other, 16, Purpose::Train, offered).program.ops);
            assert!(program.tensors.iter().all(|t| t.precision == Precision::F32));
            let in_half = |op: &Op| program.precision_of(op) == Precision::F16;
            assert!(!program.ops.iter().any(in_half));
            assert!(program.find("loss_scale").is_none());
            let mixed = plan::plan(&half, 16, Purpose::Train, offered).program;
            let softmax = usize::from(round.is_multiple_of(4));
            assert_eq!(mixed.routines.step.len(), 3 * layers + 4 + softmax);
        }
    }
}
