//! `wgrad train --folds K`: K nets, each evaluated on its held-out fold, and a last
//! one trained in the same way on all rows, which is the run's model.

use super::fold_jobs::FoldJobs;
use super::fold_judgement::Folds;
use crate::cli::arguments::train_args::TrainArgs;
use crate::cli::judging::judgement::{ByName, JudgeCpu, Judgement};
use crate::cli::judging::judgement_text::{fold_line, fold_tables};
use crate::cli::setup::job::Job;
use crate::cli::setup::source::Source;

use crate::backend::device::{self, Device};
use crate::base::atomic::write_atomically;
use crate::base::error::{Error, ErrorKind, Result};
use crate::cli::arguments::terminal::{print, print_json, say};
use crate::cli::judging::report_files;
use crate::cli::judging::warnings::warnings;
use crate::cli::ranks;
use crate::cli::runs::begin::{announce, ending, predict_next, title, trainer, warn};
use crate::cli::runs::names::{FOLDS, OUT_OF_FOLD};
use crate::cli::runs::run::{Run, Shown};
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::runs::summary::Summary;
use crate::cli::runs::{column_table, plan_ahead, tensorboard};
use crate::cli::setup::open;
use crate::cli::setup::open::Trained;
use crate::data::Dataset;
use crate::observe::{Bar, Display, Interrupt, Screen};
use crate::train::choose::Work;
use crate::train::event::Ending;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

pub(in crate::cli) fn train(args: &TrainArgs, mut source: Source, k: usize) -> Result<ExitCode> {
    let jobs = FoldJobs::new(&mut source, k)?;
    let (job, last) = (&jobs.whole, &jobs.last);
    if args.dry_run && ranks::follows() {
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        warn(&warnings(last));
        say(format_args!(
            "{k} folds, then a net on all rows, some of which are held out to choose its epoch:"
        ));
        return plan_ahead::show(last, None, args.json);
    }
    announce(args, job);
    if let (Some(split), false) = (&job.config.run.split, args.quiet || args.json) {
        let chosen = match last.rows().1 {
            0 => "",
            _ => "; each net holds out a tenth of its training rows to choose its epoch",
        };
        say(format_args!("folds: {k}, {split}, then a net on all rows{chosen}"));
    }
    // All folds and the last net together take about as long as this many runs on all rows.
    let work = match job.work() {
        Work::Training { spec, data, preprocessing, rows, steps } => {
            let steps = steps.saturating_mul(k);
            Work::Training { spec, data, preprocessing, rows, steps }
        }
        other => other,
    };
    let opened = open::open_device(&job.config.device, &work)?;
    let (info, device) = (opened.backend.info().clone(), opened.device);
    let config = last.config_text(&info)?;
    let directory = directory(args, last, &config)?;
    let mut interrupt = Interrupt::watch(|| {
        say(
            "interrupted: finishing the step; finished folds are kept, and --fold I trains one of them again (Ctrl-C again to exit at once)",
        );
    })?;
    let shown =
        if args.quiet || args.json || ranks::follows() { Shown::Nothing } else { Shown::Bar };
    let mut cpu = JudgeCpu::new(job.config.device.threads);
    let mut screen = args.screen(|| title(&directory, job))?;
    let mut fit = |job: &Job,
                   directory: &RunDirectory,
                   text: &str,
                   warnings: &[String],
                   whole: Option<&Judgement>| {
        let threads = ranks::threads(job.config.device.threads);
        let mut trainer = trainer(job, device::open(&device, threads)?.backend)?;
        ranks::join_alone(job, &mut trainer)?;
        let run = Run { checkpoints: None, ..Run::new(job, &info, directory, text, warnings) };
        let name = job.config.run.fold.map_or("all rows".into(), |fold| format!("fold {fold}"));
        let mut display = Display::on(screen.as_ref(), &name, Bar::new);
        let events = directory.metrics()?;
        let done = run.fit(&mut trainer, &mut cpu, events, shown, &mut display, &mut interrupt)?;
        let mut report = None;
        if !args.no_report {
            let whole = whole.map(|judged| (&jobs.whole, judged));
            report = report_files::of_fold(&run, &done.summary, &mut trainer, whole);
        }
        Ok::<_, Error>((done.summary, report))
    };
    drop(opened.backend);

    let mut parts: Vec<Option<(Judgement, Dataset)>> = Vec::with_capacity(k);
    let mut said: Vec<String> = Vec::new();
    for (i, held_out) in jobs.folds.iter().enumerate() {
        let fold = jobs.fold(&mut source, i)?;
        let found = warnings(&fold);
        // Warnings for all folds are printed once; those for one alone, such as a class without training
        // rows, with that fold.
        let new: Vec<String> = found.iter().filter(|w| !said.contains(*w)).cloned().collect();
        warn(&new);
        said.extend(new);
        let path = directory.fold(i + 1);
        if !ranks::is_own(i) {
            parts.push(None);
            continue;
        }
        let place = RunDirectory::create(Some(&path), "", false)?;
        let config = fold.config_text(&info)?;
        place.write_config(&config)?;
        let name = |e: Error| e.at(format!("fold {} of {k}", i + 1));
        let (summary, _) = fit(&fold, &place, &config, &found, None).map_err(name)?;
        if summary.ending == Ending::Interrupted {
            if ranks::are_several() {
                return Err(Error::new(ErrorKind::Interrupted, "the run was interrupted"));
            }
            return Ok(ExitCode::from(ErrorKind::Interrupted.exit_code()));
        }
        let Some(part) = FoldJobs::judged(fold, [summary.valid, summary.test]) else {
            return Err(Error::failed("a fold was not evaluated").at(path.display()));
        };
        show(args, [i + 1, k], held_out.len(), &part.0)?;
        parts.push(Some(part));
    }
    ranks::meet()?;
    if ranks::follows() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut all: Vec<(Judgement, Dataset)> = Vec::with_capacity(k);
    for (i, part) in parts.into_iter().enumerate() {
        let part = match part {
            Some(part) => part,
            None => {
                let fold = jobs.fold(&mut source, i)?;
                let part = judge_again(fold, &directory.fold(i + 1), &device)?;
                show(args, [i + 1, k], jobs.folds[i].len(), &part.0)?;
                part
            }
        };
        all.push(part);
    }
    let parts = all;
    let judged = Folds::new(job, &jobs.folds, parts)?;
    let report = serde_json::to_string_pretty(&judged)
        .map_err(|e| Error::failed(format!("cannot write the folds as JSON: {e}")))?;
    write_atomically(&directory.path().join(FOLDS), |out| out.write_all(report.as_bytes()))?;
    judged.write_predictions(job, &directory.path().join(OUT_OF_FOLD))?;

    let whole = judged.together(job)?;
    let (summary, report) = fit(last, &directory, &config, &[], Some(&whole))?;
    screen.iter_mut().for_each(Screen::close);
    // Nets of folds have no checkpoints to resume from.
    let next = match summary.ending {
        Ending::Interrupted => "train again: an interrupted run of folds can't be resumed".into(),
        _ => predict_next(&summary),
    };
    if args.json {
        print_json(&EndLine { event: "end", summary: &summary, folds: &judged })?;
    } else {
        print(&format!("{}\n{}", fold_tables(&judged), ending(&summary, report.as_ref(), &next)))?;
    }
    Ok(match summary.ending {
        Ending::Interrupted => ExitCode::from(ErrorKind::Interrupted.exit_code()),
        _ => ExitCode::SUCCESS,
    })
}

/// The run directory: rank 0 makes it, with its configuration.
fn directory(args: &TrainArgs, job: &Job, config: &str) -> Result<RunDirectory> {
    if ranks::follows() {
        return ranks::shared_directory();
    }
    let directory =
        RunDirectory::create(job.config.run.out.as_deref(), job.training.name(), args.force)?;
    tensorboard::check_free(&job.config.run, &directory, args.force)?;
    directory.write_config(&job.explained(config))?;
    column_table::write(job, &directory)?;
    ranks::directory_of_first(Some(directory.path()))?;
    Ok(directory)
}

/// Prints the results of a fold's net on its held-out rows.
fn show(args: &TrainArgs, [fold, k]: [usize; 2], rows: usize, judged: &Judgement) -> Result<()> {
    if ranks::follows() {
        return Ok(());
    }
    if args.json {
        let baselines = judged.baselines();
        print_json(&FoldLine { event: "fold", fold, rows, valid: judged, baselines })?;
    } else if !args.quiet {
        say(fold_line(fold, k, judged));
    }
    Ok(())
}

/// The evaluation of a fold whose net another rank trained, with its held-out rows.
fn judge_again(fold: Job, place: &Path, device: &Device) -> Result<(Judgement, Dataset)> {
    let trained = Trained::open(place)?;
    let backend = device::open(device, fold.config.device.threads)?.backend;
    let mut session = trained.model.session(backend, usize::MAX)?;
    let judged = report_files::judge(&fold, &trained, place, &mut session)?;
    FoldJobs::judged(fold, judged)
        .ok_or_else(|| Error::failed("a fold was not evaluated").at(place.display()))
}

#[derive(Serialize)]
struct FoldLine<'a> {
    event: &'static str,
    fold: usize,
    rows: usize,
    valid: &'a Judgement,
    baselines: ByName<'a>,
}

/// The last line: `valid` holds the metrics over all rows, each predicted by the net that held it
/// out.
#[derive(Serialize)]
struct EndLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(flatten)]
    folds: &'a Folds,
}
