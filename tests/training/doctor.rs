//! A run whose loss is no longer finite reports where that started, and avoids it in the requested way.

use crate::common::{Shared, cpu32, gpu, random_classes, random_data};
use std::sync::Arc;
use wgrad::Error;
use wgrad::backend::Backend;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Affine, Dataset, Features, Preprocessing, StoredWriter, TargetScaling, Targets};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::Optimizer;
use wgrad::math::random::{Permutation, Stream, permute, stream_key};
use wgrad::net::spec::{Net, PlanKind, Spec};
use wgrad::net::stopping::{OnDivergence, Stopping};
use wgrad::train::event::{Diverged, Ending, Flow, Observer, Progress};
use wgrad::train::trainer::Trainer;

const ROWS: usize = 70;
const BATCH: usize = 8;
/// The row that scaling turns infinite.
const PLANTED: usize = 17;

/// Finite values, as ensured by every reader, one of which overflows when it is scaled.
fn planted() -> (Dataset, Preprocessing) {
    let clean = random_classes(ROWS, 5, 3, 4);
    let features = Matrix::from_fn(ROWS, 5, |row, col| {
        if (row, col) == (PLANTED, 2) { 3e38 } else { clean.features().value(row, col) }
    });
    let data = Dataset::new("planted", Features::F32(features), clean.targets().clone()).unwrap();
    let mut scaling = Preprocessing::none(&data);
    scaling.features.scale[2] = 2.0;
    (data, scaling)
}

fn spec(on_divergence: OnDivergence, plan: PlanKind) -> Spec {
    let net = Net::new(5).layer(12, Activation::Tanh).layer(3, Activation::Identity);
    let stopping = Stopping { on_divergence, ..Stopping::default() };
    Spec {
        batch_size: BATCH,
        seed: 3,
        plan,
        stopping,
        ..Spec::new(net, Loss::CrossEntropy).epochs(4)
    }
}

/// The step, from 1, that meets the planted row in an epoch, counted from 0.
fn meets(epoch: usize) -> usize {
    let order = Permutation::new(ROWS as u32, Some(stream_key(3, Stream::Shuffle, epoch as u64)));
    let at = (0..ROWS as u32).find(|&i| permute(order.words(), i) == PLANTED as u32).unwrap();
    epoch * ROWS.div_ceil(BATCH) + at as usize / BATCH + 1
}

fn a_planted_row_is_named(backend: &Shared, plan: PlanKind) {
    let (data, scaling) = planted();
    let spec = spec(OnDivergence::Stop, plan);
    let mut run = Trainer::new(&spec, &data, scaling, backend.boxed()).unwrap();
    run.name_rows(|row| format!("line {}", row + 2));
    let error = run.fit(None, &mut ()).unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    let text = error.to_string();
    let step = format!(
        "epoch 1, step {}, the input of layer 1 of 2: input in column 3 by gather",
        meets(0)
    );
    let row = format!("1 of the 8 rows of the batch: line {}", PLANTED + 2);
    for part in ["training diverged: the loss is ", &step, &row, "correct or remove them"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_planted_row_is_named_on_the_cpu() {
    for plan in PlanKind::ALL {
        a_planted_row_is_named(&cpu32(2), plan);
    }
}

#[test]
fn a_planted_row_is_named_on_the_gpu() {
    let Some(backend) = gpu("a_planted_row_is_named_on_the_gpu") else { return };
    for plan in PlanKind::ALL {
        a_planted_row_is_named(&backend, plan);
    }
}

/// The error of a run on the CPU, and on a GPU where there is one.
fn errors(test: &str, run: impl Fn(Box<dyn Backend>) -> Error) -> Vec<String> {
    let devices = [Some(cpu32(2)), gpu(test)].into_iter().flatten();
    let errors = devices.map(|device| run(device.boxed()));
    errors.inspect(|e| assert_eq!(e.kind().exit_code(), 5)).map(|e| e.to_string()).collect()
}

#[test]
fn a_row_of_a_window_is_named_by_its_place_in_the_set() {
    let (data, scaling) = planted();
    let mut writer = StoredWriter::create().unwrap();
    writer.append(&data).unwrap();
    let stored = Arc::new(writer.finish().unwrap().unwrap());
    // Three batches of rows of 24 bytes.
    let memory = 16 * 3 * BATCH as u64 * 24;
    for text in errors("a row of a window", |backend| {
        let spec = spec(OnDivergence::Stop, PlanKind::Fused);
        let mut run =
            Trainer::streamed(&spec, stored.clone(), scaling.clone(), backend, memory).unwrap();
        run.name_rows(|row| format!("line {}", row + 2));
        run.fit(None, &mut ()).unwrap_err()
    }) {
        let named = format!("rows of the batch: line {}\n", PLANTED + 2);
        for part in ["epoch 1, step ", "the input of layer 1 of 2: input in column 3", &named] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn a_target_that_overflows_is_named() {
    let clean = random_data(Loss::SquaredError, ROWS, 5, 1, 4);
    let Targets::Numbers(numbers) = clean.targets() else { panic!("numbers") };
    let numbers = Matrix::from_fn(ROWS, 1, |row, _| match row {
        PLANTED => -3e38,
        row => numbers.row(row)[0],
    });
    let features = clean.features().clone();
    let data = Dataset::new("planted", features, Targets::Numbers(numbers)).unwrap();
    let mut scaling = Preprocessing::none(&data);
    let affine = Affine { shift: vec![0.0], scale: vec![2.0] };
    scaling.targets = TargetScaling::Single(affine);
    let spec = spec(OnDivergence::Stop, PlanKind::Fused);
    let net = Net::new(5).layer(12, Activation::Tanh).layer(1, Activation::Identity);
    let spec = Spec { net, objective: Loss::SquaredError.into(), ..spec };
    // No target becomes infinite on its way to the device.
    let error = Trainer::new(&spec, &data, scaling, cpu32(1).boxed()).err().unwrap();
    let text = error.to_string();
    let row = format!("planted, row {}, target 1", PLANTED + 1);
    for part in ["overflows f32 after scaling", &row] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn weights_that_are_not_finite_are_named_with_their_layer() {
    let data = random_classes(ROWS, 5, 3, 4);
    for (layer, odd) in [(0, f32::NAN), (1, f32::NEG_INFINITY)] {
        for text in errors("weights that are not finite", |backend| {
            let spec = spec(OnDivergence::Stop, PlanKind::Fused);
            let mut run = Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
            let mut weights = run.weights().unwrap();
            weights[layer].weight.data_mut()[4] = odd;
            run.set_weights(&weights).unwrap();
            run.fit(None, &mut ()).unwrap_err()
        }) {
            let place = format!("epoch 1, step 1, layer {} of 2: layers.{layer}.z", layer + 1);
            assert!(text.contains(&place), "{place} in {text}");
        }
    }
}

#[derive(Default)]
struct Watch {
    seen: Vec<Diverged>,
    /// The step at which to interrupt.
    end: Option<u64>,
}

impl Observer for Watch {
    fn diverged(&mut self, diverged: &Diverged) -> wgrad::Result<()> {
        self.seen.push(diverged.clone());
        Ok(())
    }
    fn progress(&mut self, progress: &Progress) -> Flow {
        match self.end {
            Some(end) if progress.step >= end => Flow::Interrupt,
            _ => Flow::Continue,
        }
    }
}

fn is_finite(weights: &[LayerWeights]) -> bool {
    weights.iter().all(|layer| layer.weight.data().iter().all(|x| x.is_finite()))
}

#[test]
fn a_batch_that_makes_a_run_diverge_is_passed_over_and_stays_so_when_it_is_resumed() {
    let (data, scaling) = planted();
    let spec = spec(OnDivergence::SkipBatch, PlanKind::Fused);
    let make =
        |threads| Trainer::new(&spec, &data, scaling.clone(), cpu32(threads).boxed()).unwrap();
    let mut whole = make(1);
    let mut watch = Watch::default();
    let end = whole.fit(None, &mut watch).unwrap();
    assert_eq!((end.ending, end.steps), (Ending::Done, 36));
    let weights = whole.weights().unwrap();
    assert!(is_finite(&weights));
    let steps: Vec<usize> = watch.seen.iter().map(|d| d.step as usize).collect();
    assert_eq!(steps, (0..4).map(meets).collect::<Vec<_>>());
    let rows = &watch.seen[0].rows;
    assert_eq!((rows.len(), watch.seen[0].tensor.as_deref()), (1, Some("input")));
    assert_eq!(rows[0], format!("training row {}", PLANTED + 1));

    let mut run = make(2);
    for end in [meets(0) as u64 + 1, 20, 31] {
        run.fit(None, &mut Watch { end: Some(end), ..Watch::default() }).unwrap();
        let checkpoint = run.checkpoint().unwrap();
        let backend = cpu32(3).boxed();
        run = Trainer::resume(&spec, &data, scaling.clone(), backend, &checkpoint).unwrap();
    }
    run.fit(None, &mut ()).unwrap();
    assert_eq!(run.weights().unwrap(), weights);
}

/// Plain descent on a parabola diverges at this rate, and at some halves of it.
fn steep(on_divergence: OnDivergence) -> (Spec, Dataset) {
    let data = random_data(Loss::SquaredError, 60, 4, 1, 6);
    let net = Net::new(4).layer(9, Activation::Relu).layer(1, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).optimizer(Optimizer::Sgd).epochs(6);
    spec.lr = 10.0;
    spec.batch_size = 6;
    spec.stopping.on_divergence = on_divergence;
    (spec, data)
}

fn a_rate_that_is_too_high_is_told_from_bad_rows(backend: &Shared) {
    let (spec, data) = steep(OnDivergence::Stop);
    let none = || Preprocessing::none(&data);
    let mut run = Trainer::new(&spec, &data, none(), backend.boxed()).unwrap();
    let text = run.fit(None, &mut ()).unwrap_err().to_string();
    let part_of_it = "in all 6 rows of the batch";
    for part in ["the loss: scores", part_of_it, "now 10, with --lr 0.1,"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // A step before the one that is named all is finite, and a step behind it is not.
    let step = text.split("step ").nth(1).unwrap().split(',').next().unwrap();
    let step: usize = step.parse().unwrap();
    let finite_after = |steps: usize| {
        let mut run = Trainer::new(&spec, &data, none(), backend.boxed()).unwrap();
        run.run_steps(steps).is_ok() && is_finite(&run.weights().unwrap())
    };
    assert!(step > 1 && finite_after(step - 1) && !finite_after(step + 1), "{text}");
}

/// Weights that overflow in one layer only.
fn a_layer_that_overflows_is_named(backend: &Shared) {
    let (data, _) = planted();
    let data = data.select(&(0..PLANTED).collect::<Vec<_>>());
    let net = Net::new(5)
        .layer(12, Activation::Relu)
        .layer(7, Activation::Relu)
        .layer(3, Activation::Identity);
    let spec = Spec { batch_size: 17, seed: 3, ..Spec::new(net, Loss::CrossEntropy) };
    let none = Preprocessing::none(&data);
    let mut run = Trainer::new(&spec, &data, none, backend.boxed()).unwrap();
    let mut weights = run.weights().unwrap();
    for (layer, size) in [(0, 1e25), (1, 1e25)] {
        weights[layer].weight.data_mut().fill(size);
    }
    run.set_weights(&weights).unwrap();
    let text = run.fit(None, &mut ()).unwrap_err().to_string();
    assert!(
        text.contains("epoch 1, step 1, layer 2 of 3: layers.1.z in column 1 by mat"),
        "{text}"
    );
}

#[test]
fn a_layer_that_overflows_is_named_on_both() {
    a_layer_that_overflows_is_named(&cpu32(2));
    if let Some(backend) = gpu("a_layer_that_overflows_is_named_on_both") {
        a_layer_that_overflows_is_named(&backend);
    }
}

#[test]
fn a_rate_that_is_too_high_is_told_from_bad_rows_on_the_cpu() {
    a_rate_that_is_too_high_is_told_from_bad_rows(&cpu32(2));
}

#[test]
fn a_rate_that_is_too_high_is_told_from_bad_rows_on_the_gpu() {
    if let Some(backend) = gpu("a_rate_that_is_too_high_is_told_from_bad_rows_on_the_gpu") {
        a_rate_that_is_too_high_is_told_from_bad_rows(&backend);
    }
}

#[test]
fn a_rate_that_is_too_high_is_halved_until_the_run_learns() {
    let (spec, data) = steep(OnDivergence::LowerLr);
    let none = || Preprocessing::none(&data);
    let mut whole = Trainer::new(&spec, &data, none(), cpu32(1).boxed()).unwrap();
    let mut watch = Watch::default();
    let end = whole.fit(None, &mut watch).unwrap();
    assert_eq!((end.ending, end.epochs, end.steps), (Ending::Done, 6, 60));
    assert!(watch.seen.len() >= 3, "{:?}", watch.seen);
    let rates: Vec<f32> = watch.seen.iter().map(|d| d.lr).collect();
    assert!(rates.windows(2).all(|pair| pair[1] == pair[0] / 2.0), "{rates:?}");
    let weights = whole.weights().unwrap();
    assert!(is_finite(&weights));

    let mut run = Trainer::new(&spec, &data, none(), cpu32(2).boxed()).unwrap();
    for end in [13, 25, 44] {
        run.fit(None, &mut Watch { end: Some(end), ..Watch::default() }).unwrap();
        let checkpoint = run.checkpoint().unwrap();
        run = Trainer::resume(&spec, &data, none(), cpu32(1).boxed(), &checkpoint).unwrap();
    }
    run.fit(None, &mut ()).unwrap();
    assert_eq!(run.weights().unwrap(), weights);
}

#[test]
fn values_that_no_detour_avoids_end_the_run() {
    let (data, mut scaling) = planted();
    // Every row overflows now.
    scaling.features.scale = vec![f32::MAX; 5];
    scaling.features.shift = vec![-3e38; 5];
    for (on_divergence, said) in
        [(OnDivergence::LowerLr, "halved"), (OnDivergence::SkipBatch, "10 of 11 batches skipped")]
    {
        let spec = spec(on_divergence, PlanKind::Fused);
        let backend = cpu32(1).boxed();
        let mut run = Trainer::new(&spec, &data, scaling.clone(), backend).unwrap();
        let error = run.fit(None, &mut ()).unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        let text = error.to_string();
        assert!(text.contains(said), "{on_divergence}: {text}");
        assert!(text.contains("8 of the 8 rows") && text.contains(", …"), "{text}");
    }
}

#[test]
fn what_is_not_finite_is_refused_before_it_is_trained_on() {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let plain = |cols: usize| Matrix::from_fn(4, cols, |_, _| 1.0);
        let with =
            |cols: usize| Matrix::from_fn(4, cols, |r, c| if (r, c) == (2, 1) { odd } else { 1.0 });
        let labels = |values| Targets::Labels { values, names: vec!["a".into(), "b".into()] };
        let new = |features, targets| {
            Dataset::new("set", Features::F32(features), targets).map(drop).unwrap_err().to_string()
        };
        for (what, error) in [
            ("feature", new(with(3), Targets::from(plain(1)))),
            ("target", new(plain(3), Targets::from(with(2)))),
            ("label", new(plain(3), labels(with(2)))),
        ] {
            let named = format!("a {what} is {odd}");
            assert!(error.contains(&named) && error.contains("row 3, column 2"), "{error}");
        }
        let data = Dataset::new("set", Features::F32(plain(3)), Targets::from(plain(1)));
        let error = data.unwrap().weighted(vec![1.0, odd, 1.0, 1.0]).unwrap_err().to_string();
        assert!(error.contains(&format!("the weight {odd}")) && error.contains("row 2"), "{error}");
    }
}
