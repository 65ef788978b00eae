//! Programs of fused layers: each op against f64 by the parity rule, whole runs against the plain program,
//! every tile against every other bit by bit, and the launches of a step, counted.

use crate::adapter::has_gpu;
use pollster::FutureExt as _;
use rand::RngExt;
use std::ops::Range;
use std::sync::Arc;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::LayerWeights;
use wgrad::backend::{Backend, DataId, DeviceInfo, Pending, Traffic, Values, ValuesMut};
use wgrad::data::{Affine, Dataset, Features, Preprocessing, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::products::matmul::Form;
use wgrad::kernels::products::tile::{TILES, Tuning, choices};
use wgrad::kernels::tensor::{Extent, Role, TensorId};
use wgrad::math::embedding::Embedding;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::metrics::Metrics;
use wgrad::net::spec::{Bias, Layer, Net, Norm, PlanKind, Spec, Units};
use wgrad::plan::program::{Op, Program};
use wgrad::plan::{self, Purpose, Traits};
use wgrad::train::bench::Case;
use wgrad::{Activation, Loss, Optimizer, Trainer};

/// A backend with a given fusion, independent of the net.
struct Fusing(Box<dyn Backend>, Traits);

impl Backend for Fusing {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }
    fn traits(&self) -> Traits {
        self.1
    }
    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        self.0.load(program)
    }
    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId> {
        self.0.upload(samples)
    }
    fn forget(&mut self, data: DataId) {
        self.0.forget(data);
    }
    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
        self.0.write(tensor, values)
    }
    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        self.0.run(ops, data, steps)
    }
    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
        self.0.read(tensor, values)
    }
    fn traffic(&self) -> Traffic {
        self.0.traffic()
    }
}

/// A net, data for it and a run, all drawn at random; classes in even rounds, numbers in odd ones.
fn draw(random: &mut Random, round: usize, smooth: bool) -> (Spec, Dataset) {
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

fn run(
    backend: Box<dyn Backend>,
    spec: &Spec,
    data: &Dataset,
    plan: PlanKind,
) -> (Vec<LayerWeights>, Metrics) {
    let spec = Spec { plan, ..spec.clone() };
    let backend = Box::new(Fusing(backend, Traits::LAYERS));
    let mut trainer = Trainer::new(&spec, data, Preprocessing::none(data), backend).unwrap();
    let end = trainer.fit(Some(data), &mut ()).unwrap();
    (trainer.weights().unwrap(), end.valid.unwrap())
}

/// The largest difference between two nets' parameters.
fn difference(a: &[LayerWeights], b: &[LayerWeights]) -> f64 {
    let all = |w: &[LayerWeights]| -> Vec<f32> {
        w.iter()
            .flat_map(|l| l.weight.data().iter().chain(l.bias.iter().flatten()).copied())
            .collect()
    };
    let pairs = all(a).into_iter().zip(all(b));
    pairs.fold(0.0, |m, (a, b)| f64::max(m, f64::from(a - b).abs()))
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

/// The choice of tiles, which may be measured, must not change results.
#[test]
fn every_tile_gives_the_same_bits() {
    if !has_gpu("tiles") {
        return;
    }
    let mut random = Random::new(23, Stream::Check, 0);
    for (round, wide) in [(0, 0), (2, 0), (3, 750)] {
        let (mut spec, data) = draw(&mut random, round, false);
        if wide > 0 {
            // Elements enough for the long stretches.
            spec.net.layers.insert(0, Layer::new(wide, Activation::Relu));
            spec.net.layers.insert(1, Layer::new(wide, Activation::Relu));
            spec.batch_size = 4;
            spec.epochs = 1;
        } else if round == 2 {
            // Rows that may be read four elements at a time.
            let hidden = spec.net.layers.len() - 1;
            let hidden = spec.net.layers[..hidden].iter_mut();
            hidden.for_each(|layer| layer.units = layer.units.next_multiple_of(4));
            spec.net.layers.insert(0, Layer::new(68, Activation::Relu));
        }
        let rows = data.rows().min(if wide > 0 { 12 } else { 90 });
        let data = data.select(&(0..rows).collect::<Vec<_>>());
        let program =
            plan::plan(&spec, spec.batch_size.min(data.rows()), Purpose::Train, Traits::LAYERS);
        let batch = program.program.batch;
        // The trainer's program may hold more rows than a batch has, for evaluation.
        let batches = [batch, plan::evaluation_rows(&spec.net, data.rows().min(256)).max(batch)];
        let all: Vec<_> = batches
            .iter()
            .flat_map(|&batch| {
                let program = plan::plan(&spec, batch, Purpose::Train, Traits::LAYERS).program;
                program.ops.iter().map(|op| program.products(op)).collect::<Vec<_>>()
            })
            .filter(|products| !products.is_empty())
            .collect();
        let runs: Vec<_> = (0..TILES.len())
            .map(|tile| {
                let allowed = all.iter().filter(|products| choices(products, None).contains(&tile));
                let choices = allowed.map(|products| (products.clone(), tile)).collect();
                let mut gpu = Gpu::open(0).unwrap();
                gpu.set_tuning(Tuning { choices, ..Tuning::default() });
                run(Box::new(gpu), &spec, &data, PlanKind::Fused).0
            })
            .collect();
        for (tile, weights) in TILES.iter().zip(&runs) {
            assert!(*weights == runs[0], "round {round}: {tile} differs from {}", TILES[0]);
        }
    }
}

/// The same of the plain program's products, in all forms, with rows of lengths that are multiples
/// of four and that aren't.
#[test]
fn every_tile_gives_the_same_product() {
    if !has_gpu("tiled products") {
        return;
    }
    let mut random = Random::new(25, Stream::Check, 0);
    for (round, [m, n, k]) in
        [[5, 7, 3], [33, 70, 130], [64, 36, 68], [130, 12, 300], [728, 724, 12]]
            .into_iter()
            .enumerate()
    {
        for form in [Form::Nn, Form::Nt, Form::Tn] {
            let mut program = Program::new(1);
            let mut add = |name, [rows, cols]: [usize; 2]| {
                program.add(name, Role::Transient, Extent::Fixed(rows), cols)
            };
            let a = add("a", if form == Form::Tn { [k, m] } else { [m, k] });
            let b = add("b", if form == Form::Nt { [n, k] } else { [k, n] });
            let c = add("c", [m, n]);
            program.ops = vec![Op::Matmul { form, a, b, bias: None, c }];
            let products = program.products(&program.ops[0]);
            let program = Arc::new(program);
            let mut values = |len: usize| (0..len).map(|_| random.normal() as f32).collect();
            let (x, y): (Vec<f32>, Vec<f32>) = (values(m * k), values(k * n));
            let run = |tile: usize| {
                let mut gpu = Gpu::open_with(0, round % 2 == 0).unwrap();
                let choices = [(products.clone(), tile)].into();
                gpu.set_tuning(Tuning { choices, ..Tuning::default() });
                gpu.load(program.clone()).block_on().unwrap();
                let features = Arc::new(Features::F32(Matrix::from_fn(1, 1, |_, _| 0.0)));
                let affine = Affine::identity(1);
                let rows = Samples { features, affine, targets: None, weights: None };
                let data = gpu.upload(Arc::new(rows)).block_on().unwrap();
                gpu.write(a, Values::F32(&x)).block_on().unwrap();
                gpu.write(b, Values::F32(&y)).block_on().unwrap();
                gpu.run(0..1, data, &[Step { rows: 1, ..Step::default() }]).block_on().unwrap();
                let mut found = vec![0.0; m * n];
                gpu.read(c, ValuesMut::F32(&mut found)).block_on().unwrap();
                found
            };
            let first = run(0);
            assert!(first.iter().any(|&x| x != 0.0));
            for (choice, tile) in TILES.iter().enumerate().skip(1) {
                assert!(run(choice) == first, "{form:?} {m} {n} {k}: {tile} differs");
            }
        }
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

/// Measuring changes only which tiles are used.
#[test]
fn measured_tiles_give_the_bits_of_the_default_ones() {
    if !has_gpu("measured tiles") {
        return;
    }
    let mut random = Random::new(24, Stream::Check, 0);
    let (mut spec, data) = draw(&mut random, 1, false);
    spec.epochs = 1;
    let default = || {
        let mut gpu = Gpu::open(0).unwrap();
        gpu.set_tuning(Tuning::default());
        gpu
    };
    let mut measuring = default();
    measuring.measure_tiles();
    let program = plan::plan(&spec, spec.batch_size, Purpose::Train, Traits::LAYERS).program;
    measuring.load(Arc::new(program)).block_on().unwrap();
    assert!(!measuring.tuning().choices.is_empty(), "something was measured");
    let found = run(Box::new(measuring), &spec, &data, PlanKind::Fused).0;
    assert!(found == run(Box::new(default()), &spec, &data, PlanKind::Fused).0);
}
