//! Normalised and residual nets after ten steps, and what they predict then, against PyTorch in f64
//! (`tests/golden/make_layers.py`).

mod common;

use common::{Shared, cpu32, cpu64, gpu, largest, largest_error};
use serde::Deserialize;
use wgrad::activation::Activation;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::event::{Epoch, Flow, Observer};
use wgrad::loss::Loss;
use wgrad::matrix::Matrix;
use wgrad::optim::Optimizer;
use wgrad::parity::{FACTOR, FLOOR};
use wgrad::session::{LayerWeights, NormWeights};
use wgrad::spec::{Net, Norm, Spec};
use wgrad::train::Trainer;

#[derive(Deserialize)]
struct Golden {
    lr: f32,
    steps: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    norm: Option<Norm>,
    depth: usize,
    skip: usize,
    inputs: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
    initial: Vec<Layer>,
    losses: Vec<f64>,
    #[serde(rename = "final")]
    last: Vec<Layer>,
    outputs: Vec<Vec<f64>>,
    /// What PyTorch itself is wrong by in f32.
    single_error: f64,
}

#[derive(Deserialize)]
struct Layer {
    weight: Vec<Vec<f64>>,
    bias: Vec<f64>,
    norm: Option<LayerNorm>,
}

#[derive(Deserialize)]
struct LayerNorm {
    scale: Vec<f64>,
    shift: Vec<f64>,
    running: Option<[Vec<f64>; 2]>,
}

impl Layer {
    fn weights(&self) -> LayerWeights {
        let single = |v: &[f64]| -> Vec<f32> { v.iter().map(|&x| x as f32).collect() };
        LayerWeights {
            weight: Matrix::new(
                self.weight.len(),
                self.weight[0].len(),
                single(&self.weight.concat()),
            )
            .unwrap(),
            bias: Some(single(&self.bias)),
            norm: self.norm.as_ref().map(|norm| NormWeights {
                scale: single(&norm.scale),
                shift: single(&norm.shift),
                running: norm.running.as_ref().map(|r| [single(&r[0]), single(&r[1])]),
            }),
            embeddings: Vec::new(),
        }
    }

    /// Everything the layer has, by name.
    fn parts(&self) -> Vec<(&'static str, Vec<f64>)> {
        let mut parts = vec![("weight", self.weight.concat()), ("bias", self.bias.clone())];
        if let Some(norm) = &self.norm {
            parts.push(("scale", norm.scale.clone()));
            parts.push(("shift", norm.shift.clone()));
            parts.extend(norm.running.iter().map(|running| ("running", running.concat())));
        }
        parts
    }
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| x.into()).collect()
}

fn found_parts(weights: &LayerWeights) -> Vec<Vec<f64>> {
    let mut parts = vec![double(weights.weight.data()), double(weights.bias.as_ref().unwrap())];
    if let Some(norm) = &weights.norm {
        parts.extend([double(&norm.scale), double(&norm.shift)]);
        parts.extend(norm.running.iter().map(|running| double(&running.concat())));
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

/// In f64 what remains is that the scale of the loss is f32, wrong by 3e-8, in ten steps.
const DOUBLE: f64 = 2e-7;

#[test]
fn ten_steps_of_normalised_and_residual_nets_are_those_of_pytorch() {
    let path = format!("{}/tests/golden/layers.json", env!("CARGO_MANIFEST_DIR"));
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let devices: [(&str, Option<Shared>); 3] = [
        ("cpu f64", Some(cpu64(1))),
        ("cpu f32", Some(cpu32(2))),
        ("gpu", gpu("ten steps of normalised nets")),
    ];
    for (device, backend) in devices {
        let Some(backend) = backend else { continue };
        let mut worst = 0.0f64;
        for case in &golden.cases {
            let what =
                format!("{device}, {:?}, depth {}, skip {}", case.norm, case.depth, case.skip);
            let matrix =
                |rows: &[Vec<f32>]| Matrix::new(rows.len(), rows[0].len(), rows.concat()).unwrap();
            let (x, t) = (matrix(&case.inputs), matrix(&case.targets));
            let hidden = (0..case.depth).fold(Net::new(x.cols()), |net, _| {
                net.layer(case.initial[0].bias.len(), Activation::Tanh)
            });
            let net = hidden.layer(t.cols(), Activation::Identity);
            let net = net.norm(case.norm).residual(case.skip);
            let mut spec = Spec::new(net, Loss::SquaredError).optimizer(Optimizer::Sgd);
            (spec.lr, spec.epochs, spec.batch_size) = (golden.lr, golden.steps, x.rows());
            spec.shuffle = false;
            let data = Dataset::new("golden", Features::F32(x), Targets::Numbers(t)).unwrap();
            let none = Preprocessing::none(&data);
            let mut trainer = Trainer::new(&spec, &data, none, backend.boxed()).unwrap();
            let weights: Vec<LayerWeights> = case.initial.iter().map(Layer::weights).collect();
            trainer.set_weights(&weights).unwrap();
            let mut losses = Losses::default();
            trainer.fit(None, &mut losses).unwrap();

            let mut check = |part: &str, found: &[f64], expected: &[f64]| {
                let error = largest_error(found, expected) / largest(expected);
                worst = worst.max(error);
                // In f32 by the rule of parity, of whose two f32 runs one is PyTorch's.
                let bound = match device {
                    "cpu f64" => DOUBLE,
                    _ => FACTOR * case.single_error + FLOOR,
                };
                assert!(error <= bound, "{what}: {part} is wrong by {error:.1e}");
            };
            check("the losses", &losses.0, &case.losses);
            for (l, (found, expected)) in
                trainer.weights().unwrap().iter().zip(&case.last).enumerate()
            {
                for (found, (part, expected)) in found_parts(found).iter().zip(expected.parts()) {
                    check(&format!("layer {}, {part}", l + 1), found, &expected);
                }
            }
            let model = trainer.model().unwrap();
            let outputs = model.predict_in(trainer.session(), data.features_shared()).unwrap();
            check("the outputs", &double(outputs.data()), &case.outputs.concat());
        }
        println!("{device}: largest error {worst:.1e}");
    }
}
