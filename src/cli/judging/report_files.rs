//! The report of a run, from the results of a command to the files in its directory.

use super::judgement::{Baselines, JudgeCpu, Judgement};
use crate::backend::Backend;
use crate::backend::session::Session;
use crate::base::atomic::write_atomically;
use crate::base::error::{Error, Result};
use crate::cli::arguments::args::ReportArgs;
use crate::cli::arguments::terminal::say;
use crate::cli::runs::run::Run;
use crate::cli::runs::summary::Summary;
use crate::cli::setup::job::Job;
use crate::cli::setup::open::Trained;
use crate::cli::setup::open::open_device;
use crate::cli::setup::settings::describe_net;
use crate::data::{Dataset, Features, StoredSet};
use crate::report::{
    HTML, HeldOut, Influence, JSON, NotComputed, Rows, RunReport, Subject, build, card, page,
    rows_to_sample,
};
use crate::train::choose::Work;
use crate::train::event::Ending;
use crate::train::trainer::Trainer;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most columns that are named as the most important ones.
const IMPORTANT: usize = 3;

/// The results of a run from which a command makes its report.
pub(in crate::cli) struct Finished<'a> {
    pub job: &'a Job,
    pub directory: &'a Path,
    /// The parts that the model was evaluated on, with the net of an ensemble that wasn't trained on each row.
    pub judged: Vec<Part<'a>>,
    pub warnings: &'a [String],
    /// Parts of the report that can't be made, and why.
    pub not_computed: Vec<NotComputed>,
    /// Whether to include importance and partial dependence, which need predictions.
    pub is_explained: bool,
}

/// An evaluated part of the data.
pub(in crate::cli) struct Part<'a> {
    /// `validation` or `test`.
    pub name: &'static str,
    pub judged: &'a Judgement,
    /// Its encoded rows, if these are all that were evaluated.
    pub features: Option<Arc<Features>>,
    /// Their row numbers in the data.
    pub rows: Option<&'a [usize]>,
    /// The net of an ensemble that predicted each row alone.
    pub nets: Option<Vec<usize>>,
}

/// The parts of a run of one net.
pub(in crate::cli) fn parts<'a>(
    job: &'a Job,
    valid: Option<&'a Judgement>,
    test: Option<&'a Judgement>,
) -> Vec<Part<'a>> {
    let [own_valid, own_test] = &*job.held_out_rows;
    let all =
        [("validation", valid, &job.validation, own_valid), ("test", test, &job.test, own_test)];
    let part = |(name, judged, data, own): (_, Option<&'a Judgement>, &Option<Dataset>, _)| {
        let (judged, own): (&Judgement, &'a Vec<usize>) = (judged?, own);
        let is_all = |rows: usize| rows == judged.truth.rows();
        let data = data.as_ref().filter(|data| is_all(data.rows()));
        let rows = Some(&own[..]).filter(|own| data.is_some() && is_all(own.len()));
        Some(Part { name, judged, features: data.map(Dataset::features_shared), rows, nets: None })
    };
    all.into_iter().filter_map(part).collect()
}

/// A report that was written.
pub(in crate::cli) struct Made {
    /// Its page.
    pub page: PathBuf,
    /// The columns of the highest permutation importance, the highest first.
    pub important: Vec<String>,
}

impl Made {
    fn of(directory: &Path, report: &RunReport) -> Self {
        let columns = report.influence.iter().flat_map(Influence::important).take(IMPORTANT);
        Made {
            page: directory.join(HTML),
            important: columns.map(|column| column.column.clone()).collect(),
        }
    }
}

/// Makes the report of a run that was trained just now, and writes its files. Errors are
/// reported as warnings, and don't affect the run.
pub(in crate::cli) fn after_training(
    finished: Finished<'_>,
    session: &mut Session,
) -> Option<Made> {
    let directory = finished.directory.to_path_buf();
    let made = guarded(|| {
        let trained = Trained::open(&directory)?;
        write(&directory, &of(finished, &trained, session))
    });
    warn_of(made, &directory)
}

/// Makes a report. The run is finished and saved: not even a panic may turn it into a failure.
pub(in crate::cli) fn guarded<T>(make: impl FnOnce() -> Result<T>) -> Result<T> {
    let made = catch_unwind(AssertUnwindSafe(make));
    made.unwrap_or_else(|_| Err(Error::failed("a bug in wgrad, reported above")))
}

/// The report; says why there is none.
pub(in crate::cli) fn warn_of(made: Result<Made>, directory: &Path) -> Option<Made> {
    made.map_err(|error| {
        say(format_args!(
            "warning: no report was written: {}; once that is fixed: wgrad report {}",
            error.brief(),
            directory.display()
        ));
    })
    .ok()
}

/// As [`after_training`], for a run of one net.
pub(in crate::cli) fn of_run(
    run: &Run<'_>,
    summary: &Summary,
    trainer: &mut Trainer,
    mut not_computed: Vec<NotComputed>,
) -> Option<Made> {
    let is_interrupted = summary.ending == Ending::Interrupted;
    if is_interrupted {
        // After Ctrl-C the user doesn't want to wait.
        not_computed.push(left_out(
            "baselines, test metrics, importance and partial dependence of columns",
            &format!(
                "the run was interrupted; wgrad report {} builds the report from what exists",
                run.directory.path().display()
            ),
        ));
    }
    let finished = Finished {
        job: run.job,
        directory: run.directory.path(),
        judged: parts(run.job, summary.valid.as_ref(), summary.test.as_ref()),
        warnings: run.warnings,
        not_computed,
        is_explained: !is_interrupted,
    };
    after_training(finished, trainer.session())
}

/// As [`of_run`], for a net of a cross-validation: that of a fold, or the last one, for which the nets of
/// the folds were evaluated together on all rows, those of the given job.
pub(in crate::cli) fn of_fold(
    run: &Run<'_>,
    summary: &Summary,
    trainer: &mut Trainer,
    whole: Option<(&Job, &Judgement)>,
) -> Option<Made> {
    let Some((job, whole)) = whole.filter(|_| summary.ending != Ending::Interrupted) else {
        return of_run(run, summary, trainer, Vec::new());
    };
    let mut judged = vec![of_folds(job, whole)];
    judged.extend(parts(job, None, summary.test.as_ref()));
    let finished = Finished {
        job,
        directory: run.directory.path(),
        judged,
        warnings: run.warnings,
        not_computed: vec![not_in_report()],
        is_explained: true,
    };
    after_training(finished, trainer.session())
}

/// All rows, each predicted by the net of the fold that held it out.
pub(in crate::cli) fn of_folds<'a>(job: &'a Job, whole: &'a Judgement) -> Part<'a> {
    Part {
        name: "validation",
        judged: whole,
        features: None,
        rows: Some(&job.training_rows),
        nets: Some(Vec::new()),
    }
}

/// As [`of_run`], for a net of an ensemble, which hasn't been evaluated: it is now, briefly.
pub(in crate::cli) fn of_net(run: &Run<'_>, trainer: &mut Trainer) {
    let (job, directory) = (run.job, run.directory.path());
    let made = guarded(|| {
        let trained = Trained::open(directory)?;
        let [valid, test] = judge(job, &trained, directory, trainer.session())?;
        let finished = Finished {
            job,
            directory,
            judged: parts(job, valid.as_ref(), test.as_ref()),
            warnings: run.warnings,
            not_computed: vec![left_out(
                "importance and partial dependence of columns",
                "the report of the whole ensemble has them",
            )],
            is_explained: false,
        };
        write(directory, &of(finished, &trained, trainer.session()))
    });
    let _ = warn_of(made, directory);
}

/// The report of a run, with its data.
pub(in crate::cli) fn of(
    finished: Finished<'_>,
    trained: &Trained,
    session: &mut Session,
) -> RunReport {
    let Finished { job, directory, judged, warnings, mut not_computed, is_explained } = finished;
    let (training, validation) = job.rows();
    let test = judged.iter().find(|part| part.name == "test");
    let rows = Rows { training, validation, test: test.map_or(0, |part| part.judged.truth.rows()) };
    let mut some_of = |part| is_explained.then(|| sampled(job, part, &mut not_computed)).flatten();
    let sampled: Vec<Option<Sampled>> = judged.iter().map(&mut some_of).collect();
    let held_out = judged.into_iter().zip(sampled).map(|(part, sampled)| HeldOut {
        sampled,
        part: part.name,
        loss: part.judged.loss,
        report: &part.judged.report,
        baselines: part.judged.baselines.iter().map(|b| (b.name, &b.values[..])).collect(),
        predictions: &part.judged.predictions,
        truth: &part.judged.truth,
        weights: part.judged.weights.as_deref(),
        features: part.features,
        rows: part.rows,
        nets: part.nets,
    });
    let subject = Subject {
        nets: nets(directory, trained),
        data: Some(&job.data),
        training_rows: &job.training_rows,
        training: Some(&job.training),
        rows: Some(rows),
        held_out: held_out.collect(),
        warnings,
        not_computed,
        ..bare(directory, trained)
    };
    build(&subject, is_explained.then_some(session))
}

/// Some encoded rows of a part, with their numbers.
type Sampled = (Vec<usize>, Arc<Features>);

/// Some rows of a part that is in a file.
fn sampled(job: &Job, part: &Part<'_>, missing: &mut Vec<NotComputed>) -> Option<Sampled> {
    let stored = job.stored.as_ref()?;
    let set: &StoredSet = match part.name {
        "validation" => stored.validation.as_deref()?,
        _ => stored.test.as_deref()?,
    };
    if part.features.is_some() || set.rows() != part.judged.truth.rows() {
        return None;
    }
    let rows = rows_to_sample(set.rows());
    match set.select(&rows) {
        Ok(data) => Some((rows, data.features_shared())),
        Err(error) => {
            missing.push(left_out("importance of columns", &error.brief()));
            None
        }
    }
}

/// The report of a run whose data can't be opened: of its own files alone.
pub(in crate::cli) fn without_data(directory: &Path, trained: &Trained, why: &str) -> RunReport {
    let missing = NotComputed {
        part: "rows, columns, plots of predictions, importance and partial dependence".into(),
        why: format!("the data could not be used again: {why}"),
    };
    build(&Subject { not_computed: vec![missing], ..bare(directory, trained) }, None)
}

fn bare<'a>(directory: &'a Path, trained: &'a Trained) -> Subject<'a> {
    Subject {
        directory,
        nets: nets(directory, trained),
        model: &trained.model,
        layers: describe_net(&trained.model.net),
        temperature: trained.provenance.temperature,
        data_name: trained.provenance.data.as_deref(),
        config: trained.provenance.config.as_deref(),
        data: None,
        training_rows: &[],
        training: None,
        rows: None,
        held_out: Vec::new(),
        warnings: &[],
        not_computed: Vec::new(),
    }
}

/// Where the events of each net of a model are.
fn nets(directory: &Path, trained: &Trained) -> Vec<(Option<String>, PathBuf)> {
    match trained.model.members.len() {
        0 | 1 => vec![(None, directory.to_path_buf())],
        count => {
            let net = |n: usize| (Some(format!("net {n}")), directory.join(format!("net-{n}")));
            (1..=count).map(net).collect()
        }
    }
}

/// Writes `report.json`, the page `report.html` made from it, and the model card.
pub(in crate::cli) fn write(directory: &Path, report: &RunReport) -> Result<Made> {
    let json = report.to_json()?;
    write_atomically(&directory.join(JSON), |out| out.write_all(json.as_bytes()))?;
    let report = RunReport::from_json(&json)?;
    let html = page(&report);
    write_atomically(&directory.join(HTML), |out| out.write_all(html.as_bytes()))?;
    card::write(directory, &report)?;
    Ok(Made::of(directory, &report))
}

/// The baselines of a run's model.
pub(in crate::cli) fn baselines(
    job: &Job,
    directory: &Path,
    trained: &Trained,
) -> Result<Baselines> {
    let mut cpu = JudgeCpu::new(job.config.device.threads);
    Baselines::of_run(directory, &trained.provenance, &mut cpu)
}

/// Evaluates the model on the parts of a run of one net that weren't evaluated in training.
pub(in crate::cli) fn judge(
    job: &Job,
    trained: &Trained,
    directory: &Path,
    session: &mut Session,
) -> Result<[Option<Judgement>; 2]> {
    let mut baselines = baselines(job, directory, trained)?;
    let mut of = |data: &Option<Dataset>| -> Result<Option<Judgement>> {
        let Some(data) = data else { return Ok(None) };
        let (metrics, predictions) = trained.model.judge_in(session, data)?;
        let preprocessing = &trained.model.preprocessing;
        Judgement::new(data, metrics.loss, predictions, preprocessing, &mut baselines).map(Some)
    };
    Ok([of(&job.validation)?, of(&job.test)?])
}

pub(in crate::cli) fn open(
    args: &ReportArgs,
    job: &Job,
    trained: &Trained,
) -> Result<Box<dyn Backend>> {
    let held_out = job.validation.as_ref().or(job.test.as_ref()).unwrap_or(&job.training);
    let features = held_out.features_shared();
    let work = Work::predictions(&trained.model, &features);
    Ok(open_device(&args.device, &work)?.backend)
}

/// A part that a report leaves out because of the kind of run.
pub(in crate::cli) fn left_out(part: &str, why: &str) -> NotComputed {
    NotComputed { part: part.into(), why: why.into() }
}

/// The part that the report of the net on all rows leaves out.
pub(in crate::cli) fn not_in_report() -> NotComputed {
    left_out(
        "importance of columns",
        "this net was trained on all rows; the reports in fold-1, fold-2 and so on have it for the nets of the folds",
    )
}
