//! The library against numbers that PyTorch computed in f64 (see `tests/golden/README.md`), on
//! the CPU in f64 and f32 and on the GPU.
//!
//! Every tensor is compared with one bound for its precision, relative to its largest magnitude. The
//! inputs are exact in f32, so that all devices start from the same numbers.

use crate::common::{
    Shared, cpu32, cpu64, first_rows, gpu, largest, largest_error, read_gradients,
};
use crate::golden_cases::{
    ActivationCase, Golden, LossCase, NetCase, Optimizers, Parameters, WeightsCase, load, matrix,
    net, objective, optimizer, tensors, weights,
};
use pollster::FutureExt as _;
use std::sync::Arc;
use wgrad::backend::{Backend, Values};
use wgrad::data::{Affine, ClassWeight, Dataset, Features, Preprocessing, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::layers::activation::{UnitFunctions, unit_table};
use wgrad::kernels::tensor::{Extent, Role};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::{GradientEdits, Optimizer};
use wgrad::net::spec::{PlanKind, Spec};
use wgrad::plan::program::{Op, Program};
use wgrad::plan::{self, Plan, Purpose};
use wgrad::train::event::{Epoch, Flow, Observer};
use wgrad::train::trainer::Trainer;

/// In f64 what remains is that constants such as the slope 0.01 of leaky relu are f32, wrong by
/// 2e-8 of a slope that is a hundredth of the largest. Measured: 2e-10, and without leaky relu
/// 1e-15.
const DOUBLE: f64 = 1e-9;
/// The same for ten steps of an optimizer, whose η, λ, μ, β and 1 − βᵗ are all f32, each wrong by
/// up to 6e-8. Measured: 3e-8.
const DOUBLE_STEPS: f64 = 1e-7;
/// 33 roundings of 2⁻²⁴: the longest chain here, four layers forth and back, has about 60, which
/// don't all point the same way. A wrong formula is wrong by far more. Measured: 4e-7 for values
/// and single gradients, 8e-7 for sums over the batch that cancel, as a bias's gradient.
const SINGLE: f64 = 2e-6;

/// A backend with its bound, and the largest error that was seen.
struct Device {
    name: &'static str,
    backend: Shared,
    bound: f64,
    worst: (f64, String),
}

impl Device {
    /// Compares a tensor with the bound.
    #[track_caller]
    fn check(&mut self, what: &str, found: &[f64], expected: &[f64]) {
        let scale = largest(expected);
        let error = largest_error(found, expected);
        let (name, allowed) = (self.name, self.bound * scale);
        // Not >, so that a NaN is caught.
        let close = error <= allowed;
        assert!(close, "{name}: {what} is wrong by {error:.2e}, allowed {allowed:.2e}\n{found:?}");
        if error > self.worst.0 * scale {
            self.worst = (error / scale, what.into());
        }
    }
}

/// Calls `check` with the CPU in f64, in f32, and the GPU if there is one.
fn on_every_device(test: &str, double: f64, mut check: impl FnMut(&mut Device)) {
    let devices = [
        ("cpu f64", Some(cpu64(1)), double),
        ("cpu f32", Some(cpu32(1)), SINGLE),
        ("gpu", gpu(test), SINGLE),
    ];
    for (name, backend, bound) in devices {
        let Some(backend) = backend else { continue };
        let mut device = Device { name, backend, bound, worst: (0.0, "nothing".into()) };
        check(&mut device);
        let (error, what) = device.worst;
        println!("{test}, {name}: largest error {error:.2e} of {what}, bound {bound:.0e}");
    }
}

/// A data set that isn't used by ops on written tensors.
fn nothing() -> Samples {
    let features = Arc::new(Features::F32(Matrix::from_fn(1, 1, |_, _| 0.0)));
    Samples { features, affine: Affine::identity(1), targets: None, weights: None }
}

/// Gradients are multiplied by a scale that is rounded to f32; PyTorch's is not. The effect of the rounding
/// on the divisor is known and removed.
fn undo_rounding(gradient: &[f64], step: &Step, divisor: f64) -> Vec<f64> {
    let factor = f64::from(step.reduction_factor) * divisor;
    gradient.iter().map(|g| g / factor).collect()
}

#[test]
fn activations_and_their_derivatives_are_those_of_pytorch() {
    let golden: Golden<ActivationCase> = load("activations");
    for activation in Activation::ALL {
        let name = activation.name().replace('-', "_");
        assert!(golden.cases.iter().any(|case| case.name == name), "{name} has golden numbers");
    }
    let test = "activations_and_their_derivatives_are_those_of_pytorch";
    on_every_device(test, DOUBLE, |device| {
        for case in &golden.cases {
            let f: Activation = case.name.parse().unwrap();
            let mut program = Program::new(case.z.len());
            let mut add = |name| program.add(name, Role::Transient, Extent::Batch, 1);
            let (z, a, delta) = (add("z"), add("a"), add("delta"));
            let table = program.add("units", Role::Constant, Extent::Fixed(1), 2);
            program.constants.push((table, unit_table(&[f])));
            // One function for the layer, and a function for each unit.
            for functions in [UnitFunctions::Same(f), UnitFunctions::Each(vec![f], table)] {
                program.ops = vec![
                    Op::Activation { functions: functions.clone(), z, a },
                    Op::ActivationGradient { functions, z, delta },
                ];
                let rows = case.z.len();
                let data = device.backend.start(&program, &nothing());
                device.backend.write(z, Values::F64(&case.z)).block_on().unwrap();
                device.backend.write(delta, Values::F32(&vec![1.0; rows])).block_on().unwrap();
                let step = Step { rows: rows as u32, ..Step::default() };
                device.backend.run(0..2, data, &[step]).block_on().unwrap();
                let (a, slope) = (
                    device.backend.get(&program, a, rows),
                    device.backend.get(&program, delta, rows),
                );
                device.check(&case.name, &a, &case.a);
                device.check(&format!("the derivative of {}", case.name), &slope, &case.derivative);
            }
        }
    });
}

#[test]
fn losses_and_their_gradients_are_those_of_pytorch() {
    let golden: Golden<LossCase> = load("losses");
    for loss in wgrad::Loss::ALL {
        let name = loss.name().replace('-', "_");
        let is = |case: &LossCase| case.loss.split('(').next() == Some(&name);
        assert!(golden.cases.iter().any(is), "{name} has golden numbers");
    }
    let test = "losses_and_their_gradients_are_those_of_pytorch";
    on_every_device(test, DOUBLE, |device| {
        for case in &golden.cases {
            let rows = case.output.len();
            let (outputs, targets) = (case.output[0].len(), case.targets[0].len());
            for reduction in &case.reductions {
                let objective = objective(&case.loss, &reduction.reduction);
                let mut program = Program::new(rows);
                let mut add = |name, cols| program.add(name, Role::Transient, Extent::Batch, cols);
                let (y, t) = (add("y", outputs), add("t", targets));
                let (gradient, scores) = (add("gradient", outputs), add("scores", 4));
                let mut fixed =
                    |name, cols| program.add(name, Role::Metric, Extent::Fixed(1), cols);
                let (unit, sums) = (fixed("unit", targets), fixed("sums", 4));
                let loss = objective.loss;
                program.ops = vec![
                    Op::Loss { loss, y, t, unit, gradient, scores },
                    Op::Accumulate { scores, sums },
                ];
                let data = device.backend.start(&program, &nothing());
                device.backend.write(y, Values::F64(&case.output.concat())).block_on().unwrap();
                device.backend.write(t, Values::F64(&case.targets.concat())).block_on().unwrap();
                let divisor = objective.divisor(rows, outputs);
                let reduction_factor = (1.0 / divisor) as f32;
                let smoothing = case.smoothing;
                let step =
                    Step { rows: rows as u32, reduction_factor, smoothing, ..Step::default() };
                device.backend.run(0..2, data, &[step]).block_on().unwrap();

                let what = format!("{} ({}), {}", case.loss, case.case, reduction.reduction);
                let value = device.backend.get(&program, sums, rows)[0] / divisor;
                device.check(&what, &[value], &[reduction.value]);
                let found = device.backend.get(&program, gradient, rows);
                let found = undo_rounding(&found, &step, divisor);
                let expected = reduction.gradient.concat();
                device.check(&format!("the gradient of {what}"), &found, &expected);
            }
        }
    });
}

#[test]
fn nets_give_the_outputs_losses_and_gradients_of_pytorch() {
    let golden: Golden<NetCase> = load("nets");
    let test = "nets_give_the_outputs_losses_and_gradients_of_pytorch";
    on_every_device(test, DOUBLE, |device| {
        for case in &golden.cases {
            let spec = Spec::new(
                net(case.inputs[0].len(), &case.layers),
                objective(&case.loss, &case.reduction),
            );
            spec.check().unwrap();
            let rows = case.inputs.len();
            let plan = plan::plain(&spec, rows, Purpose::Train);
            let samples = Samples {
                features: Arc::new(Features::F32(matrix(&case.inputs))),
                affine: Affine::identity(spec.net.inputs),
                targets: Some(Targets::from(matrix(&case.targets))),
                weights: None,
            };
            let data = device.backend.start(&plan.program, &samples);
            device.backend.set_weights(&plan, &weights(&case.parameters));
            let step = first_rows(&spec, rows);
            device
                .backend
                .run(plan.program.routines.gradient.clone(), data, &[step])
                .block_on()
                .unwrap();

            let outputs = device.backend.get(&plan.program, plan.output, rows);
            device.check(&format!("the output of {}", case.name), &outputs, &case.outputs.concat());
            let divisor = spec.objective.divisor(rows, spec.net.outputs());
            let value = device.backend.get(&plan.program, plan.sums, rows)[0] / divisor;
            device.check(&format!("the loss of {}", case.name), &[value], &[case.value]);
            check_gradients(device, &case.name, &plan, &case.gradients, &step, divisor);
        }
    });
}

#[test]
fn weighted_rows_and_classes_give_the_loss_and_the_gradients_of_pytorch() {
    let golden: Golden<WeightsCase> = load("weights");
    let test = "weighted_rows_and_classes_give_the_loss_and_the_gradients_of_pytorch";
    on_every_device(test, DOUBLE, |device| {
        for case in &golden.cases {
            let names = ["a", "b", "c"].map(String::from).to_vec();
            let of_class = names.iter().cloned().zip(case.class_weights.iter().copied()).collect();
            let targets = Targets::Classes { labels: case.labels.clone(), names };
            let of_class = ClassWeight::Given(of_class).of_classes(&targets).unwrap();
            let data = Dataset::new("golden", Features::F32(matrix(&case.inputs)), targets)
                .and_then(|data| data.weighted(case.sample_weights.clone()))
                .and_then(|data| data.class_weighted(&of_class))
                .unwrap();
            let samples = Preprocessing::none(&data).samples(&data).unwrap();
            let spec = Spec::new(net(case.inputs[0].len(), &case.layers), Loss::CrossEntropy);
            let rows = data.rows();
            let plan = plan::plain(&spec, rows, Purpose::Train);
            let data = device.backend.start(&plan.program, &samples);
            device.backend.set_weights(&plan, &weights(&case.parameters));
            let step = first_rows(&spec, rows);
            device
                .backend
                .run(plan.program.routines.gradient.clone(), data, &[step])
                .block_on()
                .unwrap();
            let value = device.backend.get(&plan.program, plan.sums, rows)[0] / rows as f64;
            device.check(&format!("the loss of {}", case.name), &[value], &[case.value]);
            check_gradients(device, &case.name, &plan, &case.gradients, &step, rows as f64);
        }
    });
}

fn check_gradients(
    device: &mut Device,
    place: &str,
    plan: &Plan,
    expected: &[Parameters],
    step: &Step,
    divisor: f64,
) {
    let found = read_gradients(&device.backend, plan);
    let expected: Vec<_> = expected.iter().flat_map(tensors).collect();
    assert_eq!(found.len(), expected.len());
    for ((name, found), expected) in found.iter().zip(expected) {
        let found = undo_rounding(found, step, divisor);
        device.check(&format!("the gradient of {name} of {place}"), &found, &expected);
    }
}

/// The tensors on the backend after each epoch, which here is one step.
struct Watch {
    backend: Shared,
    plan: Plan,
    losses: Vec<f64>,
    /// Of each step: the weights and biases of every layer.
    parameters: Vec<Vec<Vec<f64>>>,
}

impl Observer for Watch {
    fn epoch(&mut self, epoch: &Epoch) -> wgrad::Result<Flow> {
        self.losses.push(epoch.train_loss);
        let tensors = self.plan.layers.iter().flat_map(|layer| [Some(layer.weight), layer.bias]);
        let read = |tensor| self.backend.get(&self.plan.program, tensor, 0);
        self.parameters.push(tensors.flatten().map(read).collect());
        Ok(Flow::Continue)
    }
}

#[test]
fn ten_steps_of_every_optimizer_are_those_of_pytorch() {
    let golden: Optimizers = load("optimizers");
    for optimizer in Optimizer::ALL {
        let name = optimizer.name();
        assert!(
            golden.cases.iter().any(|case| case.optimizer == name),
            "{name} has golden numbers"
        );
    }
    let features = Features::F32(matrix(&golden.inputs));
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let targets = Targets::Classes { labels: golden.labels.clone(), names };
    let data = Dataset::new("golden", features, targets).unwrap();
    let test = "ten_steps_of_every_optimizer_are_those_of_pytorch";
    on_every_device(test, DOUBLE_STEPS, |device| {
        for case in &golden.cases {
            let net = net(data.features().cols(), &golden.layers);
            let mut spec = Spec::new(net, objective(&golden.loss, &golden.reduction));
            spec.optimizer = optimizer(case);
            (spec.lr, spec.weight_decay) = (case.lr, case.weight_decay);
            spec.decay_all = case.decay_all;
            spec.edits = GradientEdits {
                l1: case.l1.unwrap_or_default(),
                clip_value: case.clip_value,
                clip_norm: case.clip_norm,
                clip_global_norm: case.clip_global_norm,
                noise: 0.0,
            };
            (spec.batch_size, spec.epochs) = (data.rows(), 10);
            // In the order of the file, so that sums are added up as PyTorch does.
            spec.shuffle = false;

            let run = |epochs: usize, plan: PlanKind, device: &Device| {
                let spec = Spec { epochs, plan, ..spec.clone() };
                let backend = device.backend.boxed();
                let mut trainer =
                    Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
                trainer.set_weights(&weights(&golden.initial)).unwrap();
                let plan = trainer.session().plan().clone();
                let backend = device.backend.clone();
                let mut watch = Watch { backend, plan, losses: Vec::new(), parameters: Vec::new() };
                let end = trainer.fit(None, &mut watch).unwrap();
                assert_eq!(end.steps, epochs as u64);
                watch
            };
            let place = format!("{}, step 1", case.name);
            // The plain program keeps its gradients.
            let watch = run(1, PlanKind::Plain, device);
            let (step, rows) = (first_rows(&spec, data.rows()), data.rows() as f64);
            // L-BFGS leaves those of the point that it went to.
            if spec.edits.is_empty() && spec.optimizer != Optimizer::Lbfgs {
                let expected = &golden.first_gradients;
                check_gradients(device, &place, &watch.plan, expected, &step, rows);
            }

            let watch = run(10, PlanKind::Fused, device);
            device.check(&format!("the losses of {}", case.name), &watch.losses, &case.losses);
            for (steps, expected) in [(1, &case.after_1), (10, &case.after_10)] {
                let expected: Vec<_> = expected.iter().flat_map(tensors).collect();
                let found = &watch.parameters[steps - 1];
                assert_eq!(found.len(), expected.len());
                for (tensor, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("parameter {tensor} of {} after step {steps}", case.name);
                    device.check(&what, found, expected);
                }
            }
        }
    });
}
