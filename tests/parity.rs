//! Parity op by op: the GPU against f64, by the rule in `wgrad::parity`, over shapes drawn afresh.

mod adapter;

use adapter::has_gpu;
use rand::RngExt;
use std::sync::Arc;
use wgrad::activation::Activation;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::{Backend, DataId, DeviceInfo, Values, ValuesMut};
use wgrad::data::{Affine, Dataset, Features, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::activation::{UnitFunctions, unit_table};
use wgrad::kernels::dropout::Dropout;
use wgrad::kernels::matmul::Form;
use wgrad::loss::{Loss, Reduction};
use wgrad::matrix::Matrix;
use wgrad::optim::{Optimizer, Rule};
use wgrad::parity::Replay;
use wgrad::program::{Op, Program};
use wgrad::random::{Permutation, Random, Stream, stream_key};
use wgrad::spec::{Bias, Layer, Net, Norm, Spec, Units};
use wgrad::tensor::{Extent, Role, TensorId};

/// The GPU backend, or none where there is no adapter and none is required.
fn gpu(test: &str) -> Option<Box<dyn Backend>> {
    if !has_gpu(test) {
        return None;
    }
    Some(Box::new(Gpu::open(0).unwrap()))
}

/// A seed that is new each day, printed so that a failure can be had again with WGRAD_TEST_SEED.
fn random(test: u64) -> Random {
    let today =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
            / 86_400;
    let seed = std::env::var("WGRAD_TEST_SEED").map_or(today, |s| s.parse().unwrap());
    eprintln!("WGRAD_TEST_SEED={seed}");
    Random::new(seed, Stream::Check, test)
}

/// A ragged size: 1, a prime, around a tile of 16, 32 or 64, or any up to 150.
fn size(random: &mut Random) -> usize {
    const NOTABLE: [usize; 16] = [1, 2, 3, 7, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 127];
    match random.random_range(0..3) {
        0 => random.random_range(1..150),
        _ => NOTABLE[random.random_range(0..NOTABLE.len())],
    }
}

fn normal(random: &mut Random, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.normal() as f32).collect()
}

/// A program under construction, with what its tensors hold.
struct Case {
    program: Program,
    rows: usize,
    values: Vec<(TensorId, Vec<f32>)>,
}

impl Case {
    fn new(rows: usize) -> Self {
        Case { program: Program::new(rows.max(1)), rows, values: Vec::new() }
    }

    fn batch(&mut self, name: &str, cols: usize, values: Vec<f32>) -> TensorId {
        self.tensor(name, Extent::Batch, cols, values)
    }

    fn tensor(&mut self, name: &str, rows: Extent, cols: usize, values: Vec<f32>) -> TensorId {
        let id = self.program.add(name, Role::Transient, rows, cols);
        self.values.push((id, values));
        id
    }

    /// Runs `op` alone on all backends, and returns what its last output holds.
    fn check(
        mut self,
        op: Op,
        step: Step,
        samples: Option<Samples>,
        device: Box<dyn Backend>,
    ) -> Vec<f32> {
        let output = *self.program.uses(&op).last().map(|(t, _)| t).unwrap();
        let described = self.program.describe(&op);
        self.program.ops.push(op);
        let samples = samples.unwrap_or_else(|| Samples {
            features: Arc::new(Features::U8(Matrix::new(1, 1, vec![0]).unwrap())),
            affine: Affine::identity(1),
            targets: None,
        });
        let mut replay = Replay::new(self.program, samples, device).unwrap();
        for (id, values) in self.values {
            replay.set(id, values);
        }
        let step = Step { rows: self.rows as u32, ..step };
        for report in replay.run(&step).unwrap() {
            assert!(report.passed, "{described} with {} rows: {report:#?}", self.rows);
        }
        replay.get(output)
    }
}

#[test]
fn matrix_products_of_every_form_agree() {
    let mut random = random(1);
    for round in 0..24 {
        for form in [Form::Nn, Form::Nt, Form::Tn] {
            let Some(device) = gpu("matrix products") else { return };
            // Every eighth round is an empty batch.
            let rows = if round % 8 == 7 { 0 } else { size(&mut random) };
            let (n, other) = (size(&mut random), size(&mut random));
            let mut case = Case::new(rows);
            // Two of the three matrices have the batch's rows.
            let (a, b, c) = match form {
                Form::Nn | Form::Nt => {
                    let k = other;
                    let a = case.batch("a", k, normal(&mut random, rows * k));
                    let shape = if form == Form::Nt { (n, k) } else { (k, n) };
                    let b = case.tensor(
                        "b",
                        Extent::Fixed(shape.0),
                        shape.1,
                        normal(&mut random, n * k),
                    );
                    (a, b, case.batch("c", n, vec![]))
                }
                Form::Tn => {
                    let m = other;
                    let a = case.batch("a", m, normal(&mut random, rows * m));
                    let b = case.batch("b", n, normal(&mut random, rows * n));
                    (a, b, case.tensor("c", Extent::Fixed(m), n, vec![f32::NAN; m * n]))
                }
            };
            let bias = case.tensor("bias", Extent::Fixed(1), n, normal(&mut random, n));
            let sign = [1.0, -1.0][round % 2];
            let bias = (form == Form::Nt && round % 3 > 0).then_some((bias, sign));
            let product =
                case.check(Op::Matmul { form, a, b, bias, c }, Step::default(), None, device);
            assert!(
                rows > 0 || product.iter().all(|&x| x == 0.0),
                "an empty batch has no gradient"
            );
        }
    }
}

/// Mesa's llvmpipe ends loops after 65,535 rounds without a word; sums over that many terms must
/// not be cut short, nor lose digits when all terms have one sign.
#[test]
fn very_long_sums_agree() {
    let (rows, cols) = (70_001, 5);
    let positive = |n: usize| (0..n).map(|i| 0.5 + (i % 11) as f32 / 11.0).collect::<Vec<_>>();
    for form in [Form::Tn, Form::Nt] {
        let Some(device) = gpu("very long sums") else { return };
        let mut case = Case::new(if form == Form::Tn { rows } else { 3 });
        let (a, b, c) = if form == Form::Tn {
            let a = case.batch("a", 3, positive(rows * 3));
            (
                a,
                case.batch("b", cols, positive(rows * cols)),
                case.tensor("c", Extent::Fixed(3), cols, vec![]),
            )
        } else {
            let a = case.batch("a", rows, positive(3 * rows));
            (
                a,
                case.tensor("b", Extent::Fixed(cols), rows, positive(rows * cols)),
                case.batch("c", cols, vec![]),
            )
        };
        let bias = (form == Form::Nt)
            .then(|| (case.tensor("bias", Extent::Fixed(1), cols, positive(cols)), -1.0));
        case.check(Op::Matmul { form, a, b, bias, c }, Step::default(), None, device);
    }
    let rows = 1_100_000;
    let Some(device) = gpu("very long sums") else { return };
    let mut case = Case::new(rows);
    let delta = case.batch("delta", 1, positive(rows));
    let out = case.tensor("out", Extent::Fixed(1), 1, vec![7.0]);
    case.check(Op::ColumnSums { delta, sign: -1.0, out }, Step::default(), None, device);
    let rows = 4_300_000;
    let Some(device) = gpu("very long sums") else { return };
    let mut case = Case::new(rows);
    let scores = case.batch("scores", 4, positive(4 * rows));
    let sums = case.tensor("sums", Extent::Fixed(1), 4, vec![7.0; 4]);
    case.check(Op::Accumulate { scores, sums }, Step::default(), None, device);
}

#[test]
fn activations_and_their_derivatives_agree_over_a_wide_range() {
    let mut random = random(2);
    for activation in Activation::ALL {
        let Some(device) = gpu("activations") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let spread = [0.01, 1.0, 10.0][random.random_range(0..3)];
        let z: Vec<f32> = normal(&mut random, rows * cols).iter().map(|z| z * spread).collect();
        let functions = UnitFunctions::Same(activation);
        let mut case = Case::new(rows);
        let (z_id, a) = (case.batch("z", cols, z.clone()), case.batch("a", cols, vec![]));
        case.check(
            Op::Activation { functions: functions.clone(), z: z_id, a },
            Step::default(),
            None,
            device,
        );

        let Some(device) = gpu("activations") else { return };
        let mut case = Case::new(rows);
        let (z, delta) =
            (case.batch("z", cols, z), case.batch("delta", cols, normal(&mut random, rows * cols)));
        case.check(Op::ActivationGradient { functions, z, delta }, Step::default(), None, device);
    }
}

#[test]
fn a_different_activation_for_each_unit_agrees() {
    let mut random = random(3);
    for gradient in [false, true] {
        let Some(device) = gpu("activations by unit") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let each: Vec<_> = (0..cols).map(|_| Activation::ALL[random.random_range(0..18)]).collect();
        let mut case = Case::new(rows);
        let table = case.tensor("units", Extent::Fixed(cols), 2, unit_table(&each));
        let z = case.batch("z", cols, normal(&mut random, rows * cols));
        let out = case.batch("out", cols, normal(&mut random, rows * cols));
        let functions = UnitFunctions::Each(each, table);
        let op = if gradient {
            Op::ActivationGradient { functions, z, delta: out }
        } else {
            Op::Activation { functions, z, a: out }
        };
        case.check(op, Step::default(), None, device);
    }
}

#[test]
fn softmax_and_its_jacobian_agree() {
    let mut random = random(4);
    for round in 0..8 {
        let (rows, cols) = (size(&mut random), size(&mut random));
        let input: Vec<f32> = normal(&mut random, rows * cols).iter().map(|z| z * 5.0).collect();
        let Some(device) = gpu("softmax") else { return };
        let mut case = Case::new(rows);
        let (input, out) = (
            case.batch("in", cols, input),
            case.batch("out", cols, normal(&mut random, rows * cols)),
        );
        let op = if round % 2 == 0 {
            Op::Softmax { z: input, y: out }
        } else {
            Op::SoftmaxGradient { y: input, delta: out }
        };
        case.check(op, Step::default(), None, device);
    }
}

#[test]
fn every_loss_and_its_gradient_agree() {
    let mut random = random(5);
    for loss in Loss::ALL {
        for reduction in Reduction::ALL {
            let Some(device) = gpu("losses") else { return };
            let (rows, cols) = (size(&mut random), size(&mut random));
            let len = rows * cols;
            let probabilities = loss == Loss::CrossEntropyProbabilities;
            let y = (0..len)
                .map(
                    |_| if probabilities { random.uniform() } else { 3.0 * random.normal() } as f32,
                )
                .collect();
            let t = (0..len).map(|_| if loss.is_for_classes() { random.uniform() } else { random.normal() } as f32).collect();
            let mut case = Case::new(rows);
            let y = case.batch("y", cols, y);
            let t = case.batch("t", cols, t);
            let unit = case.tensor("unit", Extent::Fixed(1), cols, vec![2.5; cols]);
            let gradient = case.batch("gradient", cols, vec![]);
            let scores = case.batch("scores", 4, vec![]);
            let scale = 1.0 / reduction.divisor(rows, cols);
            let step = Step { loss_scale: scale as f32, ..Step::default() };
            case.check(Op::Loss { loss, y, t, unit, gradient, scores }, step, None, device);
        }
    }
}

#[test]
fn sums_over_rows_agree() {
    let mut random = random(6);
    for round in 0..8 {
        let Some(device) = gpu("sums") else { return };
        let rows = if round == 7 { 0 } else { 10 * size(&mut random) };
        let cols = size(&mut random);
        let mut case = Case::new(rows);
        let delta = case.batch("delta", cols, normal(&mut random, rows * cols));
        let out = case.tensor("out", Extent::Fixed(1), cols, vec![7.0; cols]);
        case.check(
            Op::ColumnSums { delta, sign: [1.0, -1.0][round % 2], out },
            Step::default(),
            None,
            device,
        );

        let Some(device) = gpu("sums") else { return };
        let mut case = Case::new(rows);
        let scores = case.batch("scores", 4, normal(&mut random, rows * 4));
        let sums = case.tensor("sums", Extent::Fixed(1), 4, normal(&mut random, 4));
        case.check(Op::Accumulate { scores, sums }, Step::default(), None, device);
    }
}

#[test]
fn every_optimizer_agrees() {
    let mut random = random(7);
    for optimizer in Optimizer::ALL {
        for decay in [0.0, 0.01] {
            let Some(device) = gpu("optimizers") else { return };
            let len = 10 * size(&mut random);
            let mut case = Case::new(1);
            let mut row = |name, values| case.tensor(name, Extent::Fixed(1), len, values);
            let w = row("w", normal(&mut random, len));
            let g = row("g", normal(&mut random, len));
            let first = row("first", normal(&mut random, len));
            let mut squares =
                |name| row(name, normal(&mut random, len).iter().map(|x| x * x).collect());
            let state = [first, squares("second"), squares("third")];
            let step = Step { lr: 0.01, corrections: optimizer.corrections(3), ..Step::default() };
            let rule = Rule { optimizer, decay, decayed: len / 2 };
            case.check(Op::Update { rule, w, g, state }, step, None, device);
        }
    }
}

#[test]
fn dropout_agrees() {
    let mut random = random(17);
    for rate in [0.0, 0.2, 0.5, 0.99] {
        let Some(device) = gpu("dropout") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let mut case = Case::new(rows);
        let values = normal(&mut random, rows * cols);
        let x = case.batch("x", cols, values.clone());
        let dropout = Dropout { rate, key: [random.random(), random.random()] };
        let step = Step { first: random.random_range(0..1000), epoch: 3, ..Step::default() };
        let after = case.check(Op::Dropout { dropout, x }, step, None, device);
        for (before, after) in values.iter().zip(&after) {
            let kept = before * dropout.scale();
            assert!(*after == 0.0 || (after - kept).abs() <= 1e-6 * kept.abs());
        }
    }
}

#[test]
fn weights_beyond_the_largest_norm_are_scaled_back_alike() {
    let mut random = random(18);
    for limit in [0.1, 1.0, 5.0, 1e6] {
        let Some(device) = gpu("max-norm") else { return };
        let (units, inputs) = (size(&mut random), size(&mut random));
        let mut case = Case::new(1);
        let values = normal(&mut random, units * inputs);
        let w = case.tensor("w", Extent::Fixed(units), inputs, values.clone());
        let after = case.check(Op::MaxNorm { w, limit }, Step::default(), None, device);
        let norm = |w: &[f32]| w.iter().map(|w| w * w).sum::<f32>().sqrt();
        for (before, after) in values.chunks(inputs).zip(after.chunks(inputs)) {
            let expected = norm(before).min(limit);
            assert!((norm(after) - expected).abs() <= 1e-4 * expected, "{expected}");
        }
    }
}

#[test]
fn gathered_rows_are_bit_equal_from_bytes_and_from_floats() {
    let mut random = random(8);
    for round in 0..6 {
        let Some(device) = gpu("gather") else { return };
        let (all, cols) = (size(&mut random).max(2), size(&mut random));
        let rows = random.random_range(1..=all);
        let features = if round % 2 == 0 {
            Features::U8(Matrix::from_fn(all, cols, |_, _| random.random_range(0..=255)))
        } else {
            Features::F32(Matrix::from_fn(all, cols, |_, _| random.normal() as f32))
        };
        let affine = Affine { shift: normal(&mut random, cols), scale: normal(&mut random, cols) };
        let classes = round % 3 == 0;
        let targets = if classes {
            let labels = (0..all).map(|_| random.random_range(0..cols as u32)).collect();
            Targets::Classes { labels, names: (0..cols).map(|c| c.to_string()).collect() }
        } else {
            Targets::Numbers(Matrix::from_fn(all, cols, |_, _| random.normal() as f32))
        };
        let samples = Samples { features: Arc::new(features), affine, targets: Some(targets) };
        let order =
            Permutation::new(all as u32, Some(stream_key(3, Stream::Shuffle, round))).words();
        let step = Step { first: (all - rows) as u32, order, ..Step::default() };
        let mut case = Case::new(rows);
        let x = case.batch("x", cols, vec![]);
        case.check(Op::Gather { x }, step, Some(samples.clone()), device);
        let Some(device) = gpu("gather") else { return };
        let mut case = Case::new(rows);
        let t = case.batch("t", cols, vec![]);
        case.check(Op::Targets { t }, step, Some(samples), device);
    }
}

#[test]
fn random_numbers_and_permutations_are_bit_equal() {
    let mut random = random(9);
    for round in 0..4 {
        let Some(device) = gpu("random numbers") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let key = stream_key(round, Stream::Check, 0);
        let mut case = Case::new(rows);
        let out = case.batch("out", cols, vec![]);
        let step = Step { first: 17, ..Step::default() };
        let numbers = case.check(Op::Uniform { key, out }, step, None, device);
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));

        let Some(device) = gpu("random numbers") else { return };
        let n = [rows as u32, 60_000, 1617, 9_999_991][round as usize].max(rows as u32);
        let mut case = Case::new(rows);
        let out = case.batch("out", 1, vec![]);
        let order = Permutation::new(n, Some(key)).words();
        case.check(Op::Permutation { out }, Step { order, ..Step::default() }, None, device);
    }
}

/// Whole programs of nets drawn at random, replayed op by op.
#[test]
fn steps_of_random_nets_agree_op_by_op() {
    let mut random = random(10);
    for round in 0..14 {
        let Some(device) = gpu("steps of random nets") else { return };
        let (rows, cols, classes) =
            (20 + size(&mut random), size(&mut random), 2 + size(&mut random) / 8);
        let mut net = Net::new(cols);
        for _ in 0..random.random_range(0..3) {
            let units = size(&mut random);
            let activation = Activation::ALL[random.random_range(0..18)];
            net.layers.push(Layer::new(units, activation));
        }
        let softmax = round % 2 == 0;
        net.layers.push(Layer::new(
            classes,
            if softmax { Units::Softmax } else { Activation::Identity.into() },
        ));
        net = net.bias(Bias::ALL[round % 3]);
        if round >= 8 {
            // Three more hidden layers of one width, in residual blocks.
            let width = size(&mut random);
            let block = (0..3).map(|_| Layer::new(width, Activation::Tanh));
            net.layers.splice(0..0, block);
            net = net
                .norm([None, Some(Norm::Batch), Some(Norm::Layer)][round % 3])
                .dropout([0.0, 0.25][round % 2]);
            net.layers[1].skip = 1;
            net.layers[2].skip = 2 - round % 2;
        }
        let loss = if softmax { Loss::CrossEntropyProbabilities } else { Loss::CrossEntropy };
        let mut spec = Spec::new(net, loss).optimizer(Optimizer::ALL[round % 5]);
        spec.batch_size = random.random_range(1..rows);
        spec.seed = round as u64;
        let features = Features::F32(Matrix::from_fn(rows, cols, |_, _| random.normal() as f32));
        let labels = (0..rows).map(|_| random.random_range(0..classes as u32)).collect();
        let names = (0..classes).map(|c| c.to_string()).collect();
        let data = Dataset::new("random", features, Targets::Classes { labels, names }).unwrap();
        let preprocessing = wgrad::data::Preprocessing::none(&data);
        let report = wgrad::parity::verify(&spec, &preprocessing, &data, device).unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{spec:?}\n{failed:#?}");
    }
}

/// Each element against f64 by its own size, where the function has no zero that rounding of z
/// moves: what a bound by the largest element of a tensor would let pass.
#[test]
fn elementary_functions_are_right_in_every_digit() {
    use Activation::{Elu, Sigmoid, Softplus, Tanh};
    let z: Vec<f32> = (-200..=60)
        .flat_map(|i| [1.0, -1.0].map(|sign| sign * 1.1f32.powi(i)))
        .filter(|z| z.abs() < 80.0)
        .collect();
    for activation in [Tanh, Sigmoid, Softplus, Elu(1.0), Activation::Sine] {
        let Some(mut device) = gpu("elementary functions") else { return };
        let mut program = Program::new(1);
        let mut add = |name| program.add(name, Role::Transient, Extent::Batch, z.len());
        let (from, to) = (add("z"), add("a"));
        let functions = UnitFunctions::Same(activation);
        program.ops.push(Op::Activation { functions, z: from, a: to });
        device.load(Arc::new(program)).unwrap();
        let features = Arc::new(Features::U8(Matrix::new(1, 1, vec![0]).unwrap()));
        let samples = Samples { features, affine: Affine::identity(1), targets: None };
        let data = device.upload(Arc::new(samples)).unwrap();
        device.write(from, Values::F32(&z)).unwrap();
        device.run(0..1, data, &[Step { rows: 1, ..Step::default() }]).unwrap();
        let mut found = vec![0.0; z.len()];
        device.read(to, ValuesMut::F64(&mut found)).unwrap();
        for (&z, found) in z.iter().zip(found) {
            let exact = activation.value(f64::from(z));
            // Below this, f32 has no normal numbers.
            let tiny = exact.abs() < 1e-37 && found.abs() < 2e-37;
            assert!(
                tiny || (found - exact).abs() <= 6e-7 * exact.abs(),
                "{activation}({z}) = {found}, not {exact}"
            );
        }
    }
}

/// A device that computes NaN must not pass, wherever it stands.
#[test]
fn a_device_that_gives_nan_fails_the_comparison() {
    struct Broken(Cpu<f32>);
    impl Backend for Broken {
        fn info(&self) -> &DeviceInfo {
            self.0.info()
        }
        fn load(&mut self, program: Arc<Program>) -> wgrad::Result<()> {
            self.0.load(program)
        }
        fn upload(&mut self, samples: Arc<Samples>) -> wgrad::Result<DataId> {
            self.0.upload(samples)
        }
        fn forget(&mut self, data: DataId) {
            self.0.forget(data);
        }
        fn write(&mut self, tensor: TensorId, values: Values<'_>) -> wgrad::Result<()> {
            self.0.write(tensor, values)
        }
        fn run(
            &mut self,
            ops: std::ops::Range<usize>,
            data: DataId,
            steps: &[Step],
        ) -> wgrad::Result<()> {
            self.0.run(ops, data, steps)
        }
        fn read(&mut self, tensor: TensorId, mut values: ValuesMut<'_>) -> wgrad::Result<()> {
            if let ValuesMut::F64(values) = &mut values {
                self.0.read(tensor, ValuesMut::F64(values))?;
                // All but the last element: the worst that a maximum may forget.
                let last = values.len() - 1;
                values[..last].fill(f64::NAN);
            }
            Ok(())
        }
    }
    let data = wgrad::data::digits();
    let net = Net::new(64).layer(8, Activation::Tanh).layer(10, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy);
    let preprocessing = wgrad::data::Preprocessing::none(&data);
    let broken = Box::new(Broken(Cpu::new(Some(1)).unwrap()));
    let report = wgrad::parity::verify(&spec, &preprocessing, &data, broken).unwrap();
    let failed = report.ops.iter().filter(|op| !op.passed).count();
    assert!(!report.passed && 2 * failed > report.ops.len(), "{report:#?}");
}

/// The fused program of a small net is replayed too, tensor by tensor.
#[test]
fn fused_steps_agree_tensor_by_tensor() {
    let data = wgrad::data::digits();
    let preprocessing = wgrad::data::Preprocessing::fit(&data, wgrad::data::Scaling::Minmax);
    for (round, optimizer) in Optimizer::ALL.into_iter().enumerate() {
        let Some(device) = gpu("fused steps") else { return };
        let last = [Units::Softmax, Activation::Identity.into()][round % 2].clone();
        let loss = [Loss::SquaredError, Loss::CrossEntropy][round % 2];
        let net =
            Net::new(64).layer(70, Activation::Relu).layer(33, Activation::Gelu).layer(10, last);
        let mut spec = Spec::new(net.bias(Bias::ALL[round % 3]), loss).optimizer(optimizer);
        spec.batch_size = 50;
        let report = wgrad::parity::verify(&spec, &preprocessing, &data, device).unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{failed:#?}");
        assert!(report.ops.iter().any(|op| op.op.starts_with("gradient + update")));
    }
}
