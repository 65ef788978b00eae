//! `wgrad train`.

use super::args::TrainArgs;
use super::inspect::describe_net;
use super::job::Job;
use super::judgement::{Baselines, ByName, Judgement};
use super::judgement_text::{brief, not_worth_it};
use super::run_directory::RunDirectory;
use super::{count, open, plan_ahead, print, say};
use crate::backend::DeviceInfo;
use crate::checkpoint::{Provenance, save_model_with};
use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{End, Ending, Epoch, Flow, Observer};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::observe::{Bar, HeldOut, Interrupt, Lines, Record, StopWhen, Together, duration, short};
use crate::session::LayerWeights;
use crate::train::Trainer;
use serde::Serialize;
use std::io::{IsTerminal, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

/// What a run was, as its last event.
#[derive(Serialize)]
struct Summary {
    run: PathBuf,
    model: PathBuf,
    device: String,
    backend: String,
    ending: Ending,
    epochs: usize,
    steps: u64,
    seconds: f64,
    bytes_read: u64,
    dispatches: u64,
    submissions: u64,
    /// The mean loss while the last epoch ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<Judgement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Judgement>,
}

/// The summary, and what the same data say of predictions that cost nothing.
#[derive(Serialize)]
struct EndLine<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines: Option<ByName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_baselines: Option<ByName<'a>>,
}

/// What ended a run that failed, as its last event.
#[derive(Serialize)]
struct Failure {
    error: String,
    exit_code: u8,
}

pub(super) fn train(args: Box<TrainArgs>) -> Result<ExitCode> {
    let options = args.resolve()?;
    RunDirectory::check(options.run.out.as_deref(), args.force)?;
    let job = Job::new(options)?;
    if args.dry_run {
        return plan_ahead::show(&job, args.json);
    }
    if !args.quiet && !args.json {
        say(format_args!(
            "data: {}: {}",
            job.training.name(),
            plan_ahead::describe_data(&job.training)
        ));
        say(format_args!("net: {}, {}", describe_net(&job.spec.net), job.spec.objective));
    }
    let opened = open::open_device(&job.config.device)?;
    let device = opened.backend.info().clone();
    let preprocessing = job.preprocessing.clone();
    let mut trainer = Trainer::new(&job.spec, &job.training, preprocessing, opened.backend)?;
    if let Some(weights) = &job.init {
        trainer.set_weights(weights)?;
    }
    let out = job.config.run.out.as_deref();
    let directory = RunDirectory::create(out, job.training.name(), args.force)?;
    let name = if device.backend == "cpu" { "cpu" } else { &device.name };
    let config = format!(
        "# wgrad {}: `wgrad train --config` with this file trains the same model again\n{}",
        env!("CARGO_PKG_VERSION"),
        job.resolved(name).to_toml()?
    );
    directory.write_config(&config)?;
    Run { args: &args, job, device, directory, config }.fit(&mut trainer)
}

/// A run whose directory is made.
struct Run<'a> {
    args: &'a TrainArgs,
    job: Job,
    device: DeviceInfo,
    directory: RunDirectory,
    config: String,
}

impl Run<'_> {
    fn fit(&self, trainer: &mut Trainer) -> Result<ExitCode> {
        // What the run is watched on: a run that ends by a metric needs data for it.
        let stop = self.job.config.run.stop_at.clone();
        let (watched, held_out) = match (&self.job.validation, &self.job.test) {
            (None, Some(test)) if stop.is_some() => (Some(test), HeldOut::Test),
            (validation, _) => (validation.as_ref(), HeldOut::Validation),
        };
        let about = serde_json::json!({
            "run": self.directory.path(),
            "version": env!("CARGO_PKG_VERSION"),
            "data": self.job.training.name(),
        });
        let about = about.as_object().cloned().unwrap_or_default();
        let (file, place) = self.directory.metrics()?;
        let mut metrics = Record::new(file, place, about.clone(), held_out);
        let mut json = Record::new(stdout(), "standard output", about, held_out);
        let shown = !self.args.quiet && !self.args.json;
        let terminal = stderr().is_terminal();
        let (mut bar, mut lines) = (Bar::new(), Lines::new(stderr(), held_out));
        let handle = bar.handle();
        let mut interrupt = Interrupt::watch(move || {
            handle.suspend(|| {
                say("interrupted: finishing the step and saving the model (again: end at once)")
            });
        })?;
        let mut stop = stop.map(StopWhen);
        let mut last = LastLoss(None);

        let mut observers: Vec<&mut dyn Observer> = vec![&mut metrics, &mut interrupt, &mut last];
        if let Some(stop) = &mut stop {
            observers.push(stop);
        }
        match (shown, terminal) {
            (true, true) => observers.push(&mut bar),
            (true, false) => observers.push(&mut lines),
            (false, _) if self.args.json => observers.push(&mut json),
            _ => {}
        }
        let fitted = trainer.fit(watched, &mut Together(observers));
        bar.clear();
        if let Err(error) = &fitted {
            self.rescue(trainer, error);
        }
        let outcome = fitted.and_then(|end| self.finish(trainer, end, held_out, last.0));
        let summary = match outcome {
            Ok(summary) => summary,
            Err(error) => {
                let event =
                    Failure { error: error.to_string(), exit_code: error.kind().exit_code() };
                // The error itself is what matters now.
                let _ = metrics.event("error", &event);
                if self.args.json {
                    let _ = json.event("error", &event);
                }
                return Err(error);
            }
        };
        let end = EndLine {
            summary: &summary,
            baselines: summary.valid.as_ref().map(Judgement::baselines),
            test_baselines: summary.test.as_ref().map(Judgement::baselines),
        };
        metrics.event("end", &end)?;
        if self.args.json {
            json.event("end", &end)?;
        }
        if !self.args.json {
            print(&self.describe(&summary))?;
            let mut judged = summary.valid.iter().chain(&summary.test);
            if let Some(note) = judged.find_map(not_worth_it) {
                say(format_args!("note: {note}"));
            }
        }
        Ok(match summary.ending {
            Ending::Interrupted if json.is_closed() => ExitCode::FAILURE,
            Ending::Interrupted => ExitCode::from(ErrorKind::Interrupted.exit_code()),
            Ending::Done | Ending::Stopped => ExitCode::SUCCESS,
        })
    }

    /// Saves the model, then measures it.
    fn finish(
        &self,
        trainer: &mut Trainer,
        end: End,
        held_out: HeldOut,
        train_loss: Option<f64>,
    ) -> Result<Summary> {
        let model = trainer.model()?;
        self.save(&model)?;
        let traffic = trainer.session().backend().traffic();
        let (valid, mut test) = match held_out {
            HeldOut::Validation => (end.valid, None),
            HeldOut::Test => (None, end.valid),
        };
        let complete = end.ending != Ending::Interrupted;
        if let (Some(data), None, true) = (&self.job.test, &test, complete) {
            test = Some(trainer.evaluate(data)?);
        }
        let baselines = match complete && (valid.is_some() || test.is_some()) {
            true => Baselines::fit(&self.job)?,
            false => Baselines::default(),
        };
        baselines.save(self.directory.path(), &self.job)?;
        let mut judge = |data: &Option<Dataset>, metrics: Option<Metrics>| {
            let (Some(data), Some(metrics)) = (data, metrics) else { return Ok(None) };
            let predictions = model.predict_in(trainer.session(), data.features_shared())?;
            let preprocessing = &self.job.preprocessing;
            Judgement::new(data, metrics.loss, &predictions, preprocessing, &baselines).map(Some)
        };
        let (valid, test) = (judge(&self.job.validation, valid)?, judge(&self.job.test, test)?);
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
            valid,
            test,
        })
    }

    fn save(&self, model: &Model) -> Result<()> {
        if model.weights.iter().any(|layer| !is_finite(layer)) {
            let error =
                Error::new(ErrorKind::Diverged, "training diverged: weights are NaN or infinite");
            let lr = self.job.spec.lr;
            return Err(error
                .at("the last step")
                .help(format!("lower the learning rate, now {lr}, with --lr")));
        }
        let provenance = Provenance {
            data: Some(self.job.training.name().into()),
            config: Some(self.config.clone()),
            baselines: Baselines::constants(&self.job),
            ..Provenance::default()
        };
        save_model_with(model, &provenance, &self.directory.model())
    }

    /// Saves what can be saved after a failure, and says what there is.
    fn rescue(&self, trainer: &mut Trainer, error: &Error) {
        let saved = error.kind() != ErrorKind::Diverged
            && trainer.model().and_then(|model| self.save(&model)).is_ok();
        let model = if saved { "the model of the last step" } else { "no model" };
        let run = self.directory.path().display();
        say(format_args!("{run} keeps config.toml, metrics.jsonl and {model}"));
    }

    /// The end of a run, for people.
    fn describe(&self, summary: &Summary) -> String {
        let mut text = String::new();
        for (name, judged) in [("validation", &summary.valid), ("test", &summary.test)] {
            if let Some(judged) = judged {
                text += &brief(name, judged);
            }
        }
        if let (true, Some(loss)) = (text.is_empty(), summary.train_loss) {
            text += &format!("training    loss {} in the last epoch\n", short(loss));
        }
        let ended = match summary.ending {
            Ending::Done => "trained",
            Ending::Stopped => "stopped",
            Ending::Interrupted => "interrupted",
        };
        text += &format!(
            "{ended:<11} {}, {} in {}\nmodel       {}\n",
            count(summary.epochs, "epoch"),
            count(summary.steps as usize, "step"),
            duration(summary.seconds),
            summary.model.display(),
        );
        text + &format!("next        wgrad predict {} DATA -o FILE.csv\n", summary.run.display())
    }
}

/// The training loss of the last epoch.
struct LastLoss(Option<f64>);

impl Observer for LastLoss {
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        self.0 = Some(epoch.train_loss);
        Ok(Flow::Continue)
    }
}

fn is_finite(layer: &LayerWeights) -> bool {
    layer.weight.data().iter().chain(layer.bias.iter().flatten()).all(|x| x.is_finite())
}
