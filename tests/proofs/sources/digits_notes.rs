//! Source 003 (notes on digits): the derivative of each output by each weight as a recursion (2),
//! its matrices A_k^{l,q} (3)–(6), the bias as one more weight row, the error averaged over the
//! outputs.
//!
//! The document's indices slip in places. What is meant follows from its definition "w_ij^k: weight
//! from a_i^k to a_j^{k+1}": h_j^{k+1} = Σ_i a_i^k w_ij^k, a_j^l = g(h_j^l). With that,
//! - in (2) and (4)–(6) the factor in front is g′ at the neuron that is derived, g′(h_q^l), where
//!   (4)–(6) have h_q^k;
//! - in the last case of (2) the sum is over w_rq^{l−1} ∂a_r^{l−1}/∂w_ij^k, not w_rj^{l−1} ∂a_r^k;
//! - the case k = l − 2 reads g′(h_q^l) w_jq^{l−1} g′(h_j^{l−1}) a_i^k, as (5) has it, not
//!   g′(h_j^l) w_iq^{l−1} …;
//! - w^k lies behind a^l for k ≥ l, not only for k > l.

use super::algebra::{Lcg, Rows, add_scaled, build, map, row, transpose};
use super::functions::{sigma, sigma_prime};
use super::support::{
    Case, Device, ETA, LayerOutcome, Parameters, agree_within, net, on_every_backend, samples,
};
use std::sync::Arc;
use wgrad::Activation;
use wgrad::data::{Affine, Dataset, Features, Samples, Targets, digits};
use wgrad::math::loss::{Loss, Reduction};
use wgrad::math::matrix::Matrix;
use wgrad::net::spec::{Bias, Net, Units};

/// g.
const G: Activation = Activation::Sigmoid;
/// 1 / #L for ten outputs. The document's exact 1/10 is rounded to f32, as a step carries it.
const PER_OUTPUT: f64 = 0.1f32 as f64;

/// The document's network on one input: a^0 … a^L, all but the last with the bias neuron 1 at the
/// end, h^1 … h^L, and w^k: (#k + 1, #(k + 1)), whose last row holds the biases.
struct Network {
    a: Rows,
    h: Rows,
    w: Vec<Rows>,
}

impl Network {
    fn new(w: &[Rows], x: &[f64]) -> Self {
        let (mut a, mut h) = (vec![x.to_vec()], vec![vec![]]);
        for (k, w) in w.iter().enumerate() {
            a[k].push(1.0);
            let next: Vec<f64> =
                (0..w[0].len()).map(|j| (0..a[k].len()).map(|i| a[k][i] * w[i][j]).sum()).collect();
            a.push(next.iter().map(|&h| sigma(G, h)).collect());
            h.push(next);
        }
        Network { a, h, w: w.to_vec() }
    }

    /// L.
    fn last(&self) -> usize {
        self.w.len()
    }

    /// #l, without the bias neuron.
    fn size(&self, l: usize) -> usize {
        if l == 0 { self.w[0].len() - 1 } else { self.h[l].len() }
    }

    /// g′(h_q^l).
    fn slope(&self, l: usize, q: usize) -> f64 {
        sigma_prime(G, self.h[l][q])
    }

    /// O_q − t_q.
    fn residual(&self, t: &[f64]) -> Vec<f64> {
        self.a[self.last()].iter().zip(t).map(|(o, t)| o - t).collect()
    }

    /// E = Σ_q (O_q − t_q)² / #L.
    fn error(&self, t: &[f64]) -> f64 {
        self.residual(t).iter().map(|d| d * d).sum::<f64>() / t.len() as f64
    }

    /// ∂a_q^l / ∂w_ij^k by the recursion (2), naively.
    fn derivative(&self, [l, q]: [usize; 2], [k, i, j]: [usize; 3]) -> f64 {
        if l == 0 || k >= l || q == self.size(l) {
            0.0
        } else if k == l - 1 {
            if j == q { self.slope(l, q) * self.a[k][i] } else { 0.0 }
        } else {
            let sum = (0..=self.size(l - 1))
                .map(|r| self.w[l - 1][r][q] * self.derivative([l - 1, r], [k, i, j]));
            self.slope(l, q) * sum.sum::<f64>()
        }
    }

    /// The extra case k = l − 2 of (2).
    fn derivative_two_layers_up(&self, [l, q]: [usize; 2], [k, i, j]: [usize; 3]) -> f64 {
        assert_eq!(k, l - 2);
        self.slope(l, q) * self.w[l - 1][j][q] * self.slope(l - 1, j) * self.a[k][i]
    }

    /// ∇E^k by (1) and (2), weight by weight: (#k + 1, #(k + 1)).
    fn gradient_by_recursion(&self, t: &[f64], k: usize) -> Rows {
        let residual = self.residual(t);
        build(self.w[k].len(), self.w[k][0].len(), |i, j| {
            let sum =
                (0..t.len()).map(|q| residual[q] * self.derivative([self.last(), q], [k, i, j]));
            2.0 * PER_OUTPUT * sum.sum::<f64>()
        })
    }

    /// A_k^{l,q} by (4) and (6): (#k + 1, #(k + 1)).
    fn matrix(&self, k: usize, l: usize, q: usize) -> Rows {
        let (rows, cols) = (self.w[k].len(), self.w[k][0].len());
        if l == k + 1 {
            return build(
                rows,
                cols,
                |i, j| if j == q { self.slope(l, q) * self.a[k][i] } else { 0.0 },
            ); // (4)
        }
        let zero = build(rows, cols, |_, _| 0.0);
        let sum = (0..self.size(l - 1))
            .fold(zero, |sum, r| add_scaled(&sum, self.w[l - 1][r][q], &self.matrix(k, l - 1, r)));
        map(&sum, |a| self.slope(l, q) * a) // (6)
    }

    /// A_k^{k+2,q} by (5).
    fn matrix_two_layers_down(&self, k: usize, q: usize) -> Rows {
        build(self.w[k].len(), self.w[k][0].len(), |i, j| {
            self.slope(k + 2, q) * (self.w[k + 1][j][q] * self.slope(k + 1, j) * self.a[k][i])
        })
    }

    /// ∇E^k by (3).
    fn gradient_by_matrices(&self, t: &[f64], k: usize) -> Rows {
        let zero = map(&self.w[k], |_| 0.0);
        let sum = self.residual(t).iter().enumerate().fold(zero, |sum, (q, residual)| {
            add_scaled(&sum, *residual, &self.matrix(k, self.last(), q))
        });
        map(&sum, |a| 2.0 * PER_OUTPUT * a)
    }
}

/// Weights w^k with biases in the last row, for layers of these sizes.
fn weights(sizes: &[usize], seed: u64) -> Vec<Rows> {
    let mut lcg = Lcg(seed);
    sizes.windows(2).map(|n| map(&lcg.rows(n[0] + 1, n[1]), |w| w / 4.0)).collect()
}

/// The document's weights in the library's layout.
fn ours(w: &[Rows]) -> Vec<Parameters> {
    w.iter()
        .map(|w| {
            let (bias, weight) = w.split_last().unwrap();
            Parameters { weight: transpose(&weight.to_vec()), bias: bias.clone() }
        })
        .collect()
}

fn perceptron(sizes: &[usize]) -> Net {
    let layers: Vec<_> = sizes[1..].iter().map(|&n| (n, G)).collect();
    net(sizes[0], &layers, Bias::Add)
}

/// Real digits in the middle of images of 28 × 28 pixels.
fn padded(digits: &Dataset) -> Matrix<u8> {
    Matrix::from_fn(digits.rows(), 784, |row, pixel| {
        let (r, c) = (pixel / 28, pixel % 28);
        if (10..18).contains(&r) && (10..18).contains(&c) {
            digits.features().value(row, (r - 10) * 8 + c - 10) as u8
        } else {
            0
        }
    })
}

/// One digit, its pixels scaled from 0…16 to 0…1 exactly: the library's rows, x and t.
fn sample(digit: &Dataset, pixels: Matrix<u8>) -> (Samples, Vec<f64>, Vec<f64>) {
    let Targets::Classes { labels, .. } = digit.targets() else { panic!("digits have classes") };
    let x = pixels.row(0).iter().map(|&p| f64::from(p) / 16.0).collect();
    let t = (0..10).map(|q| f64::from(u8::from(q == labels[0]))).collect();
    let affine = Affine { shift: vec![0.0; pixels.cols()], scale: vec![1.0 / 16.0; pixels.cols()] };
    let features = Arc::new(Features::U8(pixels));
    let targets = Some(digit.targets().clone());
    (Samples { features, affine, targets, weights: None }, x, t)
}

fn digit(row: usize, sizes: &[usize]) -> (Samples, Vec<f64>, Vec<f64>) {
    let digit = digits().select(&[row]);
    let pixels = match digit.features() {
        Features::U8(pixels) if sizes[0] == 64 => pixels.clone(),
        _ => padded(&digit),
    };
    sample(&digit, pixels)
}

/// Compares the program's gradients and updates on single digits with `oracle`.
fn check(device: &mut Device, sizes: &[usize], oracle: impl Fn(&Network, &[f64], usize) -> Rows) {
    let w = weights(sizes, 8);
    for digit_row in [0, 1001] {
        let (rows, x, t) = digit(digit_row, sizes);
        let network = Network::new(&w, &x);
        let case =
            Case::new(perceptron(sizes), Loss::SquaredError, Reduction::Mean, &ours(&w), rows);
        let outcome = device.run(&case);
        device.agree("E", &row(&[outcome.error]), &row(&[network.error(&t)]));
        for (k, found) in outcome.layers.iter().enumerate() {
            device.agree(
                &format!("a^{}", k + 1),
                &found.a,
                &row(&network.a[k + 1][..sizes[k + 1]]),
            );
            let gradient = oracle(&network, &t, k);
            device.agree(
                &format!("∇E^{k}"),
                &extended(&found.weight_gradient, &found.bias_gradient),
                &gradient,
            );
            let updated = add_scaled(&w[k], -ETA, &gradient);
            device.agree(&format!("w^{k}"), &extended(&found.weight, &found.bias), &updated);
        }
    }
}

/// The library's weight and bias as one matrix of the document's: (in + 1, out).
fn extended(weight: &Rows, bias: &Rows) -> Rows {
    let mut w = transpose(weight);
    w.extend(bias.clone());
    w
}

#[test]
fn the_naive_recursion_2_gives_the_gradient_of_each_weight() {
    on_every_backend(|device: &mut Device| {
        for sizes in [&[64, 8, 10][..], &[64, 5, 4, 10]] {
            check(device, sizes, Network::gradient_by_recursion);
        }
    });
}

#[test]
fn the_matrices_of_3_to_6_give_the_gradient_of_each_layer() {
    on_every_backend(|device: &mut Device| {
        for sizes in [&[64, 8, 10][..], &[64, 5, 4, 3, 10]] {
            check(device, sizes, Network::gradient_by_matrices);
        }
    });
}

#[test]
fn a_net_of_784_inputs_and_10_outputs_follows_both_on_real_digits() {
    on_every_backend(|device: &mut Device| {
        check(device, &[784, 6, 10], Network::gradient_by_recursion);
        check(device, &[784, 6, 10], Network::gradient_by_matrices);
    });
}

#[test]
fn the_shortcuts_over_two_layers_equal_the_recursion() {
    let sizes = [64, 5, 4, 10];
    let (_, x, _) = digit(7, &sizes);
    let network = Network::new(&weights(&sizes, 9), &x);
    for k in [0, 1] {
        for q in 0..network.size(k + 2) {
            let by_recursion =
                build(sizes[k] + 1, sizes[k + 1], |i, j| network.derivative([k + 2, q], [k, i, j]));
            let by_shortcut = build(sizes[k] + 1, sizes[k + 1], |i, j| {
                network.derivative_two_layers_up([k + 2, q], [k, i, j])
            });
            agree_within(1e-14, "(2), k = l − 2", &by_shortcut, &by_recursion);
            agree_within(1e-14, "(5)", &network.matrix_two_layers_down(k, q), &by_recursion);
            agree_within(1e-14, "(6)", &network.matrix(k, k + 2, q), &by_recursion);
        }
    }
}

/// The document's own form: the net has no biases, but each layer has one more unit that is always
/// 1, so that its weights w_{#k,j} are the biases. It must give what `add` gives.
#[test]
fn a_bias_is_one_more_weight_row_with_the_constant_input_1() {
    let sizes = [64, 8, 10];
    let w = weights(&sizes, 10);
    let (rows, x, t) = digit(3, &sizes);
    let biased =
        Case::new(perceptron(&sizes), Loss::SquaredError, Reduction::Mean, &ours(&w), rows);

    let mut carried = Net::new(65);
    let mut units = vec![G; 8];
    units.push(Activation::Identity);
    carried = carried.layer(9, Units::Each(units)).layer(10, Units::Same(G)).bias(Bias::None);
    // The last unit of the hidden layer passes the constant on.
    let mut hidden = transpose(&w[0]);
    hidden.push((0..65).map(|i| f64::from(u8::from(i == 64))).collect());
    let layers = [hidden, transpose(&w[1])].map(|weight| Parameters { weight, bias: vec![] });
    let input: Vec<f64> = x.iter().copied().chain([1.0]).collect();
    let extra_row = Case::new(
        carried,
        Loss::SquaredError,
        Reduction::Mean,
        &layers,
        samples(&row(&input), &row(&t)),
    );

    let network = Network::new(&w, &x);
    on_every_backend(|device: &mut Device| {
        let (add, extra) = (device.run(&biased), device.run(&extra_row));
        device.agree("E", &row(&[extra.error]), &row(&[add.error]));
        for (k, (add, extra)) in add.layers.iter().zip(&extra.layers).enumerate() {
            let units = sizes[k + 1];
            let of_units = |m: &Rows| transpose(&m[..units].to_vec());
            let LayerOutcome { weight_gradient, bias_gradient, weight, bias, .. } = add;
            let gradient = of_units(&extra.weight_gradient);
            device.agree("δ", &row(&extra.delta[0][..units]), &add.delta);
            device.agree(
                "∇E with a row for the bias",
                &gradient,
                &extended(weight_gradient, bias_gradient),
            );
            device.agree(
                "w with a row for the bias",
                &of_units(&extra.weight),
                &extended(weight, bias),
            );
            device.agree("∇E by (3)", &gradient, &network.gradient_by_matrices(&t, k));
        }
    });
}
