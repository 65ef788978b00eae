//! Functions of each element or row: activations, softmax, losses.

use super::case::{Case, gpu, has_few_shapes, normal, random, rounds, size};
use pollster::FutureExt as _;
use rand::RngExt;
use std::sync::Arc;
use wgrad::backend::{Values, ValuesMut};
use wgrad::data::{Affine, Features, Samples};
use wgrad::kernels::Step;
use wgrad::kernels::layers::activation::{UnitFunctions, unit_table};
use wgrad::kernels::tensor::{Extent, Role};
use wgrad::math::activation::Activation;
use wgrad::math::loss::{Loss, Reduction};
use wgrad::math::matrix::Matrix;
use wgrad::plan::program::{Op, Program};

#[test]
fn activations_and_their_derivatives_agree_over_a_wide_range() {
    let mut random = random(2);
    for activation in Activation::ALL {
        let Some(device) = gpu("activations") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let spread = [0.01, 1.0, 10.0][random.random_range(0..3)];
        let z: Vec<f32> = normal(&mut random, rows * cols).iter().map(|z| z * spread).collect();
        let functions = UnitFunctions::Same(activation);
        let mut case = Case::new(rows);
        let (z_id, a) = (case.batch("z", cols, z.clone()), case.batch("a", cols, vec![]));
        case.check(
            Op::Activation { functions: functions.clone(), z: z_id, a },
            Step::default(),
            None,
            device,
        );

        let Some(device) = gpu("activations") else { return };
        let mut case = Case::new(rows);
        let (z, delta) =
            (case.batch("z", cols, z), case.batch("delta", cols, normal(&mut random, rows * cols)));
        case.check(Op::ActivationGradient { functions, z, delta }, Step::default(), None, device);
    }
}

#[test]
fn a_different_activation_for_each_unit_agrees() {
    let mut random = random(3);
    for gradient in [false, true] {
        let Some(device) = gpu("activations by unit") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let each: Vec<_> = (0..cols).map(|_| Activation::ALL[random.random_range(0..18)]).collect();
        let mut case = Case::new(rows);
        let table = case.tensor("units", Extent::Fixed(cols), 2, unit_table(&each));
        let z = case.batch("z", cols, normal(&mut random, rows * cols));
        let out = case.batch("out", cols, normal(&mut random, rows * cols));
        let functions = UnitFunctions::Each(each, table);
        let op = if gradient {
            Op::ActivationGradient { functions, z, delta: out }
        } else {
            Op::Activation { functions, z, a: out }
        };
        case.check(op, Step::default(), None, device);
    }
}

#[test]
fn softmax_and_its_jacobian_agree() {
    let mut random = random(4);
    for round in rounds(8, &[0, 1]) {
        let (rows, cols) = (size(&mut random), size(&mut random));
        let input: Vec<f32> = normal(&mut random, rows * cols).iter().map(|z| z * 5.0).collect();
        let Some(device) = gpu("softmax") else { return };
        let mut case = Case::new(rows);
        let (input, out) = (
            case.batch("in", cols, input),
            case.batch("out", cols, normal(&mut random, rows * cols)),
        );
        let op = if round % 2 == 0 {
            Op::Softmax { z: input, y: out }
        } else {
            Op::SoftmaxGradient { y: input, delta: out }
        };
        case.check(op, Step::default(), None, device);
    }
}

/// Each element against f64 by its own size, where the function has no zero that rounding of z
/// moves: what a bound by the largest element of a tensor would let pass.
#[test]
fn elementary_functions_are_right_in_every_digit() {
    use Activation::{Elu, Sigmoid, Softplus, Tanh};
    let z: Vec<f32> = (-200..=60)
        .flat_map(|i| [1.0, -1.0].map(|sign| sign * 1.1f32.powi(i)))
        .filter(|z| z.abs() < 80.0)
        .collect();
    for activation in [Tanh, Sigmoid, Softplus, Elu(1.0), Activation::Sine] {
        let Some(mut device) = gpu("elementary functions") else { return };
        let mut program = Program::new(1);
        let mut add = |name| program.add(name, Role::Transient, Extent::Batch, z.len());
        let (from, to) = (add("z"), add("a"));
        let functions = UnitFunctions::Same(activation);
        program.ops.push(Op::Activation { functions, z: from, a: to });
        device.load(Arc::new(program)).block_on().unwrap();
        let features = Arc::new(Features::U8(Matrix::new(1, 1, vec![0]).unwrap()));
        let samples =
            Samples { features, affine: Affine::identity(1), targets: None, weights: None };
        let data = device.upload(Arc::new(samples)).block_on().unwrap();
        device.write(from, Values::F32(&z)).block_on().unwrap();
        device.run(0..1, data, &[Step { rows: 1, ..Step::default() }]).block_on().unwrap();
        let mut found = vec![0.0; z.len()];
        device.read(to, ValuesMut::F64(&mut found)).block_on().unwrap();
        for (&z, found) in z.iter().zip(found) {
            let exact = activation.value(f64::from(z));
            // Below this, f32 has no normal numbers.
            let tiny = exact.abs() < 1e-37 && found.abs() < 2e-37;
            assert!(
                tiny || (found - exact).abs() <= 6e-7 * exact.abs(),
                "{activation}({z}) = {found}, not {exact}"
            );
        }
    }
}

#[test]
fn every_loss_and_its_gradient_agree() {
    let mut random = random(5);
    for loss in Loss::ALL {
        for (round, reduction) in Reduction::ALL.into_iter().enumerate() {
            if has_few_shapes() && round != 1 {
                continue;
            }
            let Some(device) = gpu("losses") else { return };
            let (rows, targets) = (size(&mut random), size(&mut random));
            let cols = loss.outputs(targets);
            let probabilities = loss == Loss::CrossEntropyProbabilities;
            let y = (0..rows * cols)
                .map(
                    |_| if probabilities { random.uniform() } else { 3.0 * random.normal() } as f32,
                )
                .collect();
            let shares = loss.is_for_classes() || loss == Loss::KlDivergence;
            let t = (0..rows * targets)
                .map(|_| if shares { random.uniform() } else { random.normal() } as f32)
                .collect();
            let mut case = Case::new(rows);
            let y = case.batch("y", cols, y);
            let t = case.batch("t", targets, t);
            let unit = case.tensor("unit", Extent::Fixed(1), targets, vec![2.5; targets]);
            let gradient = case.batch("gradient", cols, vec![]);
            let scores = case.batch("scores", 4, vec![]);
            let step = Step {
                reduction_factor: (1.0 / reduction.divisor(rows, targets)) as f32,
                smoothing: if loss.takes_smoothing() { 0.15 * round as f32 } else { 0.0 },
                ..Step::default()
            };
            case.check(Op::Loss { loss, y, t, unit, gradient, scores }, step, None, device);
        }
    }
}
