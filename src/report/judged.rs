//! The evaluation of a model on held-out rows, from its predictions for them.

use super::examples::wrong_rows;
use super::intervals::{RESAMPLES, intervals};
use super::ranking::ranking;
use super::{HeldOut, Subject, WrongRow, finite, sample};
use crate::base::error::Result;
use crate::data::{Predictions, Targets};
use crate::report::RankingCurves;
use crate::train::evaluation::{ClassScores, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most classes whose full confusion matrix is included.
const MATRIX: usize = 30;
/// The number of most frequent confusions that are included.
const MISTAKES: usize = 20;
/// The most points of a plot of residuals.
const POINTS: usize = 500;
/// The most outputs whose residuals are included.
const OUTPUTS: usize = 6;

/// A model on one held-out part.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// `validation` or `test`.
    pub part: String,
    /// The number of rows; none if it is known only from the events of the run.
    pub rows: Option<usize>,
    /// Whether each row is predicted only by the net of an ensemble that held it out.
    pub out_of_fold: bool,
    /// The objective.
    pub loss: Option<f64>,
    /// The metrics, most important first.
    pub metrics: Vec<Metric>,
    /// The same metrics of the baselines.
    pub baselines: Vec<BaselineValues>,
    /// The number of resamples for the intervals, and of rows that they are estimated from.
    pub resamples: Option<[usize; 2]>,
    /// Each class or label.
    pub classes: Vec<ClassRow>,
    /// The weight of the rows of each actual class (outer) predicted as each class (inner); empty for
    /// many classes, or none.
    pub confusion: Vec<Vec<f64>>,
    /// The most frequent mistakes.
    pub mistakes: Vec<Mistake>,
    /// The calibration curve.
    pub calibration: Vec<CalibrationPoint>,
    /// For two classes, the ROC and precision-recall curves.
    pub ranking: Option<RankingCurves>,
    /// For numbers, predictions and true values.
    pub residuals: Vec<Residuals>,
    /// The rows that are predicted worst.
    pub wrong_rows: Vec<WrongRow>,
}

/// A metric with its 95% interval, if there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, as in `metrics.jsonl`.
    pub name: String,
    /// Its value.
    pub value: Option<f64>,
    /// The bootstrap interval.
    pub interval: Option<[f64; 2]>,
}

/// The metrics of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineValues {
    /// `majority_class`, `label_shares`, `mean`, `median` or `linear_model`.
    pub name: String,
    /// The metrics by name.
    pub values: BTreeMap<String, f64>,
}

/// A class or a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    /// Its name.
    pub name: String,
    /// The weight of its rows.
    pub support: f64,
    /// The weight of the rows predicted as it.
    pub predicted: f64,
    /// The fraction of rows predicted as it that are of it.
    pub precision: f64,
    /// The fraction of its rows that are predicted as it.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// ROC AUC of this class against the rest.
    pub roc_auc: Option<f64>,
}

/// Rows of one class that were predicted as another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Their true class.
    pub actual: String,
    /// The class that was predicted.
    pub predicted: String,
    /// Their weight.
    pub weight: f64,
}

/// A bin of predictions with similar confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationPoint {
    /// Their weight.
    pub weight: f64,
    /// Their mean confidence, or the mean predicted probability.
    pub confidence: f64,
    /// The fraction of them that is correct, or of rows that have the label.
    pub accuracy: f64,
}

/// Predictions and true values of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// The name of the target.
    pub target: String,
    /// (Truth, prediction) of the rows; a sample if there are many.
    pub points: Vec<[f64; 2]>,
    /// The distribution of prediction − truth.
    pub errors: Option<super::Distribution>,
}

/// Evaluates predictions for held-out rows.
///
/// # Errors
/// When a metric can't be computed.
pub(super) fn judged(
    held: &HeldOut<'_>,
    subject: &Subject<'_>,
    names: &[String],
) -> Result<Evaluation> {
    let HeldOut { predictions, truth, weights, report, .. } = held;
    let found = intervals(predictions, truth, *weights, report)?;
    let (ends, used) = found.map_or((BTreeMap::new(), None), |(ends, m)| (ends, Some(m)));
    let metric = |(name, value): (&'static str, f64)| Metric {
        name: name.into(),
        value: finite(value),
        interval: ends.get(name).copied(),
    };
    let baseline = |(name, values): &(&'static str, &[(&'static str, f64)])| BaselineValues {
        name: (*name).into(),
        values: values
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_string(), finite(*value)?)))
            .collect(),
    };
    let mut all = Evaluation {
        part: held.part.into(),
        rows: Some(report.rows()),
        out_of_fold: held.nets.is_some(),
        loss: finite(held.loss),
        metrics: report.values().into_iter().map(metric).collect(),
        baselines: held.baselines.iter().map(baseline).collect(),
        resamples: used.map(|rows| [RESAMPLES, rows]),
        wrong_rows: wrong_rows(held, subject, names),
        ..Evaluation::default()
    };
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| (i + 1).to_string());
    let weight = |row: usize| weights.map_or(1.0, |w| f64::from(w[row]));
    match (report, truth) {
        (Report::Classes(report), Targets::Classes { labels, .. }) => {
            all.classes = class_rows(&report.classes, name);
            if report.classes.len() <= MATRIX {
                all.confusion = report.confusion.dense();
            }
            let mistake = |(actual, predicted, weight): (usize, usize, f64)| Mistake {
                actual: name(actual),
                predicted: name(predicted),
                weight,
            };
            let worst = report.confusion.most_confused(MISTAKES);
            all.mistakes = worst.into_iter().map(mistake).collect();
            let point = |bin: &crate::train::evaluation::CalibrationBin| CalibrationPoint {
                weight: bin.weight,
                confidence: bin.confidence,
                accuracy: bin.accuracy,
            };
            let bins = report.calibration.iter().filter(|bin| bin.weight > 0.0);
            all.calibration = bins.map(point).collect();
            if report.classes.len() == 2 {
                let row = |r: usize| (predictions.value(r, 1) as f32, labels[r] == 1, weight(r));
                all.ranking = ranking((0..labels.len()).map(row), name(1));
            }
        }
        (Report::Labels(report), Targets::Labels { values, .. }) => {
            all.classes = class_rows(&report.labels, name);
            all.calibration = label_bins(predictions, values, weight);
        }
        (_, Targets::Numbers(truth)) => {
            let rows = sample(truth.rows(), POINTS, 3);
            let of = |c: usize| {
                let error = |r: usize| predictions.value(r, c) - truth.row(r)[c];
                let point = |&r: &usize| [truth.row(r)[c], predictions.value(r, c)];
                let is_finite = |p: &[f64; 2]| p.iter().all(|x| x.is_finite());
                Residuals {
                    target: name(c),
                    points: rows.iter().map(point).filter(is_finite).collect(),
                    errors: super::Distribution::of_numbers((0..truth.rows()).map(error), false),
                }
            };
            all.residuals = (0..truth.cols().min(OUTPUTS)).map(of).collect();
        }
        _ => {}
    }
    Ok(all)
}

fn class_rows(all: &[ClassScores], name: impl Fn(usize) -> String) -> Vec<ClassRow> {
    let row = |(i, class): (usize, &ClassScores)| ClassRow {
        name: name(i),
        support: class.support,
        predicted: class.predicted,
        precision: class.precision,
        recall: class.recall,
        f1: class.f1,
        roc_auc: class.roc_auc.and_then(finite),
    };
    all.iter().enumerate().map(row).collect()
}

/// Predicted probabilities of labels in ten bins, all labels together.
fn label_bins(
    predictions: &Predictions,
    truth: &crate::math::matrix::Matrix<f32>,
    weight: impl Fn(usize) -> f64,
) -> Vec<CalibrationPoint> {
    const BINS: usize = 10;
    let mut bins = vec![[0.0; 3]; BINS];
    for (r, row) in truth.iter_rows().enumerate() {
        for (c, &is_there) in row.iter().enumerate() {
            let p = predictions.value(r, c);
            let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
            bin[0] += weight(r);
            bin[1] += weight(r) * p;
            bin[2] += weight(r) * f64::from(is_there);
        }
    }
    let point = |[weight, p, there]: [f64; 3]| CalibrationPoint {
        weight,
        confidence: p / weight,
        accuracy: there / weight,
    };
    bins.into_iter().filter(|bin| bin[0] > 0.0).map(point).collect()
}

/// The evaluation of a part from the last event of a run, if its data could not be opened.
pub(super) fn of_event(end: &Value, part: &str) -> Option<Evaluation> {
    let (key, baselines) = match part {
        "validation" => ("valid", "baselines"),
        _ => ("test", "test_baselines"),
    };
    let numbers = |value: &Value| -> BTreeMap<String, f64> {
        let entries = value.as_object().into_iter().flatten();
        entries.filter_map(|(name, x)| Some((name.clone(), x.as_f64()?))).collect()
    };
    let mut values = numbers(end.get(key)?);
    let loss = values.remove("loss");
    // The most important first, for those that are known.
    let mut names: Vec<&str> =
        crate::net::metrics::Metrics::all_names().filter(|n| values.contains_key(*n)).collect();
    names.extend(values.keys().map(String::as_str));
    let mut metrics: Vec<Metric> = Vec::new();
    for name in names {
        if !metrics.iter().any(|metric| metric.name == name) {
            metrics.push(Metric { name: name.into(), value: Some(values[name]), interval: None });
        }
    }
    let others = end.get(baselines).and_then(Value::as_object).into_iter().flatten();
    Some(Evaluation {
        part: part.into(),
        loss,
        metrics,
        baselines: others
            .map(|(name, values)| BaselineValues { name: name.clone(), values: numbers(values) })
            .collect(),
        ..Evaluation::default()
    })
}
