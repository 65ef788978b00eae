//! Metrics of probabilities: log loss, Brier score and calibration.

use super::{Weights, ratio};
use crate::math::matrix::Matrix;
use serde::Serialize;

/// The bins of the calibration error, of equal width over (0, 1].
pub(super) const BINS: usize = 15;

/// Log loss and Brier score, each the weighted mean over rows.
///
/// Log loss: −ln p of the true class (Good, "Rational decisions", 1952), where p is clipped to
/// [2⁻⁵², 1 − 2⁻⁵²], so that one certain mistake costs 36 and not ∞.
///
/// Brier: Σ_k (p_k − y_k)² with y the one-hot truth (Brier, "Verification of forecasts expressed in
/// terms of probability", 1950), in 0…2; for two classes half of that, (p₁ − y₁)², in 0…1.
///
/// Rows are divided by their sum first: the probabilities of independent sigmoids don't add up to
/// 1. For a row of zeros all classes count as equally likely.
pub(super) fn scores(p: &Matrix<f32>, labels: &[u32], weights: Weights<'_>) -> (f64, f64) {
    let classes = p.cols();
    let halved = if classes == 2 { 0.5 } else { 1.0 };
    let (mut log_loss, mut brier) = (0.0, 0.0);
    for (r, row) in p.iter_rows().enumerate() {
        let sum: f64 = row.iter().map(|&x| f64::from(x)).sum();
        let probability = |k: usize| match sum > 0.0 {
            true => f64::from(row[k]) / sum,
            false => 1.0 / classes as f64,
        };
        let label = labels[r] as usize;
        let distance: f64 =
            (0..classes).map(|k| (probability(k) - f64::from(u8::from(k == label))).powi(2)).sum();
        let p = probability(label).clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        log_loss -= weights.of(r) * p.ln();
        brier += weights.of(r) * distance * halved;
    }
    let total = weights.sum(p.rows());
    (log_loss / total, brier / total)
}

/// The predictions whose confidence is in one bin of (0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CalibrationBin {
    /// The weight of the rows in it.
    pub weight: f64,
    /// The mean confidence: the probability of the class that was predicted.
    pub confidence: f64,
    /// The fraction of them that was correct.
    pub accuracy: f64,
}

/// Distributes (confidence, whether correct, weight) over 15 bins of equal width, each with its upper end.
pub(super) fn bins(predictions: impl Iterator<Item = (f32, bool, f64)>) -> Vec<CalibrationBin> {
    let mut bins = vec![CalibrationBin::default(); BINS];
    for (confidence, is_right, weight) in predictions {
        let confidence = f64::from(confidence);
        let place = (confidence * BINS as f64).ceil() as usize;
        let bin = &mut bins[place.clamp(1, BINS) - 1];
        bin.weight += weight;
        bin.confidence += weight * confidence;
        bin.accuracy += weight * f64::from(u8::from(is_right));
    }
    for bin in &mut bins {
        bin.confidence = ratio(bin.confidence, bin.weight);
        bin.accuracy = ratio(bin.accuracy, bin.weight);
    }
    bins
}

/// ECE = Σ_b |B_b|/n · |accuracy(B_b) − confidence(B_b)| over bins of the confidence (Naeini,
/// Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI
/// 2015; with 15 bins as Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural
/// networks", ICML 2017).
#[must_use]
pub fn expected_calibration_error(bins: &[CalibrationBin]) -> f64 {
    let gap: f64 = bins.iter().map(|b| b.weight * (b.accuracy - b.confidence).abs()).sum();
    ratio(gap, bins.iter().map(|b| b.weight).sum())
}
