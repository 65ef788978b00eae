//! `wgrad check-gradients`.

use crate::backend::session::initial_weights;
use crate::base::error::{Error, Result};
use crate::cli::arguments::check_args::{CheckGradientsArgs, Subject};
use crate::cli::arguments::terminal::{count, positive, print, print_json, say};
use crate::cli::setup::open::{self, Trained};
use crate::data::{self, DataOptions};
use crate::files::config::{DeviceConfig, NetConfig, StepConfig, TrainConfig};
use crate::net::spec::Spec;
use crate::proof::gradcheck::{self, Options, Report};
use std::path::Path;
use std::process::ExitCode;

pub(in crate::cli) fn check_gradients(args: Box<CheckGradientsArgs>) -> Result<ExitCode> {
    let options = Options {
        threshold: positive("--threshold", args.threshold)?,
        step: positive("--step", args.step)?,
        limit: args.limit.max(1),
        rows: args.rows.max(1),
    };
    let Subject { run, data } = Subject::of(args.subject.as_ref());
    let config =
        args.common.resolve(data.as_ref(), StepConfig::default(), DeviceConfig::default())?;
    let report = match &run {
        Some(run) => of_run(run, config, &options)?,
        None => {
            let job = open::job(config)?;
            let weights = job.init.unwrap_or_else(|| initial_weights(&job.spec));
            gradcheck::check(&job.spec, &weights, &job.preprocessing, &job.training, &options)?
        }
    };
    match args.common.json {
        true => print_json(&Line { event: "check-gradients", report: &report })?,
        false => print(&describe(&report))?,
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(serde::Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

/// Checks a trained net on the data of its run, unless other data are given.
fn of_run(run: &Path, given: TrainConfig, options: &Options) -> Result<Report> {
    if given.net != NetConfig::default() {
        return Err(Error::usage("options of the net cannot be used with a trained net")
            .at(run.display())
            .help("omit these options, or RUN"));
    }
    let trained = Trained::open(run)?;
    let config = given.or(trained.config()?.unwrap_or_default());
    let source = config.data.data.clone().ok_or_else(|| {
        Error::usage("the model file doesn't name its training data")
            .help("name the data instead of the run")
    })?;
    let options_of_data =
        DataOptions { notify: Some(|message| say(message)), ..config.data_options() };
    let model = trained.model;
    let data = data::open_measured(&source, &model.preprocessing, &options_of_data)?.data;
    let spec = Spec::new(model.net, model.objective);
    gradcheck::check(&spec, &model.members[0], &model.preprocessing, &data, options)
}

fn describe(report: &Report) -> String {
    let mut text = format!("checked     {}", count(report.checked, "parameter"));
    if report.kinks > 0 {
        text += &format!(", {} skipped because of a kink nearby", report.kinks);
    }
    text.push('\n');
    if let Some(worst) = &report.worst {
        text += &format!(
            "worst       {}[{}, {}]\nanalytic    {:e}\nnumerical   {:e}\n\
             error       {:.1e}, tolerance {:e} plus the rounding error, here {:.1e}\n",
            worst.tensor,
            worst.row,
            worst.col,
            worst.analytic,
            worst.numerical,
            worst.difference,
            report.threshold,
            worst.rounding,
        );
    }
    text + match report {
        Report { passed: true, .. } => "passed\n",
        Report { checked: 0, .. } => "FAILED: nothing could be compared; choose a smaller --step\n",
        _ => "FAILED: the gradients differ\n",
    }
}
