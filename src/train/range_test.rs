//! The learning-rate range test: one short ramp of the learning rate, from far too low to far too
//! high, shows between which rates a net learns (Smith, "Cyclical learning rates for training neural
//! networks", WACV 2017).
//!
//! The rate that is suggested is half of the one at which the smoothed loss is the lowest, which is about
//! the largest that still learns; the best rate is usually near the largest that doesn't diverge (Bengio,
//! "Practical recommendations for gradient-based training of deep architectures", 2012). What short
//! trainings with ten rates come to stands beside it in `benches/RESULTS.md`. A tenth of it, or the
//! steepest descent, is four to ten times too low there: on the ramp a low rate has had few steps
//! only.

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
    /// How many steps there are.
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
            .help(format!("it rises from above 0, in at least {FEWEST_STEPS} steps")))
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

/// What a range test found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeTest {
    /// The steps, up to where the loss had grown far beyond its lowest.
    pub points: Vec<Point>,
    /// The rate to take: half of the one at which the smoothed loss is the lowest, in two digits.
    /// None where the loss didn't fall.
    pub suggested: Option<f32>,
    /// Where the smoothed loss is the lowest: rates from here on are too high.
    pub lowest_at: f32,
    /// Where the smoothed loss falls fastest by the logarithm of η: a careful choice.
    pub steepest_at: f32,
    /// Where the test ended before the end of the ramp.
    pub diverged_at: Option<f32>,
}

/// Fewer steps tell nothing.
const FEWEST_STEPS: usize = 50;
/// The ramp ends where the loss lies above twice its start by so many times as much as it had fallen, …
const RISE: f64 = 2.0;
/// … over so many steps in a row.
const ROW: usize = 5;
/// Decades of η over which the loss is smoothed, as the deviation of a normal weight.
const WIDTH: f64 = 0.12;
/// The suggested rate as a part of the one with the lowest loss.
const MARGIN: f32 = 0.5;
/// The smoothed loss must fall by this part of its noise or more to have fallen.
const NOISE: f64 = 1.0;

/// Runs the ramp on a trainer that has not begun, whose weights are spoiled by it. The schedule is
/// passed over, momentum and weight decay are those of the run.
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
        // Of some steps together, so that no lucky batch sets the mark.
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
        .help("look for values far off in the data, or scale them with --scaling standard"));
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
    // The deviation of a batch's loss from the curve, about which the curve itself is surer.
    let deviations = losses.iter().zip(&smoothed).take(lowest + 1).map(|(l, s)| (l - s).powi(2));
    let noise = (deviations.sum::<f64>() / (lowest + 1) as f64).sqrt();
    let has_fallen = smoothed[0] - smoothed[lowest] > NOISE * noise;
    let slope = |&i: &usize| smoothed[i + 1] - smoothed[i - 1];
    let steepest = (1..lowest).min_by(|a, b| slope(a).total_cmp(&slope(b)));
    // At the lowest point the ramp has stayed for few steps only: a run must bear its rate for long.
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

/// The mean about element `i`, by normal weights of so many elements' deviation.
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

/// A rate that people can type: more digits would say more than the test knows.
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
