//! `wgrad evaluate`.

use super::args::EvaluateArgs;
use super::judgement::{Baselines, ByName, Judgement};
use super::judgement_text::{not_worth_it, tables};
use super::open::{Trained, open_device};
use super::train::warn;
use super::{count, print, print_json, say};
use crate::data::{self, Measured};
use crate::error::Result;
use crate::evaluation::Report;
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
}

pub(super) fn evaluate(args: &EvaluateArgs) -> Result<ExitCode> {
    let trained = Trained::open(&args.model.run)?;
    let options = trained.data_options(&args.model, &args.target);
    let Measured { data, is_test_part, warnings } =
        data::open_measured(&args.model.data, &trained.model.preprocessing, &options)?;
    warn(&warnings);
    let seen = !is_test_part && trained.is_of(&args.model);
    if seen {
        say(format_args!(
            "note: the net was trained on {}: these metrics say little about other data",
            data.name()
        ));
    }
    let backend = open_device(&args.model.device)?.backend;
    let model = &trained.model;
    let mut session = model.session(backend, data.rows())?;
    let loss = model.evaluate_in(&mut session, &data)?.loss;
    let predictions = model.predict_in(&mut session, data.features_shared())?;
    let baselines = Baselines::of_run(&args.model.run, &trained.provenance)?;
    let preprocessing = &model.preprocessing;
    let judged = Judgement::new(&data, loss, predictions, preprocessing, &baselines)?;
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
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!(
        "{}: {}\n\n{}",
        data.name(),
        count(data.rows(), "row"),
        tables(&judged, preprocessing)
    ))?;
    if let Some(note) = not_worth_it(&judged) {
        say(format_args!("note: {note}"));
    }
    Ok(ExitCode::SUCCESS)
}
