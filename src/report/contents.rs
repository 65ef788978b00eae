//! The contents of a report: what is computed once, and what page, card and JSON show.

use super::{Curve, Dependence, Evaluation, Influence, LayerHistogram, Picture, Regions};
use crate::report::{Columns, NotComputed, Rows, TargetSummary};
use serde::{Deserialize, Serialize};

/// All that is told of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The version of wgrad that made it.
    pub version: String,
    /// The name of the run directory.
    pub run: String,
    /// The name of the training data; none where the model's file doesn't tell.
    pub data: Option<String>,
    /// What is predicted.
    pub target: TargetSummary,
    /// The rows of each part; none where the data could not be opened.
    pub rows: Option<Rows>,
    /// The columns of a table; none where the data are none, or could not be opened.
    pub columns: Option<Columns>,
    /// The net.
    pub net: NetSummary,
    /// How training went, for each net.
    pub curves: Vec<Curve>,
    /// What the model is worth on each held-out part.
    pub evaluations: Vec<Evaluation>,
    /// How much the predictions depend on each column.
    pub influence: Option<Influence>,
    /// The mean prediction as a function of one column.
    pub dependence: Vec<Dependence>,
    /// What is predicted over the plane of two numeric inputs.
    pub regions: Option<Regions>,
    /// The distribution of each layer's weights.
    pub layers: Vec<LayerHistogram>,
    /// The weights of the first layer's units as images.
    pub first_layer: Option<Picture>,
    /// What trains the same model again.
    pub settings: Settings,
    /// What was doubted before training.
    pub warnings: Vec<String>,
    /// What the trained weights tell of how the net was trained.
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
    /// How many nets there are, whose predictions are averaged.
    pub nets: usize,
    /// What was minimized.
    pub loss: String,
    /// What the outputs were divided by, where the model was calibrated.
    pub temperature: Option<f64>,
    /// The device that it was trained on, where the events tell.
    pub device: Option<String>,
    /// The seconds that training took, where the events tell.
    pub seconds: Option<f64>,
    /// The epoch whose weights were kept; none for an ensemble, whose nets have theirs.
    pub kept: Option<Kept>,
    /// Why training ended, as in `metrics.jsonl`.
    pub ending: Option<String>,
    /// After how many epochs it was interrupted, where it was.
    #[serde(default)]
    pub interrupted_after: Option<usize>,
}

/// The epoch whose weights were kept, and by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The metric that was best in it.
    pub metric: String,
}

/// What trains the same model again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The command.
    pub command: String,
    /// The run's `config.toml`; none of a model without one.
    pub config: Option<String>,
}
