//! Values in another form than in training: accepted if they mean the same,
//! otherwise refused with their row. No present value is treated as missing.

use crate::cli_support::Place;
use arrow_array::{ArrayRef, BooleanArray, Date32Array, Float64Array, RecordBatch};
use std::sync::Arc;

/// How a day of 2024 is written.
type Form = fn(month: i32, day: i32) -> String;

const ISO: Form = |month, day| format!("2024-{month:02}-{day:02}");

/// A table of dates and of yes and no, on both of which the target depends.
fn table(date: Form, flags: [&str; 2]) -> String {
    let row = |i: i32| {
        let (month, day, flag) = (1 + i % 12, 1 + i * 5 % 28, i * 7 % 3 == 0);
        let y = f64::from(month * 30 + day) / 10.0 + 20.0 * f64::from(u8::from(flag));
        format!("{},{},{y}\n", date(month, day), flags[usize::from(flag)])
    };
    std::iter::once("date,flag,y\n".to_string()).chain((0..240).map(row)).collect()
}

fn trained(place: &Place) -> String {
    place.write("train.csv", table(ISO, ["no", "yes"]));
    place.ok("train train.csv --device cpu --quiet --epochs 3 --out run");
    place.write("same.csv", table(ISO, ["no", "yes"]));
    place.ok("predict run same.csv --device cpu").stdout
}

#[test]
fn dates_and_booleans_of_another_form_are_the_same_dates_and_booleans() {
    let place = Place::new();
    let expected = trained(&place);
    let other: [(&str, Form, [&str; 2]); 6] = [
        ("german", |m, d| format!("{d:02}.{m:02}.2024"), ["no", "yes"]),
        ("midnight", |m, d| format!("2024-{m:02}-{d:02} 00:00:00"), ["no", "yes"]),
        ("slashes", |m, d| format!("2024/{m:02}/{d:02}"), ["No", "YES"]),
        ("digits", ISO, ["0", "1"]),
        ("words", ISO, ["False", "true"]),
        ("letters", ISO, ["n", "Y"]),
    ];
    let judge = |name: &str| place.ok(&format!("evaluate run {name} --device cpu --json")).json();
    let same = judge("same.csv");
    for (name, date, flags) in other {
        let file = format!("{name}.csv");
        place.write(&file, table(date, flags));
        assert_eq!(
            place.ok(&format!("predict run {file} --device cpu")).stdout,
            expected,
            "{name}"
        );
        assert_eq!(judge(&file)[0]["rmse"], same[0]["rmse"], "{name}");
    }
}

#[test]
fn a_file_that_knows_dates_and_booleans_is_read_as_the_text_was() {
    let place = Place::new();
    let expected = trained(&place);
    // 2024-01-01, and the days before each month of that year.
    let before = [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335];
    let days = (0..240).map(|i: i32| 19_723 + before[i as usize % 12] + i * 5 % 28);
    let flags: Vec<bool> = (0..240).map(|i| i * 7 % 3 == 0).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("date", Arc::new(Date32Array::from_iter_values(days))),
        ("flag", Arc::new(BooleanArray::from(flags))),
        ("y", Arc::new(Float64Array::from_iter_values((0..240).map(f64::from)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    place.write("typed.parquet", file);
    assert_eq!(place.ok("predict run typed.parquet --device cpu").stdout, expected);
    // And the other way: trained on what the file knows, predicting from text.
    place.ok("train typed.parquet --device cpu --quiet --epochs 3 --out typed");
    let from_file = place.ok("predict typed typed.parquet --device cpu").stdout;
    assert_eq!(place.ok("predict typed same.csv --device cpu").stdout, from_file);
}

#[test]
fn dates_are_not_taken_for_the_numbers_of_training() {
    let place = Place::new();
    let years: String = (0..80).map(|i| format!("{},{}\n", 1990 + i % 30, i * 7 % 30)).collect();
    place.write("years.csv", format!("year,y\n{years}"));
    place.ok("train years.csv --task regression --device cpu --quiet --epochs 1 --out run");
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(19_000..19_010));
    let batch = RecordBatch::try_from_iter([("year", days)]).unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    place.write("days.parquet", file);
    let refused = place.run("predict run days.parquet --device cpu");
    assert_eq!(refused.code, 3, "{}", refused.stdout);
    for text in ["a date or time is not a number", "column 1 (year), row 1"] {
        assert!(refused.stderr.contains(text), "no {text:?} in {}", refused.stderr);
    }
}

#[test]
fn what_means_nothing_to_the_model_is_named_with_its_row_and_not_taken_for_missing() {
    let place = Place::new();
    trained(&place);
    for (from, to, said) in [
        (
            "2024-02-06,",
            "02/06/2024,",
            "\"02/06/2024\" is not a date or time in the format YYYY-MM-DD",
        ),
        ("2024-02-06,", "soon,", "\"soon\" is not a date or time in the format YYYY-MM-DD"),
        ("2024-02-06,no", "2024-02-06,maybe", "\"maybe\" is neither \"no\" nor \"yes\""),
    ] {
        let column = if to.contains("maybe") { "column 2 (flag)" } else { "column 1 (date)" };
        let at = format!("odd.csv, line 3, {column}");
        place.write("odd.csv", table(ISO, ["no", "yes"]).replacen(from, to, 1));
        for command in ["evaluate run odd.csv --device cpu", "predict run odd.csv --device cpu"] {
            let refused = place.run(command);
            assert_eq!(refused.code, 3, "{command}: {}{}", refused.stdout, refused.stderr);
            for text in [said, &at, "help: correct it"] {
                assert!(
                    refused.stderr.contains(text),
                    "{command}: no {text:?} in {}",
                    refused.stderr
                );
            }
        }
        let skipped = place.ok("predict run odd.csv --device cpu --on-error skip");
        assert_eq!(skipped.stdout.lines().count(), 240, "the header and all rows but one");
        assert!(skipped.stderr.contains("1 row could not be read"), "{}", skipped.stderr);
    }
    // What is missing may be.
    let gaps = table(ISO, ["no", "yes"]).replacen("2024-02-06,no", "NA,", 1);
    place.write("gaps.csv", gaps);
    assert_eq!(place.ok("predict run gaps.csv --device cpu").stdout.lines().count(), 241);
}

#[test]
fn a_count_that_was_only_0_and_1_in_training_goes_on_beyond() {
    let place = Place::new();
    let row = |i: i32| format!("{},{},{}\n", i % 2, i * 7 % 11, 10 * (i % 2) + i * 7 % 11);
    let rows: String = std::iter::once("n,b,y\n".into()).chain((0..200).map(row)).collect();
    place.write("train.csv", rows);
    place.ok("train train.csv --device cpu --quiet --epochs 60 --layers none --out run");
    place.write("more.csv", "n,b\n0,5\n1,5\n2,5\n,5\n");
    let printed = place.ok("predict run more.csv --device cpu").stdout;
    let y: Vec<f64> = printed.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    // The linear model has a slope of half the step between 0 and 1.
    assert!((y[2] - (2.0 * y[1] - y[0])).abs() < 1e-3, "{y:?}");
    assert!((y[3] - (y[0] + y[1]) / 2.0).abs() < 1e-3, "what is missing is between: {y:?}");
}
