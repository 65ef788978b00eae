//! The two sanity checks of source 002: the numerical check of every activation, loss and bias
//! convention, and the dimension check as errors that a user can read.

use super::algebra::{Lcg, Rows, difference_quotients, map, row};
use super::functions::{error, error_kink, kinks, losses, sigma, softmax};
use super::support::{
    Case, Device, Parameters, agree_to, largest, layer_weights, net, on_every_backend, samples,
    single,
};
use pollster::FutureExt as _;
use wgrad::backend::Values;
use wgrad::backend::session::Session;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::math::loss::{Loss, Reduction};
use wgrad::math::matrix::Matrix;
use wgrad::net::spec::{Bias, Units};
use wgrad::plan::{self, Purpose};
use wgrad::proof::gradcheck;
use wgrad::{Activation, Trainer};

/// h of the difference quotients.
const H: f64 = 1e-5;
/// The error of a difference quotient itself, relative to the largest gradient of the net.
const QUOTIENT_TOLERANCE: f64 = 1e-8;
/// How far from a kink every pre-activation and residual must be: beyond what h can reach.
const MARGIN: f64 = 1e-3;
/// Inputs, hidden units, outputs, and rows.
const SIZES: [usize; 4] = [3, 4, 2, 4];

/// The output units for a loss, where the hidden layer has `activation`: cross-entropy on
/// probabilities needs outputs in (0, 1].
fn output_units(activation: Activation, loss: Loss, bias: Bias) -> Units {
    match (loss, activation, bias) {
        (Loss::CrossEntropyProbabilities, Activation::Sigmoid | Activation::Gaussian, _) => {
            activation.into()
        }
        (Loss::CrossEntropyProbabilities, _, Bias::Subtract) => Activation::Sigmoid.into(),
        (Loss::CrossEntropyProbabilities, ..) => Units::Softmax,
        _ => activation.into(),
    }
}

/// Targets for a loss: distributions, probabilities, counts, or numbers.
fn targets(loss: Loss, lcg: &mut Lcg) -> Rows {
    let drawn = lcg.rows(SIZES[3], SIZES[2]);
    match loss {
        Loss::CrossEntropy | Loss::CrossEntropyProbabilities => {
            drawn.iter().map(|t| vec![0.5 + t[0] / 4.0, 0.5 - t[0] / 4.0]).collect()
        }
        Loss::BinaryCrossEntropy => map(&drawn, |t| 0.5 + t / 4.0),
        Loss::Poisson => map(&drawn, |t| (t * 4.0).abs().round()),
        _ => map(&drawn, |t| 2.0 * t),
    }
}

/// E of `case`, evaluated from the definitions, and the distance to the nearest kink.
fn evaluate(case: &Case, x: &Rows, t: &Rows, layers: &[Parameters]) -> (f64, f64) {
    let (mut total, mut margin) = (0.0, f64::INFINITY);
    let loss = case.spec.objective.loss;
    for (x, t) in x.iter().zip(t) {
        let mut a = x.clone();
        for (layer, parameters) in case.spec.net.layers.iter().zip(layers) {
            let z: Vec<f64> = (0..layer.units)
                .map(|j| {
                    let sum: f64 = a.iter().zip(&parameters.weight[j]).map(|(a, w)| w * a).sum();
                    match layer.bias {
                        Bias::Add => sum + parameters.bias[j],
                        Bias::Subtract => sum - parameters.bias[j],
                        Bias::None => sum,
                    }
                })
                .collect();
            a = match &layer.activation {
                Units::Softmax => softmax(&z),
                Units::Each(_) => unreachable!("not used here"),
                Units::Same(activation) => {
                    let to_kinks = z
                        .iter()
                        .flat_map(|z| kinks(*activation).iter().map(move |k| (z - k).abs()));
                    margin = to_kinks.fold(margin, f64::min);
                    z.iter().map(|&z| sigma(*activation, z)).collect()
                }
            };
        }
        if let Some(kink) = error_kink(loss) {
            margin =
                a.iter().zip(t).map(|(y, t)| ((y - t).abs() - kink).abs()).fold(margin, f64::min);
        }
        total += error(loss, &a, t);
    }
    (total / x.len() as f64, margin)
}

/// A small net with every kink out of reach; x, t.
fn draw(activation: Activation, loss: Loss, bias: Bias) -> (Case, Rows, Rows) {
    let [inputs, hidden, outputs, rows] = SIZES;
    let mut shape = net(inputs, &[(hidden, activation), (outputs, activation)], bias);
    shape.layers[1].activation = output_units(activation, loss, bias);
    // With this seed no gradient is a sum that nearly cancels, of which f32 would keep few digits.
    let mut lcg = Lcg(11);
    for _ in 0..100 {
        // Weights up to 2 in the first layer, so that functions with bounds are seen beyond them.
        let mut layer = |out, cols, size: f64| Parameters {
            weight: map(&lcg.rows(out, cols), |w| size * w),
            bias: if bias == Bias::None { vec![] } else { lcg.vector(out) },
        };
        let layers = [layer(hidden, inputs, 2.0), layer(outputs, hidden, 1.0)];
        let (x, t) = (map(&lcg.rows(rows, inputs), |x| 2.0 * x), targets(loss, &mut lcg));
        let case = Case::new(shape.clone(), loss, Reduction::MeanBatch, &layers, samples(&x, &t));
        if evaluate(&case, &x, &t, &layers).1 > MARGIN {
            return (case, x, t);
        }
    }
    panic!("no net of {activation} with {} is clear of kinks", loss.name());
}

/// Every activation, loss and bias convention.
fn combinations() -> impl Iterator<Item = (Activation, Loss, Bias)> {
    let with_bias = || losses().flat_map(|l| Bias::ALL.map(|b| (l, b)));
    Activation::ALL.into_iter().flat_map(move |a| with_bias().map(move |(l, b)| (a, l, b)))
}

#[test]
fn gradients_are_difference_quotients_for_every_activation_loss_and_bias_convention() {
    // E and ∂E/∂W, ∂E/∂b of each layer.
    type Numerical = (f64, Vec<(Rows, Rows)>);
    let numerical = |case: &Case, x: &Rows, t: &Rows| -> Numerical {
        let e = |layers: &[Parameters]| evaluate(case, x, t, layers).0;
        let by_layer = (0..case.layers.len()).map(|l| {
            let with = |change: &dyn Fn(&mut Parameters)| {
                let mut layers = case.layers.clone();
                change(&mut layers[l]);
                e(&layers)
            };
            let Parameters { weight, bias } = &case.layers[l];
            let by_w =
                difference_quotients(weight, H, |w| with(&|layer| layer.weight.clone_from(w)));
            let by_b = difference_quotients(&row(bias), H, |b| {
                with(&|layer| layer.bias.clone_from(&b[0]))
            });
            (by_w, by_b)
        });
        (e(&case.layers), by_layer.collect())
    };
    let cases: Vec<_> = combinations()
        .map(|(activation, loss, bias)| {
            let (case, x, t) = draw(activation, loss, bias);
            let expected = numerical(&case, &x, &t);
            (format!("{activation}, {}, bias {bias}", loss.name()), case, expected)
        })
        .collect();
    assert_eq!(cases.len(), 18 * 8 * 3);
    on_every_backend(|device: &mut Device| {
        for (name, case, (e, by_layer)) in &cases {
            let outcome = device.run(case);
            device.agree(&format!("E of {name}"), &row(&[outcome.error]), &row(&[*e]));
            let quotients = by_layer.iter().flat_map(|(by_w, by_b)| [by_w, by_b]);
            let of_quotients = QUOTIENT_TOLERANCE * quotients.map(largest).fold(0.0, f64::max);
            let agree = |what: &str, found: &Rows, expected: &Rows| {
                let allowed = of_quotients + device.tolerance * largest(expected);
                agree_to(allowed, &format!("{what} of {name} on {}", device.name), found, expected);
            };
            for (l, (found, (by_w, by_b))) in outcome.layers.iter().zip(by_layer).enumerate() {
                agree(&format!("∂E/∂W_{}", l + 1), &found.weight_gradient, by_w);
                if case.spec.net.layers[l].bias == Bias::None {
                    assert!(found.bias_gradient.is_empty(), "{name} has no biases");
                } else {
                    agree(&format!("∂E/∂b_{}", l + 1), &found.bias_gradient, by_b);
                }
            }
        }
    });
}

#[test]
fn the_librarys_own_numerical_check_passes_every_combination() {
    let options = gradcheck::Options::default();
    for (activation, loss, bias) in combinations() {
        let (case, x, t) = draw(activation, loss, bias);
        let data =
            Dataset::new("rows", Features::F32(single(&x)), Targets::from(single(&t))).unwrap();
        let weights = layer_weights(&case.layers);
        let report =
            gradcheck::check(&case.spec, &weights, &Preprocessing::none(&data), &data, &options)
                .unwrap();
        let name = format!("{activation}, {}, bias {bias}", loss.name());
        assert!(report.passed, "{name}: {:?}", report.worst);
        assert_eq!((report.checked, report.kinks), (case.spec.net.parameters(), 0), "{name}");
    }
}

#[test]
fn every_gradient_has_the_shape_of_its_parameter() {
    for bias in Bias::ALL {
        let spec = Case::new(
            net(3, &[(5, Activation::Tanh), (2, Activation::Identity)], bias),
            Loss::SquaredError,
            Reduction::Mean,
            &[],
            samples(&vec![vec![0.0; 3]], &vec![vec![0.0; 2]]),
        )
        .spec;
        let plan = plan::plain(&spec, 4, Purpose::Train);
        let shape = |id| (plan.program.tensor(id).rows, plan.program.tensor(id).cols);
        for layer in &plan.layers {
            let gradients = layer.gradients.unwrap();
            assert_eq!(shape(layer.weight), shape(gradients.weight));
            assert_eq!(layer.bias.map(shape), gradients.bias.map(shape));
            assert_eq!(shape(layer.z), shape(layer.delta.unwrap()));
        }
    }
}

/// A refusal in words: all of `parts` must be in it.
#[track_caller]
fn says(result: wgrad::Result<()>, parts: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.kind().exit_code(), 2, "wrong usage");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn dimensions_that_do_not_fit_are_refused_in_words() {
    let values = |rows: usize, cols: usize| vec![vec![0.5; cols]; rows];
    says(Matrix::new(2, 3, vec![0.0; 5]).map(drop), &["2 × 3", "5 were given"]);

    let shape = net(3, &[(4, Activation::Tanh), (2, Activation::Identity)], Bias::Add);
    let layer = |out: usize, cols: usize, biases: usize| Parameters {
        weight: values(out, cols),
        bias: vec![0.5; biases],
    };
    on_every_backend(|device: &mut Device| {
        let good = [layer(4, 3, 4), layer(2, 4, 2)];
        let case = Case::new(
            shape.clone(),
            Loss::SquaredError,
            Reduction::Mean,
            &good,
            samples(&values(1, 3), &values(1, 2)),
        );
        let plan = plan::plain(&case.spec, 1, Purpose::Train);
        let weight = plan.layers[0].weight;
        let mut session = Session::new((device.open)(), plan, case.spec.objective).unwrap();
        let mut set = |layers: &[Parameters]| session.set_weights(&shape, &layer_weights(layers));
        set(&good).unwrap();
        let transposed = [layer(3, 4, 4), layer(2, 4, 2)];
        says(
            set(&transposed),
            &["layers.0.weight is (3, 4)", "(out, in) = (4, 3)", "layer 1", "help:"],
        );
        let incompatible = [layer(4, 3, 4), layer(2, 5, 2)];
        says(set(&incompatible), &["layers.1.weight is (2, 5)", "(2, 4)", "layer 2", "help:"]);
        let short = [layer(4, 3, 3), layer(2, 4, 2)];
        says(set(&short), &["layers.0.bias has 3 values", "needs 4", "layer 1"]);
        let unbiased = [layer(4, 3, 4), layer(2, 4, 0)];
        says(set(&unbiased), &["layers.1.bias has 0 values", "needs 2", "--bias none"]);
        says(set(&good[..1]), &["the weights have 1 layer, but the net has 2"]);
        let more = session.backend_mut().write(weight, Values::F64(&[0.0; 65])).block_on();
        says(more, &["65 values for layers.0.weight, which has 12"]);

        let data = |inputs, outputs| {
            let features = Features::F32(single(&values(4, inputs)));
            Dataset::new("rows", features, Targets::from(single(&values(4, outputs)))).unwrap()
        };
        let train = |inputs, outputs| {
            let data = data(inputs, outputs);
            Trainer::new(&case.spec, &data, Preprocessing::none(&data), (device.open)()).map(drop)
        };
        train(3, 2).unwrap();
        says(train(5, 2), &["the net takes 3 inputs", "5 feature columns", "layer 1"]);
        says(train(3, 1), &["the net has 2 outputs", "1 target columns"]);
    });
}
