//! `wgrad train`.

use crate::cli::arguments::train_args::TrainArgs;
use crate::cli::setup::job::Job;

use super::find_lr;
use crate::cli::arguments::origins::Origins;
use crate::cli::judging::warnings::warnings;
use crate::cli::nets::{ensemble, folds};
use crate::cli::ranks;
use crate::cli::runs::run::Run;
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::runs::{column_table, plan_ahead, resume, tensorboard};
use crate::cli::setup::open;

use crate::base::error::Result;
use crate::files::config::RunConfig;
use crate::observe::Screen;

use crate::cli::runs::begin::{announce, take_micro_batch, train_in, trainer, warn};
use std::process::ExitCode;

pub(in crate::cli) fn train(args: Box<TrainArgs>) -> Result<ExitCode> {
    train_as_asked(&args).map_err(|error| Origins::of_given(&args).explain(error))
}

fn train_as_asked(args: &TrainArgs) -> Result<ExitCode> {
    let options = args.resolve()?;
    if args.dashboard && !ranks::follows() {
        Screen::check()?;
    }
    if !ranks::follows() {
        tensorboard::check_writable(&options.run)?;
    }
    if let Some(run) = &args.resume {
        return resume::resume(args, options, run);
    }
    if args.find_lr {
        ranks::refuse("--find-lr")?;
        return find_lr::find_lr(args, &open::job(options)?);
    }
    if !ranks::follows() {
        RunDirectory::check(options.run.out.as_deref(), args.force)?;
    }
    let is_many =
        |run: &RunConfig| run.ensemble.is_some_and(|e| e.nets > 1) && run.member.is_none();
    if let (Some(k), None, false) = (options.run.folds, options.run.fold, is_many(&options.run)) {
        return folds::train(args, open::source(options)?, k);
    }
    let mut source = open::source(options)?;
    if is_many(&source.config.run) {
        return ensemble::train(args, source);
    }
    let mut job = Job::of(&mut source)?;
    let mut warnings = warnings(&job);
    if args.dry_run {
        if ranks::follows() {
            return Ok(ExitCode::SUCCESS);
        }
        warn(&warnings);
        ranks::shard(&mut job)?;
        return plan_ahead::show(&job, None, args.json);
    }
    announce(args, &job);
    warn(&warnings);
    ranks::shard(&mut job)?;
    job.store()?;
    ranks::say_held(&job);
    if let Some(stored) = &job.stored {
        warn(&stored.warnings);
        warnings.extend(stored.warnings.iter().cloned());
    }
    let opened = open::open_for(&job)?;
    job.spec.mixed = job.spec.mixed.chosen(opened.multiplier);
    let device = opened.backend.info().clone();
    let mut trainer = trainer(&job, opened.backend)?;
    take_micro_batch(&mut job, &trainer);
    ranks::join(&mut job, &mut trainer)?;
    if ranks::follows() {
        return ranks::follow(&job, &mut trainer);
    }
    let out = job.config.run.out.as_deref();
    let directory = RunDirectory::create(out, job.training.name(), args.force)?;
    tensorboard::check_free(&job.config.run, &directory, args.force)?;
    let config = job.config_text(&device)?;
    directory.write_config(&job.explained(&config))?;
    column_table::write(&job, &directory)?;
    let events = directory.metrics()?;
    let run = Run::new(&job, &device, &directory, &config, &warnings);
    train_in(args, &run, &mut trainer, events)
}
