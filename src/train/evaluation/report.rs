//! All that is said of predictions.

use crate::base::error::Result;
use crate::data::{Predictions, Targets};
use crate::train::evaluation::Value;
use crate::train::evaluation::classes::ClassReport;
use crate::train::evaluation::labels::LabelReport;
use crate::train::evaluation::numbers::NumberReport;
use serde::Serialize;

/// All that is said of predictions. Serializes as one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// One class a row.
    Classes(ClassReport),
    /// Several labels a row, each there or not.
    Labels(LabelReport),
    /// Numbers.
    Numbers(NumberReport),
}

impl Report {
    /// Judges predictions (rows, classes), (rows, targets), or (rows, 2 · targets) where they are means
    /// and then standard deviations, by the truth, in its own units.
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

    /// The metrics over all rows by name, those first that people look at first. What these
    /// predictions have no value of is left out, as the ROC AUC where there is only one class.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        match self {
            Report::Classes(report) => report.values(),
            Report::Labels(report) => report.values(),
            Report::Numbers(report) => report.values(),
        }
    }
}
