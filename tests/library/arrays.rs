//! Rows from arrays of `ndarray` and from record batches of Arrow give the same results as slices.

use wgrad::{Device, Regressor};

/// (60, 2) row by row, and a target.
fn rows() -> (Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = (0..120).map(|i| (i * 37 % 101) as f32 / 8.0).collect();
    let y = x.chunks(2).map(|row| row[0] - 0.5 * row[1]).collect();
    (x, y)
}

fn builder() -> wgrad::RegressorBuilder {
    Regressor::builder().device(Device::Cpu).epochs(3).ensemble(1).hidden_layers([8])
}

#[cfg(feature = "ndarray")]
#[test]
fn arrays_of_any_layout_are_rows() {
    use ndarray::{Array1, Array2, ShapeBuilder};
    let (x, y) = rows();
    let expected = builder().fit((&x, 2), &y).unwrap().predict((&x, 2)).unwrap();
    let array = Array2::from_shape_vec((60, 2), x.clone()).unwrap();
    let by_columns = Array2::from_shape_fn((60, 2).f(), |(r, c)| x[2 * r + c]);
    let targets = Array1::from_vec(y);
    for array in [array, by_columns] {
        let model = builder().fit(array.view(), &targets).unwrap();
        assert_eq!(model.predict(&array).unwrap(), expected);
    }
}

#[cfg(feature = "arrow")]
#[test]
fn record_batches_are_rows_with_names() {
    use arrow_array::{ArrayRef, Float32Array, ListArray, RecordBatch, types::Int32Type};
    use std::sync::Arc;
    let (x, y) = rows();
    let expected = builder().fit((&x, 2), &y).unwrap().predict((&x, 2)).unwrap();
    let column = |col: usize| {
        let values: Float32Array = x.iter().skip(col).step_by(2).copied().map(Some).collect();
        Arc::new(values) as ArrayRef
    };
    let batch = RecordBatch::try_from_iter([("a", column(0)), ("b", column(1))]).unwrap();
    let model = builder().fit(&batch, &y).unwrap();
    assert_eq!(model.predict(&batch).unwrap(), expected);
    // By name, in whatever order, beside columns that the model doesn't know.
    let other = [("b", column(1)), ("more", column(0)), ("a", column(0))];
    let other = RecordBatch::try_from_iter(other).unwrap();
    assert_eq!(model.predict(&other).unwrap(), expected);
    let (error, _) = (model.predict(&batch.project(&[0]).unwrap()).unwrap_err(), ());
    assert!(error.to_string().contains("column \"b\""), "{error}");
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let lists = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
    let error = builder().fit(&lists, &[1.0f32]).err().unwrap();
    assert!(error.to_string().contains("lists of Int32"), "{error}");
}
