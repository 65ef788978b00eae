//! Runs of ten steps on full batches, compared with those of PyTorch in f64.

#![allow(dead_code, reason = "each test program uses a part")]

use crate::common::{Shared, cpu32, cpu64, gpu, largest, largest_error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wgrad::backend::session::{LayerWeights, NormWeights};
use wgrad::data::{Dataset, Preprocessing};
use wgrad::math::matrix::Matrix;
use wgrad::net::spec::Spec;
use wgrad::proof::parity::{FACTOR, FLOOR};
use wgrad::train::event::{Epoch, Flow, Observer};
use wgrad::train::trainer::Trainer;

/// In f64 what remains is that η, the scale of the loss and the constants of an optimizer are f32,
/// each wrong by up to 6e-8, in ten steps.
const DOUBLE: f64 = 2e-7;

/// The parameters of a net.
#[derive(Deserialize)]
pub struct Parameters {
    /// (values, dims) of each embedding.
    #[serde(default)]
    pub tables: Vec<Vec<Vec<f64>>>,
    pub layers: Vec<Layer>,
}

#[derive(Deserialize)]
pub struct Layer {
    /// (out, in).
    pub weight: Vec<Vec<f64>>,
    pub bias: Vec<f64>,
    norm: Option<LayerNorm>,
}

#[derive(Deserialize)]
struct LayerNorm {
    scale: Vec<f64>,
    shift: Vec<f64>,
    running: Option<[Vec<f64>; 2]>,
}

/// PyTorch's results of a run.
#[derive(Deserialize)]
pub struct Golden {
    initial: Parameters,
    /// Before each step.
    losses: Vec<f64>,
    /// After the last step.
    #[serde(rename = "final")]
    last: Parameters,
    /// The net's predictions for the training rows after that.
    outputs: Vec<Vec<f64>>,
    /// PyTorch's own error in f32.
    single_error: f64,
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| x.into()).collect()
}

fn matrix64(rows: &[Vec<f64>]) -> Matrix<f32> {
    Matrix::new(rows.len(), rows[0].len(), single(&rows.concat())).unwrap()
}

/// Rows of a file.
pub fn matrix(rows: &[Vec<f32>]) -> Matrix<f32> {
    Matrix::new(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

/// A file of `tests/golden`.
pub fn load<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Parameters {
    fn weights(&self) -> Vec<LayerWeights> {
        let layer = |(l, layer): (usize, &Layer)| LayerWeights {
            weight: matrix64(&layer.weight),
            bias: Some(single(&layer.bias)),
            norm: layer.norm.as_ref().map(|norm| NormWeights {
                scale: single(&norm.scale),
                shift: single(&norm.shift),
                running: norm.running.as_ref().map(|r| [single(&r[0]), single(&r[1])]),
            }),
            embeddings: self.tables.iter().filter(|_| l == 0).map(|t| matrix64(t)).collect(),
        };
        self.layers.iter().enumerate().map(layer).collect()
    }

    /// Every tensor by name.
    fn parts(&self) -> Vec<(String, Vec<f64>)> {
        let tables = self.tables.iter().enumerate();
        let mut parts: Vec<_> =
            tables.map(|(i, table)| (format!("embedding {}", i + 1), table.concat())).collect();
        for (l, layer) in self.layers.iter().enumerate() {
            let mut add =
                |what: &str, values| parts.push((format!("layer {}, {what}", l + 1), values));
            add("weight", layer.weight.concat());
            add("bias", layer.bias.clone());
            if let Some(norm) = &layer.norm {
                add("scale", norm.scale.clone());
                add("shift", norm.shift.clone());
                norm.running.iter().for_each(|running| add("running", running.concat()));
            }
        }
        parts
    }
}

/// Every tensor, in the order of [`Parameters::parts`].
pub fn parts(weights: &[LayerWeights]) -> Vec<Vec<f64>> {
    let mut parts: Vec<_> =
        weights[0].embeddings.iter().map(|table| double(table.data())).collect();
    for layer in weights {
        parts.push(double(layer.weight.data()));
        parts.extend(layer.bias.iter().map(|bias| double(bias)));
        if let Some(norm) = &layer.norm {
            parts.extend([double(&norm.scale), double(&norm.shift)]);
            parts.extend(norm.running.iter().map(|running| double(&running.concat())));
        }
    }
    parts
}

#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn epoch(&mut self, epoch: &Epoch) -> wgrad::Result<Flow> {
        self.0.push(epoch.train_loss);
        Ok(Flow::Continue)
    }
}

/// A backend with its name.
pub struct Device(&'static str, Shared);

/// The CPU in both precisions, and a GPU if there is one.
pub fn devices(test: &str) -> Vec<Device> {
    let all = [("cpu f64", Some(cpu64(1))), ("cpu f32", Some(cpu32(2))), ("gpu", gpu(test))];
    all.into_iter().filter_map(|(name, backend)| Some(Device(name, backend?))).collect()
}

impl Device {
    /// Trains as `spec` says for ten steps on all of `data`, in the order of the file, and compares
    /// losses, parameters and outputs with `golden`.
    #[track_caller]
    pub fn check(&self, what: &str, spec: Spec, data: &Dataset, golden: &Golden) {
        let Device(device, backend) = self;
        let epochs = golden.losses.len();
        let spec = Spec { epochs, batch_size: data.rows(), shuffle: false, ..spec };
        let none = Preprocessing::none(data);
        let mut trainer = Trainer::new(&spec, data, none, backend.boxed()).unwrap();
        trainer.set_weights(&golden.initial.weights()).unwrap();
        let mut losses = Losses::default();
        trainer.fit(None, &mut losses).unwrap();

        let check = |part: &str, found: &[f64], expected: &[f64]| {
            let error = largest_error(found, expected) / largest(expected);
            // In f32 by the rule of parity, of whose two f32 runs one is PyTorch's.
            let bound = match *device {
                "cpu f64" => DOUBLE,
                _ => FACTOR * golden.single_error + FLOOR,
            };
            let what = format!("{device}, {what}: {part}");
            assert!(error <= bound, "{what} is wrong by {error:.1e}, and not {bound:.1e}");
        };
        check("the losses", &losses.0, &golden.losses);
        let (found, expected) = (parts(&trainer.weights().unwrap()), golden.last.parts());
        assert_eq!(found.len(), expected.len(), "{what}");
        for (found, (part, expected)) in found.iter().zip(&expected) {
            check(part, found, expected);
        }
        let model = trainer.model().unwrap();
        let outputs = model.predict_in(trainer.session(), data.features_shared()).unwrap();
        check("the outputs", &double(outputs.as_f32().unwrap().data()), &golden.outputs.concat());
    }
}

impl Golden {
    /// The initial layers of the run.
    pub fn layers(&self) -> &[Layer] {
        &self.initial.layers
    }

    /// Values and dimensions of each embedding.
    pub fn tables(&self) -> Vec<[usize; 2]> {
        self.initial.tables.iter().map(|table| [table.len(), table[0].len()]).collect()
    }
}
