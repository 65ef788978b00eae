//! Losses E(y, t) and their gradients ∂E/∂y, for one row of outputs.

use crate::activation::{sigmoid, softplus};
use crate::error::{Error, Result, serde_as_text, unknown};
use crate::real::Real;
use std::fmt;
use std::str::FromStr;

/// A loss, as a sum over the outputs of one row. y: outputs, t: targets, d = y − t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Σ d². The factor 2 of the derivative is kept (sources 001–004).
    SquaredError,
    /// Σ |d|.
    AbsoluteError,
    /// Σ d²/2 where |d| ≤ δ, else δ (|d| − δ/2) (Huber 1964).
    Huber(f32),
    /// Σ ln cosh d.
    LogCosh,
    /// −Σ t ln softmax(y): y are logits, ∂E/∂y = softmax(y) Σt − t.
    CrossEntropy,
    /// −Σ t ln y for y in (0, 1] (source 001).
    CrossEntropyProbabilities,
    /// Σ softplus(y) − t y: y are logits of independent yes-or-no outputs.
    BinaryCrossEntropy,
    /// Σ eʸ − t y: y is the logarithm of the rate of a Poisson count t.
    Poisson,
}

/// How the losses of rows and outputs become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// The sum over the batch and the outputs (TSE, TCE of source 001).
    Total,
    /// The sum over the outputs, mean over the batch (sources 001, 002).
    MeanBatch,
    /// The mean over the batch and the outputs (source 003, PyTorch's `MSELoss`).
    Mean,
}

/// The smallest probability whose logarithm is taken.
pub const SMALLEST_PROBABILITY: f32 = 1e-37;

impl Loss {
    /// Every loss once, parameters at their defaults, in the order of [`Loss::code`].
    pub const ALL: [Loss; 8] = [
        Loss::SquaredError,
        Loss::AbsoluteError,
        Loss::Huber(1.0),
        Loss::LogCosh,
        Loss::CrossEntropy,
        Loss::CrossEntropyProbabilities,
        Loss::BinaryCrossEntropy,
        Loss::Poisson,
    ];

    /// The name used in files and on the command line, without a parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Loss::SquaredError => "squared-error",
            Loss::AbsoluteError => "absolute-error",
            Loss::Huber(_) => "huber",
            Loss::LogCosh => "log-cosh",
            Loss::CrossEntropy => "cross-entropy",
            Loss::CrossEntropyProbabilities => "cross-entropy-probabilities",
            Loss::BinaryCrossEntropy => "binary-cross-entropy",
            Loss::Poisson => "poisson",
        }
    }

    /// The number by which the shaders know this loss: its place in [`Loss::ALL`].
    #[must_use]
    pub fn code(self) -> u32 {
        let place = Self::ALL.iter().position(|l| l.name() == self.name());
        place.unwrap_or_default() as u32
    }

    /// δ of Huber's loss; 0 for a loss without a parameter.
    #[must_use]
    pub fn parameter(self) -> f32 {
        match self {
            Loss::Huber(delta) => delta,
            _ => 0.0,
        }
    }

    /// The reduction that users of other frameworks expect.
    #[must_use]
    pub fn default_reduction(self) -> Reduction {
        match self {
            Loss::CrossEntropy | Loss::CrossEntropyProbabilities => Reduction::MeanBatch,
            _ => Reduction::Mean,
        }
    }

    /// Whether the targets must be probabilities or classes.
    #[must_use]
    pub fn is_for_classes(self) -> bool {
        matches!(
            self,
            Loss::CrossEntropy | Loss::CrossEntropyProbabilities | Loss::BinaryCrossEntropy
        )
    }

    /// What turns the net's outputs into predictions: probabilities from logits, rates from their
    /// logarithms, and otherwise the outputs themselves.
    #[must_use]
    pub fn link(self) -> Link {
        match self {
            Loss::CrossEntropy => Link::Softmax,
            Loss::BinaryCrossEntropy => Link::Sigmoid,
            Loss::Poisson => Link::Exp,
            _ => Link::Identity,
        }
    }

    /// E of one row, and `scale` · ∂E/∂y into `gradient`: y, t, gradient: (n_L).
    pub fn row<T: Real>(self, y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
        if self == Loss::CrossEntropy {
            return cross_entropy(y, t, scale, gradient);
        }
        for (g, (&y, &t)) in gradient.iter_mut().zip(y.iter().zip(t)) {
            *g = scale * self.slope(y, t);
        }
        sum(y.len(), |i| self.term(y[i], t[i]))
    }

    /// One output's term of a loss that is a sum over the outputs.
    fn term<T: Real>(self, y: T, t: T) -> T {
        let d = y - t;
        match self {
            Loss::SquaredError => d * d,
            Loss::AbsoluteError => d.abs(),
            Loss::Huber(delta) => {
                let delta = T::of(delta.into());
                if d.abs() <= delta {
                    T::of(0.5) * d * d
                } else {
                    delta * (d.abs() - T::of(0.5) * delta)
                }
            }
            Loss::LogCosh => {
                d.abs() + (T::of(-2.0) * d.abs()).exp().ln_1p() - T::of(std::f64::consts::LN_2)
            }
            Loss::CrossEntropyProbabilities => {
                if t == T::zero() {
                    T::zero()
                } else {
                    -t * positive(y).ln()
                }
            }
            Loss::BinaryCrossEntropy => softplus(y) - t * y,
            Loss::Poisson => y.exp() - t * y,
            Loss::CrossEntropy => T::nan(),
        }
    }

    /// The derivative of [`Loss::term`] by y.
    fn slope<T: Real>(self, y: T, t: T) -> T {
        let d = y - t;
        match self {
            Loss::SquaredError => T::of(2.0) * d,
            Loss::AbsoluteError => sign(d),
            Loss::Huber(delta) => {
                let delta = T::of(delta.into());
                if d.abs() <= delta { d } else { delta * sign(d) }
            }
            Loss::LogCosh => d.tanh(),
            Loss::CrossEntropyProbabilities => -t / positive(y),
            Loss::BinaryCrossEntropy => sigmoid(y) - t,
            Loss::Poisson => y.exp() - t,
            Loss::CrossEntropy => T::nan(),
        }
    }
}

/// What turns outputs into predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The outputs as they are.
    Identity,
    /// Row-wise softmax: logits into probabilities of classes.
    Softmax,
    /// Logits into independent probabilities.
    Sigmoid,
    /// Logarithms into rates.
    Exp,
}

impl Link {
    /// Turns one row of outputs into predictions, in place: (n_L).
    pub fn apply<T: Real>(self, row: &mut [T]) {
        match self {
            Link::Identity => {}
            Link::Softmax => softmax(row),
            Link::Sigmoid => row.iter_mut().for_each(|y| *y = sigmoid(*y)),
            Link::Exp => row.iter_mut().for_each(|y| *y = y.exp()),
        }
    }
}

/// y ← softmax(y) of one row, shifted by its maximum.
pub fn softmax<T: Real>(row: &mut [T]) {
    let max = maximum(row);
    let mut total = T::zero();
    for y in row.iter_mut() {
        *y = (*y - max).exp();
        total += *y;
    }
    row.iter_mut().for_each(|y| *y = *y / total);
}

/// −Σ t ln softmax(y) and its gradient, from one exponential for each output.
/// Running sums that are added up side by side, so that vectors can be used.
pub const LANES: usize = 8;

/// Σ term(i) for i in 0..len.
#[inline(always)]
pub fn sum<T: Real>(len: usize, term: impl Fn(usize) -> T) -> T {
    let mut sums = [T::zero(); LANES];
    for first in (0..len / LANES * LANES).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    let whole: T = sums.into_iter().sum();
    (len / LANES * LANES..len).map(term).fold(whole, |sum, x| sum + x)
}

fn cross_entropy<T: Real>(y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
    let max = maximum(y);
    let mut total = T::zero();
    for (e, &y) in gradient.iter_mut().zip(y) {
        *e = (y - max).exp();
        total += *e;
    }
    let log_sum = max + total.ln();
    let weight = t.iter().copied().sum::<T>() / total;
    let mut value = T::zero();
    for (g, (&y, &t)) in gradient.iter_mut().zip(y.iter().zip(t)) {
        *g = scale * (*g * weight - t);
        if t != T::zero() {
            value += t * (log_sum - y);
        }
    }
    value
}

/// The largest element.
fn maximum<T: Real>(row: &[T]) -> T {
    row.iter().fold(T::neg_infinity(), |m, &y| if y <= m { m } else { y })
}

fn positive<T: Real>(y: T) -> T {
    let smallest = T::of(SMALLEST_PROBABILITY.into());
    if y <= smallest { smallest } else { y }
}

fn sign<T: Real>(d: T) -> T {
    if d > T::zero() {
        T::one()
    } else if d < T::zero() {
        -T::one()
    } else {
        d
    }
}

impl Reduction {
    /// Every reduction once.
    pub const ALL: [Reduction; 3] = [Reduction::Total, Reduction::MeanBatch, Reduction::Mean];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Total => "total",
            Reduction::MeanBatch => "mean-batch",
            Reduction::Mean => "mean",
        }
    }

    /// What the sum over `rows` rows of `outputs` outputs is divided by.
    #[must_use]
    pub fn divisor(self, rows: usize, outputs: usize) -> f64 {
        match self {
            Reduction::Total => 1.0,
            Reduction::MeanBatch => rows.max(1) as f64,
            Reduction::Mean => rows.max(1) as f64 * outputs.max(1) as f64,
        }
    }
}

/// A loss with its reduction: what training makes small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The loss of one row.
    pub loss: Loss,
    /// How rows and outputs are put together.
    pub reduction: Reduction,
}

impl From<Loss> for Objective {
    fn from(loss: Loss) -> Self {
        Objective { loss, reduction: loss.default_reduction() }
    }
}

serde_as_text!(Objective);

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.loss.name())?;
        if let Loss::Huber(delta) = self.loss {
            write!(f, "({delta})")?;
        }
        write!(f, ":{}", self.reduction.name())
    }
}

impl FromStr for Objective {
    type Err = Error;

    /// Reads `squared-error`, `squared-error:total` or `huber(0.5):mean`; `_` stands for `-` too.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim().replace('_', "-");
        let (loss, reduction) = match text.split_once(':') {
            Some((loss, reduction)) => (loss, Some(reduction)),
            None => (text.as_str(), None),
        };
        let (name, argument) = match loss.split_once('(') {
            Some((name, rest)) => (name, Some(rest.trim_end_matches(')'))),
            None => (loss, None),
        };
        let Some(loss) = Loss::ALL.into_iter().find(|l| l.name() == name) else {
            return Err(unknown("loss", name, &Loss::ALL.map(Loss::name)));
        };
        let loss = match (loss, argument) {
            (loss, None) => loss,
            (Loss::Huber(_), Some(delta)) => match delta.parse::<f32>() {
                Ok(delta) if delta > 0.0 && delta.is_finite() => Loss::Huber(delta),
                _ => return Err(Error::usage(format!("δ of huber is not positive: {delta:?}"))),
            },
            (_, Some(_)) => return Err(Error::usage(format!("{name} has no parameter"))),
        };
        let Some(reduction) = reduction else {
            return Ok(loss.into());
        };
        match Reduction::ALL.into_iter().find(|r| r.name() == reduction) {
            Some(reduction) => Ok(Objective { loss, reduction }),
            None => Err(unknown("reduction", reduction, &Reduction::ALL.map(Reduction::name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_reads_back() {
        for loss in Loss::ALL {
            assert_eq!(Loss::ALL[loss.code() as usize], loss);
            for reduction in Reduction::ALL {
                let objective = Objective { loss, reduction };
                assert_eq!(objective.to_string().parse(), Ok(objective));
            }
        }
    }

    #[test]
    fn cross_entropy_of_extreme_logits_is_finite() {
        let (y, t) = ([1000.0f32, -1000.0], [0.0, 1.0]);
        let mut gradient = [0.0; 2];
        assert_eq!(Loss::CrossEntropy.row(&y, &t, 1.0, &mut gradient), 2000.0);
        assert_eq!(gradient, [1.0, -1.0]);
    }
}
