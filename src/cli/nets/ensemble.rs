//! `wgrad train --ensemble N`: N nets, trained concurrently, each in its own directory,
//! whose predictions are averaged. The run's model holds all of them.

use super::ensemble_judgement::judge;
use super::ensemble_report;
use crate::backend::DeviceInfo;
use crate::backend::device::{self, Choice, Opened};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::words::{duration, short};
use crate::cli::arguments::terminal::{count, print_text, say};
use crate::cli::arguments::train_args::TrainArgs;
use crate::cli::judging::judgement::{Baselines, JudgeCpu};
use crate::cli::judging::report_files;
use crate::cli::judging::warnings::warnings;
use crate::cli::nets::ensemble_judgement::Trained;
use crate::cli::ranks;
use crate::cli::runs::begin::{announce, describe, notes, store, title, trainer, warn};
use crate::cli::runs::going_on::{Begun, check_same, goes_on};
use crate::cli::runs::names::CONFIG;
use crate::cli::runs::run::{Finished, Run, Shown};
use crate::cli::runs::run_directory::{RunDirectory, WholeLines};
use crate::cli::runs::summary::{EndLine, Summary};
use crate::cli::runs::{column_table, plan_ahead, tensorboard};
use crate::cli::setup::members::Nets;
use crate::cli::setup::open::{self, open_device_as};
use crate::cli::setup::source::Source;
use crate::files::checkpoint::{Store, load_model};
use crate::files::config::{Ensemble, RunConfig, TrainConfig};
use crate::observe::{Bar, Common, Display, HeldOut, Interrupt, Record, Screen, can_redraw};
use crate::train::event::Ending;
use serde::Serialize;
use serde_json::Map;
use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Trains an ensemble in a new run directory.
pub(in crate::cli) fn train(args: &TrainArgs, mut source: Source) -> Result<ExitCode> {
    let nets = Nets::new(&mut source)?;
    dealt_out(&source.config.run)?;
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
    if ranks::follows() {
        let directory = ranks::shared_directory()?;
        let (given, warnings, seconds) = (None, Vec::new(), 0.0);
        return EnsembleRun {
            args,
            source,
            nets,
            info,
            device,
            directory,
            seconds,
            given,
            warnings,
        }
        .follow();
    }
    let name = nets.whole.training.name();
    let directory = RunDirectory::create(source.config.run.out.as_deref(), name, args.force)?;
    tensorboard::check_free(&source.config.run, &directory, args.force)?;
    let events = directory.metrics()?;
    let (given, seconds) = (None, 0.0);
    let run = EnsembleRun { args, source, nets, info, device, directory, seconds, given, warnings };
    run.train(events)
}

/// Resumes an ensemble: finished nets stay as they are, the others resume from their
/// checkpoints.
pub(in crate::cli) fn resume(args: &TrainArgs, given: TrainConfig, run: &Path) -> Result<ExitCode> {
    let directory = RunDirectory::open(run)?;
    let begun = directory.config()?;
    check_same(&given, &begun)?;
    dealt_out(&begun.run)?;
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
    let Some(mut events) = events else {
        let directory = ranks::shared_directory()?;
        return EnsembleRun {
            args,
            source,
            nets,
            info,
            device,
            directory,
            seconds,
            given,
            warnings,
        }
        .follow();
    };
    // These lines belong to nets, which print them again.
    events.cut(0)?;
    let run = EnsembleRun { args, source, nets, info, device, directory, seconds, given, warnings };
    run.train(events)
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
fn dealt_out(run: &RunConfig) -> Result<()> {
    match ranks::are_several() && run.keep_checkpoints == Some(0) {
        true => Err(Error::usage("--keep-checkpoints 0 with an --ensemble over several ranks")
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
struct EnsembleRun<'a> {
    args: &'a TrainArgs,
    source: Source,
    nets: Nets,
    info: DeviceInfo,
    device: Choice,
    directory: RunDirectory,
    /// The seconds that were recorded before it was resumed.
    seconds: f64,
    /// The options that were given for resuming.
    given: Option<TrainConfig>,
    warnings: Vec<String>,
}

/// A finished net, where no bar shows the progress.
fn net_line(member: usize, nets: usize, summary: &Summary) -> String {
    let kept = summary.best.as_ref().map_or(String::new(), |best| {
        let value = best.value.map_or(String::new(), |value| format!(" {}", short(value)));
        format!(", kept epoch {}: validation {}{value}", best.epoch, best.metric)
    });
    let time = duration(summary.seconds);
    format!("net {member}/{nets}  {}, {time}{kept}", count(summary.epochs, "epoch"))
}

/// The event `net`, once for each net.
#[derive(Serialize)]
struct NetLine<'a> {
    net: usize,
    #[serde(flatten)]
    summary: &'a Summary,
}

impl EnsembleRun<'_> {
    /// Trains all nets, saves the model, evaluates it, and prints the results.
    fn train(&self, events: WholeLines) -> Result<ExitCode> {
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
        let rates = crate::cli::nets::ensemble_judgement::of_nets(&trained);
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
        if !self.args.no_report {
            let nets = &self.nets;
            ensemble_report::after_training(nets, &summary, &mut judged.session, &self.warnings);
        }
        let job = &self.nets.whole;
        let board = tensorboard::events(&job.config.run, &self.directory, Some(&config));
        if let Some(mut board) = board {
            board.begin(None)?;
            let judged = [&summary.valid, &summary.test];
            tensorboard::end(&mut board, summary.steps, judged, &job.preprocessing)?;
        }
        if self.args.json {
            json.event("end", &end)?;
            return Ok(ExitCode::SUCCESS);
        }
        print_text(&describe(&summary))?;
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

    /// All nets in order: those that this rank trained, and those that the others left in the run directory.
    fn with_those_of_others(
        &self,
        trained: Vec<(usize, Trained)>,
        interrupt: &Interrupt,
    ) -> Result<Vec<Trained>> {
        ranks::meet()?;
        let mut own: Vec<Option<Trained>> = Vec::new();
        own.resize_with(self.nets.ensemble.nets, || None);
        trained.into_iter().for_each(|(net, trained)| own[net] = Some(trained));
        let [_, threads] = self.workers();
        let bar = Bar::common(1);
        own.into_iter()
            .enumerate()
            .map(|(net, trained)| match trained {
                Some(trained) => Ok(trained),
                None => self.one(net + 1, threads, interrupt, (&bar, None), true),
            })
            .collect()
    }

    /// The file of the resolved options: those of each net, except its number, with the history.
    fn config_text(&self, history: &[String]) -> Result<String> {
        let mut job = self.nets.job(&self.source, 1)?;
        job.config.run.member = None;
        job.config_text_with(&self.info, history)
    }

    /// Trains the nets of this rank, on the CPU as many at a time as it has threads; once one fails no other is
    /// started. Returns each with its number, counted from 0.
    fn all(&self, interrupt: &Interrupt) -> Result<Vec<(usize, Trained)>> {
        let count = self.nets.ensemble.nets;
        let own: Vec<usize> = (0..count).filter(|net| ranks::is_own(*net)).collect();
        let [workers, threads] = self.workers();
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<Vec<(usize, Result<Trained>)>> = Mutex::new(Vec::with_capacity(count));
        let bar = Bar::common(own.len());
        let mut screen = self.args.screen(|| title(&self.directory, &self.nets.whole))?;
        let on = screen.as_ref();
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::SeqCst);
                        let Some(&i) = own.get(at) else { return };
                        if has_failed.load(Ordering::SeqCst) {
                            return;
                        }
                        let trained = self.one(i + 1, threads, interrupt, (&bar, on), false);
                        if trained.is_err() {
                            has_failed.store(true, Ordering::SeqCst);
                        }
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((i, trained));
                    }
                });
            }
        });
        bar.clear();
        screen.iter_mut().for_each(Screen::close);
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(i, _)| *i);
        let named = |(i, trained): (usize, Result<Trained>)| {
            let trained = trained.map_err(|e| e.at(format!("net {} of {count}", i + 1)))?;
            Ok((i, trained))
        };
        done.into_iter().map(named).collect()
    }

    /// The number of nets trained at a time, and the threads of each; on a GPU one net at a time.
    fn workers(&self) -> [usize; 2] {
        let asked = ranks::threads(self.nets.whole.config.device.threads);
        let threads =
            asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        match self.info.backend == "cpu" {
            true => {
                let own = (0..self.nets.ensemble.nets).filter(|net| ranks::is_own(*net)).count();
                let workers = threads.min(own).max(1);
                [workers, (threads / workers).max(1)]
            }
            false => [1, threads],
        }
    }

    /// Trains or resumes net `member`, counted from 1. One that another rank trained, `elsewhere`, stays as it
    /// is.
    fn one(
        &self,
        member: usize,
        threads: usize,
        interrupt: &Interrupt,
        (bar, screen): (&Common, Option<&Screen>),
        elsewhere: bool,
    ) -> Result<Trained> {
        let mut job = self.nets.job(&self.source, member)?;
        let place = self.directory.net(member);
        let is_begun = elsewhere || self.given.is_some();
        let (directory, begun) = match is_begun && place.join(CONFIG).is_file() {
            true => {
                let directory = RunDirectory::open(&place)?;
                let found = Store::new(directory.checkpoints(), 1);
                found.tidy();
                (directory, found.newest()?.map(Begun::at).transpose()?)
            }
            false => (RunDirectory::create(Some(&place), "", self.given.is_some())?, None),
        };
        let mut events = directory.metrics_again()?;
        events.cut(begun.as_ref().map_or(0, |begun| begun.events))?;
        let given = self.given.clone().unwrap_or_default();
        let at = begun.as_ref().map(Begun::position).unwrap_or_default();
        let ended = begun.as_ref().and_then(|begun| begun.ended);
        let ended = ended.filter(|ending| elsewhere || !goes_on(*ending, &given, at));
        if ended.is_some() {
            job.spec.epochs = at.epoch;
        }
        let backend = device::open(&self.device, Some(threads))?.backend;
        let mut trainer = trainer(&job, backend)?;
        ranks::join_alone(&job, &mut trainer)?;
        if let Some(checkpoint) = begun.as_ref().and_then(|begun| begun.checkpoint.as_ref()) {
            trainer = trainer.go_on(checkpoint).map_err(|e| e.at(job.training.name()))?;
        }
        let config = job.config_text(&self.info)?;
        directory.write_config(&config)?;
        let run = Run {
            job: &job,
            device: &self.info,
            directory: &directory,
            config: Some(&config),
            warnings: &[],
            checkpoints: store(&job, &directory),
            ended,
            is_judged: false,
        };
        let shown = if self.args.quiet || self.args.json || ranks::follows() {
            Shown::Nothing
        } else {
            Shown::Bar
        };
        let bar = || Bar::of_one(bar);
        let mut display = Display::on(screen, &format!("net {member}"), bar);
        let mut cpu = JudgeCpu::new(Some(threads));
        let Finished { summary, .. } =
            run.fit(&mut trainer, &mut cpu, events, shown, &mut display, &mut interrupt.share())?;
        let is_redrawn = can_redraw() || display.is_dashboard();
        if shown == Shown::Bar && !is_redrawn && !elsewhere {
            say(net_line(member, self.nets.ensemble.nets, &summary));
        }
        if !self.args.no_report {
            report_files::of_net(&run, &mut trainer);
        }
        let is_alone = self.nets.folds.is_some() && summary.ending != Ending::Interrupted;
        let linear = match job.validation.as_ref().filter(|_| is_alone) {
            Some(data) => Baselines::fit(&job, &mut cpu)?.linear(data)?,
            None => None,
        };
        let rates = trainer.rates_by_hand().to_vec();
        Ok(Trained { model: load_model(&directory.model())?, summary, rates, linear })
    }
}
