//! Baselines: constant predictions, which any net should beat.

use super::Number;
use super::numbers::weighted_median;
use crate::data::{Predictions, Targets};
use crate::math::matrix::Matrix;
use serde::{Deserialize, Serialize};

/// A constant prediction, from the training targets alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Constant {
    /// The fraction of each class among the training rows: its likeliest class is the majority class,
    /// and no other constant has a lower log loss or Brier score on them.
    MajorityClass(Vec<f32>),
    /// The fraction of the rows that have each label.
    LabelShares(Vec<f32>),
    /// The mean of each output, whose squared error is the lowest of all constants.
    Mean(Vec<f64>),
    /// The median of each output, whose absolute error is the lowest of all constants.
    Median(Vec<f64>),
}

impl Constant {
    /// The constants for these training targets, rows weighted by `weights`.
    #[must_use]
    pub fn fit(targets: &Targets, weights: Option<&[f32]>) -> Vec<Constant> {
        let weight = |row: usize| weights.map_or(1.0, |w| f64::from(w[row]));
        match targets {
            Targets::Classes { labels, names } => {
                let mut counts = vec![0.0; names.len()];
                labels.iter().enumerate().for_each(|(r, &l)| counts[l as usize] += weight(r));
                let total: f64 = counts.iter().sum();
                vec![Constant::MajorityClass(counts.iter().map(|n| (n / total) as f32).collect())]
            }
            Targets::Labels { values, .. } => {
                let columns = columns(values, weight);
                vec![Constant::LabelShares(columns.iter().map(|c| mean(c) as f32).collect())]
            }
            Targets::Numbers(m) => {
                let mut columns = columns(m, weight);
                vec![
                    Constant::Mean(columns.iter().map(|c| mean(c)).collect()),
                    Constant::Median(columns.iter_mut().map(|c| weighted_median(c)).collect()),
                ]
            }
        }
    }

    /// The name in files: `majority_class`, `label_shares`, `mean`, `median`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Constant::MajorityClass(_) => "majority_class",
            Constant::LabelShares(_) => "label_shares",
            Constant::Mean(_) => "mean",
            Constant::Median(_) => "median",
        }
    }

    /// The prediction for each of `rows` rows: (rows, classes) or (rows, outputs).
    #[must_use]
    pub fn predict(&self, rows: usize) -> Predictions {
        match self {
            Constant::MajorityClass(row) | Constant::LabelShares(row) => {
                Predictions::F32(Matrix::from_fn(rows, row.len(), |_, c| row[c]))
            }
            Constant::Mean(row) | Constant::Median(row) => {
                Predictions::F64(Matrix::from_fn(rows, row.len(), |_, c| row[c]))
            }
        }
    }
}

/// The values of each column, with the weights of the rows.
fn columns<T: Number>(m: &Matrix<T>, weight: impl Fn(usize) -> f64) -> Vec<Vec<(f64, f64)>> {
    let column =
        |c: usize| m.iter_rows().enumerate().map(|(r, row)| (row[c].into(), weight(r))).collect();
    (0..m.cols()).map(column).collect()
}

fn mean(column: &[(f64, f64)]) -> f64 {
    let sum: f64 = column.iter().map(|(x, w)| x * w).sum();
    sum / column.iter().map(|(_, w)| w).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_means_and_medians_follow_the_weights() {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let classes = Targets::Classes { labels: vec![0, 2, 2, 2], names };
        assert_eq!(Constant::fit(&classes, None), [Constant::MajorityClass(vec![0.25, 0.0, 0.75])]);
        let weighted = Constant::fit(&classes, Some(&[3.0, 1.0, 0.0, 0.0]));
        assert_eq!(weighted, [Constant::MajorityClass(vec![0.75, 0.0, 0.25])]);
        let numbers = Targets::Numbers(Matrix::new(4, 1, vec![1.0, 2.0, 3.0, 10.0]).unwrap());
        let expected = [Constant::Mean(vec![4.0]), Constant::Median(vec![2.5])];
        assert_eq!(Constant::fit(&numbers, None), expected);
        let constant = Matrix::new(3, 1, vec![2.5; 3]).unwrap();
        assert_eq!(expected[1].predict(3), Predictions::F64(constant));
    }
}
