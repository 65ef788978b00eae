//! Normalized and residual nets after ten steps, and their predictions, against PyTorch in f64
//! (`tests/golden/make_layers.py`).

use crate::ten_steps::{Golden, devices, load, matrix};
use serde::Deserialize;
use wgrad::data::{Dataset, Features, Targets};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::optim::Optimizer;
use wgrad::net::spec::{Net, Norm, Spec};

#[derive(Deserialize)]
struct Cases {
    lr: f32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    norm: Option<Norm>,
    depth: usize,
    skip: usize,
    inputs: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
    #[serde(flatten)]
    golden: Golden,
}

#[test]
fn ten_steps_of_normalised_and_residual_nets_are_those_of_pytorch() {
    let golden: Cases = load("layers");
    for device in devices("ten steps of normalized nets") {
        for case in &golden.cases {
            let (x, t) = (matrix(&case.inputs), matrix(&case.targets));
            let units = case.golden.layers()[0].bias.len();
            let hidden = (0..case.depth)
                .fold(Net::new(x.cols()), |net, _| net.layer(units, Activation::Tanh));
            let net = hidden.layer(t.cols(), Activation::Identity);
            let net = net.norm(case.norm).residual(case.skip);
            let mut spec = Spec::new(net, Loss::SquaredError).optimizer(Optimizer::Sgd);
            spec.lr = golden.lr;
            let data = Dataset::new("golden", Features::F32(x), Targets::from(t)).unwrap();
            let what = format!("{:?}, depth {}, skip {}", case.norm, case.depth, case.skip);
            device.check(&what, spec, &data, &case.golden);
        }
    }
}
