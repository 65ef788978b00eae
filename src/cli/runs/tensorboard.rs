//! `--tensorboard`: the directory of a run's event files, and what is written into them besides epochs.

use super::run_directory::RunDirectory;
use crate::base::error::{Error, Result};
use crate::cli::judging::judgement::Judgement;
use crate::data::Preprocessing;
use crate::files::config::{EventsDirectory, RunConfig};
use crate::observe::TensorBoard;
use crate::train::evaluation::Report;
use std::fs;
use std::io;
use std::path::Path;

/// The event writer of the run in `directory`, if asked for.
pub(in crate::cli) fn events(
    run: &RunConfig,
    directory: &RunDirectory,
    config: &str,
) -> Option<TensorBoard> {
    let asked = run.tensorboard.as_ref()?;
    let is_part = run.fold.is_some() || run.member.is_some();
    let place = asked.of_run(directory.path(), is_part && directory.is_part());
    Some(TensorBoard::new(place, config.into()))
}

/// Refuses, before any work is done, a directory of event files that can't be written: it is tested with an
/// anonymous file, and nothing is created.
///
/// # Errors
/// When it, or a directory to be created for it, can't be written.
pub(in crate::cli) fn check_writable(run: &RunConfig) -> Result<()> {
    let Some(EventsDirectory::Within(directory)) = &run.tensorboard else { return Ok(()) };
    let place = match &run.out {
        Some(out) => EventsDirectory::Within(directory.clone()).of_run(out, false),
        None => directory.clone(),
    };
    try_out(&place)
}

/// Refuses a directory in which no file can be created; if it doesn't exist, checks its parent.
fn try_out(place: &Path) -> Result<()> {
    let full = std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf());
    let nearest = full.ancestors().find(|path| path.symlink_metadata().is_ok());
    let tried = match nearest {
        Some(nearest) if nearest.is_dir() => tempfile::tempfile_in(nearest).map(|_| ()),
        _ => Err(io::ErrorKind::NotADirectory.into()),
    };
    tried.map_err(|error| {
        let at = nearest.unwrap_or(place).display();
        Error::failed(format!(
            "event files can't be written in {}: {}",
            place.display(),
            error.kind()
        ))
        .at(at)
        .help("name another directory for --tensorboard")
    })
}

/// Refuses to write the events of a new run among those of another, an `--out` of the same name elsewhere, or
/// where they can't be written.
///
/// # Errors
/// When there are any, and they are not to be replaced; as [`check_writable`].
pub(in crate::cli) fn check_free(
    run: &RunConfig,
    directory: &RunDirectory,
    force: bool,
) -> Result<()> {
    let Some(asked) = &run.tensorboard else { return Ok(()) };
    let place = asked.of_run(directory.path(), false);
    let is_taken = fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_some());
    let checked = match (is_taken && !force, asked) {
        (true, _) => {
            Err(Error::usage(format!("{} holds the events of another run", place.display())).help(
                "name another directory for --tensorboard or --out, or replace them with --force",
            ))
        }
        // Without --out, its name is known only now.
        (false, EventsDirectory::Within(_)) => try_out(&place),
        (false, EventsDirectory::InRun) => Ok(()),
    };
    checked.inspect_err(|_| {
        // It was created for this run and is empty.
        let _ = fs::remove_dir(directory.path());
    })
}

/// Writes the confusion matrix of a run's final model after `step` steps, if it has one.
///
/// # Errors
/// When it can't be written.
pub(in crate::cli) fn end(
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
