//! A trained net, or an ensemble of nets, with its preprocessing.

use crate::backend::Backend;
use crate::backend::session::{LayerWeights, Loaded, Session};
use crate::base::error::{Error, Result};
use crate::data::{Affine, Dataset, Features, Predictions, Preprocessing, Samples, Targets};
use crate::kernels::{self, Step};
use crate::math::embedding::Embedding;
use crate::math::loss::{Link, Objective, SCORES};
use crate::math::matrix::Matrix;
use crate::net::metrics::{Metrics, TargetSummary};
use crate::net::spec::{Net, Spec};
use crate::plan::{self, Purpose};
use crate::train::samples::samples;
use std::sync::Arc;

/// The most pixels in a row or a column of the images of a model.
const MOST_PIXELS: u32 = 4096;

/// A trained net: everything that predictions need.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The net.
    pub net: Net,
    /// The training objective, which decides how outputs become predictions.
    pub objective: Objective,
    /// The preprocessing of the data.
    pub preprocessing: Preprocessing,
    /// The parameters of each layer, for one net, or for each net of an ensemble, whose predictions are
    /// averaged.
    pub members: Vec<Vec<LayerWeights>>,
}

impl Model {
    /// Predictions for each row of `features`, in order: probabilities of the classes (N, classes),
    /// or values in the units of the targets (N, outputs); with the loss `gaussian-nll` the means of
    /// all targets, followed by their standard deviations (N, 2 · targets).
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
    /// As [`Model::predict`], and errors of `take`.
    pub fn predict_batches(
        &self,
        features: Arc<Features>,
        backend: Box<dyn Backend>,
        mut take: impl FnMut(usize, Predictions) -> Result<()>,
    ) -> Result<()> {
        let samples = self.preprocessing.features(features)?;
        let mut session = self.session(backend, samples.rows())?;
        let data = session.upload(samples, &self.preprocessing)?;
        self.outputs(&mut session, &data, |first, outputs| take(first, self.predictions(outputs)))
    }

    /// The outputs for uploaded rows, in order: calls `take` with (first row, (rows, n_L)). For an
    /// ensemble, all rows at once, with outputs that predict the mean of its nets' predictions
    /// ([`Link::combine`]).
    fn outputs(
        &self,
        session: &mut Session,
        data: &Loaded,
        mut take: impl FnMut(usize, Matrix<f32>) -> Result<()>,
    ) -> Result<()> {
        if self.members.len() == 1 {
            return session.outputs(data, take);
        }
        let nets = self.each_net(session, data)?;
        take(0, self.objective.loss.link().combine(&nets))
    }

    /// The outputs of each net for the rows of `data`, (N, n_L) each, in a session as for
    /// [`Model::predict_in`].
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn outputs_of_nets(
        &self,
        session: &mut Session,
        data: &Dataset,
    ) -> Result<Vec<Matrix<f32>>> {
        let samples = self.preprocessing.features(data.features_shared())?;
        let loaded = session.upload(samples, &self.preprocessing)?;
        let outputs = self.each_net(session, &loaded);
        session.forget(&loaded);
        outputs
    }

    /// The outputs of each net for uploaded rows: (N, n_L) each.
    fn each_net(&self, session: &mut Session, data: &Loaded) -> Result<Vec<Matrix<f32>>> {
        let cols = self.net.outputs();
        let of_net = |weights: &Vec<LayerWeights>| {
            if self.members.len() > 1 {
                session.set_weights(&self.net, weights)?;
            }
            let mut values = Vec::with_capacity(data.rows * cols);
            session.outputs(data, |_, outputs| {
                values.extend(outputs.into_data());
                Ok(())
            })?;
            Matrix::new(data.rows, cols, values)
        };
        self.members.iter().map(of_net).collect()
    }

    /// Divides the outputs of every net by a number, in the weights and biases of the last layer, which
    /// must be linear: see [`calibration`](crate::train::calibration). Returns false, without a change, if it
    /// isn't.
    pub fn divide_outputs(&mut self, by: f32) -> bool {
        if self.net.layers.last().is_none_or(|last| !last.is_linear()) {
            return false;
        }
        for last in self.members.iter_mut().filter_map(|net| net.last_mut()) {
            let biases = last.bias.iter_mut().flatten();
            last.weight.data_mut().iter_mut().chain(biases).for_each(|w| *w /= by);
        }
        true
    }

    /// As [`Model::predict`], in a session that holds the weights of this model's net, such as its
    /// trainer's; for an ensemble, the weights of each net are written into it in turn.
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
        let done = self.outputs(session, &data, |_, outputs| all.append(self.predictions(outputs)));
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

    /// As [`Model::evaluate`], in a session as for [`Model::predict_in`].
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate_in(&self, session: &mut Session, data: &Dataset) -> Result<Metrics> {
        if self.members.len() > 1 {
            return self.judge_in(session, data).map(|(metrics, _)| metrics);
        }
        let mean_weight = data.mean_weight()?;
        let samples = samples(self.objective.loss, &self.preprocessing, data, mean_weight)?;
        let data = session.upload(samples, &self.preprocessing)?;
        let metrics = session.evaluate(&data);
        session.forget(&data);
        metrics
    }

    /// Whether all parameters are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.members.iter().flatten().all(LayerWeights::is_finite)
    }

    /// Loss and metrics on `data`, and the predictions for its rows, as by [`Model::evaluate_in`] and
    /// [`Model::predict_in`], with a single upload of the rows.
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
        let samples = Arc::new(samples);
        let loaded = session.upload(samples.clone(), &self.preprocessing)?;
        let mut all = Predictions::none(self.predicted_columns());
        let mut measured = None;
        let done = self.outputs(session, &loaded, |_, outputs| {
            if self.members.len() > 1 {
                measured = Some(self.measure(&samples, &outputs));
            }
            all.append(self.predictions(outputs))
        });
        let metrics = done.and_then(|()| match measured {
            Some(metrics) => Ok(metrics),
            None => session.evaluate(&loaded),
        });
        session.forget(&loaded);
        Ok((metrics?, all))
    }

    /// Loss and metrics of outputs for samples with targets, (N, n_L), summed as on a device.
    fn measure(&self, samples: &Samples, outputs: &Matrix<f32>) -> Metrics {
        let loss = self.objective.loss;
        let (rows, cols) = (outputs.rows(), outputs.cols());
        let targets = loss.targets(cols);
        let unit: Vec<f64> = match self.preprocessing.classes {
            Some(_) => vec![1.0; targets],
            None => self.preprocessing.targets.units().0.iter().map(|&x| x.into()).collect(),
        };
        let y: Vec<f64> = outputs.data().iter().map(|&y| y.into()).collect();
        let t: Vec<f64> = match &samples.targets {
            // A single output is for two classes.
            Some(Targets::Classes { labels, .. }) if targets == 1 => {
                labels.iter().map(|&label| label.into()).collect()
            }
            Some(Targets::Classes { labels, .. }) => {
                let is = |r: usize, c: usize| f64::from(u8::from(labels[r] as usize == c));
                Matrix::from_fn(rows, targets, is).into_data()
            }
            Some(Targets::Numbers(m)) => m.data().to_vec(),
            Some(Targets::Labels { values, .. }) => {
                values.data().iter().map(|&t| t.into()).collect()
            }
            None => vec![0.0; rows * targets],
        };
        let (mut gradient, mut scores) = (vec![0.0; y.len()], vec![0.0; rows * SCORES]);
        kernels::loss::rows(loss, &Step::default(), &y, &t, &unit, &mut gradient, &mut scores);
        if let Some(weights) = &samples.weights {
            let all: Vec<u32> = (0..rows as u32).collect();
            kernels::loss::weigh(weights, &all, &mut gradient, &mut scores);
        }
        let mut sums = [0.0; SCORES];
        for row in scores.chunks_exact(SCORES) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let summary = TargetSummary::new(samples, &self.preprocessing, targets);
        Metrics::from_sums(sums, rows, self.objective, &summary)
    }

    /// The predicted class of a row of predictions, as an index into the class names.
    #[must_use]
    pub fn class(&self, predictions: &[f32]) -> usize {
        crate::math::loss::index_of_max(predictions)
    }

    /// The number of columns of a prediction: classes, or outputs.
    #[must_use]
    pub fn predicted_columns(&self) -> usize {
        self.preprocessing.classes.as_ref().map_or(self.net.outputs(), Vec::len)
    }

    /// The loaded net on `backend` for up to `rows` rows, without what is only needed for training.
    ///
    /// # Errors
    /// When the weights don't fit the net, or the net the device.
    pub fn session(&self, backend: Box<dyn Backend>, rows: usize) -> Result<Session> {
        let spec = Spec::new(self.net.clone(), self.objective);
        spec.net.check()?;
        let batch = plan::evaluation_rows(&self.net, rows);
        let plan = plan::plan(&spec, batch, Purpose::Evaluate, backend.traits());
        let mut session = Session::new(backend, plan, self.objective)?;
        session.set_weights(&self.net, &self.members[0])?;
        Ok(session)
    }

    fn predictions(&self, outputs: Matrix<f32>) -> Predictions {
        predictions(outputs, self.objective, &self.preprocessing)
    }

    /// Whether the net's embeddings match the indices of the preprocessing.
    fn fits_embeddings(&self) -> bool {
        let shapes = |all: &[Embedding]| all.iter().map(|e| (e.values, e.dims)).collect::<Vec<_>>();
        let encoding = self.preprocessing.encoding.as_ref();
        encoding.is_none_or(|e| shapes(&e.embeddings()) == shapes(&self.net.embeddings))
    }

    /// Checks that everything fits together, for example after reading from a file.
    ///
    /// # Errors
    /// When it doesn't.
    pub fn check(&self) -> Result<()> {
        self.net.check()?;
        if self.members.is_empty() {
            return Err(Error::data("a model without weights"));
        }
        let Affine { shift, scale } = &self.preprocessing.features;
        let outputs = self.predicted_columns();
        let targets = &self.preprocessing.targets;
        let loss = self.objective.loss;
        let fits = shift.len() == self.net.inputs
            && scale.len() == self.net.inputs
            && targets.is_sound()
            && self.preprocessing.bounds.as_ref().is_none_or(|b| b.len() == targets.cols())
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
                // A single output is for two classes.
                Some(_) if self.net.outputs() == 1 => outputs == 2,
                _ => outputs == self.net.outputs(),
            };
        if fits && !(loss.link() == Link::Softmax && self.net.outputs() == 1) {
            return Ok(());
        }
        Err(Error::data("the preprocessing of the model doesn't fit its net")
            .help("the file was modified: train again"))
    }
}

/// Turns a net's outputs, (rows, n_L), into predictions, as in [`Model::predict`].
pub(crate) fn predictions(
    mut outputs: Matrix<f32>,
    objective: Objective,
    preprocessing: &Preprocessing,
) -> Predictions {
    let (rows, cols) = (outputs.rows(), outputs.cols());
    outputs.data_mut().chunks_exact_mut(cols).for_each(|row| objective.loss.link().apply(row));
    match (&preprocessing.classes, &preprocessing.labels) {
        // A single output is the probability of the second class.
        (Some(_), _) if cols == 1 => Predictions::F32(Matrix::from_fn(rows, 2, |r, c| {
            let p = outputs.row(r)[0];
            if c == 1 { p } else { 1.0 - p }
        })),
        (None, None) => {
            let mut predictions = preprocessing.targets.undo(outputs);
            preprocessing.bounds.iter().for_each(|bounds| predictions.bound(bounds));
            predictions
        }
        _ => Predictions::F32(outputs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::device::{self, Device};
    use crate::backend::session::initial_weights;
    use crate::data::Scaling;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;

    fn cpu() -> Box<dyn Backend> {
        device::open(&Device::Cpu, Some(1)).unwrap().backend
    }

    /// The same rows for each loss, whose targets are classes, labels or numbers; rows have weights.
    fn data(loss: Loss, outputs: usize) -> Dataset {
        let features = Features::F32(Matrix::from_fn(7, 3, |r, c| ((r * 5 + c * 3) % 11) as f32));
        let names: Vec<String> = (0..outputs.max(2)).map(|i| i.to_string()).collect();
        let targets = if loss.is_for_labels() && outputs > 1 {
            let values = Matrix::from_fn(7, outputs, |r, c| ((r + c) % 2) as f32);
            Targets::Labels { values, names }
        } else if loss.is_for_classes() {
            let labels = (0..7).map(|r| r % names.len() as u32).collect();
            Targets::Classes { labels, names }
        } else {
            Targets::Numbers(Matrix::from_fn(7, loss.targets(outputs), |r, c| (r * 2 + c) as f64))
        };
        let weights = (1..=7).map(|w| w as f32).collect();
        Dataset::new("d", features, targets).unwrap().weighted(weights).unwrap()
    }

    fn model(loss: Loss, outputs: usize, data: &Dataset) -> Model {
        let net = Net::new(3).layer(4, Activation::Tanh).layer(outputs, Activation::Identity);
        let spec = Spec::new(net.clone(), loss);
        let mut preprocessing = Preprocessing::fit(data, Scaling::Standard);
        if loss.needs_raw_targets() {
            preprocessing.targets = crate::data::TargetScaling::identity(outputs);
        }
        let seeds = (0..3).map(|seed| initial_weights(&Spec { seed, ..spec.clone() }));
        Model { net, objective: spec.objective, preprocessing, members: seeds.collect() }
    }

    #[test]
    fn an_ensemble_predicts_the_mean_of_its_nets() {
        for (loss, outputs) in [
            (Loss::SquaredError, 2),
            (Loss::CrossEntropy, 3),
            (Loss::BinaryCrossEntropy, 1),
            (Loss::BinaryCrossEntropy, 2),
            (Loss::Poisson, 1),
        ] {
            let data = data(loss, outputs);
            let ensemble = model(loss, outputs, &data);
            let predict = |m: &Model| match m.predict(data.features_shared(), cpu()).unwrap() {
                Predictions::F32(m) => m,
                Predictions::F64(_) => panic!("small numbers"),
            };
            let each: Vec<Matrix<f32>> = ensemble
                .members
                .iter()
                .map(|net| predict(&Model { members: vec![net.clone()], ..ensemble.clone() }))
                .collect();
            let found = predict(&ensemble);
            for (i, &x) in found.data().iter().enumerate() {
                let mean = each.iter().map(|m| m.data()[i]).sum::<f32>() / 3.0;
                assert!((x - mean).abs() < 1e-5 * mean.abs().max(1.0), "{loss}: {x}, not {mean}");
            }
        }
    }

    /// Equal nets are as good as one, by the sums of the host and of the device.
    #[test]
    fn an_ensemble_of_equal_nets_has_the_metrics_of_one() {
        for loss in Loss::ALL.into_iter().filter(|loss| *loss != Loss::CrossEntropyProbabilities) {
            for outputs in [1, 2, 4] {
                if outputs == 1 && (loss.link() == Link::Softmax || loss == Loss::GaussianNll) {
                    continue;
                }
                let data = data(loss, outputs);
                let mut many = model(loss, outputs, &data);
                many.members = vec![many.members[0].clone(); 3];
                let one = Model { members: vec![many.members[0].clone()], ..many.clone() };
                let [one, many] = [one, many].map(|m| m.evaluate(&data, cpu()).unwrap());
                let near = |a: f64, b: f64| (a - b).abs() <= 2e-5 * b.abs().max(1.0);
                assert!(near(many.loss, one.loss), "{loss} {outputs}: {many:?}, {one:?}");
                for ((name, a), (other, b)) in many.values.iter().zip(&one.values) {
                    assert!(name == other && near(*a, *b), "{loss} {outputs}: {many:?}, {one:?}");
                }
            }
        }
    }
}
