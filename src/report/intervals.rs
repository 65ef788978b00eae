//! Bootstrap intervals of metrics: how much they depend on the choice of held-out rows.

use super::sample;
use crate::base::error::Result;
use crate::data::{Predictions, Targets};
use crate::math::random::{Random, Stream};
use crate::train::evaluation::{Report, Value};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// The number of resamples.
pub(super) const RESAMPLES: usize = 200;
/// The most rows times outputs over all resamples, which take about ten milliseconds.
const WORK: usize = 1_000_000;
/// The same for a comparison of two models.
const PAIRED_WORK: usize = 20 * WORK;
/// The fewest rows for an interval.
pub(crate) const LEAST: usize = 20;
/// The fraction of the resamples outside the interval, at either end.
const OUTSIDE: f64 = 0.025;
/// Metrics whose bootstrap distribution isn't centered on them: the calibration
/// error of resamples is biased however many rows there are.
const BIASED: [&str; 1] = ["calibration_error"];

/// Intervals by the names of metrics, and the rows that they are estimated from.
pub(super) type Intervals = (BTreeMap<&'static str, [f64; 2]>, usize);

/// Bootstrap resamples of rows: of all rows, or of a sample of them.
struct Bootstrap {
    /// The number of all rows.
    all: usize,
    rows: Vec<usize>,
    truth: Targets,
    weights: Vec<f32>,
}

impl Bootstrap {
    /// None for too few rows, or rows without weight. `work` is the most rows times outputs over all resamples.
    fn new(truth: &Targets, outputs: usize, weights: Option<&[f32]>, work: usize) -> Option<Self> {
        let (all, most) = (truth.rows(), work / RESAMPLES / (outputs + 4));
        if all < LEAST || most < LEAST {
            return None;
        }
        let rows = sample(all, most, 2);
        let own = |&row: &usize| weights.map_or(1.0, |w| w[row]);
        let weights: Vec<f32> = rows.iter().map(own).collect();
        let truth = truth.select_rows(&rows);
        weights.iter().any(|w| *w != 0.0).then_some(Bootstrap { all, rows, truth, weights })
    }

    /// The metrics of predictions for the sample, with these weights.
    fn values(&self, chosen: &Predictions, weights: &[f32]) -> Result<Vec<Value>> {
        Ok(Report::new(chosen, &self.truth, Some(weights))?.values())
    }

    /// The interval of each of the measured values of all rows: `values` computes them from the weights of the
    /// sample's rows.
    fn intervals(
        &self,
        measured: Vec<Value>,
        values: impl Fn(&[f32]) -> Result<Vec<Value>> + Sync,
    ) -> Result<BTreeMap<&'static str, [f64; 2]>> {
        let (m, is_whole) = (self.rows.len(), self.rows.len() == self.all);
        let center = if is_whole { measured.clone() } else { values(&self.weights)? };
        let resample = |number: usize| -> Option<Vec<Value>> {
            let mut random = Random::new(0, Stream::Report, 1000 + number as u64);
            let mut drawn = vec![0.0; m];
            (0..m).for_each(|_| drawn[(random.uniform() * m as f64) as usize] += 1.0);
            drawn.iter_mut().zip(&self.weights).for_each(|(count, weight)| *count *= weight);
            // A resample without weight gives no value.
            values(&drawn).ok()
        };
        let resamples: Vec<_> = (0..RESAMPLES).into_par_iter().filter_map(resample).collect();
        let shrunk = (m as f64 / self.all as f64).sqrt();
        let of = |(name, measured): Value| {
            let middle = center.iter().find(|(other, _)| *other == name)?.1;
            let values = resamples.iter().flatten().filter(|(other, _)| *other == name);
            let mut found: Vec<f64> = values.map(|(_, x)| *x).filter(|x| x.is_finite()).collect();
            if found.len() < RESAMPLES / 2 || BIASED.contains(&name) {
                return None;
            }
            found.sort_unstable_by(f64::total_cmp);
            let at = |share: f64| found[(share * (found.len() - 1) as f64).round() as usize];
            let end = |share: f64| measured + (at(share) - middle) * shrunk;
            let ends = match is_whole {
                true => [at(OUTSIDE), at(1.0 - OUTSIDE)],
                false => [end(OUTSIDE), end(1.0 - OUTSIDE)],
            };
            ends.iter().all(|x| x.is_finite()).then_some((name, ends))
        };
        Ok(measured.into_iter().filter_map(of).collect())
    }
}

/// 95% intervals of the metrics of predictions by name, and the rows that they are estimated from; none for
/// too few rows.
///
/// The percentile bootstrap (Efron, Tibshirani, "An introduction to the bootstrap", 1993, chapter 13). With
/// many rows n it uses a sample of m of them, and its distances from the metric of the sample are
/// multiplied by √(m/n) (Bickel, Götze, van Zwet, "Resampling fewer than n observations", 1997).
///
/// # Errors
/// As [`Report::new`].
pub(super) fn intervals(
    predictions: &Predictions,
    truth: &Targets,
    weights: Option<&[f32]>,
    report: &Report,
) -> Result<Option<Intervals>> {
    let Some(bootstrap) = Bootstrap::new(truth, predictions.cols(), weights, WORK) else {
        return Ok(None);
    };
    let chosen = predictions.select(&bootstrap.rows);
    let found =
        bootstrap.intervals(report.values(), |weights| bootstrap.values(&chosen, weights))?;
    Ok(Some((found, bootstrap.rows.len())))
}

/// The difference of a metric of two models on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// The metric of the second model minus that of the first.
    pub value: f64,
    /// Its 95% interval.
    pub interval: [f64; 2],
}

/// The differences of the metrics of two models by name, that of `others` minus that of `predictions` for the same
/// rows; none for too few rows.
///
/// The paired bootstrap: each resample draws the same rows for both models (Efron, Tibshirani, "An introduction to the
/// bootstrap", 1993, chapter 8; Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004), with
/// the intervals of [`intervals`]. They are about the choice of the rows, not about that of the seed of a training.
///
/// # Errors
/// As [`Report::new`].
pub(crate) fn differences(
    predictions: &Predictions,
    others: &Predictions,
    truth: &Targets,
    weights: Option<&[f32]>,
) -> Result<Option<BTreeMap<&'static str, Difference>>> {
    let bootstrap = Bootstrap::new(truth, predictions.cols() + others.cols(), weights, PAIRED_WORK);
    let Some(bootstrap) = bootstrap else { return Ok(None) };
    let minus = |first: Vec<Value>, second: Vec<Value>| -> Vec<Value> {
        let of = |(name, x): Value| {
            let before = first.iter().find(|(other, _)| *other == name)?.1;
            Some((name, x - before))
        };
        second.into_iter().filter_map(of).collect()
    };
    let values = |of: &Predictions| Report::new(of, truth, weights).map(|report| report.values());
    let measured = minus(values(predictions)?, values(others)?);
    let chosen = [predictions, others].map(|of| of.select(&bootstrap.rows));
    let intervals = bootstrap.intervals(measured.clone(), |weights| {
        let [first, second] = &chosen;
        Ok(minus(bootstrap.values(first, weights)?, bootstrap.values(second, weights)?))
    })?;
    let of = |(name, value)| Some((name, Difference { value, interval: *intervals.get(name)? }));
    Ok(Some(measured.into_iter().filter_map(of).collect()))
}

/// The 95% interval of one metric; none for too few rows.
///
/// # Errors
/// As [`Report::new`].
pub(crate) fn interval(
    name: &str,
    predictions: &Predictions,
    truth: &Targets,
    weights: Option<&[f32]>,
    report: &Report,
) -> Result<Option<[f64; 2]>> {
    let found = intervals(predictions, truth, weights, report)?;
    Ok(found.and_then(|(all, _)| all.get(name).copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::matrix::Matrix;

    /// `rows` rows of two classes, of which every `wrong`th is predicted wrongly.
    fn classes(rows: usize, wrong: usize) -> (Predictions, Targets) {
        let p = Matrix::from_fn(rows, 2, |r, c| {
            let is_right = r % wrong != 0;
            if (c == r % 2) == is_right { 0.9 } else { 0.1 }
        });
        let names = vec!["a".to_string(), "b".to_string()];
        let labels = (0..rows).map(|r| (r % 2) as u32).collect();
        (Predictions::F32(p), Targets::Classes { labels, names })
    }

    #[test]
    fn the_interval_of_an_accuracy_is_about_that_of_its_binomial() {
        // Above the limit of rows, too, where fewer are drawn.
        for rows in [400, 40_000] {
            let (predictions, truth) = classes(rows, 5);
            let report = Report::new(&predictions, &truth, None).unwrap();
            let (found, used) = intervals(&predictions, &truth, None, &report).unwrap().unwrap();
            let [low, high] = found["accuracy"];
            let expected = 2.0 * 1.96 * (0.8 * 0.2 / rows as f64).sqrt();
            assert!(low < 0.8 && 0.8 < high, "{low} {high}");
            let ratio = (high - low) / expected;
            assert!((0.7..1.4).contains(&ratio), "{rows}: {ratio}");
            assert_eq!(used < rows, rows > 4000);
            assert!(!found.contains_key("calibration_error"));
        }
    }

    /// The same mistakes at other rows: a difference whose interval is that of the rows on which the models
    /// disagree, not that of either metric.
    #[test]
    fn the_interval_of_a_difference_is_that_of_the_rows_that_differ() {
        for rows in [400, 40_000] {
            let (first, truth) = classes(rows, 5);
            // Every 20th row more is wrong.
            let is_changed = |row: usize| row % 20 == 1;
            let worse = Matrix::from_fn(rows, 2, |row, c| {
                first.value(row, if is_changed(row) { 1 - c } else { c }) as f32
            });
            let found =
                differences(&first, &Predictions::F32(worse), &truth, None).unwrap().unwrap();
            let Difference { value, interval: [low, high] } = found["accuracy"];
            assert!((value + 0.05).abs() < 1e-12 && low < value && value < high, "{found:?}");
            assert!(high < 0.0, "it is beyond chance: {low} {high}");
            let expected = 2.0 * 1.96 * (0.05 * 0.95 / rows as f64).sqrt();
            let ratio = (high - low) / expected;
            assert!((0.7..1.4).contains(&ratio), "{rows}: {ratio}");
            let same = differences(&first, &first, &truth, None).unwrap().unwrap();
            assert_eq!(same["accuracy"], Difference { value: 0.0, interval: [0.0, 0.0] });
        }
    }

    #[test]
    fn few_rows_have_none() {
        let (predictions, truth) = classes(LEAST - 1, 5);
        let report = Report::new(&predictions, &truth, None).unwrap();
        assert!(intervals(&predictions, &truth, None, &report).unwrap().is_none());
    }
}
