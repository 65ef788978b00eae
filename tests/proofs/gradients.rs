//! The gradients of the program against central differences in f64 (source 002, "the numerical
//! check"), and the proof that the check detects errors.

use crate::common::{
    cpu32, cpu64, gpu, gradients, largest, largest_error, random_data, random_weights, unscaled,
};
use wgrad::backend::session::LayerWeights;
use wgrad::backend::session::initial_weights;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::layers::activation::UnitFunctions;
use wgrad::math::activation::Activation;
use wgrad::math::loss::{Loss, Objective, Reduction};
use wgrad::math::matrix::Matrix;
use wgrad::net::spec::{Bias, Net, Norm, Spec, Units};
use wgrad::plan::program::Op;
use wgrad::plan::{self, Plan, Purpose};
use wgrad::proof::gradcheck::{self, Options, Report, Worst, check_plan};
use wgrad::proof::parity::{FACTOR, FLOOR};

const ROWS: usize = 5;
const INPUTS: usize = 3;
const OUTPUTS: usize = 3;

/// Two hidden layers of `hidden`, and an output layer of `output`.
fn net(hidden: impl Fn(usize) -> Units, output: Units, bias: Bias) -> Net {
    Net::new(INPUTS).layer(4, hidden(4)).layer(5, hidden(5)).layer(OUTPUTS, output).bias(bias)
}

/// The same net with as many outputs as the loss needs for [`OUTPUTS`] targets.
fn fitted(mut net: Net, loss: Loss) -> Net {
    net.layers[2].units = loss.outputs(OUTPUTS);
    net
}

/// An output layer that suits the loss.
fn output_for(loss: Loss) -> Units {
    match loss {
        Loss::CrossEntropyProbabilities => Units::Softmax,
        _ => Activation::Identity.into(),
    }
}

/// Checks every parameter of a net, on data that suit its loss.
#[track_caller]
fn assert_checks(what: &str, spec: &Spec) -> Worst {
    let inputs = spec.net.inputs;
    let data = random_data(spec.objective.loss, ROWS, inputs, spec.net.outputs(), spec.seed);
    let weights = random_weights(spec);
    let plan = plan::plain(spec, ROWS, Purpose::Train);
    // Not gradcheck::check, which also refuses what no user wants, such as softmax before a loss
    // on logits: it has a gradient nevertheless.
    let report = check_plan(spec, &plan, &weights, unscaled(&data), &Options::default()).unwrap();
    let worst = report.worst.clone().unwrap();
    assert!(report.passed, "{what}: {worst:?}");
    assert_eq!((report.checked, report.kinks), (spec.net.parameters(), 0), "{what}");

    // Where everything is zero, zeros prove nothing.
    for (name, gradient) in gradients(&mut cpu64(1), spec, &unscaled(&data), &weights) {
        assert!(largest(&gradient) > 0.0, "{what}: the gradient of {name} is zero: another seed");
    }
    worst
}

#[derive(Default)]
struct Summary {
    nets: usize,
    worst: f64,
    place: String,
}

impl Summary {
    fn add(&mut self, what: String, worst: &Worst) {
        self.nets += 1;
        if worst.error > self.worst {
            (self.worst, self.place) = (worst.error, format!("{what}, {}", worst.tensor));
        }
    }

    fn print(&self, test: &str) {
        let Summary { nets, worst, place } = self;
        println!("{test}: {nets} nets, largest error beyond rounding {worst:.1e} {place}");
    }
}

#[test]
fn every_activation_with_every_loss_and_bias_convention_has_the_numerical_gradient() {
    let mut summary = Summary::default();
    for activation in Activation::ALL {
        for loss in Loss::ALL {
            for reduction in Reduction::ALL {
                for bias in Bias::ALL {
                    let net = net(|_| activation.into(), output_for(loss), bias);
                    let mut spec = Spec::new(fitted(net, loss), Objective { loss, reduction });
                    spec.seed = 1;
                    spec.check().unwrap();
                    let what = format!("{activation}, {}, bias {bias}", spec.objective);
                    summary.add(what.clone(), &assert_checks(&what, &spec));
                }
            }
        }
    }
    summary.print("hidden activations");
    assert_eq!(summary.nets, 18 * 15 * 3 * 3);
}

#[test]
fn smoothed_targets_have_the_numerical_gradient() {
    for loss in Loss::ALL {
        let net = fitted(net(|_| Activation::Tanh.into(), output_for(loss), Bias::Add), loss);
        let mut spec = Spec::new(net, loss);
        (spec.seed, spec.label_smoothing) = (1, 0.2);
        if !loss.takes_smoothing() {
            let error = spec.check().unwrap_err().to_string();
            assert!(error.contains("label smoothing cannot be used with"), "{error}");
            continue;
        }
        spec.check().unwrap();
        assert_checks(&format!("{loss} with smoothing"), &spec);
        let hard = Spec { label_smoothing: 0.0, ..spec.clone() };
        let data = unscaled(&random_data(loss, ROWS, INPUTS, OUTPUTS, spec.seed));
        let weights = random_weights(&spec);
        let (smooth, hard) = (
            gradients(&mut cpu64(1), &spec, &data, &weights),
            gradients(&mut cpu64(1), &hard, &data, &weights),
        );
        assert_ne!(smooth, hard, "{loss}");
    }
}

#[test]
fn mixed_rows_have_the_numerical_gradient() {
    for loss in Loss::ALL {
        let net = fitted(net(|_| Activation::Tanh.into(), output_for(loss), Bias::Add), loss);
        let mut spec = Spec::new(net, loss);
        (spec.seed, spec.mixup) = (1, Some(2.0));
        if loss == Loss::Hinge {
            assert!(spec.check().unwrap_err().to_string().contains("one class per row"));
            continue;
        }
        spec.check().unwrap();
        assert_checks(&format!("{loss} of mixed rows"), &spec);
        let alone = Spec { mixup: None, ..spec.clone() };
        let data = unscaled(&random_data(loss, ROWS, INPUTS, spec.net.outputs(), spec.seed));
        let weights = random_weights(&spec);
        let [mixed, alone] =
            [&spec, &alone].map(|spec| gradients(&mut cpu64(1), spec, &data, &weights));
        assert_ne!(mixed, alone, "{loss}");
    }
}

/// The mask stays the same while a parameter is moved: it depends on the position and the epoch.
#[test]
fn dropout_has_the_numerical_gradient() {
    for (rate, activation) in [(0.3, Activation::Tanh), (0.5, Activation::Mish)] {
        let mut net = net(|_| activation.into(), Units::Softmax, Bias::Add).dropout(rate);
        net.input_dropout = 0.2;
        let mut spec = Spec::new(net, Loss::CrossEntropyProbabilities);
        spec.seed = 3;
        let data = random_data(spec.objective.loss, 60, INPUTS, OUTPUTS, spec.seed);
        let weights = random_weights(&spec);
        let plan = plan::plain(&spec, 60, Purpose::Train);
        let options = Options { rows: 60, ..Options::default() };
        let report = check_plan(&spec, &plan, &weights, unscaled(&data), &options).unwrap();
        assert!(report.passed, "{rate}: {report:?}");
        let dropped = plan.program.ops[plan.program.routines.gradient.clone()]
            .iter()
            .filter(|op| matches!(op, Op::Dropout { .. }));
        assert_eq!(dropped.count(), 5, "x, two A and two δ");
    }
}

#[test]
fn normalisations_and_residual_connections_have_the_numerical_gradient() {
    for norm in [None, Some(Norm::Batch), Some(Norm::Layer)] {
        for depth in [0, 1, 2] {
            for activation in [Activation::Tanh, Activation::Identity, Activation::Gelu] {
                let net = (0..5)
                    .fold(Net::new(INPUTS), |net, _| net.layer(4, activation))
                    .layer(OUTPUTS, Activation::Identity);
                let mut spec = Spec::new(net.norm(norm).residual(depth), Loss::SquaredError);
                spec.seed = 5;
                let what = format!("{norm:?}, blocks of {depth}, {activation}");
                let data = random_data(Loss::SquaredError, 12, INPUTS, OUTPUTS, spec.seed);
                let plan = plan::plain(&spec, 12, Purpose::Train);
                let (weights, options) = (random_weights(&spec), Options::default());
                let report = check_plan(&spec, &plan, &weights, unscaled(&data), &options).unwrap();
                assert!(report.passed, "{what}: {report:?}");
                let checked = report.checked;
                assert_eq!(checked, spec.net.parameters(), "{what}");
            }
        }
    }
    // From the inputs on.
    let mut net = Net::new(4).layer(4, Activation::Tanh).layer(OUTPUTS, Activation::Identity);
    net.layers[0].skip = 1;
    assert_checks("from the inputs", &Spec::new(net, Loss::SquaredError));
}

#[test]
fn every_output_activation_with_every_loss_has_the_numerical_gradient() {
    let mut summary = Summary::default();
    let same = Activation::ALL.into_iter().map(Units::Same);
    for output in same.chain([Units::Softmax]) {
        for loss in Loss::ALL {
            let hidden = Units::Same(Activation::Tanh);
            let net = net(|_| hidden.clone(), output.clone(), Bias::Add);
            let mut spec = Spec::new(fitted(net, loss), loss);
            let positive = matches!(
                output,
                Units::Softmax
                    | Units::Same(
                        Activation::Sigmoid | Activation::Gaussian | Activation::HardSigmoid
                    )
            );
            if loss == Loss::CrossEntropyProbabilities && !positive {
                assert!(spec.check().is_err(), "{output} gives no probabilities");
                continue;
            }
            spec.seed = 1;
            let what = format!("output {output}, {}", spec.objective);
            summary.add(what.clone(), &assert_checks(&what, &spec));
        }
    }
    summary.print("output activations");
    assert_eq!(summary.nets, 19 * 14 + 4);
}

#[test]
fn an_activation_per_unit_has_the_numerical_gradient() {
    let mut summary = Summary::default();
    for start in 0..Activation::ALL.len() {
        let mixed = |units: usize| {
            let each = (0..units).map(|j| Activation::ALL[(start + 5 * j) % Activation::ALL.len()]);
            Units::Each(each.collect())
        };
        for bias in Bias::ALL {
            let mut spec = Spec::new(net(mixed, mixed(OUTPUTS), bias), Loss::SquaredError);
            spec.seed = 1;
            let what = format!("units from {}, bias {bias}", Activation::ALL[start]);
            summary.add(what.clone(), &assert_checks(&what, &spec));
        }
    }
    summary.print("mixed units");
}

/// A net of three layers with its plan, weights and data: right until a test breaks the plan.
struct Setup {
    spec: Spec,
    plan: Plan,
    weights: Vec<LayerWeights>,
}

impl Setup {
    fn new(activation: Activation, loss: Loss) -> Self {
        let net = net(|_| activation.into(), activation.into(), Bias::Add);
        let mut spec = Spec::new(net, loss);
        spec.seed = 1;
        let plan = plan::plain(&spec, ROWS, Purpose::Train);
        Setup { weights: random_weights(&spec), plan, spec }
    }

    fn check(&self) -> Report {
        let Setup { spec, plan, weights } = self;
        let data = random_data(spec.objective.loss, ROWS, INPUTS, OUTPUTS, spec.seed);
        check_plan(spec, plan, weights, unscaled(&data), &Options::default()).unwrap()
    }

    /// The check must fail: the worst parameter, which stands in `layer` or below, where the
    /// error went.
    #[track_caller]
    fn assert_caught(&self, what: &str, layer: usize) -> Worst {
        let report = self.check();
        let worst = report.worst.clone().unwrap();
        assert!(!report.passed, "{what} was not caught: {report:?}");
        assert_eq!(report.kinks, 0, "{what} was taken for a kink");
        let named = (0..=layer).any(|l| worst.tensor.starts_with(&format!("layers.{l}.")));
        assert!(named, "{what} in layer {layer}, but {worst:?}");
        worst
    }
}

#[test]
fn a_wrong_derivative_is_caught_in_its_layer() {
    for activation in Activation::ALL.into_iter().filter(|&a| a != Activation::Identity) {
        let right = Setup::new(activation, Loss::SquaredError);
        assert!(right.check().passed, "{activation}");
        let other = match activation {
            Activation::Tanh => Activation::Sigmoid,
            _ => Activation::Tanh,
        };
        for layer in 0..3 {
            let mut wrong = Setup::new(activation, Loss::SquaredError);
            let z = wrong.plan.layers[layer].z;
            let mut replaced = 0;
            for op in &mut wrong.plan.program.ops {
                if let Op::ActivationGradient { functions, z: at, .. } = op
                    && *at == z
                {
                    *functions = UnitFunctions::Same(other);
                    replaced += 1;
                }
            }
            assert_eq!(replaced, 1);
            wrong.assert_caught(&format!("{other}′ for {activation}′"), layer);
        }
    }
}

#[test]
fn a_wrong_sign_of_a_bias_gradient_is_caught_and_named() {
    for layer in 0..3 {
        let mut wrong = Setup::new(Activation::Tanh, Loss::SquaredError);
        let bias = wrong.plan.layers[layer].gradients.unwrap().bias.unwrap();
        for op in &mut wrong.plan.program.ops {
            if let Op::ColumnSums { sign, out, .. } = op
                && *out == bias
            {
                *sign = -*sign;
            }
        }
        let worst = wrong.assert_caught("a wrong sign", layer);
        assert_eq!(worst.tensor, format!("layers.{layer}.bias"));
        assert!((worst.analytic + worst.numerical).abs() < 1e-6 * worst.numerical.abs());
    }
}

#[test]
fn a_dropped_factor_of_the_loss_is_caught() {
    let mut wrong = Setup::new(Activation::Tanh, Loss::SquaredError);
    let program = &mut wrong.plan.program;
    // The op gives the loss and its gradient, so that changing it changes both alike. The
    // gradient routine is therefore a copy of its own, in which Huber's loss with an endless δ,
    // d²/2, stands for d².
    let copy: Vec<Op> = program.ops[program.routines.gradient.clone()].to_vec();
    let start = program.ops.len();
    program.ops.extend(copy);
    program.routines.gradient = start..program.ops.len();
    for op in &mut program.ops[start..] {
        if let Op::Loss { loss, .. } = op {
            *loss = Loss::Huber(1e30);
        }
    }
    let worst = wrong.assert_caught("a dropped factor 2", 2);
    assert!((2.0 * worst.analytic - worst.numerical).abs() < 1e-6 * worst.numerical.abs());

    // The other way round: a loss that was changed alone is the gradient of something else.
    let mut consistent = Setup::new(Activation::Tanh, Loss::SquaredError);
    for op in &mut consistent.plan.program.ops {
        if let Op::Loss { loss, .. } = op {
            *loss = Loss::Huber(1e30);
        }
    }
    assert!(consistent.check().passed, "a loss with its own gradient is right");
}

#[test]
fn the_check_of_a_spec_is_that_of_its_plan() {
    let setup = Setup::new(Activation::Mish, Loss::SquaredError);
    let Setup { spec, weights, .. } = &setup;
    let data = random_data(spec.objective.loss, ROWS, INPUTS, OUTPUTS, spec.seed);
    let none = Preprocessing::none(&data);
    let report = gradcheck::check(spec, weights, &none, &data, &Options::default()).unwrap();
    assert_eq!(report, setup.check());
}

/// With biases of zero, a row of zeros puts every unit of the first layer on the kink of relu.
/// There central differences are the mean of the slopes on the two sides, for every h, and a
/// derivative that is the slope on one side is none the worse for it.
#[test]
fn a_kink_at_the_parameter_itself_is_no_error() {
    let net = Net::new(2).layer(8, Activation::Relu).layer(2, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy);
    let corners = Matrix::new(4, 2, vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]).unwrap();
    let names = ["same", "different"].map(String::from).to_vec();
    let targets = Targets::Classes { labels: vec![0, 1, 1, 0], names };
    let data = Dataset::new("xor", Features::F32(corners), targets).unwrap();
    let (weights, options) = (initial_weights(&spec), Options::default());
    let plan = plan::plain(&spec, 4, Purpose::Train);
    let report = check_plan(&spec, &plan, &weights, unscaled(&data), &options).unwrap();
    assert!(report.passed && report.kinks <= 8, "{report:?}");

    // What is wrong is caught there too.
    let mut wrong = plan;
    for op in &mut wrong.program.ops {
        if let Op::ActivationGradient { functions, .. } = op {
            *functions = UnitFunctions::Same(Activation::Tanh);
        }
    }
    let report = check_plan(&spec, &wrong, &weights, unscaled(&data), &options).unwrap();
    assert!(!report.passed && report.worst.unwrap().tensor.starts_with("layers.0."));
}

/// The rule of parity over a whole pass: err(GPU, f64) ≤ k · err(CPU f32, f64) + 16 ε of the
/// largest gradient of the tensor.
#[test]
fn gradients_on_the_gpu_are_those_in_f64() {
    let Some(mut gpu) = gpu("gradients_on_the_gpu_are_those_in_f64") else { return };
    let (mut single, mut double) = (cpu32(1), cpu64(1));
    let mixed =
        |units: usize| Units::Each((0..units).map(|j| Activation::ALL[3 * j + 1]).collect());
    let softmax = || net(|_| Activation::Silu.into(), Units::Softmax, Bias::Subtract);
    let linear = |a: Activation| net(|_| a.into(), Activation::Identity.into(), Bias::Add);
    let specs = [
        Spec::new(linear(Activation::Gelu), Loss::SquaredError),
        Spec::new(linear(Activation::Relu), Loss::CrossEntropy),
        Spec::new(linear(Activation::Mish), Loss::BinaryCrossEntropy),
        Spec::new(linear(Activation::Elu(1.0)), Loss::Poisson),
        Spec::new(linear(Activation::Softplus).bias(Bias::None), Loss::LogCosh),
        Spec::new(softmax(), Loss::CrossEntropyProbabilities),
        Spec::new(softmax(), Loss::AbsoluteError),
        Spec::new(net(mixed, mixed(OUTPUTS), Bias::Add), Loss::Huber(1.0)),
        Spec::new(linear(Activation::Gelu), Loss::Focal(2.0)),
        Spec::new(linear(Activation::Silu), Loss::BinaryFocal(1.5)),
        Spec::new(linear(Activation::Tanh), Loss::KlDivergence),
        Spec::new(linear(Activation::Mish), Loss::Cosine),
        Spec::new(fitted(linear(Activation::Gelu), Loss::GaussianNll), Loss::GaussianNll),
    ];
    let mut closest: f64 = 0.0;
    for spec in specs {
        let samples =
            unscaled(&random_data(spec.objective.loss, 37, INPUTS, spec.net.outputs(), 5));
        let weights = random_weights(&spec);
        let exact = gradients(&mut double, &spec, &samples, &weights);
        let cpu = gradients(&mut single, &spec, &samples, &weights);
        let found = gradients(&mut gpu, &spec, &samples, &weights);
        for (((name, exact), (_, cpu)), (_, found)) in exact.iter().zip(&cpu).zip(&found) {
            let allowed = FACTOR * largest_error(cpu, exact) + FLOOR * largest(exact);
            let error = largest_error(found, exact);
            assert!(error <= allowed, "{}, {name}: {error:e} > {allowed:e}", spec.objective);
            closest = closest.max(error / allowed);
        }
    }
    println!("gradients on the GPU: at most {closest:.2} of what is allowed");
}
