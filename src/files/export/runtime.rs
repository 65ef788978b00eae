//! An exported ONNX file, run by `tract`, a runtime that shares no code with this crate, and compared
//! with the model's own predictions.

use super::Outputs;
use super::description::{Description, Inputs, Output};
use super::onnx::{MATRIX, output_name};
use super::rows::{Given, Rows};
use crate::base::error::{Error, Result};
use crate::data::RawColumn;
use crate::math::matrix::Matrix;
use std::collections::HashMap;
use std::fmt::Display;
use std::io::Cursor;
use tract_onnx::prelude::*;

/// Runs the bytes of an ONNX file that was written from `description`.
///
/// # Errors
/// When the runtime refuses the file or fails.
pub fn run(file: &[u8], description: &Description, rows: &Rows) -> Result<Outputs> {
    try_run(file, description, rows)
        .map_err(|e| Error::failed(format!("tract can't run the ONNX file: {e}")))
}

fn try_run(file: &[u8], description: &Description, rows: &Rows) -> Outcome<Outputs> {
    let n = rows.count();
    let given: Vec<(&str, Tensor)> = match (&rows.given, &description.inputs) {
        (Given::Matrix(m), _) => {
            vec![(MATRIX, Tensor::from_shape(&[n, m.cols()], m.data()).map_err(text)?)]
        }
        (Given::Columns(all), Inputs::Columns(columns)) => {
            let named = columns.iter().map(|column| column.name).zip(all);
            named.map(|(name, raw)| Ok((name, tensor(raw, n)?))).collect::<Outcome<_>>()?
        }
        (Given::Columns(_), Inputs::Matrix { .. }) => return Err("columns for a matrix".into()),
    };
    let read = tract_onnx::onnx().model_for_read(&mut Cursor::new(file));
    let mut model = read.map_err(text)?;
    let mut given: HashMap<&str, Tensor> = given.into_iter().collect();
    let mut inputs: TVec<TValue> = tvec!();
    let outlets = model.input_outlets().map_err(text)?.to_vec();
    for (place, outlet) in outlets.into_iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
        let tensor = given.remove(name.as_str());
        let tensor = tensor.ok_or_else(|| format!("it has an additional input {name:?}"))?;
        let fact = InferenceFact::dt_shape(tensor.datum_type(), tensor.shape());
        model.set_input_fact(place, fact).map_err(text)?;
        inputs.push(tensor.into_tvalue());
    }
    if let Some(name) = given.keys().next() {
        return Err(format!("it has no input {name:?}"));
    }
    let outlets = model.output_outlets().map_err(text)?;
    let names: Vec<String> = outlets.iter().map(|o| model.node(o.node).name.clone()).collect();
    let runnable = model.into_typed().and_then(|model| model.into_runnable()).map_err(text)?;
    let found = runnable.run(inputs).map_err(text)?;
    let label = format!("/{}", output_name(description, "label"));
    let (mut parts, mut labels): (Vec<Matrix<f64>>, _) = (Vec::new(), None);
    for (name, value) in names.iter().zip(found) {
        if matches!(description.output, Output::Classes { .. }) && *name == label {
            let view = value.to_array_view::<String>().map_err(text)?;
            labels = Some(view.iter().cloned().collect());
            continue;
        }
        let value = value.cast_to::<f64>().map_err(text)?.into_owned();
        let cols = value.shape().get(1).copied().unwrap_or(1);
        let values = value.to_array_view::<f64>().map_err(text)?.iter().copied().collect();
        parts.push(Matrix::new(n, cols, values).map_err(text)?);
    }
    let cols: usize = parts.iter().map(Matrix::cols).sum();
    let row = |r: usize| parts.iter().flat_map(move |m| m.row(r).iter().copied());
    let numbers: Vec<f64> = (0..n).flat_map(row).collect();
    let numbers = Matrix::new(n, cols, numbers).map_err(text)?;
    Ok(Outputs { numbers, labels })
}

/// A result, or the error message of the runtime.
type Outcome<T> = std::result::Result<T, String>;

fn text(error: impl Display) -> String {
    format!("{error:#}")
}

fn tensor(raw: &RawColumn, rows: usize) -> Outcome<Tensor> {
    match raw {
        RawColumn::Numbers(all) => Tensor::from_shape(&[rows, 1], all).map_err(text),
        RawColumn::Texts(all) => {
            let all = tract_ndarray::Array2::from_shape_vec((rows, 1), all.clone());
            Ok(all.map_err(text)?.into_tensor())
        }
    }
}
