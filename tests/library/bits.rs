//! The library and the command line train the same bits on the same rows.

use crate::cli_support::Place;
use std::fmt::Write as _;
use wgrad::{Classifier, Device, Model, Regressor};

/// Rows of three features: one with fractions, one of whole numbers beyond a byte, one of 0 and 1.
fn rows(count: usize) -> Vec<f32> {
    let row = |i: usize| {
        let a = (i as f32 * 0.618_034).fract() * 10.0 - 3.0;
        let b = ((i * 7919) % 1000) as f32;
        [a, b, (i.is_multiple_of(3)) as u8 as f32]
    };
    (0..count).flat_map(row).collect()
}

fn csv(x: &[f32], target: impl Fn(usize) -> String) -> String {
    let mut text = String::from("a,b,c,y\n");
    for (i, row) in x.chunks(3).enumerate() {
        writeln!(text, "{},{},{},{}", row[0], row[1], row[2], target(i)).unwrap();
    }
    text
}

/// All weights of two models are the same bits, and so is what they do to rows and outputs.
fn assert_same(library: &Model, program: &Model) {
    assert_eq!(library.members.len(), program.members.len());
    for (ours, theirs) in library.members.iter().flatten().zip(program.members.iter().flatten()) {
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(ours.weight.data()), bits(theirs.weight.data()));
        assert_eq!(ours.bias.as_deref().map(bits), theirs.bias.as_deref().map(bits));
    }
    let encoders = |model: &Model| {
        let encoding = model.preprocessing.encoding.as_ref().unwrap();
        encoding.features.iter().map(|f| f.encoder.clone()).collect::<Vec<_>>()
    };
    assert_eq!(encoders(library), encoders(program));
    assert_eq!(library.preprocessing.targets, program.preprocessing.targets);
    assert_eq!(library.preprocessing.classes, program.preprocessing.classes);
    assert_eq!(library.net, program.net);
}

#[test]
fn a_classifier_of_defaults_is_that_of_the_command_line() {
    let x = rows(150);
    let label = |row: &[f32]| u32::from(row[0] * 100.0 + row[1] > 500.0) + u32::from(row[2] > 0.5);
    let y: Vec<u32> = x.chunks(3).map(label).collect();
    let model = Classifier::builder().device(Device::Cpu).fit((&x, 3), &y).unwrap();

    let place = Place::of_defaults();
    place.write("t.csv", csv(&x, |i| y[i].to_string()));
    place.ok("train t.csv --device cpu --out run --quiet --no-report");
    let program = place.model("run");
    assert_eq!(program.members.len(), 3, "the default for small tables is an ensemble by folds");
    assert_same(model.model(), &program);
    let found = model.predict_proba((&x, 3)).unwrap();
    let loaded = Classifier::load(place.path("run/model.safetensors")).unwrap();
    let program = loaded.on_device(Device::Cpu).predict_proba((&x, 3)).unwrap();
    assert_eq!(found, program);
}

#[test]
fn a_regressor_of_one_net_is_that_of_the_command_line() {
    // From 2,000 training rows on the default is quantile scaling.
    let x = rows(2400);
    let y: Vec<f32> = x.chunks(3).map(|row| row[0] * 0.3 + row[1] * 0.01 - row[2]).collect();
    let builder = Regressor::builder().device(Device::Cpu).validation_fraction(0.1);
    let builder = builder.epochs(3).seed(5).early_stopping(2).hidden_layers([24, 16]);
    let model = builder.fit((&x, 3), &y).unwrap();

    let place = Place::of_defaults();
    place.write("t.csv", csv(&x, |i| y[i].to_string()));
    place.ok(
        "train t.csv --device cpu --validation 0.1 --epochs 3 --seed 5 --patience 2 --layers 24,16 \
         --out run --quiet --no-report",
    );
    assert_same(model.model(), &place.model("run"));
}

#[test]
fn a_table_in_a_file_is_understood_as_by_the_command_line() {
    let place = Place::of_defaults();
    let row = |i: usize| {
        let town = ["Ulm", "Bonn", "Kiel"][i % 3];
        let size =
            if i.is_multiple_of(10) { String::new() } else { (20 + i * 13 % 90).to_string() };
        let kind = if (i * 13 % 90 > 40) == (i % 3 == 1) { "house" } else { "flat" };
        format!("{i},{town},{size},{kind}\n")
    };
    let text: String = (0..90).map(row).collect();
    place.write("t.csv", format!("id,town,size,kind\n{text}"));
    let builder = Classifier::builder().device(Device::Cpu).epochs(4);
    let model = builder.fit_table(place.path("t.csv")).unwrap();
    place.ok("train t.csv --device cpu --epochs 4 --out run --quiet --no-report");
    assert_same(model.model(), &place.model("run"));
    assert_eq!(model.class_names(), ["flat", "house"]);
}
