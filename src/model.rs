//! A trained net with its preprocessing, in memory and in a safetensors file.

use crate::backend::Backend;
use crate::data::{Affine, Dataset, Features, Predictions, Preprocessing};
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::loss::{Link, Objective};
use crate::matrix::Matrix;
use crate::metrics::Metrics;
use crate::plan::{self, Purpose};
use crate::session::{LayerWeights, Session};
use crate::spec::{Net, Spec};
use crate::train::samples;
use std::sync::Arc;

/// The most pixels in a row or a column of the images of a model.
const MOST_PIXELS: u32 = 4096;

/// A trained net: everything that predictions need.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The net.
    pub net: Net,
    /// What it was trained on; decides what turns outputs into predictions.
    pub objective: Objective,
    /// What is done to the data before they meet the net.
    pub preprocessing: Preprocessing,
    /// The parameters of each layer.
    pub weights: Vec<LayerWeights>,
}

impl Model {
    /// Predictions for each row of `features`, in order: probabilities of the classes (N, classes),
    /// or values in the units of the targets (N, outputs); under the loss `gaussian-nll` the means of
    /// all targets, and then their standard deviations (N, 2 · targets).
    ///
    /// # Errors
    /// When the columns are not those of the training data, or the device was lost.
    pub fn predict(
        &self,
        features: Arc<Features>,
        backend: Box<dyn Backend>,
    ) -> Result<Predictions> {
        let mut all = Predictions::none(self.predicted_columns());
        self.predict_batches(features, backend, |_, batch| all.append(batch))?;
        Ok(all)
    }

    /// As [`Model::predict`], a batch at a time: calls `take` with (first row, predictions).
    ///
    /// # Errors
    /// As [`Model::predict`], and what `take` returns.
    pub fn predict_batches(
        &self,
        features: Arc<Features>,
        backend: Box<dyn Backend>,
        mut take: impl FnMut(usize, Predictions) -> Result<()>,
    ) -> Result<()> {
        let samples = self.preprocessing.features(features)?;
        let mut session = self.session(backend, samples.rows())?;
        let data = session.upload(samples, &self.preprocessing)?;
        session.outputs(&data, |first, outputs| take(first, self.predictions(outputs)))
    }

    /// As [`Model::predict`], in a session that holds this model's weights, such as its trainer's.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn predict_in(
        &self,
        session: &mut Session,
        features: Arc<Features>,
    ) -> Result<Predictions> {
        let samples = self.preprocessing.features(features)?;
        let data = session.upload(samples, &self.preprocessing)?;
        let mut all = Predictions::none(self.predicted_columns());
        let done = session.outputs(&data, |_, outputs| all.append(self.predictions(outputs)));
        session.forget(&data);
        done.map(|()| all)
    }

    /// Loss and metrics on `data`.
    ///
    /// # Errors
    /// When the data are not like the training data, or the device was lost.
    pub fn evaluate(&self, data: &Dataset, backend: Box<dyn Backend>) -> Result<Metrics> {
        let mut session = self.session(backend, data.rows())?;
        self.evaluate_in(&mut session, data)
    }

    /// As [`Model::evaluate`], in a session that holds this model's weights.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate_in(&self, session: &mut Session, data: &Dataset) -> Result<Metrics> {
        let mean_weight = data.mean_weight()?;
        let samples = samples(self.objective.loss, &self.preprocessing, data, mean_weight)?;
        let data = session.upload(samples, &self.preprocessing)?;
        let metrics = session.evaluate(&data);
        session.forget(&data);
        metrics
    }

    /// Whether no number in it is NaN or infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.weights.iter().all(LayerWeights::is_finite)
    }

    /// Loss and metrics on `data`, and the predictions for its rows, as [`Model::evaluate_in`] and
    /// [`Model::predict_in`] give them: the rows are uploaded once.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn judge_in(
        &self,
        session: &mut Session,
        data: &Dataset,
    ) -> Result<(Metrics, Predictions)> {
        let mean_weight = data.mean_weight()?;
        let samples = samples(self.objective.loss, &self.preprocessing, data, mean_weight)?;
        let data = session.upload(samples, &self.preprocessing)?;
        let metrics = session.evaluate(&data);
        let mut all = Predictions::none(self.predicted_columns());
        let done = metrics.and_then(|metrics| {
            session.outputs(&data, |_, outputs| all.append(self.predictions(outputs)))?;
            Ok(metrics)
        });
        session.forget(&data);
        Ok((done?, all))
    }

    /// The class that a row of predictions says, as a place in the class names.
    #[must_use]
    pub fn class(&self, predictions: &[f32]) -> usize {
        crate::loss::index_of_max(predictions)
    }

    /// The columns of a prediction: classes, or outputs.
    #[must_use]
    pub fn predicted_columns(&self) -> usize {
        self.preprocessing.classes.as_ref().map_or(self.net.outputs(), Vec::len)
    }

    /// The loaded net on `backend` for up to `rows` rows, without what only training needs.
    ///
    /// # Errors
    /// When the weights don't fit the net, or the net the device.
    pub fn session(&self, backend: Box<dyn Backend>, rows: usize) -> Result<Session> {
        let spec = Spec::new(self.net.clone(), self.objective);
        spec.net.check()?;
        let batch = plan::evaluation_rows(&self.net, rows);
        let fusion = backend.fusion(&spec, batch);
        let plan = plan::plan(&spec, batch, Purpose::Evaluate, fusion);
        let mut session = Session::new(backend, plan, self.objective)?;
        session.set_weights(&self.net, &self.weights)?;
        Ok(session)
    }

    fn predictions(&self, outputs: Matrix<f32>) -> Predictions {
        predictions(outputs, self.objective, &self.preprocessing)
    }

    /// Whether the net embeds what the preprocessing makes indices of.
    fn fits_embeddings(&self) -> bool {
        let shapes = |all: &[Embedding]| all.iter().map(|e| (e.values, e.dims)).collect::<Vec<_>>();
        let encoding = self.preprocessing.encoding.as_ref();
        encoding.is_none_or(|e| shapes(&e.embeddings()) == shapes(&self.net.embeddings))
    }

    /// Checks that everything fits together, as after reading from a file.
    ///
    /// # Errors
    /// When it doesn't.
    pub fn check(&self) -> Result<()> {
        self.net.check()?;
        let Affine { shift, scale } = &self.preprocessing.features;
        let outputs = self.predicted_columns();
        let targets = &self.preprocessing.targets;
        let loss = self.objective.loss;
        let fits = shift.len() == self.net.inputs
            && scale.len() == self.net.inputs
            && targets.is_sound()
            && targets.cols() == loss.targets(outputs)
            && loss.outputs(targets.cols()) == outputs
            && self.preprocessing.encoding.as_ref().is_none_or(|e| e.width() == shift.len())
            && self.preprocessing.is_whole()
            && self.fits_embeddings()
            && self.preprocessing.image.is_none_or(|image| {
                // In this order: the product of larger ones may overflow.
                [image.width, image.height].iter().all(|n| (1..=MOST_PIXELS).contains(n))
                    && image.features() == self.net.inputs
            })
            && self.preprocessing.features.keeps_last(self.net.embeddings.len())
            && match self.preprocessing.classes {
                // A single output tells two classes apart.
                Some(_) if self.net.outputs() == 1 => outputs == 2,
                _ => outputs == self.net.outputs(),
            };
        if fits && !(loss.link() == Link::Softmax && self.net.outputs() == 1) {
            return Ok(());
        }
        Err(Error::data("the preprocessing of the model doesn't fit its net")
            .help("the file was changed: train again"))
    }
}

/// Turns a net's outputs, (rows, n_L), into predictions, as [`Model::predict`] has them.
pub(crate) fn predictions(
    mut outputs: Matrix<f32>,
    objective: Objective,
    preprocessing: &Preprocessing,
) -> Predictions {
    let (rows, cols) = (outputs.rows(), outputs.cols());
    outputs.data_mut().chunks_exact_mut(cols).for_each(|row| objective.loss.link().apply(row));
    match (&preprocessing.classes, &preprocessing.labels) {
        // A single output says how likely the second class is.
        (Some(_), _) if cols == 1 => Predictions::F32(Matrix::from_fn(rows, 2, |r, c| {
            let p = outputs.row(r)[0];
            if c == 1 { p } else { 1.0 - p }
        })),
        (None, None) => preprocessing.targets.undo(outputs),
        _ => Predictions::F32(outputs),
    }
}
