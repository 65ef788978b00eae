//! The fused plan and the plain plan of a spec give the same numbers.

use crate::adapter::has_gpu;
use rand::RngExt;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::LayerWeights;
use wgrad::data::Storage;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::products::tile::Tuning;
use wgrad::kernels::tensor::Role;
use wgrad::math::embedding::Embedding;
use wgrad::math::gemm::Gemm;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::Averaging;
use wgrad::math::random::{Random, Stream};
use wgrad::math::schedule::{MomentumCycle, Schedule, Span};
use wgrad::net::metrics::Metrics;
use wgrad::net::spec::{Bias, Layer, Net, Norm, PlanKind, Spec, Units};
use wgrad::net::stopping::{Keep, Stopping};
use wgrad::plan::{self, Purpose, Traits};
use wgrad::train::event::{Epoch, Flow, Observer};
use wgrad::{Activation, Loss, Optimizer, Trainer};

fn run<T: Gemm>(spec: &Spec, data: &Dataset, plan: PlanKind) -> (Vec<LayerWeights>, Metrics) {
    run_on(Box::new(Cpu::<T>::new(Some(2)).unwrap()), spec, data, plan)
}

fn run_on(
    backend: Box<dyn Backend>,
    spec: &Spec,
    data: &Dataset,
    plan: PlanKind,
) -> (Vec<LayerWeights>, Metrics) {
    let spec = Spec { plan, ..spec.clone() };
    let mut trainer = Trainer::new(&spec, data, Preprocessing::none(data), backend).unwrap();
    let end = trainer.fit(Some(data), &mut ()).unwrap();
    (trainer.weights().unwrap(), end.valid.unwrap())
}

/// The largest difference between two nets' parameters.
fn difference(a: &[LayerWeights], b: &[LayerWeights]) -> f32 {
    let all = |w: &[LayerWeights]| -> Vec<f32> {
        w.iter()
            .flat_map(|l| l.weight.data().iter().chain(l.bias.iter().flatten()).copied())
            .collect()
    };
    all(a).iter().zip(all(b)).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

/// A net, data for it and a run, all drawn at random.
fn draw(random: &mut Random, round: usize) -> (Spec, Dataset) {
    let (rows, cols) = (random.random_range(30..400), random.random_range(1..70));
    let mut net = Net::new(cols);
    for _ in 0..random.random_range(0..4) {
        // Weights of whole vectors of units lie packed.
        let units = random.random_range(1..90usize);
        let units = if round % 3 == 2 { units } else { units.next_multiple_of(16) };
        let activation = if round % 4 == 3 {
            Units::Each((0..units).map(|i| Activation::ALL[(i + round) % 18]).collect())
        } else {
            Activation::ALL[random.random_range(0..18)].into()
        };
        net.layers.push(Layer::new(units, activation));
    }
    let classes = random.random_range(2..12);
    let softmax = round.is_multiple_of(2);
    net.layers.push(Layer::new(
        classes,
        if softmax { Units::Softmax } else { Activation::Identity.into() },
    ));
    let loss = [Loss::CrossEntropyProbabilities, Loss::CrossEntropy][round % 2];
    let rules: Vec<_> = Optimizer::ALL.into_iter().filter(|o| o.is_element_wise()).collect();
    let optimizer = rules[round % rules.len()];
    let mut spec = Spec::new(net.bias(Bias::ALL[round % 3]), loss).optimizer(optimizer);
    spec.batch_size = random.random_range(1..300);
    if optimizer.needs_full_batch() {
        spec.batch_size = rows;
    }
    spec.decay_all = round % 8 == 1;
    spec.epochs = 2;
    spec.weight_decay = [0.0, 0.01][round % 2];
    spec.max_norm = [None, None, Some(0.7)][round % 3];
    let dropout = [0.0, 0.3, 0.0, 0.0, 0.5][round % 5];
    spec.net = spec.net.dropout(dropout);
    spec.net.input_dropout = dropout / 2.0;
    // Half of the columns are mostly 0, in some rounds.
    let zeros = round % 5 > 2;
    let feature = |_, col| match zeros && col % 2 == 1 && random.random_range(0..20) > 0 {
        true => 0.0,
        false => random.normal() as f32,
    };
    let features = Features::F32(Matrix::from_fn(rows, cols, feature));
    let labels = (0..rows).map(|_| random.random_range(0..classes as u32)).collect();
    let names = (0..classes).map(|c| c.to_string()).collect();
    (spec, Dataset::new("random", features, Targets::Classes { labels, names }).unwrap())
}

#[test]
fn fused_and_plain_runs_end_with_the_same_weights_and_metrics() {
    let mut random = Random::new(4, Stream::Check, 0);
    for round in 0..40 {
        let (spec, data) = draw(&mut random, round);
        let (plain, plain_metrics) = run::<f64>(&spec, &data, PlanKind::Plain);
        let (fused, fused_metrics) = run::<f64>(&spec, &data, PlanKind::Fused);
        // In f64 nothing is left of rounding but the last bit of the f32 that is read.
        let off = difference(&plain, &fused);
        assert!(off < 1e-6, "round {round}: {off} in {spec:?}");
        let losses = (plain_metrics.loss, fused_metrics.loss);
        assert!(
            (losses.0 - losses.1).abs() < 1e-9 * losses.0.abs().max(1.0),
            "round {round}: {losses:?}"
        );
    }
}

#[test]
fn the_fused_plan_gives_the_same_bits_with_any_number_of_threads() {
    let mut random = Random::new(5, Stream::Check, 0);
    for round in 0..8 {
        let (spec, data) = draw(&mut random, round);
        let runs = [1, 2, 3, 5].map(|threads| {
            let backend = Box::new(Cpu::<f32>::new(Some(threads)).unwrap());
            let mut trainer =
                Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
            trainer.fit(None, &mut ()).unwrap();
            trainer.weights().unwrap()
        });
        for other in &runs[1..] {
            assert!(*other == runs[0], "round {round}: {spec:?}");
        }
    }
}

/// Whatever a run keeps: parameters, the optimiser's state and averages, in the order of the program's
/// tensors, however the backend lays them out. What one plan kept, the other goes on with.
#[test]
fn both_plans_keep_the_same_state_and_go_on_from_each_other() {
    let random = &mut Random::new(13, Stream::Check, 0);
    // Units of whole panels, of half a panel more, and of a ragged vector.
    for (round, units) in [32, 80, 64, 19].into_iter().cycle().take(16).enumerate() {
        let (Spec { net, .. }, data) = draw(random, 4);
        let net = Net::new(net.inputs)
            .layer(units, Activation::Relu)
            .layer(net.outputs(), Activation::Identity);
        let rules: Vec<_> = Optimizer::ALL.into_iter().filter(|o| o.is_element_wise()).collect();
        let mut spec =
            Spec::new(net, Loss::CrossEntropy).optimizer(rules[round % rules.len()]).epochs(4);
        spec.batch_size = if spec.optimizer.needs_full_batch() { data.rows() } else { 20 };
        spec.averaging =
            [Averaging::Ema { decay: 0.8 }, Averaging::Swa { fraction: 0.5 }][round / 2 % 2];
        spec.weight_decay = 0.01;
        let none = || Preprocessing::none(&data);
        let backend = || Box::new(Cpu::<f64>::new(Some(2)).unwrap());
        let specs = [PlanKind::Plain, PlanKind::Fused].map(|plan| Spec { plan, ..spec.clone() });
        let run = |spec: &Spec| {
            let mut trainer = Trainer::new(spec, &data, none(), backend()).unwrap();
            trainer.fit(None, &mut StopAfter(3)).unwrap();
            let middle = trainer.checkpoint().unwrap();
            trainer.fit(None, &mut ()).unwrap();
            (middle, trainer.checkpoint().unwrap())
        };
        let [plain, fused] = [run(&specs[0]), run(&specs[1])];
        let program = plan::plan(&spec, spec.batch_size, Purpose::Train, Traits::Plain).program;
        let is_parameter = |i: usize| {
            let parameters = program.tensors.iter().filter(|t| t.name.starts_with("layers."));
            let mut parameters = parameters.filter(|t| t.role == Role::Parameter);
            parameters.any(|t| (t.offset..t.offset + t.rows.rows(1) * t.cols).contains(&i))
        };
        let go_on = |spec: &Spec, from| {
            let mut trainer = Trainer::resume(spec, &data, none(), backend(), from).unwrap();
            trainer.fit(None, &mut ()).unwrap();
            trainer.checkpoint().unwrap()
        };
        let gone_on = go_on(&specs[0], &plain.0);
        for (found, expected) in [
            (&fused.0, &plain.0),
            (&fused.1, &plain.1),
            (&go_on(&specs[1], &plain.0), &gone_on),
            (&go_on(&specs[0], &fused.0), &gone_on),
        ] {
            assert_eq!(found.now.tensors.len(), expected.now.tensors.len());
            for (found, expected) in found.now.tensors.iter().zip(&expected.now.tensors) {
                assert_eq!((&found.name, found.shape), (&expected.name, expected.shape));
                // Between parameters there is room, which one plan passes over and the other doesn't.
                let is_part = found.name.starts_with("layers.");
                for i in (0..found.values.len()).filter(|&i| is_part || is_parameter(i)) {
                    let (f, e, name) = (found.values[i], expected.values[i], &found.name);
                    let off = (f - e).abs();
                    assert!(off <= 1e-5 * e.abs().max(1.0), "round {round}: {name} {i}: {f}, {e}");
                }
            }
        }
    }
}

/// Ends a run after an epoch.
struct StopAfter(usize);

impl Observer for StopAfter {
    fn epoch(&mut self, epoch: &Epoch) -> wgrad::Result<Flow> {
        Ok(if epoch.epoch == self.0 { Flow::Stop } else { Flow::Continue })
    }
}

/// Long batches: chunks of rows that add up their own gradients, and, where a wide first layer has
/// more weights than that pays for, units of all rows. The last batch is a short one.
#[test]
fn long_batches_give_the_same_weights_in_either_plan_with_any_number_of_threads() {
    for (cols, units, rows) in [(20, 16, 1100), (2000, 9, 600)] {
        let mut random = Random::new(11, Stream::Check, cols as u64);
        let features = Matrix::from_fn(rows, cols, |_, _| random.random_range(-1.0..1.0));
        let targets = Matrix::from_fn(rows, 3, |_, _| random.random_range(-1.0..1.0));
        let data = Dataset::new("long", Features::F32(features), Targets::from(targets)).unwrap();
        for activation in [Activation::Relu, Activation::Tanh] {
            let net = Net::new(cols).layer(units, activation).layer(3, Activation::Identity);
            let mut spec = Spec::new(net, Loss::SquaredError).optimizer(Optimizer::ALL[1]);
            (spec.batch_size, spec.epochs, spec.lr) = (512, 3, 0.01);
            let (plain, _) = run::<f64>(&spec, &data, PlanKind::Plain);
            let (fused, _) = run::<f64>(&spec, &data, PlanKind::Fused);
            let far = difference(&plain, &fused);
            assert!(far < 1e-6, "{cols} columns, {activation}: {far}");
            let threads = |n| {
                let backend = Box::new(Cpu::<f32>::new(Some(n)).unwrap());
                run_on(backend, &spec, &data, PlanKind::Fused).0
            };
            assert_eq!(threads(1), threads(2));
            assert_eq!(threads(1), threads(3));
        }
    }
}

#[test]
fn fused_runs_on_the_gpu_keep_the_parity_rule() {
    if !has_gpu("fused runs on the GPU") {
        return;
    }
    let mut random = Random::new(6, Stream::Check, 0);
    for round in 0..24 {
        let (mut spec, data) = draw(&mut random, round);
        // Smooth, so that no kink turns the last bit of a z into another derivative; and not
        // Adam, whose first steps do that with the sign of a gradient of nearly zero.
        for layer in &mut spec.net.layers {
            if layer.activation != Units::Softmax {
                layer.activation = [Activation::Tanh, Activation::Silu][round % 2].into();
            }
        }
        spec.optimizer = Optimizer::ALL[round % 3];
        spec.lr = 0.02;
        let device = || Box::new(Gpu::open(0).unwrap());
        let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, device().traits());
        assert!(plan.has_whole_net(), "{spec:?}");
        let (exact, exact_metrics) = run::<f64>(&spec, &data, PlanKind::Plain);
        let (single, _) = run::<f32>(&spec, &data, PlanKind::Plain);
        let (fused, fused_metrics) = run_on(device(), &spec, &data, PlanKind::Fused);
        let off = f64::from(difference(&fused, &exact));
        let allowed = wgrad::proof::parity::FACTOR * f64::from(difference(&single, &exact))
            + wgrad::proof::parity::FLOOR;
        assert!(off <= allowed, "round {round}: {off} > {allowed} in {spec:?}");
        let losses = (exact_metrics.loss, fused_metrics.loss);
        assert!((losses.0 - losses.1).abs() < 1e-5 * losses.0.abs().max(1.0), "{losses:?}");
        assert_eq!(exact_metrics.get("accuracy"), fused_metrics.get("accuracy"), "round {round}");
        let (again, _) = run_on(device(), &spec, &data, PlanKind::Fused);
        assert!(again == fused, "the same seed gives the same bits");
    }
}

/// Large blocks of rows, and gradients in parts.
#[test]
fn a_long_batch_on_the_gpu_keeps_the_parity_rule() {
    if !has_gpu("a long batch on the GPU") {
        return;
    }
    let mut random = Random::new(12, Stream::Check, 0);
    let features = Matrix::from_fn(9000, 6, |_, _| random.random_range(-1.0..1.0));
    let targets = Matrix::from_fn(9000, 3, |_, _| random.random_range(-1.0..1.0));
    let data = Dataset::new("long", Features::F32(features), Targets::from(targets)).unwrap();
    let net = Net::new(6)
        .layer(20, Activation::Tanh)
        .layer(33, Activation::Silu)
        .layer(3, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).optimizer(Optimizer::ALL[1]);
    (spec.batch_size, spec.epochs, spec.lr) = (8192, 3, 0.05);
    let device = || Box::new(Gpu::open(0).unwrap());
    let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, device().traits());
    assert!(plan.has_whole_net());
    let (exact, _) = run::<f64>(&spec, &data, PlanKind::Plain);
    let (single, _) = run::<f32>(&spec, &data, PlanKind::Plain);
    let (fused, _) = run_on(device(), &spec, &data, PlanKind::Fused);
    let off = f64::from(difference(&fused, &exact));
    let allowed = wgrad::proof::parity::FACTOR * f64::from(difference(&single, &exact))
        + wgrad::proof::parity::FLOOR;
    assert!(off <= allowed, "{off} > {allowed}");
}

/// Counted on any adapter: the launches of a step, and the submissions of an epoch.
#[test]
fn a_fused_step_of_a_small_net_is_two_launches() {
    if !has_gpu("launches of a fused step") {
        return;
    }
    let data = wgrad::data::digits();
    let net = Net::new(64).layer(128, Activation::Relu).layer(10, Activation::Identity);
    let mut spec = Spec::new(net, Loss::CrossEntropy).epochs(1);
    spec.batch_size = 8;
    let backend = Box::new(Gpu::open(0).unwrap());
    let mut trainer = Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
    let before = trainer.session().backend().traffic();
    let began = std::time::Instant::now();
    let end = trainer.fit(None, &mut ()).unwrap();
    let after = trainer.session().backend().traffic();
    assert_eq!(after.dispatches - before.dispatches, 2 * end.steps);
    // A submission is to take a tenth of a second: on a slow machine there are more.
    let tenths = began.elapsed().as_millis() as u64 / 100;
    assert!(after.submissions - before.submissions <= end.steps / 8 + 2 * tenths, "{after:?}");
}

/// What a feature does to a spec.
type Change = fn(&mut Spec);

/// Features as a user leaves them out, as they are on, and whether they are ops of their own: the rest
/// are numbers that a step is told.
const FEATURES: [(&str, Change, Change, bool); 22] = [
    (
        "dropout",
        |s| s.net = s.net.clone().dropout(0.0),
        |s| s.net = s.net.clone().dropout(0.5),
        true,
    ),
    ("input dropout", |s| s.net.input_dropout = 0.0, |s| s.net.input_dropout = 0.2, true),
    (
        "norm",
        |s| s.net = s.net.clone().norm(None),
        |s| s.net = s.net.clone().norm(Some(Norm::Layer)),
        true,
    ),
    (
        "residual",
        |s| s.net = s.net.clone().residual(0),
        |s| s.net = s.net.clone().residual(1),
        true,
    ),
    ("max-norm", |s| s.max_norm = None, |s| s.max_norm = Some(3.0), true),
    ("l1", |s| s.edits.l1 = 0.0, |s| s.edits.l1 = 0.1, true),
    ("clip-value", |s| s.edits.clip_value = None, |s| s.edits.clip_value = Some(1.0), true),
    ("clip-norm", |s| s.edits.clip_norm = None, |s| s.edits.clip_norm = Some(1.0), true),
    (
        "clip-global-norm",
        |s| s.edits.clip_global_norm = None,
        |s| s.edits.clip_global_norm = Some(1.0),
        true,
    ),
    ("gradient-noise", |s| s.edits.noise = 0.0, |s| s.edits.noise = 0.1, true),
    (
        "ema",
        |s| s.averaging = Averaging::None,
        |s| s.averaging = Averaging::Ema { decay: 0.9 },
        true,
    ),
    (
        "swa",
        |s| s.averaging = Averaging::None,
        |s| s.averaging = Averaging::Swa { fraction: 0.5 },
        false,
    ),
    (
        "augment",
        |s| s.augment = None,
        |s| s.augment = Some(("shift(1)".parse().unwrap(), [8, 8, 1])),
        true,
    ),
    ("mixup", |s| s.mixup = None, |s| s.mixup = Some(0.2), true),
    ("micro-batch", |s| s.micro_batch = Some(64), |s| s.micro_batch = Some(8), true),
    (
        "embeddings",
        |s| s.net = s.net.clone().embed(vec![]),
        |s| s.net = s.net.clone().embed(vec![Embedding::new(17, 3)]),
        true,
    ),
    ("label-smoothing", |s| s.label_smoothing = 0.0, |s| s.label_smoothing = 0.1, false),
    ("weight-decay", |s| s.weight_decay = 0.0, |s| s.weight_decay = 0.1, false),
    ("schedule", |s| s.schedule = Schedule::Constant, |s| s.schedule = Schedule::Cosine, false),
    ("warmup", |s| s.warmup = Span::Steps(0), |s| s.warmup = Span::Steps(10), false),
    (
        "cycle-momentum",
        |s| s.cycle_momentum = None,
        |s| {
            s.schedule = "one-cycle".parse().unwrap();
            s.cycle_momentum = Some(MomentumCycle::default());
        },
        false,
    ),
    (
        "stopping",
        |s| s.stopping = Stopping::default(),
        |s| {
            s.stopping = Stopping { keep: Keep::Best, patience: Some(3), ..Stopping::default() };
        },
        false,
    ),
];

/// The launches of a training step on a GPU.
fn launches(spec: &Spec) -> usize {
    let batch = spec.batch_size;
    let program = plan::plan(spec, batch, Purpose::Train, Traits::GPU).program;
    program.check().unwrap();
    let step = &program.ops[program.routines.step.clone()];
    let storage = Storage { bytes: true, classes: true, weighted: false };
    step.iter().map(|op| program.launches(op, storage, usize::MAX, &Tuning::default()).len()).sum()
}

/// A step with a feature that is off launches what a step launches that has never heard of it; and
/// what is on shows in the count, or is proven to cost no launch.
#[test]
fn a_feature_that_is_off_costs_no_launch() {
    let spec = |width: usize, plan: PlanKind| {
        let net = Net::new(64)
            .layer(width, Activation::Tanh)
            .layer(width, Activation::Tanh)
            .layer(10, Activation::Identity);
        Spec { plan, ..Spec::new(net, Loss::CrossEntropy) }
    };
    let plain = spec(16, PlanKind::Plain);
    // Whole rows, fused layers with 2L + 2, and plain: gather, three layers forth and back, loss, update.
    for (bare, expected) in [
        (spec(16, PlanKind::Fused), 2),
        (spec(512, PlanKind::Fused), 8),
        (plain.clone(), launches(&plain)),
    ] {
        assert_eq!(launches(&bare), expected);
        let mut all_off = bare.clone();
        for (feature, off, on, is_op) in FEATURES {
            off(&mut all_off);
            let mut with = bare.clone();
            on(&mut with);
            with.check().unwrap();
            assert_ne!(with, bare, "{feature}");
            let count = launches(&with);
            // In the plain plan augmentation takes the place of gathering.
            let is_exchanged = feature == "augment" && bare.plan == PlanKind::Plain;
            // The kernel of whole rows drops beside.
            let is_within = feature.contains("dropout") && expected == 2;
            let more = is_op && !is_exchanged && !is_within;
            assert!(count >= expected, "{feature}: {count} launches of {expected}");
            assert_eq!(count > expected, more, "{feature}: {count} launches of {expected}");
            off(&mut with);
            let schedule = bare.schedule;
            assert_eq!(launches(&Spec { schedule, ..with }), expected, "{feature} off again");
        }
        assert_eq!(launches(&all_off), expected);
    }
}

/// A feature, the launches of its step at most, and what switches it on.
type Counted<'a> = (&'a str, usize, &'a dyn Fn(&mut Spec));

/// Of a step of 64-512-512-512-10 with a batch of 64 rows: what rules leave as ops beside fused ones. The
/// counts are those of a prototype, and may only fall.
#[test]
fn features_are_launches_beside_fused_ones() {
    let base = || {
        let net = Net::new(64)
            .layer(512, Activation::Tanh)
            .layer(512, Activation::Tanh)
            .layer(512, Activation::Tanh)
            .layer(10, Activation::Identity);
        Spec::new(net, Loss::CrossEntropy)
    };
    let embedded = |s: &mut Spec, tables: usize| {
        s.net = s.net.clone().embed(vec![Embedding::new(17, 3); tables]);
    };
    let named = |name: &str| Optimizer::ALL.into_iter().find(|o| o.name() == name).unwrap();
    let cases: [Counted<'_>; 18] = [
        ("none", 10, &|_| ()),
        ("input dropout", 12, &|s| s.net.input_dropout = 0.2),
        ("augment", 11, &|s| s.augment = Some(("shift(1)".parse().unwrap(), [8, 8, 1]))),
        ("mixup", 14, &|s| s.mixup = Some(0.2)),
        ("one embedding", 15, &|s| embedded(s, 1)),
        ("three embeddings", 17, &|s| embedded(s, 3)),
        ("layer norm", 23, &|s| s.net = s.net.clone().norm(Some(Norm::Layer))),
        ("batch norm", 26, &|s| s.net = s.net.clone().norm(Some(Norm::Batch))),
        ("residual 1", 18, &|s| s.net = s.net.clone().residual(1)),
        ("residual 2", 14, &|s| s.net = s.net.clone().residual(2)),
        ("clip global norm", 17, &|s| s.edits.clip_global_norm = Some(1.0)),
        ("l1", 18, &|s| s.edits.l1 = 0.1),
        ("last micro-batch", 15, &|s| s.micro_batch = Some(8)),
        ("lamb", 54, &|s| s.optimizer = named("lamb")),
        ("muon", 104, &|s| s.optimizer = named("muon")),
        ("amsgrad", 14, &|s| s.optimizer = named("amsgrad")),
        ("max-norm", 14, &|s| s.max_norm = Some(1.0)),
        ("dropout", 16, &|s| s.net = s.net.clone().dropout(0.5)),
    ];
    for (feature, most, change) in cases {
        let mut spec = base();
        change(&mut spec);
        spec.batch_size = 64;
        spec.check().unwrap();
        let count = launches(&spec);
        let plain = launches(&Spec { plan: PlanKind::Plain, ..spec });
        println!("{feature}: {count} launches, plain {plain}");
        assert!(count <= most, "{feature}: {count} launches, {most} at most");
    }
}

/// Small nets run whole rows through the net: three launches at most where nothing needs all gradients, six
/// where something does.
#[test]
fn features_of_small_nets_are_few_launches() {
    let embedded = |s: &mut Spec, tables: usize| {
        s.net = s.net.clone().embed(vec![Embedding::new(17, 3); tables]);
    };
    let cases: [Counted<'_>; 13] = [
        ("none", 2, &|_| ()),
        ("one embedding", 4, &|s| embedded(s, 1)),
        ("ten embeddings", 4, &|s| embedded(s, 10)),
        ("a large table", 4, &|s| s.net = s.net.clone().embed(vec![Embedding::new(100_000, 16)])),
        ("embeddings and dropout", 4, &|s| {
            embedded(s, 2);
            s.net = s.net.clone().dropout(0.5);
            s.net.input_dropout = 0.2;
        }),
        ("dropout", 3, &|s| s.net = s.net.clone().dropout(0.5)),
        ("input dropout", 3, &|s| s.net.input_dropout = 0.2),
        ("clip global norm", 6, &|s| s.edits.clip_global_norm = Some(1.0)),
        ("clip value", 6, &|s| s.edits.clip_value = Some(1.0)),
        ("l1", 6, &|s| s.edits.l1 = 0.1),
        ("last micro-batch", 6, &|s| s.micro_batch = Some(8)),
        ("ema", 3, &|s| s.averaging = Averaging::Ema { decay: 0.9 }),
        ("max-norm", 5, &|s| s.max_norm = Some(1.0)),
    ];
    for (feature, most, change) in cases {
        let net = Net::new(64)
            .layer(16, Activation::Tanh)
            .layer(16, Activation::Relu)
            .layer(10, Activation::Identity);
        let mut spec = Spec::new(net, Loss::CrossEntropy);
        change(&mut spec);
        spec.batch_size = 64;
        spec.check().unwrap();
        let count = launches(&spec);
        println!("{feature}: {count} launches");
        assert!(count <= most, "{feature}: {count} launches, {most} at most");
    }
}
