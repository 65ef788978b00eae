//! Ten steps under every loss, ten with mixup, and ten in which the momentum follows a one-cycle
//! schedule, against PyTorch in f64 (`tests/golden/make_training.py`).

use crate::ten_steps::{Golden, devices, load, matrix};
use serde::Deserialize;
use wgrad::data::{Dataset, Features, Targets};
use wgrad::kernels::inputs::mixup::mixing;
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::optim::Optimizer;
use wgrad::math::schedule::{MomentumCycle, Schedule};
use wgrad::net::spec::{Net, Spec, Units};

#[derive(Deserialize)]
struct Cases {
    losses: Vec<LossCase>,
    mixing: Vec<f32>,
    mixups: Vec<LossCase>,
    schedule: Schedule,
    cycle: MomentumCycle,
    beta2: f32,
    cycles: Vec<CycleCase>,
}

#[derive(Deserialize)]
struct LossCase {
    loss: String,
    inputs: Vec<Vec<f32>>,
    targets: AnyTargets,
    #[serde(flatten)]
    golden: Golden,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyTargets {
    Classes(Vec<u32>),
    Numbers(Vec<Vec<f32>>),
}

#[derive(Deserialize)]
struct CycleCase {
    optimizer: String,
    lr: f32,
    inputs: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
    #[serde(flatten)]
    golden: Golden,
}

impl LossCase {
    fn data(&self, loss: Loss) -> Dataset {
        let names = || ["a", "b", "c"].map(String::from).to_vec();
        let targets = match &self.targets {
            AnyTargets::Classes(labels) => {
                Targets::Classes { labels: labels.clone(), names: names() }
            }
            AnyTargets::Numbers(rows) if loss.is_for_labels() => {
                Targets::Labels { values: matrix(rows), names: names() }
            }
            AnyTargets::Numbers(rows) => Targets::from(matrix(rows)),
        };
        Dataset::new("golden", Features::F32(matrix(&self.inputs)), targets).unwrap()
    }
}

fn spec(golden: &Golden, data: &Dataset, loss: Loss) -> Spec {
    let [hidden, output] = golden.layers() else { panic!("two layers") };
    let activation = match loss {
        Loss::CrossEntropyProbabilities => Units::Softmax,
        _ => Activation::Identity.into(),
    };
    let net = Net::new(data.features().cols())
        .layer(hidden.bias.len(), Activation::Tanh)
        .layer(output.bias.len(), activation);
    let mut spec = Spec::new(net, loss).optimizer(Optimizer::Sgd);
    (spec.lr, spec.seed) = (0.25, 3);
    spec
}

#[test]
fn ten_steps_under_every_loss_are_those_of_pytorch() {
    let golden: Cases = load("training");
    for loss in Loss::ALL {
        let parsed = |case: &LossCase| case.loss.parse::<Loss>().unwrap().name();
        assert!(golden.losses.iter().any(|case| parsed(case) == loss.name()), "{loss}");
    }
    for device in devices("ten steps under every loss") {
        for case in &golden.losses {
            let loss = case.loss.parse().unwrap();
            let data = case.data(loss);
            device.check(&case.loss, spec(&case.golden, &data, loss), &data, &case.golden);
        }
    }
}

#[test]
fn ten_steps_of_mixed_rows_are_those_of_pytorch() {
    let golden: Cases = load("training");
    for device in devices("ten steps of mixed rows") {
        for case in &golden.mixups {
            let loss = case.loss.parse().unwrap();
            let data = case.data(loss);
            let spec = Spec { mixup: Some(0.5), ..spec(&case.golden, &data, loss) };
            let drawn: Vec<f32> = (0..10).map(|done| mixing(&spec, done)).collect();
            assert_eq!(drawn, golden.mixing, "what the script has");
            device.check(&format!("{loss}, {} rows", data.rows()), spec, &data, &case.golden);
        }
    }
}

#[test]
fn ten_steps_with_a_cycled_momentum_are_those_of_pytorch() {
    let golden: Cases = load("training");
    for device in devices("ten steps with a cycled momentum") {
        for case in &golden.cycles {
            let (x, t) = (matrix(&case.inputs), matrix(&case.targets));
            let data = Dataset::new("golden", Features::F32(x), Targets::from(t)).unwrap();
            let mut spec = spec(&case.golden, &data, Loss::SquaredError);
            spec.optimizer = case.optimizer.parse().unwrap();
            if case.optimizer == "rmsprop" {
                spec.optimizer = spec.optimizer.with_momentum(0.5).unwrap();
            }
            spec.optimizer = spec.optimizer.with_beta2(golden.beta2).unwrap_or(spec.optimizer);
            (spec.lr, spec.schedule) = (case.lr, golden.schedule);
            spec.cycle_momentum = Some(golden.cycle);
            device.check(&case.optimizer, spec, &data, &case.golden);
        }
    }
}
