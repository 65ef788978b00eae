//! `wgrad train --folds K`: as many nets, each judged on the part that it didn't see, and a last
//! one trained on all rows, which is the run's model.

use super::args::TrainArgs;
use super::job::{Job, Source};
use super::judgement::{Baseline, ByName, Judgement};
use super::judgement_text::{fold_line, fold_tables};
use super::run::{Finished, Run, Shown, Summary};
use super::run_directory::RunDirectory;
use super::train::{announce, ending, predict_next, trainer, warn};
use super::warnings::warnings;
use super::{open, plan_ahead, print, print_json, say, splitting};
use crate::backend::device;
use crate::checkpoint::write_atomically;
use crate::data::split::Parts;
use crate::data::{Dataset, Targets};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{Report, Value};
use crate::event::Ending;
use crate::files::{AtomicFile, write_error};
use crate::matrix::Matrix;
use crate::observe::{Bar, Interrupt};
use crate::predictions::{Columns, Format, Rows, Writer};
use crate::stopping::Keep;
use arrow_array::{ArrayRef, Float32Array, StringArray, UInt32Array, UInt64Array};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// The file of each row's prediction by the net that didn't see it.
pub(super) const OUT_OF_FOLD: &str = "out-of-fold.csv";

/// A metric over the folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub name: &'static str,
    pub mean: f64,
    /// The sample standard deviation over folds, with n − 1.
    pub deviation: f64,
}

/// The judgement of all folds.
pub(super) struct Folds {
    /// Each fold's net on the rows that it didn't see.
    pub each: Vec<Judgement>,
    /// Over the folds, of the net and then of each baseline.
    pub net: Vec<Spread>,
    pub baselines: Vec<(&'static str, Vec<Spread>)>,
    /// All rows, each as the net that didn't see it predicts it.
    pub whole: Report,
    /// These predictions: (rows, outputs).
    predictions: Matrix<f32>,
    /// The fold in which each row was held out, from 1 on.
    fold: Vec<u32>,
}

pub(super) fn train(args: &TrainArgs, mut source: Source, k: usize) -> Result<ExitCode> {
    if source.config.run.stop_at.is_some() {
        return Err(Error::usage("--stop-at beside --folds").help(
            "leave out --stop-at: the last net is trained on all rows and has none to stop by",
        ));
    }
    if source.config.run.patience.is_some() || source.config.run.keep == Some(Keep::Best) {
        return Err(Error::usage("--patience or --keep best beside --folds").help(
            "leave it out: an epoch that was chosen by the rows of its fold would be judged too well",
        ));
    }
    source.config.run.keep = Some(Keep::Last);
    if let Some(metric) = source.config.run.metric.take() {
        warn(&[format!(
            "--metric {metric} has no effect beside --folds: their epochs are not compared"
        )]);
    }
    let data = source.data.clone();
    let folds = splitting::folds(&mut source.config, &data, k)?;
    let rows = data.rows();
    let job = source.job(&Parts { training: (0..rows).collect(), ..Parts::default() })?;
    if args.dry_run {
        say(format_args!("{k} folds, and then a net on all rows:"));
        return plan_ahead::show(&job, args.json);
    }
    announce(args, &job);
    if let (Some(split), false) = (&job.config.run.split, args.quiet || args.json) {
        say(format_args!("folds: {k}, {split}, and then a net on all rows"));
    }
    let opened = open::open_device(&job.config.device)?;
    let info = opened.backend.info().clone();
    let directory =
        RunDirectory::create(job.config.run.out.as_deref(), job.training.name(), args.force)?;
    let config = job.config_text(&info)?;
    directory.write_config(&config)?;
    let mut interrupt = Interrupt::watch(|| {
        say(
            "interrupted: finishing the step; the folds that are done are kept, and --fold I trains one of them again (again: end at once)",
        );
    })?;
    let shown = if args.quiet || args.json { Shown::Nothing } else { Shown::Bar };
    let mut fit = |job: &Job, directory: &RunDirectory, text: &str, warnings: &[String]| {
        let config = &job.config.device;
        let choice = config.device.clone().unwrap_or_default();
        let mut trainer = trainer(job, device::open(&choice, config.threads)?.backend)?;
        let (checkpoints, ended) = (None, None);
        let run =
            Run { job, device: &info, directory, config: Some(text), warnings, checkpoints, ended };
        run.fit(&mut trainer, directory.metrics()?, shown, &mut Bar::new(), &mut interrupt)
    };
    drop(opened);

    let mut parts: Vec<(Judgement, Dataset)> = Vec::with_capacity(k);
    for (i, held_out) in folds.iter().enumerate() {
        let mut fold = source.job(&splitting::parts_of(rows, held_out))?;
        fold.config.run.fold = Some(i + 1);
        let found = warnings(&fold);
        if i == 0 {
            warn(&found);
        }
        let path = directory.path().join(format!("fold-{}", i + 1));
        let place = RunDirectory::create(Some(&path), "", false)?;
        let config = fold.config_text(&info)?;
        place.write_config(&config)?;
        let name = |e: Error| e.at(format!("fold {} of {k}", i + 1));
        let Finished { summary, .. } = fit(&fold, &place, &config, &found).map_err(name)?;
        if summary.ending == Ending::Interrupted {
            return Ok(ExitCode::from(ErrorKind::Interrupted.exit_code()));
        }
        let (Some(judged), Some(data)) = (summary.valid, fold.validation) else {
            return Err(Error::failed("a fold was not judged").at(path.display()));
        };
        if args.json {
            print_json(&FoldLine {
                event: "fold",
                fold: i + 1,
                rows: held_out.len(),
                valid: &judged,
                baselines: judged.baselines(),
            })?;
        } else if !args.quiet {
            say(fold_line(i + 1, k, &judged));
        }
        parts.push((judged, data));
    }
    let judged = Folds::new(&job, &folds, parts)?;
    let report = serde_json::to_string_pretty(&judged)
        .map_err(|e| Error::failed(format!("cannot write the folds as JSON: {e}")))?;
    write_atomically(&directory.path().join("folds.json"), |out| out.write_all(report.as_bytes()))?;
    judged.write_predictions(&job, &directory.path().join(OUT_OF_FOLD))?;

    let Finished { summary, .. } = fit(&job, &directory, &config, &[])?;
    // Nets of folds have no checkpoints to go on from.
    let next = match summary.ending {
        Ending::Interrupted => "train again: what was interrupted can't be resumed".into(),
        _ => predict_next(&summary),
    };
    if args.json {
        print_json(&EndLine { event: "end", summary: &summary, folds: &judged })?;
    } else {
        print(&format!("{}\n{}", fold_tables(&judged), ending(&summary, &next)))?;
    }
    Ok(match summary.ending {
        Ending::Interrupted => ExitCode::from(ErrorKind::Interrupted.exit_code()),
        _ => ExitCode::SUCCESS,
    })
}

impl Folds {
    /// Judges all rows by the predictions of the folds, whose rows are `folds`.
    fn new(job: &Job, folds: &[Vec<usize>], parts: Vec<(Judgement, Dataset)>) -> Result<Self> {
        let (each, sets): (Vec<Judgement>, Vec<Dataset>) = parts.into_iter().unzip();
        let cols = each.first().map_or(0, |judged| judged.predictions.cols());
        let mut whole = Matrix::from_fn(job.training.rows(), cols, |_, _| 0.0);
        let mut fold = vec![0; whole.rows()];
        let mut weights = sets.first().and_then(Dataset::weights).map(|_| vec![1.0; whole.rows()]);
        for (i, ((rows, judged), set)) in folds.iter().zip(&each).zip(&sets).enumerate() {
            for (place, (&row, predictions)) in
                rows.iter().zip(judged.predictions.iter_rows()).enumerate()
            {
                whole.data_mut()[row * cols..(row + 1) * cols].copy_from_slice(predictions);
                fold[row] = i as u32 + 1;
                if let (Some(all), Some(weights)) = (&mut weights, set.weights()) {
                    all[row] = weights[place];
                }
            }
        }
        let truth = job.preprocessing.truth(&job.training)?;
        let of_baseline = |name: &'static str| {
            let find = |j: &Judgement| {
                let found = j.baselines.iter().find(|b| b.name == name);
                found.map(|b| b.values.clone()).unwrap_or_default()
            };
            (name, spread(&each.iter().map(find).collect::<Vec<_>>()))
        };
        let names: Vec<&'static str> =
            each.first().map_or(Vec::new(), |j| j.baselines.iter().map(|b| b.name).collect());
        Ok(Folds {
            net: spread(&each.iter().map(|j| j.report.values()).collect::<Vec<_>>()),
            baselines: names.into_iter().map(of_baseline).collect(),
            whole: Report::new(&whole, &truth, weights.as_deref())?,
            each,
            predictions: whole,
            fold,
        })
    }

    /// Writes a line for each row: its number, its fold, the truth, and what the net that didn't
    /// see it predicts.
    fn write_predictions(&self, job: &Job, path: &Path) -> Result<()> {
        let rows = self.fold.len();
        let mut names = vec!["row".to_string(), "fold".to_string()];
        let mut kept: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(1..=rows as u64)),
            Arc::new(UInt32Array::from(self.fold.clone())),
        ];
        let targets = job.preprocessing.encoding.as_ref().map(|e| e.targets.clone());
        let named = |i: usize, of: usize| match &targets {
            Some(names) if names.len() == of => names[i].clone(),
            _ if of == 1 => "target".to_string(),
            _ => format!("target_{}", i + 1),
        };
        match job.training.targets() {
            Targets::Classes { labels, names: classes } => {
                let truth = labels.iter().map(|&label| &classes[label as usize]);
                names.push(named(0, 1));
                kept.push(Arc::new(StringArray::from_iter_values(truth)));
            }
            Targets::Numbers(m) => {
                for i in 0..m.cols() {
                    names.push(named(i, m.cols()));
                    let truth = m.iter_rows().map(|row| row[i]);
                    kept.push(Arc::new(Float32Array::from_iter_values(truth)));
                }
            }
            Targets::Labels { values, names: labels } => {
                for (i, label) in labels.iter().enumerate() {
                    names.push(label.clone());
                    let truth = values.iter_rows().map(|row| row[i]);
                    kept.push(Arc::new(Float32Array::from_iter_values(truth)));
                }
            }
        }
        let columns = Columns::new(&job.preprocessing, self.predictions.cols(), &names);
        let failed = |e: std::io::Error| write_error(path, &e);
        let file = AtomicFile::create(path)?;
        let mut writer = Writer::new(file, Format::Csv, columns, &kept).map_err(failed)?;
        writer.write(&Rows { kept: &kept, values: &self.predictions }).map_err(failed)?;
        writer.finish().map_err(failed)?.commit()
    }
}

/// Mean and deviation of each metric that every fold has.
fn spread(folds: &[Vec<Value>]) -> Vec<Spread> {
    let Some(first) = folds.first() else { return Vec::new() };
    let of = |name: &'static str| -> Option<Spread> {
        let find = |values: &Vec<Value>| values.iter().find(|v| v.0 == name).map(|v| v.1);
        let values: Vec<f64> = folds.iter().map(find).collect::<Option<_>>()?;
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Some(Spread { name, mean, deviation: (squares / (n - 1.0).max(1.0)).sqrt() })
    };
    first.iter().filter_map(|(name, _)| of(name)).collect()
}

#[derive(Serialize)]
struct FoldLine<'a> {
    event: &'static str,
    fold: usize,
    rows: usize,
    valid: &'a Judgement,
    baselines: ByName<'a>,
}

/// The last line: `valid` are the metrics over all rows, each as the net that didn't see it
/// predicts it.
#[derive(Serialize)]
struct EndLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(flatten)]
    folds: &'a Folds,
}

impl Serialize for Folds {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let values = |spreads: &[Spread], of: fn(&Spread) -> f64| -> Vec<Value> {
            spreads.iter().map(|s| (s.name, of(s))).collect()
        };
        let baselines = |of: fn(&Spread) -> f64| -> Vec<Baseline> {
            let all = self.baselines.iter();
            all.map(|(name, spreads)| Baseline { name, values: values(spreads, of) }).collect()
        };
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("valid", &ByName::values(&self.whole.values()))?;
        map.serialize_entry("mean", &ByName::values(&values(&self.net, |s| s.mean)))?;
        map.serialize_entry("deviation", &ByName::values(&values(&self.net, |s| s.deviation)))?;
        map.serialize_entry("folds", &self.each)?;
        map.serialize_entry("baselines", &ByName::new(&baselines(|s| s.mean)))?;
        map.serialize_entry("baselines_deviation", &ByName::new(&baselines(|s| s.deviation)))?;
        map.serialize_entry("report", &self.whole)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_all_folds_have_mean_and_deviation() {
        let folds = [vec![("rmse", 1.0), ("r2", 0.5)], vec![("rmse", 3.0)], vec![("rmse", 5.0)]];
        assert_eq!(spread(&folds), [Spread { name: "rmse", mean: 3.0, deviation: 2.0 }]);
        let one = spread(&folds[..1]);
        assert_eq!((one.len(), one[1].deviation), (2, 0.0));
    }
}
