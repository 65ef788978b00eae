//! Activations and losses for the oracles, written from their textbook definitions.

use wgrad::{Activation, Loss};

/// σ(z).
pub fn sigma(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Identity => z,
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Tanh => (z.exp() - (-z).exp()) / (z.exp() + (-z).exp()),
        Activation::Relu => z.max(0.0),
        Activation::Relu6 => z.clamp(0.0, 6.0),
        Activation::LeakyRelu(slope) => z.max(0.0) + f64::from(slope) * z.min(0.0),
        Activation::Elu(alpha) => z.max(0.0) + f64::from(alpha) * (z.min(0.0).exp() - 1.0),
        // α and λ from the paper's condition of a fixed point at mean 0 and variance 1.
        Activation::Selu => {
            let (alpha, lambda) = (1.673_263_242_354_377_2, 1.050_700_987_355_480_5);
            lambda * (z.max(0.0) + alpha * (z.min(0.0).exp() - 1.0))
        }
        Activation::Gelu => z / 2.0 * (1.0 + erf(z / 2f64.sqrt())),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z.powi(3));
            z / 2.0 * (1.0 + inner.tanh())
        }
        Activation::Silu => z / (1.0 + (-z).exp()),
        Activation::Softplus => (1.0 + z.exp()).ln(),
        Activation::Softsign => z / (1.0 + z.abs()),
        Activation::Mish => z * (1.0 + z.exp()).ln().tanh(),
        Activation::HardSigmoid => ((z + 3.0) / 6.0).clamp(0.0, 1.0),
        Activation::HardSwish => z * ((z + 3.0) / 6.0).clamp(0.0, 1.0),
        Activation::Sine => z.sin(),
        Activation::Gaussian => (-z * z).exp(),
    }
}

/// σ′(z), of the activations that the closed expressions are evaluated with.
pub fn sigma_prime(activation: Activation, z: f64) -> f64 {
    let value = sigma(activation, z);
    match activation {
        Activation::Identity => 1.0,
        Activation::Sigmoid => value * (1.0 - value),
        Activation::Tanh => 1.0 - value * value,
        Activation::Relu => f64::from(u8::from(z > 0.0)),
        Activation::LeakyRelu(slope) => {
            if z > 0.0 {
                1.0
            } else {
                slope.into()
            }
        }
        Activation::Softplus => 1.0 / (1.0 + (-z).exp()),
        Activation::Softsign => (1.0 + z.abs()).powi(-2),
        Activation::Sine => z.cos(),
        Activation::Gaussian => -2.0 * z * value,
        _ => unimplemented!("no closed expression is evaluated with {activation}"),
    }
}

/// The kinks of σ or σ′, near which difference quotients are meaningless.
pub fn kinks(activation: Activation) -> &'static [f64] {
    match activation {
        Activation::Relu | Activation::LeakyRelu(_) | Activation::Elu(_) | Activation::Selu => {
            &[0.0]
        }
        Activation::Softsign => &[0.0],
        Activation::Relu6 => &[0.0, 6.0],
        Activation::HardSigmoid | Activation::HardSwish => &[-3.0, 3.0],
        _ => &[],
    }
}

/// The losses in the texts. Those of later papers are compared with PyTorch.
pub fn losses() -> impl Iterator<Item = Loss> + Clone {
    Loss::ALL.into_iter().filter(|loss| loss.code() <= Loss::Poisson.code())
}

/// E of one row of outputs y and targets t, summed over the outputs.
pub fn error(loss: Loss, y: &[f64], t: &[f64]) -> f64 {
    let sum =
        |term: &dyn Fn(f64, f64) -> f64| y.iter().zip(t).map(|(&y, &t)| term(y, t)).sum::<f64>();
    match loss {
        Loss::SquaredError => sum(&|y, t| (t - y).powi(2)),
        Loss::AbsoluteError => sum(&|y, t| (t - y).abs()),
        Loss::Huber(delta) => {
            let delta = f64::from(delta);
            sum(&|y, t| match (t - y).abs() {
                d if d > delta => delta * (d - delta / 2.0),
                d => d * d / 2.0,
            })
        }
        Loss::LogCosh => sum(&|y, t| (y - t).cosh().ln()),
        Loss::CrossEntropy => {
            let p = softmax(y);
            -p.iter().zip(t).map(|(p, t)| t * p.ln()).sum::<f64>()
        }
        Loss::CrossEntropyProbabilities => sum(&|y, t| -t * y.ln()),
        Loss::BinaryCrossEntropy => sum(&|y, t| {
            let p = sigma(Activation::Sigmoid, y);
            -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
        }),
        Loss::Poisson => sum(&|y, t| y.exp() - t * y),
        _ => unimplemented!("no text leads to {loss}"),
    }
}

/// Where E or its derivative has kinks, as a function of |y − t|.
pub fn error_kink(loss: Loss) -> Option<f64> {
    match loss {
        Loss::AbsoluteError => Some(0.0),
        Loss::Huber(delta) => Some(delta.into()),
        _ => None,
    }
}

/// e^{y_j} / Σ e^{y_i}.
pub fn softmax(y: &[f64]) -> Vec<f64> {
    let total: f64 = y.iter().map(|y| y.exp()).sum();
    y.iter().map(|y| y.exp() / total).collect()
}

/// erf x = 2/√π e^{−x²} Σ_n 2ⁿ x^{2n+1} / (1·3·…·(2n+1)), whose terms all have the same sign.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, 0.0);
    for n in 0..200 {
        sum += term;
        term *= 2.0 * x * x / f64::from(2 * n + 3);
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}
