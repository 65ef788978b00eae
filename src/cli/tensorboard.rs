//! `--tensorboard`: where a run's event files go, and what is written into them beside its epochs.

use super::judgement::Judgement;
use super::run_directory::RunDirectory;
use crate::config::RunConfig;
use crate::data::Preprocessing;
use crate::error::{Error, Result};
use crate::evaluation::Report;
use crate::observe::TensorBoard;
use std::fs;

/// The events of the run in `directory`, where they are asked for.
pub(super) fn events(
    run: &RunConfig,
    directory: &RunDirectory,
    config: Option<&str>,
) -> Option<TensorBoard> {
    let asked = run.tensorboard.as_ref()?;
    let is_part = run.fold.is_some() || run.member.is_some();
    let place = asked.of_run(directory.path(), is_part && directory.is_part());
    Some(TensorBoard::new(place, config.map(str::to_string)))
}

/// Refuses to write the events of a new run among those of another: an `--out` of the same name elsewhere.
///
/// # Errors
/// When there are any, and they are not to be replaced.
pub(super) fn check_free(run: &RunConfig, directory: &RunDirectory, force: bool) -> Result<()> {
    let Some(asked) = &run.tensorboard else { return Ok(()) };
    let place = asked.of_run(directory.path(), false);
    let is_taken = fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_some());
    if !is_taken || force {
        return Ok(());
    }
    // It was made for this run, and nothing is in it.
    let _ = fs::remove_dir(directory.path());
    Err(Error::usage(format!("{} holds the events of another run", place.display()))
        .help("name another directory for --tensorboard or --out, or replace them with --force"))
}

/// Writes the confusion matrix of the model that a run left after `step` steps, where it has one.
///
/// # Errors
/// When it can't be written.
pub(super) fn end(
    board: &mut TensorBoard,
    step: u64,
    judged: [&Option<Judgement>; 2],
    preprocessing: &Preprocessing,
) -> Result<()> {
    let names = preprocessing.classes.clone().unwrap_or_default();
    let first = judged.into_iter().flatten().next();
    match first.map(|judged| &judged.report) {
        Some(Report::Classes(report)) => board.confusion(step, &report.confusion, &names),
        _ => Ok(()),
    }
}
