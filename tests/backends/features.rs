//! For all features of a step besides layers and update, the CPU's fused plan gives the weights of the plain
//! one, and the same bits with any number of threads.

use crate::adapter::has_gpu;
use pollster::FutureExt as _;
use rand::RngExt;
use std::sync::Arc;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::tensor::HostTensor;
use wgrad::math::embedding::Embedding;
use wgrad::math::gemm::Gemm;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::Averaging;
use wgrad::math::random::{Random, Stream};
use wgrad::net::spec::{Net, Norm, PlanKind, Spec};
use wgrad::plan::{self, Purpose, Traits};
use wgrad::{Activation, Loss, Optimizer, Trainer};

/// The effect of a feature on a spec.
type Change = fn(&mut Spec);

const FEATURES: [(&str, Change); 21] = [
    ("nothing", |_| {}),
    ("dropout", |s| {
        s.net = s.net.clone().dropout(0.3);
        s.net.input_dropout = 0.2;
    }),
    ("l1", |s| s.edits.l1 = 0.01),
    ("clip-value", |s| s.edits.clip_value = Some(1e-3)),
    ("l1 and clip-value", |s| (s.edits.l1, s.edits.clip_value) = (0.01, Some(1e-3))),
    ("clip-norm", |s| s.edits.clip_norm = Some(0.01)),
    ("clip-global-norm", |s| s.edits.clip_global_norm = Some(0.02)),
    ("gradient-noise", |s| s.edits.noise = 0.1),
    ("ema", |s| s.averaging = Averaging::Ema { decay: 0.9 }),
    ("max-norm and ema", |s| {
        s.max_norm = Some(0.7);
        s.averaging = Averaging::Ema { decay: 0.9 };
    }),
    ("lamb", |s| *s = s.clone().optimizer(by_name("lamb"))),
    ("muon", |s| *s = s.clone().optimizer(by_name("muon"))),
    ("amsgrad", |s| *s = s.clone().optimizer(by_name("amsgrad"))),
    ("micro-batches", |s| s.micro_batch = Some(s.batch_size / 4)),
    ("clipped micro-batches", |s| {
        s.micro_batch = Some(s.batch_size / 4);
        s.edits.clip_global_norm = Some(0.02);
    }),
    ("mixup", |s| s.mixup = Some(0.4)),
    ("embeddings", |s| s.net = embedded(s)),
    ("layer norm", |s| s.net = s.net.clone().norm(Some(Norm::Layer))),
    ("batch norm", |s| s.net = s.net.clone().norm(Some(Norm::Batch))),
    ("residual", |s| s.net = s.net.clone().residual(1)),
    ("residual blocks of two", |s| s.net = s.net.clone().residual(2)),
];

/// Several features combined.
const TOGETHER: [(&str, &[&str]); 10] = [
    ("layer norm, residual, dropout, mixup", &["layer norm", "residual", "dropout", "mixup"]),
    ("batch norm, residual, dropout, l1", &["batch norm", "residual", "dropout", "l1"]),
    ("batch norm, clip-norm", &["batch norm", "clip-norm"]),
    ("layer norm, lamb", &["layer norm", "lamb"]),
    ("layer norm, micro-batches", &["layer norm", "micro-batches"]),
    ("embeddings, l1, clip-value", &["embeddings", "l1 and clip-value"]),
    ("embeddings, lamb", &["embeddings", "lamb"]),
    ("embeddings, ema, mixup, dropout", &["embeddings", "ema", "mixup", "dropout"]),
    ("embeddings, micro-batches, norm", &["embeddings", "micro-batches", "layer norm"]),
    ("lamb, micro-batches, clip-value", &["lamb", "micro-batches", "clip-value"]),
];

fn by_name(name: &str) -> Optimizer {
    Optimizer::ALL.into_iter().find(|o| o.name() == name).unwrap()
}

/// The last two of the columns embedded, by tables of 7 values.
fn embedded(spec: &Spec) -> Net {
    spec.net.clone().embed(vec![Embedding::new(7, 3), Embedding::new(7, 5)])
}

/// A change by its name.
fn change(name: &str) -> Change {
    FEATURES.iter().find(|(feature, _)| *feature == name).unwrap().1
}

/// Nets of three hidden layers and batches for each way of the pass: by units, with layers large and
/// small; by rows; by chunks of a long batch.
fn cases() -> [(&'static str, Spec, Dataset); 3] {
    [("units", 160, 24, 60, 2), ("rows", 9, 70, 230, 3), ("chunks", 8, 512, 1100, 2)].map(
        |(way, units, batch, rows, epochs)| {
            let mut random = Random::new(21, Stream::Check, rows as u64);
            let features = Matrix::from_fn(rows, 20, |_, col| match col < 18 {
                true => random.random_range(-1.0..1.0),
                false => random.random_range(0..7) as f32,
            });
            let targets = Matrix::from_fn(rows, 3, |_, _| random.random_range(-1.0..1.0));
            let data = Dataset::new(way, Features::F32(features), Targets::from(targets)).unwrap();
            let net = [Activation::Relu, Activation::Tanh, Activation::Relu]
                .into_iter()
                .fold(Net::new(20), |net, activation| net.layer(units, activation))
                .layer(3, Activation::Identity);
            let momentum = Optimizer::Momentum { momentum: 0.9 };
            let mut spec = Spec::new(net, Loss::SquaredError).optimizer(momentum);
            (spec.batch_size, spec.epochs, spec.lr) = (batch, epochs, 0.02);
            spec.weight_decay = 0.01;
            (way, spec, data)
        },
    )
}

/// The whole state of a run, in order, without the padding between parameters.
fn trained<T: Gemm>(spec: &Spec, data: &Dataset, threads: usize) -> Vec<HostTensor> {
    let backend = Box::new(Cpu::<T>::new(Some(threads)).unwrap());
    let mut trainer = Trainer::new(spec, data, Preprocessing::none(data), backend).unwrap();
    trainer.fit(Some(data), &mut ()).unwrap();
    let mut tensors = trainer.checkpoint().unwrap().now.tensors;
    tensors.retain(|t| t.name.starts_with("layers.") || t.name.starts_with("embeddings."));
    tensors
}

fn check(way: &str, feature: &str, spec: &Spec, data: &Dataset) {
    let plan = plan::plan(spec, spec.batch_size, Purpose::Train, Traits::Cpu);
    assert!(plan.has_whole_net(), "{feature}: {:?}", plan.rules);
    let plain = Spec { plan: PlanKind::Plain, ..spec.clone() };
    let [plain, fused] = [&plain, spec].map(|spec| trained::<f64>(spec, data, 2));
    assert_eq!(plain.len(), fused.len());
    for (plain, fused) in plain.iter().zip(&fused) {
        assert_eq!((&plain.name, plain.shape), (&fused.name, fused.shape));
        for (p, f) in plain.values.iter().zip(&fused.values) {
            let off = (p - f).abs();
            let name = &plain.name;
            assert!(off <= 2e-6 * p.abs().max(1.0), "{way}, {feature}: {name}: {f} for {p}");
        }
    }
    let one = trained::<f32>(spec, data, 1);
    for threads in [2, 3] {
        assert!(one == trained::<f32>(spec, data, threads), "{way}, {feature}: {threads} threads");
    }
}

#[test]
fn every_feature_gives_the_weights_of_the_plain_plan() {
    for (way, spec, data) in cases() {
        for (feature, change) in FEATURES {
            let mut spec = spec.clone();
            change(&mut spec);
            check(way, feature, &spec, &data);
        }
    }
}

#[test]
fn features_together_give_the_weights_of_the_plain_plan() {
    for (way, spec, data) in cases() {
        for (all, features) in TOGETHER {
            let mut spec = spec.clone();
            features.iter().for_each(|feature| change(feature)(&mut spec));
            check(way, all, &spec, &data);
        }
    }
}

/// Both plans are replayed op by op, also those of which no GPU has a kernel.
#[test]
fn every_feature_is_verified_on_the_cpu() {
    let [_, (_, spec, data), _] = cases();
    for (feature, change) in FEATURES {
        let mut spec = spec.clone();
        change(&mut spec);
        let device = Box::new(Cpu::<f32>::new(Some(2)).unwrap());
        let preprocessing = Preprocessing::none(&data);
        let report = wgrad::proof::parity::verify(&spec, &preprocessing, &data, device).unwrap();
        assert!(report.passed, "{feature}");
        assert!(report.ops.iter().any(|report| report.op.starts_with("whole net")), "{feature}");
    }
}

#[test]
fn a_gpu_refuses_what_only_the_cpu_fuses() {
    if !has_gpu("the CPU's programs on a GPU") {
        return;
    }
    let [_, (_, spec, _), _] = cases();
    let mut refused = 0;
    for (feature, change) in FEATURES {
        let mut spec = spec.clone();
        change(&mut spec);
        let program = plan::plan(&spec, 8, Purpose::Train, Traits::Cpu).program;
        if program.ops.iter().all(wgrad::plan::program::Op::runs_on_gpus) {
            continue;
        }
        let error =
            Gpu::open(0).unwrap().load(Arc::new(program)).block_on().unwrap_err().to_string();
        assert!(error.contains("GPUs have no kernel"), "{feature}: {error}");
        refused += 1;
    }
    assert!(refused >= 10, "{refused}");
}
