//! Metrics of regression, in the units of the targets.

use super::normal::normal_scores;
use super::{Number, Value, Weights, check, mean};
use crate::base::error::Result;
use crate::math::matrix::Matrix;
use serde::Serialize;

/// Metrics of predicted numbers. With e = prediction − truth and weighted means:
///
/// Over several outputs RMSE and MAE are over all values, R² weights each output by its variance,
/// and median error and MAPE are the means of those of the outputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberReport {
    /// The number of rows.
    pub rows: usize,
    /// √(mean e²).
    pub rmse: f64,
    /// mean |e|.
    pub mae: f64,
    /// The median of |e|: the smallest value that half of the weight doesn't exceed, and if a
    /// value ends at exactly half, its mean with the next.
    pub median_absolute_error: f64,
    /// 1 − Σ e² / Σ (t − mean t)² (Draper, Smith, "Applied regression analysis", 1998). None if
    /// the true values are constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// mean |e| / |t| over the values whose truth is not 0. None if all are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mape: Option<f64>,
    /// The mean of −ln of the predicted normal density, if deviations are predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nll: Option<f64>,
    /// The fraction of true values within the central 95% of the predicted
    /// normal distribution, if deviations are predicted: ideally 0.95.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage_95: Option<f64>,
    /// The number of values that MAPE excludes because their true value is 0.
    pub zero_targets: usize,
    /// Each output.
    pub outputs: Vec<NumberScores>,
}

/// Metrics of one output; the names are those of [`NumberReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberScores {
    /// √(mean e²).
    pub rmse: f64,
    /// mean |e|.
    pub mae: f64,
    /// The median of |e|.
    pub median_absolute_error: f64,
    /// 1 − Σ e² / Σ (t − mean t)².
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// mean |e| / |t|.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mape: Option<f64>,
    /// The number of values whose true value is 0.
    pub zero_targets: usize,
    /// Σ w e² and Σ w (t − mean t)².
    #[serde(skip)]
    squares: (f64, f64),
}

impl NumberReport {
    /// Evaluates `predictions` (rows, outputs) against `targets` (rows, outputs), both in the units of the
    /// targets, rows weighted by `weights`. Predictions with twice as many columns are means followed by
    /// standard deviations.
    ///
    /// # Errors
    /// When there are no rows, the shapes differ, or a number or weight is NaN or infinite.
    pub fn new<P: Number, T: Number>(
        predictions: &Matrix<P>,
        targets: &Matrix<T>,
        weights: Option<&[f32]>,
    ) -> Result<Self> {
        let (rows, cols) = (targets.rows(), targets.cols());
        let weights = Weights::new(weights, rows)?;
        let with_deviations = predictions.cols() == 2 * cols;
        check(predictions, rows, if with_deviations { 2 * cols } else { cols }, "prediction")?;
        check(targets, rows, cols, "target")?;
        let outputs: Vec<NumberScores> = (0..cols)
            .map(|c| NumberScores::new(&column(predictions, c), &column(targets, c), weights))
            .collect();
        let of = |value: fn(&NumberScores) -> f64| mean(outputs.iter().map(value)).unwrap_or(0.0);
        let (errors, variation) = outputs
            .iter()
            .fold((0.0, 0.0), |(e, v), output| (e + output.squares.0, v + output.squares.1));
        let normal = with_deviations.then(|| normal_scores(predictions, targets, weights));
        Ok(NumberReport {
            rows,
            nll: normal.map(|(nll, _)| nll),
            coverage_95: normal.map(|(_, coverage)| coverage),
            rmse: of(|o| o.rmse.powi(2)).sqrt(),
            mae: of(|o| o.mae),
            median_absolute_error: of(|o| o.median_absolute_error),
            r2: (variation > 0.0).then(|| 1.0 - errors / variation),
            mape: mean(outputs.iter().filter_map(|o| o.mape)),
            zero_targets: outputs.iter().map(|o| o.zero_targets).sum(),
            outputs,
        })
    }

    /// The metrics over all outputs by name.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        let mut values = vec![
            ("rmse", self.rmse),
            ("mae", self.mae),
            ("median_absolute_error", self.median_absolute_error),
        ];
        values.extend(self.r2.map(|r2| ("r2", r2)));
        values.extend(self.mape.map(|mape| ("mape", mape)));
        values.extend(self.nll.map(|nll| ("nll", nll)));
        values.extend(self.coverage_95.map(|coverage| ("coverage_95", coverage)));
        values
    }
}

fn column<T: Number>(m: &Matrix<T>, c: usize) -> Vec<f64> {
    m.iter_rows().map(|row| row[c].into()).collect()
}

impl NumberScores {
    fn new(predictions: &[f64], targets: &[f64], weights: Weights<'_>) -> Self {
        let rows = targets.len();
        let total = weights.sum(rows);
        let mean = (0..rows).map(|r| weights.of(r) * targets[r]).sum::<f64>() / total;
        let (mut squares, mut variation, mut absolute) = (0.0, 0.0, 0.0);
        let (mut relative, mut relative_weight, mut zero_targets) = (0.0, 0.0, 0);
        let mut errors = Vec::with_capacity(rows);
        for (r, (prediction, target)) in predictions.iter().zip(targets).enumerate() {
            let (weight, error) = (weights.of(r), (prediction - target).abs());
            squares += weight * error * error;
            variation += weight * (target - mean).powi(2);
            absolute += weight * error;
            errors.push((error, weight));
            if *target == 0.0 {
                zero_targets += 1;
            } else {
                relative += weight * error / target.abs();
                relative_weight += weight;
            }
        }
        // With equal targets what remains is the rounding of their mean.
        let varies = targets.iter().any(|t| *t != targets[0]);
        let variation = if varies { variation } else { 0.0 };
        NumberScores {
            rmse: (squares / total).sqrt(),
            mae: absolute / total,
            median_absolute_error: weighted_median(&mut errors),
            r2: (variation > 0.0).then(|| 1.0 - squares / variation),
            mape: (relative_weight > 0.0).then(|| relative / relative_weight),
            zero_targets,
            squares: (squares / total, variation / total),
        }
    }
}

/// The median of (value, weight): the smallest value at or below which more than half of the
/// weight is, and if that is exactly half, the mean with the next.
pub(super) fn weighted_median(values: &mut [(f64, f64)]) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|v| v.1).sum::<f64>() / 2.0;
    let mut below = 0.0;
    let mut weighty = values.iter().filter(|v| v.1 > 0.0).peekable();
    while let Some((value, weight)) = weighty.next() {
        below += weight;
        match weighty.peek() {
            Some((next, _)) if below == half => return (value + next) / 2.0,
            Some(_) if below < half => {}
            _ => return *value,
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_halves_the_weight() {
        let median = |values: &[(f64, f64)]| weighted_median(&mut values.to_vec());
        assert_eq!(median(&[(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)]), 2.0);
        assert_eq!(median(&[(3.0, 1.0), (1.0, 1.0)]), 2.0);
        assert_eq!(median(&[(3.0, 5.0), (1.0, 1.0), (2.0, 1.0)]), 3.0);
        assert_eq!(median(&[(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]), 2.0);
        assert_eq!(median(&[(7.0, 0.25)]), 7.0);
    }

    #[test]
    fn targets_of_zero_are_left_out_of_the_relative_error_and_counted() {
        let column = |values: Vec<f32>| Matrix::new(values.len(), 1, values).unwrap();
        let report =
            NumberReport::new(&column(vec![1.0, 3.0]), &column(vec![0.0, 2.0]), None).unwrap();
        assert_eq!((report.mape, report.zero_targets), (Some(0.5), 1));
        let zeros = NumberReport::new(&column(vec![1.0]), &column(vec![0.0]), None).unwrap();
        assert_eq!((zeros.mape, zeros.r2), (None, None));
    }
}
