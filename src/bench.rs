//! Measures training steps against what the device could do at best.

use crate::activation::Activation;
use crate::backend::{Backend, DataId, ValuesMut};
use crate::data::{Affine, Dataset, Features, Preprocessing, Samples, Scaling, Targets};
use crate::error::{Result, unknown};
use crate::kernels::Step;
use crate::kernels::activation::UnitFunctions;
use crate::kernels::matmul::Form;
use crate::loss::Loss;
use crate::matrix::Matrix;
use crate::optim::Optimizer;
use crate::program::{Op, Program};
use crate::random::{Random, Stream};
use crate::spec::{Net, Spec};
use crate::tensor::{Extent, Role, TensorId};
use crate::train::Trainer;
use rand::RngExt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A net with data of the right shape, to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The widths, from the input to the output; relu in between.
    pub widths: &'static [usize],
    /// Rows of a batch.
    pub batch: usize,
    /// Rows of the data set.
    pub rows: usize,
    /// Whether the features are bytes and the targets ten classes; else all are numbers.
    pub classes: bool,
}

/// The cases that this project measures itself by.
pub const CASES: [Case; 6] = [
    Case { name: "S64", widths: &[784, 128, 10], batch: 64, rows: 60_000, classes: true },
    Case { name: "S128", widths: &[784, 128, 10], batch: 128, rows: 60_000, classes: true },
    Case { name: "M", widths: &[784, 1024, 1024, 10], batch: 256, rows: 60_000, classes: true },
    Case {
        name: "T",
        widths: &[32, 64, 64, 64, 64, 16],
        batch: 16_384,
        rows: 65_536,
        classes: false,
    },
    Case { name: "H", widths: &[13, 512, 256, 384, 1], batch: 256, rows: 18_432, classes: false },
    Case { name: "L", widths: &[4096, 4096, 4096, 4096], batch: 512, rows: 1024, classes: false },
];

impl Case {
    /// The case called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &str) -> Result<Self> {
        let found = CASES.into_iter().find(|c| c.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| unknown("case", name, &CASES.map(|c| c.name)))
    }

    /// What is trained.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let mut net = Net::new(self.widths[0]);
        let last = self.widths.len() - 1;
        for (l, &units) in self.widths.iter().enumerate().skip(1) {
            net = net.layer(units, if l == last { Activation::Identity } else { Activation::Relu });
        }
        let loss = if self.classes { Loss::CrossEntropy } else { Loss::SquaredError };
        let optimizer = match self.name {
            "H" => Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
            "L" => Optimizer::Sgd,
            _ => Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        };
        let mut spec = Spec::new(net, loss).optimizer(optimizer);
        spec.lr = spec.lr.min(1e-3);
        spec.batch_size = self.batch;
        spec
    }

    /// Random data of its shape.
    ///
    /// # Errors
    /// Never, for the cases above.
    pub fn data(&self) -> Result<Dataset> {
        let mut random = Random::new(0, Stream::Data, 0);
        let (inputs, outputs) = (self.widths[0], self.widths[self.widths.len() - 1]);
        let mut numbers =
            |cols| Matrix::from_fn(self.rows, cols, |_, _| random.random_range(-1.0..1.0f32));
        let (features, targets) = if self.classes {
            let pixels = numbers(inputs).map(|x| (x.abs() * 255.0) as u8);
            let labels = (0..self.rows as u32).map(|r| r % outputs as u32).collect();
            let names = (0..outputs).map(|c| c.to_string()).collect();
            (Features::U8(pixels), Targets::Classes { labels, names })
        } else {
            (Features::F32(numbers(inputs)), Targets::Numbers(numbers(outputs)))
        };
        Dataset::new(self.name, features, targets)
    }
}

/// How fast a net trains, and how near that is to what the device can do.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Measurement {
    /// Training rows a second, the median of several stretches.
    pub samples_per_second: f64,
    /// Seconds for a step.
    pub step_seconds: f64,
    /// 10⁹ floating-point operations a second, by 6BP − 2B·n_0·n_1 a step.
    pub gflops: f64,
    /// Steps that were timed.
    pub steps: usize,
    /// Seconds until the first step was done, loading the program and the data included.
    pub warmup_seconds: f64,
    /// Kernel launches of a step; 0 on the CPU.
    pub dispatches_per_step: f64,
    /// The best matrix product of this device, in 10⁹ floating-point operations a second.
    pub ceiling_gflops: f64,
    /// What copying a large buffer moves, in 10⁹ bytes a second.
    pub copy_gigabytes: f64,
    /// `gflops` as a part of `ceiling_gflops`.
    pub share: f64,
    /// What takes the most of a step: arithmetic, bandwidth, or dispatches and host.
    pub bound: &'static str,
}

/// Trains `spec` on `data` for about `seconds` seconds on the backend that `open` opens.
///
/// # Errors
/// When the spec, the data and the device don't go together, or the device was lost.
pub fn measure(
    spec: &Spec,
    data: &Dataset,
    seconds: f64,
    open: &dyn Fn() -> Result<Box<dyn Backend>>,
) -> Result<Measurement> {
    let begin = Instant::now();
    let mut trainer = Trainer::new(spec, data, Preprocessing::fit(data, Scaling::Minmax), open()?)?;
    trainer.run_steps(1)?;
    let warmup_seconds = begin.elapsed().as_secs_f64();

    let before = trainer.session().backend().traffic().dispatches;
    let mut stretches = Vec::new();
    let (mut steps, mut timed) = (1, 0);
    let clock = Instant::now();
    while clock.elapsed().as_secs_f64() < seconds || stretches.is_empty() {
        let begin = Instant::now();
        trainer.run_steps(steps)?;
        let took = begin.elapsed().as_secs_f64();
        timed += steps;
        // The first stretches find out how many steps take a twentieth of the time.
        if took < seconds / 40.0 && steps < 1 << 16 {
            steps *= 2;
        } else {
            stretches.push(took / steps as f64);
        }
    }
    stretches.sort_by(f64::total_cmp);
    let step_seconds = stretches[stretches.len() / 2];
    let launched = trainer.session().backend().traffic().dispatches - before;
    drop(trainer);

    let batch = spec.batch_size.min(data.rows());
    let (ceiling, copy) = ceilings(open)?;
    let flops = step_flops(&spec.net, batch);
    let arithmetic = flops / ceiling;
    let bandwidth = step_bytes(spec, batch) / copy;
    let rest = step_seconds - arithmetic.max(bandwidth);
    let bound = match () {
        () if arithmetic >= bandwidth && arithmetic >= rest => "arithmetic",
        () if bandwidth >= rest => "bandwidth",
        () => "dispatches and host",
    };
    Ok(Measurement {
        samples_per_second: batch as f64 / step_seconds,
        step_seconds,
        gflops: flops / step_seconds / 1e9,
        steps: timed,
        warmup_seconds,
        dispatches_per_step: launched as f64 / timed as f64,
        ceiling_gflops: ceiling / 1e9,
        copy_gigabytes: copy / 1e9,
        share: arithmetic / step_seconds,
        bound,
    })
}

/// 6BP − 2B·n_0·n_1: forward, both products of the backward pass, and none for the input.
fn step_flops(net: &Net, batch: usize) -> f64 {
    let weights: Vec<f64> = net.shapes().map(|(out, cols)| (out * cols) as f64).collect();
    let first = weights.first().copied().unwrap_or_default();
    batch as f64 * (6.0 * weights.iter().sum::<f64>() - 2.0 * first)
}

/// The bytes of parameters and optimiser state, each read and written once, and of activations
/// and δ.
fn step_bytes(spec: &Spec, batch: usize) -> f64 {
    let net = &spec.net;
    let parameters = (8 + 8 * spec.optimizer.state_slots()) * net.parameters();
    let units: usize = net.layers.iter().map(|l| l.units).sum();
    (parameters + 4 * batch * (2 * net.inputs + 6 * units)) as f64
}

/// What the device does at best: floating-point operations of a matrix product, and bytes of a
/// copy, a second.
fn ceilings(open: &dyn Fn() -> Result<Box<dyn Backend>>) -> Result<(f64, f64)> {
    // Square, and large enough for any device; a slow one gets a smaller one.
    let mut size = 256;
    let mut flops = 0.0;
    while size <= 4096 {
        let mut program = Program::new(size);
        let mut add = |name| program.add(name, Role::Transient, Extent::Fixed(size), size);
        let (a, b, c) = (add("a"), add("b"), add("c"));
        program.ops = vec![Op::Matmul { form: Form::Nt, a, b, bias: None, c }];
        let seconds = time_op(program, c, open()?)?;
        flops = f64::max(flops, 2.0 * (size as f64).powi(3) / seconds);
        if seconds > 0.05 {
            break;
        }
        size *= 2;
    }
    let elements = 1 << 24;
    let mut program = Program::new(1);
    let mut add = |name| program.add(name, Role::Transient, Extent::Batch, elements);
    let (z, a) = (add("z"), add("a"));
    let functions = UnitFunctions::Same(Activation::Identity);
    program.ops = vec![Op::Activation { functions, z, a }];
    let seconds = time_op(program, a, open()?)?;
    Ok((flops, 8.0 * elements as f64 / seconds))
}

/// The shortest time of a program's op, in seconds.
fn time_op(program: Program, output: TensorId, mut backend: Box<dyn Backend>) -> Result<f64> {
    backend.load(Arc::new(program))?;
    let features = Arc::new(Features::U8(Matrix::new(1, 1, vec![0])?));
    let data = backend.upload(Arc::new(Samples {
        features,
        affine: Affine::identity(1),
        targets: None,
    }))?;
    let step = Step { rows: 1, ..Step::default() };
    let mut time = |steps: &[Step], ops: Range<usize>, data: DataId| -> Result<f64> {
        let begin = Instant::now();
        backend.run(ops, data, steps)?;
        let mut one = [0.0];
        backend.read(output, ValuesMut::F32(&mut one))?;
        Ok(begin.elapsed().as_secs_f64())
    };
    let first = time(&[step], 0..1, data)?;
    let repeats = ((0.02 / first) as usize).clamp(1, 64);
    let steps = vec![step; repeats];
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        best = best.min(time(&steps, 0..1, data)? / repeats as f64);
    }
    Ok(best)
}
