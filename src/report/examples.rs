//! The rows that are predicted worst.

use super::pictures::Layout;
use super::{HeldOut, Picture, Subject};
use crate::base::words::short;
use crate::data::{Data, Features, Predictions, Role, Targets};
use crate::math::loss::index_of_max;
use serde::{Deserialize, Serialize};

/// How many rows are shown.
const ROWS: usize = 12;
/// The columns of a row that are shown.
const COLUMNS: usize = 6;
/// The labels and numbers of a row that are named.
const NAMED: usize = 4;

/// A row that is predicted badly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongRow {
    /// What users call it: its line, or its number.
    pub row: String,
    /// What is the case.
    pub truth: String,
    /// What is predicted.
    pub predicted: String,
    /// The error of the prediction: −ln of the probability of the true class; of numbers |error|, of several
    /// the mean of |error| / RMSE.
    pub error: f64,
    /// The first columns that are learned from, with their values in this row.
    pub values: Vec<(String, String)>,
    /// The row, where it is an image.
    pub picture: Option<Picture>,
}

/// The rows of a part that are predicted worst, the worst first. Rows without weight don't count.
pub(super) fn wrong_rows(
    held: &HeldOut<'_>,
    subject: &Subject<'_>,
    names: &[String],
) -> Vec<WrongRow> {
    let errors = errors(held.predictions, held.truth);
    let counts = |row: &usize| held.weights.is_none_or(|w| w[*row] > 0.0);
    let mut order: Vec<usize> = (0..errors.len()).filter(counts).collect();
    let most = ROWS.min(order.len());
    if most == 0 {
        return Vec::new();
    }
    let worse = |a: &usize, b: &usize| errors[*b].total_cmp(&errors[*a]).then(a.cmp(b));
    if most < order.len() {
        order.select_nth_unstable_by(most, worse);
        order.truncate(most);
    }
    order.sort_unstable_by(worse);
    let is_image = subject.training.is_some_and(|data| data.is_image());
    let inputs = subject.model.preprocessing.features.cols();
    let layout = Layout::of(&subject.model.preprocessing, is_image, inputs);
    let features = held.features.as_deref();
    let range = features.map(|features| range(features, &order));
    let pictured = |row: usize| layout?.picture(features?, row, range?).ok();
    let of = |&row: &usize| WrongRow {
        row: row_name(held, subject, row),
        truth: truth(held.truth, row, names),
        predicted: predicted(held, row, names),
        error: errors[row],
        values: values(held, subject, row),
        picture: pictured(row),
    };
    order.iter().filter(|row| errors[**row].is_finite()).map(of).collect()
}

/// The values of images: bytes, or from the least to the largest of these rows.
fn range(features: &Features, rows: &[usize]) -> (f32, f32) {
    let Features::F32(m) = features else { return (0.0, 255.0) };
    let all = rows.iter().flat_map(|&row| m.row(row));
    all.fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)))
}

/// How wrong each row is predicted.
pub(super) fn errors(predictions: &Predictions, truth: &Targets) -> Vec<f64> {
    let loss = |p: f64| -p.clamp(f64::EPSILON, 1.0).ln();
    let of_rows = |of: &dyn Fn(usize) -> f64| (0..truth.rows()).map(of).collect::<Vec<f64>>();
    match truth {
        Targets::Classes { labels, .. } => {
            of_rows(&|row| loss(predictions.value(row, labels[row] as usize)))
        }
        Targets::Labels { values, .. } => of_rows(&|row| {
            let of = |(c, &is_there): (usize, &f32)| {
                let p = predictions.value(row, c);
                loss(if is_there >= 0.5 { p } else { 1.0 - p })
            };
            let row = values.row(row);
            row.iter().enumerate().map(of).sum::<f64>() / row.len().max(1) as f64
        }),
        Targets::Numbers(m) => {
            let error = |row: usize, c: usize| (predictions.value(row, c) - m.row(row)[c]).abs();
            if m.cols() == 1 {
                return of_rows(&|row| error(row, 0));
            }
            let scale = |c: usize| {
                let sum: f64 = (0..m.rows()).map(|row| error(row, c).powi(2)).sum();
                (sum / m.rows() as f64).sqrt().max(f64::MIN_POSITIVE)
            };
            let scales: Vec<f64> = (0..m.cols()).map(scale).collect();
            let mean = |row: usize| {
                let sum: f64 = scales.iter().enumerate().map(|(c, s)| error(row, c) / s).sum();
                sum / scales.len() as f64
            };
            of_rows(&mean)
        }
    }
}

/// What users call a row.
fn row_name(held: &HeldOut<'_>, subject: &Subject<'_>, row: usize) -> String {
    match (held.rows, subject.data) {
        (Some(rows), Some(Data::Table(table))) => table.frame().describe_row(rows[row]),
        (Some(rows), _) => format!("row {}", rows[row] + 1),
        (None, _) => format!("row {} of the {} data", row + 1, held.part),
    }
}

/// The first columns of a row that are learned from.
fn values(held: &HeldOut<'_>, subject: &Subject<'_>, row: usize) -> Vec<(String, String)> {
    let (Some(rows), Some(Data::Table(table))) = (held.rows, subject.data) else {
        return Vec::new();
    };
    if table.pixels() {
        return Vec::new();
    }
    let columns = table.columns().iter().zip(&table.frame().columns);
    let learnt = columns.filter(|(column, values)| {
        let encoding = subject.model.preprocessing.encoding.as_ref();
        let is_input = encoding.is_none_or(|e| e.features.iter().any(|f| f.column == column.name));
        column.role == Role::Feature && values.is_some() && is_input
    });
    let value = |(column, values): (&crate::data::Column, &Option<crate::data::Values>)| {
        let text = values.as_ref()?.text(rows[row]).unwrap_or_else(|| "missing".into());
        Some((column.name.clone(), text))
    };
    learnt.take(COLUMNS).filter_map(value).collect()
}

/// What is the case for a row.
fn truth(truth: &Targets, row: usize, names: &[String]) -> String {
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| (i + 1).to_string());
    match truth {
        Targets::Classes { labels, .. } => name(labels[row] as usize),
        Targets::Labels { values, .. } => {
            let there = values.row(row).iter().enumerate().filter(|(_, x)| **x >= 0.5);
            listed(there.map(|(c, _)| name(c)).collect())
        }
        Targets::Numbers(m) => listed(m.row(row).iter().map(|&x| short(x)).collect()),
    }
}

/// What is predicted for a row.
fn predicted(held: &HeldOut<'_>, row: usize, names: &[String]) -> String {
    let name = |i: usize| names.get(i).cloned().unwrap_or_else(|| (i + 1).to_string());
    let all: Vec<f64> =
        (0..held.predictions.cols()).map(|c| held.predictions.value(row, c)).collect();
    match held.truth {
        Targets::Classes { .. } => {
            let best = index_of_max(&all.iter().map(|&p| p as f32).collect::<Vec<_>>());
            format!("{} ({:.0}%)", name(best), 100.0 * all.get(best).copied().unwrap_or(0.0))
        }
        Targets::Labels { .. } => {
            let there = all.iter().enumerate().filter(|(_, p)| **p >= 0.5);
            listed(there.map(|(c, p)| format!("{} ({:.0}%)", name(c), 100.0 * p)).collect())
        }
        // Of a predicted distribution the means.
        Targets::Numbers(m) => listed(all.iter().take(m.cols()).map(|&x| short(x)).collect()),
    }
}

fn listed(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    match (all.is_empty(), more) {
        (true, _) => "none".into(),
        (_, 0) => all.join(", "),
        (_, more) => format!("{} and {more} more", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::matrix::Matrix;

    #[test]
    fn rows_are_as_wrong_as_the_loss_of_what_is_the_case() {
        let p = Predictions::F32(Matrix::new(2, 2, vec![0.25, 0.75, 1.0, 0.0]).unwrap());
        let names = ["a", "b"].map(String::from).to_vec();
        let classes = Targets::Classes { labels: vec![1, 1], names: names.clone() };
        let found = errors(&p, &classes);
        assert!((found[0] - 0.75f64.ln().abs()).abs() < 1e-6 && found[1] > 36.0);
        let values = Matrix::new(2, 2, vec![0.0, 1.0, 1.0, 0.0]).unwrap();
        let found = errors(&p, &Targets::Labels { values, names });
        assert!((found[0] - 0.75f64.ln().abs()).abs() < 1e-6 && found[1] == 0.0, "{found:?}");
        let one = Predictions::F64(Matrix::new(2, 1, vec![1.0, 5.0]).unwrap());
        let truth = Targets::Numbers(Matrix::new(2, 1, vec![1.5, 2.0]).unwrap());
        assert_eq!(errors(&one, &truth), [0.5, 3.0]);
        // Of several outputs each counts alike, whatever its unit.
        let two = Predictions::F64(Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 1000.0]).unwrap());
        let truth = Targets::Numbers(Matrix::new(2, 2, vec![0.0; 4]).unwrap());
        let found = errors(&two, &truth);
        assert!((found[0] - found[1]).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn long_lists_say_how_much_more_there_is() {
        let all = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!((listed(all(0)), listed(all(2))), ("none".into(), "0, 1".into()));
        assert_eq!(listed(all(6)), "0, 1, 2, 3 and 2 more");
    }
}
