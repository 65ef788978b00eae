//! Source 000 (Aralis): nets without bias, any activation and error, δ as a row vector,
//! Δ = δᵀωᵀ, and the same derived again from nᵀ = ωᵀWᵀ.

use super::algebra::{
    Lcg, Rows, add_scaled, build, column, diag, difference_quotients, elements, product, row,
    transpose,
};
use super::functions::{error, sigma, sigma_prime};
use super::support::{Case, Device, ETA, Parameters, agree_within, net, on_every_backend, samples};
use wgrad::math::loss::{Loss, Reduction};
use wgrad::net::spec::Bias;
use wgrad::{Activation, Net};

/// φ_l: three different activations; the last gives values in (0, 1) for the cross-entropy.
const PHI: [Activation; 3] = [Activation::Tanh, Activation::Softplus, Activation::Sigmoid];
/// n_0 … n_3.
const WIDTHS: [usize; 4] = [4, 5, 3, 2];
/// Errors E that are not quadratic.
const ERRORS: [Loss; 2] = [Loss::LogCosh, Loss::CrossEntropyProbabilities];

/// δ_l, a row vector, Δ_l and W′_l of one layer.
struct Derived {
    delta: Rows,
    gradient: Rows,
    weight: Rows,
}

/// E′([ω]_i) by (14).
fn error_prime(loss: Loss, omega: f64, t: f64) -> f64 {
    match loss {
        Loss::LogCosh => (omega - t).tanh(),
        Loss::CrossEntropyProbabilities => -t / omega,
        _ => unreachable!("{} is not used here", loss.name()),
    }
}

/// Equations (2), (3), (30), (35), (36), (42) and (46) for one input, with columns ω and n.
fn equations(loss: Loss, w: &[Rows], x: &[f64], t: &[f64]) -> Vec<Derived> {
    let (mut omega, mut n) = (vec![column(x)], Vec::new());
    for (w, phi) in w.iter().zip(PHI) {
        let n_l = product(w, &omega[omega.len() - 1]); // (2)
        omega.push(build(n_l.len(), 1, |i, _| sigma(phi, n_l[i][0]))); // (3)
        n.push(n_l);
    }
    // (30)
    let psi = |l: usize| {
        let slopes: Vec<f64> = elements(&n[l]).iter().map(|&n| sigma_prime(PHI[l], n)).collect();
        diag(&slopes)
    };
    let last = w.len() - 1;
    let output = elements(&omega[w.len()]);
    let slopes: Vec<f64> = output.iter().zip(t).map(|(&o, &t)| error_prime(loss, o, t)).collect();
    let mut delta = product(&row(&slopes), &psi(last)); // (35)
    let mut derived = Vec::new();
    for l in (0..w.len()).rev() {
        let gradient = product(&transpose(&delta), &transpose(&omega[l])); // (42)
        let weight = add_scaled(&w[l], -ETA, &gradient); // (46)
        derived.insert(0, Derived { delta: delta.clone(), gradient, weight });
        if l > 0 {
            delta = product(&product(&delta, &w[l]), &psi(l - 1)); // (36)
        }
    }
    derived
}

/// E by (48), nᵀ_l = ωᵀ_{l−1} Wᵀ_l, from the transposed matrices V_l = Wᵀ_l.
fn reframed_forward(v: &[Rows], x: &[f64]) -> (Vec<Rows>, Vec<Rows>) {
    let (mut omega, mut n) = (vec![row(x)], Vec::new());
    for (v, phi) in v.iter().zip(PHI) {
        let n_l = product(&omega[omega.len() - 1], v);
        omega.push(build(1, n_l[0].len(), |_, i| sigma(phi, n_l[0][i])));
        n.push(n_l);
    }
    (omega, n)
}

/// (47)–(53): Δ_l = ∂E/∂Wᵀ_l = (∂E/∂nᵀ_l) ωᵀ_{l−1}, with rows ωᵀ and nᵀ. By the rule (17) a
/// derivative by the row nᵀ_l is a column, so the recurrence runs from left to right.
fn reframed(loss: Loss, v: &[Rows], x: &[f64], t: &[f64]) -> Vec<Rows> {
    let (omega, n) = reframed_forward(v, x);
    let last = v.len() - 1;
    let mut by_n = build(t.len(), 1, |i, _| {
        error_prime(loss, omega[last + 1][0][i], t[i]) * sigma_prime(PHI[last], n[last][0][i])
    });
    let mut gradients = Vec::new();
    for l in (0..v.len()).rev() {
        gradients.insert(0, product(&by_n, &omega[l])); // (50)
        if l > 0 {
            let through = product(&v[l], &by_n);
            by_n = build(through.len(), 1, |i, _| {
                sigma_prime(PHI[l - 1], n[l - 1][0][i]) * through[i][0]
            });
        }
    }
    gradients
}

/// Weights W_l, inputs and targets in (0, 1).
fn example() -> (Vec<Rows>, Rows, Rows) {
    let mut lcg = Lcg(0);
    let w = WIDTHS.windows(2).map(|n| lcg.rows(n[1], n[0])).collect();
    let x = lcg.rows(3, WIDTHS[0]);
    let t =
        lcg.rows(3, WIDTHS[3]).iter().map(|t| t.iter().map(|t| 0.5 + t / 4.0).collect()).collect();
    (w, x, t)
}

fn bias_free() -> Net {
    net(WIDTHS[0], &[(WIDTHS[1], PHI[0]), (WIDTHS[2], PHI[1]), (WIDTHS[3], PHI[2])], Bias::None)
}

fn case(loss: Loss, w: &[Rows], x: &Rows, t: &Rows) -> Case {
    let layers: Vec<_> = w.iter().map(|w| Parameters { weight: w.clone(), bias: vec![] }).collect();
    Case::new(bias_free(), loss, Reduction::Total, &layers, samples(x, t))
}

#[test]
fn sensitivities_gradients_and_new_weights_are_35_36_42_and_46() {
    let (w, x, t) = example();
    on_every_backend(|device: &mut Device| {
        for loss in ERRORS {
            for (x, t) in x.iter().zip(&t) {
                let outcome = device.run(&case(loss, &w, &row(x), &row(t)));
                for (l, (found, by)) in
                    outcome.layers.iter().zip(equations(loss, &w, x, t)).enumerate()
                {
                    device.agree(&format!("δ_{}", l + 1), &found.delta, &by.delta);
                    device.agree(&format!("Δ_{}", l + 1), &found.weight_gradient, &by.gradient);
                    device.agree(&format!("W′_{}", l + 1), &found.weight, &by.weight);
                    assert!(found.bias.is_empty() && found.bias_gradient.is_empty());
                }
            }
        }
    });
}

#[test]
fn a_batch_has_the_sum_of_its_samples_gradients() {
    let (w, x, t) = example();
    on_every_backend(|device: &mut Device| {
        for loss in ERRORS {
            let outcome = device.run(&case(loss, &w, &x, &t));
            let each: Vec<_> = x.iter().zip(&t).map(|(x, t)| equations(loss, &w, x, t)).collect();
            for (l, found) in outcome.layers.iter().enumerate() {
                let delta: Rows = each.iter().map(|sample| sample[l].delta[0].clone()).collect();
                let zero = build(WIDTHS[l + 1], WIDTHS[l], |_, _| 0.0);
                let gradient = each
                    .iter()
                    .fold(zero, |sum, sample| add_scaled(&sum, 1.0, &sample[l].gradient));
                device.agree("δ", &found.delta, &delta);
                device.agree("Δ", &found.weight_gradient, &gradient);
                device.agree("W′", &found.weight, &add_scaled(&w[l], -ETA, &gradient));
            }
        }
    });
}

#[test]
fn the_reframing_47_to_53_gives_the_same_gradients() {
    let (w, x, t) = example();
    let v: Vec<Rows> = w.iter().map(transpose).collect();
    for loss in ERRORS {
        for (x, t) in x.iter().zip(&t) {
            let by_reframing = reframed(loss, &v, x, t);
            for (l, by) in equations(loss, &w, x, t).iter().enumerate() {
                agree_within(1e-14, "(53)", &by_reframing[l], &by.gradient);
                // (47): the rule (17) applied to E as a function of Wᵀ, by difference quotients.
                let quotients = difference_quotients(&v[l], 1e-5, |v_l| {
                    let mut v = v.clone();
                    v[l] = v_l.clone();
                    let (omega, _) = reframed_forward(&v, x);
                    error(loss, &omega[v.len()][0], t)
                });
                agree_within(1e-7, "(47)", &transpose(&quotients), &by.gradient);
            }
        }
    }
    on_every_backend(|device: &mut Device| {
        for loss in ERRORS {
            for (x, t) in x.iter().zip(&t) {
                let outcome = device.run(&case(loss, &w, &row(x), &row(t)));
                for (found, by) in outcome.layers.iter().zip(reframed(loss, &v, x, t)) {
                    device.agree("Δ", &found.weight_gradient, &by);
                }
            }
        }
    });
}
