//! `wgrad train`.

use super::args::TrainArgs;
use super::inspect::describe_net;
use super::job::{Job, Source};
use super::judgement::JudgeCpu;
use super::judgement_text::{brief, not_worth_it};
use super::origins::Origins;
use super::report_files;
use super::run::{Finished, Run, Shown, Summary};
use super::run_directory::{RunDirectory, WholeLines};
use super::streaming::Stored;
use super::warnings::warnings;
use super::{
    choices, count, ensemble, find_lr, folds, open, plan_ahead, print_text, resume, say,
    tensorboard,
};
use crate::backend::Backend;
use crate::checkpoint::Store;
use crate::config::RunConfig;
use crate::data::{Column, Kind, Role};
use crate::error::{ErrorKind, Result};
use crate::event::Ending;
use crate::observe::{Bar, Display, Interrupt, Screen, duration, short, thousands};
use crate::train::Trainer;
use std::process::ExitCode;

/// How many checkpoints are kept, unless something else is asked for.
const KEEP_CHECKPOINTS: usize = 2;

pub(super) fn train(args: Box<TrainArgs>) -> Result<ExitCode> {
    train_as_asked(&args).map_err(|error| Origins::of_given(&args).explain(error))
}

fn train_as_asked(args: &TrainArgs) -> Result<ExitCode> {
    let options = args.resolve()?;
    if args.dashboard {
        Screen::check()?;
    }
    tensorboard::check_writable(&options.run)?;
    if let Some(run) = &args.resume {
        return resume::resume(args, options, run);
    }
    if args.find_lr {
        return find_lr::find_lr(args, &Job::new(options)?);
    }
    RunDirectory::check(options.run.out.as_deref(), args.force)?;
    let is_many =
        |run: &RunConfig| run.ensemble.is_some_and(|e| e.nets > 1) && run.member.is_none();
    if let (Some(k), None, false) = (options.run.folds, options.run.fold, is_many(&options.run)) {
        return folds::train(args, Source::open(options)?, k);
    }
    let mut source = Source::open(options)?;
    if is_many(&source.config.run) {
        return ensemble::train(args, source);
    }
    let mut job = Job::of(&mut source)?;
    let mut warnings = warnings(&job);
    if args.dry_run {
        warn(&warnings);
        return plan_ahead::show(&job, None, args.json);
    }
    announce(args, &job);
    warn(&warnings);
    job.store()?;
    if let Some(stored) = &job.stored {
        warn(&stored.warnings);
        warnings.extend(stored.warnings.iter().cloned());
    }
    let opened = open::open_for(&job)?;
    job.spec.mixed = job.spec.mixed.chosen(opened.multiplier);
    let device = opened.backend.info().clone();
    let mut trainer = trainer(&job, opened.backend)?;
    take_micro_batch(&mut job, &trainer);
    let out = job.config.run.out.as_deref();
    let directory = RunDirectory::create(out, job.training.name(), args.force)?;
    tensorboard::check_free(&job.config.run, &directory, args.force)?;
    let config = job.config_text(&device)?;
    directory.write_config(&job.explained(&config))?;
    let events = directory.metrics()?;
    let run = Run {
        job: &job,
        device: &device,
        directory: &directory,
        config: Some(&config),
        warnings: &warnings,
        checkpoints: store(&job, &directory),
        ended: None,
        is_judged: true,
    };
    train_in(args, &run, &mut trainer, events)
}

/// Where a run's checkpoints go, if it has any.
pub(super) fn store(job: &Job, directory: &RunDirectory) -> Option<Store> {
    let keep = job.config.run.keep_checkpoints.unwrap_or(KEEP_CHECKPOINTS);
    (keep > 0).then(|| Store::new(directory.checkpoints(), keep))
}

/// Trains a run that is ready, shows what it came to, and gives the exit code.
pub(super) fn train_in(
    args: &TrainArgs,
    run: &Run<'_>,
    trainer: &mut Trainer,
    events: WholeLines,
) -> Result<ExitCode> {
    let mut screen = args.screen(|| title(run.directory, run.job))?;
    let mut display = Display::on(screen.as_ref(), "", Bar::new);
    let handle = display.handle();
    let mut interrupt = Interrupt::watch(move || handle.suspend(say_interrupted))?;
    let shown = match (args.json, args.quiet) {
        (true, _) => Shown::Json,
        (_, true) => Shown::Nothing,
        _ => Shown::Epochs,
    };
    let mut cpu = JudgeCpu::new(run.job.config.device.threads);
    let Finished { summary, is_closed } =
        run.fit(trainer, &mut cpu, events, shown, &mut display, &mut interrupt)?;
    screen.iter_mut().for_each(Screen::close);
    if !args.no_report {
        report_files::of_run(run, &summary, trainer, Vec::new());
    }
    if !args.json {
        print_text(&describe(&summary))?;
        summary.findings.iter().for_each(|finding| say(format_args!("note: {finding}")));
        let mut judged = summary.valid.iter().chain(&summary.test);
        if let Some(note) = judged.find_map(not_worth_it) {
            say(format_args!("note: {note}"));
        }
    }
    Ok(match summary.ending {
        Ending::Interrupted if is_closed => ExitCode::FAILURE,
        Ending::Interrupted => ExitCode::from(ErrorKind::Interrupted.exit_code()),
        _ => ExitCode::SUCCESS,
    })
}

/// The first line of a dashboard.
pub(super) fn title(directory: &RunDirectory, job: &Job) -> String {
    let data = std::path::Path::new(job.training.name()).file_name().unwrap_or_default();
    format!(
        "{}  {}  {}",
        directory.path().display(),
        data.to_string_lossy(),
        describe_net(&job.spec.net)
    )
}

/// Says what will be trained on what.
pub(super) fn announce(args: &TrainArgs, job: &Job) {
    if args.quiet || args.json {
        return;
    }
    say(format_args!(
        "data: {}: {}",
        job.training.name(),
        plan_ahead::describe_data(&job.training)
    ));
    if let Some(columns) = left_out(job) {
        say(format_args!("left out: {columns}"));
    }
    if let (Some(split), Some(_)) = (&job.config.run.split, &job.validation) {
        say(format_args!(
            "split: {} to train on, {} for validation ({split})",
            count(job.rows().0, "row"),
            thousands(job.rows().1 as f64)
        ));
    }
    if job.streaming.is_some() {
        say(format_args!(
            "memory: the table is larger than the limit: understood by {}, kept encoded on disk",
            count(job.data.rows(), "row")
        ));
    }
    say(format_args!("net: {}, {}", describe_net(&job.spec.net), job.spec.objective));
    if !job.choices.is_empty() {
        let line = choices::line(&job.choices);
        say(format_args!("chosen for these data: {line} (--dry-run gives the reasons)"));
    }
}

/// The columns that nothing is learnt from without being asked for it, and why.
fn left_out(job: &Job) -> Option<String> {
    const NAMED: usize = 8;
    let table = job.data.table().filter(|table| !table.pixels())?;
    let is_out = |c: &&Column| {
        c.role == Role::Feature && matches!(c.kind, Some(Kind::Text | Kind::Constant))
    };
    let columns: Vec<&Column> = table.columns().iter().filter(is_out).collect();
    let name = |c: &&Column| {
        // Of "300 different texts in 300 rows: an identifier" the conclusion.
        let why = c.why.rsplit(": ").next().unwrap_or_default();
        format!("{} ({why})", c.name)
    };
    let named: Vec<String> = columns.iter().take(NAMED).map(name).collect();
    let more = match columns.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more, which --dry-run lists"),
    };
    (!columns.is_empty()).then(|| named.join(", ") + &more)
}

pub(super) fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| say(format_args!("warning: {warning}")));
}

pub(super) fn say_interrupted() {
    say(
        "interrupted: finishing the step and saving the model and a checkpoint (again: end at once)",
    );
}

/// A trainer for a run, with the weights that it starts from.
pub(super) fn trainer(job: &Job, backend: Box<dyn Backend>) -> Result<Trainer> {
    let preprocessing = job.preprocessing.clone();
    let mut trainer = match &job.stored {
        Some(Stored { training, limit, .. }) => {
            Trainer::streamed(&job.spec, training.clone(), preprocessing, backend, *limit)?
        }
        None => Trainer::new(&job.spec, &job.training, preprocessing, backend)?,
    };
    if let Some(weights) = &job.init {
        trainer.set_weights(weights)?;
    }
    trainer.name_rows(job.row_name());
    if let Some(admission) = trainer.admission() {
        say(format_args!("precision: f16: {admission}"));
    }
    Ok(trainer)
}

/// Takes over, and says, in what parts batches go that the device has no memory for.
fn take_micro_batch(job: &mut Job, trainer: &Trainer) {
    let micro_batch = trainer.spec().micro_batch;
    if let (None, Some(rows)) = (job.spec.micro_batch, micro_batch) {
        say(format_args!(
            "note: the device has no memory for a batch of {}: they go in parts of {rows}, with the same result",
            job.spec.batch_size
        ));
        (job.spec.micro_batch, job.config.step.micro_batch) = (micro_batch, micro_batch);
    }
}

/// The end of a run, for people.
pub(super) fn describe(summary: &Summary) -> String {
    let mut text = String::new();
    for (name, judged) in [("validation", &summary.valid), ("test", &summary.test)] {
        if let Some(judged) = judged {
            text += &brief(name, judged);
        }
    }
    if let (true, Some(loss)) = (text.is_empty(), summary.train_loss) {
        text += &format!("training    loss {} in the last epoch\n", short(loss));
    }
    let next = match summary.ending {
        Ending::Interrupted | Ending::TimeLimit => {
            format!("wgrad train --resume {}", summary.run.display())
        }
        _ => predict_next(summary),
    };
    text + &ending(summary, &next)
}

/// What to do with a model.
pub(super) fn predict_next(summary: &Summary) -> String {
    format!("wgrad predict {} DATA -o FILE.csv", summary.run.display())
}

/// How a run ended, what it left, and what to do next.
pub(super) fn ending(summary: &Summary, next: &str) -> String {
    let kept = summary.best.as_ref().map_or(String::new(), |best| {
        format!(
            "kept        epoch {} of {}, the best by validation {}\n",
            best.epoch, summary.epochs, best.metric
        )
    });
    let nets = summary.nets.map_or(String::new(), |nets| {
        format!("ensemble    {nets} nets, whose predictions are averaged\n")
    });
    let calibrated = summary.temperature.map_or(String::new(), |t| {
        format!("calibrated  logits divided by {} (--calibrate)\n", short(t))
    });
    format!(
        "{:<11} {}, {} in {}\n{kept}{nets}{calibrated}model       {}\nnext        {next}\n",
        summary.ending.name(),
        count(summary.epochs, "epoch"),
        count(summary.steps as usize, "step"),
        duration(summary.seconds),
        summary.model.display(),
    )
}
