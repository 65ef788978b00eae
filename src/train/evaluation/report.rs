//! The metrics of predictions of any kind.

use crate::base::error::Result;
use crate::data::{Predictions, Targets};
use crate::train::evaluation::Value;
use crate::train::evaluation::classes::ClassReport;
use crate::train::evaluation::labels::LabelReport;
use crate::train::evaluation::numbers::NumberReport;
use serde::Serialize;

/// The metrics of predictions. Serializes as one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// One class per row.
    Classes(ClassReport),
    /// Several labels per row.
    Labels(LabelReport),
    /// Numbers.
    Numbers(NumberReport),
}

impl Report {
    /// Evaluates predictions (rows, classes), (rows, targets), or (rows, 2 · targets) if they are means
    /// followed by standard deviations, against the true targets, in their units.
    ///
    /// # Errors
    /// As [`ClassReport::new`] and [`NumberReport::new`].
    pub fn new(
        predictions: &Predictions,
        truth: &Targets,
        weights: Option<&[f32]>,
    ) -> Result<Self> {
        Ok(match truth {
            Targets::Classes { labels, .. } => {
                Report::Classes(ClassReport::new(predictions.as_f32()?, labels, weights)?)
            }
            Targets::Labels { values, .. } => {
                Report::Labels(LabelReport::new(predictions.as_f32()?, values, weights)?)
            }
            Targets::Numbers(targets) => Report::Numbers(match predictions {
                Predictions::F32(m) => NumberReport::new(m, targets, weights)?,
                Predictions::F64(m) => NumberReport::new(m, targets, weights)?,
            }),
        })
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Report::Classes(report) => report.rows,
            Report::Labels(report) => report.rows,
            Report::Numbers(report) => report.rows,
        }
    }

    /// The metrics over all rows by name, most important first. Metrics without a value for these
    /// predictions are left out, such as ROC AUC if there is only one class.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        match self {
            Report::Classes(report) => report.values(),
            Report::Labels(report) => report.values(),
            Report::Numbers(report) => report.values(),
        }
    }
}
