//! The learning-rate range test: one short ramp of the learning rate, from far too low to far too
//! high, shows between which rates a net learns (Smith, "Cyclical learning rates for training neural
//! networks", WACV 2017).
//!
//! The suggested rate is half of the one at which the smoothed loss is lowest, which is about
//! the largest that still learns; the best rate is usually near the largest that doesn't diverge (Bengio,
//! "Practical recommendations for gradient-based training of deep architectures", 2012). `benches/RESULTS.md`
//! compares it with short trainings at ten rates. A tenth of it, or the rate of steepest descent, is four to
//! ten times too low there: on the ramp a low rate has had only a few steps.

use crate::base::error::{Error, Result};
use crate::train::trainer::Trainer;
use serde::Serialize;

/// The ramp: η_i = lowest · (highest/lowest)^(i/(steps − 1)).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// The first learning rate.
    pub lowest: f32,
    /// The last one.
    pub highest: f32,
    /// The number of steps.
    pub steps: usize,
}

impl Default for Ramp {
    fn default() -> Self {
        Ramp { lowest: 1e-6, highest: 10.0, steps: 420 }
    }
}

impl Ramp {
    /// η of step `i`.
    #[must_use]
    pub fn rate(&self, i: usize) -> f32 {
        let progress = i as f64 / (self.steps.max(2) - 1) as f64;
        let (lowest, highest) = (f64::from(self.lowest), f64::from(self.highest));
        (lowest * (highest / lowest).powf(progress)) as f32
    }

    fn check(&self) -> Result<()> {
        let rises = self.lowest > 0.0 && self.lowest < self.highest && self.highest.is_finite();
        if rises && self.steps >= FEWEST_STEPS {
            return Ok(());
        }
        let Ramp { lowest, highest, steps } = self;
        Err(Error::usage(format!("a ramp from {lowest} to {highest} in {steps} steps"))
            .help(format!("it must rise from above 0, in at least {FEWEST_STEPS} steps")))
    }
}

/// A step of the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// η.
    pub lr: f32,
    /// The mean loss of the step's rows, before the step.
    pub loss: f64,
    /// The same without the noise of single batches: the mean over the neighbors on the ramp.
    pub smoothed: f64,
}

/// The result of a range test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeTest {
    /// The steps, up to where the loss had grown far beyond its lowest.
    pub points: Vec<Point>,
    /// The suggested rate: half of the one at which the smoothed loss is lowest, to two digits.
    /// None if the loss didn't fall.
    pub suggested: Option<f32>,
    /// The rate at which the smoothed loss is lowest: rates from here on are too high.
    pub lowest_at: f32,
    /// The rate at which the smoothed loss falls fastest with the logarithm of η: a careful choice.
    pub steepest_at: f32,
    /// The rate at which the test ended, if before the end of the ramp.
    pub diverged_at: Option<f32>,
}

/// Fewer steps show nothing.
const FEWEST_STEPS: usize = 50;
/// The ramp ends when the loss exceeds twice its initial value by this multiple of its fall, …
const RISE: f64 = 2.0;
/// … for this many steps in a row.
const ROW: usize = 5;
/// The standard deviation of the Gaussian that smooths the loss, in decades of η.
const WIDTH: f64 = 0.12;
/// The suggested rate as a fraction of the one with the lowest loss.
const MARGIN: f32 = 0.5;
/// The smoothed loss must fall by at least this multiple of its noise to count as fallen.
const NOISE: f64 = 1.0;

/// Runs the ramp on a trainer that has not begun, whose weights are no longer usable after it. The schedule is
/// ignored, momentum and weight decay are those of the run.
///
/// # Errors
/// For a ramp that doesn't rise or has too few steps; when the device was lost.
pub fn run(trainer: &mut Trainer, ramp: &Ramp) -> Result<RangeTest> {
    ramp.check()?;
    let mut losses: Vec<f64> = Vec::with_capacity(ramp.steps);
    let (mut lowest, mut high) = (f64::INFINITY, 0);
    for i in 0..ramp.steps {
        let loss = trainer.step_at(ramp.rate(i))?;
        if !loss.is_finite() {
            break;
        }
        losses.push(loss);
        // Averaged over some steps, so that a lucky batch doesn't set the minimum.
        let last = &losses[losses.len().saturating_sub(2 * ROW)..];
        lowest = lowest.min(last.iter().sum::<f64>() / last.len() as f64);
        let first = losses.iter().take(2 * ROW);
        let start = first.clone().sum::<f64>() / first.len() as f64;
        let mark = start + start.abs() + RISE * (start - lowest).abs();
        high = if loss > mark { high + 1 } else { 0 };
        if high >= ROW {
            break;
        }
    }
    if losses.len() < 2 * ROW {
        return Err(Error::new(
            crate::base::error::ErrorKind::Diverged,
            format!("the loss is not finite after {} steps", losses.len()),
        )
        .at(format!("a learning rate of {}", ramp.rate(losses.len())))
        .help("check the data for outliers, or scale them with --scaling standard"));
    }
    Ok(judge(ramp, &losses))
}

/// Smooths the losses and finds where they fall.
fn judge(ramp: &Ramp, losses: &[f64]) -> RangeTest {
    let decades = f64::from(ramp.highest / ramp.lowest).log10() / (ramp.steps - 1) as f64;
    let width = WIDTH / decades;
    let smoothed: Vec<f64> = (0..losses.len()).map(|i| smooth(losses, i, width)).collect();
    let lowest = (0..losses.len()).min_by(|&a, &b| smoothed[a].total_cmp(&smoothed[b]));
    let lowest = lowest.unwrap_or_default();
    // The deviation of a batch's loss from the curve; the curve itself is more certain.
    let deviations = losses.iter().zip(&smoothed).take(lowest + 1).map(|(l, s)| (l - s).powi(2));
    let noise = (deviations.sum::<f64>() / (lowest + 1) as f64).sqrt();
    let has_fallen = smoothed[0] - smoothed[lowest] > NOISE * noise;
    let slope = |&i: &usize| smoothed[i + 1] - smoothed[i - 1];
    let steepest = (1..lowest).min_by(|a, b| slope(a).total_cmp(&slope(b)));
    // The ramp spends only a few steps at the lowest point, but a run must stay stable at its rate.
    let suggested = has_fallen.then(|| two_digits(MARGIN * ramp.rate(lowest)));
    RangeTest {
        points: (0..losses.len())
            .map(|i| Point { lr: ramp.rate(i), loss: losses[i], smoothed: smoothed[i] })
            .collect(),
        suggested,
        lowest_at: ramp.rate(lowest),
        steepest_at: ramp.rate(steepest.unwrap_or_default()),
        diverged_at: (losses.len() < ramp.steps).then(|| ramp.rate(losses.len() - 1)),
    }
}

/// The mean around element `i`, with Gaussian weights of this standard deviation in elements.
fn smooth(values: &[f64], i: usize, width: f64) -> f64 {
    let reach = (3.0 * width).ceil() as usize;
    let range = i.saturating_sub(reach)..(i + reach + 1).min(values.len());
    let (mut sum, mut total) = (0.0, 0.0);
    for j in range {
        let weight = (-0.5 * ((j as f64 - i as f64) / width).powi(2)).exp();
        sum += weight * values[j];
        total += weight;
    }
    sum / total
}

/// A rounded rate: more digits would claim more than the test knows.
fn two_digits(rate: f32) -> f32 {
    format!("{rate:.1e}").parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss that falls about 10⁻³ and rises from 10⁻¹ on.
    fn curve(rate: f32) -> f64 {
        let decade = f64::from(rate.log10());
        let rise = (10.0 * (decade + 1.0)).exp().min(1e6);
        1.0 / (1.0 + (4.0 * (decade + 3.0)).exp()) + 0.1 * rise
    }

    /// Numbers between −1 and 1 without a trend.
    fn noise(i: usize) -> f64 {
        (i * 7919 % 97) as f64 / 48.0 - 1.0
    }

    #[test]
    fn half_of_the_rate_with_the_lowest_loss_is_suggested() {
        let ramp = Ramp::default();
        let loss = |i: usize| curve(ramp.rate(i)) + 0.05 * noise(i);
        let losses: Vec<f64> = (0..ramp.steps).map(loss).collect();
        let found = judge(&ramp, &losses);
        assert!((4e-4..2.5e-3).contains(&found.steepest_at), "{}", found.steepest_at);
        assert!((5e-3..0.1).contains(&found.lowest_at), "{}", found.lowest_at);
        let off = found.suggested.unwrap() / found.lowest_at;
        assert!((0.48..0.52).contains(&off), "{off}");
    }

    #[test]
    fn a_loss_that_does_not_fall_suggests_nothing() {
        let ramp = Ramp::default();
        let losses: Vec<f64> = (0..ramp.steps).map(|i| 2.0 + noise(i + 20)).collect();
        assert_eq!(judge(&ramp, &losses).suggested, None);
    }

    #[test]
    fn a_ramp_that_does_not_rise_is_refused() {
        for ramp in [
            Ramp { lowest: 0.0, ..Ramp::default() },
            Ramp { highest: 1e-9, ..Ramp::default() },
            Ramp { steps: 3, ..Ramp::default() },
        ] {
            assert!(ramp.check().is_err(), "{ramp:?}");
        }
        assert_eq!((Ramp::default().rate(0), Ramp::default().rate(419)), (1e-6, 10.0));
    }
}
