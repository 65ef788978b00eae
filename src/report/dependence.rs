//! Partial dependence: the mean prediction as a function of one column.

use super::influence::{Inputs, replaced};
use super::subject::Predictor;
use super::{Influence, Subject, TargetKind, TargetSummary, sample};
use crate::base::error::Result;
use crate::data::{Data, Dataset, Encoder, Features, Predictions, Values};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The budget of multiply-adds, about a tenth of a second on two cores: enough for the ten nets of
/// `--preset best` on some dozen columns.
const WORK: usize = 4_000_000_000;
/// The number of columns: those of the largest importance.
const COLUMNS: usize = 6;
/// The rows over which predictions are averaged, and the fewest.
const ROWS: [usize; 2] = [100, 20];
/// The number of values of a numeric column.
const POINTS: usize = 16;
/// The most frequent categories of a column.
const CATEGORIES: usize = 8;
/// The most outputs that are shown.
const SERIES: usize = 4;
/// The fraction of the rows below the first and above the last value.
const TAIL: f64 = 0.02;

/// The mean prediction where a column has each of some values in all rows (Friedman, "Greedy function
/// approximation: a gradient boosting machine", 2001, section 8.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// The column.
    pub column: String,
    /// The values as text.
    pub values: Vec<String>,
    /// The same as numbers, ascending; empty for categories.
    pub numbers: Vec<f64>,
    /// Whether the values are ordered, like numbers and times.
    pub is_ordered: bool,
    /// The outputs that are shown: a class whose probability, or a target whose value is predicted.
    pub outputs: Vec<String>,
    /// The mean prediction of each output (outer) at each value (inner).
    pub means: Vec<Vec<f64>>,
    /// The rows that it is the mean over.
    pub rows: usize,
}

/// Values of a column, each with a training row that has it.
struct Grid {
    values: Vec<String>,
    numbers: Vec<f64>,
    is_ordered: bool,
    rows: Vec<usize>,
}

/// Partial dependence on the columns of the largest importance, or else the first ones; none if the model is
/// so large that it would exceed the budget, empty if no column has two values.
///
/// # Errors
/// When the device was lost.
pub(super) fn dependence(
    subject: &Subject<'_>,
    training: &Dataset,
    inputs: &Inputs,
    influence: Option<&Influence>,
    target: &TargetSummary,
    predictor: &mut Predictor<'_>,
) -> Result<Option<Vec<Dependence>>> {
    let mut order: Vec<usize> = (0..inputs.columns.len()).collect();
    if let Some(influence) = influence {
        let rank: HashMap<&str, usize> =
            influence.columns.iter().enumerate().map(|(i, c)| (c.column.as_str(), i)).collect();
        let of = |i: &usize| rank.get(inputs.columns[*i].0.as_str()).copied();
        order.sort_by_key(|i| of(i).unwrap_or(usize::MAX));
    }
    let most = WORK / predictor.work().max(1) / (COLUMNS * POINTS);
    if most < ROWS[1].min(training.rows()) {
        return Ok(None);
    }
    let rows = sample(training.rows(), most.min(ROWS[0]), 5);
    let outputs = outputs(target);
    let mut all = Vec::new();
    for column in order {
        if all.len() == COLUMNS {
            break;
        }
        let (name, own) = &inputs.columns[column];
        let Some(grid) = grid(subject, training, column, inputs) else { continue };
        let copies: Vec<_> =
            grid.rows.iter().map(|&from| (own.clone(), vec![from; rows.len()])).collect();
        let found = predictor.predict(replaced(training.features(), &rows, &copies), None)?;
        let mean = |output: usize, copy: usize| mean(&found, output, copy, rows.len());
        all.push(Dependence {
            column: name.clone(),
            outputs: outputs.iter().map(|(_, name)| name.clone()).collect(),
            means: outputs
                .iter()
                .map(|(output, _)| (0..grid.rows.len()).map(|copy| mean(*output, copy)).collect())
                .collect(),
            values: grid.values,
            numbers: grid.numbers,
            is_ordered: grid.is_ordered,
            rows: rows.len(),
        });
    }
    all.retain(|one| one.means.iter().flatten().all(|x| x.is_finite()));
    Ok(Some(all))
}

fn mean(found: &Predictions, output: usize, copy: usize, rows: usize) -> f64 {
    let of_rows = copy * rows..(copy + 1) * rows;
    of_rows.map(|row| found.value(row, output)).sum::<f64>() / rows as f64
}

/// The outputs that are shown: of two classes the second, of more classes the most frequent ones.
fn outputs(target: &TargetSummary) -> Vec<(usize, String)> {
    let name = |i: usize| target.names.get(i).cloned().unwrap_or_else(|| (i + 1).to_string());
    let count = target.names.len();
    match target.kind {
        TargetKind::Classes if count == 2 => vec![(1, name(1))],
        TargetKind::Numbers => (0..count.min(SERIES)).map(|i| (i, name(i))).collect(),
        TargetKind::Classes | TargetKind::Labels => {
            let mut order: Vec<usize> = (0..count).collect();
            let rows = |i: &usize| target.shares.get(*i).map_or(0, |share| share.rows);
            order.sort_by_key(|i| std::cmp::Reverse(rows(i)));
            order.truncate(SERIES);
            order.sort_unstable();
            order.into_iter().map(|i| (i, name(i))).collect()
        }
    }
}

/// The values of a column at which predictions are averaged; none if it has less than two.
fn grid(subject: &Subject<'_>, training: &Dataset, column: usize, inputs: &Inputs) -> Option<Grid> {
    let (name, own) = &inputs.columns[column];
    let encoder =
        subject.model.preprocessing.encoding.as_ref().map(|e| &e.features[column].encoder);
    let raw = match subject.data {
        Some(Data::Table(table)) => table.frame().column(name),
        _ => None,
    };
    let raw_row = |row: usize| subject.training_rows.get(row).copied().unwrap_or(row);
    let looked = sample(training.rows(), 5000, 6);
    let grid = match (raw, encoder) {
        (Some(values), Some(encoder)) if is_category(encoder, values) => {
            let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
            for &row in &looked {
                let text = values.text(raw_row(row)).unwrap_or_else(|| "missing".into());
                counts.entry(text).or_insert((0, row)).0 += 1;
            }
            let mut all: Vec<(String, (usize, usize))> = counts.into_iter().collect();
            all.sort_unstable_by(|a, b| b.1.0.cmp(&a.1.0).then(a.0.cmp(&b.0)));
            all.truncate(CATEGORIES);
            let (values, rows) = all.into_iter().map(|(text, (_, row))| (text, row)).unzip();
            Grid { values, numbers: Vec::new(), is_ordered: false, rows }
        }
        (Some(values), Some(_)) => {
            // For times as text, the first input gives their order.
            let is_text = matches!(values, Values::Texts(_));
            let number = |row: usize| match is_text {
                false => values.number(raw_row(row)),
                true if values.is_missing(raw_row(row)) => f64::NAN,
                true => training.features().value(row, own.start).into(),
            };
            let text = |row: usize| values.text(raw_row(row)).unwrap_or_default();
            let grid = spread(&looked, number, text);
            // They can't be numbers on an axis.
            if is_text { Grid { numbers: Vec::new(), ..grid } } else { grid }
        }
        (None, None) => {
            let features: &Features = training.features();
            let number = |row: usize| f64::from(features.value(row, own.start));
            spread(&looked, number, |row| crate::base::words::short(number(row)))
        }
        _ => return None,
    };
    (grid.rows.len() > 1).then_some(grid)
}

fn is_category(encoder: &Encoder, values: &Values) -> bool {
    let is_moment = matches!(encoder, Encoder::Moment(_));
    encoder.is_of_categories()
        || matches!(encoder, Encoder::Boolean { .. })
        || matches!(values, Values::Texts(_)) && !is_moment
}

/// Rows whose numbers are spread evenly over the ranks, without the outermost.
fn spread(looked: &[usize], number: impl Fn(usize) -> f64, text: impl Fn(usize) -> String) -> Grid {
    let mut all: Vec<(f64, usize)> = looked.iter().map(|&row| (number(row), row)).collect();
    all.retain(|(x, _)| x.is_finite());
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut grid =
        Grid { is_ordered: true, values: Vec::new(), numbers: Vec::new(), rows: Vec::new() };
    if all.is_empty() {
        return grid;
    }
    for i in 0..POINTS {
        let share = TAIL + (1.0 - 2.0 * TAIL) * i as f64 / (POINTS - 1) as f64;
        let (x, row) = all[(share * (all.len() - 1) as f64).round() as usize];
        if grid.numbers.last() != Some(&x) {
            grid.numbers.push(x);
            grid.values.push(text(row));
            grid.rows.push(row);
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_over_their_ranks_and_come_once() {
        let rows: Vec<usize> = (0..100).collect();
        let grid = spread(&rows, |row| (row / 50) as f64, |row| row.to_string());
        assert_eq!((grid.numbers, grid.rows.len()), (vec![0.0, 1.0], 2));
        let grid = spread(&rows, |row| row as f64, |row| row.to_string());
        assert_eq!((grid.numbers.len(), grid.numbers[0], grid.numbers[15]), (16, 2.0, 97.0));
        assert_eq!(grid.values[0], "2");
        assert!(spread(&rows, |_| f64::NAN, |_| String::new()).rows.is_empty());
    }
}
