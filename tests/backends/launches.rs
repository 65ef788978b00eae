//! What a step costs on a GPU besides its arithmetic: launches, submissions, bytes that are read back.

use crate::adapter::has_gpu;
use wgrad::backend::Backend;
use wgrad::backend::gpu::Gpu;
use wgrad::data::{Preprocessing, Storage};
use wgrad::kernels::products::tile::Tuning;
use wgrad::math::embedding::Embedding;
use wgrad::math::optim::Averaging;
use wgrad::math::schedule::{MomentumCycle, Schedule, Span};
use wgrad::net::spec::{Net, Norm, PlanKind, Spec};
use wgrad::net::stopping::{Keep, Stopping};
use wgrad::plan::{Purpose, Traits};
use wgrad::train::bench::Case;
use wgrad::{Activation, Loss, Optimizer, Trainer, plan};

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

/// The effect of a feature on a spec.
type Change = fn(&mut Spec);

/// Features that are disabled and enabled, and whether they are separate ops: the others
/// are parameters of a step.
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

/// A step with a disabled feature has the same launches as one without the feature; an enabled one
/// shows in the count, or demonstrably costs no launch.
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

/// A feature, the most launches of its step, and the function that enables it.
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

/// Small nets run whole rows through the net: at most three launches if nothing needs all gradients, otherwise
/// six.
#[test]
fn features_of_small_nets_are_few_launches() {
    let embedded = |s: &mut Spec, tables: usize| {
        s.net = s.net.clone().embed(vec![Embedding::new(17, 3); tables]);
    };
    let cases: [Counted<'_>; 15] = [
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
        ("embeddings and clip global norm", 7, &|s| {
            embedded(s, 3);
            s.edits.clip_global_norm = Some(1.0);
        }),
        ("embeddings and last micro-batch", 7, &|s| {
            embedded(s, 3);
            s.micro_batch = Some(8);
        }),
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

/// Counted on any adapter, with few rows: launches don't depend on them.
#[test]
fn steps_take_as_few_launches_as_promised() {
    if !has_gpu("launches of a step") {
        return;
    }
    for name in ["S64", "S128", "T", "M", "H"] {
        let full = Case::find(name).unwrap();
        // A long batch is cut into parts, which makes no difference to how many launches there are.
        let batch = if name == "T" { 512 } else { 8 };
        let case = Case { batch, rows: 2 * batch, ..full };
        let backend = Box::new(Gpu::open(0).unwrap());
        let (spec, data) = (case.spec(), case.data().unwrap());
        let layers = spec.net.layers.len() as u64;
        let (is_whole, most) = match name {
            "M" | "H" => (false, 2 * layers + 2),
            _ => (true, 3),
        };
        let at_full_size = plan::plan(&full.spec(), full.batch, Purpose::Train, backend.traits());
        assert_eq!(at_full_size.has_whole_net(), is_whole, "{name}");
        let mut trainer = Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
        let before = trainer.session().backend().traffic().dispatches;
        trainer.run_steps(2).unwrap();
        let launched = trainer.session().backend().traffic().dispatches - before;
        assert!(launched <= 2 * most, "{name}: {launched} launches in two steps");
        assert!(at_full_size.program.routines.step.len() as u64 <= most, "{name} at full size");
    }
}

/// Counted on any adapter: S, of which the batch is cut so that software adapters keep up.
#[test]
fn many_steps_go_into_one_submission_and_little_is_read_back() {
    if !has_gpu("submissions") {
        return;
    }
    let case = Case { batch: 8, rows: 1024, ..Case::find("S64").unwrap() };
    let (spec, data) = (case.spec(), case.data().unwrap());
    let backend = Box::new(Gpu::open(0).unwrap());
    let mut trainer = Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
    let mut run = |steps: usize| {
        let before = trainer.session().backend().traffic();
        trainer.run_steps(steps).unwrap();
        let after = trainer.session().backend().traffic();
        (after.submissions - before.submissions, after.bytes_read - before.bytes_read)
    };
    let (submissions, read) = run(64);
    assert!(submissions <= 64 / 16, "{submissions} submissions");
    assert_eq!(read, 16, "the sums of the losses and scores");
    assert_eq!(run(1).1, read, "however many steps there are");
}
