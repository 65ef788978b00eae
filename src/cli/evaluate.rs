//! `wgrad evaluate`.

use super::args::EvaluateArgs;
use super::open::{Trained, open_device};
use super::{count, print, print_json, say, train};
use crate::data::{self, Measured};
use crate::error::Result;
use crate::metrics::Metrics;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

#[derive(Serialize)]
struct Report<'a> {
    event: &'static str,
    run: &'a Path,
    data: &'a str,
    rows: usize,
    #[serde(flatten)]
    metrics: &'a Metrics,
}

pub(super) fn evaluate(args: &EvaluateArgs) -> Result<ExitCode> {
    let trained = Trained::open(&args.model.run)?;
    let options = trained.data_options(&args.model, &args.target);
    let Measured { data, is_test_part } =
        data::open_measured(&args.model.data, &trained.model.preprocessing, &options)?;
    let seen = !is_test_part && trained.is_of(&args.model);
    if seen {
        say(format_args!(
            "note: the net was trained on {}: these metrics say little about other data",
            data.name()
        ));
    }
    let backend = open_device(&args.model.device)?.backend;
    let metrics = trained.model.evaluate(&data, backend)?;
    let report = Report {
        event: "evaluate",
        run: &args.model.run,
        data: data.name(),
        rows: data.rows(),
        metrics: &metrics,
    };
    match args.json {
        true => print_json(&report)?,
        false => print(&format!(
            "{}  ({} of {})\n",
            train::line(&metrics),
            count(report.rows, "row"),
            report.data
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
