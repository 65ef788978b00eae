//! The net and its training loop: tensors on the device, batches by index.

use crate::data::Data;
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    pub fn new(widths: &[usize], device: &Device) -> Self {
        let pairs = widths.windows(2);
        Mlp { layers: pairs.map(|w| LinearConfig::new(w[0], w[1]).init(device)).collect() }
    }

    /// x: (B, n_0); the result: (B, n_L).
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let (last, hidden) = self.layers.split_last().expect("a net has layers");
        last.forward(hidden.iter().fold(x, |x, layer| relu(layer.forward(x))))
    }
}

pub fn optimizer(name: &str) -> ModuleOptimizer {
    match name {
        "adam" => AdamConfig::new().with_epsilon(1e-8).init(),
        "adamw" => AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(1e-2).init(),
        _ => SgdConfig::new().init(),
    }
}

/// Rows on a device.
pub struct OnDevice {
    x: Tensor<2>,
    classes: Option<Tensor<1, Int>>,
    numbers: Option<Tensor<2>>,
    rows: usize,
}

impl OnDevice {
    pub fn new(data: &Data, inputs: usize, device: &Device) -> Self {
        let rows = data.x.len() / inputs;
        let matrix = |values: &[f32]| {
            let cols = values.len() / rows;
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, cols]), device)
        };
        let classes = (!data.classes.is_empty()).then(|| indices(&data.classes, device));
        let numbers = (!data.numbers.is_empty()).then(|| matrix(&data.numbers));
        OnDevice { x: matrix(&data.x), classes, numbers, rows }
    }

    /// The part of these rows that `net` classifies rightly.
    pub fn accuracy(&self, net: &Mlp) -> f32 {
        let outputs = net.valid().forward(self.x.clone().inner());
        let predicted: Tensor<1, Int> = outputs.argmax(1).squeeze_dim(1);
        let classes = self.classes.clone().expect("classes").inner();
        predicted.equal(classes).float().mean().into_scalar::<f32>()
    }
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// A net in training.
pub struct Training {
    pub net: Mlp,
    pub optimizer: ModuleOptimizer,
    pub data: OnDevice,
    pub batch: usize,
    /// Of labels.
    pub smoothing: Option<f32>,
    pub device: Device,
}

impl Training {
    /// Trains on `steps` batches of a new order; η of each step by `lr`. Gives the last loss, not
    /// yet computed.
    pub fn run(
        &mut self,
        steps: usize,
        random: &mut StdRng,
        lr: impl Fn(usize) -> f64,
    ) -> Tensor<1> {
        let mut order: Vec<i32> = (0..self.data.rows as i32).collect();
        order.shuffle(random);
        let cross_entropy =
            CrossEntropyLossConfig::new().with_smoothing(self.smoothing).init(&self.device);
        let mut last = None;
        for (i, rows) in order.chunks_exact(self.batch).take(steps).enumerate() {
            let rows = indices(rows, &self.device);
            let x = self.data.x.clone().select(0, rows.clone());
            let outputs = self.net.forward(x);
            let loss = match (&self.data.classes, &self.data.numbers) {
                (Some(classes), _) => {
                    cross_entropy.forward(outputs, classes.clone().select(0, rows))
                }
                (None, Some(numbers)) => {
                    let targets = numbers.clone().select(0, rows);
                    MseLoss::new().forward(outputs, targets, Reduction::Mean)
                }
                (None, None) => unreachable!("every case has targets"),
            };
            let gradients = GradientsParams::from_grads(loss.backward(), &self.net);
            self.net = self.optimizer.step(lr(i), self.net.clone(), gradients);
            last = Some(loss);
        }
        last.expect("at least one step")
    }
}
