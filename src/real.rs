//! The two precisions of the CPU backend behind one trait.

use num_traits::Float;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign};

/// A floating-point type that the CPU backend computes in: `f32` or `f64`.
pub trait Real:
    Float + AddAssign + MulAssign + Sum + Default + Debug + Display + Send + Sync + bytemuck::Pod
{
    /// The nearest value to `x`.
    fn of(x: f64) -> Self;
    /// The same value in double precision.
    fn double(self) -> f64;
    /// The error function, 2/√π ∫₀ˣ exp(−t²) dt.
    fn erf(self) -> Self;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
    fn double(self) -> f64 {
        f64::from(self)
    }
    fn erf(self) -> Self {
        libm::erff(self)
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn double(self) -> f64 {
        self
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
}
