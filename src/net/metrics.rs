//! The metrics of a run after each epoch: the loss, accuracy or RMSE, MAE and R², which the device
//! sums, and others on request.

use crate::data::{Preprocessing, Samples, Targets};
use crate::math::loss::Objective;
use serde::Serialize;
use serde::ser::SerializeMap;

/// Metrics of classification, as [`crate::train::evaluation::ClassReport`] has them.
const CLASSES: [&str; 12] = [
    "accuracy",
    "balanced_accuracy",
    "f1",
    "f1_weighted",
    "precision",
    "precision_weighted",
    "recall",
    "recall_weighted",
    "roc_auc",
    "log_loss",
    "brier",
    "calibration_error",
];
/// Metrics of regression, as [`crate::train::evaluation::NumberReport`] has them.
const NUMBERS: [&str; 6] = ["rmse", "mae", "r2", "median_absolute_error", "mape", "nll"];
/// Metrics of multilabel classification, as [`crate::train::evaluation::LabelReport`] has them.
const LABELS: [&str; 10] = [
    "f1_micro",
    "f1",
    "subset_accuracy",
    "hamming_loss",
    "precision_micro",
    "precision",
    "recall_micro",
    "recall",
    "roc_auc",
    "log_loss",
];
/// The metrics for which smaller is better.
const SMALLER: [&str; 10] = [
    "loss",
    "rmse",
    "mae",
    "median_absolute_error",
    "mape",
    "nll",
    "hamming_loss",
    "log_loss",
    "brier",
    "calibration_error",
];

/// Loss and metrics over a set of rows. Serializes as one flat map, metrics by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The objective over all rows: a mean or a total, by its reduction.
    pub loss: f64,
    /// `accuracy` for classes; `rmse`, `mae` and `r2` for numbers, in the units of the targets; then
    /// the requested metrics of a full report.
    pub values: Vec<(&'static str, f64)>,
}

/// What metrics need of the targets besides the sums over rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetSummary {
    kind: Kind,
    /// The targets of a row.
    outputs: usize,
    /// Σ w (t − mean t)² over rows and outputs, in the unit of the sums.
    variation: f64,
    /// The unit of the sums in those of the targets: see [`units`](crate::data::TargetScaling::units).
    unit: f64,
}

/// The kind of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Classes,
    Numbers,
    Labels,
}

impl TargetSummary {
    /// Summarizes the targets of `samples`, which were encoded by `preprocessing`.
    #[must_use]
    pub fn new(samples: &Samples, preprocessing: &Preprocessing, outputs: usize) -> Self {
        let weight = |row: usize| samples.weights.as_ref().map_or(1.0, |w| f64::from(w[row]));
        let (_, largest) = preprocessing.targets.units();
        let variation = match &samples.targets {
            Some(Targets::Numbers(m)) => (0..m.cols())
                .map(|c| {
                    let unit = preprocessing.targets.unit(c);
                    let column = || (0..m.rows()).map(|r| (weight(r), m.row(r)[c]));
                    let total: f64 = column().map(|(w, _)| w).sum();
                    let mean = column().map(|(w, t)| w * t).sum::<f64>() / total;
                    column().map(|(w, t)| w * ((t - mean) * unit / largest).powi(2)).sum::<f64>()
                })
                .sum(),
            _ => 0.0,
        };
        Self::in_units(variation, preprocessing, outputs)
    }

    /// The summary of targets with this Σ w (t − mean t)² over rows and outputs, in their units; the
    /// weights have a mean of 1.
    #[must_use]
    pub fn of_variation(variation: f64, preprocessing: &Preprocessing, outputs: usize) -> Self {
        let (_, unit) = preprocessing.targets.units();
        Self::in_units(variation / unit / unit, preprocessing, outputs)
    }

    fn in_units(variation: f64, preprocessing: &Preprocessing, outputs: usize) -> Self {
        let kind = match (&preprocessing.classes, &preprocessing.labels) {
            (Some(_), _) => Kind::Classes,
            (None, Some(_)) => Kind::Labels,
            (None, None) => Kind::Numbers,
        };
        TargetSummary { kind, outputs, variation, unit: preprocessing.targets.units().1 }
    }
}

impl Metrics {
    /// Metrics from the sums of `rows` rows' scores, each times the row's weight: loss, correct, Σ d², Σ |d|.
    ///
    /// R² over several outputs weights each by its variance. For labels, whose d is that of logits, only
    /// the loss is returned.
    #[must_use]
    pub fn from_sums(
        sums: [f64; 4],
        rows: usize,
        objective: Objective,
        targets: &TargetSummary,
    ) -> Self {
        let [loss, right, squares, absolutes] = sums;
        let values = match targets.kind {
            // Weights with a mean of 1 add up to the number of rows, up to rounding.
            Kind::Classes => vec![("accuracy", (right / rows as f64).min(1.0))],
            Kind::Labels => Vec::new(),
            Kind::Numbers => {
                let count = (rows * targets.outputs) as f64;
                let (rmse, mae) = ((squares / count).sqrt(), absolutes / count);
                let mut values = vec![("rmse", rmse * targets.unit), ("mae", mae * targets.unit)];
                // A constant target has no R².
                if targets.variation > 0.0 {
                    values.push(("r2", 1.0 - squares / targets.variation));
                }
                values
            }
        };
        Metrics { loss: loss / objective.reduction.divisor(rows, targets.outputs), values }
    }

    /// The metric called `name`, which may be `loss`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return Some(self.loss);
        }
        self.values.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// The metrics that epochs can be compared by for such targets, besides the loss.
    #[must_use]
    pub fn names(targets: &Targets) -> &'static [&'static str] {
        match targets {
            Targets::Classes { .. } => &CLASSES,
            Targets::Numbers(_) => &NUMBERS,
            Targets::Labels { .. } => &LABELS,
        }
    }

    /// The names of all metrics and the loss, some more than once.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        std::iter::once("loss").chain(CLASSES).chain(NUMBERS).chain(LABELS)
    }

    /// Whether a metric can be computed from sums over the rows, which the device makes; otherwise it needs the
    /// predictions for all rows.
    #[must_use]
    pub fn is_summed(name: &str) -> bool {
        ["loss", "accuracy", "rmse", "mae", "r2"].contains(&name)
    }

    /// Whether a larger value of the metric `name` is better.
    #[must_use]
    pub fn larger_is_better(name: &str) -> bool {
        !SMALLER.contains(&name)
    }
}

impl Serialize for Metrics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len() + 1))?;
        map.serialize_entry("loss", &self.loss)?;
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Features};
    use crate::math::loss::{Loss, Reduction};
    use crate::math::matrix::Matrix;

    #[test]
    fn metrics_follow_from_the_sums() {
        let targets = TargetSummary { kind: Kind::Numbers, outputs: 2, variation: 40.0, unit: 1.0 };
        let objective = Objective { loss: Loss::SquaredError, reduction: Reduction::Mean };
        let metrics = Metrics::from_sums([8.0, 0.0, 10.0, 6.0], 5, objective, &targets);
        assert_eq!(metrics.loss, 0.8);
        assert_eq!(metrics.values, [("rmse", 1.0), ("mae", 0.6), ("r2", 0.75)]);
        let far = TargetSummary { unit: 1e60, ..targets };
        let metrics = Metrics::from_sums([8.0, 0.0, 10.0, 6.0], 5, objective, &far);
        assert_eq!(metrics.values, [("rmse", 1e60), ("mae", 0.6 * 1e60), ("r2", 0.75)]);
        let classes = TargetSummary { kind: Kind::Classes, ..targets };
        assert_eq!(
            Metrics::from_sums([8.0, 3.0, 0.0, 0.0], 4, objective, &classes).get("accuracy"),
            Some(0.75)
        );
    }

    #[test]
    fn labels_have_no_metrics_of_numbers() {
        let names = ["warm", "wet"].map(String::from).to_vec();
        let values = Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        let features = Features::F32(Matrix::new(2, 1, vec![0.0, 1.0]).unwrap());
        let data = Dataset::new("t", features, Targets::Labels { values, names }).unwrap();
        let preprocessing = Preprocessing::none(&data);
        let samples = preprocessing.samples(&data).unwrap();
        let summary = TargetSummary::new(&samples, &preprocessing, 2);
        let objective = Objective { loss: Loss::BinaryCrossEntropy, reduction: Reduction::Mean };
        let metrics = Metrics::from_sums([8.0, 1.0, 10.0, 6.0], 2, objective, &summary);
        assert_eq!(metrics, Metrics { loss: 2.0, values: Vec::new() });
    }
}
