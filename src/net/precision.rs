//! The precision of training: f32, or mixed precision as in Micikevicius et al. 2018,
//! "Mixed Precision Training" (arXiv:1710.03740).
//!
//! In mixed precision a step stores activations, δ and a second copy of the weights in f16, accumulates
//! every product in f32, and keeps master weights, biases, losses and the optimizer's state in f32.
//! Values below 2⁻²⁵ become 0 in f16, and gradients are often that small: the loss is multiplied by a
//! scale S, and so is every δ, and the gradients are divided by S before the optimizer sees them.

use crate::base::error::{Error, Result, serde_as_text};
use crate::base::names::names;
use crate::math::real::Real;
use half::f16;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The type that a step stores its large tensors in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Everything in f32.
    #[default]
    F32,
    /// Activations, δ and a copy of the weights in f16, all else in f32.
    F16,
}

names!(Precision, "precision": F32 "f32", F16 "f16");

/// ε of a value that is stored in f16: half of the distance between 1 and the next number.
pub const EPSILON: f64 = 1.0 / (1 << 11) as f64;
/// The smallest normal number of f16; below it the distance between numbers stays the same.
pub const SMALLEST_NORMAL: f64 = 1.0 / (1 << 14) as f64;
/// Halfway between the largest finite number of f16, 65,504, and the next one if there were one: values from
/// here on round to infinity in f16.
pub const OVERFLOW: f32 = 65_520.0;

impl Precision {
    /// Bytes of an element on a device.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::F16 => 2,
        }
    }

    /// `x` rounded to this precision by a step that computes in f32.
    #[must_use]
    pub fn round<T: Real>(self, x: T) -> T {
        match self {
            Precision::F32 => x,
            Precision::F16 => T::of(f16::from_f32(x.double() as f32).to_f64()),
        }
    }

    /// The largest change of `x` by rounding to this precision, beyond that of f32.
    #[must_use]
    pub fn rounding(self, x: f64) -> f64 {
        match self {
            Precision::F32 => 0.0,
            Precision::F16 => EPSILON * x.abs().max(SMALLEST_NORMAL),
        }
    }
}

/// How products are computed in mixed precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Multiplier {
    /// Each invocation by itself, with one f32 `fma` for a product.
    #[default]
    Fma,
    /// The invocations of a subgroup together, f16 matrices with this many rows and columns and f32
    /// sums: tensor cores, where the device has them.
    Matrices(usize),
}

impl fmt::Display for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Multiplier::Fma => f.write_str("f16 storage"),
            Multiplier::Matrices(size) => write!(f, "{size}x{size} cooperative matrices"),
        }
    }
}

/// The tests that a device must pass before it trains in f16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// It computes correctly, and steps of this net are faster than in f32.
    #[default]
    Measured,
    /// It computes correctly.
    SelfTestOnly,
    /// It computes correctly with this multiplier, which was chosen before: nothing is measured.
    Chosen(Multiplier),
}

/// How a net is trained in mixed precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixedPrecision {
    /// S at the first step: a power of two, so that multiplying by it rounds nothing.
    pub scale: f32,
    /// Steps without an overflow after which S is doubled.
    pub interval: u32,
    /// The tests that the device must pass first.
    pub gate: Gate,
}

/// The largest S.
pub const LARGEST_SCALE: f32 = (1u32 << 30) as f32;

impl Default for MixedPrecision {
    fn default() -> Self {
        MixedPrecision { scale: 65_536.0, interval: 2000, gate: Gate::Measured }
    }
}

impl MixedPrecision {
    /// The same for a run whose multiplier was chosen before, if it is known.
    #[must_use]
    pub fn chosen(self, multiplier: Option<Multiplier>) -> Self {
        MixedPrecision { gate: multiplier.map_or(self.gate, Gate::Chosen), ..self }
    }

    /// Checks the scale and the interval.
    ///
    /// # Errors
    /// For a scale that isn't a power of two from 1 to 2³⁰, and an interval of 0 steps.
    pub fn check(&self) -> Result<()> {
        let is_power = self.scale.log2().fract() == 0.0;
        if !(1.0..=LARGEST_SCALE).contains(&self.scale) || !is_power {
            return Err(Error::usage(format!("invalid loss scale: {}", self.scale))
                .at("--loss-scale")
                .help("it must be a power of two from 1 to 2^30, such as 65536"));
        }
        if self.interval == 0 {
            return Err(Error::usage("invalid interval of the loss scale: 0 steps")
                .help("the interval must be at least 1, usually 2000"));
        }
        Ok(())
    }
}

serde_as_text!(Precision);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_f16_changes_no_more_than_it_says() {
        let round = |x: f64| Precision::F16.round(x);
        assert_eq!(round(1.0), 1.0);
        assert_eq!(round(1.0 + EPSILON), 1.0, "ties go to even");
        assert_eq!(round(65_519.0), 65_504.0);
        assert_eq!(round(f64::from(OVERFLOW)), f64::INFINITY);
        assert_eq!(round(2f64.powi(-25)), 0.0);
        assert!(round(f64::NAN).is_nan());
        let mut x = 1e-8;
        while x < 65_000.0 {
            let off = (round(x) - x).abs();
            assert!(off <= Precision::F16.rounding(x) * (1.0 + 1e-4), "{x}: {off}");
            x *= 1.37;
        }
    }

    #[test]
    fn loss_scales_that_would_round_are_refused() {
        let with = |scale| MixedPrecision { scale, ..MixedPrecision::default() };
        assert!([1.0, 65_536.0, LARGEST_SCALE].iter().all(|&scale| with(scale).check().is_ok()));
        for scale in [0.0, 0.5, 3.0, -2.0, 2.0 * LARGEST_SCALE, f32::NAN, f32::INFINITY] {
            assert!(with(scale).check().is_err(), "{scale}");
        }
    }
}
