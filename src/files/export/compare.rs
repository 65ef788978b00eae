//! Comparison of an exported file's predictions with the model's.

use super::description::Description;
use super::rows::Rows;
use super::{Bare, Outputs};
use crate::backend::device::{self, Device};
use crate::base::error::{Error, Result};
use crate::data::{Preprocessing, TargetScaling};
use crate::math::loss::Loss;
use crate::math::matrix::Matrix;
use crate::train::model::Model;

/// The largest difference that passes, relative to the largest magnitude of an output over all rows.
pub const TOLERANCE: f64 = 1e-5;

/// Probabilities that differ by less count as equal: either class may be predicted.
const EVEN: f64 = 1e-6;

/// The model's predictions for some rows, on the CPU: (rows, outputs); with `bare` the outputs of its net.
///
/// # Errors
/// When the rows don't fit the model.
pub fn expected(model: &Model, bare: Bare, rows: &Rows) -> Result<Matrix<f64>> {
    let backend = device::open(&Device::Cpu, None)?.backend;
    let alone = bare.0.then(|| alone(model));
    let model = alone.as_ref().unwrap_or(model);
    let predictions = model.predict(rows.features.clone(), backend)?;
    let value = |r, c| predictions.value(r, c);
    Ok(Matrix::from_fn(predictions.rows(), predictions.cols(), value))
}

/// A model of the net alone, whose predictions are the raw outputs.
fn alone(model: &Model) -> Model {
    let mut alone = model.clone();
    // A loss with the identity as link.
    alone.objective.loss = Loss::SquaredError;
    alone.preprocessing = Preprocessing {
        encoding: None,
        quantiles: None,
        features: crate::data::Affine::identity(model.net.inputs),
        targets: TargetScaling::identity(model.net.outputs()),
        bounds: None,
        classes: None,
        image: None,
        labels: None,
    };
    alone
}

/// The largest difference of a file's predictions, relative to the largest magnitude of each output.
///
/// # Errors
/// For a difference beyond [`TOLERANCE`], or another class, with the row and the values.
pub fn compare(description: &Description, expected: &Matrix<f64>, found: &Outputs) -> Result<f64> {
    let fault = |what: String, place: String| {
        Error::failed(what)
            .at(place)
            .help("no file was written; this is a bug of wgrad: please report it")
    };
    let shape = |m: &Matrix<f64>| (m.rows(), m.cols());
    let (wanted, given) = (shape(expected), shape(&found.numbers));
    if wanted != given {
        let what = format!("the exported file returns {given:?} numbers, not {wanted:?}");
        return Err(fault(what, "its outputs".into()));
    }
    let mut largest = 0.0f64;
    for c in 0..expected.cols() {
        let column = |m: &Matrix<f64>| m.iter_rows().map(|row| row[c]).collect::<Vec<f64>>();
        let (expected, found) = (column(expected), column(&found.numbers));
        let scale = expected.iter().fold(f64::MIN_POSITIVE, |s, x| s.max(x.abs()));
        for (row, (x, y)) in expected.iter().zip(&found).enumerate() {
            let difference = (x - y).abs() / scale;
            if difference.is_nan() || difference > TOLERANCE {
                let place = format!("row {}, output {}", row + 1, c + 1);
                return Err(fault(format!("the exported file returns {y}, the model {x}"), place));
            }
            largest = largest.max(difference);
        }
    }
    let super::description::Output::Classes { names, .. } = &description.output else {
        return Ok(largest);
    };
    for (row, label) in found.labels.iter().flatten().enumerate() {
        let p = expected.row(row);
        let most = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_likely = |(name, p): (&String, &f64)| name == label && *p >= most - EVEN;
        if !names.iter().zip(p).any(is_likely) {
            let place = format!("row {}", row + 1);
            return Err(fault(format!("the exported file predicts {label:?} for {p:?}"), place));
        }
    }
    Ok(largest)
}
