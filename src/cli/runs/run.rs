//! One training run in its directory: trained, saved, evaluated, recorded.

use super::rates::RatesByHand;
use super::run_directory::{RunDirectory, WholeLines};
use super::summary::{EndLine, Kept, Summary};
use super::watched::{held_out, train_watched};
use super::{rates, tensorboard};
use crate::backend::DeviceInfo;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::every::Every;
use crate::cli::arguments::terminal::{Failure, say};
use crate::cli::judging::judgement::{Baselines, JudgeCpu, Judgement};
use crate::cli::judging::warnings::images_alike;
use crate::cli::setup::job::Job;
use crate::data::{Dataset, StoredSet};
use crate::files::checkpoint::{Provenance, Store, Writer, save_model_with};
use crate::files::config::Calibration;
use crate::net::metrics::Metrics;
use crate::observe::{
    Checkpoints, Display, HeldOut, Interrupt, Lines, MetricsCsv, Record, StopWhen, Together,
    can_redraw, columns,
};
use crate::train::calibration::calibrate;
use crate::train::event::{End, Ending, Epoch, Flow, Observer};
use crate::train::model::Model;
use crate::train::trainer::{GoodAt, Trainer};
use std::io::{IsTerminal, stderr, stdout};
use std::sync::Arc;
use std::time::Instant;

/// The default checkpoint interval.
const CHECKPOINT_EVERY: Every = Every::Seconds(60.0);
/// The default number of checkpoints to keep.
const KEEP_CHECKPOINTS: usize = 2;

/// What is shown during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Shown {
    /// Its events, as JSON lines on standard output.
    Json,
    /// A progress bar on a terminal, else a line for each epoch.
    Epochs,
    /// A progress bar on a terminal, else nothing.
    Bar,
    /// Nothing.
    Nothing,
}

/// A run whose directory exists.
pub(in crate::cli) struct Run<'a> {
    pub job: &'a Job,
    pub device: &'a DeviceInfo,
    pub directory: &'a RunDirectory,
    /// The configuration, for the model's file.
    pub config: &'a str,
    pub warnings: &'a [String],
    /// Its checkpoints, if it has any.
    pub checkpoints: Option<Store>,
    /// Why it ended before it is resumed, if nothing is left to train.
    pub ended: Option<Ending>,
    /// Whether the model is calibrated and evaluated at the end; the nets of an ensemble are evaluated
    /// together.
    pub is_judged: bool,
}

/// The result of a run, and whether the reader of its JSON lines has closed the pipe.
pub(in crate::cli) struct Finished {
    pub summary: Summary,
    pub is_closed: bool,
}

impl<'a> Run<'a> {
    /// A run that has not ended, with the checkpoints of its options, whose model is evaluated.
    pub fn new(
        job: &'a Job,
        device: &'a DeviceInfo,
        directory: &'a RunDirectory,
        config: &'a str,
        warnings: &'a [String],
    ) -> Self {
        let keep = job.config.run.keep_checkpoints.unwrap_or(KEEP_CHECKPOINTS);
        let checkpoints = (keep > 0).then(|| Store::new(directory.checkpoints(), keep));
        let (ended, is_judged) = (None, true);
        Run { job, device, directory, config, warnings, checkpoints, ended, is_judged }
    }

    /// Trains to the end, saves the model, evaluates it on the held-out data, with baselines on `cpu`, and
    /// writes all events.
    pub fn fit(
        &self,
        trainer: &mut Trainer,
        cpu: &mut JudgeCpu,
        events: WholeLines,
        shown: Shown,
        display: &mut Display,
        interrupt: &mut Interrupt,
    ) -> Result<Finished> {
        // The data for evaluation during the run: stopping by a metric needs them.
        let stop = self.job.config.run.stop_at.clone();
        let held_out = held_out(self.job);
        let about = serde_json::json!({
            "run": self.directory.path(),
            "version": env!("CARGO_PKG_VERSION"),
            "data": self.job.training.name(),
        });
        let about = about.as_object().cloned().unwrap_or_default();
        let mut checkpoints = self.checkpoints(&events, display)?;
        display.keeps_checkpoints(checkpoints.is_some());
        let place = events.place();
        let mut metrics = Record::new(events, place, about.clone(), held_out);
        let (table, kept) = self.directory.table(trainer.position().epoch)?;
        let place = table.place();
        let mut table = MetricsCsv::new(table, place, held_out, kept);
        let mut json = Record::new(stdout(), "standard output", about, held_out);
        let mut lines =
            Lines::new(stderr(), held_out).within(stderr().is_terminal().then(columns).flatten());
        let mut board = tensorboard::events(&self.job.config.run, self.directory, self.config);
        let mut stop = stop.map(StopWhen);
        let mut last = LastLoss(None);
        let mut rates = RatesByHand::new(self.job, self.device, self.directory);

        let mut observers: Vec<&mut dyn Observer> =
            vec![&mut metrics, &mut table, interrupt, &mut last, &mut rates];
        if let Some(stop) = &mut stop {
            observers.push(stop);
        }
        if let Some(board) = &mut board {
            observers.push(board);
        }
        // After the record, whose length is part of a checkpoint.
        if let Some(checkpoints) = &mut checkpoints {
            observers.push(checkpoints);
        }
        match (shown, can_redraw() || display.is_dashboard()) {
            (Shown::Json, _) => observers.push(&mut json),
            (Shown::Epochs | Shown::Bar, true) => observers.push(display.observer()),
            (Shown::Epochs, false) => observers.push(&mut lines),
            _ => {}
        }
        let begin = Instant::now();
        let fitted = self.train(trainer, held_out, &mut Together(observers));
        log::debug!("trained in {:.3} s", begin.elapsed().as_secs_f64());
        display.clear();
        let changed = self.config_by_hand(trainer)?;
        let config = changed.as_deref().unwrap_or(self.config);
        if let Err(error) = &fitted {
            self.rescue(trainer, config, error);
        }
        let outcome = fitted.and_then(|end| {
            let end = End { ending: self.ended.unwrap_or(end.ending), ..end };
            if let Some(checkpoints) = &mut checkpoints {
                checkpoints.last(trainer.checkpoint()?, end.ending);
            }
            let begin = Instant::now();
            let summary = self.finish(trainer, cpu, end, held_out, last.0, config);
            log::debug!("saved and evaluated in {:.3} s", begin.elapsed().as_secs_f64());
            summary
        });
        let summary = match outcome {
            Ok(summary) => summary,
            Err(error) => {
                // The original error is what matters now.
                let _ = metrics.event("error", &Failure::of(&error));
                return Err(error);
            }
        };
        let end = EndLine::new(&summary, self.warnings);
        metrics.event("end", &end)?;
        if shown == Shown::Json {
            json.event("end", &end)?;
        }
        if let Some(board) = &mut board {
            let judged = [&summary.valid, &summary.test];
            tensorboard::end(board, summary.steps, judged, &self.job.preprocessing)?;
        }
        if let Some(checkpoints) = &mut checkpoints {
            checkpoints.finish();
        }
        Ok(Finished { summary, is_closed: json.is_closed() })
    }

    /// Trains to the end, evaluating on the held-out rows. A whole run in which nothing was learned is
    /// an error.
    fn train(
        &self,
        trainer: &mut Trainer,
        held_out: HeldOut,
        observers: &mut dyn Observer,
    ) -> Result<End> {
        let end = train_watched(self.job, trainer, held_out, observers)?;
        if matches!(end.ending, Ending::Done | Ending::Patience) {
            trainer.check_learnt()?;
        }
        Ok(end)
    }

    /// The writer of the run's checkpoints, beside its `events`.
    fn checkpoints(&self, events: &WholeLines, display: &Display) -> Result<Option<Checkpoints>> {
        let Some(store) = &self.checkpoints else { return Ok(None) };
        let every = self.job.config.run.checkpoint_every.unwrap_or(CHECKPOINT_EVERY);
        let writer = Writer::start(store.clone(), events.file())?;
        let bar = display.handle();
        let notify = Box::new(move |message: &str| bar.suspend(|| say(message)));
        Ok(Some(Checkpoints::new(writer, every, self.config.into(), events.length(), notify)))
    }

    /// Saves the model, then evaluates it.
    fn finish(
        &self,
        trainer: &mut Trainer,
        cpu: &mut JudgeCpu,
        end: End,
        held_out: HeldOut,
        train_loss: Option<f64>,
        config: &str,
    ) -> Result<Summary> {
        let traffic = trainer.session().backend().traffic();
        let kept = trainer.restore_best()?;
        let best = trainer.best().filter(|_| kept);
        let valid = best.map(|best| best.metrics.clone()).or(end.valid);
        let best = best.map(|best| Kept {
            epoch: best.epoch,
            step: best.step,
            value: best.metrics.get(&best.metric),
            metric: best.metric.clone(),
        });
        let complete = end.ending != Ending::Interrupted;
        let is_judged = self.is_judged && complete;
        let mut model = trainer.model()?;
        let temperature = match is_judged {
            true => self.calibrate(&mut model, trainer)?,
            false => None,
        };
        self.save(&model, config, temperature)?;
        let (valid, mut test) = match held_out {
            HeldOut::Validation => (valid, None),
            HeldOut::Test => (None, valid),
        };
        // With images that are all alike, the net isn't at fault.
        let findings = match complete && images_alike(&self.job.training).is_none() {
            true => trainer.findings()?,
            false => Vec::new(),
        };
        if let (None, true) = (&test, is_judged) {
            test = match (self.stored_test(), &self.job.test) {
                (Some(set), _) => Some(trainer.evaluate_stored(&set.clone())?),
                (None, data) => data.as_ref().map(|data| trainer.evaluate(data)).transpose()?,
            };
        }
        let mut baselines = match is_judged && (valid.is_some() || test.is_some()) {
            true => Baselines::fit(self.job, cpu)?,
            false => Baselines::default(),
        };
        baselines.save(self.directory.path(), self.job)?;
        let mut judge = |stored: Option<&Arc<StoredSet>>,
                         data: &Option<Dataset>,
                         metrics: Option<Metrics>|
         -> Result<Option<Judgement>> {
            let Some(Metrics { loss, .. }) = metrics else { return Ok(None) };
            if let Some(set) = stored {
                // Metrics measured before the calibration are no longer valid.
                let loss = match temperature {
                    Some(_) => trainer.evaluate_stored(set)?.loss,
                    None => loss,
                };
                return Judgement::of_stored(set, loss, trainer, &mut baselines).map(Some);
            }
            let Some(data) = data else { return Ok(None) };
            let (Metrics { loss, .. }, predictions) = model.judge_in(trainer.session(), data)?;
            let preprocessing = &self.job.preprocessing;
            Judgement::new(data, loss, predictions, preprocessing, &mut baselines).map(Some)
        };
        let is_shown = |metrics: Option<Metrics>| metrics.filter(|_| self.is_judged);
        let test = judge(self.stored_test(), &self.job.test, is_shown(test))?;
        // The last net of a cross-validation is evaluated by the nets of the folds.
        let valid = is_shown(valid).filter(|_| !self.job.is_last_of_folds());
        let valid = judge(self.stored_validation(), &self.job.validation, valid)?;
        baselines.give_back(cpu);
        Ok(Summary {
            run: self.directory.path().to_path_buf(),
            model: self.directory.model(),
            device: self.device.to_string(),
            backend: self.device.backend.clone(),
            ending: end.ending,
            epochs: end.epochs,
            steps: end.steps,
            seconds: end.seconds,
            bytes_read: traffic.bytes_read,
            dispatches: traffic.dispatches,
            submissions: traffic.submissions,
            train_loss,
            best,
            best_of_nets: Vec::new(),
            nets: None,
            temperature,
            findings,
            valid,
            test,
        })
    }

    /// The rows held out of a table that isn't held in memory.
    fn stored_validation(&self) -> Option<&Arc<StoredSet>> {
        self.job.stored.as_ref()?.validation.as_ref()
    }

    /// The rows for a test of such a table.
    fn stored_test(&self) -> Option<&Arc<StoredSet>> {
        self.job.stored.as_ref()?.test.as_ref()
    }

    /// Calibrates the model on the validation rows, if asked for and possible, and loads it into
    /// the trainer's session; returns the temperature.
    fn calibrate(&self, model: &mut Model, trainer: &mut Trainer) -> Result<Option<f64>> {
        let asked = self.job.config.run.calibrate == Some(Calibration::Temperature);
        let Some(data) = self.job.validation.as_ref().filter(|_| asked) else { return Ok(None) };
        let outputs = model.outputs_of_nets(trainer.session(), data)?;
        let temperature = calibrate(model, &outputs, data)?;
        if temperature.is_some() {
            trainer.session().set_weights(&model.net, &model.members[0])?;
        }
        Ok(temperature)
    }

    fn save(&self, model: &Model, config: &str, temperature: Option<f64>) -> Result<()> {
        save_model_of(self.job, model, config, temperature, self.directory)
    }

    /// The configuration, rewritten with the manual changes of the learning rate, if any.
    fn config_by_hand(&self, trainer: &Trainer) -> Result<Option<String>> {
        if trainer.rates_by_hand().is_empty() {
            return Ok(None);
        }
        rates::write(self.job, self.device, self.directory, trainer.rates_by_hand()).map(Some)
    }

    /// Saves what can be saved after a failure, and reports it.
    fn rescue(&self, trainer: &mut Trainer, config: &str, error: &Error) {
        // The original error is what matters now, not one of saving.
        let good = trainer.last_good().ok().flatten();
        // If all numbers are finite and nothing was learned, the last step is no better than the
        // first.
        let is_useless = trainer.check_learnt().as_ref().err() == Some(error);
        let is_kept = |at: &GoodAt| matches!(at, GoodAt::BestEpoch(_)) || !is_useless;
        let saved =
            good.filter(|(at, model)| is_kept(at) && self.save(model, config, None).is_ok());
        let model = match saved {
            None => "no model".into(),
            Some((GoodAt::BestEpoch(epoch), _)) => format!("the model of the best epoch, {epoch}"),
            Some((GoodAt::Step(step), _)) if error.kind() == ErrorKind::Diverged => {
                format!("the model of step {step}, up to which the loss was finite")
            }
            Some((GoodAt::Step(step), _)) => format!("the model of the last step, {step}"),
        };
        let run = self.directory.path().display();
        say(format_args!("{run} keeps config.toml, metrics.jsonl and {model}"));
    }
}

/// Saves the model of a run into its directory.
pub(in crate::cli) fn save_model_of(
    job: &Job,
    model: &Model,
    config: &str,
    temperature: Option<f64>,
    directory: &RunDirectory,
) -> Result<()> {
    if !model.is_finite() {
        let error =
            Error::new(ErrorKind::Diverged, "training diverged: weights are NaN or infinite");
        let lr = job.spec.lr;
        return Err(error.at("the last step").help(format!(
            "lower the learning rate, now {lr}, with --lr; --find-lr suggests one"
        )));
    }
    let provenance = Provenance {
        data: Some(job.training.name().into()),
        config: Some(config.into()),
        baselines: Baselines::constants(job),
        temperature,
        ..Provenance::default()
    };
    save_model_with(model, &provenance, &directory.model())
}

/// The training loss of the last epoch.
struct LastLoss(Option<f64>);

impl Observer for LastLoss {
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        self.0 = Some(epoch.train_loss);
        Ok(Flow::Continue)
    }
}
