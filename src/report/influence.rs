//! Permutation importance: how much worse predictions become where a column says nothing.

use super::subject::Predictor;
use super::{HeldOut, Subject, sample};
use crate::base::error::Result;
use crate::data::{Dataset, Features, Predictions, Targets};
use crate::math::matrix::Matrix;
use crate::math::random::{Random, Stream};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Multiply-adds that may be spent: some hundredths of a second of one CPU core.
const WORK: usize = 150_000_000;
/// The most rows that are predicted again for each column, and the fewest that are meaningful.
const ROWS: [usize; 2] = [500, 50];
/// How often each column is permuted, at most.
const REPEATS: usize = 5;
/// Values that are held at a time.
const VALUES: usize = 4_000_000;

/// The rows of a part whose features are wanted where not all can be held.
#[must_use]
pub fn rows_to_sample(rows: usize) -> Vec<usize> {
    sample(rows, ROWS[0], 4)
}

/// How much predictions depend on each column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Influence {
    /// The held-out part whose rows were permuted.
    pub part: String,
    /// `log_loss` or `rmse`.
    pub metric: String,
    /// The metric of the rows as they are.
    pub base: f64,
    /// The rows that it was measured on.
    pub rows: usize,
    /// How often each column was permuted.
    pub repeats: usize,
    /// The columns, that of the largest increase first.
    pub columns: Vec<Importance>,
    /// The number of columns that were left out to bound the cost: those of the smallest first-layer
    /// weights.
    pub left_out: usize,
}

/// How much predictions depend on one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The column.
    pub column: String,
    /// By how much the metric grows, which is worse, on average over the permutations.
    pub increase: f64,
    /// The standard deviation over the permutations.
    pub deviation: f64,
}

impl Influence {
    /// The columns without which predictions are worse beyond chance, by two standard deviations over the
    /// permutations; the most important first.
    pub fn important(&self) -> impl Iterator<Item = &Importance> {
        self.columns.iter().filter(|c| c.increase > 2.0 * c.deviation && c.increase > 0.0)
    }
}

/// The columns that a net takes, each with the inputs that it is turned into.
pub(super) struct Inputs {
    pub columns: Vec<(String, Range<usize>)>,
}

impl Inputs {
    /// Those of a model that isn't one of images.
    pub fn of(subject: &Subject<'_>) -> Option<Self> {
        let preprocessing = &subject.model.preprocessing;
        let is_image = preprocessing.image.is_some()
            || subject.training.is_some_and(Dataset::is_image)
            || preprocessing.encoding.as_ref().is_some_and(|e| e.pixels);
        if is_image {
            return None;
        }
        let mut end = 0;
        let mut column = |name: String, width: usize| {
            end += width;
            (name, end - width..end)
        };
        let columns = match &preprocessing.encoding {
            Some(encoding) => {
                let features = encoding.features.iter();
                features.map(|f| column(f.column.clone(), f.encoder.width())).collect()
            }
            None => {
                let all = 1..=preprocessing.features.cols();
                all.map(|n| column(format!("input {n}"), 1)).collect()
            }
        };
        Some(Inputs { columns })
    }
}

/// Rows of a matrix of features with the inputs of some columns taken from other rows: `copies` gives,
/// for each copy of the `rows`, the inputs that are replaced and the row that each takes them from.
pub(super) fn replaced(
    features: &Features,
    rows: &[usize],
    copies: &[(Range<usize>, Vec<usize>)],
) -> Features {
    fn of<T: Copy>(
        m: &Matrix<T>,
        rows: &[usize],
        copies: &[(Range<usize>, Vec<usize>)],
    ) -> Matrix<T> {
        let mut values = Vec::with_capacity(copies.len() * rows.len() * m.cols());
        for (own, from) in copies {
            for (&row, &other) in rows.iter().zip(from) {
                let begin = values.len();
                values.extend_from_slice(m.row(row));
                values[begin + own.start..begin + own.end]
                    .copy_from_slice(&m.row(other)[own.clone()]);
            }
        }
        Matrix::new(copies.len() * rows.len(), m.cols(), values).unwrap_or_else(|_| {
            // As many rows of as many columns as were written.
            Matrix::from_fn(0, m.cols(), |_, _| m.row(0)[0])
        })
    }
    match features {
        Features::U8(m) => Features::U8(of(m, rows, copies)),
        Features::F32(m) => Features::F32(of(m, rows, copies)),
    }
}

/// The importance of each column on held-out rows, some or all of which are in memory; none if there is no
/// column, or even one costs too much.
///
/// Permuting a column is permuting all of its inputs together: what it is turned into depends on it alone.
/// (Breiman, "Random forests", 2001; Fisher, Rudin, Dominici, "All models are wrong, but many are useful",
/// 2019, with any model.)
///
/// # Errors
/// When the device was lost.
pub(super) fn influence(
    held: &HeldOut<'_>,
    inputs: &Inputs,
    predictor: &mut Predictor<'_>,
) -> Result<Option<Influence>> {
    let Some((at_hand, features)) = held.at_hand() else { return Ok(None) };
    let nets = predictor.nets();
    let work = if held.nets.is_some() { predictor.work() / nets.max(1) } else { predictor.work() };
    let all = inputs.columns.len();
    let fit = |rows: usize, copies: usize| WORK / work.max(1) / rows.max(1) / copies.max(1);
    let rows = at_hand.len().min(ROWS[0]);
    let repeats = fit(rows, all).clamp(1, REPEATS);
    let rows = match fit(rows, all * repeats) {
        0 => fit(1, all).clamp(ROWS[1].min(rows), rows),
        _ => rows,
    };
    let count = fit(rows, repeats).min(all);
    if count == 0 {
        return Ok(None);
    }
    let columns = by_weights(inputs, predictor, count);
    // Rows by their indices among those in memory.
    let mut rows = sample(at_hand.len(), rows, 4);
    if let Some(nets) = &held.nets {
        rows.sort_by_key(|&row| nets[at_hand[row]]);
    }
    let predicted: Vec<usize> = rows.iter().map(|&row| at_hand[row]).collect();
    let truth = held.truth.select_rows(&predicted);
    let weights: Option<Vec<f32>> =
        held.weights.map(|weights| predicted.iter().map(|&row| weights[row]).collect());
    let score = |p: &Predictions| score(p, &truth, weights.as_deref());
    let base = score(&held.predictions.select(&predicted));
    // The rows as they are, in another order, for each column and permutation.
    let mut permuted = Vec::with_capacity(count * repeats);
    for &column in &columns {
        for repeat in 0..repeats {
            permuted.push((column, shuffled(&rows, (column * REPEATS + repeat) as u64)));
        }
    }
    let at_a_time = (VALUES / features.cols().max(1) / rows.len().max(1)).clamp(1, 64);
    let mut scores: Vec<f64> = Vec::with_capacity(permuted.len());
    for chunk in permuted.chunks(at_a_time) {
        let mut all: Vec<Predictions> = vec![Predictions::none(0); chunk.len()];
        // Rows of one net after the other.
        let mut begin = 0;
        let net_of = |row: usize| held.nets.as_ref().map(|nets| nets[at_hand[row]]);
        for group in rows.chunk_by(|a, b| net_of(*a) == net_of(*b)) {
            let own = begin..begin + group.len();
            begin = own.end;
            let copies: Vec<_> = chunk
                .iter()
                .map(|(column, from)| {
                    (inputs.columns[*column].1.clone(), from[own.clone()].to_vec())
                })
                .collect();
            let found = predictor.predict(replaced(features, group, &copies), net_of(group[0]))?;
            for (copy, all) in all.iter_mut().enumerate() {
                let rows: Vec<usize> = (copy * group.len()..(copy + 1) * group.len()).collect();
                all.append(found.select(&rows))?;
            }
        }
        scores.extend(all.iter().map(score));
    }
    let mut importances: Vec<Importance> = columns
        .iter()
        .zip(scores.chunks(repeats))
        .map(|(&column, scores)| {
            let n = scores.len() as f64;
            let mean = scores.iter().sum::<f64>() / n;
            let squares: f64 = scores.iter().map(|s| (s - mean).powi(2)).sum();
            Importance {
                column: inputs.columns[column].0.clone(),
                increase: mean - base,
                deviation: (squares / (n - 1.0).max(1.0)).sqrt(),
            }
        })
        .filter(|importance| importance.increase.is_finite() && importance.deviation.is_finite())
        .collect();
    importances.sort_by(|a, b| b.increase.total_cmp(&a.increase));
    Ok(base.is_finite().then(|| Influence {
        part: held.part.into(),
        metric: if matches!(truth, Targets::Numbers(_)) { "rmse" } else { "log_loss" }.into(),
        base,
        rows: rows.len(),
        repeats,
        columns: importances,
        left_out: all - count,
    }))
}

/// The `count` columns whose inputs have the largest weights in the first layer of the first net, in
/// their order; all of them where that is as many.
fn by_weights(inputs: &Inputs, predictor: &Predictor<'_>, count: usize) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..inputs.columns.len()).collect();
    if count < columns.len() {
        let squares = predictor.first_layer_squares();
        let of = |column: usize| -> f64 {
            let own = inputs.columns[column].1.clone();
            squares.get(own).map_or(0.0, |own| own.iter().sum())
        };
        columns.sort_by(|a, b| of(*b).total_cmp(&of(*a)));
        columns.truncate(count);
        columns.sort_unstable();
    }
    columns
}

/// The rows in another order.
fn shuffled(rows: &[usize], number: u64) -> Vec<usize> {
    let mut random = Random::new(0, Stream::Report, 1_000_000 + number);
    let mut rows = rows.to_vec();
    for i in (1..rows.len()).rev() {
        rows.swap(i, (random.uniform() * (i + 1) as f64) as usize);
    }
    rows
}

/// The log loss of classes and labels, the RMSE of numbers.
fn score(predictions: &Predictions, truth: &Targets, weights: Option<&[f32]>) -> f64 {
    let weight = |row: usize| weights.map_or(1.0, |w| f64::from(w[row]));
    let mean = |of: &dyn Fn(usize) -> f64| {
        let total: f64 = (0..truth.rows()).map(weight).sum();
        (0..truth.rows()).map(|row| weight(row) * of(row)).sum::<f64>() / total
    };
    match truth {
        Targets::Numbers(m) => {
            let squares = |row: usize| {
                let error = |(c, t): (usize, &f64)| (predictions.value(row, c) - t).powi(2);
                m.row(row).iter().enumerate().map(error).sum::<f64>() / m.cols() as f64
            };
            mean(&squares).sqrt()
        }
        _ => {
            let errors = super::examples::errors(predictions, truth);
            mean(&|row| errors[row])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_the_inputs_of_one_column_from_other_rows() {
        let features = Features::F32(Matrix::from_fn(3, 3, |r, c| (10 * r + c) as f32));
        let found = replaced(&features, &[0, 2], &[(1..2, vec![2, 0]), (0..1, vec![1, 1])]);
        let Features::F32(found) = found else { panic!("numbers stay numbers") };
        assert_eq!(found.row(0), [0.0, 21.0, 2.0]);
        assert_eq!(found.row(1), [20.0, 1.0, 22.0]);
        assert_eq!((found.row(2), found.row(3)), (&[10.0, 1.0, 2.0][..], &[10.0, 21.0, 22.0][..]));
    }

    #[test]
    fn scores_are_those_of_the_evaluation() {
        let p =
            Matrix::from_fn(4, 2, |r, c| if c == 0 { 0.2 } else { 0.8 } * (1.0 + r as f32) / 5.0);
        let p = Predictions::F32(p);
        let truth = Targets::Numbers(Matrix::from_fn(4, 2, |r, c| (r + c) as f64));
        let weights = [1.0, 2.0, 0.0, 1.0];
        let report = crate::train::evaluation::Report::new(&p, &truth, Some(&weights)).unwrap();
        let rmse = report.values().iter().find(|(name, _)| *name == "rmse").unwrap().1;
        assert!((score(&p, &truth, Some(&weights)) - rmse).abs() < 1e-12);
        let order = shuffled(&[5, 6, 7, 8], 0);
        assert_eq!(order.iter().sum::<usize>(), 26);
    }
}
