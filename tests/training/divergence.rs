//! A run that diverges reports the same with a split batch, and on a device without memory for
//! the diagnosis, as with a whole batch; and its last good model is kept, never one of zeros.

use crate::cli_support::{Place, plane};
use crate::common::{Shared, cpu32, gpu, random_classes, random_data};
use crate::forward::forward;
use std::ops::Range;
use std::sync::Arc;
use wgrad::backend::{Backend, DataId, Pending, Values, ValuesMut};
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::tensor::TensorId;
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::{Averaging, Optimizer};
use wgrad::math::random::{Permutation, Stream, permute, stream_key};
use wgrad::net::spec::{Net, PlanKind, Spec};
use wgrad::net::stopping::{Keep, OnDivergence, Stopping};
use wgrad::plan::program::{Op, Program};
use wgrad::train::event::{Ending, Epoch, Flow, Observer};
use wgrad::train::trainer::{GoodAt, Trainer};
use wgrad::{Error, Result};

const ROWS: usize = 70;
const BATCH: usize = 8;
/// The rows that scaling turns infinite.
const PLANTED: [usize; 2] = [17, 41];
const SEED: u64 = 3;

/// Finite values, of which some overflow when they are scaled.
fn planted() -> (Dataset, Preprocessing) {
    let clean = random_classes(ROWS, 5, 3, 4);
    let features = Matrix::from_fn(ROWS, 5, |row, col| match (row, col) {
        (row, 2) if PLANTED.contains(&row) => 3e38,
        _ => clean.features().value(row, col),
    });
    let data = Dataset::new("planted", Features::F32(features), clean.targets().clone()).unwrap();
    let mut scaling = Preprocessing::none(&data);
    scaling.features.scale[2] = 2.0;
    (data, scaling)
}

fn spec(micro_batch: Option<usize>) -> Spec {
    let net = Net::new(5).layer(12, Activation::Tanh).layer(3, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy).epochs(4);
    Spec { batch_size: BATCH, seed: SEED, micro_batch, ..spec }
}

/// The positions of rows in the first epoch's order.
fn places() -> Vec<usize> {
    let order = Permutation::new(ROWS as u32, Some(stream_key(SEED, Stream::Shuffle, 0)));
    let row = |i| permute(order.words(), i) as usize;
    (0..ROWS).filter(|&i| PLANTED.contains(&row(i as u32))).collect()
}

/// The steps done before the one that meets the first planted row.
fn steps_before() -> usize {
    places()[0] / BATCH
}

/// A device that fails in given calls.
struct Failing {
    device: Shared,
    fails: Fails,
    /// Whether a program with inspection is loaded, and whether one was.
    looks: bool,
    looked: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Never,
    /// Loading a program with inspection for this many rows or more.
    Looks(usize),
    /// A step of such a program.
    InLooks,
    /// Loading the run's own program again after such a program, and everything after that.
    BehindLooks,
}

impl Failing {
    fn boxed(device: &Shared, fails: Fails) -> Box<dyn Backend> {
        Box::new(Failing { device: device.clone(), fails, looks: false, looked: false })
    }

    fn check(&self) -> Result<()> {
        let is_lost = self.fails == Fails::BehindLooks && self.looked && !self.looks;
        if is_lost { Err(Error::failed("the device was lost")) } else { Ok(()) }
    }
}

impl Backend for Failing {
    forward!(device: info traits upload forget traffic);
    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        Box::pin(async move {
            let looks = program.ops.iter().any(|op| matches!(op, Op::Nonfinite { .. }));
            if matches!(self.fails, Fails::Looks(rows) if looks && program.batch >= rows) {
                return Err(Error::device("out of memory"));
            }
            self.looked |= looks;
            self.looks = looks;
            self.check()?;
            self.device.load(program).await
        })
    }
    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
        Box::pin(async move {
            self.check()?;
            self.device.write(tensor, values).await
        })
    }
    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        Box::pin(async move {
            self.check()?;
            if self.fails == Fails::InLooks && self.looks {
                return Err(Error::failed("the device doesn't answer"));
            }
            self.device.run(ops, data, steps).await
        })
    }
    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
        Box::pin(async move {
            self.check()?;
            self.device.read(tensor, values).await
        })
    }
}

/// The CPU, and a GPU where there is one.
fn devices(test: &str) -> Vec<Shared> {
    [Some(cpu32(2)), gpu(test)].into_iter().flatten().collect()
}

/// The error of a run on the planted rows, which must be a divergence; and the run.
fn diverged(spec: &Spec, backend: Box<dyn Backend>) -> (String, Trainer) {
    let (data, scaling) = planted();
    let mut run = Trainer::new(spec, &data, scaling, backend).unwrap();
    let error = run.fit(None, &mut ()).unwrap_err();
    assert_eq!(error.kind().exit_code(), 5, "{error}");
    (error.to_string(), run)
}

/// The steps before the one that meets a planted row, and the weights behind them. That one still has a
/// finite loss, as tanh is finite everywhere; what it makes of the weights is not.
fn good_weights(spec: &Spec, device: &Shared) -> (u64, Vec<wgrad::backend::session::LayerWeights>) {
    let steps = steps_before();
    let (data, scaling) = planted();
    let mut run = Trainer::new(spec, &data, scaling, device.boxed()).unwrap();
    run.run_steps(steps).unwrap();
    (steps as u64, run.weights().unwrap())
}

#[test]
fn a_batch_in_parts_is_reported_as_in_one_piece_and_leaves_the_last_good_model() {
    assert!(steps_before() >= 2, "the first steps are good: {:?}", places());
    for device in devices("a diverged batch in parts") {
        for plan in PlanKind::ALL {
            let whole = diverged(&Spec { plan, ..spec(None) }, device.boxed()).0;
            let step = format!(
                "epoch 1, step {}, the input of layer 1 of 2: input in column 3 by gather",
                steps_before() + 1
            );
            assert!(whole.contains(&step), "{step} in {whole}");
            for rows in [1, 3, 4, 7] {
                let spec = Spec { plan, ..spec(Some(rows)) };
                // Before, as the device holds one program.
                let (steps, weights) = good_weights(&spec, &device);
                let (text, mut run) = diverged(&spec, device.boxed());
                assert_eq!(text, whole, "micro-batches of {rows}");
                let (at, model) = run.last_good().unwrap().unwrap();
                assert_eq!(at, GoodAt::Step(steps));
                assert!(model.members[0] == weights, "{rows}");
                assert!(run.weights().unwrap() == weights);
            }
        }
    }
}

/// Rows in different parts of a batch are counted and named together.
#[test]
fn rows_of_several_parts_are_named_together() {
    let (clean, _) = planted();
    let order = Permutation::new(ROWS as u32, Some(stream_key(SEED, Stream::Shuffle, 0)));
    let odd: Vec<usize> = [17, 19, 23].map(|place| permute(order.words(), place) as usize).to_vec();
    let features = Matrix::from_fn(ROWS, 5, |row, col| match (row, col) {
        (row, 4) if odd.contains(&row) => 3e38,
        (_, 2) => 0.5,
        _ => clean.features().value(row, col),
    });
    let data = Dataset::new("planted", Features::F32(features), clean.targets().clone()).unwrap();
    let mut scaling = Preprocessing::none(&data);
    scaling.features.scale[4] = 2.0;
    let named: Vec<String> = odd.iter().map(|row| format!("training row {}", row + 1)).collect();
    for device in devices("rows of several parts") {
        for rows in [None, Some(2), Some(3)] {
            let mut run =
                Trainer::new(&spec(rows), &data, scaling.clone(), device.boxed()).unwrap();
            let text = run.fit(None, &mut ()).unwrap_err().to_string();
            let said = format!("in 3 of the 8 rows of the batch: {}\n", named.join(", "));
            assert!(text.contains(&said), "{said} in {text}");
            let place = "epoch 1, step 3, the input of layer 1 of 2: input in column 5 by gather";
            assert!(text.contains(place), "{place} in {text}");
        }
    }
}

#[test]
fn a_device_that_cannot_look_into_it_says_the_same_and_keeps_its_weights() {
    for device in devices("a device without memory for looks") {
        for micro_batch in [None, Some(4)] {
            let spec = spec(micro_batch);
            let (whole, _) = diverged(&spec, Failing::boxed(&device, Fails::Never));
            let (steps, weights) = good_weights(&spec, &device);
            // In smaller parts; on the CPU, as not even a row fits; and there, as the device fails in it.
            for fails in [Fails::Looks(4), Fails::Looks(2), Fails::Looks(1), Fails::InLooks] {
                let (text, mut run) = diverged(&spec, Failing::boxed(&device, fails));
                assert_eq!(text, whole);
                assert!(run.weights().unwrap() == weights);
                let (at, model) = run.last_good().unwrap().unwrap();
                assert_eq!(at, GoodAt::Step(steps));
                assert!(model.members[0] == weights);
            }
        }
    }
}

#[test]
fn a_device_that_is_lost_while_it_is_looked_into_gives_the_report_and_no_model() {
    for device in devices("a device lost behind looks") {
        let (whole, _) = diverged(&spec(Some(4)), Failing::boxed(&device, Fails::Never));
        let (text, mut run) = diverged(&spec(Some(4)), Failing::boxed(&device, Fails::BehindLooks));
        assert_eq!(text, whole);
        assert!(run.weights().is_err() && run.checkpoint().is_err(), "no weights of zeros");
        assert!(!matches!(run.last_good(), Ok(Some(_))));
        assert!(run.fit(None, &mut ()).is_err());
    }
}

/// Avoiding the divergence gives the same weights if the device can't diagnose it itself.
#[test]
fn a_batch_is_passed_over_alike_wherever_it_was_looked_into() {
    let (data, scaling) = planted();
    let stopping = Stopping { on_divergence: OnDivergence::SkipBatch, ..Stopping::default() };
    let spec = Spec { stopping, ..spec(Some(4)) };
    for device in devices("passing over a batch in parts") {
        let train = |fails| {
            let backend = Failing::boxed(&device, fails);
            let mut run = Trainer::new(&spec, &data, scaling.clone(), backend).unwrap();
            assert_eq!(run.fit(None, &mut ()).unwrap().ending, Ending::Done);
            run.weights().unwrap()
        };
        let weights = train(Fails::Never);
        assert!(weights.iter().all(wgrad::backend::session::LayerWeights::is_finite));
        assert!(train(Fails::Looks(2)) == weights && train(Fails::Looks(1)) == weights);
    }
}

/// The last update of a run doesn't affect any loss.
#[test]
fn weights_that_overflow_in_the_last_update_are_reported_and_are_no_model() {
    let clean = random_data(Loss::SquaredError, 10, 5, 1, 4);
    let targets = Targets::Numbers(Matrix::from_fn(10, 1, |row, _| 1e4 + row as f64));
    let data = Dataset::new("steep", clean.features().clone(), targets).unwrap();
    let net = Net::new(5).layer(12, Activation::Tanh).layer(1, Activation::Identity);
    let spec = Spec::new(net, Loss::SquaredError).optimizer(Optimizer::Sgd).epochs(1);
    let spec = Spec { lr: 3e38, batch_size: 10, micro_batch: Some(4), ..spec };
    for device in devices("an overflow in the last update") {
        let none = Preprocessing::none(&data);
        let mut run = Trainer::new(&spec, &data, none, device.boxed()).unwrap();
        let error = run.fit(None, &mut ()).unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        let text = error.to_string();
        for part in
            ["weights are NaN or infinite", "epoch 1, step 1, layer ", " of 2: layers.", " by sgd"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(run.last_good().unwrap(), None, "no step was good");
    }
}

/// Fails at the end of an epoch, like a full disk.
struct Full(usize);

impl Observer for Full {
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        match epoch.epoch == self.0 {
            true => Err(Error::failed("no space left on the device")),
            false => Ok(Flow::Continue),
        }
    }
}

#[test]
fn a_run_that_fails_otherwise_leaves_the_model_of_its_last_step_or_best_epoch() {
    let (training, validation) = (random_classes(60, 5, 3, 1), random_classes(40, 5, 3, 2));
    for averaging in [Averaging::None, Averaging::Ema { decay: 0.9 }] {
        for keep in Keep::ALL {
            let stopping = Stopping { keep, ..Stopping::default() };
            let spec = Spec { stopping, averaging, lr: 0.02, ..spec(None) };
            let none = Preprocessing::none(&training);
            let mut run = Trainer::new(&spec, &training, none, cpu32(1).boxed()).unwrap();
            let error = run.fit(Some(&validation), &mut Full(3)).unwrap_err();
            assert!(error.to_string().contains("no space left"), "{error}");
            let (at, model) = run.last_good().unwrap().unwrap();
            let expected = match keep {
                Keep::Best => GoodAt::BestEpoch(run.best().unwrap().epoch),
                Keep::Last => GoodAt::Step(24),
            };
            assert_eq!(at, expected);
            assert!(model.members[0] == run.weights().unwrap());
        }
    }
}

#[test]
fn the_command_line_names_the_step_and_keeps_the_last_good_model() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let on_gpu = gpu("a diverged batch in parts on the command line").map(|_| "0");
    for device in std::iter::once("cpu").chain(on_gpu) {
        let train = "train plane.csv --quiet --optimizer sgd --lr 3 --layers 16 --batch-size 16 \
                     --validation 0";
        for parts in ["", "--micro-batch 5"] {
            let run = format!("run-{device}{}", parts.len());
            let ran = place.run(&format!("{train} {parts} --device {device} --out {run}"));
            assert_eq!(ran.code, 5, "{}", ran.stderr);
            let kept = format!(
                "{run} keeps config.toml, metrics.jsonl and the model of step 3, up to which the loss \
                 was finite"
            );
            let named = "where: epoch 2, step 5, the loss: scores in column 1 by loss";
            let all = "in all 16 rows of the batch\n";
            for part in ["training diverged: the loss is ", named, all, &kept] {
                assert!(ran.stderr.contains(part), "{part} in {}", ran.stderr);
            }
            let model = place.model(&run);
            assert!(model.is_finite());
            assert!(model.members[0][0].weight.data().iter().any(|&w| w != 0.0));
            let predicted = place.ok(&format!("predict {run} plane.csv --device cpu"));
            assert!(predicted.stdout.lines().count() >= 60, "{}", predicted.stdout);
        }
    }
}
