//! Source 004 (Xing Chao): o = f(wx − b), the products of one, two and n scalar layers, of many
//! nodes with diag(F′), and the sums over paths with a function f_{i,j} for each unit.

use super::algebra::{
    Lcg, Rows, add_scaled, build, column, diag, elements, map, product, row, transpose,
};
use super::functions::{sigma, sigma_prime};
use super::support::{Case, Device, ETA, Outcome, Parameters, net, on_every_backend, samples};
use wgrad::Activation;
use wgrad::math::loss::{Loss, Reduction};
use wgrad::net::spec::{Bias, Net, Units};

/// The functions f that the products are evaluated with.
const F: [Activation; 8] = [
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Softplus,
    Activation::Sine,
    Activation::LeakyRelu(0.5),
    Activation::Gaussian,
    Activation::Softsign,
    Activation::Identity,
];

/// A chain of scalar layers o_i = f_i(w_i o_{i−1} − b_i), counted from 1; index 0 is the input.
struct Chain {
    f: Vec<Activation>,
    w: Vec<f64>,
    b: Vec<f64>,
    x: f64,
    t: f64,
}

impl Chain {
    fn draw(lcg: &mut Lcg, f: &[Activation]) -> Self {
        // Weights from 1/2 on, so that no product vanishes.
        let w = lcg.vector(f.len()).iter().map(|w| w + 0.5 * w.signum()).collect();
        Chain { f: f.to_vec(), w, b: lcg.vector(f.len()), x: lcg.number() + 2.0, t: lcg.number() }
    }

    /// f_i(w_i o − b_i) and f_i′ there, i from 1.
    fn layer(&self, i: usize, o: f64) -> (f64, f64) {
        let argument = self.w[i - 1] * o - self.b[i - 1];
        (sigma(self.f[i - 1], argument), sigma_prime(self.f[i - 1], argument))
    }

    fn run(&self, device: &mut Device) -> Outcome {
        let shape: Vec<_> = self.f.iter().map(|&f| (1, f)).collect();
        let parameters = self.w.iter().zip(&self.b);
        let layers: Vec<_> =
            parameters.map(|(&w, &b)| Parameters { weight: row(&[w]), bias: vec![b] }).collect();
        let rows = samples(&row(&[self.x]), &row(&[self.t]));
        let net = net(1, &shape, Bias::Subtract);
        device.run(&Case::new(net, Loss::SquaredError, Reduction::Total, &layers, rows))
    }

    /// Compares layer `i`, from 1, with ∂e/∂w and ∂e/∂b, and the updates Δw = −η ∂e/∂w.
    fn agree(&self, device: &Device, outcome: &Outcome, i: usize, by_w: f64, by_b: f64) {
        let found = &outcome.layers[i - 1];
        let agree = |what: &str, found: &Rows, expected: f64| {
            device.agree(&format!("{what} of layer {i} of {:?}", self.f), found, &row(&[expected]));
        };
        agree("∂e/∂w", &found.weight_gradient, by_w);
        agree("∂e/∂b", &found.bias_gradient, by_b);
        agree("w + Δw", &found.weight, self.w[i - 1] - ETA * by_w);
        agree("b + Δb", &found.bias, self.b[i - 1] - ETA * by_b);
    }
}

/// 1.1: de/dw = 2(o − t) f′ x, and as b is subtracted, de/db = −2(o − t) f′.
#[test]
fn one_scalar_layer_has_the_derivative_of_f_of_wx_minus_b() {
    on_every_backend(|device: &mut Device| {
        let mut lcg = Lcg(11);
        for f in F {
            let chain = Chain::draw(&mut lcg, &[f]);
            let (o, f_prime) = chain.layer(1, chain.x);
            let outcome = chain.run(device);
            device.agree("o", &outcome.layers[0].a, &row(&[o]));
            device.agree("e", &row(&[outcome.error]), &row(&[(chain.t - o) * (chain.t - o)]));
            let by_w = 2.0 * (o - chain.t) * f_prime * chain.x;
            chain.agree(device, &outcome, 1, by_w, -2.0 * (o - chain.t) * f_prime);
        }
    });
}

/// 1.2: ∂e/∂w⁽¹⁾ = 2(o⁽²⁾ − t) f₂′ w⁽²⁾ f₁′ x.
#[test]
fn two_scalar_layers_multiply_both_derivatives() {
    on_every_backend(|device: &mut Device| {
        let mut lcg = Lcg(12);
        for f in F.windows(2) {
            let chain = Chain::draw(&mut lcg, f);
            let (o1, f1) = chain.layer(1, chain.x);
            let (o2, f2) = chain.layer(2, o1);
            let outcome = chain.run(device);
            let e = 2.0 * (o2 - chain.t);
            chain.agree(device, &outcome, 2, e * f2 * o1, -e * f2);
            let w2 = chain.w[1];
            chain.agree(device, &outcome, 1, e * f2 * w2 * f1 * chain.x, -e * f2 * w2 * f1);
        }
    });
}

/// 1.3: ∂e/∂w⁽ⁱ⁾ = 2(o⁽ⁿ⁾ − t) Π_{k=i+1}^{n} [f_k′ w⁽ᵏ⁾] f_i′ o⁽ⁱ⁻¹⁾.
#[test]
fn n_scalar_layers_multiply_all_derivatives_behind() {
    on_every_backend(|device: &mut Device| {
        let mut lcg = Lcg(13);
        for n in [3, F.len()] {
            let chain = Chain::draw(&mut lcg, &F[..n]);
            let (mut o, mut f) = (vec![chain.x], vec![f64::NAN]);
            for i in 1..=n {
                let (o_i, f_i) = chain.layer(i, o[i - 1]);
                o.push(o_i);
                f.push(f_i);
            }
            let outcome = chain.run(device);
            for i in 1..=n {
                let behind: f64 = (i + 1..=n).map(|k| f[k] * chain.w[k - 1]).product();
                let by_argument = 2.0 * (o[n] - chain.t) * behind * f[i];
                chain.agree(device, &outcome, i, by_argument * o[i - 1], -by_argument);
            }
        }
    });
}

/// A net of many nodes: W: (out, in), b: (out) and f_{i,j} of each layer.
struct Nodes {
    w: Vec<Rows>,
    b: Rows,
    f: Vec<Vec<Activation>>,
    x: Vec<f64>,
    t: Vec<f64>,
}

impl Nodes {
    /// Without biases, b is zero here and absent in the library's net.
    fn draw(
        seed: u64,
        widths: &[usize],
        biased: bool,
        f: impl Fn(usize, usize) -> Activation,
    ) -> Self {
        let mut lcg = Lcg(seed);
        let size = if biased { 1.0 } else { 0.0 };
        Nodes {
            w: widths.windows(2).map(|n| lcg.rows(n[1], n[0])).collect(),
            b: widths[1..]
                .iter()
                .map(|&n| lcg.vector(n).iter().map(|b| size * b).collect())
                .collect(),
            f: widths[1..]
                .iter()
                .enumerate()
                .map(|(i, &n)| (0..n).map(|j| f(i, j)).collect())
                .collect(),
            x: lcg.vector(widths[0]),
            t: lcg.vector(widths[widths.len() - 1]),
        }
    }

    /// o⁽⁰⁾ … o⁽ⁿ⁾, and f′ at each unit of the layers 1 … n.
    fn forward(&self) -> (Rows, Rows) {
        let (mut o, mut f_prime) = (vec![self.x.clone()], Vec::new());
        for ((w, b), f) in self.w.iter().zip(&self.b).zip(&self.f) {
            let wo = product(w, &column(&o[o.len() - 1]));
            let arguments = elements(&add_scaled(&wo, -1.0, &column(b)));
            let at = |g: fn(Activation, f64) -> f64| {
                f.iter().zip(&arguments).map(|(&f, &z)| g(f, z)).collect()
            };
            o.push(at(sigma));
            f_prime.push(at(sigma_prime));
        }
        (o, f_prime)
    }

    fn run(&self, device: &mut Device, bias: Bias) -> Outcome {
        let layer = |net: Net, f: &Vec<Activation>| {
            let same = f.iter().all(|g| *g == f[0]);
            net.layer(f.len(), if same { Units::Same(f[0]) } else { Units::Each(f.clone()) })
        };
        let net = self.f.iter().fold(Net::new(self.x.len()), layer).bias(bias);
        let parameters = self
            .w
            .iter()
            .zip(&self.b)
            .map(|(w, b)| Parameters { weight: w.clone(), bias: b.clone() });
        let layers: Vec<_> = parameters.collect();
        let rows = samples(&row(&self.x), &row(&self.t));
        device.run(&Case::new(net, Loss::SquaredError, Reduction::Total, &layers, rows))
    }
}

/// 2.1: ∂e/∂W⁽ⁱ⁾ = 2(O⁽ⁿ⁾ − T)ᵀ Π_{k=n}^{i+1} [diag(F_k′) W⁽ᵏ⁾] · diag(F_i′) O⁽ⁱ⁻¹⁾.
///
/// The factors stand from the output inwards. What is left of O⁽ⁱ⁻¹⁾ is the row ∂e/∂(W⁽ⁱ⁾O⁽ⁱ⁻¹⁾);
/// its last product is the outer one, element (j, k) being that row's j-th times O⁽ⁱ⁻¹⁾'s k-th.
#[test]
fn many_nodes_multiply_the_matrices_diag_f_prime_w() {
    let nodes = Nodes::draw(14, &[4, 5, 3, 6, 2], false, |i, _| F[i]);
    let (o, f_prime) = nodes.forward();
    let n = nodes.w.len();
    on_every_backend(|device: &mut Device| {
        let outcome = nodes.run(device, Bias::None);
        device.agree("O", &outcome.layers[n - 1].a, &row(&o[n]));
        for (i, found) in outcome.layers.iter().enumerate() {
            let mut left = map(&add_scaled(&row(&o[n]), -1.0, &row(&nodes.t)), |d| 2.0 * d);
            for k in (i + 1..n).rev() {
                left = product(&left, &product(&diag(&f_prime[k]), &nodes.w[k]));
            }
            left = product(&left, &diag(&f_prime[i]));
            let by_w = product(&transpose(&left), &row(&o[i]));
            device.agree(&format!("δ_{}", i + 1), &found.delta, &left);
            device.agree(&format!("∂e/∂W_{}", i + 1), &found.weight_gradient, &by_w);
            device.agree("W + ΔW", &found.weight, &add_scaled(&nodes.w[i], -ETA, &by_w));
        }
    });
}

/// The sum over all paths k_n, k_{n−1}, …, k_{i+1} to unit j of layer i (layers counted from 0):
/// Σ … Σ (o_{k_n} − t_{k_n}) f′_{n,k_n} w_{k_n,k_{n−1}} … w_{k_{i+1},j} f′_{i,j}, one term a path.
fn sum_over_paths(nodes: &Nodes, o: &Rows, f_prime: &Rows, i: usize, j: usize) -> f64 {
    let n = nodes.w.len() - 1;
    // The units behind layer i, layer i + 1 first.
    let widths: Vec<usize> = nodes.f[i + 1..].iter().map(Vec::len).collect();
    let mut sum = 0.0;
    for path in 0..widths.iter().product() {
        let mut rest = path;
        let mut k = vec![j];
        for width in &widths {
            k.push(rest % width);
            rest /= width;
        }
        let end = k[k.len() - 1];
        let mut term = o[n + 1][end] - nodes.t[end];
        for m in (i + 1..=n).rev() {
            term *= f_prime[m][k[m - i]] * nodes.w[m][k[m - i]][k[m - i - 1]];
        }
        sum += term * f_prime[i][j];
    }
    sum
}

/// The same with each sum inside the product: Σ_{k_n} (o − t) Π_{m=n}^{i+1} [Σ_{k_{m−1}} f′ w] f′.
fn product_of_sums(nodes: &Nodes, o: &Rows, f_prime: &Rows, i: usize, j: usize) -> f64 {
    // From unit k of layer m to unit j of layer i.
    fn inner(nodes: &Nodes, f_prime: &Rows, [m, k]: [usize; 2], [i, j]: [usize; 2]) -> f64 {
        if m == i {
            return if k == j { f_prime[i][j] } else { 0.0 };
        }
        let below = 0..nodes.f[m - 1].len();
        below
            .map(|next| {
                f_prime[m][k] * nodes.w[m][k][next] * inner(nodes, f_prime, [m - 1, next], [i, j])
            })
            .sum()
    }
    let n = nodes.w.len() - 1;
    (0..nodes.t.len())
        .map(|k| (o[n + 1][k] - nodes.t[k]) * inner(nodes, f_prime, [n, k], [i, j]))
        .sum()
}

/// 2.2: o_j⁽ⁱ⁾ = f_{i,j}(Σ_k w_{j,k}⁽ⁱ⁾ o_k⁽ⁱ⁻¹⁾ − b_j⁽ⁱ⁾), ∂e/∂w_{j,k}⁽ⁱ⁾ = 2 Σ … f′_{i,j} o_k⁽ⁱ⁻¹⁾.
#[test]
fn the_sums_over_paths_hold_with_a_function_for_each_unit() {
    let nodes = Nodes::draw(15, &[3, 4, 5, 3, 2], true, |i, j| F[(3 * i + 2 * j) % F.len()]);
    assert!(
        nodes.f.iter().all(|f| f.iter().any(|g| *g != f[0])),
        "each layer has different functions"
    );
    let (o, f_prime) = nodes.forward();
    on_every_backend(|device: &mut Device| {
        let outcome = nodes.run(device, Bias::Subtract);
        let e = o[4].iter().zip(&nodes.t).map(|(o, t)| (t - o) * (t - o)).sum();
        device.agree("e", &row(&[outcome.error]), &row(&[e]));
        for form in [sum_over_paths, product_of_sums] {
            for (i, found) in outcome.layers.iter().enumerate() {
                let units = nodes.f[i].len();
                let by_argument: Vec<f64> =
                    (0..units).map(|j| 2.0 * form(&nodes, &o, &f_prime, i, j)).collect();
                let by_w = build(units, o[i].len(), |j, k| by_argument[j] * o[i][k]);
                let by_b = map(&row(&by_argument), |d| -d);
                device.agree(&format!("o_{}", i + 1), &found.a, &row(&o[i + 1]));
                device.agree(&format!("δ_{}", i + 1), &found.delta, &row(&by_argument));
                device.agree(&format!("∂e/∂w_{}", i + 1), &found.weight_gradient, &by_w);
                device.agree(&format!("∂e/∂b_{}", i + 1), &found.bias_gradient, &by_b);
                device.agree("w + Δw", &found.weight, &add_scaled(&nodes.w[i], -ETA, &by_w));
                device.agree("b + Δb", &found.bias, &add_scaled(&row(&nodes.b[i]), -ETA, &by_b));
            }
        }
    });
}

/// Subtracting b is adding −b: the same net but for the sign of the biases and of their gradients.
#[test]
fn a_subtracted_bias_is_an_added_one_with_the_other_sign() {
    let nodes = Nodes::draw(16, &[3, 4, 2], true, |i, _| F[i]);
    let negated = Nodes {
        b: map(&nodes.b, |b| -b),
        w: nodes.w.clone(),
        f: nodes.f.clone(),
        x: nodes.x.clone(),
        t: nodes.t.clone(),
    };
    on_every_backend(|device: &mut Device| {
        let (subtracted, added) =
            (nodes.run(device, Bias::Subtract), negated.run(device, Bias::Add));
        for (subtracted, added) in subtracted.layers.iter().zip(&added.layers) {
            device.agree("z", &subtracted.z, &added.z);
            device.agree("∂e/∂w", &subtracted.weight_gradient, &added.weight_gradient);
            device.agree("∂e/∂b", &subtracted.bias_gradient, &map(&added.bias_gradient, |g| -g));
            device.agree("b", &subtracted.bias, &map(&added.bias, |b| -b));
        }
    });
}
