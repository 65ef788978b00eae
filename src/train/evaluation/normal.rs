//! Metrics of predicted normal distributions: means with standard deviations.

use super::{Number, Weights};
use crate::math::matrix::Matrix;

/// A normal variable is within this many standard deviations of its mean with a probability of 95%.
const WITHIN_95: f64 = 1.959963984540054;

/// The mean of −ln of the predicted density at the truth, ½ ln(2πσ²) + (t − μ)²/2σ² (Good, "Rational
/// decisions", 1952), and the fraction of the truth within the central 95% of its distribution, over all
/// values, rows weighted. predictions: (rows, 2k), means and then deviations; targets: (rows, k).
pub(super) fn normal_scores<P: Number, T: Number>(
    predictions: &Matrix<P>,
    targets: &Matrix<T>,
    weights: Weights<'_>,
) -> (f64, f64) {
    let cols = targets.cols();
    let (mut nll, mut inside) = (0.0, 0.0);
    for (r, (predicted, truth)) in predictions.iter_rows().zip(targets.iter_rows()).enumerate() {
        let (means, deviations) = predicted.split_at(cols);
        for ((&mean, &deviation), &t) in means.iter().zip(deviations).zip(truth) {
            // A deviation that underflowed in f32 is replaced by the smallest positive one.
            let deviation = match deviation.into() {
                0.0 => f64::from(f32::MIN_POSITIVE),
                deviation => deviation,
            };
            let distance = (t.into() - mean.into()) / deviation;
            nll += weights.of(r)
                * (0.5 * (std::f64::consts::TAU.ln() + distance * distance) + deviation.ln());
            inside += weights.of(r) * f64::from(u8::from(distance.abs() <= WITHIN_95));
        }
    }
    let total = weights.sum(targets.rows()) * cols as f64;
    (nll / total, inside / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_and_coverage_follow_the_normal_distribution() {
        // Means 0 and 1 with deviations 1 and 2, the truth at 0 and at 1 + 2 · 2.
        let predictions = Matrix::new(1, 4, vec![0.0, 1.0, 1.0, 2.0]).unwrap();
        let targets = Matrix::new(1, 2, vec![0.0, 5.0]).unwrap();
        let (nll, inside) = normal_scores(&predictions, &targets, Weights(None));
        // scipy.stats.norm.logpdf: −0.9189385332046727 and −3.612085713764618
        assert!((nll - (0.9189385332046727 + 3.612085713764618) / 2.0).abs() < 1e-12, "{nll}");
        assert_eq!(inside, 0.5);
    }
}
