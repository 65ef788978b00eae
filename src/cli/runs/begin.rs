//! The start of a run, and its messages before and after training.

use crate::backend::Backend;
use crate::base::error::{ErrorKind, Result};
use crate::base::words::{duration, short, thousands};
use crate::cli::arguments::terminal::{count, print_text, say};
use crate::cli::arguments::train_args::TrainArgs;
use crate::cli::judging::judgement::JudgeCpu;
use crate::cli::judging::judgement_text::{brief, not_worth_it};
use crate::cli::judging::report_files::{self, Made};
use crate::cli::runs::run::{Finished, Run, Shown};
use crate::cli::runs::run_directory::{RunDirectory, WholeLines};
use crate::cli::runs::summary::{Kept, Summary};
use crate::cli::runs::{column_table, plan_ahead};
use crate::cli::setup::choices;
use crate::cli::setup::job::Job;
use crate::cli::setup::settings::describe_net;
use crate::observe::{Bar, Display, Interrupt, Screen};
use crate::train::event::Ending;
use crate::train::trainer::Trainer;
use std::process::ExitCode;
use std::time::Instant;

/// The fewest epochs of a run whose best epoch can be called early, and the reciprocal of the share of the
/// epochs up to which it is.
const LEAST_EPOCHS: usize = 10;
const EARLY_SHARE: usize = 5;

/// Trains a prepared run, prints the results, and returns the exit code.
pub(in crate::cli) fn train_in(
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
    let mut report = None;
    if !args.no_report {
        let begin = Instant::now();
        report = report_files::of_run(run, &summary, trainer, Vec::new());
        log::debug!("report written in {:.3} s", begin.elapsed().as_secs_f64());
    }
    if !args.json {
        print_text(&describe(&summary, report.as_ref()))?;
        summary.findings.iter().for_each(|finding| say(format_args!("note: {finding}")));
        notes(&summary).iter().for_each(|note| say(format_args!("note: {note}")));
    }
    Ok(match summary.ending {
        Ending::Interrupted if is_closed => ExitCode::FAILURE,
        Ending::Interrupted => ExitCode::from(ErrorKind::Interrupted.exit_code()),
        _ => ExitCode::SUCCESS,
    })
}

/// The first line of a dashboard.
pub(in crate::cli) fn title(directory: &RunDirectory, job: &Job) -> String {
    let data = std::path::Path::new(job.training.name()).file_name().unwrap_or_default();
    format!(
        "{}  {}  {}",
        directory.path().display(),
        data.to_string_lossy(),
        describe_net(&job.spec.net)
    )
}

/// Prints what will be trained on what.
pub(in crate::cli) fn announce(args: &TrainArgs, job: &Job) {
    if args.quiet || args.json {
        return;
    }
    say(format_args!(
        "data: {}: {}",
        job.training.name(),
        plan_ahead::describe_data(&job.training)
    ));
    for (name, line) in [
        ("columns", column_table::learned_from(job)),
        ("left out", column_table::left_out(job)),
        ("task", column_table::task(job)),
    ] {
        if let Some(line) = line {
            say(format_args!("{name}: {line}"));
        }
    }
    let test = match (&job.streaming, job.held_out_rows[1].len()) {
        (None, rows @ 1..) => format!(", {} for a test", thousands(rows as f64)),
        _ => String::new(),
    };
    match (&job.config.run.split, &job.validation) {
        (Some(split), Some(_)) => say(format_args!(
            "split: {} for training, {} for validation{test} ({split})",
            count(job.rows().0, "row"),
            thousands(job.rows().1 as f64)
        )),
        (_, None) if !test.is_empty() => {
            say(format_args!("split: {} for training{test}", count(job.rows().0, "row")));
        }
        _ => {}
    }
    if let Some(table) = &job.streaming {
        say(format_args!(
            "memory: {}: profiled on a sample of {}, and encoded on disk",
            table.reason().describe(),
            count(job.data.rows(), "row")
        ));
    }
    say(format_args!("net: {}, {}", describe_net(&job.spec.net), job.spec.objective));
    if !job.choices.is_empty() {
        let line = choices::line(&job.choices);
        say(format_args!("chosen for these data: {line} (--dry-run gives the reasons)"));
    }
}

pub(in crate::cli) fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| say(format_args!("warning: {warning}")));
}

pub(super) fn say_interrupted() {
    say(
        "interrupted: finishing the step and saving the model and a checkpoint (Ctrl-C again to exit at once)",
    );
}

/// A trainer for a run, with the weights that it starts from.
pub(in crate::cli) fn trainer(job: &Job, backend: Box<dyn Backend>) -> Result<Trainer> {
    let trainer = job.trainer(backend)?;
    if let Some(admission) = trainer.admission() {
        say(format_args!("precision: f16: {admission}"));
    }
    Ok(trainer)
}

/// Adopts the trainer's micro-batch if the device lacks memory for a batch, with a note.
pub(in crate::cli) fn take_micro_batch(job: &mut Job, trainer: &Trainer) {
    let micro_batch = trainer.spec().micro_batch;
    if let (None, Some(rows)) = (job.spec.micro_batch, micro_batch) {
        say(format_args!(
            "note: a batch of {} exceeds the device's memory: gradients are accumulated over micro-batches of {rows}, with the same result",
            job.spec.batch_size
        ));
        (job.spec.micro_batch, job.config.step.micro_batch) = (micro_batch, micro_batch);
    }
}

/// The end of a run, as text.
pub(in crate::cli) fn describe(summary: &Summary, report: Option<&Made>) -> String {
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
    text + &ending(summary, report, &next)
}

/// The suggested next command for a model.
pub(in crate::cli) fn predict_next(summary: &Summary) -> String {
    format!("wgrad predict {} DATA -o FILE.csv", summary.run.display())
}

/// What the results of a run suggest.
pub(in crate::cli) fn notes(summary: &Summary) -> Vec<String> {
    let kept: Vec<&Kept> = summary.best.iter().chain(&summary.best_of_nets).collect();
    let by = kept.first().map(|best| best.metric.as_str());
    let mut judged = summary.valid.iter().chain(&summary.test);
    let not_worth_it = judged.find_map(|judged| not_worth_it(judged, by));
    kept_early(&kept, summary.epochs, summary.ending).into_iter().chain(not_worth_it).collect()
}

/// Says if the weights with the lowest loss are from the first epochs: all others overfitted. Metrics such as
/// the accuracy may be as good as they can be from the start.
fn kept_early(all: &[&Kept], run: usize, ending: Ending) -> Option<String> {
    let mut epochs: Vec<usize> =
        all.iter().filter(|best| best.metric == "loss").map(|best| best.epoch).collect();
    epochs.sort_unstable();
    let median = *epochs.get(epochs.len() / 2)?;
    let is_whole = ending == Ending::Done && run >= LEAST_EPOCHS;
    (is_whole && median * EARLY_SHARE <= run).then(|| {
        format!(
            "the validation loss was lowest early, in {} of {}, as the net overfits: try --dropout 0.2, \
             --optimizer adamw --weight-decay 0.1, a smaller net with --layers, or fewer --epochs",
            epochs_of(all),
            run
        )
    })
}

/// `epoch 3`, or `epochs 1, 2, 1` of several nets.
fn epochs_of(kept: &[&Kept]) -> String {
    let all: Vec<String> = kept.iter().map(|best| best.epoch.to_string()).collect();
    format!("{} {}", if all.len() == 1 { "epoch" } else { "epochs" }, all.join(", "))
}

/// How a run ended, its results, and the next command.
pub(in crate::cli) fn ending(summary: &Summary, report: Option<&Made>, next: &str) -> String {
    let all: Vec<&Kept> = summary.best.iter().chain(&summary.best_of_nets).collect();
    let kept = all.first().map_or(String::new(), |best| {
        let of_each = if summary.nets.is_some() { " of each net" } else { "" };
        format!(
            "kept        {} of {}, the best{of_each} by validation {}\n",
            epochs_of(&all),
            summary.epochs,
            best.metric
        )
    });
    let nets = summary.nets.map_or(String::new(), |nets| {
        format!("ensemble    {nets} nets, whose predictions are averaged\n")
    });
    let calibrated = summary.temperature.map_or(String::new(), |t| {
        format!("calibrated  logits divided by {} (--calibrate)\n", short(t))
    });
    let report = report.map_or(String::new(), |report| {
        let important = match report.important.is_empty() {
            true => String::new(),
            false => format!("importance  highest for {}\n", report.important.join(", ")),
        };
        format!("{important}report      {}\n", report.page.display())
    });
    format!(
        "{:<11} {}, {} in {}\n{kept}{nets}{calibrated}model       {}\n{report}next        {next}\n",
        summary.ending.name(),
        count(summary.epochs, "epoch"),
        count(summary.steps as usize, "step"),
        duration(summary.seconds),
        summary.model.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_first_epochs_are_a_sign_of_overfitting() {
        let note = |epochs: &[usize], metric: &str, run: usize, ending: Ending| {
            let kept = |&epoch: &usize| Kept { epoch, step: 9, metric: metric.into(), value: None };
            let kept: Vec<Kept> = epochs.iter().map(kept).collect();
            kept_early(&kept.iter().collect::<Vec<_>>(), run, ending)
        };
        let found = note(&[1, 2, 6], "loss", 26, Ending::Done).unwrap();
        assert!(found.contains("early, in epochs 1, 2, 6 of 26, as the net overfits"), "{found}");
        assert!(note(&[5], "loss", 26, Ending::Done).unwrap().contains("epoch 5 of 26"));
        for (epochs, metric, run, ending) in [
            (&[20, 20, 18][..], "loss", 20, Ending::Done),
            (&[1, 6, 7], "loss", 26, Ending::Done),
            (&[6], "loss", 26, Ending::Done),
            (&[], "loss", 26, Ending::Done),
            // As good as it can be from the start.
            (&[1], "accuracy", 26, Ending::Done),
            (&[1], "loss", 9, Ending::Done),
            (&[1], "loss", 26, Ending::Interrupted),
        ] {
            assert_eq!(note(epochs, metric, run, ending), None, "{epochs:?} {metric} {run}");
        }
    }
}
