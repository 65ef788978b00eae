//! `wgrad evaluate`.

use crate::base::error::Result;
use crate::cli::arguments::args::EvaluateArgs;
use crate::cli::arguments::terminal::{count, print, print_json, say};
use crate::cli::judging::judgement::{Baselines, ByName, JudgeCpu, Judgement};
use crate::cli::judging::judgement_text::{not_worth_it, tables};
use crate::cli::runs::begin::warn;
use crate::cli::setup::open::{Trained, open_device};
use crate::data::{self, ColumnOptions, Measured, UnknownColumn};
use crate::files::config::ColumnNames;
use crate::train::choose::Work;
use crate::train::evaluation::Report;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    run: &'a Path,
    data: &'a str,
    rows: usize,
    /// The metrics by name.
    #[serde(flatten)]
    judged: &'a Judgement,
    baselines: ByName<'a>,
    /// The names of the classes or labels, in the order of the lists in `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    class_names: Option<&'a Vec<String>>,
    report: &'a Report,
    /// The columns with categories unknown to the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_categories: Vec<UnknownColumn>,
}

pub(in crate::cli) fn evaluate(args: &EvaluateArgs) -> Result<ExitCode> {
    let trained = Trained::open(&args.model.run)?;
    let trained_as = || trained.config().ok()??.data.missing_target;
    let columns = ColumnOptions {
        target: ColumnNames::join(&args.target),
        missing_target: args.missing_target.or_else(trained_as).unwrap_or_default(),
        ..ColumnOptions::default()
    };
    let options = trained.data_options(&args.model, columns);
    let Measured { data, is_test_part, unknown, warnings } =
        data::open_measured(&args.model.data, &trained.model.preprocessing, &options)?;
    warn(&warnings);
    let unknown_categories = trained.warn_of_unknown(&unknown);
    let seen = !is_test_part && trained.is_of(&args.model);
    if seen {
        say(format_args!(
            "note: these rows ({}) include those that the net was trained on: the metrics say little about new data",
            data.name()
        ));
    }
    let model = &trained.model;
    let features = data.features_shared();
    let work = Work::predictions(model, &features);
    let backend = open_device(&args.model.device, &work)?.backend;
    let mut session = model.session(backend, data.rows())?;
    let (metrics, predictions) = model.judge_in(&mut session, &data)?;
    let mut cpu = JudgeCpu::new(args.model.device.threads);
    cpu.reuse(session.into_backend());
    let mut baselines = Baselines::of_run(&args.model.run, &trained.provenance, &mut cpu)?;
    let preprocessing = &model.preprocessing;
    let judged = Judgement::new(&data, metrics.loss, predictions, preprocessing, &mut baselines)?;
    let class_names = preprocessing.classes.as_ref().or(preprocessing.labels.as_ref());
    if args.json {
        print_json(&Line {
            event: "evaluate",
            run: &args.model.run,
            data: data.name(),
            rows: data.rows(),
            judged: &judged,
            baselines: judged.baselines(),
            class_names,
            report: &judged.report,
            unknown_categories,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!(
        "{}: {}\n\n{}",
        data.name(),
        count(data.rows(), "row"),
        tables(&judged, preprocessing)
    ))?;
    if let Some(note) = not_worth_it(&judged, None) {
        say(format_args!("note: {note}"));
    }
    Ok(ExitCode::SUCCESS)
}
