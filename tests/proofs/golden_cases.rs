//! The numbers of PyTorch in `tests/golden`, and the nets and optimizers that they are for.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wgrad::backend::session::LayerWeights;
use wgrad::math::loss::Objective;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::Optimizer;
use wgrad::net::spec::{Bias, Net, Units};

#[derive(Deserialize)]
pub struct Golden<T> {
    pub cases: Vec<T>,
}

#[derive(Deserialize)]
pub struct ActivationCase {
    pub name: String,
    pub z: Vec<f64>,
    pub a: Vec<f64>,
    pub derivative: Vec<f64>,
}

#[derive(Deserialize)]
pub struct LossCase {
    pub loss: String,
    pub case: String,
    pub smoothing: f32,
    pub output: Vec<Vec<f64>>,
    pub targets: Vec<Vec<f64>>,
    pub reductions: Vec<ReductionCase>,
}

#[derive(Deserialize)]
pub struct ReductionCase {
    pub reduction: String,
    pub value: f64,
    pub gradient: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
pub struct LayerCase {
    pub outputs: usize,
    pub activations: Vec<String>,
    pub bias: String,
}

#[derive(Deserialize)]
pub struct Parameters {
    pub weight: Vec<Vec<f64>>,
    pub bias: Option<Vec<f64>>,
}

#[derive(Deserialize)]
pub struct NetCase {
    pub name: String,
    pub layers: Vec<LayerCase>,
    pub loss: String,
    pub reduction: String,
    pub inputs: Vec<Vec<f64>>,
    pub targets: Vec<Vec<f64>>,
    pub parameters: Vec<Parameters>,
    pub outputs: Vec<Vec<f64>>,
    pub value: f64,
    pub gradients: Vec<Parameters>,
}

#[derive(Deserialize)]
pub struct WeightsCase {
    pub name: String,
    pub layers: Vec<LayerCase>,
    pub inputs: Vec<Vec<f64>>,
    pub labels: Vec<u32>,
    pub class_weights: Vec<f32>,
    pub sample_weights: Vec<f32>,
    pub parameters: Vec<Parameters>,
    pub value: f64,
    pub gradients: Vec<Parameters>,
}

#[derive(Deserialize)]
pub struct Optimizers {
    pub layers: Vec<LayerCase>,
    pub loss: String,
    pub reduction: String,
    pub inputs: Vec<Vec<f64>>,
    pub labels: Vec<u32>,
    pub initial: Vec<Parameters>,
    pub first_gradients: Vec<Parameters>,
    pub cases: Vec<OptimizerCase>,
}

#[derive(Deserialize)]
pub struct OptimizerCase {
    pub name: String,
    pub optimizer: String,
    pub lr: f32,
    pub weight_decay: f32,
    pub decay_all: bool,
    pub l1: Option<f32>,
    pub clip_value: Option<f32>,
    pub clip_norm: Option<f32>,
    pub clip_global_norm: Option<f32>,
    pub etas: Option<[f32; 2]>,
    pub momentum: Option<f32>,
    pub beta1: Option<f32>,
    pub beta2: Option<f32>,
    pub epsilon: Option<f32>,
    pub losses: Vec<f64>,
    pub after_1: Vec<Parameters>,
    pub after_10: Vec<Parameters>,
}

pub fn load<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

pub fn matrix(rows: &[Vec<f64>]) -> Matrix<f32> {
    Matrix::new(rows.len(), rows[0].len(), single(&rows.concat())).unwrap()
}

pub fn weights(parameters: &[Parameters]) -> Vec<LayerWeights> {
    let layer = |p: &Parameters| LayerWeights {
        weight: matrix(&p.weight),
        bias: p.bias.as_ref().map(|b| single(b)),
        norm: None,
        embeddings: vec![],
    };
    parameters.iter().map(layer).collect()
}

pub fn net(inputs: usize, layers: &[LayerCase]) -> Net {
    layers.iter().fold(Net::new(inputs), |net, layer| {
        let units = match &layer.activations[..] {
            [one] => one.parse::<Units>().unwrap(),
            each => Units::Each(each.iter().map(|name| name.parse().unwrap()).collect()),
        };
        let mut net = net.layer(layer.outputs, units);
        net.layers.last_mut().unwrap().bias = layer.bias.parse::<Bias>().unwrap();
        net
    })
}

pub fn objective(loss: &str, reduction: &str) -> Objective {
    format!("{loss}:{reduction}").parse().unwrap()
}

/// Weight and bias, each in one row.
pub fn tensors(parameters: &Parameters) -> impl Iterator<Item = Vec<f64>> + use<> {
    [Some(parameters.weight.concat()), parameters.bias.clone()].into_iter().flatten()
}

pub fn optimizer(case: &OptimizerCase) -> Optimizer {
    let mut optimizer: Optimizer = case.optimizer.parse().unwrap();
    if let Some(momentum) = case.momentum.or(case.beta1) {
        optimizer = optimizer.with_momentum(momentum).unwrap();
    }
    if let Some(beta2) = case.beta2 {
        optimizer = optimizer.with_beta2(beta2).unwrap();
    }
    if let Some(epsilon) = case.epsilon {
        optimizer = optimizer.with_epsilon(epsilon).unwrap();
    }
    if let Some([shrink, grow]) = case.etas {
        optimizer = Optimizer::Rprop { shrink, grow };
    }
    optimizer
}
