//! `wgrad train --resume RUN`: continues a run exactly from its last checkpoint.

use super::begin::{announce, train_in, trainer, warn};
use super::rates::with_rates;
use super::run::Run;
use super::run_directory::{RunDirectory, WholeLines};
use crate::base::error::{Error, Result};
use crate::cli::arguments::terminal::{count, say};
use crate::cli::arguments::train_args::TrainArgs;
use crate::cli::judging::warnings::warnings;
use crate::cli::nets::ensemble;
use crate::cli::ranks;
use crate::cli::runs::going_on::{Begun, check_same, goes_on};
use crate::cli::runs::rates::HISTORY;
use crate::cli::setup::job::Job;
use crate::cli::setup::open;
use crate::files::checkpoint::Store;
use crate::files::config::TrainConfig;
use crate::train::snapshot::Position;
use std::path::Path;
use std::process::ExitCode;

pub(in crate::cli) fn resume(args: &TrainArgs, given: TrainConfig, run: &Path) -> Result<ExitCode> {
    let directory = RunDirectory::open(run)?;
    let is_many = |config: &TrainConfig| {
        config.run.ensemble.is_some_and(|e| e.nets > 1) && config.run.member.is_none()
    };
    if is_many(&directory.config()?) {
        return ensemble::resume(args, given, run);
    }
    // A rank that follows another reads the checkpoint alone.
    let events = (!ranks::follows()).then(|| directory.metrics_again()).transpose()?;
    let found = Store::new(directory.checkpoints(), 1);
    if events.is_some() {
        found.tidy();
    }
    let newest = found.newest().map_err(|e| {
        e.help(
            "every checkpoint of the run is damaged: to restart it, remove its directory checkpoint",
        )
    })?;
    let begun = match newest {
        Some(newest) => Begun::at(newest)?,
        None => Begun::anew(directory.config()?),
    };
    check_same(&given, &begun.config)?;

    let at = begun.position();
    if given.run.epochs.is_some_and(|epochs| epochs < at.epoch) {
        return Err(Error::usage(format!(
            "the run has already trained for {}",
            count(at.epoch, "epoch")
        ))
        .help("give at least as many --epochs, or omit --epochs"));
    }
    let ended = begun.ended.filter(|ending| !goes_on(*ending, &given, at));
    let last = events.as_ref().and_then(WholeLines::last_event);
    let is_recorded = ranks::as_first(last.is_some_and(|event| event["event"] == "end"))?;
    if let (Some(ending), true) = (ended, is_recorded) {
        say(format_args!(
            "{} is finished ({}, {}): give more --epochs to continue",
            run.display(),
            ending.name(),
            count(at.epoch, "epoch")
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let is_chosen = given.device.device.is_some();
    let (stops_otherwise, before) = (given.run.stop_at.is_some(), begun.config.run.epochs);
    let mut config = given.or(begun.config);
    // Past epochs can only be compared by the metric that chose the best one.
    let best = begun.checkpoint.as_ref().and_then(|checkpoint| checkpoint.best.as_ref());
    if let (true, Some(best)) = (stops_otherwise, best) {
        config.run.metric.get_or_insert_with(|| best.metric.clone());
    }
    // A checkpoint holds the weights: those that the run started from may be gone.
    let init = if begun.checkpoint.is_some() { config.run.init.take() } else { None };
    let mut job = open::job(config)?;
    job.config.run.init = init.or(job.config.run.init);
    if ended.is_some() {
        job.spec.epochs = at.epoch;
    }
    announce(args, &job);
    say(format_args!(
        "resume: {}: {} of {} done, {}{}",
        begun.from,
        at.epoch,
        count(job.spec.epochs, "epoch"),
        count(at.step as usize, "step"),
        if at.within > 0 { ", in the middle of an epoch" } else { "" }
    ));
    let mut warnings = warnings(&job);
    job.history = begun.history;
    if let Some(before) = before.filter(|_| ended.is_none() && at.step > 0) {
        warnings.extend(note_other_length(&mut job, before, at));
    }
    warn(&warnings);
    ranks::shard(&mut job)?;
    job.store()?;
    ranks::say_held(&job);
    let opened = match is_chosen {
        true => open::open_for(&job)?,
        false => open::open_device_as(&job.config.device, "the run was started on it")?,
    };
    let multiplier = begun.checkpoint.as_ref().and_then(|checkpoint| checkpoint.multiplier);
    job.spec.mixed = job.spec.mixed.chosen(multiplier);
    let device = opened.backend.info().clone();
    let mut trainer = trainer(&job, opened.backend)?;
    ranks::join(&mut job, &mut trainer)?;
    if let Some(checkpoint) = &begun.checkpoint {
        trainer = trainer.go_on(checkpoint).map_err(|e| e.at(job.training.name()))?;
    }
    trainer.name_rows(job.row_name());
    let Some(mut events) = events else { return ranks::follow(&job, &mut trainer) };
    job.history = with_rates(&job.history, trainer.rates_by_hand());
    events.cut(begun.events)?;
    let config = job.config_text(&device)?;
    directory.write_config(&config)?;
    let run = Run { ended, ..Run::new(&job, &device, &directory, &config, &warnings) };
    train_in(args, &run, &mut trainer, events)
}

/// Records in the job's history that the run was started with `before` epochs, if the model depends
/// on their number; returns the warning.
fn note_other_length(job: &mut Job, before: usize, at: Position) -> Option<String> {
    let now = job.spec.epochs;
    if now == before || !job.spec.depends_on_length() {
        return None;
    }
    job.history.push(format!(
        "{HISTORY}up to epoch {} (step {}) as in a run of {}",
        at.epoch,
        at.step,
        count(before, "epoch")
    ));
    Some(format!(
        "the run was started with --epochs {before}, and its schedule, warmup or average depends on that: continuing to {now} may give a different model than a run of {now} epochs from the start; for runs that will be extended, use --schedule constant, a --warmup in steps or epochs, and no --swa"
    ))
}
