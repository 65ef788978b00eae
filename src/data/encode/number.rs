//! Numbers as inputs: missing values are filled in, then optional logarithms, then scaling.

use crate::data::Scaling;
use crate::data::columns::frame::Values;
use serde::{Deserialize, Serialize};

/// The number of quantiles that are stored for a column.
const QUANTILES: usize = 1000;
/// The most values used for finding quantiles; from longer columns, evenly spaced ones.
const SAMPLE: usize = 200_000;
/// The smallest probability that is converted to a normal deviate, as in scikit-learn.
const TAIL: f64 = 1e-7;

/// A number as one input, and a second one that is 1 if it is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberEncoder {
    /// The number used for a missing value: the median of the training rows.
    pub fill: f64,
    /// Whether an additional input is 1 if the value is missing.
    pub indicator: bool,
    /// Whether x is replaced by sign(x) · ln(1 + |x|).
    pub log: bool,
    /// The scaling.
    pub scaler: Scaler,
}

/// A fitted scaling of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scaler {
    /// (x − shift) · scale.
    Linear {
        /// The number that is subtracted.
        shift: f64,
        /// The factor.
        scale: f64,
    },
    /// The normal deviate of the same rank as x has among the training rows.
    Quantile {
        /// The values at evenly spaced ranks, from the smallest to the largest.
        values: Vec<f64>,
    },
}

impl NumberEncoder {
    /// Fits to the training rows of a column.
    #[must_use]
    pub fn fit(values: &Values, rows: &[usize], scaling: Scaling, log: bool) -> Self {
        let transform = |x: f64| if log { symmetric_log(x) } else { x };
        let mut present: Vec<f64> = Vec::with_capacity(rows.len());
        let numbers = rows.iter().map(|&row| values.number(row)).filter(|x| !x.is_nan());
        present.extend(numbers.map(transform));
        let step = present.len().div_ceil(SAMPLE).max(1);
        let mut sample: Vec<f64> = present.iter().copied().step_by(step).collect();
        let median = match scaling {
            Scaling::None | Scaling::Standard | Scaling::Minmax => median(&mut sample),
            Scaling::Robust | Scaling::Quantile => {
                sample.sort_unstable_by(f64::total_cmp);
                quantile(&sample, 0.5)
            }
        };
        let linear = |shift: f64, spread: f64| Scaler::Linear {
            shift,
            scale: if spread > 0.0 { 1.0 / spread } else { 1.0 },
        };
        let scaler = match scaling {
            Scaling::None => linear(0.0, 1.0),
            Scaling::Standard => {
                let (mean, deviation) = moments(&present);
                linear(mean, deviation)
            }
            Scaling::Minmax => {
                let min = present.iter().copied().fold(f64::INFINITY, f64::min);
                let max = present.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                linear(if min.is_finite() { min } else { 0.0 }, max - min)
            }
            Scaling::Robust => {
                let spread = quantile(&sample, 0.75) - quantile(&sample, 0.25);
                // If most values are equal, the standard deviation is still useful.
                linear(median, if spread > 0.0 { spread } else { moments(&sample).1 })
            }
            Scaling::Quantile if sample.first() == sample.last() => linear(median, 1.0),
            Scaling::Quantile => {
                let points = QUANTILES.min(sample.len());
                let at = |i: usize| quantile(&sample, i as f64 / (points - 1) as f64);
                Scaler::Quantile { values: (0..points).map(at).collect() }
            }
        };
        let fill = if log { symmetric_exp(median) } else { median };
        NumberEncoder { fill, indicator: present.len() < rows.len(), log, scaler }
    }

    /// Whether f64 holds the spread of the values that it was fitted to; otherwise it can't be used.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match &self.scaler {
            // A spread that is infinite leaves the scale 0.
            Scaler::Linear { shift, scale } => shift.is_finite() && *scale > 0.0,
            Scaler::Quantile { .. } => self.scaler.is_whole(),
        }
    }

    /// The number of inputs.
    #[must_use]
    pub fn width(&self) -> usize {
        1 + usize::from(self.indicator)
    }

    /// Writes the inputs of one value, NaN if it is missing.
    #[inline]
    pub fn write(&self, x: f64, inputs: &mut [f32]) {
        let value = if x.is_nan() { self.fill } else { x };
        let value = if self.log { symmetric_log(value) } else { value };
        inputs[0] = self.scaler.apply(value) as f32;
        if self.indicator {
            inputs[1] = f32::from(u8::from(x.is_nan()));
        }
    }
}

impl Scaler {
    /// Whether it can be applied: two quantiles or more, finite and in order.
    pub(in crate::data) fn is_whole(&self) -> bool {
        match self {
            Scaler::Linear { .. } => true,
            Scaler::Quantile { values } => {
                values.len() > 1 && values.is_sorted() && values.iter().all(|x| x.is_finite())
            }
        }
    }

    /// The scaled value; NaN for NaN.
    #[inline]
    pub(in crate::data) fn apply(&self, x: f64) -> f64 {
        match self {
            Scaler::Linear { shift, scale } => (x - shift) * scale,
            Scaler::Quantile { .. } if x.is_nan() => x,
            Scaler::Quantile { values } => normal_quantile(rank(values, x).clamp(TAIL, 1.0 - TAIL)),
        }
    }
}

/// The fraction of the training rows below x: for equal quantiles, the middle between the first and the
/// last.
fn rank(values: &[f64], x: f64) -> f64 {
    let last = values.len() - 1;
    let below = values.partition_point(|&v| v < x);
    let upto = values.partition_point(|&v| v <= x);
    let place = match (below, upto) {
        (_, 0) => 0.0,
        (b, _) if b > last => last as f64,
        (b, u) if u > b => (b + u - 1) as f64 / 2.0,
        (b, _) => (b - 1) as f64 + (x - values[b - 1]) / (values[b] - values[b - 1]),
    };
    place / last as f64
}

/// sign(x) · ln(1 + |x|): about x near 0, logarithmic far from 0.
fn symmetric_log(x: f64) -> f64 {
    x.abs().ln_1p().copysign(x)
}

fn symmetric_exp(x: f64) -> f64 {
    x.abs().exp_m1().copysign(x)
}

/// The median of a sample in any order, which it changes: [`quantile`] at 0.5, without sorting.
fn median(sample: &mut [f64]) -> f64 {
    let Some(last) = sample.len().checked_sub(1) else { return 0.0 };
    let (_, &mut below, above) = sample.select_nth_unstable_by(last / 2, f64::total_cmp);
    match last % 2 {
        0 => below,
        _ => below + (above.iter().copied().fold(f64::INFINITY, f64::min) - below) * 0.5,
    }
}

/// The value at a fraction of a sorted sample, linearly interpolated; 0 for an empty one.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Mean and standard deviation, the mean first; (0, 0) for no values.
fn moments(values: &[f64]) -> (f64, f64) {
    /// Sixteen parallel sums: faster than one, with smaller rounding errors.
    fn sum(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
        let mut sums = [0.0; 16];
        for values in values.chunks(16) {
            sums.iter_mut().zip(values).for_each(|(sum, &x)| *sum += of(x));
        }
        sums.iter().sum()
    }
    let count = values.len().max(1) as f64;
    let mean = sum(values, |x| x) / count;
    (mean, (sum(values, |x| (x - mean) * (x - mean)) / count).sqrt())
}

/// The normal deviate whose distribution function is p (M. J. Wichura, "Algorithm AS 241: The
/// Percentage Points of the Normal Distribution", 1988, PPND7: about 7 digits).
fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        let above = ((5.910_937_472e1 * r + 1.592_911_320_2e2) * r + 5.043_427_193_8e1) * r
            + 3.387_132_717_9;
        let below = ((6.718_756_360_0e1 * r + 7.875_775_766_4e1) * r + 1.789_516_946_9e1) * r + 1.0;
        return q * above / below;
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let x = if r <= 5.0 {
        let r = r - 1.6;
        (((1.702_382_110_3e-1 * r + 1.306_728_483_0) * r + 2.756_815_390_0) * r + 1.423_437_277_7)
            / ((1.202_113_297_5e-1 * r + 7.370_016_425_0e-1) * r + 1.0)
    } else {
        let r = r - 5.0;
        (((1.733_720_399_7e-2 * r + 4.286_829_433_7e-1) * r + 3.081_226_386_0) * r
            + 6.657_905_115_0)
            / ((1.225_820_263_5e-2 * r + 2.419_789_422_5e-1) * r + 1.0)
    };
    x.copysign(q)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(values: &[f64], scaling: Scaling, log: bool) -> NumberEncoder {
        let rows: Vec<usize> = (0..values.len()).collect();
        NumberEncoder::fit(&Values::Numbers(values.to_vec()), &rows, scaling, log)
    }

    fn encode(encoder: &NumberEncoder, x: f64) -> f32 {
        let mut inputs = vec![0.0; encoder.width()];
        encoder.write(x, &mut inputs);
        inputs[0]
    }

    #[test]
    fn each_scaling_is_what_it_says() {
        let values = [1.0, 2.0, 3.0, 6.0];
        let all = |scaling| values.map(|x| encode(&fit(&values, scaling, false), x));
        let standard = all(Scaling::Standard);
        assert!(standard.iter().sum::<f32>().abs() < 1e-6);
        assert!((standard.iter().map(|x| x * x).sum::<f32>() - 4.0).abs() < 1e-5);
        assert_eq!(all(Scaling::Minmax), [0.0, 0.2, 0.4, 1.0]);
        assert_eq!(all(Scaling::Robust), [-0.75, -0.25, 0.25, 1.75]);
        assert_eq!(all(Scaling::None), [1.0, 2.0, 3.0, 6.0]);
        assert!(encode(&fit(&[5.0; 3], Scaling::Standard, false), 5.0) == 0.0);
        assert!(encode(&fit(&[5.0; 3], Scaling::Quantile, false), 7.0).is_finite());
    }

    #[test]
    fn the_median_is_found_without_sorting() {
        for n in 0..20 {
            let mut sample: Vec<f64> = (0..n).map(|i| f64::from(i * 7 % 13)).collect();
            let mut sorted = sample.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            assert_eq!(median(&mut sample), quantile(&sorted, 0.5), "of {n}");
        }
    }

    #[test]
    fn quantiles_make_any_distribution_normal() {
        let values: Vec<f64> = (0..5001).map(|i| (f64::from(i) / 500.0).exp()).collect();
        let encoder = fit(&values, Scaling::Quantile, false);
        let encoded: Vec<f64> = values.iter().map(|&x| f64::from(encode(&encoder, x))).collect();
        let (mean, deviation) = moments(&encoded[1..5000]);
        assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-2, "{mean} {deviation}");
        assert!((encoded[2500]).abs() < 1e-3);
        // Φ⁻¹(0.975) and Φ⁻¹(1e-7), by tables.
        assert!((normal_quantile(0.975) - 1.959_964).abs() < 1e-5);
        assert!((normal_quantile(1e-7) + 5.199_338).abs() < 1e-5);
        assert!((f64::from(encode(&encoder, 1e9)) - 5.199_338).abs() < 1e-4, "beyond the largest");
        assert!(encode(&encoder, -1.0) < -5.0, "below the smallest");
    }

    #[test]
    fn equal_values_get_the_rank_in_their_middle() {
        assert_eq!(rank(&[0.0, 0.0, 0.0, 1.0, 2.0], 0.0), 0.25);
        assert_eq!(rank(&[0.0, 0.0, 0.0, 1.0, 2.0], 1.5), 0.875);
        assert_eq!((rank(&[0.0, 1.0], -1.0), rank(&[0.0, 1.0], 2.0)), (0.0, 1.0));
    }

    #[test]
    fn what_is_missing_is_the_median_and_said_where_training_rows_had_it() {
        let encoder = fit(&[1.0, f64::NAN, 2.0, 9.0], Scaling::None, false);
        let mut inputs = [0.0; 2];
        encoder.write(f64::NAN, &mut inputs);
        assert_eq!(inputs, [2.0, 1.0]);
        encoder.write(9.0, &mut inputs);
        assert_eq!(inputs, [9.0, 0.0]);
        let never = fit(&[1.0, 2.0, 9.0], Scaling::None, false);
        assert_eq!((never.width(), encode(&never, f64::NAN)), (1, 2.0));
    }

    #[test]
    fn logarithms_take_zero_and_negative_numbers() {
        let encoder = fit(&[-1000.0, 0.0, 1000.0], Scaling::None, true);
        assert_eq!(encode(&encoder, 0.0), 0.0);
        assert_eq!(encode(&encoder, -7.0), -encode(&encoder, 7.0));
        assert!((encode(&encoder, 7.0) - 8f32.ln()).abs() < 1e-6);
    }
}
