//! The evaluation of a net on held-out data, compared with baselines.

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::session::Session;
use crate::base::error::Result;
use crate::cli::runs::names::LINEAR;
use crate::cli::setup::job::Job;
use crate::data::{Dataset, Predictions, Preprocessing, StoredSet, Targets};
use crate::files::checkpoint::{Provenance, load_model, save_model_with};
use crate::train::evaluation::{Constant, Report, Value};
use crate::train::linear;
use crate::train::model::Model;
use crate::train::trainer::{Predicted, Trainer};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::path::Path;

/// The CPU backend that linear models are fitted and evaluated on, whatever device the net is on: opened when
/// first needed, with the requested threads, and shared by all evaluations of a command.
pub(in crate::cli) struct JudgeCpu {
    threads: Option<usize>,
    idle: Option<Box<dyn Backend>>,
}

impl JudgeCpu {
    pub fn new(threads: Option<usize>) -> Self {
        JudgeCpu { threads, idle: None }
    }

    /// Takes a backend that a command has opened and no longer needs.
    pub fn reuse(&mut self, backend: Box<dyn Backend>) {
        if backend.info().backend == "cpu" {
            self.idle = Some(backend);
        }
    }

    fn take(&mut self) -> Result<Box<dyn Backend>> {
        match self.idle.take() {
            Some(backend) => Ok(backend),
            None => Ok(Box::new(Cpu::<f32>::new(self.threads)?)),
        }
    }
}

/// The baselines: constants and, if there is one, the linear model.
#[derive(Default)]
pub(in crate::cli) struct Baselines {
    pub constants: Vec<Constant>,
    linear: Option<Linear>,
}

/// The loaded linear model.
struct Linear {
    model: Model,
    session: Session,
}

impl Linear {
    fn new(model: Model, cpu: Box<dyn Backend>) -> Result<Self> {
        let session = model.session(cpu, usize::MAX)?;
        Ok(Linear { model, session })
    }
}

impl Baselines {
    /// Fits the constants to the training rows. Class weights don't count, as they don't
    /// change how frequent the classes are.
    pub fn constants(job: &Job) -> Vec<Constant> {
        Constant::fit(job.training.targets(), job.sample_weights.as_deref())
    }

    /// Fits the constants and the linear model, on the CPU.
    pub fn fit(job: &Job, cpu: &mut JudgeCpu) -> Result<Self> {
        let own = cpu.take()?;
        let (model, own) = linear::fit_on(&job.spec, &job.training, &job.preprocessing, own)?;
        let linear = match model {
            Some(model) => Some(Linear::new(model, own)?),
            None => {
                cpu.reuse(own);
                None
            }
        };
        Ok(Baselines { constants: Self::constants(job), linear })
    }

    /// Returns the CPU for further evaluations.
    pub fn give_back(self, cpu: &mut JudgeCpu) {
        if let Some(Linear { session, .. }) = self.linear {
            cpu.reuse(session.into_backend());
        }
    }

    /// Writes the linear model into a run directory: a model file like any other.
    pub fn save(&self, directory: &Path, job: &Job) -> Result<()> {
        let Some(linear) = &self.linear else { return Ok(()) };
        let provenance =
            Provenance { data: Some(job.training.name().into()), ..Provenance::default() };
        save_model_with(&linear.model, &provenance, &directory.join(LINEAR))
    }

    /// Those of a trained model: the constants stored in its file, and the linear model
    /// beside it in its run directory.
    pub fn of_run(run: &Path, provenance: &Provenance, cpu: &mut JudgeCpu) -> Result<Self> {
        let file = run.join(LINEAR);
        let load = || Linear::new(load_model(&file)?, cpu.take()?);
        let linear = file.is_file().then(load).transpose()?;
        Ok(Baselines { constants: provenance.baselines.clone(), linear })
    }

    /// The predictions of the linear model for `data`.
    pub fn linear(&mut self, data: &Dataset) -> Result<Option<Predictions>> {
        let Some(Linear { model, session }) = &mut self.linear else { return Ok(None) };
        model.predict_in(session, data.features_shared()).map(Some)
    }

    /// The metrics of each baseline, those of the linear model from its predictions.
    fn judge(&self, held: &HeldOut, linear: Option<&Predictions>) -> Result<Vec<Baseline>> {
        let mut all = Vec::new();
        let mut add = |name: &'static str, predictions: &Predictions| -> Result<()> {
            let report = Report::new(predictions, held.truth, held.weights)?;
            all.push(Baseline { name, values: report.values() });
            Ok(())
        };
        for constant in &self.constants {
            add(constant.name(), &constant.predict(held.truth.rows()))?;
        }
        if let Some(predictions) = linear {
            add("linear_model", predictions)?;
        }
        Ok(all)
    }
}

/// The metrics of one baseline.
pub(in crate::cli) struct Baseline {
    /// `majority_class`, `mean`, `median` or `linear_model`.
    pub name: &'static str,
    pub values: Vec<Value>,
}

/// The data that predictions are compared with.
struct HeldOut<'a> {
    truth: &'a Targets,
    weights: Option<&'a [f32]>,
}

/// The evaluation of a net on one data set.
pub(in crate::cli) struct Judgement {
    /// The objective.
    pub loss: f64,
    pub report: Report,
    pub baselines: Vec<Baseline>,
    /// (rows, classes), (rows, labels) or (rows, outputs).
    pub predictions: Predictions,
    /// The true targets, in their units.
    pub truth: Targets,
    /// The weight of each row, if rows are weighted.
    pub weights: Option<Vec<f32>>,
}

impl Judgement {
    /// Evaluates predictions for `data`.
    pub fn new(
        data: &Dataset,
        loss: f64,
        predictions: Predictions,
        preprocessing: &Preprocessing,
        baselines: &mut Baselines,
    ) -> Result<Self> {
        let linear = baselines.linear(data)?;
        Self::beside(data, loss, predictions, preprocessing, linear, baselines)
    }

    /// As [`Judgement::new`], with given predictions of a linear model.
    pub fn beside(
        data: &Dataset,
        loss: f64,
        predictions: Predictions,
        preprocessing: &Preprocessing,
        linear: Option<Predictions>,
        baselines: &Baselines,
    ) -> Result<Self> {
        let truth = preprocessing.truth(data)?;
        let held = HeldOut { truth: &truth, weights: data.weights() };
        Self::of(&held, loss, predictions, linear, baselines).map_err(|e| e.at(data.name()))
    }

    /// Evaluates the trainer's net on rows in a file: rows are in memory in windows, predictions
    /// all at once.
    pub fn of_stored(
        set: &StoredSet,
        loss: f64,
        trainer: &mut Trainer,
        baselines: &mut Baselines,
    ) -> Result<Self> {
        let mut linear: Option<Predictions> = None;
        let all = trainer.predict_stored(set, |data| {
            if let Some(predictions) = baselines.linear(data)? {
                linear.get_or_insert(Predictions::none(0)).append(predictions)?;
            }
            Ok(())
        })?;
        let Predicted { predictions: net, truth, weights } = &all;
        let held = HeldOut { truth, weights: weights.as_deref() };
        Self::of(&held, loss, net.clone(), linear, baselines).map_err(|e| e.at(set.name()))
    }

    fn of(
        held: &HeldOut,
        loss: f64,
        predictions: Predictions,
        linear: Option<Predictions>,
        baselines: &Baselines,
    ) -> Result<Self> {
        let report = Report::new(&predictions, held.truth, held.weights)?;
        let baselines = baselines.judge(held, linear.as_ref())?;
        let (truth, weights) = (held.truth.clone(), held.weights.map(<[f32]>::to_vec));
        Ok(Judgement { loss, report, baselines, predictions, truth, weights })
    }

    /// The metrics of each baseline by its name, for JSON.
    pub fn baselines(&self) -> ByName<'_> {
        ByName::new(&self.baselines)
    }
}

/// One flat object: the loss, then every metric by name.
impl Serialize for Judgement {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("loss", &self.loss)?;
        self.report
            .values()
            .iter()
            .try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

/// Baselines as an object of objects.
pub(in crate::cli) struct ByName<'a>(&'a [Baseline]);

impl<'a> ByName<'a> {
    pub fn new(baselines: &'a [Baseline]) -> Self {
        ByName(baselines)
    }

    /// Metrics as an object.
    pub fn values(values: &'a [Value]) -> impl Serialize + 'a {
        Values(values)
    }
}

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|b| (b.name, Values(&b.values))))
    }
}

struct Values<'a>(&'a [Value]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::config::TrainConfig;

    fn threads(backend: &dyn Backend) -> String {
        let info = backend.info();
        assert_eq!(info.backend, "cpu");
        info.detail.clone()
    }

    #[test]
    fn all_is_judged_on_one_cpu_with_the_threads_that_were_asked_for() {
        let mut config = TrainConfig::default();
        config.data.data = Some("moons".into());
        config.device.threads = Some(1);
        let job = crate::cli::setup::open::job(config).unwrap();
        let mut cpu = JudgeCpu::new(job.config.device.threads);
        let mut baselines = Baselines::fit(&job, &mut cpu).unwrap();
        let backend = |baselines: &Baselines| {
            let session = &baselines.linear.as_ref().unwrap().session;
            (std::ptr::from_ref(session.backend()).cast::<()>(), threads(session.backend()))
        };
        let (first, detail) = backend(&baselines);
        assert_eq!(detail, "f32, 1 thread");
        let data = job.validation.as_ref().unwrap();
        let found = baselines.linear(data).unwrap().unwrap();
        assert_eq!(found.rows(), data.rows());
        assert!(cpu.idle.is_none() && backend(&baselines).0 == first);

        // A run directory's, on the CPU that the first gave back.
        let place = tempfile::tempdir().unwrap();
        baselines.save(place.path(), &job).unwrap();
        baselines.give_back(&mut cpu);
        let mut of_run = Baselines::of_run(place.path(), &Provenance::default(), &mut cpu).unwrap();
        assert_eq!(backend(&of_run), (first, detail));
        assert_eq!(of_run.linear(data).unwrap().unwrap(), found);
    }
}
