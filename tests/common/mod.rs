//! Shared by golden, gradients and determinism: backends, random data, comparisons.

#![allow(dead_code, reason = "each test program uses a part")]

use pollster::FutureExt as _;
use std::io::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::{self, Gpu};
use wgrad::backend::session::initial_weights;
use wgrad::backend::session::{self, LayerWeights};
use wgrad::backend::{Backend, DataId, DeviceInfo, Pending, Traffic, Values, ValuesMut};
use wgrad::data::{Dataset, Features, Preprocessing, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::inputs::mixup::mixing;
use wgrad::kernels::mixed::Multiplier;
use wgrad::kernels::tensor::TensorId;
use wgrad::math::loss::Loss;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::spec::Spec;
use wgrad::plan::program::Program;
use wgrad::plan::{self, Plan, Purpose, Traits};

/// The best adapter, or none, with a message; a failure with `WGRAD_REQUIRE_GPU=1`.
pub fn gpu(test: &str) -> Option<Shared> {
    if gpu::adapters().is_empty() {
        let required = std::env::var("WGRAD_REQUIRE_GPU").is_ok_and(|value| value == "1");
        assert!(!required, "no Vulkan adapter: {test}");
        let _ =
            std::io::stderr().write_all(format!("skipped: no Vulkan adapter: {test}\n").as_bytes());
        return None;
    }
    Some(Shared::new(Gpu::open(0).unwrap()))
}

/// The CPU in f32.
pub fn cpu32(threads: usize) -> Shared {
    Shared::new(Cpu::<f32>::new(Some(threads)).unwrap())
}

/// The CPU in f64.
pub fn cpu64(threads: usize) -> Shared {
    Shared::new(Cpu::<f64>::new(Some(threads)).unwrap())
}

/// A backend that outlives its trainer, so that a test can inspect it
/// during training, and doesn't need to compile its kernels again for the next trainer.
#[derive(Clone)]
pub struct Shared {
    info: DeviceInfo,
    backend: Arc<Mutex<dyn Backend>>,
}

impl Shared {
    fn new(backend: impl Backend + 'static) -> Self {
        Shared { info: backend.info().clone(), backend: Arc::new(Mutex::new(backend)) }
    }

    /// The same backend, to be owned by a trainer.
    pub fn boxed(&self) -> Box<dyn Backend> {
        Box::new(self.clone())
    }

    /// Loads a program with its samples.
    pub fn start(&mut self, program: &Program, samples: &Samples) -> DataId {
        self.load(Arc::new(program.clone())).block_on().unwrap();
        self.upload(Arc::new(samples.clone())).block_on().unwrap()
    }

    /// All elements of a tensor, in a batch of `rows`.
    pub fn get(&self, program: &Program, tensor: TensorId, rows: usize) -> Vec<f64> {
        let mut values = vec![f64::NAN; program.range(tensor, rows).len()];
        let read = ValuesMut::F64(&mut values);
        self.backend.lock().unwrap().read(tensor, read).block_on().unwrap();
        values
    }

    /// Writes the parameters of all layers.
    pub fn set_weights(&mut self, plan: &Plan, weights: &[LayerWeights]) {
        for (tensor, values) in session::tensors(plan, weights) {
            self.write(tensor, Values::F32(&values)).block_on().unwrap();
        }
    }
}

impl Backend for Shared {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }
    fn traits(&self) -> Traits {
        self.backend.lock().unwrap().traits()
    }
    fn open_mixed(&mut self) -> Pending<'_, Vec<Multiplier>> {
        Box::pin(async move { self.backend.lock().unwrap().open_mixed().block_on() })
    }
    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        Box::pin(async move { self.backend.lock().unwrap().load(program).block_on() })
    }
    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId> {
        Box::pin(async move { self.backend.lock().unwrap().upload(samples).block_on() })
    }
    fn forget(&mut self, data: DataId) {
        self.backend.lock().unwrap().forget(data);
    }
    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
        Box::pin(async move { self.backend.lock().unwrap().write(tensor, values).block_on() })
    }
    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        Box::pin(async move { self.backend.lock().unwrap().run(ops, data, steps).block_on() })
    }
    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
        Box::pin(async move { self.backend.lock().unwrap().read(tensor, values).block_on() })
    }
    fn traffic(&self) -> Traffic {
        self.backend.lock().unwrap().traffic()
    }
}

/// A step over the first `rows` rows in order.
pub fn first_rows(spec: &Spec, rows: usize) -> Step {
    let divisor = spec.objective.divisor(rows, spec.net.outputs());
    Step {
        rows: rows as u32,
        lr: spec.lr,
        reduction_factor: (1.0 / divisor) as f32,
        corrections: spec.optimizer.corrections(1),
        smoothing: spec.label_smoothing,
        mixing: mixing(spec, 0),
        ..Step::default()
    }
}

/// The gradient of every parameter of a layer, by the program's own names: `layers.0.weight`.
pub fn gradients(
    backend: &mut Shared,
    spec: &Spec,
    samples: &Samples,
    weights: &[LayerWeights],
) -> Vec<(String, Vec<f64>)> {
    let rows = samples.rows();
    let plan = plan::plain(spec, rows, Purpose::Train);
    let data = backend.start(&plan.program, samples);
    backend.set_weights(&plan, weights);
    let routine = plan.program.routines.gradient.clone();
    backend.run(routine, data, &[first_rows(spec, rows)]).block_on().unwrap();
    read_gradients(backend, &plan)
}

/// The gradients on the backend.
pub fn read_gradients(backend: &Shared, plan: &Plan) -> Vec<(String, Vec<f64>)> {
    let mut all = Vec::new();
    for embedding in &plan.embeddings {
        let gradient = embedding.gradient.expect("the plain program keeps gradients");
        let name = plan.program.tensor(embedding.table).name.clone();
        all.push((name, backend.get(&plan.program, gradient, 0)));
    }
    for layer in &plan.layers {
        let gradient = layer.gradients.expect("the plain program keeps gradients");
        let pairs = [(Some(layer.weight), Some(gradient.weight)), (layer.bias, gradient.bias)];
        for (parameter, gradient) in pairs {
            if let (Some(parameter), Some(gradient)) = (parameter, gradient) {
                let name = plan.program.tensor(parameter).name.clone();
                all.push((name, backend.get(&plan.program, gradient, 0)));
            }
        }
        if let Some(norm) = layer.norm {
            let backward = norm.backward.expect("a plan for training");
            let pairs =
                [(norm.forward.scale, backward.scale), (norm.forward.shift, backward.shift)];
            for (parameter, gradient) in pairs {
                let name = plan.program.tensor(parameter).name.clone();
                all.push((name, backend.get(&plan.program, gradient, 0)));
            }
        }
    }
    all
}

/// Normal features and targets that suit `loss` for a net with `outputs` outputs: (rows, inputs),
/// (rows, targets).
pub fn random_data(loss: Loss, rows: usize, inputs: usize, outputs: usize, seed: u64) -> Dataset {
    let mut random = Random::new(seed, Stream::Check, 0);
    let features = Matrix::from_fn(rows, inputs, |_, _| random.normal() as f32);
    let shares = loss == Loss::KlDivergence || loss.is_for_classes() && !loss.is_for_labels();
    let mut targets = Matrix::from_fn(rows, loss.targets(outputs), |_, _| match loss {
        _ if shares => (0.1 + random.uniform()) as f32,
        _ if loss.is_for_labels() => random.uniform() as f32,
        Loss::Poisson => (5.0 * random.uniform()).floor() as f32,
        _ => random.normal() as f32,
    });
    if shares {
        for row in targets.data_mut().chunks_exact_mut(outputs) {
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|t| *t /= total);
        }
    }
    Dataset::new("random", Features::F32(features), Targets::from(targets)).unwrap()
}

/// Normal features and seeded classes.
pub fn random_classes(rows: usize, inputs: usize, classes: usize, seed: u64) -> Dataset {
    let mut random = Random::new(seed, Stream::Check, 1);
    let features = Matrix::from_fn(rows, inputs, |_, _| random.normal() as f32);
    let labels = (0..rows).map(|_| (random.uniform() * classes as f64) as u32).collect();
    let names = (0..classes).map(|class| class.to_string()).collect();
    let targets = Targets::Classes { labels, names };
    Dataset::new("random classes", Features::F32(features), targets).unwrap()
}

/// The rows of a data set, without scaling.
pub fn unscaled(data: &Dataset) -> Samples {
    Preprocessing::none(data).samples(data).unwrap()
}

/// The initial weights for the seed, and biases, scales and shifts that are not zero.
pub fn random_weights(spec: &Spec) -> Vec<LayerWeights> {
    let mut random = Random::new(spec.seed, Stream::Check, 2);
    let mut weights = initial_weights(spec);
    for bias in weights.iter_mut().filter_map(|layer| layer.bias.as_mut()) {
        bias.iter_mut().for_each(|b| *b = 0.5 * random.normal() as f32);
    }
    for norm in weights.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
        norm.scale.iter_mut().for_each(|x| *x = 1.0 + 0.5 * random.normal() as f32);
        norm.shift.iter_mut().for_each(|x| *x = 0.5 * random.normal() as f32);
    }
    weights
}

/// The largest magnitude.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// All weights and biases, layer by layer.
pub fn numbers(weights: &[LayerWeights]) -> Vec<f64> {
    let all = weights.iter().flat_map(|l| l.weight.data().iter().chain(l.bias.iter().flatten()));
    all.map(|&x| x.into()).collect()
}

/// The largest difference between the weights and biases of two nets.
pub fn difference(a: &[LayerWeights], b: &[LayerWeights]) -> f64 {
    largest_error(&numbers(a), &numbers(b))
}

/// The largest difference; NaN if either side has a NaN.
pub fn largest_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let errors = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    errors.fold(0.0, |m: f64, e| if e.is_nan() || m.is_nan() { f64::NAN } else { m.max(e) })
}
