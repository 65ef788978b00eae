//! Invalid input is an error that says what, where and what to do, never a panic.

use wgrad::{Classifier, Device, Error, ErrorKind, Regressor};

fn said(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(text.contains("help: ") && !text.contains("--"), "{text}");
}

fn classifier(x: &[f32], columns: usize, y: &[u32]) -> Error {
    let builder = Classifier::builder().device(Device::Cpu).epochs(1).ensemble(1);
    builder.fit((x, columns), y).err().expect("an error")
}

#[test]
fn rows_and_labels_must_fit_each_other() {
    said(&classifier(&[1.0, 2.0, 3.0], 2, &[0]), &["3 values in rows of 2 columns", "where: x"]);
    said(&classifier(&[1.0, 2.0], 1, &[0]), &["1 label for 2 rows", "where: y"]);
    said(&classifier(&[], 1, &[]), &["0 rows of 1 column", "where: x"]);
    said(&classifier(&[1.0], 0, &[0]), &["1 value in rows of 0 columns"]);
    let error = Regressor::fit(&[1.0f32, 2.0], &[1.0f32]).err().unwrap();
    said(&error, &["1 row of targets for 2 rows", "where: y"]);
}

#[test]
fn numbers_must_be_finite() {
    let error = classifier(&[1.0, 2.0, f32::NAN, 4.0], 2, &[0, 1]);
    assert_eq!(error.kind(), ErrorKind::Data);
    said(&error, &["NaN is not a finite number", "x, row 2, column 1", "missing_values(true)"]);
    let error = Regressor::fit(&[1.0f32, 2.0], &[1.0f32, f32::INFINITY]).err().unwrap();
    said(&error, &["inf is not a finite number", "y, row 2"]);
}

#[test]
fn there_must_be_something_to_learn() {
    let x: Vec<f32> = (0..40).map(|i| i as f32 * 0.5).collect();
    said(&classifier(&x, 1, &[3; 40]), &["the only class is \"3\""]);
    let error = Regressor::fit(&x, &[1.0f32; 40]).err().unwrap();
    said(&error, &["the target is 1 in every row"]);
    said(&classifier(&[1.0; 40], 1, &[0, 1].repeat(20)), &["no column is left as a feature"]);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_their_names() {
    let x: Vec<f32> = (0..40).map(|i| i as f32 * 0.5).collect();
    let y: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let builder = || Classifier::builder().device(Device::Cpu).epochs(1).ensemble(1);
    let fails = |b: wgrad::ClassifierBuilder| b.fit(&x, &y).err().expect("an error");
    said(&fails(builder().validation_fraction(1.5)), &["1.5", "validation_fraction"]);
    said(&fails(builder().ensemble(0)), &["0 nets", "ensemble"]);
    said(&fails(builder().class_names(["a"])), &["label 1", "class_names"]);
    said(&fails(builder().class_names(["a", "b", "c"])), &["no row has the class \"c\""]);
    said(&fails(builder().sample_weight([1.0; 3])), &["3 weights for 40 rows", "sample_weight"]);
    said(&fails(builder().sample_weight([-1.0; 40])), &["weight -1", "sample_weight, row 1"]);
    said(&fails(builder().column_names(["a", "b"])), &["2 names for 1 column", "column_names"]);
    said(&fails(builder().categorical_columns([4])), &["column 4 of 1", "categorical_columns"]);
    let data = builder().validation_data((&x, 2), &y);
    said(&fails(data), &["40 labels for 20 rows", "validation_data"]);
    let both = builder().validation_fraction(0.1).validation_data(&x, &y);
    said(&fails(both), &["validation_data cannot be used with validation_fraction"]);
    for (what, broken) in [
        ("learning_rate", builder().learning_rate(f32::NAN)),
        ("dropout", builder().dropout(2.0)),
        ("epochs", builder().epochs(0)),
        ("batch_size", builder().batch_size(0)),
        ("hidden_layers", builder().hidden_layers([0])),
        ("metric", builder().metric("acuracy")),
        ("threads", builder().threads(0)),
    ] {
        let error = broken.fit(&x, &y).err();
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Usage), "{what}");
    }
}

#[test]
fn a_model_refuses_other_rows() {
    let x: Vec<f32> = (0..80).map(|i| (i * 37 % 41) as f32 * 0.5).collect();
    let y: Vec<&str> = x.chunks(2).map(|r| if r[0] > r[1] { "more" } else { "less" }).collect();
    let builder = Classifier::builder().device(Device::Cpu).epochs(1).ensemble(1);
    let model = builder.fit((&x, 2), &y).unwrap();
    let error = model.predict_proba((&x, 4)).unwrap_err();
    said(&error, &["4 columns, but the model takes 2"]);
    let error = model.predict::<u32>((&x, 2)).map(|classes| classes.len());
    assert_eq!(error, Ok(40), "numbers are the places of names that are none");
    let error = model.predict::<bool>((&x, 2)).unwrap_err();
    said(&error, &["\"less\" is not a value of type bool", "predict::<String>"]);
    let error = model.score((&x, 2), &["more"; 40]).map(|accuracy| accuracy <= 1.0);
    assert_eq!(error, Ok(true));
    said(&model.score((&x, 2), &["mor"; 40]).unwrap_err(), &["no class \"mor\"", "did you mean"]);
    assert!(Regressor::load("/nonexistent/model").is_err());
    let path = std::env::temp_dir().join(format!("wgrad-refused-{}", std::process::id()));
    model.save(&path).unwrap();
    said(&Regressor::load(&path).err().unwrap(), &["Classifier::load"]);
    std::fs::remove_file(&path).unwrap();
}
