//! Whether the data that are opened again have the rows that a run was trained on.

use crate::base::error::{Error, Result};
use crate::base::words::thousands;
use crate::cli::arguments::terminal::count;
use crate::cli::runs::names::EVENTS;
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::setup::job::Job;
use crate::cli::setup::members::Nets;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Refuses data with another number of rows than the run in `directory` had, for example
/// if the file has grown since: its held-out rows can't be identified, nor its metrics measured again. The rows
/// that `job` trains on are those that the first event of the run counts as `parts`.
pub(in crate::cli) fn check_rows(directory: &Path, parts: &[&str], job: &Job) -> Result<()> {
    let events = fs::read_to_string(directory.join(EVENTS)).unwrap_or_default();
    let mut events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let Some(start) = events.find(|event| event["event"] == "start") else { return Ok(()) };
    let then: Option<u64> = parts.iter().map(|part| start[*part].as_u64()).sum();
    let now = job.rows().0;
    match then.map(|then| then as usize) {
        Some(then) if then != now => Err(Error::data(format!(
            "the data have changed since training: they have {} to train on, but the run had {}",
            count(now, "row"),
            thousands(then as f64)
        ))
        .at(job.training.name())
        .help("restore the data as they were, or train again")),
        _ => Ok(()),
    }
}

/// As [`check_rows`], for an ensemble.
pub(in crate::cli) fn check_rows_of_nets(directory: &RunDirectory, nets: &Nets) -> Result<()> {
    // For nets by folds, the rows of the first net and its held-out ones are all rows.
    let parts = ["rows", "validation_rows"];
    let parts = if nets.folds.is_some() { &parts[..] } else { &parts[..1] };
    check_rows(&directory.net(1), parts, &nets.whole)
}
