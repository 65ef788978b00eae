//! Metrics of classification with one class per row.

use super::probability::{CalibrationBin, bins, expected_calibration_error, scores};
use super::{Confusion, Value, Weights, check, f1, mean, ratio, roc_auc};
use crate::base::error::{Error, Result};
use crate::base::parallel::*;
use crate::math::loss::index_of_max;
use crate::math::matrix::Matrix;
use serde::Serialize;

/// Metrics of predicted classes.
///
/// The predicted class is that of the largest probability, the first among ties. TP_k, FP_k and
/// FN_k are the weights of the rows that are correctly predicted as class k, incorrectly as class k, and
/// of class k but predicted as another; n_k = TP_k + FN_k.
///
/// A *macro* mean is over the classes that occur among labels or predictions, each counted once;
/// a *weighted* mean counts each by n_k. These are the conventions of scikit-learn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// The number of rows.
    pub rows: usize,
    /// Σ_k TP_k / n.
    pub accuracy: f64,
    /// The mean of the recalls of the classes that occur (Brodersen, Ong, Stephan, Buhmann, "The
    /// balanced accuracy and its posterior distribution", ICPR 2010).
    pub balanced_accuracy: f64,
    /// The macro mean of the precisions.
    pub precision: f64,
    /// The macro mean of the recalls.
    pub recall: f64,
    /// The macro mean of the F₁.
    pub f1: f64,
    /// The weighted mean of the precisions.
    pub precision_weighted: f64,
    /// The weighted mean of the recalls, which is the accuracy.
    pub recall_weighted: f64,
    /// The weighted mean of the F₁.
    pub f1_weighted: f64,
    /// For two classes that of the second; for more the macro mean of one class against the rest,
    /// over the classes that have rows on both sides (Provost, Domingos, "Well-trained PETs",
    /// 2000). None if there is only one class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// The mean of −ln p of the true class.
    pub log_loss: f64,
    /// The mean squared distance of the probabilities from the truth: 0…1 for two classes, 0…2 for
    /// more.
    pub brier: f64,
    /// Expected calibration error: the mean difference of confidence and accuracy over 15 bins of the
    /// confidence.
    pub calibration_error: f64,
    /// Each class, in the order of the outputs.
    pub classes: Vec<ClassScores>,
    /// The confusion matrix.
    pub confusion: Confusion,
    /// The bins behind the calibration error, from low to high confidence.
    pub calibration: Vec<CalibrationBin>,
}

/// Metrics of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    /// n_k: the weight of its rows.
    pub support: f64,
    /// The weight of the rows that were predicted as it.
    pub predicted: f64,
    /// TP_k / (TP_k + FP_k); 0 if it is never predicted.
    pub precision: f64,
    /// TP_k / n_k; 0 if it never occurs.
    pub recall: f64,
    /// 2 TP_k / (2 TP_k + FP_k + FN_k).
    pub f1: f64,
    /// ROC AUC of this class against the rest; none if either has no rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
}

impl ClassReport {
    /// Evaluates `probabilities` (rows, classes) against the true `labels` (rows), rows weighted by
    /// `weights`.
    ///
    /// # Errors
    /// When there are no rows, a label isn't one of the classes, a probability is negative, NaN or
    /// infinite, or a weight is.
    pub fn new(
        probabilities: &Matrix<f32>,
        labels: &[u32],
        weights: Option<&[f32]>,
    ) -> Result<Self> {
        let (rows, classes) = (labels.len(), probabilities.cols());
        let weights = Weights::new(weights, rows)?;
        check(probabilities, rows, classes, "probability")?;
        if let Some(i) = probabilities.data().iter().position(|p| *p < 0.0) {
            return Err(Error::data(format!("a probability is {}", probabilities.data()[i]))
                .at(format!("row {}, column {}", i / classes + 1, i % classes + 1))
                .help("probabilities are numbers from 0 to 1"));
        }
        if let Some(row) = labels.iter().position(|&l| l as usize >= classes) {
            return Err(Error::data(format!("label {} of {classes} classes", labels[row]))
                .at(format!("row {}", row + 1)));
        }
        let predicted: Vec<usize> = probabilities.iter_rows().map(index_of_max).collect();
        let all = (0..rows).map(|r| (labels[r], predicted[r] as u32, weights.of(r)));
        let confusion = Confusion::new(classes, all);
        let sums = confusion.sums();
        let areas: Vec<Option<f64>> = (0..classes)
            .into_par_iter()
            .map(|k| {
                let score = |r: usize| probabilities.row(r)[k];
                roc_auc((0..rows).map(|r| (score(r), labels[r] as usize == k, weights.of(r))))
            })
            .collect();
        let scores_of = |(&(right, predicted, support), &roc_auc): (&_, &_)| ClassScores {
            support,
            predicted,
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: f1(right, predicted, support),
            roc_auc,
        };
        let per_class: Vec<ClassScores> = sums.iter().zip(&areas).map(scores_of).collect();

        let total: f64 = sums.iter().map(|s| s.2).sum();
        let occurs = |c: &&ClassScores| c.support > 0.0 || c.predicted > 0.0;
        let macro_mean = |value: fn(&ClassScores) -> f64| {
            mean(per_class.iter().filter(occurs).map(value)).unwrap_or(0.0)
        };
        let weighted_mean = |value: fn(&ClassScores) -> f64| {
            per_class.iter().map(|c| c.support * value(c)).sum::<f64>() / total
        };
        let accuracy = sums.iter().map(|s| s.0).sum::<f64>() / total;
        let recalls = per_class.iter().filter(|c| c.support > 0.0).map(|c| c.recall);
        let (log_loss, brier) = scores(probabilities, labels, weights);
        let calibration = bins((0..rows).map(|r| {
            let confidence = probabilities.row(r)[predicted[r]];
            (confidence, predicted[r] == labels[r] as usize, weights.of(r))
        }));
        Ok(ClassReport {
            rows,
            accuracy,
            balanced_accuracy: mean(recalls).unwrap_or(0.0),
            precision: macro_mean(|c| c.precision),
            recall: macro_mean(|c| c.recall),
            f1: macro_mean(|c| c.f1),
            precision_weighted: weighted_mean(|c| c.precision),
            recall_weighted: weighted_mean(|c| c.recall),
            f1_weighted: weighted_mean(|c| c.f1),
            roc_auc: if classes == 2 { areas[1] } else { mean(areas.into_iter().flatten()) },
            log_loss,
            brier,
            calibration_error: expected_calibration_error(&calibration),
            classes: per_class,
            confusion,
            calibration,
        })
    }

    /// The metrics over all rows by name.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        let mut values = vec![
            ("accuracy", self.accuracy),
            ("balanced_accuracy", self.balanced_accuracy),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("precision_weighted", self.precision_weighted),
            ("recall_weighted", self.recall_weighted),
            ("f1_weighted", self.f1_weighted),
        ];
        values.extend(self.roc_auc.map(|auc| ("roc_auc", auc)));
        values.extend([
            ("log_loss", self.log_loss),
            ("brier", self.brier),
            ("calibration_error", self.calibration_error),
        ]);
        values
    }
}
