//! Weights of rows: their meaning, equal in every plan and on both backends.

use crate::adapter::has_gpu;
use crate::common::difference;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::math::gemm::Gemm;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::metrics::Metrics;
use wgrad::net::spec::{Net, PlanKind, Spec, Units};
use wgrad::plan::{self, Purpose};
use wgrad::proof::parity;
use wgrad::{Activation, Loss, Optimizer, Trainer};

/// `rows` rows of 7 normal features and 3 seeded classes.
fn classes(rows: usize, seed: u64) -> Dataset {
    let mut random = Random::new(seed, Stream::Check, 1);
    let features = Matrix::from_fn(rows, 7, |_, _| random.normal() as f32);
    let labels = (0..rows).map(|_| (random.uniform() * 3.0) as u32).collect();
    let names = ["a", "b", "c"].map(String::from).to_vec();
    Dataset::new("classes", Features::F32(features), Targets::Classes { labels, names }).unwrap()
}

/// Whole numbers from 0 to 3, of which the first is 2.
fn counts(rows: usize) -> Vec<f32> {
    (0..rows).map(|row| ((row * 7 + 2) % 4) as f32).collect()
}

/// The same data with each row repeated according to its weight.
fn repeated(data: &Dataset, counts: &[f32]) -> Dataset {
    let rows = counts.iter().enumerate().flat_map(|(row, &n)| vec![row; n as usize]);
    data.select(&rows.collect::<Vec<_>>())
}

/// Five steps on the full batch, in which small differences stay small.
fn full_batch(loss: Loss, output: impl Into<Units>) -> Spec {
    let net = Net::new(7).layer(9, Activation::Tanh).layer(3, output);
    let mut spec = Spec::new(net, loss).optimizer(Optimizer::ALL[1]).epochs(5);
    (spec.batch_size, spec.lr) = (1 << 20, 0.05);
    spec
}

fn run(backend: Box<dyn Backend>, spec: &Spec, data: &Dataset) -> (Vec<LayerWeights>, Metrics) {
    let mut trainer = Trainer::new(spec, data, Preprocessing::none(data), backend).unwrap();
    let end = trainer.fit(Some(data), &mut ()).unwrap();
    (trainer.weights().unwrap(), end.valid.unwrap())
}

fn on_cpu<T: Gemm>(spec: &Spec, data: &Dataset, plan: PlanKind) -> (Vec<LayerWeights>, Metrics) {
    let spec = Spec { plan, ..spec.clone() };
    run(Box::new(Cpu::<T>::new(Some(2)).unwrap()), &spec, data)
}

#[test]
fn whole_weights_train_the_net_that_repeated_rows_train() {
    let cases = [
        (Loss::CrossEntropy, Units::Same(Activation::Identity)),
        (Loss::CrossEntropyProbabilities, Units::Softmax),
        (Loss::SquaredError, Units::Same(Activation::Sigmoid)),
    ];
    // The second batch is so long that chunks of rows add up their own gradients.
    for (rows, (loss, output)) in [41, 700].into_iter().flat_map(|n| cases.clone().map(|c| (n, c)))
    {
        let data = classes(rows, 3);
        let (weighted, repeated) =
            (data.clone().weighted(counts(rows)).unwrap(), repeated(&data, &counts(rows)));
        let spec = full_batch(loss, output);
        let (expected, metrics) = on_cpu::<f64>(&spec, &repeated, PlanKind::Plain);
        for plan in PlanKind::ALL {
            let (found, of_weighted) = on_cpu::<f64>(&spec, &weighted, plan);
            // What is left is the rounding of the weights to f32.
            let off = difference(&found, &expected);
            assert!(off < 1e-6, "{}, {rows} rows, {}: {off}", spec.objective, plan.name());
            let losses = (of_weighted.loss, metrics.loss);
            assert!((losses.0 - losses.1).abs() < 1e-6 * losses.1, "{losses:?}");
        }
        let (other, _) = on_cpu::<f64>(&spec, &data, PlanKind::Fused);
        assert!(difference(&other, &expected) > 1e-4, "weights that change nothing prove nothing");
    }
}

#[test]
fn equal_weights_change_no_bit() {
    let data = classes(60, 5);
    let spec = full_batch(Loss::CrossEntropy, Activation::Identity);
    let plain = on_cpu::<f32>(&spec, &data, PlanKind::Fused);
    let equal = data.clone().weighted(vec![0.3; 60]).unwrap();
    assert_eq!(on_cpu::<f32>(&spec, &equal, PlanKind::Fused), plain);
}

#[test]
fn metrics_of_weighted_rows_are_those_of_repeated_rows() {
    let features = classes(90, 5);
    let mut random = Random::new(8, Stream::Check, 1);
    let numbers = Matrix::from_fn(90, 3, |r, _| (random.normal() + r as f64 / 30.0) as f32);
    let numbers =
        Dataset::new("numbers", features.features().clone(), Targets::from(numbers)).unwrap();
    for (data, loss) in [(features, Loss::CrossEntropy), (numbers, Loss::SquaredError)] {
        let (weighted, repeated) =
            (data.clone().weighted(counts(90)).unwrap(), repeated(&data, &counts(90)));
        for plan in PlanKind::ALL {
            let spec = Spec { plan, ..full_batch(loss, Activation::Identity) };
            let cpu = Box::new(Cpu::<f64>::new(Some(1)).unwrap());
            let mut trainer = Trainer::new(&spec, &data, Preprocessing::none(&data), cpu).unwrap();
            let mut of = |data: &Dataset| trainer.evaluate(data).unwrap();
            let (found, expected, plain) = (of(&weighted), of(&repeated), of(&data));
            assert_eq!(found.values.len(), expected.values.len());
            for (name, value) in &expected.values {
                let found = found.get(name).unwrap();
                let what = format!("{name} by {}: {found} and {value}", plan.name());
                assert!((found - value).abs() < 1e-6 * value.abs().max(1.0), "{what}");
                assert!((plain.get(name).unwrap() - value).abs() > 1e-4, "{what}");
            }
        }
    }
}

/// Every plan of the GPU, op by op.
#[test]
fn weighted_steps_on_the_gpu_keep_the_parity_rule() {
    for (units, is_whole) in [(20, true), (450, false)] {
        for (loss, output) in [
            (Loss::CrossEntropy, Units::Same(Activation::Identity)),
            (Loss::SquaredError, Units::Softmax),
            (Loss::BinaryCrossEntropy, Units::Same(Activation::Identity)),
        ] {
            if !has_gpu("weighted steps on the GPU") {
                return;
            }
            let device = Box::new(Gpu::open(0).unwrap());
            let net = Net::new(7)
                .layer(units, Activation::Tanh)
                .layer(units, Activation::Silu)
                .layer(3, output);
            let mut spec = Spec::new(net, loss);
            spec.batch_size = 37;
            let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, device.traits());
            assert_eq!(plan.has_whole_net(), is_whole);
            let data = classes(101, 7).weighted(counts(101)).unwrap();
            let report = parity::verify(&spec, &Preprocessing::none(&data), &data, device).unwrap();
            let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
            assert!(report.passed, "{}: {failed:#?}", spec.objective);
        }
    }
}
