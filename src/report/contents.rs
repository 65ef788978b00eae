//! The contents of a report: computed once, and shown by page, card and JSON.

use super::{Curve, Dependence, Evaluation, Influence, LayerHistogram, Picture, Regions};
use crate::report::{Columns, NotComputed, Rows, TargetSummary};
use serde::{Deserialize, Serialize};

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The version of wgrad that made it.
    pub version: String,
    /// The name of the run directory.
    pub run: String,
    /// The name of the training data; none if the model file doesn't name it.
    pub data: Option<String>,
    /// The targets.
    pub target: TargetSummary,
    /// The rows of each part; none where the data could not be opened.
    pub rows: Option<Rows>,
    /// The columns of a table; none if the data aren't a table, or could not be opened.
    pub columns: Option<Columns>,
    /// The net.
    pub net: NetSummary,
    /// The learning curves of each net.
    pub curves: Vec<Curve>,
    /// The evaluation on each held-out part.
    pub evaluations: Vec<Evaluation>,
    /// The importance of each column.
    pub influence: Option<Influence>,
    /// Partial dependence: the mean prediction as a function of one column.
    pub dependence: Vec<Dependence>,
    /// The predictions over the plane of two numeric inputs.
    pub regions: Option<Regions>,
    /// The distribution of each layer's weights.
    pub layers: Vec<LayerHistogram>,
    /// The weights of the first layer's units as images.
    pub first_layer: Option<Picture>,
    /// The settings that train the same model again.
    pub settings: Settings,
    /// The warnings before training.
    pub warnings: Vec<String>,
    /// Findings from the trained weights.
    pub findings: Vec<String>,
    /// The parts that could not be computed, and why.
    pub not_computed: Vec<NotComputed>,
}

/// The net, or the nets of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetSummary {
    /// Its layers, as in `64 → 128 relu → 10 identity`.
    pub layers: String,
    /// Weights and biases of one net.
    pub parameters: usize,
    /// The number of nets, whose predictions are averaged.
    pub nets: usize,
    /// The objective that was minimized.
    pub loss: String,
    /// The temperature that logits are divided by, if the model was calibrated.
    pub temperature: Option<f64>,
    /// The device that it was trained on, if the events tell.
    pub device: Option<String>,
    /// The training time in seconds, if the events tell.
    pub seconds: Option<f64>,
    /// The epoch whose weights were kept; none for an ensemble, whose nets have their own.
    pub kept: Option<Kept>,
    /// Why training ended, as in `metrics.jsonl`.
    pub ending: Option<String>,
    /// The number of epochs after which it was interrupted, if it was.
    #[serde(default)]
    pub interrupted_after: Option<usize>,
}

/// The epoch whose weights were kept, and the metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The metric that was best in it.
    pub metric: String,
}

/// The settings that train the same model again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The command.
    pub command: String,
    /// The run's `config.toml`; none for a model without one.
    pub config: Option<String>,
}
