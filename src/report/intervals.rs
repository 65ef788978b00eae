//! Bootstrap intervals of metrics: how much they depend on the choice of held-out rows.

use super::sample;
use crate::base::error::Result;
use crate::data::{Predictions, Targets};
use crate::math::random::{Random, Stream};
use crate::train::evaluation::Report;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The number of resamples.
pub(super) const RESAMPLES: usize = 200;
/// The most rows times outputs over all resamples, which take about ten milliseconds.
const WORK: usize = 1_000_000;
/// The fewest rows for an interval.
pub(super) const LEAST: usize = 20;
/// The fraction of the resamples outside the interval, at either end.
const OUTSIDE: f64 = 0.025;
/// Metrics whose bootstrap distribution isn't centered on them: the calibration
/// error of resamples is biased however many rows there are.
const BIASED: [&str; 1] = ["calibration_error"];

/// Intervals by the names of metrics, and the rows that they are estimated from.
pub(super) type Intervals = (BTreeMap<&'static str, [f64; 2]>, usize);

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
    let all = truth.rows();
    let most = WORK / RESAMPLES / (predictions.cols() + 4);
    if all < LEAST || most < LEAST {
        return Ok(None);
    }
    let rows = sample(all, most, 2);
    let (m, chosen, truth) = (rows.len(), predictions.select(&rows), truth.select_rows(&rows));
    let own = |i: usize| weights.map_or(1.0, |w| w[rows[i]]);
    let base: Vec<f32> = (0..m).map(own).collect();
    if base.iter().all(|w| *w == 0.0) {
        return Ok(None);
    }
    let center = match m == all {
        true => report.values(),
        false => Report::new(&chosen, &truth, Some(&base))?.values(),
    };
    let resample = |number: usize| -> Option<Vec<(&'static str, f64)>> {
        let mut random = Random::new(0, Stream::Report, 1000 + number as u64);
        let mut drawn = vec![0.0; m];
        (0..m).for_each(|_| drawn[(random.uniform() * m as f64) as usize] += 1.0);
        drawn.iter_mut().zip(&base).for_each(|(count, weight)| *count *= weight);
        // A resample without weight gives no value.
        Report::new(&chosen, &truth, Some(&drawn)).ok().map(|report| report.values())
    };
    let resamples: Vec<_> = (0..RESAMPLES).into_par_iter().filter_map(resample).collect();
    let shrunk = (m as f64 / all as f64).sqrt();
    let of = |(name, measured): (&'static str, f64)| {
        let middle = center.iter().find(|(other, _)| *other == name)?.1;
        let values = resamples.iter().flatten().filter(|(other, _)| *other == name);
        let mut found: Vec<f64> = values.map(|(_, x)| *x).filter(|x| x.is_finite()).collect();
        if found.len() < RESAMPLES / 2 || BIASED.contains(&name) {
            return None;
        }
        found.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| found[(share * (found.len() - 1) as f64).round() as usize];
        let end = |share: f64| measured + (at(share) - middle) * shrunk;
        let ends = match m == all {
            true => [at(OUTSIDE), at(1.0 - OUTSIDE)],
            false => [end(OUTSIDE), end(1.0 - OUTSIDE)],
        };
        ends.iter().all(|x| x.is_finite()).then_some((name, ends))
    };
    Ok(Some((report.values().into_iter().filter_map(of).collect(), m)))
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

    #[test]
    fn few_rows_have_none() {
        let (predictions, truth) = classes(LEAST - 1, 5);
        let report = Report::new(&predictions, &truth, None).unwrap();
        assert!(intervals(&predictions, &truth, None, &report).unwrap().is_none());
    }
}
