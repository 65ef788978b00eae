//! Results of cross-validation: each metric over the folds, and all rows predicted by the nets that held them
//! out.

use super::fold_jobs::FoldJobs;
use crate::base::atomic::{AtomicFile, write_error};
use crate::base::error::{Error, Result};
use crate::cli::arguments::args::ReportArgs;
use crate::cli::judging::judgement::{Baseline, ByName, Judgement};
use crate::cli::judging::report_files;
use crate::cli::judging::same_rows::check_rows;
use crate::cli::runs::names::FOLD;
use crate::cli::setup::job::Job;
use crate::cli::setup::open::Trained;
use crate::cli::setup::source::Source;
use crate::data::{Dataset, Predictions, Targets};
use crate::files::predictions::{Columns, Format, Rows, Writer};
use crate::train::evaluation::{Report, Value};
use arrow_array::{ArrayRef, Float32Array, Float64Array, StringArray, UInt32Array, UInt64Array};
use serde::Serialize;
use serde::ser::SerializeMap;
use std::path::Path;
use std::sync::Arc;

/// A metric over the folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) struct Spread {
    pub name: &'static str,
    pub mean: f64,
    /// The sample standard deviation over folds, with n − 1.
    pub deviation: f64,
}

/// The evaluation of all folds.
pub(in crate::cli) struct Folds {
    /// Each fold's net on its held-out rows.
    pub each: Vec<Judgement>,
    /// The metrics of the net over the folds; then those of each baseline.
    pub net: Vec<Spread>,
    pub baselines: Vec<(&'static str, Vec<Spread>)>,
    /// All rows, each predicted by the net that held it out.
    pub whole: Report,
    /// The out-of-fold predictions: (rows, outputs).
    predictions: Predictions,
    /// The fold in which each row was held out, from 1 on.
    fold: Vec<u32>,
}

impl Folds {
    /// Evaluates all rows from the predictions of the folds, whose rows are `folds`.
    pub fn new(job: &Job, folds: &[Vec<usize>], parts: Vec<(Judgement, Dataset)>) -> Result<Self> {
        let (each, sets): (Vec<Judgement>, Vec<Dataset>) = parts.into_iter().unzip();
        let cols = each.first().map_or(0, |judged| judged.predictions.cols());
        let all = job.training.rows();
        let mut whole = Predictions::none(cols);
        // The place of each row in the concatenated predictions of all folds.
        let (mut fold, mut places) = (vec![0; all], vec![0; all]);
        let mut weights = sets.first().and_then(Dataset::weights).map(|_| vec![1.0; all]);
        for (i, ((rows, judged), set)) in folds.iter().zip(&each).zip(&sets).enumerate() {
            let first = whole.rows();
            whole.append(judged.predictions.clone())?;
            for (place, &row) in rows.iter().enumerate() {
                places[row] = first + place;
                fold[row] = i as u32 + 1;
                if let (Some(all), Some(weights)) = (&mut weights, set.weights()) {
                    all[row] = weights[place];
                }
            }
        }
        let whole = whole.select(&places);
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

    /// All rows evaluated together, for a report, with the means of the folds' baselines.
    pub fn together(&self, job: &Job) -> Result<Judgement> {
        let values = |spreads: &[Spread]| spreads.iter().map(|s| (s.name, s.mean)).collect();
        let baseline = |(name, spreads): &(&'static str, Vec<Spread>)| Baseline {
            name,
            values: values(spreads),
        };
        Ok(Judgement {
            // Each net has its own.
            loss: f64::NAN,
            report: self.whole.clone(),
            baselines: self.baselines.iter().map(baseline).collect(),
            predictions: self.predictions.clone(),
            truth: job.preprocessing.truth(&job.training)?,
            weights: job.sample_weights.clone(),
        })
    }

    /// Writes a line for each row: its number, its fold, the truth, and the prediction of the net
    /// that held it out.
    pub fn write_predictions(&self, job: &Job, path: &Path) -> Result<()> {
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
                    kept.push(Arc::new(Float64Array::from_iter_values(truth)));
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

impl Serialize for Folds {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
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

/// The run on all rows of a cross-validation whose data are opened again, and all rows evaluated together by
/// the nets of the folds in its directory.
pub(in crate::cli) fn judge_again(
    args: &ReportArgs,
    source: &mut Source,
    run: &Path,
) -> Result<(Job, Judgement)> {
    let k = source.config.run.folds.unwrap_or_default();
    let jobs = FoldJobs::new(source, k)?;
    check_rows(run, &["rows"], &jobs.last)?;
    let mut parts: Vec<(Judgement, Dataset)> = Vec::with_capacity(k);
    for i in 0..k {
        let fold = jobs.fold(source, i)?;
        let place = run.join(format!("{FOLD}{}", i + 1));
        let trained = Trained::open(&place)?;
        let backend = report_files::open(args, &fold, &trained)?;
        let mut session = trained.model.session(backend, usize::MAX)?;
        let judged = report_files::judge(&fold, &trained, &place, &mut session)?;
        let Some(part) = FoldJobs::judged(fold, judged) else {
            return Err(Error::failed("a fold was not evaluated").at(place.display()));
        };
        parts.push(part);
    }
    let FoldJobs { folds, whole: job, .. } = jobs;
    let whole = Folds::new(&job, &folds, parts)?.together(&job)?;
    Ok((job, whole))
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
