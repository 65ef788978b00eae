//! `wgrad report`: rebuilds the report of a run, or compares several.

use crate::cli::arguments::args::ReportArgs;
use crate::cli::arguments::terminal::{print, say};
use crate::cli::judging::judgement::Judgement;
use crate::cli::judging::report_files::{self, Finished, Part, parts};
use crate::cli::runs::begin::trainer;
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::setup::job::Job;
use crate::cli::setup::members::Nets;
use crate::cli::setup::open::{self, Trained};

use crate::base::atomic::write_atomically;
use crate::base::error::{Error, Result};
use crate::cli::judging::report_files::open;
use crate::cli::judging::same_rows::{check_rows, check_rows_of_nets};
use crate::data::StoredSet;
use crate::report::{HTML, JSON, RunReport, comparison, plots};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// The file of a comparison, unless another is named.
const COMPARISON: &str = "comparison.html";

pub(in crate::cli) fn report(args: &ReportArgs) -> Result<ExitCode> {
    if let [run] = &args.runs[..] {
        if args.out.is_some() {
            return Err(Error::usage("-o cannot be used with a single run").help(
                "name several runs for a comparison; the report of one is in its directory",
            ));
        }
        let report = one(args, run)?;
        if let Some(directory) = &args.plots {
            write_plots(directory, &report)?;
        }
        print(&format!("{}\n", run.join(HTML).display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.plots.is_some() {
        return Err(Error::usage("--plots cannot be used with several runs").help("name one run"));
    }
    let reports: Vec<RunReport> =
        args.runs.iter().map(|run| read_or_make(args, run)).collect::<Result<_>>()?;
    let file = args.out.clone().unwrap_or_else(|| COMPARISON.into());
    if file.extension().is_none_or(|extension| extension != "html") {
        return Err(Error::usage(format!("{} is not a valid name for a page", file.display()))
            .help("use the extension .html for a comparison"));
    }
    let html = comparison(&reports);
    write_atomically(&file, |out| out.write_all(html.as_bytes()))?;
    print(&format!("{}\n", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The report in a run directory, or a newly made one.
fn read_or_make(args: &ReportArgs, run: &Path) -> Result<RunReport> {
    let file = run.join(JSON);
    match fs::read_to_string(&file).map(|text| RunReport::from_json(&text)) {
        Ok(Ok(report)) => Ok(report),
        _ => one(args, run),
    }
}

/// Rebuilds the report of a run, and writes its files.
fn one(args: &ReportArgs, run: &Path) -> Result<RunReport> {
    RunDirectory::open(run)?;
    let trained = Trained::open(run)?;
    let report = match with_data(args, run, &trained) {
        Ok(report) => report,
        Err(error) => {
            say(format_args!(
                "warning: the report uses only the files of the run: {}",
                error.brief()
            ));
            report_files::without_data(run, &trained, &error.brief())
        }
    };
    report_files::write(run, &report)?;
    Ok(report)
}

/// The report with the parts that need the data of the run.
fn with_data(args: &ReportArgs, run: &Path, trained: &Trained) -> Result<RunReport> {
    let mut config = RunDirectory::open(run)?.config()?;
    if config.data.data.as_deref() == Some("-") {
        return Err(Error::data("the data came from standard input"));
    }
    config.device = args.device.clone();
    let (is_folds, is_many) = (
        config.run.folds.is_some() && config.run.fold.is_none(),
        config.run.ensemble.is_some_and(|e| e.nets > 1) && config.run.member.is_none(),
    );
    let mut source = open::source(config)?;
    let mut warnings = Vec::new();
    if is_many {
        let nets = Nets::new(&mut source)?;
        check_rows_of_nets(&RunDirectory::open(run)?, &nets)?;
        check(&nets.whole, trained, &mut warnings);
        let backend = open(args, &nets.whole, trained)?;
        let mut session = trained.model.session(backend, usize::MAX)?;
        return crate::cli::nets::ensemble_report::again(
            &nets,
            &source,
            run,
            trained,
            &mut session,
            &warnings,
        );
    }
    let mut not_computed = Vec::new();
    let mut whole = None;
    let mut job = match is_folds {
        false => {
            let job = Job::of(&mut source)?;
            check_rows(run, &["rows"], &job)?;
            job
        }
        true => {
            not_computed.push(crate::cli::judging::report_files::not_in_report());
            let (job, judged) =
                crate::cli::nets::fold_judgement::judge_again(args, &mut source, run)?;
            whole = Some(judged);
            job
        }
    };
    check(&job, trained, &mut warnings);
    job.store()?;
    let backend = open(args, &job, trained)?;
    let [valid, test];
    let mut session;
    let mut streamed;
    let session = match &job.stored {
        None => {
            session = trained.model.session(backend, usize::MAX)?;
            [valid, test] = report_files::judge(&job, trained, run, &mut session)?;
            &mut session
        }
        Some(stored) => {
            streamed = trainer(&job, backend)?;
            let weights = trained.model.members.first();
            streamed.set_weights(weights.map_or(&[], |weights| &weights[..]))?;
            let mut baselines = report_files::baselines(&job, run, trained)?;
            let mut of = |set: &Option<Arc<StoredSet>>| -> Result<Option<Judgement>> {
                let Some(set) = set else { return Ok(None) };
                let loss = streamed.evaluate_stored(set)?.loss;
                Judgement::of_stored(set, loss, &mut streamed, &mut baselines).map(Some)
            };
            [valid, test] = [of(&stored.validation)?, of(&stored.test)?];
            streamed.session()
        }
    };
    let mut judged: Vec<Part<'_>> =
        whole.iter().map(|whole| report_files::of_folds(&job, whole)).collect();
    judged.extend(parts(&job, valid.as_ref(), test.as_ref()));
    let finished = Finished {
        job: &job,
        directory: run,
        judged,
        warnings: &warnings,
        not_computed,
        is_explained: true,
    };
    Ok(report_files::of(finished, trained, session))
}

/// Warns if the data can't be those that the model was trained on.
fn check(job: &Job, trained: &Trained, warnings: &mut Vec<String>) {
    if job.preprocessing.encoding != trained.model.preprocessing.encoding
        || job.preprocessing.features != trained.model.preprocessing.features
    {
        let warning = "the data have changed since training: rows reported as held out may be among those that the model was trained on";
        say(format_args!("warning: {warning}"));
        warnings.push(warning.into());
    }
}

/// Writes each plot of a report into a directory.
fn write_plots(directory: &Path, report: &RunReport) -> Result<()> {
    fs::create_dir_all(directory).map_err(|e| Error::io("create", directory, &e))?;
    for plot in plots(report) {
        for (extension, bytes) in [("svg", plot.svg().into_bytes()), ("png", plot.png()?)] {
            let file = directory.join(format!("{}.{extension}", plot.name));
            write_atomically(&file, |out| out.write_all(&bytes))?;
        }
    }
    Ok(())
}
