//! Source 002 (Sadeghi): a different σ_ℓ per layer, the mean cost over a batch, and the gradients
//! of ‖WXV − U‖²_F. Its two sanity checks are in `matrix_form_checks.rs`.

use super::algebra::{
    Lcg, Rows, add_scaled, build, column, difference_quotients, elements, hadamard, map, product,
    row, squared_norm, transpose,
};
use super::functions::{sigma, sigma_prime};
use super::support::{
    Case, Device, ETA, Parameters, agree_within, fixed_rows, net, on_every_backend, read, samples,
    write,
};
use pollster::FutureExt as _;
use std::sync::Arc;
use wgrad::Activation;
use wgrad::kernels::Step;
use wgrad::kernels::products::matmul::Form;
use wgrad::kernels::tensor::{Extent, Role, TensorId};
use wgrad::math::loss::{Loss, Reduction};
use wgrad::net::spec::Bias;
use wgrad::plan::program::{Op, Program};

/// σ_1 … σ_5.
const SIGMA: [Activation; 5] = [
    Activation::Tanh,
    Activation::LeakyRelu(0.25),
    Activation::Gaussian,
    Activation::Softsign,
    Activation::Sine,
];
/// n_0 … n_5.
const WIDTHS: [usize; 6] = [3, 5, 4, 6, 4, 2];

/// δ_ℓ, ∂c/∂W_ℓ and ∂c/∂b_ℓ = δ_ℓ for one pair.
struct Derived {
    delta: Rows,
    by_w: Rows,
}

/// The final expressions: forward pass, δ_L = 2(a_L − y) ⊙ σ′_L(z_L),
/// δ_ℓ = (W_{ℓ+1}ᵀ δ_{ℓ+1}) ⊙ σ′_ℓ(z_ℓ), ∂c/∂W_ℓ = δ_ℓ a_{ℓ−1}ᵀ; with it c = ‖a_L − y‖².
fn final_expressions(layers: &[Parameters], x: &[f64], y: &[f64]) -> (f64, Vec<Derived>) {
    let (mut a, mut z) = (vec![column(x)], Vec::new());
    for (l, layer) in layers.iter().enumerate() {
        z.push(add_scaled(&product(&layer.weight, &a[l]), 1.0, &column(&layer.bias)));
        a.push(map(&z[l], |z| sigma(SIGMA[l], z)));
    }
    let slope = |l: usize| map(&z[l], |z| sigma_prime(SIGMA[l], z));
    let difference = add_scaled(&a[layers.len()], -1.0, &column(y));
    let last = layers.len() - 1;
    let mut delta = hadamard(&map(&difference, |d| 2.0 * d), &slope(last));
    let mut derived = Vec::new();
    for l in (0..layers.len()).rev() {
        let by_w = product(&delta, &transpose(&a[l]));
        derived.insert(0, Derived { delta: delta.clone(), by_w });
        if l > 0 {
            delta = hadamard(&product(&transpose(&layers[l].weight), &delta), &slope(l - 1));
        }
    }
    (squared_norm(&difference), derived)
}

#[test]
fn the_final_expressions_hold_with_a_different_activation_in_each_layer() {
    const N: usize = 4;
    let mut lcg = Lcg(3);
    let layers: Vec<Parameters> = WIDTHS
        .windows(2)
        .map(|n| Parameters { weight: lcg.rows(n[1], n[0]), bias: lcg.vector(n[1]) })
        .collect();
    let (x, y) = (lcg.rows(N, WIDTHS[0]), lcg.rows(N, WIDTHS[5]));
    let shape: Vec<_> = WIDTHS[1..].iter().copied().zip(SIGMA).collect();
    let net = net(WIDTHS[0], &shape, Bias::Add);
    let each: Vec<_> = x.iter().zip(&y).map(|(x, y)| final_expressions(&layers, x, y)).collect();

    on_every_backend(|device: &mut Device| {
        // One pair: c_L = ‖a_L − y‖².
        for (i, (cost, derived)) in each.iter().enumerate() {
            let rows = samples(&row(&x[i]), &row(&y[i]));
            let outcome = device.run(&Case::new(
                net.clone(),
                Loss::SquaredError,
                Reduction::MeanBatch,
                &layers,
                rows,
            ));
            device.agree("c", &row(&[outcome.error]), &row(&[*cost]));
            for (l, (found, by)) in outcome.layers.iter().zip(derived).enumerate() {
                device.agree(&format!("δ_{}", l + 1), &found.delta, &transpose(&by.delta));
                device.agree("∂c/∂W", &found.weight_gradient, &by.by_w);
                device.agree("∂c/∂b", &found.bias_gradient, &transpose(&by.delta));
                device.agree("W", &found.weight, &add_scaled(&layers[l].weight, -ETA, &by.by_w));
                device.agree(
                    "b",
                    &found.bias,
                    &transpose(&add_scaled(&column(&layers[l].bias), -ETA, &by.delta)),
                );
            }
        }
        // The batch: C_L = 1/N Σ ‖a_L − y‖².
        let outcome = device.run(&Case::new(
            net.clone(),
            Loss::SquaredError,
            Reduction::MeanBatch,
            &layers,
            samples(&x, &y),
        ));
        let mean = each.iter().map(|(cost, _)| cost / N as f64).sum();
        device.agree("C", &row(&[outcome.error]), &row(&[mean]));
        for (l, found) in outcome.layers.iter().enumerate() {
            let zero = map(&layers[l].weight, |_| 0.0);
            let by_w = each
                .iter()
                .fold(zero, |sum, (_, by)| add_scaled(&sum, 1.0 / N as f64, &by[l].by_w));
            let by_b = build(1, WIDTHS[l + 1], |_, c| {
                each.iter().map(|(_, by)| by[l].delta[c][0] / N as f64).sum()
            });
            device.agree("∂C/∂W", &found.weight_gradient, &by_w);
            device.agree("∂C/∂b", &found.bias_gradient, &by_b);
            device.agree("W", &found.weight, &add_scaled(&layers[l].weight, -ETA, &by_w));
            device.agree("b", &found.bias, &add_scaled(&row(&layers[l].bias), -ETA, &by_b));
        }
    });
}

/// W: (m, k), X: (k, l), V: (l, n), U: (m, n).
#[derive(Clone)]
struct Factors {
    w: Rows,
    x: Rows,
    v: Rows,
    u: Rows,
}

/// f = ‖WXV − U‖²_F, ∇_W f, ∇_X f, ∇_V f.
struct Trick {
    f: f64,
    by: [Rows; 3],
}

impl Factors {
    fn draw(lcg: &mut Lcg, [m, k, l, n]: [usize; 4]) -> Self {
        Factors { w: lcg.rows(m, k), x: lcg.rows(k, l), v: lcg.rows(l, n), u: lcg.rows(m, n) }
    }

    fn residual(&self) -> Rows {
        add_scaled(&product(&product(&self.w, &self.x), &self.v), -1.0, &self.u)
    }

    /// The closed forms, 2(WXV − U)(XV)ᵀ, 2Wᵀ(WXV − U)Vᵀ, 2(WX)ᵀ(WXV − U).
    ///
    /// The document has −2 in all three, a slip: −2 goes with U − WXV, as in its own example
    /// ∇_W ‖y − Wx‖² = −2(y − Wx)xᵀ. The difference quotients below decide.
    fn closed_forms(&self) -> Trick {
        let r = map(&self.residual(), |r| 2.0 * r);
        let by_w = product(&r, &transpose(&product(&self.x, &self.v)));
        let by_x = product(&product(&transpose(&self.w), &r), &transpose(&self.v));
        let by_v = product(&transpose(&product(&self.w, &self.x)), &r);
        Trick { f: squared_norm(&self.residual()), by: [by_w, by_x, by_v] }
    }

    fn quotients(&self) -> [Rows; 3] {
        // f is a quadratic function of each element, of which central differences are exact.
        let h = 1.0 / 16.0;
        [
            difference_quotients(&self.w, h, |w| {
                squared_norm(&Factors { w: w.clone(), ..self.clone() }.residual())
            }),
            difference_quotients(&self.x, h, |x| {
                squared_norm(&Factors { x: x.clone(), ..self.clone() }.residual())
            }),
            difference_quotients(&self.v, h, |v| {
                squared_norm(&Factors { v: v.clone(), ..self.clone() }.residual())
            }),
        ]
    }

    /// The same from the library's matmul kernels, in all three forms; its squared error gives f
    /// and R = 2(WXV − U), whose rows are those of the batch.
    fn by_kernels(&self, device: &mut Device) -> Trick {
        let [m, k, l, n] = [self.w.len(), self.x.len(), self.v.len(), self.v[0].len()];
        let mut p = Program::new(m);
        let fixed = |p: &mut Program, name: &str, rows, cols| {
            p.add(name, Role::Parameter, Extent::Fixed(rows), cols)
        };
        let batch =
            |p: &mut Program, name: &str, cols| p.add(name, Role::Transient, Extent::Batch, cols);
        let (w, x, v) =
            (fixed(&mut p, "W", m, k), fixed(&mut p, "X", k, l), fixed(&mut p, "V", l, n));
        let (wx, xv, wtr) =
            (fixed(&mut p, "WX", m, l), fixed(&mut p, "XV", k, n), fixed(&mut p, "WtR", k, n));
        let by =
            [fixed(&mut p, "by W", m, k), fixed(&mut p, "by X", k, l), fixed(&mut p, "by V", l, n)];
        let (y, u, r) = (batch(&mut p, "WXV", n), batch(&mut p, "U", n), batch(&mut p, "R", n));
        let (unit, scores) = (fixed(&mut p, "unit", 1, n), batch(&mut p, "scores", 4));
        let matmul = |form: Form, a: TensorId, b: TensorId, c: TensorId| Op::Matmul {
            form,
            a,
            b,
            bias: None,
            c,
        };
        p.ops = vec![
            matmul(Form::Nn, x, v, xv),
            matmul(Form::Nn, w, x, wx),
            matmul(Form::Nn, wx, v, y),
            Op::Loss { loss: Loss::SquaredError, y, t: u, unit, gradient: r, scores },
            matmul(Form::Nt, r, xv, by[0]),
            matmul(Form::Tn, w, r, wtr),
            matmul(Form::Nt, wtr, v, by[1]),
            matmul(Form::Tn, wx, r, by[2]),
        ];
        let p = Arc::new(p);
        let backend = &mut *device.backend;
        backend.load(p.clone()).block_on().unwrap();
        // The program reads no rows of a data set, but runs on one.
        let data = backend.upload(Arc::new(samples(&self.u, &self.u))).block_on().unwrap();
        for (id, values) in [(w, &self.w), (x, &self.x), (v, &self.v), (u, &self.u)] {
            write(backend, id, values);
        }
        let step = Step { rows: m as u32, reduction_factor: 1.0, ..Step::default() };
        backend.run(0..p.ops.len(), data, &[step]).block_on().unwrap();
        let f = read(backend, scores, m, 4).iter().map(|row| row[0]).sum();
        let by = by.map(|id| read(backend, id, fixed_rows(p.tensor(id).rows), p.tensor(id).cols));
        Trick { f, by }
    }
}

/// Compares the kernels with the closed forms, and these with difference quotients.
fn check_trick(device: &mut Device, factors: &Factors) -> Trick {
    let (found, expected) = (factors.by_kernels(device), factors.closed_forms());
    device.agree("f", &row(&[found.f]), &row(&[expected.f]));
    for (i, quotients) in factors.quotients().iter().enumerate() {
        let what = ["∇_W", "∇_X", "∇_V"][i];
        agree_within(1e-12, what, &expected.by[i], quotients);
        device.agree(what, &found.by[i], &expected.by[i]);
    }
    found
}

#[test]
fn the_gradients_of_the_norm_of_wxv_minus_u_come_from_the_matmul_kernels() {
    on_every_backend(|device: &mut Device| {
        let mut lcg = Lcg(4);
        for shape in [[2, 3, 4, 5], [7, 2, 6, 1], [1, 1, 1, 1], [35, 33, 40, 36]] {
            check_trick(device, &Factors::draw(&mut lcg, shape));
        }
    });
}

#[test]
fn the_gradients_of_the_norm_of_y_minus_wx_are_minus_two_times_the_residual_and_its_products() {
    on_every_backend(|device: &mut Device| {
        let factors = Factors { v: vec![vec![1.0]], ..Factors::draw(&mut Lcg(5), [4, 3, 1, 1]) };
        let found = check_trick(device, &factors);
        // ∇_x f = −2Wᵀ(y − Wx), ∇_W f = −2(y − Wx)xᵀ
        let residual = add_scaled(&factors.u, -1.0, &product(&factors.w, &factors.x));
        let by_x = map(&product(&transpose(&factors.w), &residual), |g| -2.0 * g);
        let by_w = map(&product(&residual, &transpose(&factors.x)), |g| -2.0 * g);
        device.agree("∇_x", &found.by[1], &by_x);
        device.agree("∇_W", &found.by[0], &by_w);
    });
}

/// The document's example of the dimension check: of 2Ax, 2AAᵀx and 2AᵀAx only the last has the
/// dimension of x, and only it is the gradient of ‖Ax‖².
#[test]
fn the_gradient_of_the_norm_of_ax_has_the_dimension_of_x() {
    on_every_backend(|device: &mut Device| {
        let (m, n) = (4, 3);
        let drawn = Factors::draw(&mut Lcg(6), [m, n, 1, 1]);
        let factors = Factors { v: vec![vec![1.0]], u: build(m, 1, |_, _| 0.0), ..drawn };
        let (a, x) = (&factors.w, &factors.x);
        let found = check_trick(device, &factors);
        device.agree(
            "∇_x",
            &found.by[1],
            &map(&product(&transpose(a), &product(a, x)), |g| 2.0 * g),
        );
        assert_eq!(elements(&found.by[1]).len(), n, "the dimension of x");
        assert_ne!(product(a, x).len(), n, "2Ax has another dimension");
        assert_ne!(transpose(a)[0].len(), x.len(), "AAᵀx multiplies (n, m) with (n, 1)");
    });
}
