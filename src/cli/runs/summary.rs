//! What a run was: the last event of its record.

use crate::cli::judging::judgement::{ByName, Judgement};
use crate::train::event::Ending;
use serde::Serialize;
use std::path::PathBuf;

/// What a run was, as its last event.
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
    /// The mean loss while the last epoch ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// The epoch whose weights are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<Kept>,
    /// How many nets the model has, where it is an ensemble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nets: Option<usize>,
    /// What outputs are divided by, where the model was calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// What the weights tell of how the net was trained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<Judgement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Judgement>,
}

/// The epoch whose weights are kept, and why.
#[derive(Serialize)]
pub(in crate::cli) struct Kept {
    pub epoch: usize,
    pub step: u64,
    pub metric: String,
    pub value: Option<f64>,
}

/// The summary, what the same data say of predictions that cost nothing, and what to doubt.
#[derive(Serialize)]
pub(in crate::cli) struct EndLine<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines: Option<ByName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_baselines: Option<ByName<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

impl<'a> EndLine<'a> {
    pub fn new(summary: &'a Summary, warnings: &'a [String]) -> Self {
        EndLine {
            summary,
            baselines: summary.valid.as_ref().map(Judgement::baselines),
            test_baselines: summary.test.as_ref().map(Judgement::baselines),
            warnings,
        }
    }
}
