//! Source 001 (lecture): W stored as (in × out), n = Wᵀâ + b, S = −2Ae, Ŝ = ÂWS, ∂F/∂W = âSᵀ,
//! total and mean squared error, cross-entropy, and one sample at a time in random order.

use super::algebra::{
    Lcg, Rows, add_scaled, build, column, diag, elements, map, product, row, transpose,
};
use super::functions::{sigma, sigma_prime, softmax};
use super::support::{
    Case, Device, ETA, Outcome, Parameters, layer_weights, net, on_every_backend, read, samples,
    single,
};
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::math::loss::{Loss, Reduction};
use wgrad::math::random::{Permutation, Stream, stream_key};
use wgrad::net::spec::{Bias, Net, Spec, Units};
use wgrad::{Activation, Trainer};

/// Layers 1 to 4 of the concrete example; layer 1 is the input.
const WIDTHS: [usize; 4] = [5, 4, 6, 3];
/// The activations of layers 2 to 4.
const SIGMA: [Activation; 3] = [Activation::Tanh, Activation::Softplus, Activation::Sigmoid];

/// W: (in × out), the document's layout, and b, of the layers 2, 3, 4.
#[derive(Clone)]
struct Weights {
    w: Rows,
    b: Vec<f64>,
}

/// The document's result for one layer: S, ∂F/∂W = âSᵀ: (in × out), ∂F/∂b = S.
struct Derived {
    s: Rows,
    by_w: Rows,
}

/// f(t, y), and at the output layer S = ∂f/∂n.
#[derive(Clone, Copy, PartialEq)]
enum Performance {
    /// ‖t − y‖², S = −2Ae.
    SquaredError,
    /// −Σ t ln y, S = A ∂f/∂y.
    CrossEntropy,
    /// The same with y = softmax(n) in the last layer, S = Jᵀ ∂f/∂y.
    CrossEntropyOfSoftmax,
}

/// The column y of the last layer.
fn output(performance: Performance, n: &Rows) -> Rows {
    match performance {
        Performance::CrossEntropyOfSoftmax => column(&softmax(&elements(n))),
        _ => map(n, |n| sigma(SIGMA[2], n)),
    }
}

/// n and a of all layers for an input x: n = Wᵀâ + b, a = σ(n).
fn forward(performance: Performance, layers: &[Weights], x: &[f64]) -> (Vec<Rows>, Vec<Rows>) {
    let (mut a, mut n) = (vec![column(x)], Vec::new());
    for (l, layer) in layers.iter().enumerate() {
        let n_l = add_scaled(&product(&transpose(&layer.w), &a[l]), 1.0, &column(&layer.b));
        let last = l + 1 == layers.len();
        a.push(if last { output(performance, &n_l) } else { map(&n_l, |n| sigma(SIGMA[l], n)) });
        n.push(n_l);
    }
    (n, a)
}

/// f(t, y).
fn value(performance: Performance, layers: &[Weights], x: &[f64], t: &[f64]) -> f64 {
    let (_, a) = forward(performance, layers, x);
    let pairs = elements(&a[layers.len()]).into_iter().zip(t.to_vec());
    match performance {
        Performance::SquaredError => pairs.map(|(y, t)| (t - y) * (t - y)).sum(),
        _ => pairs.map(|(y, t)| -t * y.ln()).sum(),
    }
}

/// S_4, S_3, S_2 and ∂F/∂W for one training pair, first layer first.
fn derive(performance: Performance, layers: &[Weights], x: &[f64], t: &[f64]) -> Vec<Derived> {
    let (n, a) = forward(performance, layers, x);
    // A = diag(σ′(n))
    let big_a = |l: usize| diag(&elements(&map(&n[l], |n| sigma_prime(SIGMA[l], n))));
    let last = layers.len() - 1;
    let y = elements(&a[last + 1]);
    let by_y: Vec<f64> = y.iter().zip(t).map(|(y, t)| -t / y).collect();
    let mut s =
        match performance {
            Performance::SquaredError => {
                let e = add_scaled(&column(t), -1.0, &a[last + 1]);
                map(&product(&big_a(last), &e), |x| -2.0 * x)
            }
            Performance::CrossEntropy => product(&big_a(last), &column(&by_y)),
            Performance::CrossEntropyOfSoftmax => {
                // ∂y_j/∂n_c = y_j (1 − y_c) where j = c, else −y_j y_c
                let jacobian = build(y.len(), y.len(), |j, c| {
                    if j == c { y[j] * (1.0 - y[c]) } else { -y[j] * y[c] }
                });
                product(&transpose(&jacobian), &column(&by_y))
            }
        };
    let mut derived = Vec::new();
    for l in (0..layers.len()).rev() {
        let by_w = product(&a[l], &transpose(&s)); // ∂F/∂W = âSᵀ
        let below = (l > 0).then(|| product(&product(&big_a(l - 1), &layers[l].w), &s)); // Ŝ = ÂWS
        derived.insert(0, Derived { s, by_w });
        s = below.unwrap_or_default();
    }
    derived
}

/// W ← W − α ∂F/∂W, b ← b − α ∂F/∂b.
fn descend(layers: &mut [Weights], derived: &[Derived]) {
    for (layer, by) in layers.iter_mut().zip(derived) {
        layer.w = add_scaled(&layer.w, -ETA, &by.by_w);
        layer.b = elements(&add_scaled(&column(&layer.b), -ETA, &by.s));
    }
}

/// Four training pairs, targets in (0, 1), and a net in the document's layout.
fn example() -> (Vec<Weights>, Rows, Rows) {
    let mut lcg = Lcg(1);
    let layers = WIDTHS
        .windows(2)
        .map(|n| Weights { w: lcg.rows(n[0], n[1]), b: lcg.vector(n[1]) })
        .collect();
    let x = lcg.rows(4, WIDTHS[0]);
    let t = map(&lcg.rows(4, WIDTHS[3]), |t| 0.5 + t / 4.0);
    (layers, x, t)
}

/// The document's weights in the library's layout, (out, in).
fn ours(layers: &[Weights]) -> Vec<Parameters> {
    layers.iter().map(|l| Parameters { weight: transpose(&l.w), bias: l.b.clone() }).collect()
}

fn four_layers(output: Units) -> Net {
    let mut net = net(
        WIDTHS[0],
        &[(WIDTHS[1], SIGMA[0]), (WIDTHS[2], SIGMA[1]), (WIDTHS[3], SIGMA[2])],
        Bias::Add,
    );
    net.layers[2].activation = output;
    net
}

/// Compares objective, S, ∂F/∂W and ∂F/∂b of a batch with the document's, times `factor`.
fn agree(device: &Device, outcome: &Outcome, performance: Performance, factor: f64) {
    let (layers, x, t) = example();
    let pairs = || x.iter().zip(&t);
    let total: f64 = pairs().map(|(x, t)| value(performance, &layers, x, t)).sum();
    device.agree("Σ", &row(&[outcome.error]), &row(&[factor * total]));
    let each: Vec<_> = pairs().map(|(x, t)| derive(performance, &layers, x, t)).collect();
    for (l, found) in outcome.layers.iter().enumerate() {
        let s: Rows = each.iter().map(|sample| elements(&sample[l].s)).collect();
        let zero = map(&layers[l].w, |_| 0.0);
        let by_w = each.iter().fold(zero, |sum, sample| add_scaled(&sum, factor, &sample[l].by_w));
        let by_b = build(1, s[0].len(), |_, c| s.iter().map(|s| factor * s[c]).sum());
        device.agree(&format!("S_{}", l + 2), &found.delta, &map(&s, |s| factor * s));
        device.agree(&format!("∂F/∂W_{}", l + 2), &found.weight_gradient, &transpose(&by_w));
        device.agree(&format!("∂F/∂b_{}", l + 2), &found.bias_gradient, &by_b);
    }
}

fn run_example(device: &mut Device, output: Units, loss: Loss, reduction: Reduction) -> Outcome {
    let (layers, x, t) = example();
    device.run(&Case::new(four_layers(output), loss, reduction, &ours(&layers), samples(&x, &t)))
}

#[test]
fn the_four_layer_example_propagates_s_and_updates_every_layer() {
    let (layers, x, t) = example();
    on_every_backend(|device: &mut Device| {
        for (x, t) in x.iter().zip(&t) {
            let net = four_layers(SIGMA[2].into());
            let rows = samples(&row(x), &row(t));
            let outcome = device.run(&Case::new(
                net,
                Loss::SquaredError,
                Reduction::Total,
                &ours(&layers),
                rows,
            ));
            let derived = derive(Performance::SquaredError, &layers, x, t);
            let mut updated = layers.clone();
            descend(&mut updated, &derived);
            for (l, (found, by)) in outcome.layers.iter().zip(&derived).enumerate() {
                device.agree(&format!("S_{}", l + 2), &found.delta, &transpose(&by.s));
                device.agree("âSᵀ", &found.weight_gradient, &transpose(&by.by_w));
                device.agree("∂F/∂b", &found.bias_gradient, &transpose(&by.s));
                device.agree("W", &found.weight, &transpose(&updated[l].w));
                device.agree("b", &found.bias, &row(&updated[l].b));
            }
        }
    });
}

#[test]
fn total_squared_error_adds_up_over_the_training_set() {
    on_every_backend(|device: &mut Device| {
        let outcome = run_example(device, SIGMA[2].into(), Loss::SquaredError, Reduction::Total);
        agree(device, &outcome, Performance::SquaredError, 1.0);
    });
}

#[test]
fn mean_squared_error_is_the_total_over_the_number_of_samples() {
    on_every_backend(|device: &mut Device| {
        let outcome =
            run_example(device, SIGMA[2].into(), Loss::SquaredError, Reduction::MeanBatch);
        agree(device, &outcome, Performance::SquaredError, 1.0 / 4.0);
    });
}

#[test]
fn total_cross_entropy_takes_probabilities_of_any_kind() {
    on_every_backend(|device: &mut Device| {
        let loss = Loss::CrossEntropyProbabilities;
        let outcome = run_example(device, SIGMA[2].into(), loss, Reduction::Total);
        agree(device, &outcome, Performance::CrossEntropy, 1.0);
        let outcome = run_example(device, Units::Softmax, loss, Reduction::Total);
        agree(device, &outcome, Performance::CrossEntropyOfSoftmax, 1.0);
        let outcome = run_example(device, SIGMA[2].into(), loss, Reduction::MeanBatch);
        agree(device, &outcome, Performance::CrossEntropy, 1.0 / 4.0);
    });
}

#[test]
fn cross_entropy_on_logits_equals_that_of_softmax() {
    on_every_backend(|device: &mut Device| {
        let logits = Activation::Identity.into();
        let outcome = run_example(device, logits, Loss::CrossEntropy, Reduction::Total);
        agree(device, &outcome, Performance::CrossEntropyOfSoftmax, 1.0);
    });
}

/// Epochs of stochastic descent: W, b after each sample in the order of the epoch.
fn stochastic_descent(
    layers: &[Weights],
    x: &Rows,
    t: &Rows,
    orders: &[Vec<usize>],
) -> Vec<Weights> {
    let mut layers = layers.to_vec();
    for &i in orders.iter().flatten() {
        let derived = derive(Performance::SquaredError, &layers, &x[i], &t[i]);
        descend(&mut layers, &derived);
    }
    layers
}

#[test]
fn stochastic_descent_takes_one_sample_at_a_time_in_a_seeded_random_order() {
    const ROWS: usize = 13;
    const SEED: u64 = 5;
    const EPOCHS: usize = 2;
    let (layers, ..) = example();
    let mut lcg = Lcg(2);
    let x = lcg.rows(ROWS, WIDTHS[0]);
    let t = map(&lcg.rows(ROWS, WIDTHS[3]), |t| 0.5 + t / 4.0);

    // The documented order: a permutation for each epoch, keyed by the seed.
    let order = |epoch: usize| -> Vec<usize> {
        let key = stream_key(SEED, Stream::Shuffle, epoch as u64);
        let permutation = Permutation::new(ROWS as u32, Some(key));
        (0..ROWS).map(|i| permutation.at(i as u32) as usize).collect()
    };
    let orders: Vec<_> = (0..EPOCHS).map(order).collect();
    let in_order: Vec<usize> = (0..ROWS).collect();
    assert!(orders[0] != orders[1] && orders[0] != in_order && orders[1] != in_order);

    let net = four_layers(SIGMA[2].into());
    let mut spec = Case::new(net, Loss::SquaredError, Reduction::Total, &[], samples(&x, &t)).spec;
    (spec.batch_size, spec.epochs, spec.seed) = (1, EPOCHS, SEED);
    let data = Dataset::new("pairs", Features::F32(single(&x)), Targets::from(single(&t))).unwrap();

    on_every_backend(|device: &mut Device| {
        let expected = stochastic_descent(&layers, &x, &t, &orders);
        for (found, expected) in train(device, &spec, &data, &layers).iter().zip(&expected) {
            device.agree("W", &found.weight, &transpose(&expected.w));
            device.agree("b", &row(&found.bias), &row(&expected.b));
        }
        let unshuffled = Spec { shuffle: false, ..spec.clone() };
        let expected = stochastic_descent(&layers, &x, &t, &[in_order.clone(), in_order.clone()]);
        for (found, expected) in train(device, &unshuffled, &data, &layers).iter().zip(&expected) {
            device.agree("W in the order of the rows", &found.weight, &transpose(&expected.w));
        }
    });
}

/// The parameters after a run of the trainer from the document's weights.
fn train(device: &Device, spec: &Spec, data: &Dataset, layers: &[Weights]) -> Vec<Parameters> {
    let mut trainer = Trainer::new(spec, data, Preprocessing::none(data), (device.open)()).unwrap();
    trainer.set_weights(&layer_weights(&ours(layers))).unwrap();
    let end = trainer.fit(None, &mut ()).unwrap();
    assert_eq!(end.steps, (data.rows() * spec.epochs) as u64, "one step for each sample");
    let tensors = trainer.session().plan().layers.clone();
    let backend = trainer.session().backend_mut();
    let shapes = layers.iter().map(|l| (l.b.len(), l.w.len()));
    let mut found = Vec::new();
    for (tensors, (out, cols)) in tensors.iter().zip(shapes) {
        let weight = read(backend, tensors.weight, out, cols);
        let bias = read(backend, tensors.bias.unwrap(), 1, out).remove(0);
        found.push(Parameters { weight, bias });
    }
    found
}
