//! Metrics of multilabel classification.

use super::{ClassScores, Value, Weights, check, f1, mean, ratio, roc_auc};
use crate::base::error::Result;
use crate::base::parallel::*;
use crate::math::matrix::Matrix;
use serde::Serialize;

/// The probability from which a label is predicted.
const THRESHOLD: f32 = 0.5;

/// Metrics of predictions of several labels per row. TP, FP and FN are summed over rows for
/// each label, and for *micro* averages also over labels; a *macro* mean counts each label
/// once (Tsoumakas, Katakis, Vlahavas, "Mining multi-label data", 2010).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// The number of rows.
    pub rows: usize,
    /// The fraction of rows for which all labels are correct.
    pub subset_accuracy: f64,
    /// The fraction of all labels of all rows that are wrong.
    pub hamming_loss: f64,
    /// TP / (TP + FP).
    pub precision_micro: f64,
    /// TP / (TP + FN).
    pub recall_micro: f64,
    /// 2 TP / (2 TP + FP + FN).
    pub f1_micro: f64,
    /// The mean of the labels' precisions.
    pub precision: f64,
    /// The mean of the labels' recalls.
    pub recall: f64,
    /// The mean of the labels' F₁.
    pub f1: f64,
    /// The mean of the labels' areas, over those that are present in some rows and absent in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// The mean over rows and labels of −ln of the probability of the true value, clipped to
    /// [2⁻⁵², 1 − 2⁻⁵²].
    pub log_loss: f64,
    /// Each label, in the order of the outputs.
    pub labels: Vec<ClassScores>,
}

impl LabelReport {
    /// Evaluates `probabilities` (rows, labels) against `truth` (rows, labels), which is 1 for a label
    /// that is present and 0 otherwise, rows weighted by `weights`.
    ///
    /// # Errors
    /// When there are no rows, the shapes differ, or a probability or weight is NaN or infinite.
    pub fn new(
        probabilities: &Matrix<f32>,
        truth: &Matrix<f32>,
        weights: Option<&[f32]>,
    ) -> Result<Self> {
        let (rows, cols) = (truth.rows(), truth.cols());
        let weights = Weights::new(weights, rows)?;
        check(probabilities, rows, cols, "probability")?;
        check(truth, rows, cols, "label")?;
        let is_there = |r: usize, c: usize| truth.row(r)[c] >= THRESHOLD;
        let predicts = |r: usize, c: usize| probabilities.row(r)[c] >= THRESHOLD;
        let (mut whole, mut wrong, mut log_loss) = (0.0, 0.0, 0.0);
        let mut sums = vec![(0.0, 0.0, 0.0); cols];
        for r in 0..rows {
            let weight = weights.of(r);
            let mut mistakes = 0usize;
            for (c, (right, predicted, actual)) in sums.iter_mut().enumerate() {
                let (truth, prediction) = (is_there(r, c), predicts(r, c));
                *right += weight * f64::from(u8::from(truth && prediction));
                *predicted += weight * f64::from(u8::from(prediction));
                *actual += weight * f64::from(u8::from(truth));
                mistakes += usize::from(truth != prediction);
                let p = f64::from(probabilities.row(r)[c]);
                let p = if truth { p } else { 1.0 - p };
                log_loss -= weight * p.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
            }
            wrong += weight * mistakes as f64;
            whole += weight * f64::from(u8::from(mistakes == 0));
        }
        let labels: Vec<ClassScores> = sums
            .par_iter()
            .enumerate()
            .map(|(c, &(right, predicted, actual))| ClassScores {
                support: actual,
                predicted,
                precision: ratio(right, predicted),
                recall: ratio(right, actual),
                f1: f1(right, predicted, actual),
                roc_auc: roc_auc(
                    (0..rows).map(|r| (probabilities.row(r)[c], is_there(r, c), weights.of(r))),
                ),
            })
            .collect();
        let (right, predicted, actual) =
            sums.iter().fold((0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        let of = |value: fn(&ClassScores) -> f64| mean(labels.iter().map(value)).unwrap_or(0.0);
        let total = weights.sum(rows);
        Ok(LabelReport {
            rows,
            subset_accuracy: whole / total,
            hamming_loss: wrong / (total * cols as f64),
            precision_micro: ratio(right, predicted),
            recall_micro: ratio(right, actual),
            f1_micro: f1(right, predicted, actual),
            precision: of(|l| l.precision),
            recall: of(|l| l.recall),
            f1: of(|l| l.f1),
            roc_auc: mean(labels.iter().filter_map(|l| l.roc_auc)),
            log_loss: log_loss / (total * cols as f64),
            labels,
        })
    }

    /// The metrics over all labels by name.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        let mut values = vec![
            ("subset_accuracy", self.subset_accuracy),
            ("hamming_loss", self.hamming_loss),
            ("f1_micro", self.f1_micro),
            ("precision_micro", self.precision_micro),
            ("recall_micro", self.recall_micro),
            ("f1", self.f1),
            ("precision", self.precision),
            ("recall", self.recall),
        ];
        values.extend(self.roc_auc.map(|auc| ("roc_auc", auc)));
        values.push(("log_loss", self.log_loss));
        values
    }
}
