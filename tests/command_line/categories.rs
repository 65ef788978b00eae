//! Categories and booleans in another spelling than in training, or unknown ones:
//! read if they mean the same, otherwise counted and reported, or refused.

use crate::cli_support::Place;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use std::sync::Arc;

/// The encodings of a column of categories.
const WAYS: [&str; 3] = ["--one-hot grade", "--hash grade", "--embed grade"];

/// The number of a row's category, from 1 on.
fn grade(row: usize) -> usize {
    1 + row * 7 % 5 % 3
}

/// A table whose target depends on a category, spelled by a function of its number and the row, and on a
/// number.
fn table(rows: usize, write: impl Fn(usize, usize) -> String) -> String {
    let row = |i: usize| {
        let (grade, x) = (grade(i), i * 13 % 17);
        format!("{},{x},{}\n", write(grade, i), 10 * grade * grade + 3 * x)
    };
    std::iter::once("grade,x,y\n".to_string()).chain((0..rows).map(row)).collect()
}

/// The same as a file with types.
fn parquet(rows: usize, column: &str, values: ArrayRef) -> Vec<u8> {
    let x: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..rows).map(|i| (i * 13 % 17) as f64)));
    let batch = RecordBatch::try_from_iter([(column, values), ("x", x)]).unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

fn train(place: &Place, file: &str, options: &str, run: &str) -> String {
    let command =
        "--target y --task regression --device cpu --threads 1 --quiet --epochs 2 --force";
    place.ok(&format!("train {file} {command} {options} --out {run}")).stderr
}

fn warnings(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.starts_with("warning:")).collect()
}

const NAMES: [&str; 4] = ["", "Malm\u{F6}", "red", "Caf\u{E9}"];
const DECOMPOSED: [&str; 4] = ["", "Malmo\u{308}", "red", "Cafe\u{301}"];

#[test]
fn equal_spellings_of_a_category_are_the_same_at_prediction() {
    let place = Place::new();
    place.write("whole.csv", table(240, |g, _| g.to_string()));
    place.write("names.csv", table(240, |g, _| NAMES[g].into()));
    place.write("fraction.csv", table(240, |g, _| format!("{g}.0")));
    place.write(
        "spaces.csv",
        table(240, |g, i| format!("{g}{}", ["", " ", "\u{A0}", "\u{2003}"][i % 4])),
    );
    place.write("decomposed.csv", table(240, |g, _| format!("\u{202F}{}\u{A0}", DECOMPOSED[g])));
    let floats = Float64Array::from_iter_values((0..240).map(|i| grade(i) as f64));
    let integers = Int64Array::from_iter_values((0..240).map(|i| grade(i) as i64));
    let texts = StringArray::from_iter_values((0..240).map(|i| format!("{}.0 ", grade(i))));
    place.write("floats.parquet", parquet(240, "grade", Arc::new(floats)));
    place.write("integers.parquet", parquet(240, "grade", Arc::new(integers)));
    place.write("texts.parquet", parquet(240, "grade", Arc::new(texts)));
    for way in WAYS {
        for (trained_on, others) in [
            (
                "whole.csv",
                &[
                    "fraction.csv",
                    "spaces.csv",
                    "floats.parquet",
                    "integers.parquet",
                    "texts.parquet",
                ][..],
            ),
            ("fraction.csv", &["whole.csv"][..]),
            ("names.csv", &["decomposed.csv"][..]),
            ("decomposed.csv", &["names.csv"][..]),
        ] {
            train(&place, trained_on, way, "run");
            let expected =
                place.ok(&format!("predict run {trained_on} --device cpu --threads 1")).stdout;
            let distinct: std::collections::BTreeSet<&str> = expected.lines().collect();
            assert!(distinct.len() > 40, "three categories and 17 numbers are told apart");
            for other in others {
                let predicted = place
                    .ok(&format!("predict run {other} --device cpu --threads 1 --unknown error"));
                assert_eq!(predicted.stdout, expected, "{way} {trained_on} {other}");
                assert_eq!(warnings(&predicted.stderr), [""; 0], "{way} {other}");
            }
        }
    }
}

#[test]
fn equal_spellings_of_a_category_are_the_same_in_training() {
    let place = Place::new();
    let mixed = |g: usize, i: usize| match i % 3 {
        0 => NAMES[g].to_string(),
        1 => format!("{}\u{A0}", DECOMPOSED[g]),
        _ => format!("  {} ", DECOMPOSED[g]),
    };
    let numbers = |g: usize, i: usize| format!("{g}{}", ["", ".0", ".00"][i % 3]);
    // Beyond the limit categories are counted in a pass of their own.
    for (rows, limit) in [(300, ""), (8000, "--memory-limit 1M")] {
        place.write("names.csv", table(rows, |g, _| NAMES[g].into()));
        place.write("mixed.csv", table(rows, mixed));
        place.write("whole.csv", table(rows, |g, _| g.to_string()));
        place.write("numbers.csv", table(rows, numbers));
        for way in WAYS {
            for (clean, other) in [("names.csv", "mixed.csv"), ("whole.csv", "numbers.csv")] {
                let predictions = [clean, other].map(|file| {
                    let said = train(&place, file, &format!("{way} {limit}"), "run");
                    assert_eq!(warnings(&said), [""; 0], "{way} {file}");
                    place.write(
                        "few.csv",
                        table(50, |g, _| {
                            if clean == "names.csv" { NAMES[g].into() } else { g.to_string() }
                        }),
                    );
                    place.ok("predict run few.csv --device cpu --threads 1").stdout
                });
                assert_eq!(predictions[0], predictions[1], "{way} {other} {limit}");
            }
        }
    }
}

#[test]
fn what_was_never_seen_is_counted_over_all_chunks_and_said_once() {
    let place = Place::new();
    let colors = ["", "red", "green", "blue"];
    place.write("train.csv", table(240, |g, _| colors[g].into()));
    // More than one block of a megabyte: every third row has a category of its own kind, and all have
    // a column beside it that isn't read.
    let rows = 15_000;
    let other = |g: usize, i: usize| match i % 3 {
        0 => ["RED", "purple", "teal", "GREEN"][i / 3 % 4].to_string(),
        _ => colors[g].to_string(),
    };
    let wide = format!(",{}\n", "more".repeat(20));
    let text = table(rows, other).replace('\n', &wide);
    assert!(text.len() > 5 << 18);
    place.write("new.csv", &text);
    let bad = text.replacen("\npurple,", "\npurple,x", 2).replacen("\nred,", "\nred,x", 3);
    place.write("bad.csv", bad);
    for way in WAYS {
        train(&place, "train.csv", way, "run");
        let said = place.ok("predict run train.csv --device cpu --threads 1 -o out.csv").stderr;
        assert_eq!(warnings(&said), [""; 0], "{way}");
        let said = place.ok("predict run new.csv --device cpu --threads 1 -o out.csv").stderr;
        assert_eq!(
            warnings(&said),
            [
                "warning: column 1 (grade): 5,000 of 15,000 rows (33.3%) hold a category that was not in the training data: \
              \"RED\" (the model knows \"red\"), \"GREEN\" (the model knows \"green\"), \"purple\", …"
            ],
            "{way}"
        );
        // Rows that are passed over don't count.
        let said = place
            .ok("predict run bad.csv --device cpu --threads 1 --on-error skip -o out.csv")
            .stderr;
        assert!(said.contains("5 rows could not be read"), "{said}");
        let [warning] = warnings(&said)[..] else { panic!("{said}") };
        assert!(warning.contains(": 4,998 of 14,995 rows (33.3%)"), "{warning}");
    }
}

#[test]
fn missing_numbers_are_warned_of_where_the_training_rows_had_none() {
    let place = Place::new();
    place.write("rows.csv", table(120, |grade, _| format!("g{grade}")));
    train(&place, "rows.csv", "", "run");
    place.write("new.csv", "grade,x\ng1,3\ng2,\n,4\n");
    let said = place.ok("predict run new.csv -o out.csv").stderr;
    let warning = "warning: column 2 (x): 1 of 3 rows has no value, although no value was missing in training: the median of the training rows is used";
    assert!(said.contains(warning), "{said}");
    // With gaps in training there is an input for them.
    place.write("gaps.csv", table(120, |grade, _| format!("g{grade}")).replace(",3,", ",,"));
    train(&place, "gaps.csv", "", "other");
    let said = place.ok("predict other new.csv -o out.csv").stderr;
    assert!(!said.contains("no value, although"), "{said}");
}

#[test]
fn evaluate_says_what_it_does_not_know_in_json_too() {
    let place = Place::new();
    place.write("train.csv", table(240, |g, _| ["", "red", "01067", "blue"][g].into()));
    place.write(
        "new.csv",
        table(200, |g, i| match (g, i) {
            (1, _) => "RED".into(),
            (2, 0..100) => "1067".into(),
            (2, _) => "Red".into(),
            _ => "blue".into(),
        }),
    );
    let count = (0..200).filter(|&i| grade(i) < 3).count();
    for way in WAYS {
        train(&place, "train.csv", way, "run");
        let evaluated = place.ok("evaluate run new.csv --device cpu --threads 1 --json");
        let found = &evaluated.json()[0]["unknown_categories"];
        let share = count as f64 / 200.0;
        let expected = serde_json::json!([{
            "column": "grade",
            "rows": count,
            "share": share,
            "examples": [
                {"value": "RED", "alike": "red"},
                {"value": "1067", "alike": "01067"},
                {"value": "Red", "alike": "red"},
            ],
        }]);
        assert_eq!(*found, expected, "{way}");
        assert_eq!(warnings(&evaluated.stderr).len(), 1, "{}", evaluated.stderr);
        let same = place.ok("evaluate run train.csv --device cpu --threads 1 --json");
        assert!(same.json()[0].get("unknown_categories").is_none());
        let parquet_file = StringArray::from_iter_values((0..200).map(|_| "teal"));
        place.write("new.parquet", parquet(200, "grade", Arc::new(parquet_file)));
        let said = place.ok("predict run new.parquet --device cpu --threads 1 -o out.csv").stderr;
        let [warning] = warnings(&said)[..] else { panic!("{said}") };
        assert!(warning.ends_with(
            "200 of 200 rows (100%) hold a category that was not in the training data: \"teal\""
        ));
    }
}

#[test]
fn unknown_categories_are_refused_where_that_is_asked_for() {
    let place = Place::new();
    let colors = ["", "red", "green", "blue"];
    place.write("train.csv", table(240, |g, _| colors[g].into()));
    let text = table(60, |g, i| match i {
        3 => "RED".into(),
        7 => "gren".into(),
        _ => colors[g].into(),
    });
    place.write("new.csv", text);
    place.write(
        "new.parquet",
        parquet(
            60,
            "grade",
            Arc::new(StringArray::from_iter_values(
                (0..60).map(|i| if i == 7 { "gren" } else { colors[grade(i)] }),
            )),
        ),
    );
    for way in WAYS {
        train(&place, "train.csv", way, "run");
        for command in ["predict", "evaluate"] {
            let refused = place
                .run(&format!("{command} run new.csv --device cpu --threads 1 --unknown error"));
            assert_eq!(refused.code, 3, "{command} {way}: {}", refused.stderr);
            for text in [
                "\"RED\" is a category that was not in the training data",
                "new.csv, line 5, column 1 (grade)",
                "the model knows \"red\"",
            ] {
                assert!(
                    refused.stderr.contains(text),
                    "{command}: no {text} in {}",
                    refused.stderr
                );
            }
            assert!(!refused.stdout.contains("y\n"), "{}", refused.stdout);
        }
        let refused = place.run("predict run new.parquet --device cpu --threads 1 --unknown error");
        assert_eq!(refused.code, 3);
        for text in ["\"gren\"", "row 8, column 1 (grade)", "nearest known ones: green, red, blue"]
        {
            assert!(refused.stderr.contains(text), "no {text} in {}", refused.stderr);
        }
        let passed = place
            .ok("predict run new.csv --device cpu --threads 1 --unknown error --on-error skip --keep grade");
        assert_eq!(passed.stdout.lines().count(), 59);
        assert!(!passed.stdout.contains("RED") && !passed.stdout.contains("gren"));
        assert!(passed.stderr.contains("skipped: \"gren\""), "{}", passed.stderr);
        assert_eq!(warnings(&passed.stderr), [""; 0]);
    }
    let wrong = place.run("predict run new.csv --device cpu --threads 1 --unknown refuse");
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}

#[test]
fn categories_that_look_alike_are_warned_of_in_training() {
    let place = Place::new();
    for (one, other) in [("red", "RED"), ("01067", "1067"), ("New York", "New  York")] {
        place.write("train.csv", table(240, |g, _| ["", one, other, "blue"][g].into()));
        for way in WAYS {
            let said = train(&place, "train.csv", way, "run");
            let [warning] = warnings(&said)[..] else { panic!("{way}: {said}") };
            assert!(warning.contains("column 1 (grade)"), "{warning}");
            for name in [one, other] {
                assert!(warning.contains(&format!("{name:?}")), "{warning}");
            }
            assert!(!warning.contains("blue"), "{warning}");
        }
    }
}

#[test]
fn held_out_rows_and_files_with_other_categories_are_warned_of() {
    let place = Place::new();
    let colors = ["", "red", "green", "blue"];
    place.write("train.csv", table(240, |g, _| colors[g].into()));
    place.write("other.csv", table(80, |_, i| if i % 4 == 0 { "teal" } else { "red" }.into()));
    for (option, part) in [("--validation", "validation"), ("--test", "test")] {
        let said = train(&place, "train.csv", &format!("{option} other.csv"), "run");
        let [warning] = warnings(&said)[..] else { panic!("{said}") };
        let expected = format!(
            "warning: the {part} data: column 1 (grade): 20 of 80 rows (25.0%) hold a category that was not in the \
             training data: \"teal\""
        );
        assert_eq!(warning, expected);
    }
    // The last rows in time have a category of their own.
    let text = table(240, |g, i| if i < 216 { colors[g] } else { "teal" }.into());
    let timed: String = text
        .lines()
        .enumerate()
        .map(|(i, line)| match i {
            0 => format!("day,{line}\n"),
            _ => format!("{},{line}\n", 1000 + i),
        })
        .collect();
    place.write("timed.csv", timed);
    let said = train(&place, "timed.csv", "--split time:day --validation 0.1", "run");
    let [warning] = warnings(&said)[..] else { panic!("{said}") };
    assert!(
        warning.contains("validation data: column 2 (grade): 24 of 24 rows (100%)"),
        "{warning}"
    );
}

/// A table whose target depends on a column of yes and no.
fn flags(rows: usize, words: [&str; 2]) -> String {
    let row = |i: usize| {
        let (flag, x) = (grade(i) == 1, i * 13 % 17);
        format!("{},{x},{}\n", words[usize::from(flag)], 50 * usize::from(flag) + x)
    };
    std::iter::once("flag,x,y\n".to_string()).chain((0..rows).map(row)).collect()
}

#[test]
fn true_and_false_and_0_and_1_are_read_in_each_others_place() {
    const WORDS: [[&str; 2]; 6] = [
        ["False", "True"],
        ["FALSE", "true"],
        ["no", "yes"],
        ["0", "1"],
        ["0.0", "1.0"],
        ["0 ", "1\u{A0}"],
    ];
    let place = Place::new();
    for (i, words) in WORDS.into_iter().enumerate() {
        place.write(&format!("{i}.csv"), flags(240, words));
    }
    let is_set = |i: usize| grade(i) == 1;
    let bits = BooleanArray::from((0..240).map(is_set).collect::<Vec<bool>>());
    let integers = Int64Array::from_iter_values((0..240).map(|i| i64::from(is_set(i))));
    let floats = Float64Array::from_iter_values((0..240).map(|i| f64::from(u8::from(is_set(i)))));
    let texts =
        StringArray::from_iter_values((0..240).map(|i| if is_set(i) { "YES" } else { "0.0" }));
    place.write("bits.parquet", parquet(240, "flag", Arc::new(bits)));
    place.write("integers.parquet", parquet(240, "flag", Arc::new(integers)));
    place.write("floats.parquet", parquet(240, "flag", Arc::new(floats)));
    place.write("texts.parquet", parquet(240, "flag", Arc::new(texts)));
    let mut expected = String::new();
    // The last isn't a pair of words: a model that takes numbers.
    for (i, trained_on) in WORDS.iter().enumerate().take(5) {
        train(&place, &format!("{i}.csv"), "", "run");
        if i == 0 {
            expected = place.ok("predict run 0.csv --device cpu --threads 1").stdout;
        }
        let files = (0..WORDS.len()).map(|i| format!("{i}.csv"));
        let typed = ["bits", "integers", "floats", "texts"].map(|name| format!("{name}.parquet"));
        for file in files.chain(typed) {
            let predicted =
                place.ok(&format!("predict run {file} --device cpu --threads 1")).stdout;
            assert_eq!(predicted, expected, "{file} where {trained_on:?} were trained on");
        }
        place.write("odd.csv", flags(20, ["0", "1"]).replacen("\n0,", "\nmaybe,", 1));
        let refused = place.run("predict run odd.csv --device cpu --threads 1");
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("\"maybe\" is"), "{}", refused.stderr);
        assert!(refused.stderr.contains("column 1 (flag)"), "{}", refused.stderr);
        let days = Date32Array::from_iter_values(0..240);
        place.write("days.parquet", parquet(240, "flag", Arc::new(days)));
        let refused = place.run("predict run days.parquet --device cpu --threads 1");
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        for text in ["a date or time is not yes or no", "row 1, column 1 (flag)"] {
            assert!(refused.stderr.contains(text), "no {text} in {}", refused.stderr);
        }
    }
}

#[test]
fn booleans_of_a_table_beyond_the_memory_limit_are_read_as_in_memory() {
    let place = Place::new();
    for (i, words) in [["no", "yes"], ["0", "1"], ["0.0", "1.0"]].into_iter().enumerate() {
        place.write(&format!("{i}.csv"), flags(8000, words));
        place.write(&format!("few{i}.csv"), flags(50, words));
    }
    let mut all = Vec::new();
    for i in 0..3 {
        train(&place, &format!("{i}.csv"), "--memory-limit 1M", "run");
        for other in 0..3 {
            all.push(
                place.ok(&format!("predict run few{other}.csv --device cpu --threads 1")).stdout,
            );
        }
    }
    assert!(all.iter().all(|predicted| *predicted == all[0]), "{all:?}");
}

/// Removes fields that older models don't have from a model file.
fn make_old(place: &Place, run: &str) {
    let path = place.path(run).join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    let text = header["__metadata__"]["wgrad.preprocessing"].as_str().unwrap();
    let mut preprocessing: serde_json::Value = serde_json::from_str(text).unwrap();
    let features = preprocessing["encoding"]["features"].as_array_mut().unwrap();
    let mut cut = 0;
    for feature in features {
        for encoder in feature["encoder"].as_object_mut().into_iter().flat_map(|e| e.values_mut()) {
            let Some(encoder) = encoder.as_object_mut() else { continue };
            cut += usize::from(encoder.remove("known").is_some());
            cut += usize::from(encoder.remove("rare").is_some());
        }
    }
    assert_eq!(cut, 1, "{text}");
    header["__metadata__"]["wgrad.preprocessing"] = preprocessing.to_string().into();
    let header = header.to_string();
    let mut old = (header.len() as u64).to_le_bytes().to_vec();
    old.extend(header.as_bytes());
    old.extend(&bytes[8 + len..]);
    std::fs::write(path, old).unwrap();
}

#[test]
fn models_of_before_predict_as_they_did_and_say_what_they_do_not_count() {
    let place = Place::new();
    let colors = ["", "red", "green", "blue"];
    // Enough rows for a category of one row to be rare.
    place.write("train.csv", table(4000, |g, i| if i == 9 { "rare" } else { colors[g] }.into()));
    place.write("new.csv", table(60, |g, i| if i % 3 == 0 { "teal" } else { colors[g] }.into()));
    for way in ["--hash grade", "--one-hot grade"] {
        train(&place, "train.csv", &format!("{way} --validation 0"), "run");
        let new = place.ok("predict run new.csv --device cpu --threads 1");
        assert!(new.stderr.contains("20 of 60 rows (33.3%)"), "{}", new.stderr);
        make_old(&place, "run");
        let old = place.ok("predict run new.csv --device cpu --threads 1");
        assert_eq!(old.stdout, new.stdout, "{way}");
        assert_eq!(warnings(&old.stderr), [""; 0]);
        let notes =
            old.stderr.lines().filter(|line| line.starts_with("note: the model file doesn't list"));
        assert_eq!(notes.count(), 1, "{}", old.stderr);
        let refused = place.run("predict run new.csv --device cpu --threads 1 --unknown error");
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("column 1 (grade)"), "{}", refused.stderr);
    }
}
