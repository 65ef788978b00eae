//! Runs plain programs on every backend and returns their tensors as rows of f64.

use super::algebra::{Rows, row};
use pollster::FutureExt as _;
use std::any::type_name;
use std::io::Write as _;
use std::sync::Arc;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::{Gpu, adapters};
use wgrad::backend::session::LayerWeights;
use wgrad::backend::{Backend, Values, ValuesMut};
use wgrad::data::{Affine, Features, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::tensor::{Extent, TensorId};
use wgrad::math::loss::{Loss, Objective, Reduction};
use wgrad::math::matrix::Matrix;
use wgrad::net::spec::{Bias, Net, Spec, Units};
use wgrad::plan::{self, Purpose};
use wgrad::{Activation, Optimizer};

/// The largest error of a backend in f64, relative to the largest magnitude of the tensor.
pub const F64_TOLERANCE: f64 = 1e-12;
/// The largest error of a backend in f32, relative to the largest magnitude of the tensor.
pub const F32_TOLERANCE: f64 = 1e-5;
/// η of every test, exact in f32.
pub const ETA: f64 = 0.125;

/// A backend under test.
pub struct Device {
    pub name: &'static str,
    /// The tolerance of [`Device::agree`].
    pub tolerance: f64,
    pub open: fn() -> Box<dyn Backend>,
    pub backend: Box<dyn Backend>,
}

/// Runs `check` on the CPU in f64 and f32, and on the GPU backend.
///
/// Without an adapter the last one is skipped, unless `WGRAD_REQUIRE_GPU=1`.
pub fn on_every_backend<F: Fn(&mut Device)>(check: F) {
    let run = |name, tolerance, open: fn() -> Box<dyn Backend>| {
        check(&mut Device { name, tolerance, open, backend: open() });
    };
    run("cpu f64", F64_TOLERANCE, || Box::new(Cpu::<f64>::new(Some(2)).unwrap()));
    run("cpu f32", F32_TOLERANCE, || Box::new(Cpu::<f32>::new(Some(2)).unwrap()));
    if !adapters().is_empty() {
        run("gpu", F32_TOLERANCE, || Box::new(Gpu::open(0).unwrap()));
        return;
    }
    let test = type_name::<F>().trim_end_matches("::{{closure}}");
    let required = std::env::var("WGRAD_REQUIRE_GPU").is_ok_and(|v| v == "1");
    assert!(!required, "no Vulkan adapter, and WGRAD_REQUIRE_GPU=1: {test}");
    let _ = std::io::stderr().write_all(format!("skipped: no Vulkan adapter: {test}\n").as_bytes());
}

impl Device {
    /// Compares `found` with `expected`, relative to the largest magnitude of `expected`.
    #[track_caller]
    pub fn agree(&self, what: &str, found: &Rows, expected: &Rows) {
        agree_within(self.tolerance, &format!("{what} on {}", self.name), found, expected);
    }

    /// The program of `case` through forward, backward and update.
    pub fn run(&mut self, case: &Case) -> Outcome {
        case.spec.check().unwrap();
        let rows = case.samples.rows();
        let plan = plan::plain(&case.spec, rows, Purpose::Train);
        let routines = plan.program.routines.clone();
        let backend = &mut *self.backend;
        backend.load(Arc::new(plan.program.clone())).block_on().unwrap();
        let data = backend.upload(Arc::new(case.samples.clone())).block_on().unwrap();
        for (tensors, layer) in plan.layers.iter().zip(&case.layers) {
            write(backend, tensors.weight, &layer.weight);
            if let Some(bias) = tensors.bias {
                write(backend, bias, &row(&layer.bias));
            }
        }
        let step = case.step();
        let rows_of = |backend: &mut dyn Backend, id: TensorId| {
            let t = plan.program.tensor(id);
            read(backend, id, t.rows.rows(rows), t.cols)
        };
        backend.run(routines.gradient, data, &[step]).block_on().unwrap();
        let sum = rows_of(backend, plan.sums)[0][0];
        let mut layers = Vec::new();
        for tensors in &plan.layers {
            let gradients = tensors.gradients.unwrap();
            layers.push(LayerOutcome {
                z: rows_of(backend, tensors.z),
                a: rows_of(backend, tensors.a),
                delta: rows_of(backend, tensors.delta.unwrap()),
                weight_gradient: rows_of(backend, gradients.weight),
                bias_gradient: gradients.bias.map_or(Vec::new(), |b| rows_of(backend, b)),
                weight: Vec::new(),
                bias: Vec::new(),
            });
        }
        backend.run(routines.step, data, &[step]).block_on().unwrap();
        for (layer, tensors) in layers.iter_mut().zip(&plan.layers) {
            layer.weight = rows_of(backend, tensors.weight);
            layer.bias = tensors.bias.map_or(Vec::new(), |b| rows_of(backend, b));
        }
        let divisor = case.spec.objective.reduction.divisor(rows, case.spec.net.outputs());
        Outcome { error: sum / divisor, layers }
    }
}

/// Compares `found` with `expected`, relative to the largest magnitude of `expected`.
#[track_caller]
pub fn agree_within(tolerance: f64, what: &str, found: &Rows, expected: &Rows) {
    agree_to(tolerance * largest(expected), what, found, expected);
}

/// Compares `found` with `expected`, each element with the tolerance `allowed`.
#[track_caller]
pub fn agree_to(allowed: f64, what: &str, found: &Rows, expected: &Rows) {
    let shape = |m: &Rows| (m.len(), m.first().map_or(0, Vec::len));
    assert_eq!(shape(found), shape(expected), "the shape of {what}");
    for (r, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (c, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            // Written so that a NaN doesn't pass.
            assert!(
                error <= allowed,
                "{what} at ({r}, {c}): {found}, not {expected}: {error:.1e} is more than {allowed:.1e}"
            );
        }
    }
}

/// The largest magnitude.
pub fn largest(m: &Rows) -> f64 {
    m.iter().flatten().fold(0.0, |largest, x| x.abs().max(largest))
}

/// Writes all of a tensor.
pub fn write(backend: &mut dyn Backend, tensor: TensorId, values: &Rows) {
    let flat: Vec<f64> = values.iter().flatten().copied().collect();
    backend.write(tensor, Values::F64(&flat)).block_on().unwrap();
}

/// Reads a tensor of shape (rows, cols).
pub fn read(backend: &mut dyn Backend, tensor: TensorId, rows: usize, cols: usize) -> Rows {
    let mut values = vec![f64::NAN; rows * cols];
    backend.read(tensor, ValuesMut::F64(&mut values)).block_on().unwrap();
    values.chunks(cols).map(<[f64]>::to_vec).collect()
}

/// W: (out, in) and b: (out), which is empty where a layer has none.
#[derive(Debug, Clone)]
pub struct Parameters {
    pub weight: Rows,
    pub bias: Vec<f64>,
}

/// A spec with parameters and rows.
pub struct Case {
    pub spec: Spec,
    pub layers: Vec<Parameters>,
    pub samples: Samples,
}

impl Case {
    /// Plain gradient descent at the rate [`ETA`] on these rows.
    pub fn new(
        net: Net,
        loss: Loss,
        reduction: Reduction,
        layers: &[Parameters],
        samples: Samples,
    ) -> Self {
        let mut spec = Spec::new(net, Objective { loss, reduction }).optimizer(Optimizer::Sgd);
        spec.lr = ETA as f32;
        Case { spec, layers: layers.to_vec(), samples }
    }

    /// One step over all rows, in order.
    fn step(&self) -> Step {
        let rows = self.samples.rows();
        let divisor = self.spec.objective.reduction.divisor(rows, self.spec.net.outputs());
        let reduction_factor = (1.0 / divisor) as f32;
        Step { rows: rows as u32, lr: self.spec.lr, reduction_factor, ..Step::default() }
    }
}

/// The results of a program.
pub struct Outcome {
    /// E over the batch, reduced.
    pub error: f64,
    pub layers: Vec<LayerOutcome>,
}

/// The results of a program for a layer; bias tensors are empty if it has no bias.
pub struct LayerOutcome {
    /// Z: (B, out).
    pub z: Rows,
    /// A: (B, out).
    pub a: Rows,
    /// δ: (B, out).
    pub delta: Rows,
    /// ∂E/∂W: (out, in).
    pub weight_gradient: Rows,
    /// ∂E/∂b: (1, out).
    pub bias_gradient: Rows,
    /// W after the update: (out, in).
    pub weight: Rows,
    /// b after the update: (1, out).
    pub bias: Rows,
}

/// A net of layers of one activation each.
pub fn net(inputs: usize, layers: &[(usize, Activation)], bias: Bias) -> Net {
    let start = Net::new(inputs);
    layers.iter().fold(start, |net, &(units, a)| net.layer(units, Units::Same(a))).bias(bias)
}

/// Rows of numbers without scaling: x: (B, n_0), t: (B, n_L).
pub fn samples(x: &Rows, t: &Rows) -> Samples {
    Samples {
        affine: Affine::identity(x[0].len()),
        features: Arc::new(Features::F32(single(x))),
        targets: Some(Targets::from(single(t))),
        weights: None,
    }
}

/// A matrix of the library, from numbers that f32 holds exactly.
pub fn single(m: &Rows) -> Matrix<f32> {
    let exact = |x: f64| {
        assert_eq!(f64::from(x as f32), x, "not exact in f32");
        x as f32
    };
    Matrix::from_fn(m.len(), m[0].len(), |r, c| exact(m[r][c]))
}

/// Parameters in the library's form.
pub fn layer_weights(layers: &[Parameters]) -> Vec<LayerWeights> {
    let bias = |b: &Vec<f64>| (!b.is_empty()).then(|| single(&row(b)).into_data());
    layers
        .iter()
        .map(|l| LayerWeights {
            weight: single(&l.weight),
            bias: bias(&l.bias),
            norm: None,
            embeddings: vec![],
        })
        .collect()
}

/// The number of rows of a tensor that is not as long as the batch.
pub fn fixed_rows(rows: Extent) -> usize {
    match rows {
        Extent::Fixed(rows) => rows,
        Extent::Batch => panic!("as many rows as the batch"),
    }
}
