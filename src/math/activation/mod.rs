//! Activation functions σ and their derivatives σ′, as functions of the pre-activation z.

pub mod each;

use crate::base::error::{Error, Result, serde_as_text, unknown};
use crate::math::real::Real;
use std::fmt;
use std::str::FromStr;

/// An element-wise activation function.
///
/// Where σ has a kink, σ′ is the value that PyTorch uses: relu′(0) = 0, relu6′(6) = 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// σ(z) = z.
    Identity,
    /// σ(z) = 1 / (1 + e⁻ᶻ).
    Sigmoid,
    /// σ(z) = tanh z.
    Tanh,
    /// σ(z) = max(z, 0).
    Relu,
    /// σ(z) = min(max(z, 0), 6).
    Relu6,
    /// σ(z) = z for z > 0, else slope · z.
    LeakyRelu(f32),
    /// σ(z) = z for z > 0, else α (eᶻ − 1) (Clevert, Unterthiner, Hochreiter 2016).
    Elu(f32),
    /// σ(z) = λ z for z > 0, else λ α (eᶻ − 1), with the two constants of Klambauer et al. 2017.
    Selu,
    /// σ(z) = z Φ(z), Φ the normal distribution function (Hendrycks, Gimpel 2016).
    Gelu,
    /// σ(z) = z/2 (1 + tanh(√(2/π) (z + 0.044715 z³))), the approximation given there.
    GeluTanh,
    /// σ(z) = z · sigmoid(z) (Elfwing, Uchibe, Doya 2018).
    Silu,
    /// σ(z) = ln(1 + eᶻ).
    Softplus,
    /// σ(z) = z / (1 + |z|).
    Softsign,
    /// σ(z) = z · tanh(softplus(z)) (Misra 2020).
    Mish,
    /// σ(z) = relu6(z + 3) / 6.
    HardSigmoid,
    /// σ(z) = z · relu6(z + 3) / 6 (Howard et al. 2019).
    HardSwish,
    /// σ(z) = sin z.
    Sine,
    /// σ(z) = exp(−z²).
    Gaussian,
}

/// α of SELU (Klambauer et al. 2017).
pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// λ of SELU (Klambauer et al. 2017).
pub const SELU_LAMBDA: f64 = 1.050_700_987_355_480_5;
/// The cubic coefficient in the tanh form of GELU.
pub const GELU_CUBIC: f64 = 0.044_715;

impl Activation {
    /// Every activation once, parameters at their defaults, in the order of [`Activation::code`].
    pub const ALL: [Activation; 18] = [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu(0.01),
        Activation::Elu(1.0),
        Activation::Selu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Mish,
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::Sine,
        Activation::Gaussian,
    ];

    /// The name used in files and on the command line, without a parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::LeakyRelu(_) => "leaky-relu",
            Activation::Elu(_) => "elu",
            Activation::Selu => "selu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu-tanh",
            Activation::Silu => "silu",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Mish => "mish",
            Activation::HardSigmoid => "hard-sigmoid",
            Activation::HardSwish => "hard-swish",
            Activation::Sine => "sine",
            Activation::Gaussian => "gaussian",
        }
    }

    /// The code of this function in the shaders: its index in [`Activation::ALL`].
    #[must_use]
    pub fn code(self) -> u32 {
        let place = Self::ALL.iter().position(|a| a.name() == self.name());
        place.unwrap_or_default() as u32
    }

    /// The slope of a leaky relu, the α of an ELU; 0 for a function without a parameter.
    #[must_use]
    pub fn parameter(self) -> f32 {
        match self {
            Activation::LeakyRelu(p) | Activation::Elu(p) => p,
            _ => 0.0,
        }
    }

    /// Whether σ is zero, or nearly so, on a half-line (decides the default initializer).
    #[must_use]
    pub fn is_rectifier(self) -> bool {
        use Activation::{Elu, Gelu, GeluTanh, HardSwish, LeakyRelu, Mish, Relu, Relu6, Silu};
        matches!(
            self,
            Relu | Relu6 | LeakyRelu(_) | Elu(_) | Gelu | GeluTanh | Silu | Mish | HardSwish
        )
    }

    /// Whether all values of σ are from 0 to 1, as probabilities are.
    #[must_use]
    pub fn is_within_unit(self) -> bool {
        matches!(self, Activation::Sigmoid | Activation::HardSigmoid | Activation::Gaussian)
    }

    /// Whether σ′ jumps somewhere.
    #[must_use]
    pub fn has_kink(self) -> bool {
        use Activation::{HardSigmoid, HardSwish, LeakyRelu, Relu, Relu6, Selu};
        match self {
            Relu | Relu6 | LeakyRelu(_) | Selu | HardSigmoid | HardSwish => true,
            Activation::Elu(alpha) => alpha != 1.0,
            _ => false,
        }
    }

    /// Whether σ′(z) = σ′(σ(z)), so that A can be used in place of Z.
    #[must_use]
    pub fn derivative_follows_from_value(self) -> bool {
        match self {
            Activation::Identity | Activation::Relu => true,
            Activation::LeakyRelu(slope) => slope > 0.0,
            _ => false,
        }
    }

    /// σ(z).
    #[inline(always)]
    pub fn value<T: Real>(self, z: T) -> T {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Activation::Identity => z,
            Activation::Sigmoid => sigmoid(z),
            Activation::Tanh => z.tanh(),
            // Comparisons, not max and min: a NaN must come out as NaN.
            Activation::Relu => {
                if z <= zero {
                    zero
                } else {
                    z
                }
            }
            Activation::Relu6 => relu6(z),
            Activation::LeakyRelu(slope) => {
                if z > zero {
                    z
                } else {
                    T::of(slope.into()) * z
                }
            }
            Activation::Elu(alpha) => {
                let negative = T::of(alpha.into()) * z.exp_m1();
                if z > zero { z } else { negative }
            }
            Activation::Selu => {
                let negative = T::of(SELU_ALPHA) * z.exp_m1();
                T::of(SELU_LAMBDA) * if z > zero { z } else { negative }
            }
            Activation::Gelu => z * normal_cdf(z),
            Activation::GeluTanh => T::of(0.5) * z * (one + gelu_inner(z).tanh()),
            Activation::Silu => z * sigmoid(z),
            Activation::Softplus => softplus(z),
            Activation::Softsign => z / (one + z.abs()),
            Activation::Mish => z * softplus(z).tanh(),
            Activation::HardSigmoid => relu6(z + T::of(3.0)) / T::of(6.0),
            Activation::HardSwish => z * relu6(z + T::of(3.0)) / T::of(6.0),
            Activation::Sine => z.sin(),
            Activation::Gaussian => (-z * z).exp(),
        }
    }

    /// σ′(z).
    #[inline(always)]
    pub fn derivative<T: Real>(self, z: T) -> T {
        let (zero, one, two) = (T::zero(), T::one(), T::of(2.0));
        let (three, six) = (T::of(3.0), T::of(6.0));
        match self {
            Activation::Identity => one,
            Activation::Sigmoid => sigmoid(z) * sigmoid(-z),
            Activation::Tanh => one - z.tanh() * z.tanh(),
            Activation::Relu => {
                if z > zero {
                    one
                } else {
                    zero
                }
            }
            Activation::Relu6 => {
                if z > zero && z < six {
                    one
                } else {
                    zero
                }
            }
            Activation::LeakyRelu(slope) => {
                if z > zero {
                    one
                } else {
                    T::of(slope.into())
                }
            }
            Activation::Elu(alpha) => {
                let negative = T::of(alpha.into()) * z.exp();
                if z > zero { one } else { negative }
            }
            Activation::Selu => {
                let negative = T::of(SELU_ALPHA) * z.exp();
                T::of(SELU_LAMBDA) * if z > zero { one } else { negative }
            }
            Activation::Gelu => {
                let density = (-z * z / two).exp() * T::of(0.5 * std::f64::consts::FRAC_2_SQRT_PI)
                    / T::of(std::f64::consts::SQRT_2);
                normal_cdf(z) + z * density
            }
            Activation::GeluTanh => {
                let tanh = gelu_inner(z).tanh();
                let inner = gelu_scale::<T>() * (one + three * T::of(GELU_CUBIC) * z * z);
                T::of(0.5) * (one + tanh) + T::of(0.5) * z * (one - tanh * tanh) * inner
            }
            Activation::Silu => sigmoid(z) * (one + z * sigmoid(-z)),
            Activation::Softplus => sigmoid(z),
            Activation::Softsign => one / ((one + z.abs()) * (one + z.abs())),
            Activation::Mish => {
                let tanh = softplus(z).tanh();
                tanh + z * sigmoid(z) * (one - tanh * tanh)
            }
            Activation::HardSigmoid => {
                if z > -three && z < three {
                    one / six
                } else {
                    zero
                }
            }
            Activation::HardSwish => {
                if z <= -three {
                    zero
                } else if z >= three {
                    one
                } else {
                    z / three + T::of(0.5)
                }
            }
            Activation::Sine => z.cos(),
            Activation::Gaussian => -two * z * (-z * z).exp(),
        }
    }
}

/// 1 / (1 + e⁻ᶻ), without overflow on either side.
#[inline(always)]
pub fn sigmoid<T: Real>(z: T) -> T {
    let e = (-z.abs()).exp();
    let numerator = if z >= T::zero() { T::one() } else { e };
    numerator / (T::one() + e)
}

/// ln(1 + eᶻ) = max(z, 0) + ln(1 + e^−|z|), without overflow.
#[inline(always)]
pub fn softplus<T: Real>(z: T) -> T {
    let positive = if z <= T::zero() { T::zero() } else { z };
    positive + (-z.abs()).exp().ln_1p()
}

#[inline(always)]
fn relu6<T: Real>(z: T) -> T {
    let six = T::of(6.0);
    if z <= T::zero() {
        T::zero()
    } else if z >= six {
        six
    } else {
        z
    }
}

#[inline(always)]
fn normal_cdf<T: Real>(z: T) -> T {
    T::of(0.5) * (T::one() + (z * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

#[inline(always)]
fn gelu_scale<T: Real>() -> T {
    T::of((2.0 / std::f64::consts::PI).sqrt())
}

#[inline(always)]
fn gelu_inner<T: Real>(z: T) -> T {
    gelu_scale::<T>() * (z + T::of(GELU_CUBIC) * z * z * z)
}

serde_as_text!(Activation);

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Activation::LeakyRelu(p) | Activation::Elu(p) => write!(f, "({p})"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// Reads `relu`, `leaky-relu` or `leaky-relu(0.2)`; `_` is read as `-`.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim().replace('_', "-");
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.trim_end_matches(')'))),
            None => (text.as_str(), None),
        };
        let Some(default) = Self::ALL.into_iter().find(|a| a.name() == name) else {
            return Err(unknown("activation", name, &Self::ALL.map(Self::name)));
        };
        let Some(argument) = argument else {
            return Ok(default);
        };
        let parameter = argument.parse::<f32>().ok().filter(|p| p.is_finite());
        match (default, parameter) {
            (Activation::LeakyRelu(_), Some(p)) => Ok(Activation::LeakyRelu(p)),
            (Activation::Elu(_), Some(p)) => Ok(Activation::Elu(p)),
            (Activation::LeakyRelu(_) | Activation::Elu(_), None) => {
                Err(Error::usage(format!("the parameter of {name} is not a number: {argument:?}"))
                    .help(format!("write for example {default}")))
            }
            _ => {
                Err(Error::usage(format!("{name} has no parameter")).help(format!("write {name}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for activation in Activation::ALL {
            assert_eq!(activation.to_string().parse(), Ok(activation));
            assert_eq!(Activation::ALL[activation.code() as usize], activation);
        }
        assert_eq!("leaky_relu(0.2)".parse(), Ok(Activation::LeakyRelu(0.2)));
        assert!("relu(2)".parse::<Activation>().is_err());
    }

    #[test]
    fn where_the_value_gives_the_derivative_it_does() {
        for f in Activation::ALL.into_iter().filter(|f| f.derivative_follows_from_value()) {
            for z in [-3.0f64, -1e-3, 0.0, 1e-3, 2.5] {
                assert_eq!(f.derivative(f.value(z)), f.derivative(z), "{f}({z})");
            }
        }
    }

    #[test]
    fn nan_comes_out_as_nan() {
        for activation in Activation::ALL {
            assert!(activation.value(f32::NAN).is_nan(), "{activation}");
        }
    }

    #[test]
    fn large_arguments_stay_finite() {
        for activation in Activation::ALL {
            for z in [-1e4f32, -100.0, 100.0, 1e4] {
                assert!(activation.value(z).is_finite(), "{activation}({z})");
                assert!(activation.derivative(z).is_finite(), "{activation}′({z})");
            }
        }
    }
}
