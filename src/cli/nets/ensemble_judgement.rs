//! An ensemble assembled from its nets, calibrated, saved, and evaluated.

use crate::backend::Backend;
use crate::backend::session::Session;
use crate::base::error::Result;
use crate::cli::judging::judgement::{Baselines, JudgeCpu, Judgement};
use crate::cli::runs::rates::{HISTORY, with_rates};
use crate::cli::runs::run::save_model_of;
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::runs::summary::Summary;
use crate::cli::setup::members::Nets;
use crate::cli::setup::open::Trained as Opened;
use crate::cli::setup::source::Source;
use crate::data::{Dataset, Predictions};
use crate::files::config::Calibration;
use crate::front::setup::held_out::{Folds, HeldOut, alone};
use crate::net::metrics::Metrics;
use crate::train::model::Model;
use crate::train::snapshot::RateFactor;
use std::path::Path;

/// The evaluation of an ensemble.
pub(in crate::cli) struct Judged {
    /// The temperature that logits are divided by, if the model was calibrated.
    pub temperature: Option<f64>,
    /// On the validation rows; by folds on all rows, each predicted by the net that held it out.
    pub valid: Option<Judgement>,
    pub test: Option<Judgement>,
    /// A session on the model's net.
    pub session: Session,
}

/// Assembles the model of all nets, calibrates it on the held-out rows if that is asked for, saves
/// it with the linear model into the run directory, and evaluates it.
pub(in crate::cli) fn judge(
    nets: &Nets,
    trained: &[Trained],
    backend: Box<dyn Backend>,
    config: &str,
    directory: &RunDirectory,
) -> Result<Judged> {
    let job = &nets.whole;
    let models = trained.iter().map(|net| net.model.clone()).collect();
    let (mut model, mut session) = nets.together(models, backend)?;
    let held_out = HeldOut::new(nets)?;
    let temperature = match job.config.run.calibrate {
        Some(Calibration::Temperature) => held_out.calibrate(&mut model, &mut session)?,
        _ => None,
    };
    save_model_of(job, &model, config, temperature, directory)?;
    let mut cpu = JudgeCpu::new(job.config.device.threads);
    let is_judged = !matches!(held_out, HeldOut::None) || job.test.is_some();
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

/// Evaluates an ensemble in its run directory on the rows that it was evaluated on in training: the
/// validation rows and the test rows.
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

impl Folds {
    /// Evaluates each row with the net that held it out, and with the linear model fitted without it.
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

fn judge_on(
    data: &Dataset,
    model: &Model,
    session: &mut Session,
    baselines: &mut Baselines,
) -> Result<Judgement> {
    let (Metrics { loss, .. }, predictions) = model.judge_in(session, data)?;
    Judgement::new(data, loss, predictions, &model.preprocessing, baselines)
}

/// A trained net.
pub(in crate::cli) struct Trained {
    pub model: Model,
    pub summary: Summary,
    /// The factors by which its learning rate was changed by hand, with their steps.
    pub rates: Vec<RateFactor>,
    /// The predictions of the linear model of its training rows for its held-out rows.
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
