//! The two precisions of the CPU backend behind one trait.

use crate::math::functions;
use num_traits::float::FloatCore;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign};

/// A floating-point type that the CPU backend computes in: `f32` or `f64`.
///
/// In f32, the functions of [`crate::math::functions`] are used, so that loops are vectorized and the bits are
/// the same on every machine; f64 is the reference and uses the system's functions.
pub trait Real:
    FloatCore + AddAssign + MulAssign + Sum + Default + Debug + Display + Send + Sync + bytemuck::Pod
{
    /// The nearest value to `x`.
    fn of(x: f64) -> Self;
    /// The same value in double precision.
    fn double(self) -> f64;
    /// √x.
    fn sqrt(self) -> Self;
    /// eˣ.
    fn exp(self) -> Self;
    /// eˣ − 1.
    fn exp_m1(self) -> Self;
    /// ln x.
    fn ln(self) -> Self;
    /// ln(1 + x).
    fn ln_1p(self) -> Self;
    /// tanh x.
    fn tanh(self) -> Self;
    /// The error function, 2/√π ∫₀ˣ exp(−t²) dt.
    fn erf(self) -> Self;
    /// sin x.
    fn sin(self) -> Self;
    /// cos x.
    fn cos(self) -> Self;
    /// cos 2πx.
    fn cos_turns(self) -> Self;
    /// xⁿ for any real n.
    fn powf(self, n: Self) -> Self;
    /// x · a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
}

/// The functions that the type has in the standard library.
macro_rules! own_functions {
    ($type:ty) => {
        #[inline(always)]
        fn of(x: f64) -> Self {
            x as $type
        }
        #[inline(always)]
        fn double(self) -> f64 {
            f64::from(self)
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            <$type>::sqrt(self)
        }
        fn sin(self) -> Self {
            <$type>::sin(self)
        }
        fn cos(self) -> Self {
            <$type>::cos(self)
        }
        fn powf(self, n: Self) -> Self {
            <$type>::powf(self, n)
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            <$type>::mul_add(self, a, b)
        }
    };
}

impl Real for f32 {
    own_functions!(f32);

    #[inline(always)]
    fn exp(self) -> Self {
        functions::exp(self)
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        functions::exp_m1(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        functions::ln(self)
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        functions::ln_1p(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        functions::tanh(self)
    }
    #[inline(always)]
    fn erf(self) -> Self {
        functions::erf(self)
    }
    #[inline(always)]
    fn cos_turns(self) -> Self {
        functions::cos_turns(self)
    }
}

impl Real for f64 {
    own_functions!(f64);

    fn exp(self) -> Self {
        f64::exp(self)
    }
    fn exp_m1(self) -> Self {
        f64::exp_m1(self)
    }
    fn ln(self) -> Self {
        f64::ln(self)
    }
    fn ln_1p(self) -> Self {
        f64::ln_1p(self)
    }
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn cos_turns(self) -> Self {
        (std::f64::consts::TAU * self).cos()
    }
}
