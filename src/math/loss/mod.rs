//! Losses E(y, t) and their gradients ∂E/∂y, for one row of outputs.

mod link;
mod objective;
mod rows;
mod scores;
mod terms;

pub(crate) use link::log_sum_exp;
pub use link::{Link, softmax};
pub use objective::{Objective, Reduction};
pub use rows::index_of_max;
pub use scores::{SCORES, Scale, score};

use crate::base::error::{Error, Result, unknown};
use crate::math::real::Real;
use crate::math::vector::Vector;
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
    /// Σ softplus(y) − t y: y are logits of independent binary outputs.
    BinaryCrossEntropy,
    /// Σ eʸ − t y: y is the logarithm of the rate of a Poisson count t.
    Poisson,
    /// −Σ t (1 − p)^γ ln p with p = softmax(y): a cross-entropy in which rows that are classified well
    /// already count little (Lin, Goyal, Girshick, He, Dollár, "Focal loss for dense object detection", 2017).
    Focal(f32),
    /// −Σ t (1 − p)^γ ln p + (1 − t) p^γ ln(1 − p) with p = sigmoid(y): the same for independent
    /// binary outputs, as in the paper.
    BinaryFocal(f32),
    /// Σ τ (t − y) where y < t, else (1 − τ)(y − t): minimized by the τ-quantile of t (Koenker,
    /// Bassett, "Regression quantiles", 1978).
    Quantile(f32),
    /// max(0, 1 + max_{j≠c} y_j − y_c) with c the class, which is the largest t (Crammer, Singer,
    /// "On the algorithmic implementation of multiclass kernel-based vector machines", 2001); of a
    /// single output max(0, 1 − (2t − 1) y).
    Hinge,
    /// Σ t ln(t / softmax(y)): the divergence of a predicted distribution from t (Kullback, Leibler,
    /// "On information and sufficiency", 1951).
    KlDivergence,
    /// 1 − y·t / (|y| |t|): 0 where y has the direction of t, 2 where it has the opposite one; 1
    /// with a gradient of 0 where either is 0.
    Cosine,
    /// Σ ½ (s + (t − μ)² e^{−s}), −ln of the normal density up to a constant: the outputs are all
    /// means μ, followed by the logarithms s of all variances (Nix, Weigend, "Estimating the mean and
    /// variance of the target probability distribution", 1994).
    GaussianNll,
}

/// The smallest probability whose logarithm is computed; smaller ones are raised to it.
pub const SMALLEST_PROBABILITY: f32 = 1e-37;

impl Loss {
    /// Every loss once, parameters at their defaults, in the order of [`Loss::code`].
    pub const ALL: [Loss; 15] = [
        Loss::SquaredError,
        Loss::AbsoluteError,
        Loss::Huber(1.0),
        Loss::LogCosh,
        Loss::CrossEntropy,
        Loss::CrossEntropyProbabilities,
        Loss::BinaryCrossEntropy,
        Loss::Poisson,
        Loss::Focal(2.0),
        Loss::BinaryFocal(2.0),
        Loss::Quantile(0.5),
        Loss::Hinge,
        Loss::KlDivergence,
        Loss::Cosine,
        Loss::GaussianNll,
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
            Loss::Focal(_) => "focal",
            Loss::BinaryFocal(_) => "binary-focal",
            Loss::Quantile(_) => "quantile",
            Loss::Hinge => "hinge",
            Loss::KlDivergence => "kl-divergence",
            Loss::Cosine => "cosine",
            Loss::GaussianNll => "gaussian-nll",
        }
    }

    /// The code of this loss in the shaders: its index in [`Loss::ALL`].
    #[must_use]
    pub fn code(self) -> u32 {
        let place = Self::ALL.iter().position(|l| l.name() == self.name());
        place.unwrap_or_default() as u32
    }

    /// δ of Huber's loss, γ of the focal ones, τ of the quantile; 0 for a loss without a parameter.
    #[must_use]
    pub fn parameter(self) -> f32 {
        match self {
            Loss::Huber(x) | Loss::Focal(x) | Loss::BinaryFocal(x) | Loss::Quantile(x) => x,
            _ => 0.0,
        }
    }

    /// The same loss with another parameter; none if it has no parameter.
    fn with_parameter(self, x: f32) -> Option<Self> {
        match self {
            Loss::Huber(_) => Some(Loss::Huber(x)),
            Loss::Focal(_) => Some(Loss::Focal(x)),
            Loss::BinaryFocal(_) => Some(Loss::BinaryFocal(x)),
            Loss::Quantile(_) => Some(Loss::Quantile(x)),
            _ => None,
        }
    }

    /// Refuses a parameter outside of its range: δ > 0, γ ≥ 0, 0 < τ < 1.
    ///
    /// # Errors
    /// For such a parameter.
    pub fn check(self) -> Result<()> {
        let fail = |what: String| Err(Error::usage(what).at(format!("the loss {self}")));
        match self {
            Loss::Huber(delta) if !(delta > 0.0 && delta.is_finite()) => {
                fail(format!("δ of huber is not positive: {delta}"))
            }
            Loss::Focal(gamma) | Loss::BinaryFocal(gamma)
                if !(gamma >= 0.0 && gamma.is_finite()) =>
            {
                fail(format!("γ of {} is negative or not a number: {gamma}", self.name()))
            }
            Loss::Quantile(tau) if !(tau > 0.0 && tau < 1.0) => {
                fail(format!("τ of quantile is not between 0 and 1: {tau}"))
            }
            _ => Ok(()),
        }
    }

    /// The default reduction, as in other frameworks.
    #[must_use]
    pub fn default_reduction(self) -> Reduction {
        if self.is_of_rows() || self == Loss::CrossEntropyProbabilities {
            return Reduction::MeanBatch;
        }
        Reduction::Mean
    }

    /// Whether the targets must be probabilities or classes.
    #[must_use]
    pub fn is_for_classes(self) -> bool {
        self.takes_smoothing() || self == Loss::Hinge
    }

    /// Whether the outputs are independent binary ones, as for multilabel targets.
    #[must_use]
    pub fn is_for_labels(self) -> bool {
        matches!(self, Loss::BinaryCrossEntropy | Loss::BinaryFocal(_))
    }

    /// Whether targets must not be scaled: counts, fractions and directions.
    #[must_use]
    pub fn needs_raw_targets(self) -> bool {
        matches!(self, Loss::Poisson | Loss::KlDivergence | Loss::Cosine)
    }

    /// Whether targets can be smoothed: those of cross-entropies and focal losses.
    #[must_use]
    pub fn takes_smoothing(self) -> bool {
        matches!(
            self,
            Loss::CrossEntropy
                | Loss::CrossEntropyProbabilities
                | Loss::BinaryCrossEntropy
                | Loss::Focal(_)
                | Loss::BinaryFocal(_)
        )
    }

    /// Label smoothing (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception
    /// architecture", 2016): t ← (1 − ε) t + ε/K over K classes, 2 of them for each independent
    /// output; t: (n_L).
    pub fn smooth<T: Real>(self, epsilon: T, t: &mut [T]) {
        let classes = if self.is_for_labels() { 2 } else { t.len() };
        let share = epsilon / T::of(classes as f64);
        t.iter_mut().for_each(|t| *t = *t * (T::one() - epsilon) + share);
    }

    /// Whether a row's loss isn't a sum of terms of one output each.
    fn is_of_rows(self) -> bool {
        matches!(
            self,
            Loss::CrossEntropy | Loss::Focal(_) | Loss::Hinge | Loss::KlDivergence | Loss::Cosine
        )
    }

    /// The number of targets of a row with `outputs` outputs: one for each, or for each mean and variance.
    #[must_use]
    pub fn targets(self, outputs: usize) -> usize {
        if self == Loss::GaussianNll { outputs / 2 } else { outputs }
    }

    /// The number of outputs of a row with `targets` targets.
    #[must_use]
    pub fn outputs(self, targets: usize) -> usize {
        if self == Loss::GaussianNll { targets * 2 } else { targets }
    }

    /// The function that turns the net's outputs into predictions: probabilities from logits, rates from their
    /// logarithms, and otherwise the outputs themselves.
    #[must_use]
    pub fn link(self) -> Link {
        match self {
            Loss::CrossEntropy | Loss::Focal(_) | Loss::KlDivergence => Link::Softmax,
            Loss::BinaryCrossEntropy | Loss::BinaryFocal(_) => Link::Sigmoid,
            Loss::Hinge => Link::Margin,
            Loss::Poisson => Link::Exp,
            Loss::GaussianNll => Link::Deviation,
            _ => Link::Identity,
        }
    }

    /// E of one row, and `scale` · ∂E/∂y into `gradient`: y, gradient: (n_L), t: (n_L), or half as
    /// many where the outputs are means and variances.
    pub fn row<T: Vector>(self, y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
        self.prepare(y.len(), y, gradient);
        self.prepared_row(y, t, scale, gradient)
    }

    /// Computes what [`Loss::prepared_row`] needs for many rows at once, in the place of their gradients: for a
    /// cross-entropy exp(y − max y). y, gradient: (rows, outputs).
    pub fn prepare<T: Vector>(self, outputs: usize, y: &[T], gradient: &mut [T]) {
        if matches!(self, Loss::CrossEntropy | Loss::KlDivergence) {
            gradient.copy_from_slice(y);
            rows::shifted_exp(outputs, gradient);
        }
    }

    /// [`Loss::row`] of a row after [`Loss::prepare`].
    #[inline(always)]
    pub fn prepared_row<T: Vector>(self, y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
        match self {
            Loss::CrossEntropy => rows::cross_entropy(y, t, scale, gradient),
            Loss::KlDivergence => {
                rows::cross_entropy(y, t, scale, gradient) + rows::negative_entropy(t)
            }
            Loss::Focal(gamma) => rows::focal(T::of(gamma.into()), y, t, scale, gradient),
            Loss::Hinge if y.len() > 1 => rows::hinge(y, t, scale, gradient),
            Loss::Cosine => rows::cosine(y, t, scale, gradient),
            Loss::GaussianNll => rows::gaussian_nll(y, t, scale, gradient),
            _ => self.row_of_terms(y, t, scale, gradient),
        }
    }

    /// The numbers that a row's outputs predict, in the units of the targets, where they aren't the
    /// outputs themselves: y: (n_L).
    #[must_use]
    #[inline(always)]
    pub fn predicted_numbers<T: Vector>(self, y: &[T]) -> Option<Vec<T>> {
        matches!(self, Loss::Poisson | Loss::KlDivergence).then(|| {
            let mut numbers = y.to_vec();
            self.link().apply(&mut numbers);
            numbers
        })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameter = self.parameter();
        match self.with_parameter(parameter) {
            Some(_) => write!(f, "{}({parameter})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

impl FromStr for Loss {
    type Err = Error;

    /// Reads `squared-error` or `huber(0.5)`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.trim_end_matches(')'))),
            None => (text, None),
        };
        let Some(loss) = Loss::ALL.into_iter().find(|l| l.name() == name) else {
            return Err(unknown("loss", name, &Loss::ALL.map(Loss::name)));
        };
        let Some(argument) = argument else { return Ok(loss) };
        let number = argument.trim().parse().map_err(|_| {
            Error::usage(format!("{argument:?}, the parameter of {name}, is not a number"))
                .help(format!("write for example {loss}"))
        });
        let loss = loss.with_parameter(number?).ok_or_else(|| {
            Error::usage(format!("{name} has no parameter")).help(format!("write {name}"))
        })?;
        loss.check().map(|()| loss)
    }
}

/// The number of partial sums kept side by side, so that vectors can be used.
pub const LANES: usize = 8;

/// Σ_i term(a_i, b_i, …) for as many rows of equal length.
#[inline(always)]
pub fn sum<T: Real, const N: usize>(rows: [&[T]; N], term: impl Fn([T; N]) -> T) -> T {
    let len = rows.first().map_or(0, |row| row.len());
    // Parts whose length the compiler knows, so that nothing is checked inside of them.
    let parts = rows.map(|row| row[..len].as_chunks::<LANES>());
    let mut sums = [T::zero(); LANES];
    for i in 0..len / LANES {
        let part = parts.map(|(whole, _)| whole[i]);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(part.map(|row| row[lane]));
        }
    }
    let whole: T = sums.into_iter().sum();
    (0..len % LANES).fold(whole, |sum, i| sum + term(parts.map(|(_, rest)| rest[i])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_read_back_and_are_checked() {
        for text in ["focal(0.5)", "binary-focal(0)", "quantile(0.9)", "huber(2)"] {
            assert_eq!(text.parse::<Loss>().unwrap().to_string(), text);
        }
        for text in
            ["quantile(1)", "quantile(NaN)", "focal(-1)", "huber(0)", "huber(x)", "hinge(1)"]
        {
            assert!(text.parse::<Loss>().is_err(), "{text}");
        }
        assert!(Loss::Quantile(0.0).check().is_err());
    }

    #[test]
    fn cross_entropy_of_extreme_logits_is_finite() {
        let (y, t) = ([1000.0f32, -1000.0], [0.0, 1.0]);
        let mut gradient = [0.0; 2];
        assert_eq!(Loss::CrossEntropy.row(&y, &t, 1.0, &mut gradient), 2000.0);
        assert_eq!(gradient, [1.0, -1.0]);
        for t in [[0.0, 1.0], [1.0, 0.0]] {
            for gamma in [0.0, 0.5, 2.0] {
                let (soft, binary) = (Loss::Focal(gamma), Loss::BinaryFocal(gamma));
                for loss in [soft, binary, Loss::KlDivergence] {
                    let value = loss.row(&y, &t, 1.0, &mut gradient);
                    let finite = value.is_finite() && gradient.iter().all(|g| g.is_finite());
                    assert!(finite, "{loss}: {value}, {gradient:?}");
                }
            }
        }
    }

    #[test]
    fn focal_losses_without_focus_are_cross_entropies() {
        let (y, t) = ([0.3f64, -1.2, 2.0], [0.2, 0.5, 0.3]);
        for (focal, plain) in [
            (Loss::Focal(0.0), Loss::CrossEntropy),
            (Loss::BinaryFocal(0.0), Loss::BinaryCrossEntropy),
        ] {
            let (mut g, mut h) = ([0.0; 3], [0.0; 3]);
            let (a, b) = (focal.row(&y, &t, 1.0, &mut g), plain.row(&y, &t, 1.0, &mut h));
            assert!((a - b).abs() < 1e-14 && g.iter().zip(h).all(|(g, h)| (g - h).abs() < 1e-14));
        }
    }

    #[test]
    fn smoothing_keeps_a_distribution_one() {
        let mut t = [0.0f64, 1.0, 0.0, 0.0];
        Loss::CrossEntropy.smooth(0.1, &mut t);
        assert!((t.iter().sum::<f64>() - 1.0).abs() < 1e-15 && (t[1] - 0.925).abs() < 1e-15);
        let mut bit = [1.0f64];
        Loss::BinaryCrossEntropy.smooth(0.1, &mut bit);
        assert!((bit[0] - 0.95).abs() < 1e-15);
    }

    #[test]
    fn nan_comes_out_as_nan() {
        for loss in Loss::ALL {
            for outputs in [1, 2] {
                let y = vec![f32::NAN; loss.outputs(outputs)];
                let mut t = vec![0.0; outputs];
                t[0] = 1.0;
                let value = loss.row(&y, &t, 1.0, &mut vec![0.0; y.len()]);
                assert!(value.is_nan(), "{loss} of {outputs} outputs: {value}");
            }
        }
    }
}
