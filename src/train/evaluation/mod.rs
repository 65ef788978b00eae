//! Metrics of predictions against true targets.
//!
//! Pure functions on matrices and slices; sums in f64, at most O(n log n) for each class or
//! output. Rows may have weights; without weights, each row has weight 1. Predictions, targets and weights
//! that are NaN or infinite are refused with their row.

mod baseline;
mod classes;
mod confusion;
mod labels;
pub mod leakage;
mod normal;
mod numbers;
mod probability;
mod ranking;
mod report;
pub use baseline::Constant;
pub use classes::{ClassReport, ClassScores};
pub use confusion::Confusion;
pub use labels::LabelReport;
pub use numbers::{NumberReport, NumberScores};
pub use probability::{CalibrationBin, expected_calibration_error};
pub use ranking::roc_auc;
pub use report::Report;

use crate::base::error::{Error, Result};
use crate::math::matrix::Matrix;
use num_traits::Float;
use std::fmt::Display;

/// A number of a prediction or a target.
pub trait Number: Float + Into<f64> + Display {}
impl<T: Float + Into<f64> + Display> Number for T {}

/// A metric by its name.
pub type Value = (&'static str, f64);

/// The weights of rows; without weights, each row counts once.
#[derive(Debug, Clone, Copy)]
struct Weights<'a>(Option<&'a [f32]>);

impl<'a> Weights<'a> {
    /// Checks that there is one weight per row, none negative, and not all 0.
    fn new(weights: Option<&'a [f32]>, rows: usize) -> Result<Self> {
        if rows == 0 {
            return Err(Error::data("there are no rows to evaluate on")
                .help("give data with at least one row"));
        }
        let Some(given) = weights else { return Ok(Weights(None)) };
        if given.len() != rows {
            return Err(Error::usage(format!("{} weights for {rows} rows", given.len())));
        }
        if let Some(row) = given.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(Error::data(format!("a weight is {}", given[row]))
                .at(format!("row {}", row + 1))
                .help("weights must be finite numbers of 0 or more"));
        }
        if given.iter().all(|w| *w == 0.0) {
            return Err(
                Error::data("all weights are 0").help("give at least one row a positive weight")
            );
        }
        Ok(Weights(Some(given)))
    }

    fn of(self, row: usize) -> f64 {
        self.0.map_or(1.0, |weights| weights[row].into())
    }

    fn sum(self, rows: usize) -> f64 {
        self.0.map_or(rows as f64, |weights| weights.iter().map(|&w| f64::from(w)).sum())
    }
}

/// Refuses values that aren't finite numbers, and another shape than (rows, cols).
fn check<T: Number>(values: &Matrix<T>, rows: usize, cols: usize, what: &str) -> Result<()> {
    if (values.rows(), values.cols()) != (rows, cols) {
        return Err(Error::usage(format!(
            "{what}s of shape ({}, {}) for ({rows}, {cols})",
            values.rows(),
            values.cols()
        )));
    }
    match values.data().iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("a {what} is {}", values.data()[i]))
            .at(format!("row {}, column {}", i / cols + 1, i % cols + 1))
            .help("only finite numbers can be evaluated")),
    }
}

/// a / b, or 0 if b is 0: a class that is never predicted has precision 0.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// F₁ = 2 P R / (P + R) = 2 TP / (2 TP + FP + FN), from TP, the predicted and the actual ones
/// (van Rijsbergen, "Information Retrieval", 1979, with β = 1).
fn f1(right: f64, predicted: f64, actual: f64) -> f64 {
    ratio(2.0 * right, predicted + actual)
}

/// The mean; none if there are no values.
fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0usize), |(s, n), x| (s + x, n + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Predictions, Targets};
    use crate::net::metrics::Metrics;

    #[test]
    fn epochs_can_be_compared_by_every_metric_of_a_report() {
        let names = ["a", "b"].map(str::to_string).to_vec();
        let classes = Targets::Classes { labels: vec![0, 1, 1], names: names.clone() };
        let labels = Targets::Labels {
            values: Matrix::new(3, 2, vec![0.0, 1.0, 1.0, 1.0, 1.0, 0.0]).unwrap(),
            names,
        };
        let numbers = Targets::Numbers(Matrix::new(3, 1, vec![1.0, 2.0, 4.0]).unwrap());
        let two = Matrix::new(3, 2, vec![0.4, 0.6, 0.3, 0.7, 0.8, 0.2]).unwrap();
        let two = Predictions::F32(two);
        for truth in [classes, labels, numbers] {
            let found = Report::new(&two, &truth, None).unwrap().values();
            let mut found: Vec<&str> = found.into_iter().map(|(name, _)| name).collect();
            // Neither more nor less of it is better.
            found.retain(|name| *name != "coverage_95");
            let mut known = Metrics::names(&truth).to_vec();
            found.sort_unstable();
            known.sort_unstable();
            assert_eq!(found, known);
        }
    }
}
