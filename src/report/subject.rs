//! What a report is made of: a model, its run's files, and where they are at hand the data.

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
    /// without a name, where it is of one net.
    pub nets: Vec<(Option<String>, std::path::PathBuf)>,
    /// The model.
    pub model: &'a Model,
    /// The layers of its net in words.
    pub layers: String,
    /// What its outputs were divided by.
    pub temperature: Option<f64>,
    /// The name of the training data.
    pub data_name: Option<&'a str>,
    /// The text of its `config.toml`.
    pub config: Option<&'a str>,
    /// The data as they were read.
    pub data: Option<&'a Data>,
    /// The rows of `data` that were trained on.
    pub training_rows: &'a [usize],
    /// The training rows as the net takes them.
    pub training: Option<&'a Dataset>,
    /// How many rows each part has.
    pub rows: Option<super::Rows>,
    /// The parts that the model was judged on.
    pub held_out: Vec<HeldOut<'a>>,
    /// What was doubted before training.
    pub warnings: &'a [String],
    /// Parts that can't be computed, and why.
    pub not_computed: Vec<super::NotComputed>,
}

/// Rows that a model was judged on.
pub struct HeldOut<'a> {
    /// `validation` or `test`.
    pub part: &'static str,
    /// The objective.
    pub loss: f64,
    /// What is said of the predictions.
    pub report: &'a Report,
    /// The metrics of predictions that cost nothing, by name.
    pub baselines: Vec<(&'static str, &'a [Value])>,
    /// (rows, classes), (rows, labels) or (rows, outputs).
    pub predictions: &'a Predictions,
    /// What is the case, in the units of the targets.
    pub truth: &'a Targets,
    /// How much each row counts, where they don't count alike.
    pub weights: Option<&'a [f32]>,
    /// The rows as the net takes them: all, in the order of the predictions, or none where they are not
    /// held in memory.
    pub features: Option<Arc<Features>>,
    /// Some of them as the net takes them, each with its number among the predictions, where not all are held
    /// in memory.
    pub sampled: Option<(Vec<usize>, Arc<Features>)>,
    /// The rows of the data that they are; none where they come from elsewhere.
    pub rows: Option<&'a [usize]>,
    /// The net of an ensemble that didn't see each row, and alone predicts it; none where all do.
    pub nets: Option<Vec<usize>>,
}

impl HeldOut<'_> {
    /// The rows that are at hand as the net takes them, and the number of each among the predictions.
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
    /// The nets of an ensemble as models of their own.
    alone: Vec<Option<Model>>,
}

impl<'a> Predictor<'a> {
    /// With a session on the model's net.
    pub fn new(model: &'a Model, session: &'a mut Session) -> Self {
        Predictor { model, session, alone: vec![None; model.members.len()] }
    }

    /// Multiply-adds of a prediction of one row, by the whole model.
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

    /// What is done to features before they meet the net.
    #[must_use]
    pub fn preprocessing(&self) -> &'a Preprocessing {
        &self.model.preprocessing
    }

    /// The predictions for rows as the net takes them, by net `net`, or by all of them.
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
    /// Those that are trained on.
    pub training: usize,
    /// Those that are held out for validation.
    pub validation: usize,
    /// Those that are only measured on.
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
