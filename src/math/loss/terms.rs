//! Losses that are sums over the outputs, each term of one output alone.

use super::{Loss, SMALLEST_PROBABILITY, sum};
use crate::math::activation::{sigmoid, softplus};
use crate::math::real::Real;

/// The body for each loss separately; the compiler knows the loss except for its parameter, so that the
/// loops have no branch inside.
macro_rules! for_each_loss {
    ($loss:ident: $($name:ident $(($parameter:ident))?),+ => $body:expr) => {
        match $loss {
            $(Loss::$name $(($parameter))? => {
                let $loss = Loss::$name $(($parameter))?;
                $body
            })+
            Loss::CrossEntropy
            | Loss::Focal(_)
            | Loss::KlDivergence
            | Loss::Cosine
            | Loss::GaussianNll => T::nan(),
        }
    };
}

impl Loss {
    /// E of one row, and `scale` · ∂E/∂y into `gradient`: y, t, gradient: (n_L).
    #[inline(always)]
    pub(super) fn row_of_terms<T: Real>(self, y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
        let loss = self;
        for_each_loss!(
            loss: SquaredError, AbsoluteError, Huber(delta), LogCosh, CrossEntropyProbabilities,
            BinaryCrossEntropy, Poisson, BinaryFocal(gamma), Quantile(tau), Hinge
            => {
                // Loops, not closures, which needn't be compiled for the caller's instruction set.
                for (g, (&y, &t)) in gradient.iter_mut().zip(y.iter().zip(t)) {
                    *g = loss.term(y, t);
                }
                let value = sum([&*gradient], |[term]| term);
                for (g, (&y, &t)) in gradient.iter_mut().zip(y.iter().zip(t)) {
                    *g = scale * loss.slope(y, t);
                }
                value
            }
        )
    }

    /// One output's term.
    #[inline(always)]
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
            Loss::BinaryFocal(gamma) => {
                let (p, q, gamma) = (sigmoid(y), sigmoid(-y), T::of(gamma.into()));
                t * q.powf(gamma) * softplus(-y) + (T::one() - t) * p.powf(gamma) * softplus(y)
            }
            Loss::Quantile(tau) => {
                let tau = T::of(tau.into());
                if d <= T::zero() { -tau * d } else { (T::one() - tau) * d }
            }
            Loss::Hinge => {
                let margin = T::one() - side(t) * y;
                if margin <= T::zero() { T::zero() } else { margin }
            }
            Loss::CrossEntropy
            | Loss::Focal(_)
            | Loss::KlDivergence
            | Loss::Cosine
            | Loss::GaussianNll => T::nan(),
        }
    }

    /// The derivative of [`Loss::term`] by y.
    #[inline(always)]
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
            Loss::BinaryFocal(gamma) => {
                let (p, q, gamma) = (sigmoid(y), sigmoid(-y), T::of(gamma.into()));
                let yes = -q.powf(gamma) * (gamma * p * softplus(-y) + q);
                let no = p.powf(gamma) * (gamma * q * softplus(y) + p);
                t * yes + (T::one() - t) * no
            }
            Loss::Quantile(tau) => {
                let tau = T::of(tau.into());
                if d > T::zero() {
                    T::one() - tau
                } else if d < T::zero() {
                    -tau
                } else {
                    d
                }
            }
            Loss::Hinge => {
                let margin = T::one() - side(t) * y;
                if margin <= T::zero() { T::zero() } else { -side(t) }
            }
            Loss::CrossEntropy
            | Loss::Focal(_)
            | Loss::KlDivergence
            | Loss::Cosine
            | Loss::GaussianNll => T::nan(),
        }
    }
}

/// +1 for yes, −1 for no.
fn side<T: Real>(t: T) -> T {
    T::of(2.0) * t - T::one()
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
