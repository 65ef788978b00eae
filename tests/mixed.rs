//! Mixed precision: each op against f64 by the parity rule, whole runs against f32, the scale of the
//! loss, going on with a run, and what is refused.

mod adapter;
mod cli_support;

use adapter::has_gpu;
use cli_support::Place;
use rand::RngExt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::{Backend, DataId, DeviceInfo, Traffic, Values, ValuesMut};
use wgrad::data::{Dataset, Features, Preprocessing, Samples, Targets};
use wgrad::error::ErrorKind;
use wgrad::kernels::Step;
use wgrad::kernels::mixed::{BLOCKS, MixedTuning, Multiplier};
use wgrad::kernels::tile::Tuning;
use wgrad::matrix::Matrix;
use wgrad::parity::{self, Replay};
use wgrad::plan::{self, Fusion, Purpose};
use wgrad::precision::{Gate, MixedPrecision, Precision};
use wgrad::program::{Op, Program};
use wgrad::random::{Random, Stream};
use wgrad::session::LayerWeights;
use wgrad::spec::{Bias, Layer, Net, Spec, Units};
use wgrad::tensor::{Role, TensorId};
use wgrad::train::{LossScale, initial_weights};
use wgrad::{Activation, Loss, Optimizer, Result, Trainer};

/// The CPU as a device for f16: as its reference, or with what is to be found out about a device.
struct Device {
    cpu: Cpu<f32>,
    offered: Vec<Multiplier>,
    /// What computes wrong: by two units of f16 in the first element of all that is read as f64.
    wrong: Option<Multiplier>,
    /// What a step takes in f32 and in f16 by each of what is offered.
    pace: Option<(Duration, Vec<Duration>)>,
    /// What loses the device when a program is loaded for it, until it is opened anew without matrices.
    breaks: Option<Multiplier>,
    multiplier: Multiplier,
    in_f16: bool,
    is_lost: bool,
}

impl Device {
    fn new() -> Self {
        Device {
            cpu: Cpu::new(Some(2)).unwrap(),
            offered: vec![Multiplier::Fma],
            wrong: None,
            pace: None,
            breaks: None,
            multiplier: Multiplier::Fma,
            in_f16: false,
            is_lost: false,
        }
    }

    fn boxed() -> Box<dyn Backend> {
        Box::new(Self::new())
    }
}

impl Backend for Device {
    fn info(&self) -> &DeviceInfo {
        self.cpu.info()
    }
    fn open_mixed(&mut self) -> Result<Vec<Multiplier>> {
        Ok(self.offered.clone())
    }
    fn multiply_by(&mut self, multiplier: Multiplier) {
        self.multiplier = multiplier;
    }
    fn without_matrices(&mut self) -> Result<()> {
        self.offered.retain(|multiplier| *multiplier == Multiplier::Fma);
        self.multiplier = Multiplier::Fma;
        self.is_lost = false;
        Ok(())
    }
    fn load(&mut self, program: Arc<Program>) -> Result<()> {
        self.is_lost |= self.breaks == Some(self.multiplier);
        if self.is_lost {
            return Err(wgrad::Error::failed("the device was lost"));
        }
        self.in_f16 = program.ops.iter().any(|op| matches!(op, Op::Mixed(_)));
        self.cpu.load(program)
    }
    fn upload(&mut self, samples: Arc<Samples>) -> Result<DataId> {
        self.cpu.upload(samples)
    }
    fn forget(&mut self, data: DataId) {
        self.cpu.forget(data);
    }
    fn write(&mut self, tensor: TensorId, values: Values<'_>) -> Result<()> {
        self.cpu.write(tensor, values)
    }
    fn run(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) -> Result<()> {
        // Of whole steps; the self-test runs op by op.
        if let (Some((single, halves)), true) = (&self.pace, ops.len() > 1) {
            let place = self.offered.iter().position(|m| *m == self.multiplier).unwrap();
            let each = if self.in_f16 { halves[place] } else { *single };
            std::thread::sleep(each * steps.len() as u32);
        }
        self.cpu.run(ops, data, steps)
    }
    fn read(&mut self, tensor: TensorId, mut values: ValuesMut<'_>) -> Result<()> {
        let is_wrong = self.in_f16 && self.wrong == Some(self.multiplier);
        match &mut values {
            ValuesMut::F32(v) => self.cpu.read(tensor, ValuesMut::F32(v)),
            ValuesMut::F64(v) => {
                self.cpu.read(tensor, ValuesMut::F64(v))?;
                v.iter_mut().take(usize::from(is_wrong)).for_each(|x| *x *= 1.0 + 1.0 / 512.0);
                Ok(())
            }
        }
    }
    fn traffic(&self) -> Traffic {
        self.cpu.traffic()
    }
}

/// The same spec in f16, without a measured gain.
fn in_f16(spec: &Spec) -> Spec {
    let mixed = MixedPrecision { gate: Gate::SelfTestOnly, ..spec.mixed };
    Spec { precision: Precision::F16, mixed, ..spec.clone() }
}

/// The CPU as a reference, and the GPU where there is one.
fn devices(test: &str) -> Vec<Box<dyn Backend>> {
    let mut devices = vec![Device::boxed()];
    if has_gpu(test) {
        devices.push(Box::new(Gpu::open(0).unwrap()));
    }
    devices
}

fn normal(random: &mut Random, rows: usize, cols: usize) -> Matrix<f32> {
    Matrix::from_fn(rows, cols, |_, _| random.normal() as f32)
}

/// A net, data for it and a run, all drawn at random; classes in even rounds, numbers in odd ones.
fn draw(random: &mut Random, round: usize) -> (Spec, Dataset) {
    let (rows, cols) = (random.random_range(30..200), random.random_range(1..100));
    let outputs = random.random_range(2..12);
    let mut net = Net::new(cols);
    for _ in 0..random.random_range(0..4) {
        let activation = Activation::ALL[random.random_range(0..18)];
        net.layers.push(Layer::new(random.random_range(1..90), activation));
    }
    let (last, loss): (Units, Loss) = match round % 4 {
        0 => (Units::Softmax, Loss::CrossEntropyProbabilities),
        1 => (Activation::Tanh.into(), Loss::SquaredError),
        2 => (Activation::Identity.into(), Loss::CrossEntropy),
        _ => (Activation::Identity.into(), Loss::LogCosh),
    };
    net.layers.push(Layer::new(outputs, last));
    let mut spec =
        Spec::new(net.bias(Bias::ALL[round % 3]), loss).optimizer(Optimizer::ALL[round % 5]);
    spec.batch_size = random.random_range(1..rows);
    spec.weight_decay = [0.0, 0.01][round / 2 % 2];
    spec.seed = round as u64;
    spec.mixed.scale = 256.0;
    let features = match round % 3 {
        0 => Features::U8(Matrix::from_fn(rows, cols, |_, _| random.random_range(0..3))),
        _ => Features::F32(normal(random, rows, cols)),
    };
    let targets = if round.is_multiple_of(2) {
        let labels = (0..rows).map(|_| random.random_range(0..outputs as u32)).collect();
        Targets::Classes { labels, names: (0..outputs).map(|c| c.to_string()).collect() }
    } else {
        Targets::Numbers(normal(random, rows, outputs))
    };
    (in_f16(&spec), Dataset::new("random", features, targets).unwrap())
}

/// A smooth regression that a small net learns in some dozens of steps.
fn task(seed: u64) -> (Spec, Dataset) {
    let mut random = Random::new(seed, Stream::Check, 0);
    let x = normal(&mut random, 256, 8);
    let target = |r: usize, c: usize| (x.row(r)[c] + x.row(r)[c + 1]).sin() + x.row(r)[7 - c];
    let y = Matrix::from_fn(256, 3, target);
    let data = Dataset::new("sums", Features::F32(x), Targets::Numbers(y)).unwrap();
    let net = Net::new(8)
        .layer(33, Activation::Relu)
        .layer(20, Activation::Tanh)
        .layer(3, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).epochs(8);
    spec.lr = 0.01;
    spec.batch_size = 30;
    spec.seed = seed;
    (spec, data)
}

fn trainer(spec: &Spec, data: &Dataset, backend: Box<dyn Backend>) -> Trainer {
    Trainer::new(spec, data, Preprocessing::none(data), backend).unwrap()
}

/// The loss over all rows and the weights after training.
fn train(spec: &Spec, data: &Dataset, backend: Box<dyn Backend>) -> (f64, Vec<LayerWeights>) {
    let mut trainer = trainer(spec, data, backend);
    trainer.fit(None, &mut ()).unwrap();
    (trainer.evaluate(data).unwrap().loss, trainer.weights().unwrap())
}

#[test]
fn mixed_steps_agree_tensor_by_tensor() {
    let mut random = Random::new(31, Stream::Check, 0);
    for round in 0..12 {
        if !has_gpu("mixed steps") {
            return;
        }
        let (spec, data) = draw(&mut random, round);
        // With the checks of shaders at run time on and off.
        let mut gpu = Gpu::open_with(0, round % 2 == 0).unwrap();
        gpu.open_mixed().unwrap();
        let plan = plan::mixed(&spec, spec.batch_size, Purpose::Train);
        let samples = Preprocessing::none(&data).samples(&data).unwrap();
        let mut replay = Replay::new(plan.program.clone(), samples, Box::new(gpu)).unwrap();
        let reports = replay.steps(&spec, &plan).unwrap();
        let failed: Vec<_> = reports.iter().filter(|op| !op.passed).collect();
        assert!(failed.is_empty(), "round {round}: {spec:?}\n{failed:#?}");
        for op in ["gather", "dense", "rescale", "update", "loss scale"] {
            let name = format!("f16 {op}");
            assert!(reports.iter().any(|report| report.op.starts_with(&name)), "{name}");
        }
    }
}

/// What is left of a long sum of terms of both signs is small beside them, and beside its error.
#[test]
fn sums_are_held_against_the_magnitudes_of_their_terms() {
    let mut random = Random::new(33, Stream::Check, 0);
    let (x, y) = (normal(&mut random, 8, 4000), normal(&mut random, 8, 1));
    let net = Net::new(4000).layer(1, Activation::Identity);
    let mut spec = in_f16(&Spec::new(net, Loss::SquaredError));
    spec.batch_size = 8;
    let half = |x: &f32| f64::from(Precision::F16.round(*x));
    let weights = initial_weights(&spec).remove(0).weight;
    let terms = |row: usize| x.row(row).iter().zip(weights.data()).map(|(x, w)| half(x) * half(w));
    let largest = |of: &dyn Fn(usize) -> f64| (0..8).map(of).fold(0.0, f64::max);
    let scale = largest(&|row| terms(row).map(f64::abs).sum());
    assert!(scale > 5.0 * largest(&|row| terms(row).sum::<f64>().abs()));
    let data = Dataset::new("long", Features::F32(x.clone()), Targets::Numbers(y)).unwrap();
    let plan = plan::mixed(&spec, 8, Purpose::Train);
    let samples = Preprocessing::none(&data).samples(&data).unwrap();
    let mut replay = Replay::new(plan.program.clone(), samples, Device::boxed()).unwrap();
    let reports = replay.steps(&spec, &plan).unwrap();
    assert!(reports.iter().all(|report| report.passed), "{reports:#?}");
    let z = reports.iter().find(|report| report.tensor == "layers.0.z").unwrap();
    let held_against = (z.allowed - parity::FACTOR * z.cpu_error) / parity::FLOOR;
    assert!((held_against / scale - 1.0).abs() < 1e-6, "{held_against}, not {scale}");
}

/// So that the rule above is one that can be broken.
#[test]
fn parity_in_f16_sees_one_unit_in_the_last_place() {
    let (spec, data) = task(0);
    let spec = in_f16(&spec);
    let reports = |device: Box<dyn Backend>| {
        let plan = plan::mixed(&spec, spec.batch_size, Purpose::Train);
        let samples = Preprocessing::none(&data).samples(&data).unwrap();
        let mut replay = Replay::new(plan.program.clone(), samples, device).unwrap();
        replay.steps(&spec, &plan).unwrap()
    };
    let of = |tensor: &str, reports: &[parity::OpReport]| {
        let mut found = reports.iter().filter(|r| r.tensor == tensor);
        found.next().unwrap_or_else(|| panic!("{tensor}")).passed
    };
    let right = reports(Device::boxed());
    assert!(right.iter().all(|report| report.passed), "{right:#?}");
    let wrong = reports(Box::new(Device { wrong: Some(Multiplier::Fma), ..Device::new() }));
    for tensor in ["input", "layers.1.z", "layers.0.delta", "layers.0.weight.f16"] {
        assert!(of(tensor, &right) && !of(tensor, &wrong), "{tensor}");
    }
}

/// In f16 a loss that fell below a tenth of what it was ends within 3% of the first loss of where it
/// ends in f32.
#[test]
fn training_in_f16_converges_like_f32() {
    for seed in 0..3 {
        let (spec, data) = task(seed);
        let cpu = Box::new(Cpu::<f32>::new(Some(2)).unwrap());
        let mut untrained = trainer(&spec, &data, Box::new(Cpu::<f32>::new(Some(2)).unwrap()));
        let first = untrained.evaluate(&data).unwrap().loss;
        let (single, _) = train(&spec, &data, cpu);
        assert!(single < 0.1 * first, "{single} of {first}");
        for device in devices("training in f16") {
            let name = device.info().to_string();
            let (half, _) = train(&in_f16(&spec), &data, device);
            assert!((half - single).abs() < 0.03 * first, "{name}: {half}, in f32 {single}");
        }
    }
}

#[test]
fn the_reference_rounds_what_is_stored_in_f16() {
    let (spec, data) = task(1);
    let mut trainer = trainer(&in_f16(&spec), &data, Device::boxed());
    trainer.run_steps(3).unwrap();
    let program = trainer.session().plan().program.clone();
    let weights = trainer.weights().unwrap();
    let mut found = 0;
    for (i, tensor) in program.tensors.iter().enumerate() {
        if tensor.precision == Precision::F32 {
            continue;
        }
        let mut values = vec![0.0f32; program.range(TensorId(i), 1).len()];
        let backend = trainer.session().backend_mut();
        backend.read(TensorId(i), ValuesMut::F32(&mut values)).unwrap();
        assert!(values.iter().all(|&x| Precision::F16.round(x) == x), "{}", tensor.name);
        assert!(values.iter().any(|&x| x != 0.0), "{}", tensor.name);
        if tensor.role == Role::Shadow {
            let l: usize = tensor.name.split('.').nth(1).unwrap().parse().unwrap();
            let master = weights[l].weight.data();
            assert!(master.iter().any(|&w| Precision::F16.round(w) != w), "masters are f32");
            let rounded: Vec<f32> = master.iter().map(|&w| Precision::F16.round(w)).collect();
            assert_eq!(values, rounded, "{}", tensor.name);
        }
        found += 1;
    }
    // X, three δ, A_1 in the place of Z_1, Z_2 and A_2, three W.
    assert_eq!(found, 1 + 3 + 1 + 2 + 3);
}

#[test]
fn a_loss_scale_that_overflows_skips_steps_and_recovers() {
    let (mut spec, data) = task(2);
    spec.mixed.scale = 2f32.powi(30);
    spec.epochs = 1;
    let spec = in_f16(&spec);
    let mut ends = Vec::new();
    for device in devices("overflows") {
        let mut trainer = trainer(&spec, &data, device);
        let before = trainer.weights().unwrap();
        trainer.run_steps(1).unwrap();
        let after_one = LossScale { scale: 2f32.powi(29), good: 0, skipped: 1 };
        assert_eq!(trainer.loss_scale().unwrap(), Some(after_one));
        assert!(trainer.weights().unwrap() == before, "a skipped step changes no weight");
        trainer.run_steps(40).unwrap();
        let LossScale { scale, good, skipped } = trainer.loss_scale().unwrap().unwrap();
        assert_eq!(scale, 2f32.powi(30 - skipped as i32));
        assert_eq!(good, 41 - skipped, "no step overflows once one didn't");
        assert!((2..30).contains(&skipped), "{skipped}");
        assert!(trainer.weights().unwrap() != before);
        let findings = trainer.findings().unwrap();
        let said = format!("f16: {skipped} of 41 steps overflowed");
        assert!(findings.iter().any(|finding| finding.contains(&said)), "{findings:?}");
        ends.push((scale, skipped));
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
}

#[test]
fn a_loss_scale_is_doubled_after_steps_without_an_overflow() {
    let (mut spec, data) = task(3);
    spec.mixed = MixedPrecision { scale: 4.0, interval: 3, ..spec.mixed };
    for device in devices("doubling") {
        let mut trainer = trainer(&in_f16(&spec), &data, device);
        trainer.run_steps(7).unwrap();
        let expected = LossScale { scale: 16.0, good: 1, skipped: 0 };
        assert_eq!(trainer.loss_scale().unwrap(), Some(expected));
    }
}

/// Inputs beyond the largest number of f16 overflow however the loss is scaled.
#[test]
fn a_run_that_always_overflows_ends_with_a_reason() {
    let mut random = Random::new(5, Stream::Check, 0);
    let x = Matrix::from_fn(40, 3, |_, _| 1e6 * (1.0 + random.uniform() as f32));
    let y = normal(&mut random, 40, 1);
    let data = Dataset::new("large", Features::F32(x), Targets::Numbers(y)).unwrap();
    // Saturated, so that the loss stays finite.
    let net = Net::new(3).layer(4, Activation::HardSigmoid).layer(1, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).epochs(50);
    spec.batch_size = 10;
    for device in devices("always overflowing") {
        let mut trainer = trainer(&in_f16(&spec), &data, device);
        let error = trainer.fit(None, &mut ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
        let text = error.to_string();
        assert!(text.contains("overflows") || text.contains("the loss is"), "{text}");
    }
}

#[test]
fn runs_in_f16_repeat_and_go_on_bit_by_bit() {
    let (mut spec, data) = task(4);
    // So that the scale is halved and doubled on the way.
    spec.mixed = MixedPrecision { scale: 2f32.powi(24), interval: 5, ..spec.mixed };
    spec.epochs = 4;
    let spec = in_f16(&spec);
    let preprocessing = || Preprocessing::none(&data);
    for (whole, parts) in devices("going on").into_iter().zip(devices("going on")) {
        let mut straight = trainer(&spec, &data, whole);
        straight.fit(None, &mut ()).unwrap();
        let half = Spec { epochs: 2, ..spec.clone() };
        let mut first = trainer(&half, &data, parts);
        first.fit(None, &mut ()).unwrap();
        let checkpoint = first.checkpoint().unwrap();
        assert!(checkpoint.now.tensors.iter().any(|tensor| tensor.name == "loss_scale"));
        let backend = first.into_backend();
        let mut second =
            Trainer::resume(&spec, &data, preprocessing(), backend, &checkpoint).unwrap();
        second.fit(None, &mut ()).unwrap();
        assert!(second.weights().unwrap() == straight.weights().unwrap());
        let scale = straight.loss_scale().unwrap().unwrap();
        assert_eq!(second.loss_scale().unwrap(), Some(scale));
        assert!(scale.skipped > 0, "{scale:?}");
        let single = Spec { precision: Precision::F32, ..spec.clone() };
        let cpu = Box::new(Cpu::<f32>::new(None).unwrap());
        let error = Trainer::resume(&single, &data, preprocessing(), cpu, &checkpoint).err();
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("precision: F16"), "{text}");
    }
}

#[test]
fn a_run_goes_on_with_what_multiplied() {
    let (spec, data) = task(10);
    let spec = Spec { precision: Precision::F16, epochs: 2, ..spec };
    let matrices = Multiplier::Matrices(16);
    let device = |offered: &[Multiplier], halves: [u64; 2]| {
        let millis = Duration::from_millis;
        let pace = Some((millis(20), halves.map(millis).to_vec()));
        Box::new(Device { offered: offered.to_vec(), pace, ..Device::new() })
    };
    let both = [Multiplier::Fma, matrices];
    let mut first = trainer(&spec, &data, device(&both, [10, 1]));
    let checkpoint = first.checkpoint().unwrap();
    assert_eq!(checkpoint.multiplier, Some(matrices));
    let resume =
        |backend| Trainer::resume(&spec, &data, Preprocessing::none(&data), backend, &checkpoint);
    // On a device that gains nothing now, as another program runs on it.
    let second = resume(device(&both, [30, 30])).unwrap();
    assert_eq!(second.admission().unwrap().multiplier, matrices);
    assert_eq!(second.admission().unwrap().seconds, None, "nothing is timed");
    let text = resume(device(&both[..1], [10, 1])).err().unwrap().to_string();
    assert!(text.contains("offers no 16x16 cooperative matrices"), "{text}");
    // One that was measured anew is told apart.
    let third = trainer(&spec, &data, device(&both, [10, 10]));
    let text = third.go_on(&checkpoint).err().unwrap().to_string();
    assert!(text.contains("begun with 16x16 cooperative matrices, not f16 storage"), "{text}");
}

/// So that a choice of blocks, which may be measured, changes no result.
#[test]
fn every_block_of_a_multiplier_gives_the_same_bits() {
    if !has_gpu("blocks") {
        return;
    }
    let (mut spec, data) = task(6);
    spec.epochs = 1;
    let spec = in_f16(&spec);
    let program = |batch| plan::mixed(&spec, batch, Purpose::Train).program;
    let batches = [spec.batch_size, plan::evaluation_rows(&spec.net, spec.batch_size)];
    let products: Vec<[usize; 3]> = batches
        .into_iter()
        .flat_map(|batch| {
            let program = program(batch);
            program.ops.iter().flat_map(|op| program.products(op).shapes).collect::<Vec<_>>()
        })
        .collect();
    let mut runs = Vec::new();
    for (choice, block) in BLOCKS.iter().enumerate() {
        if block.multiplier() != Multiplier::Fma {
            continue;
        }
        let mut mixed = MixedTuning::default();
        for &product in &products {
            if mixed.candidates(product).contains(&choice) {
                mixed.keep(product, choice);
            }
        }
        let mut gpu = Gpu::open(0).unwrap();
        gpu.set_tuning(Tuning { mixed, ..Tuning::default() });
        runs.push((block, train(&spec, &data, Box::new(gpu)).1));
    }
    assert_eq!(runs.len(), 5);
    for (block, weights) in &runs {
        assert!(*weights == runs[0].1, "{block} differs from {}", runs[0].0);
    }
}

#[test]
fn f32_programs_know_nothing_of_f16() {
    let mut random = Random::new(32, Stream::Check, 0);
    for round in 0..8 {
        let (half, _) = draw(&mut random, round);
        let single = Spec { precision: Precision::F32, ..half.clone() };
        let other = Spec { mixed: MixedPrecision::default(), ..single.clone() };
        let layers = single.net.layers.len();
        for offered in [Fusion::None, Fusion::Blocks, Fusion::Rows, Fusion::Layers] {
            let program = plan::plan(&single, 16, Purpose::Train, offered).program;
            assert_eq!(program.ops, plan::plan(&other, 16, Purpose::Train, offered).program.ops);
            assert!(program.tensors.iter().all(|t| t.precision == Precision::F32));
            assert!(!program.ops.iter().any(|op| matches!(op, Op::Mixed(_))));
            assert!(program.find("loss_scale").is_none());
            let mixed = plan::plan(&half, 16, Purpose::Train, offered).program;
            let softmax = usize::from(round.is_multiple_of(4));
            assert_eq!(mixed.routines.step.len(), 3 * layers + 4 + softmax);
        }
    }
}

#[test]
fn a_device_is_taken_where_it_computes_right_and_gains() {
    let (spec, data) = task(8);
    let measured = Spec { precision: Precision::F16, ..spec.clone() };
    let matrices = Multiplier::Matrices(16);
    let admit = |spec: &Spec, wrong: Option<Multiplier>, single: u64, halves: [u64; 2]| {
        let millis = Duration::from_millis;
        let device = Device {
            offered: vec![Multiplier::Fma, matrices],
            wrong,
            pace: Some((millis(single), halves.map(millis).to_vec())),
            ..Device::new()
        };
        let trainer = Trainer::new(spec, &data, Preprocessing::none(&data), Box::new(device));
        trainer.map(|trainer| *trainer.admission().unwrap())
    };
    // The fastest of what computes right, where it gains.
    let admission = admit(&measured, None, 40, [20, 10]).unwrap();
    assert_eq!(admission.multiplier, matrices);
    let [half, single] = admission.seconds.unwrap();
    assert!((0.01..0.04).contains(&half) && single >= 0.04, "{admission}");
    assert!(admission.to_string().starts_with("16x16 cooperative matrices, a step takes "));
    // Not by a little: their bits are others.
    let storage = admit(&measured, None, 40, [20, 16]).unwrap();
    assert_eq!(storage.multiplier, Multiplier::Fma);
    let fallen_back = admit(&measured, Some(matrices), 40, [20, 5]).unwrap();
    assert_eq!(fallen_back.multiplier, Multiplier::Fma);
    // What loses the device isn't taken, and the device is there again for the rest.
    let device = Device {
        offered: vec![Multiplier::Fma, matrices],
        breaks: Some(matrices),
        ..Device::new()
    };
    let mut trainer = trainer(&in_f16(&spec), &data, Box::new(device));
    assert_eq!(trainer.admission().unwrap().multiplier, Multiplier::Fma);
    trainer.run_steps(3).unwrap();
    // No gain: both times are told. Without the measurement it is taken.
    let refused = |error: wgrad::Error, text: &str| {
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.to_string().contains(text), "{error}");
    };
    refused(admit(&measured, None, 20, [40, 40]).unwrap_err(), " ms, in f32 ");
    assert_eq!(admit(&in_f16(&spec), Some(matrices), 0, [9, 9]).unwrap().seconds, None);
    // Nothing that computes right.
    let device = Device { wrong: Some(Multiplier::Fma), ..Device::new() };
    let made = Trainer::new(&measured, &data, Preprocessing::none(&data), Box::new(device));
    refused(made.err().unwrap(), "computes wrong in f16 with f16 storage");
}

#[test]
fn each_multiplier_is_verified_and_named() {
    let (mut spec, data) = task(9);
    spec.precision = Precision::F16;
    let verify = |wrong| {
        let offered = vec![Multiplier::Fma, Multiplier::Matrices(16)];
        let device = Device { offered, wrong, ..Device::new() };
        parity::verify(&spec, &Preprocessing::none(&data), &data, Box::new(device)).unwrap()
    };
    let by = |report: &parity::Report, name: &str, tensor: &str| {
        let ops = report.ops.iter();
        let mut found = ops.filter(|r| r.multiplier.as_deref() == Some(name) && r.tensor == tensor);
        found.next().unwrap_or_else(|| panic!("{tensor} by {name}")).passed
    };
    let (report, wrong) = (verify(None), verify(Some(Multiplier::Matrices(16))));
    assert!(report.passed && !wrong.passed);
    for tensor in ["layers.0.delta", "layers.1.z", "layers.0.weight.f16"] {
        for name in ["f16 storage", "16x16 cooperative matrices"] {
            let is_right = name == "f16 storage";
            assert!(by(&report, name, tensor) && by(&wrong, name, tensor) == is_right, "{tensor}");
        }
    }
}

#[test]
fn f16_is_refused_with_the_reason() {
    let (spec, data) = task(7);
    let spec = Spec { precision: Precision::F16, ..spec };
    let refused = |backend| {
        Trainer::new(&spec, &data, Preprocessing::none(&data), backend).err().map(|error| {
            assert_eq!(error.kind(), ErrorKind::Device, "{error}");
            error.to_string()
        })
    };
    let text = refused(Box::new(Cpu::<f32>::new(None).unwrap()) as Box<dyn Backend>).unwrap();
    assert!(text.contains("trains in f32 only") && text.contains("--precision f16"), "{text}");
    if !has_gpu("the gate") {
        return;
    }
    // A software adapter gains nothing; what was measured is told.
    if let Some(text) = refused(Box::new(Gpu::open(0).unwrap())) {
        assert!(text.contains("no gain") && text.contains(" ms, in f32 "), "{text}");
    }
}

#[test]
fn the_command_line_takes_f16_or_says_what_was_measured() {
    if !has_gpu("f16 on the command line") {
        return;
    }
    let place = Place::new();
    place.write("half.toml", "precision = \"f16\"\nlayers = \"16\"\nepochs = 1\n");
    let ran = place.run("train digits --config half.toml --device 0 --out run");
    match ran.code {
        0 => {
            assert!(
                ran.stderr.contains("precision: f16: f16 storage, a step takes"),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains("steps overflowed and were skipped"), "{}", ran.stderr);
            assert!(place.read("run/config.toml").contains("precision = \"f16\""));
        }
        4 => {
            assert!(ran.stderr.contains("f16 is no gain for this net"), "{}", ran.stderr);
            assert!(ran.stderr.contains(" ms, in f32 "), "{}", ran.stderr);
            assert!(!place.path("run").exists());
        }
        code => panic!("exit code {code}: {}{}", ran.stdout, ran.stderr),
    }
    let verified = place.run("verify --precision f16 --device 0 --layers 9:tanh --batch-size 40");
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains("layers.0.weight.f16"), "{}", verified.stdout);
    assert!(verified.stdout.contains("\nby f16 storage\n"), "{}", verified.stdout);
}
