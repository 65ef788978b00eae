//! Programs of fused layers: each op against f64 by the parity rule, whole runs against the plain program.

use crate::adapter::has_gpu;
use crate::common::difference;
use crate::forward::forward;
use crate::plans::run_on;
use rand::RngExt;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::math::embedding::Embedding;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::metrics::Metrics;
use wgrad::net::spec::{Bias, Layer, Net, Norm, PlanKind, Spec, Units};
use wgrad::plan::program::Op;
use wgrad::plan::{Purpose, Traits};
use wgrad::train::bench::Case;
use wgrad::{Activation, Loss, Optimizer, Trainer, plan};

/// A backend with a given fusion, independent of the net.
struct Fusing(Box<dyn Backend>, Traits);

impl Backend for Fusing {
    forward!(0: info load upload forget write run read traffic);
    fn traits(&self) -> Traits {
        self.1
    }
}

/// A net, data for it and a run, all drawn at random; classes in even rounds, numbers in odd ones.
pub fn draw(random: &mut Random, round: usize, smooth: bool) -> (Spec, Dataset) {
    let (rows, cols) = (random.random_range(30..300), random.random_range(1..150));
    let outputs = random.random_range(1 + usize::from(round.is_multiple_of(2))..12);
    let mut net = Net::new(cols);
    for _ in 0..random.random_range(0..4) {
        let activation = match smooth {
            true => [Activation::Tanh, Activation::Silu][round % 2],
            false => Activation::ALL[random.random_range(0..18)],
        };
        net.layers.push(Layer::new(random.random_range(1..140), activation));
    }
    let (last, loss): (Units, Loss) = match round % 4 {
        0 => (Units::Softmax, Loss::CrossEntropyProbabilities),
        1 => (Activation::Tanh.into(), Loss::SquaredError),
        2 => (Activation::Identity.into(), Loss::CrossEntropy),
        _ => (Activation::Identity.into(), Loss::LogCosh),
    };
    net.layers.push(Layer::new(outputs, last));
    let rule = Optimizer::ALL[round % if smooth { 3 } else { 5 }];
    let mut spec = Spec::new(net.bias(Bias::ALL[round % 3]), loss).optimizer(rule);
    spec.batch_size = random.random_range(1..200);
    spec.epochs = 2;
    spec.weight_decay = [0.0, 0.01][round / 2 % 2];
    spec.seed = round as u64;
    spec.max_norm = [None, None, Some(0.7)][round % 3];
    spec.net = spec.net.dropout([0.0, 0.3, 0.0, 0.0, 0.5][round % 5]);
    let bytes = round.is_multiple_of(3);
    let features = match bytes {
        true => Features::U8(Matrix::from_fn(rows, cols, |_, _| random.random_range(0..3))),
        false => Features::F32(Matrix::from_fn(rows, cols, |_, _| random.normal() as f32)),
    };
    let targets = if round.is_multiple_of(2) {
        let labels = (0..rows).map(|_| random.random_range(0..outputs as u32)).collect();
        Targets::Classes { labels, names: (0..outputs).map(|c| c.to_string()).collect() }
    } else {
        Targets::from(Matrix::from_fn(rows, outputs, |_, _| random.normal() as f32))
    };
    (spec, Dataset::new("random", features, targets).unwrap())
}

pub fn run(
    backend: Box<dyn Backend>,
    spec: &Spec,
    data: &Dataset,
    plan: PlanKind,
) -> (Vec<LayerWeights>, Metrics) {
    run_on(Box::new(Fusing(backend, Traits::LAYERS)), spec, data, plan)
}

#[test]
fn fused_layers_and_plain_runs_end_with_the_same_weights_and_metrics() {
    let mut random = Random::new(20, Stream::Check, 0);
    for round in 0..40 {
        let (spec, data) = draw(&mut random, round, false);
        let on = |plan| run(Box::new(Cpu::<f64>::new(Some(2)).unwrap()), &spec, &data, plan);
        let ((plain, plain_metrics), (fused, fused_metrics)) =
            (on(PlanKind::Plain), on(PlanKind::Fused));
        let off = difference(&plain, &fused);
        // In f64 only the rounding of the f32 result remains.
        assert!(off < 1e-6, "round {round}: {off} in {spec:?}");
        let (a, b) = (plain_metrics.loss, fused_metrics.loss);
        assert!((a - b).abs() < 1e-9 * a.abs().max(1.0), "round {round}: {a} and {b}");
    }
}

#[test]
fn steps_of_fused_layers_agree_tensor_by_tensor() {
    let mut random = Random::new(21, Stream::Check, 0);
    for round in 0..16 {
        if !has_gpu("steps of fused layers") {
            return;
        }
        let (spec, data) = draw(&mut random, round, false);
        // With the checks of shaders at run time on and off.
        let gpu = Gpu::open_with(0, round % 2 == 0).unwrap();
        let device = Box::new(Fusing(Box::new(gpu), Traits::LAYERS));
        let report =
            wgrad::proof::parity::verify(&spec, &Preprocessing::none(&data), &data, device)
                .unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{spec:?}\n{failed:#?}");
        for op in ["dense", "output", "backward"] {
            assert!(report.ops.iter().any(|report| report.op.starts_with(op)), "{op}");
        }
    }
}

#[test]
fn fused_layers_on_the_gpu_keep_the_parity_rule_and_repeat_bit_by_bit() {
    let mut random = Random::new(22, Stream::Check, 0);
    for round in 0..12 {
        if !has_gpu("runs of fused layers") {
            return;
        }
        // Smooth, so that no kink turns the last bit of a z into another derivative; and not
        // Adam, whose first steps do that with the sign of a gradient of nearly zero.
        let (mut spec, data) = draw(&mut random, round, true);
        spec.lr = 0.02;
        let gpu = || run(Box::new(Gpu::open(0).unwrap()), &spec, &data, PlanKind::Fused);
        let (exact, exact_metrics) =
            run(Box::new(Cpu::<f64>::new(None).unwrap()), &spec, &data, PlanKind::Plain);
        let (single, _) =
            run(Box::new(Cpu::<f32>::new(None).unwrap()), &spec, &data, PlanKind::Plain);
        let (fused, metrics) = gpu();
        let off = difference(&fused, &exact);
        let allowed = wgrad::proof::parity::FACTOR * difference(&single, &exact)
            + wgrad::proof::parity::FLOOR;
        assert!(off <= allowed, "round {round}: {off} > {allowed} in {spec:?}");
        let (a, b) = (exact_metrics.loss, metrics.loss);
        assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "round {round}: {a} and {b}");
        assert!(gpu().0 == fused, "the same seed gives the same bits");
    }
}

/// Ops that aren't fused remain as separate ops.
#[test]
fn units_with_activations_of_their_own_stay_an_op() {
    let units = Units::Each(vec![Activation::Tanh, Activation::Sine]);
    let mut net = Net::new(3);
    net.layers.push(Layer::new(2, units));
    net.layers.push(Layer::new(1, Activation::Identity));
    let spec = Spec::new(net, Loss::SquaredError);
    let program = plan::plan(&spec, 4, Purpose::Train, Traits::LAYERS).program;
    let step = &program.ops[program.routines.step.clone()];
    let count = |is: fn(&Op) -> bool| step.iter().filter(|op| is(op)).count();
    assert_eq!(count(|op| matches!(op, Op::Dense(_))), 2);
    assert_eq!(count(|op| matches!(op, Op::Activation { .. })), 1);
    assert_eq!(count(|op| matches!(op, Op::ActivationGradient { .. })), 1);
    assert_eq!(count(|op| matches!(op, Op::Backward(_))), 2);
    assert_eq!(step.len(), 8, "with the output and the sums of scores");
}

/// A feature, and the function that enables it.
type Feature<'a> = (&'a str, &'a dyn Fn(&mut Spec));

/// Each feature that is a separate op, with fused layers.
#[test]
fn features_beside_fused_layers_train_as_in_the_plain_program() {
    let named = |name: &str| Optimizer::ALL.into_iter().find(|o| o.name() == name).unwrap();
    let features: [Feature<'_>; 19] = [
        ("relu", &|s| s.net.layers[0].activation = Activation::Relu.into()),
        ("input dropout", &|s| s.net.input_dropout = 0.2),
        ("dropout", &|s| s.net = s.net.clone().dropout(0.2)),
        ("embeddings", &|s| s.net = s.net.clone().embed(vec![Embedding::new(17, 3); 3])),
        ("layer norm", &|s| s.net = s.net.clone().norm(Some(Norm::Layer))),
        ("batch norm", &|s| s.net = s.net.clone().norm(Some(Norm::Batch))),
        ("residual", &|s| s.net = s.net.clone().residual(1)),
        ("all three", &|s| {
            s.net = s.net.clone().norm(Some(Norm::Layer)).residual(1);
            s.net = s.net.clone().embed(vec![Embedding::new(17, 3)]);
        }),
        ("clip global norm", &|s| s.edits.clip_global_norm = Some(1.0)),
        ("clip norm", &|s| s.edits.clip_norm = Some(0.1)),
        ("l1 and noise", &|s| (s.edits.l1, s.edits.noise) = (0.01, 0.01)),
        ("mixup", &|s| s.mixup = Some(0.2)),
        ("augment", &|s| s.augment = Some(("shift(1)".parse().unwrap(), [8, 8, 1]))),
        ("micro-batches", &|s| s.micro_batch = Some(8)),
        ("lamb", &|s| s.optimizer = named("lamb")),
        ("muon", &|s| s.optimizer = named("muon")),
        ("amsgrad", &|s| s.optimizer = named("amsgrad")),
        ("l-bfgs", &|s| (s.optimizer, s.batch_size) = (Optimizer::Lbfgs, 100)),
        ("units of their own", &|s| {
            s.net.layers[1].activation =
                Units::Each([Activation::Tanh, Activation::Silu].repeat(10));
        }),
    ];
    let data = wgrad::data::digits().select(&(0..100).collect::<Vec<_>>());
    for (feature, change) in features {
        let mut net = Net::new(64);
        for _ in 0..3 {
            net.layers.push(Layer::new(20, Activation::Tanh));
        }
        net.layers.push(Layer::new(10, Activation::Identity));
        let momentum = Optimizer::Momentum { momentum: 0.9 };
        let mut spec = Spec::new(net, Loss::CrossEntropy).optimizer(momentum).epochs(2);
        (spec.batch_size, spec.lr, spec.weight_decay) = (32, 0.01, 0.01);
        change(&mut spec);
        spec.check().unwrap();
        let on = |plan| run(Box::new(Cpu::<f64>::new(Some(2)).unwrap()), &spec, &data, plan).0;
        let exact = on(PlanKind::Plain);
        let off = difference(&exact, &on(PlanKind::Fused));
        assert!(off < 1e-6, "{feature}: {off}");
        if !has_gpu("features beside fused layers") {
            continue;
        }
        let single = run(Box::new(Cpu::<f32>::new(None).unwrap()), &spec, &data, PlanKind::Plain).0;
        let found = run(Box::new(Gpu::open(0).unwrap()), &spec, &data, PlanKind::Fused).0;
        let off = difference(&found, &exact);
        let allowed = wgrad::proof::parity::FACTOR * difference(&single, &exact)
            + wgrad::proof::parity::FLOOR;
        assert!(off <= allowed, "{feature}: {off} > {allowed}");
    }
}

/// Ops that need all gradients before the update, after the kernel of whole rows.
#[test]
fn kept_gradients_behind_whole_rows_train_as_in_the_plain_program() {
    if !has_gpu("kept gradients behind whole rows") {
        return;
    }
    let lamb = Optimizer::ALL.into_iter().find(|o| o.name() == "lamb").unwrap();
    let features: [Feature<'_>; 6] = [
        ("clip global norm", &|s| s.edits.clip_global_norm = Some(0.5)),
        ("clip value", &|s| s.edits.clip_value = Some(0.01)),
        ("l1 and noise", &|s| (s.edits.l1, s.edits.noise) = (0.01, 0.01)),
        ("micro-batches", &|s| s.micro_batch = Some(8)),
        ("lamb", &|s| s.optimizer = lamb),
        ("dropout, clipped", &|s| {
            s.net = s.net.clone().dropout(0.3);
            s.edits.clip_norm = Some(0.1);
        }),
    ];
    let data = wgrad::data::digits().select(&(0..100).collect::<Vec<_>>());
    for (feature, change) in features {
        let net = Net::new(64).layer(20, Activation::Tanh).layer(20, Activation::Tanh);
        let net = net.layer(10, Activation::Identity);
        let momentum = Optimizer::Momentum { momentum: 0.9 };
        let mut spec = Spec::new(net, Loss::CrossEntropy).optimizer(momentum).epochs(2);
        (spec.batch_size, spec.lr, spec.weight_decay) = (32, 0.01, 0.01);
        change(&mut spec);
        let plain = Spec { plan: PlanKind::Plain, ..spec.clone() };
        let on = |backend: Box<dyn Backend>, spec: &Spec| {
            let mut trainer =
                Trainer::new(spec, &data, Preprocessing::none(&data), backend).unwrap();
            trainer.fit(None, &mut ()).unwrap();
            trainer.weights().unwrap()
        };
        let gpu = || Box::new(Gpu::open(0).unwrap());
        let plan = plan::plan(&spec, 32, Purpose::Train, gpu().traits());
        assert!(plan.has_whole_net(), "{feature}");
        let exact = on(Box::new(Cpu::<f64>::new(None).unwrap()), &plain);
        let single = on(Box::new(Cpu::<f32>::new(None).unwrap()), &plain);
        let off = difference(&on(gpu(), &spec), &exact);
        let allowed = wgrad::proof::parity::FACTOR * difference(&single, &exact)
            + wgrad::proof::parity::FLOOR;
        assert!(off <= allowed, "{feature}: {off} > {allowed}");
    }
}

/// A batch that is cut into parts has the same gradients as one that is not.
#[test]
fn gradients_in_parts_agree_with_whole_ones() {
    let case = Case { batch: 700, rows: 1500, ..Case::find("T").unwrap() };
    let (mut spec, data) = (case.spec(), case.data().unwrap());
    spec.optimizer = Optimizer::Momentum { momentum: 0.9 };
    for layer in &mut spec.net.layers {
        layer.activation = Activation::Tanh.into();
    }
    let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, Traits::GPU);
    let parts = plan.program.find("gradients.parts").unwrap();
    assert!(plan.program.len(parts) > plan.program.len(plan.parameters), "more than one part");
    let weights = |backend: Box<dyn Backend>, plan| {
        let spec = Spec { plan, epochs: 1, ..spec.clone() };
        let mut trainer = Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
        trainer.fit(None, &mut ()).unwrap();
        trainer.weights().unwrap()
    };
    let cpu = || Box::new(Cpu::<f64>::new(Some(2)).unwrap());
    let exact = weights(cpu(), PlanKind::Plain);
    let cut = weights(Box::new(Fusing(cpu(), Traits::GPU)), PlanKind::Fused);
    assert!(difference(&exact, &cut) < 1e-6);
    if !has_gpu("gradients in parts") {
        return;
    }
    let single = weights(Box::new(Cpu::<f32>::new(Some(2)).unwrap()), PlanKind::Plain);
    let gpu = || weights(Box::new(Gpu::open(0).unwrap()), PlanKind::Fused);
    let found = gpu();
    let allowed =
        wgrad::proof::parity::FACTOR * difference(&single, &exact) + wgrad::proof::parity::FLOOR;
    assert!(difference(&found, &exact) <= allowed);
    assert!(gpu() == found, "the same seed gives the same bits");
    let report = wgrad::proof::parity::verify(
        &spec,
        &Preprocessing::none(&data),
        &data,
        Box::new(Gpu::open(0).unwrap()),
    )
    .unwrap();
    let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
    assert!(report.passed, "{failed:#?}");
    assert!(report.ops.iter().any(|op| op.op.starts_with("gradient parts")));
}
