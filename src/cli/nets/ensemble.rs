//! `wgrad train --ensemble N`: N nets, trained concurrently, each in its own directory,
//! whose predictions are averaged. The run's model holds all of them.

use super::ensemble_judgement::{judge, of_nets};
use super::ensemble_report;
use crate::backend::DeviceInfo;
use crate::backend::device::{self, Device, Opened};
use crate::base::error::{Error, ErrorKind, Result};
use crate::cli::arguments::terminal::{print_text, say};
use crate::cli::arguments::train_args::TrainArgs;
use crate::cli::judging::warnings::warnings;
use crate::cli::ranks;
use crate::cli::runs::begin::{announce, describe, notes, warn};
use crate::cli::runs::going_on::{Begun, check_same, goes_on};
use crate::cli::runs::run_directory::{RunDirectory, WholeLines};
use crate::cli::runs::summary::{EndLine, Summary};
use crate::cli::runs::{column_table, plan_ahead, tensorboard};
use crate::cli::setup::members::Nets;
use crate::cli::setup::open::{self, open_device_as};
use crate::cli::setup::source::Source;
use crate::files::checkpoint::Store;
use crate::files::config::{Ensemble, RunConfig, TrainConfig};
use crate::observe::{HeldOut, Interrupt, Record};
use crate::train::event::Ending;
use serde::Serialize;
use serde_json::Map;
use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Trains an ensemble in a new run directory.
pub(in crate::cli) fn train(args: &TrainArgs, mut source: Source) -> Result<ExitCode> {
    let nets = Nets::new(&mut source)?;
    check_collectable(&source.config.run)?;
    if args.dry_run && ranks::follows() {
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        warn(&warnings(&nets.whole));
        say(format_args!("ensemble: {}", nets.ensemble.describe()));
        return plan_ahead::show(&nets.whole, Some(nets.ensemble), args.json);
    }
    let warnings = introduce(args, &nets);
    let Opened { backend, device, .. } = open::open_for_nets(&nets)?;
    let info = backend.info().clone();
    let (directory, events) = if ranks::follows() {
        (ranks::shared_directory()?, None)
    } else {
        let name = nets.whole.training.name();
        let directory = RunDirectory::create(source.config.run.out.as_deref(), name, args.force)?;
        tensorboard::check_free(&source.config.run, &directory, args.force)?;
        let events = directory.metrics()?;
        (directory, Some(events))
    };
    let (given, seconds) = (None, 0.0);
    EnsembleRun { args, source, nets, info, device, directory, seconds, given, warnings }
        .run(events)
}

/// Resumes an ensemble: finished nets stay as they are, the others resume from their
/// checkpoints.
pub(in crate::cli) fn resume(args: &TrainArgs, given: TrainConfig, run: &Path) -> Result<ExitCode> {
    let directory = RunDirectory::open(run)?;
    let begun = directory.config()?;
    check_same(&given, &begun)?;
    check_collectable(&begun.run)?;
    let events = (!ranks::follows()).then(|| directory.metrics_again()).transpose()?;
    let is_chosen = given.device.device.is_some();
    let mut source = open::source(given.clone().or(begun))?;
    let nets = Nets::new(&mut source)?;
    let before = events.as_ref().and_then(WholeLines::last_event);
    let before = before.filter(|event| event["event"] == "end");
    let is_whole = before.is_some() && finished(&nets, &directory, &given)?;
    if ranks::as_first(is_whole)? {
        say(format_args!("{} is finished: give more --epochs to continue", run.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let warnings = introduce(args, &nets);
    let Opened { backend, device, .. } = match is_chosen {
        true => open::open_for_nets(&nets)?,
        false => open_device_as(&nets.whole.config.device, "the run was started on it")?,
    };
    let info = backend.info().clone();
    let seconds = before.and_then(|end| end["seconds"].as_f64()).unwrap_or(0.0);
    let given = Some(given);
    let (directory, events) = match events {
        None => (ranks::shared_directory()?, None),
        Some(mut events) => {
            // These lines belong to nets, which print them again.
            events.cut(0)?;
            (directory, Some(events))
        }
    };
    EnsembleRun { args, source, nets, info, device, directory, seconds, given, warnings }
        .run(events)
}

/// Whether no net of an ensemble is left to train with these options, by its checkpoint.
fn finished(nets: &Nets, directory: &RunDirectory, given: &TrainConfig) -> Result<bool> {
    for member in 1..=nets.ensemble.nets {
        let Ok(net) = RunDirectory::open(&directory.net(member)) else { return Ok(false) };
        let newest = Store::new(net.checkpoints(), 1).newest()?;
        let Some(begun) = newest.map(Begun::at).transpose()? else { return Ok(false) };
        if begun.ended.is_none_or(|ending| goes_on(ending, given, begun.position())) {
            return Ok(false);
        }
    }
    Ok(directory.model().is_file())
}

/// Prints what will be trained on what; returns the warnings.
fn introduce(args: &TrainArgs, nets: &Nets) -> Vec<String> {
    announce(args, &nets.whole);
    if !args.quiet && !args.json {
        say(format_args!("ensemble: {}", nets.ensemble.describe()));
    }
    let warnings = warnings(&nets.whole);
    warn(&warnings);
    warnings
}

/// Refuses nets distributed over ranks without checkpoints, from which rank 0 collects them.
fn check_collectable(run: &RunConfig) -> Result<()> {
    match ranks::are_several() && run.keep_checkpoints == Some(0) {
        true => Err(Error::usage(
            "--keep-checkpoints 0 cannot be used with --ensemble on several ranks",
        )
        .help("omit it: the nets of the other ranks are collected by their checkpoints")),
        false => Ok(()),
    }
}

impl Ensemble {
    /// A description in one sentence.
    fn describe(self) -> String {
        match self.by_folds {
            true => format!("{} nets, each with a different fold held out", self.nets),
            false => format!("{} nets with different seeds", self.nets),
        }
    }
}

/// An ensemble in its run directory.
pub(super) struct EnsembleRun<'a> {
    pub args: &'a TrainArgs,
    pub source: Source,
    pub nets: Nets,
    pub info: DeviceInfo,
    pub device: Device,
    pub directory: RunDirectory,
    /// The seconds that were recorded before it was resumed.
    seconds: f64,
    /// The options that were given for resuming.
    pub given: Option<TrainConfig>,
    warnings: Vec<String>,
}

/// The event `net`, once for each net.
#[derive(Serialize)]
struct NetLine<'a> {
    net: usize,
    #[serde(flatten)]
    summary: &'a Summary,
}

impl EnsembleRun<'_> {
    /// Trains the nets of this rank; rank 0 has the file of events.
    fn run(&self, events: Option<WholeLines>) -> Result<ExitCode> {
        match events {
            Some(events) => self.lead(events),
            None => self.follow(),
        }
    }

    /// Trains the nets of rank 0, collects those of the others, saves the model, evaluates it, and prints the results.
    fn lead(&self, events: WholeLines) -> Result<ExitCode> {
        let begin = Instant::now();
        let mut config = self.config_text(&[])?;
        self.directory.write_config(&self.nets.whole.explained(&config))?;
        column_table::write(&self.nets.whole, &self.directory)?;
        let interrupt = Interrupt::watch(|| {
            say(
                "interrupted: each net finishes its step and writes a checkpoint (Ctrl-C again to exit at once)",
            );
        })?;
        ranks::directory_of_first(Some(self.directory.path()))?;
        let trained = self.all(&interrupt)?;
        let trained = self.with_those_of_others(trained, &interrupt)?;
        let rates = of_nets(&trained);
        if !rates.is_empty() {
            config = self.config_text(&rates)?;
            self.directory.write_config(&self.nets.whole.explained(&config))?;
        }
        let place = events.place();
        let mut events = Record::new(events, place, Map::new(), HeldOut::Validation);
        let mut json = Record::new(stdout(), "standard output", Map::new(), HeldOut::Validation);
        for (i, net) in trained.iter().enumerate() {
            let line = NetLine { net: i + 1, summary: &net.summary };
            events.event("net", &line)?;
            if self.args.json {
                json.event("net", &line)?;
            }
        }
        if trained.iter().any(|net| net.summary.ending == Ending::Interrupted) {
            let run = self.directory.path().display();
            say(format_args!("resume with wgrad train --resume {run}"));
            if !self.args.no_report {
                say(format_args!("{run}/net-1/report.html and so on show the nets so far"));
            }
            return Ok(ExitCode::from(ErrorKind::Interrupted.exit_code()));
        }
        let threads = self.nets.whole.config.device.threads;
        let backend = device::open(&self.device, threads)?.backend;
        let mut judged = judge(&self.nets, &trained, backend, &config, &self.directory)?;
        let first = &trained[0].summary;
        let of_all = |of: fn(&Summary) -> u64| trained.iter().map(|net| of(&net.summary)).sum();
        let summary = Summary {
            run: self.directory.path().to_path_buf(),
            model: self.directory.model(),
            device: self.info.to_string(),
            backend: self.info.backend.clone(),
            ending: first.ending,
            epochs: trained.iter().map(|net| net.summary.epochs).max().unwrap_or_default(),
            steps: of_all(|net| net.steps),
            seconds: self.seconds + begin.elapsed().as_secs_f64(),
            bytes_read: of_all(|net| net.bytes_read),
            dispatches: of_all(|net| net.dispatches),
            submissions: of_all(|net| net.submissions),
            train_loss: None,
            best: None,
            best_of_nets: trained.iter().filter_map(|net| net.summary.best.clone()).collect(),
            nets: Some(trained.len()),
            temperature: judged.temperature,
            findings: first.findings.clone(),
            valid: judged.valid,
            test: judged.test,
        };
        let end = EndLine::new(&summary, &self.warnings);
        events.event("end", &end)?;
        let report = match self.args.no_report {
            true => None,
            false => {
                let (nets, session) = (&self.nets, &mut judged.session);
                ensemble_report::after_training(nets, &summary, session, &self.warnings)
            }
        };
        let job = &self.nets.whole;
        let board = tensorboard::events(&job.config.run, &self.directory, &config);
        if let Some(mut board) = board {
            board.begin(None)?;
            let judged = [&summary.valid, &summary.test];
            tensorboard::end(&mut board, summary.steps, judged, &job.preprocessing)?;
        }
        if self.args.json {
            json.event("end", &end)?;
            return Ok(ExitCode::SUCCESS);
        }
        print_text(&describe(&summary, report.as_ref()))?;
        summary.findings.iter().for_each(|finding| say(format_args!("note: net 1: {finding}")));
        notes(&summary).iter().for_each(|note| say(format_args!("note: {note}")));
        Ok(ExitCode::SUCCESS)
    }

    /// Trains the nets of a rank that follows.
    fn follow(&self) -> Result<ExitCode> {
        // Rank 0 decides how an interrupted run continues.
        let interrupt = Interrupt::watch(|| {})?;
        let trained = self.all(&interrupt)?;
        ranks::meet()?;
        let is_done = trained.iter().all(|(_, net)| net.summary.ending != Ending::Interrupted);
        Ok(match is_done {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(ErrorKind::Interrupted.exit_code()),
        })
    }

    /// The file of the resolved options: those of each net, except its number, with the history.
    fn config_text(&self, history: &[String]) -> Result<String> {
        let mut job = self.nets.job(&self.source, 1)?;
        job.config.run.member = None;
        job.config_text_with(&self.info, history)
    }
}
