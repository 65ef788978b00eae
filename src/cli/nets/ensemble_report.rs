//! The report of an ensemble: evaluated on rows that none of its nets was trained on, or each row by the net
//! that held it out.

use super::ensemble_judgement::judge_again;
use crate::backend::session::Session;
use crate::base::error::Result;
use crate::cli::judging::judgement::Judgement;
use crate::cli::judging::report_files::{self, Finished, Made, Part, parts};
use crate::cli::runs::summary::Summary;
use crate::cli::setup::members::Nets;
use crate::cli::setup::open::Trained;
use crate::cli::setup::source::Source;
use crate::data::Dataset;
use crate::report::RunReport;
use std::path::Path;

/// The report of an ensemble whose data are opened again.
///
/// # Errors
/// When the data don't fit the model, or the device was lost.
pub(in crate::cli) fn again(
    nets: &Nets,
    source: &Source,
    run: &Path,
    trained: &Trained,
    session: &mut Session,
    warnings: &[String],
) -> Result<RunReport> {
    let [valid, test] = judge_again(nets, source, trained, run, session)?;
    of(nets, run, trained, [valid.as_ref(), test.as_ref()], session, warnings)
}

/// Makes the report of an ensemble that was just trained; warns if that fails.
pub(in crate::cli) fn after_training(
    nets: &Nets,
    summary: &Summary,
    session: &mut Session,
    warnings: &[String],
) -> Option<Made> {
    let directory = &summary.run;
    let judged = [summary.valid.as_ref(), summary.test.as_ref()];
    let made = report_files::guarded(|| {
        let trained = Trained::open(directory)?;
        let report = of(nets, directory, &trained, judged, session, warnings)?;
        report_files::write(directory, &report)
    });
    report_files::warn_of(made, directory)
}

/// The report of an evaluated ensemble.
///
/// # Errors
/// When the data don't fit the model.
pub(in crate::cli) fn of(
    nets: &Nets,
    run: &Path,
    trained: &Trained,
    [valid, test]: [Option<&Judgement>; 2],
    session: &mut Session,
    warnings: &[String],
) -> Result<RunReport> {
    let job = &nets.whole;
    let folds: Option<(Vec<usize>, Dataset)> = match &nets.folds {
        None => None,
        Some(folds) => {
            let rows = folds.concat();
            let data = job.preprocessing.dataset(&job.data, &rows)?;
            Some((rows, data))
        }
    };
    let judged = match (&folds, &nets.folds) {
        (Some((rows, data)), Some(folds)) => {
            let nets =
                folds.iter().enumerate().flat_map(|(net, rows)| rows.iter().map(move |_| net));
            let valid = valid.map(|judged| Part {
                name: "validation",
                judged,
                features: Some(data.features_shared()),
                rows: Some(rows),
                nets: Some(nets.collect()),
            });
            valid.into_iter().chain(parts(job, None, test)).collect()
        }
        _ => parts(job, valid, test),
    };
    let not_computed = Vec::new();
    let (directory, is_explained) = (run, true);
    let finished = Finished { job, directory, judged, warnings, not_computed, is_explained };
    Ok(report_files::of(finished, trained, session))
}
