//! The optimizers that use whole tensors: LAMB, Muon and L-BFGS.

use crate::common::{
    cpu32, cpu64, first_rows, gpu, largest, largest_error, random_data, random_weights, unscaled,
};
use pollster::FutureExt as _;
use wgrad::backend::{Backend, Values, ValuesMut};
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::optim::combine::{self, Factors};
use wgrad::kernels::optim::direction;
use wgrad::kernels::tensor::TensorId;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::{Optimizer, UpdateRule};
use wgrad::math::schedule::Schedule;
use wgrad::net::spec::{Net, Spec};
use wgrad::plan::{self, Purpose};
use wgrad::{Activation, Loss, Trainer};

/// A product of row-major matrices, a: (m, k), b: (k, n).
fn product(a: &[f64], b: &[f64], [m, n, k]: [usize; 3]) -> Vec<f64> {
    let at = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
    (0..m * n).map(|e| at(e / n, e % n)).collect()
}

fn transposed(a: &[f64], cols: usize) -> Vec<f64> {
    let rows = a.len() / cols;
    (0..a.len()).map(|e| a[e % rows * cols + e / rows]).collect()
}

/// Newton–Schulz written out, with powers of the matrix as it is: (rows, cols).
fn orthogonalised(g: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    // The library holds them in f32.
    let [a, b, c] = [3.4445f32, -4.7750, 2.0315].map(f64::from);
    let norm = g.iter().map(|x| x * x).sum::<f64>().sqrt() + 1e-7;
    let mut x: Vec<f64> = g.iter().map(|x| x / norm).collect();
    for _ in 0..5 {
        let gram = product(&x, &transposed(&x, cols), [rows, rows, cols]);
        let third = product(&gram, &x, [rows, cols, rows]);
        let fifth = product(&gram, &third, [rows, cols, rows]);
        for ((x, third), fifth) in x.iter_mut().zip(&third).zip(&fifth) {
            *x = a * *x + b * third + c * fifth;
        }
    }
    x
}

#[test]
fn muon_orthogonalises_wide_square_and_tall_matrices() {
    let test = "muon_orthogonalises_wide_square_and_tall_matrices";
    for (inputs, units) in [(9, 4), (5, 5), (3, 8), (1, 6)] {
        for (backend, bound) in [(Some(cpu64(1)), 1e-9), (gpu(test), 1e-5)] {
            let Some(mut backend) = backend else { continue };
            let data = random_data(Loss::SquaredError, 12, inputs, 2, 3);
            let net =
                Net::new(inputs).layer(units, Activation::Tanh).layer(2, Activation::Identity);
            let spec = Spec::new(net, Loss::SquaredError).optimizer("muon".parse().unwrap());
            let plan = plan::plain(&spec, 12, Purpose::Train);
            let (program, routines) = (&plan.program, &plan.program.routines);
            let id = backend.start(program, &unscaled(&data));
            backend.set_weights(&plan, &random_weights(&spec));
            let step = first_rows(&spec, 12);
            let weight = plan.layers[0].weight;
            let before = backend.get(program, weight, 0);
            backend.run(routines.gradient.clone(), id, &[step]).block_on().unwrap();
            let g = backend.get(program, plan.layers[0].gradients.unwrap().weight, 0);
            backend.run(routines.step.clone(), id, &[step]).block_on().unwrap();
            let after = backend.get(program, weight, 0);

            // The library holds it in f32.
            let scale = f64::from((units as f32 / inputs as f32).max(1.0).sqrt());
            // The first direction, which the 10⁻⁷ beside its norm doesn't leave out of account.
            let mu = f64::from(0.95f32);
            let u: Vec<f64> = g.iter().map(|g| (1.0 - mu) * (1.0 + mu) * g).collect();
            let o = orthogonalised(&u, units, inputs);
            let expected: Vec<f64> =
                before.iter().zip(&o).map(|(w, o)| w - f64::from(0.02f32) * scale * o).collect();
            let error = largest_error(&after, &expected) / largest(&expected);
            assert!(error < bound, "({units}, {inputs}): {error:e}");
            // All directions are taken about alike.
            let gram = match units < inputs {
                true => product(&o, &transposed(&o, inputs), [units, units, inputs]),
                false => product(&transposed(&o, inputs), &o, [inputs, inputs, units]),
            };
            let trace: f64 = (0..units.min(inputs)).map(|i| gram[i * units.min(inputs) + i]).sum();
            let mean = trace / units.min(inputs) as f64;
            assert!((0.4..1.5).contains(&mean), "squares of singular values: {mean}");
        }
    }
}

/// Muon on two parameters that are the matrix of a hidden layer, from (−1, 2), at a learning rate that
/// falls to 0: the ops of its update, with gradients that no net has.
fn muon(lr: f64, steps: u64, slope: impl Fn([f64; 2]) -> [f64; 2]) -> [f64; 2] {
    let net = Net::new(2).layer(1, Activation::Identity).layer(1, Activation::Identity);
    let spec = Spec::new(net, Loss::SquaredError).optimizer("muon".parse().unwrap());
    let plan = plan::plain(&spec, 1, Purpose::Train);
    let routines = &plan.program.routines;
    let update = routines.gradient.end..routines.step.end;
    let mut backend = cpu64(1);
    let data = random_data(Loss::SquaredError, 1, 2, 1, 3);
    let id = backend.start(&plan.program, &unscaled(&data));
    let (layer, mut w) = (&plan.layers[0], [-1.0, 2.0]);
    backend.write(layer.weight, Values::F64(&w)).block_on().unwrap();
    for t in 1..=steps {
        let g = slope(w);
        backend.write(layer.gradients.unwrap().weight, Values::F64(&g)).block_on().unwrap();
        let step = Step {
            lr: (lr * (1.0 - t as f64 / (steps + 1) as f64)) as f32,
            corrections: spec.optimizer.corrections(t),
            ..first_rows(&spec, 1)
        };
        backend.run(update.clone(), id, &[step]).block_on().unwrap();
        backend.read(layer.weight, ValuesMut::F64(&mut w)).block_on().unwrap();
    }
    w
}

#[test]
fn muon_finds_the_bottom_of_a_parabola_and_of_rosenbrock() {
    let w = muon(0.02, 3000, |[x, y]| [2.0 * (x - 3.0), 20.0 * (y + 1.0)]);
    assert!((w[0] - 3.0).abs() < 1e-3 && (w[1] + 1.0).abs() < 1e-3, "{w:?}");
    let w = muon(0.02, 20_000, |[x, y]| {
        [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)]
    });
    assert!((w[0] - 1.0).abs() < 1e-2 && (w[1] - 1.0).abs() < 1e-2, "{w:?}");
}

/// LAMB on two parameters that are one tensor, from (−1, 2), at a learning rate that falls to 0.
fn lamb(lr: f64, steps: u64, slope: impl Fn([f64; 2]) -> [f64; 2]) -> [f64; 2] {
    let optimizer: Optimizer = "lamb".parse().unwrap();
    let rule = UpdateRule { optimizer, decay: 0.0, decayed: 0 };
    let (mut w, [mut m, mut v]) = ([-1.0, 2.0], [[0.0; 2]; 2]);
    for t in 1..=steps {
        let step = Step {
            lr: (lr * (1.0 - t as f64 / (steps + 1) as f64)) as f32,
            corrections: optimizer.corrections(t),
            ..Step::default()
        };
        let (g, mut u) = (slope(w), [0.0; 2]);
        direction::reference(rule, &step, 0, [&w, &g], [&mut m, &mut v], &mut u);
        let norms = [w, u].map(|x| f64::hypot(x[0], x[1]));
        let factors = Factors::Trust { norms: [TensorId(0); 2] };
        combine::reference(factors, &step, norms, &u, &mut w);
    }
    w
}

#[test]
fn lamb_finds_the_bottom_of_a_parabola_and_of_rosenbrock() {
    let w = lamb(0.02, 3000, |[x, y]| [2.0 * (x - 3.0), 20.0 * (y + 1.0)]);
    assert!((w[0] - 3.0).abs() < 1e-3 && (w[1] + 1.0).abs() < 1e-3, "{w:?}");
    let w = lamb(0.02, 60_000, |[x, y]| {
        [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)]
    });
    assert!((w[0] - 1.0).abs() < 1e-2 && (w[1] - 1.0).abs() < 1e-2, "{w:?}");
}

/// Two linear layers learn a linear map, to the noise of the targets' rounding.
#[test]
fn lamb_and_muon_learn_a_linear_map() {
    let features = Features::F32(Matrix::from_fn(64, 6, |r, c| {
        (((r * 37 + c * 11) % 41) as f32 - 20.0) / 20.0
    }));
    let targets = Matrix::from_fn(64, 3, |r, c| {
        let row: Vec<f32> = (0..6).map(|i| features.value(r, i)).collect();
        row[c] - 0.5 * row[c + 3]
    });
    let data = Dataset::new("map", features, Targets::from(targets)).unwrap();
    for (name, lr) in [("lamb", 0.02), ("muon", 0.05)] {
        let net = Net::new(6).layer(6, Activation::Identity).layer(3, Activation::Identity);
        let mut spec =
            Spec::new(net, Loss::SquaredError).optimizer(name.parse().unwrap()).epochs(1500);
        (spec.lr, spec.batch_size) = (lr, 64);
        spec.schedule = Schedule::Cosine;
        let none = Preprocessing::none(&data);
        let mut trainer = Trainer::new(&spec, &data, none, cpu64(1).boxed()).unwrap();
        let loss = trainer.fit(Some(&data), &mut ()).unwrap().valid.unwrap().loss;
        assert!(loss < 1e-5, "{name}: {loss}");
    }
}

/// L-BFGS reaches in a few steps what first-order methods need hundreds for, on every device, and a
/// run that is resumed takes the same steps.
#[test]
fn lbfgs_converges_in_few_steps_and_goes_on_from_a_checkpoint() {
    let test = "lbfgs_converges_in_few_steps_and_goes_on_from_a_checkpoint";
    let data = random_data(Loss::SquaredError, 30, 4, 2, 9);
    let net = Net::new(4).layer(2, Activation::Identity);
    for (backend, bound) in [(Some(cpu64(1)), 1e-6), (Some(cpu32(2)), 1e-4), (gpu(test), 1e-4)] {
        let Some(backend) = backend else { continue };
        let mut spec = Spec::new(net.clone(), Loss::SquaredError).epochs(40);
        spec = spec.optimizer("lbfgs".parse().unwrap());
        (spec.batch_size, spec.weight_decay) = (30, 0.01);
        let none = Preprocessing::none(&data);
        let start = || Trainer::new(&spec, &data, none.clone(), backend.boxed()).unwrap();
        let mut trainer = start();
        trainer.fit(None, &mut ()).unwrap();
        let expected = trainer.weights().unwrap();
        let ridge = ridge(&data, 0.01);
        let found = expected[0].weight.data().iter().map(|&w| f64::from(w));
        let found: Vec<f64> =
            found.chain(expected[0].bias.iter().flatten().map(|&b| b.into())).collect();
        let error = largest_error(&found, &ridge);
        assert!(error < bound, "{error:e}: {found:?} for {ridge:?}");

        let short = Spec { epochs: 5, ..spec.clone() };
        let mut trainer = Trainer::new(&short, &data, none.clone(), backend.boxed()).unwrap();
        trainer.fit(None, &mut ()).unwrap();
        let checkpoint = trainer.checkpoint().unwrap();
        let mut resumed =
            Trainer::resume(&spec, &data, none.clone(), backend.boxed(), &checkpoint).unwrap();
        resumed.fit(None, &mut ()).unwrap();
        let resumed = resumed.weights().unwrap();
        if bound > 1e-5 {
            assert_eq!(resumed, expected, "checkpoints hold f32");
        }
    }
}

/// The least of mean((x W' + b − t)²) + λ/2 ‖W‖², by the normal equations: W, then b.
fn ridge(data: &Dataset, decay: f64) -> Vec<f64> {
    let (rows, cols) = (data.rows(), data.features().cols());
    let Targets::Numbers(targets) = data.targets() else { panic!("numbers") };
    let outputs = targets.cols();
    let x =
        |r: usize, c: usize| if c < cols { f64::from(data.features().value(r, c)) } else { 1.0 };
    let n = cols + 1;
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for o in 0..outputs {
        // (2/N XᵀX + λ diag(1, …, 1, 0)) w = 2/N Xᵀt, with N = rows · outputs.
        let scale = 2.0 / (rows * outputs) as f64;
        let mut system: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let sum = |f: &dyn Fn(usize) -> f64| scale * (0..rows).map(f).sum::<f64>();
                let mut row: Vec<f64> = (0..n).map(|j| sum(&|r| x(r, i) * x(r, j))).collect();
                row[i] += if i < cols { decay } else { 0.0 };
                row.push(sum(&|r| x(r, i) * targets.row(r)[o]));
                row
            })
            .collect();
        for i in 0..n {
            let pivot = system[i].clone();
            for (j, row) in system.iter_mut().enumerate().filter(|(j, _)| *j != i) {
                let factor = row[i] / pivot[i];
                assert!(factor.is_finite(), "row {j}");
                row.iter_mut().zip(&pivot).for_each(|(a, b)| *a -= factor * b);
            }
        }
        let solution: Vec<f64> = (0..n).map(|i| system[i][n] / system[i][i]).collect();
        weights.extend(&solution[..cols]);
        biases.push(solution[cols]);
    }
    weights.extend(biases);
    weights
}
