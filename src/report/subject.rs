//! The inputs of a report: a model, the files of its run and, if available, the data.

use crate::backend::session::Session;
use crate::base::error::{Error, Result};
use crate::data::{Data, Dataset, Features, Predictions, Preprocessing, Targets};
use crate::train::evaluation::{Report, Value};
use crate::train::model::Model;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// A finished run.
pub struct Subject<'a> {
    /// The run directory.
    pub directory: &'a Path,
    /// The directories whose `metrics.jsonl` have the curves, with the name of each net; the run's own,
    /// without a name, for a single net.
    pub nets: Vec<(Option<String>, std::path::PathBuf)>,
    /// The model.
    pub model: &'a Model,
    /// The layers of its net, as text.
    pub layers: String,
    /// The temperature that its logits are divided by.
    pub temperature: Option<f64>,
    /// The name of the training data.
    pub data_name: Option<&'a str>,
    /// The text of its `config.toml`.
    pub config: Option<&'a str>,
    /// The data as they were read.
    pub data: Option<&'a Data>,
    /// The rows of `data` that were trained on.
    pub training_rows: &'a [usize],
    /// The encoded training rows.
    pub training: Option<&'a Dataset>,
    /// The number of rows of each part.
    pub rows: Option<super::Rows>,
    /// The parts that the model was evaluated on.
    pub held_out: Vec<HeldOut<'a>>,
    /// The warnings before training.
    pub warnings: &'a [String],
    /// Parts that can't be computed, and why.
    pub not_computed: Vec<super::NotComputed>,
}

/// Rows that a model was evaluated on.
pub struct HeldOut<'a> {
    /// `validation` or `test`.
    pub part: &'static str,
    /// The objective.
    pub loss: f64,
    /// The metrics of the predictions.
    pub report: &'a Report,
    /// The metrics of the baselines, by name.
    pub baselines: Vec<(&'static str, &'a [Value])>,
    /// (rows, classes), (rows, labels) or (rows, outputs).
    pub predictions: &'a Predictions,
    /// The true targets, in their units.
    pub truth: &'a Targets,
    /// The weight of each row, if rows are weighted.
    pub weights: Option<&'a [f32]>,
    /// The encoded rows, in the order of the predictions; none if they aren't
    /// in memory.
    pub features: Option<Arc<Features>>,
    /// Some of the encoded rows, each with its index among the predictions, if not all are
    /// in memory.
    pub sampled: Option<(Vec<usize>, Arc<Features>)>,
    /// Their row numbers in the data; none if they come from elsewhere.
    pub rows: Option<&'a [usize]>,
    /// The net of an ensemble that held out each row and alone predicts it; none if all nets do.
    pub nets: Option<Vec<usize>>,
}

impl HeldOut<'_> {
    /// The available encoded rows, and the index of each among the predictions.
    #[must_use]
    pub fn at_hand(&self) -> Option<(Vec<usize>, &Features)> {
        match (&self.features, &self.sampled) {
            (Some(all), _) => Some(((0..self.truth.rows()).collect(), all)),
            (None, Some((rows, some))) => Some((rows.clone(), some)),
            (None, None) => None,
        }
    }
}

/// Predicts rows by the whole model or by one of its nets.
pub struct Predictor<'a> {
    model: &'a Model,
    session: &'a mut Session,
    /// The nets of an ensemble as separate models.
    alone: Vec<Option<Model>>,
}

impl<'a> Predictor<'a> {
    /// With a session on the model's net.
    pub fn new(model: &'a Model, session: &'a mut Session) -> Self {
        Predictor { model, session, alone: vec![None; model.members.len()] }
    }

    /// The multiply-adds of a prediction of one row by the whole model.
    #[must_use]
    pub fn work(&self) -> usize {
        (self.model.net.parameters().max(1)).saturating_mul(self.model.members.len().max(1))
    }

    /// The number of nets.
    #[must_use]
    pub fn nets(&self) -> usize {
        self.model.members.len()
    }

    /// For each input of the first layer of the first net the sum of its squared weights.
    #[must_use]
    pub fn first_layer_squares(&self) -> Vec<f64> {
        let layer = self.model.members.first().and_then(|net| net.first());
        let Some(weight) = layer.map(|layer| &layer.weight) else { return Vec::new() };
        let mut squares = vec![0.0; weight.cols()];
        for row in weight.iter_rows() {
            squares.iter_mut().zip(row).for_each(|(sum, &w)| *sum += f64::from(w) * f64::from(w));
        }
        squares
    }

    /// The preprocessing of features.
    #[must_use]
    pub fn preprocessing(&self) -> &'a Preprocessing {
        &self.model.preprocessing
    }

    /// The predictions for encoded rows, by net `net`, or by all nets.
    ///
    /// # Errors
    /// When the device was lost, or there is no such net.
    pub fn predict(&mut self, features: Features, net: Option<usize>) -> Result<Predictions> {
        let features = Arc::new(features);
        let Some(net) = net.filter(|_| self.model.members.len() > 1) else {
            return self.model.predict_in(self.session, features);
        };
        let weights = self.model.members.get(net);
        let weights = weights.ok_or_else(|| Error::failed(format!("there is no net {net}")))?;
        let alone = self.alone[net].get_or_insert_with(|| Model {
            members: vec![weights.clone()],
            net: self.model.net.clone(),
            objective: self.model.objective,
            preprocessing: self.model.preprocessing.clone(),
        });
        self.session.set_weights(&alone.net, weights)?;
        alone.predict_in(self.session, features)
    }
}

/// The rows of each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Training rows.
    pub training: usize,
    /// Validation rows.
    pub validation: usize,
    /// Test rows.
    pub test: usize,
}

/// A part of a report that could not be computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotComputed {
    /// The part.
    pub part: String,
    /// Why.
    pub why: String,
}
