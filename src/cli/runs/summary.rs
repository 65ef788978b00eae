//! The summary of a run: the last event of its record.

use crate::cli::judging::judgement::{ByName, Judgement};
use crate::train::event::Ending;
use serde::Serialize;
use std::path::PathBuf;

/// The summary of a run, its last event.
#[derive(Serialize)]
pub(in crate::cli) struct Summary {
    pub run: PathBuf,
    pub model: PathBuf,
    pub device: String,
    pub backend: String,
    pub ending: Ending,
    pub epochs: usize,
    pub steps: u64,
    pub seconds: f64,
    pub bytes_read: u64,
    pub dispatches: u64,
    pub submissions: u64,
    /// The mean training loss over the last epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// The epoch whose weights are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<Kept>,
    /// The same for each net of an ensemble, if their epochs were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub best_of_nets: Vec<Kept>,
    /// The number of nets, if the model is an ensemble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nets: Option<usize>,
    /// The temperature by which logits are divided, if the model was calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Findings from the weights about the training.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<Judgement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Judgement>,
}

/// The epoch whose weights are kept, and the reason.
#[derive(Clone, Serialize)]
pub(in crate::cli) struct Kept {
    pub epoch: usize,
    pub step: u64,
    pub metric: String,
    pub value: Option<f64>,
}

/// The summary, the baselines on the same data, and the warnings.
#[derive(Serialize)]
pub(in crate::cli) struct EndLine<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// The numbers of rows that the metrics are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines: Option<ByName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_baselines: Option<ByName<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

impl<'a> EndLine<'a> {
    pub fn new(summary: &'a Summary, warnings: &'a [String]) -> Self {
        let rows = |judged: &Option<Judgement>| judged.as_ref().map(|j| j.report.rows());
        EndLine {
            summary,
            valid_rows: rows(&summary.valid),
            test_rows: rows(&summary.test),
            baselines: summary.valid.as_ref().map(Judgement::baselines),
            test_baselines: summary.test.as_ref().map(Judgement::baselines),
            warnings,
        }
    }
}
