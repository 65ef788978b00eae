//! An ensemble put together from its nets, calibrated, saved, and judged.

use crate::backend::Backend;
use crate::backend::session::Session;
use crate::base::error::{Error, Result};
use crate::cli::judging::judgement::{Baselines, JudgeCpu, Judgement};
use crate::cli::runs::rates::{HISTORY, with_rates};
use crate::cli::runs::run::Summary;
use crate::cli::runs::run::{calibrate, save_model_of};
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::setup::job::Source;
use crate::cli::setup::members::Nets;
use crate::cli::setup::open::Trained as Opened;
use crate::data::{Dataset, Predictions};
use crate::files::config::Calibration;
use crate::math::matrix::Matrix;
use crate::net::metrics::Metrics;
use crate::train::model::Model;
use crate::train::snapshot::RateFactor;
use std::path::Path;

/// What an ensemble is worth.
pub(in crate::cli) struct Judged {
    /// What outputs are divided by, where the model was calibrated.
    pub temperature: Option<f64>,
    /// On the validation rows; by folds on all rows, each as the net that didn't see it predicts it.
    pub valid: Option<Judgement>,
    pub test: Option<Judgement>,
    /// A session on the model's net.
    pub session: Session,
}

/// Puts the model of all nets together, calibrates it on the held-out rows where that is asked for, saves
/// it with the linear model into the run directory, and judges it.
pub(in crate::cli) fn judge(
    nets: &Nets,
    trained: &[Trained],
    backend: Box<dyn Backend>,
    config: &str,
    directory: &RunDirectory,
) -> Result<Judged> {
    let job = &nets.whole;
    let members = trained.iter().flat_map(|net| net.model.members.clone()).collect();
    let first = trained.first().ok_or_else(|| Error::failed("an ensemble of no nets"))?;
    let mut model = Model { members, ..first.model.clone() };
    let mut session = model.session(backend, usize::MAX)?;
    let held_out = HeldOut::new(nets)?;
    let temperature = match job.config.run.calibrate {
        Some(Calibration::Temperature) => held_out.calibrate(&mut model, &mut session)?,
        _ => None,
    };
    save_model_of(job, &model, Some(config), temperature, directory)?;
    let mut cpu = JudgeCpu::new(job.config.device.threads);
    let is_judged = held_out.is_some() || job.test.is_some();
    let mut baselines = match is_judged {
        true => Baselines::fit(job, &mut cpu)?,
        false => Baselines::default(),
    };
    baselines.save(directory.path(), job)?;
    let valid = match &held_out {
        HeldOut::None => None,
        HeldOut::Shared(data) => Some(judge_on(data, &model, &mut session, &mut baselines)?),
        HeldOut::Folds(folds) => {
            let linear = trained.iter().map(|net| net.linear.as_ref());
            Some(folds.judge(&model, linear, &mut session, &baselines)?)
        }
    };
    let test = job.test.as_ref();
    let test = test.map(|data| judge_on(data, &model, &mut session, &mut baselines)).transpose()?;
    Ok(Judged { temperature, valid, test, session })
}

/// Judges an ensemble that lies in its run directory on the rows that it was judged on in training: on the
/// validation rows, and on the test rows.
///
/// # Errors
/// When the data don't fit the model, or the device was lost.
pub(in crate::cli) fn judge_again(
    nets: &Nets,
    source: &Source,
    trained: &Opened,
    run: &Path,
    session: &mut Session,
) -> Result<[Option<Judgement>; 2]> {
    let (job, model) = (&nets.whole, &trained.model);
    let mut cpu = JudgeCpu::new(job.config.device.threads);
    let mut baselines = Baselines::of_run(run, &trained.provenance, &mut cpu)?;
    let valid = match &HeldOut::new(nets)? {
        HeldOut::None => None,
        HeldOut::Shared(data) => Some(judge_on(data, model, session, &mut baselines)?),
        HeldOut::Folds(folds) => {
            let mut linear = Vec::new();
            for (i, part) in folds.parts.iter().enumerate() {
                let own = nets.job(source, i + 1)?;
                linear.push(Baselines::fit(&own, &mut cpu)?.linear(part)?);
            }
            let linear = linear.iter().map(Option::as_ref);
            Some(folds.judge(model, linear, session, &baselines)?)
        }
    };
    let test = job.test.as_ref();
    let test = test.map(|data| judge_on(data, model, session, &mut baselines)).transpose()?;
    Ok([valid, test])
}

/// The rows that an ensemble is calibrated and judged by.
enum HeldOut<'a> {
    None,
    /// The same for all nets.
    Shared(&'a Dataset),
    Folds(Folds),
}

/// All rows, those first that the first net didn't see, and so on.
struct Folds {
    rows: Dataset,
    /// The rows of each net.
    parts: Vec<Dataset>,
}

impl<'a> HeldOut<'a> {
    fn new(nets: &'a Nets) -> Result<Self> {
        let job = &nets.whole;
        Ok(match (&nets.folds, &job.validation) {
            (Some(folds), _) => {
                let rows = job.preprocessing.dataset(&job.data, &folds.concat())?;
                let part = |of: &Vec<usize>| job.preprocessing.dataset(&job.data, of);
                HeldOut::Folds(Folds {
                    rows,
                    parts: folds.iter().map(part).collect::<Result<_>>()?,
                })
            }
            (None, Some(data)) => HeldOut::Shared(data),
            (None, None) => HeldOut::None,
        })
    }

    fn is_some(&self) -> bool {
        !matches!(self, HeldOut::None)
    }

    /// Calibrates a model: by folds each row by the net that didn't see it.
    fn calibrate(&self, model: &mut Model, session: &mut Session) -> Result<Option<f64>> {
        match self {
            HeldOut::None => Ok(None),
            HeldOut::Shared(data) => {
                let outputs = model.outputs_of_nets(session, data)?;
                calibrate(model, &outputs, data)
            }
            HeldOut::Folds(folds) => {
                let mut values = Vec::new();
                for (i, part) in folds.parts.iter().enumerate() {
                    let outputs = alone(model, i, session)?.outputs_of_nets(session, part)?;
                    values.extend(outputs.into_iter().flat_map(Matrix::into_data));
                }
                let outputs = Matrix::new(folds.rows.rows(), model.net.outputs(), values)?;
                calibrate(model, &[outputs], &folds.rows)
            }
        }
    }
}

impl Folds {
    /// Judges each row by the net that didn't see it, and by what the linear model without it predicts.
    fn judge<'a>(
        &self,
        model: &Model,
        linear: impl Iterator<Item = Option<&'a Predictions>>,
        session: &mut Session,
        baselines: &Baselines,
    ) -> Result<Judgement> {
        let (mut all, mut loss) = (Predictions::none(0), 0.0);
        for (i, part) in self.parts.iter().enumerate() {
            let (metrics, predictions) = alone(model, i, session)?.judge_in(session, part)?;
            all.append(predictions)?;
            loss += metrics.loss * part.rows() as f64 / self.rows.rows() as f64;
        }
        let linear: Option<Vec<&Predictions>> = linear.collect();
        let linear = linear.map(|parts| -> Result<Predictions> {
            let mut all = Predictions::none(0);
            parts.into_iter().try_for_each(|part| all.append(part.clone()))?;
            Ok(all)
        });
        let linear = linear.transpose()?;
        Judgement::beside(&self.rows, loss, all, &model.preprocessing, linear, baselines)
    }
}

/// Net `i` of a model as a model of its own, in the session.
fn alone(model: &Model, i: usize, session: &mut Session) -> Result<Model> {
    let net = Model { members: vec![model.members[i].clone()], ..model.clone() };
    session.set_weights(&net.net, &net.members[0])?;
    Ok(net)
}

fn judge_on(
    data: &Dataset,
    model: &Model,
    session: &mut Session,
    baselines: &mut Baselines,
) -> Result<Judgement> {
    let (Metrics { loss, .. }, predictions) = model.judge_in(session, data)?;
    Judgement::new(data, loss, predictions, &model.preprocessing, baselines)
}

/// A net that is trained.
pub(in crate::cli) struct Trained {
    pub model: Model,
    pub summary: Summary,
    /// What its learning rate was multiplied by by hand, and from which step on.
    pub rates: Vec<RateFactor>,
    /// What the linear model of its own training rows predicts for its held-out ones.
    pub linear: Option<Predictions>,
}

/// The lines about rates in the configurations of an ensemble's nets, each with the net's number.
pub(super) fn of_nets(trained: &[Trained]) -> Vec<String> {
    let mut all = Vec::new();
    for (i, net) in trained.iter().enumerate() {
        for line in with_rates(&[], &net.rates) {
            let what = line.strip_prefix(HISTORY).unwrap_or_default();
            all.push(format!("{HISTORY}net {}: {what}", i + 1));
        }
    }
    all
}
