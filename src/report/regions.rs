//! The predictions of a model with two numeric inputs over their plane.

use super::influence::Inputs;
use super::subject::Predictor;
use super::{Subject, TargetKind, TargetSummary, sample};
use crate::base::error::Result;
use crate::data::{Data, Dataset, Encoder, Features, Targets};
use crate::math::loss::index_of_max;
use crate::math::matrix::Matrix;
use serde::{Deserialize, Serialize};

/// The budget of multiply-adds.
const WORK: usize = 100_000_000;
/// The cells per side, and the fewest that are useful.
const SIDE: [usize; 2] = [60, 16];
/// The rows that are drawn as points.
const POINTS: usize = 300;
/// How far the plane goes beyond the rows, as a fraction of their range.
const MARGIN: f64 = 0.05;

/// Predictions over a plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regions {
    /// The names of the two inputs: from left to right, from bottom to top.
    pub columns: [String; 2],
    /// The ends of the plane along each.
    pub ranges: [[f64; 2]; 2],
    /// The cells of a side.
    pub side: usize,
    /// The predicted class number or value of each cell, row by row from the bottom.
    pub cells: Vec<f64>,
    /// Rows of the training data: their two inputs, and their class by its number or their value.
    pub points: Vec<[f64; 3]>,
}

/// The regions of a model of classes or of one number with two numeric inputs; none for any other.
///
/// # Errors
/// When the device was lost.
pub(super) fn regions(
    subject: &Subject<'_>,
    training: &Dataset,
    inputs: &Inputs,
    target: &TargetSummary,
    predictor: &mut Predictor<'_>,
) -> Result<Option<Regions>> {
    let is_shown = match target.kind {
        TargetKind::Classes => true,
        TargetKind::Numbers => target.names.len() == 1,
        TargetKind::Labels => false,
    };
    let [first, second] = &inputs.columns[..] else { return Ok(None) };
    let side = (WORK / predictor.work().max(1)).isqrt().min(SIDE[0]);
    if !is_shown || first.1.len() != 1 || second.1.len() != 1 || side < SIDE[1] {
        return Ok(None);
    }
    let encoding = predictor.preprocessing().encoding.as_ref();
    let encoders = encoding.map(|e| [&e.features[0].encoder, &e.features[1].encoder]);
    let is_number = |encoder: &&Encoder| matches!(encoder, Encoder::Number(_) | Encoder::Plain);
    if !encoders.iter().flatten().all(is_number) {
        return Ok(None);
    }
    let table = match subject.data {
        Some(Data::Table(table)) => Some(table),
        _ => None,
    };
    let raw = |column: usize, row: usize| match table {
        Some(table) => {
            let values = table.frame().column(&inputs.columns[column].0);
            let row = subject.training_rows.get(row).copied().unwrap_or(row);
            values.map_or(f64::NAN, |values| values.number(row))
        }
        None => f64::from(training.features().value(row, column)),
    };
    let shown = sample(training.rows(), POINTS, 7);
    let of_row = |&row: &usize| {
        let target = match training.targets() {
            Targets::Classes { labels, .. } => f64::from(labels[row]),
            Targets::Numbers(m) => m.row(row)[0],
            Targets::Labels { .. } => f64::NAN,
        };
        [raw(0, row), raw(1, row), target]
    };
    let mut points: Vec<[f64; 3]> = shown.iter().map(of_row).collect();
    points.retain(|point| point.iter().all(|x| x.is_finite()));
    let range = |axis: usize| {
        let all = points.iter().map(|point| point[axis]);
        let (low, high) = all.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
        let margin = MARGIN * (high - low);
        [low - margin, high + margin]
    };
    if points.is_empty() {
        return Ok(None);
    }
    let ranges = [range(0), range(1)];
    let width = |axis: usize| ranges[axis][1] - ranges[axis][0];
    if !(0..2).all(|axis| width(axis) > 0.0 && width(axis).is_finite()) {
        return Ok(None);
    }
    let at = |axis: usize, cell: usize| {
        ranges[axis][0] + width(axis) * (cell as f64 + 0.5) / side as f64
    };
    let input = |axis: usize, x: f64| match encoders.map(|encoders| encoders[axis]) {
        Some(Encoder::Number(encoder)) => {
            let mut inputs = [0.0f32; 2];
            encoder.write(x, &mut inputs);
            inputs[0]
        }
        _ => x as f32,
    };
    let features = Matrix::from_fn(side * side, 2, |cell, axis| {
        input(axis, at(axis, if axis == 0 { cell % side } else { cell / side }))
    });
    let found = predictor.predict(Features::F32(features), None)?;
    let of_cell = |cell: usize| match target.kind {
        TargetKind::Classes => {
            let p: Vec<f32> = (0..found.cols()).map(|c| found.value(cell, c) as f32).collect();
            index_of_max(&p) as f64
        }
        _ => found.value(cell, 0),
    };
    let cells: Vec<f64> = (0..side * side).map(of_cell).collect();
    let columns = [first.0.clone(), second.0.clone()];
    let is_whole = cells.iter().all(|x| x.is_finite());
    Ok(is_whole.then_some(Regions { columns, ranges, side, cells, points }))
}
