//! The fused plan and the plain plan of a spec give the same numbers.

use crate::adapter::has_gpu;
use crate::common::difference;
use rand::RngExt;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::tensor::Role;
use wgrad::math::gemm::Gemm;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::Averaging;
use wgrad::math::random::{Random, Stream};
use wgrad::net::metrics::Metrics;
use wgrad::net::spec::{Bias, Layer, Net, PlanKind, Spec, Units};
use wgrad::plan::{Purpose, Traits};
use wgrad::train::event::{Epoch, Flow, Observer};
use wgrad::{Activation, Loss, Optimizer, Trainer, plan};

fn run<T: Gemm>(spec: &Spec, data: &Dataset, plan: PlanKind) -> (Vec<LayerWeights>, Metrics) {
    run_on(Box::new(Cpu::<T>::new(Some(2)).unwrap()), spec, data, plan)
}

pub fn run_on(
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
        // In f64 only the rounding of the f32 result remains.
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

/// The state of a run: parameters, the optimizer's state and averages, in the order of the program's
/// tensors, independent of the backend's layout. One plan can continue with the state of the other.
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
                // Between parameters there is padding, which one plan skips and the other doesn't.
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
        let off = difference(&fused, &exact);
        let allowed = wgrad::proof::parity::FACTOR * difference(&single, &exact)
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
    let off = difference(&fused, &exact);
    let allowed =
        wgrad::proof::parity::FACTOR * difference(&single, &exact) + wgrad::proof::parity::FLOOR;
    assert!(off <= allowed, "{off} > {allowed}");
}
