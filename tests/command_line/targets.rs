//! Targets: numbers far from 0, rows without a target, guesses of the task, classes that training lacks.

use crate::cli_support::{Place, Ran, ran};

/// A table in which y is 3 a − 2 b, as `y` writes it.
fn table(rows: usize, y: impl Fn(usize, f64) -> String) -> String {
    let row = |i: usize| {
        let (a, b) = ((i * 13 % 8) as f64, (i * 7 % 11) as f64);
        format!("{a},{b},{}\n", y(i, 3.0 * a - 2.0 * b + 0.5))
    };
    std::iter::once("a,b,y\n".to_string()).chain((0..rows).map(row)).collect()
}

/// The predictions of a run for a table.
fn predictions(place: &Place, run: &str, data: &str) -> Vec<f64> {
    let text = place.ok(&format!("predict {run} {data} --device cpu")).stdout;
    text.lines().skip(1).map(|line| line.parse().unwrap()).collect()
}

fn rmse(ran: &Ran) -> f64 {
    ran.json().last().unwrap()["valid"]["rmse"].as_f64().unwrap()
}

fn refused(place: &Place, args: &str, texts: &[&str]) {
    let ran = place.run(args);
    assert_eq!(ran.code, 3, "wgrad {args}\n{}{}", ran.stdout, ran.stderr);
    for text in texts {
        assert!(ran.stderr.contains(text), "wgrad {args}: no {text:?} in\n{}", ran.stderr);
    }
}

/// Without hidden layers, and so without a linear model beside the net.
const TRAIN: &str = "--layers none --device cpu --epochs 20 --json --out";

#[test]
fn targets_far_from_zero_and_beyond_f32_are_learnt_as_near_ones_are() {
    let place = Place::new();
    place.write("plain.csv", table(80, |_, y| format!("{y}")));
    let plain = place.ok(&format!("train plain.csv {TRAIN} plain"));
    assert!(!plain.stderr.contains("f64"), "{}", plain.stderr);
    let expected = predictions(&place, "plain", "plain.csv");
    for (offset, unit) in [(1.7e9, 1.0), (1e9, 0.1), (0.0, 1e60), (0.0, 1e-60), (0.0, 1e-40)] {
        place.write("far.csv", table(80, |_, y| format!("{}", offset + unit * y)));
        let far = place.ok(&format!("train far.csv {TRAIN} far --force"));
        assert!(far.stderr.contains("warning: the target y is learned and predicted in f64"));
        let ratio = rmse(&far) / (unit * rmse(&plain));
        assert!((ratio - 1.0).abs() < 1e-3, "{offset} {unit}: {ratio}");
        for (far, near) in predictions(&place, "far", "far.csv").iter().zip(&expected) {
            let near = offset + unit * near;
            assert!((far - near).abs() < 1e-3 * unit, "{offset} {unit}: {far}, not {near}");
        }
        let judged = place.ok("evaluate far far.csv --json --device cpu").json();
        let baseline = judged[0]["baselines"]["mean"]["rmse"].as_f64().unwrap();
        assert!((baseline / unit / 9.4 - 1.0).abs() < 0.1, "{offset} {unit}: {baseline}");
    }
}

#[test]
fn targets_that_differ_too_little_or_are_too_large_are_refused_for_that() {
    let place = Place::new();
    place.write("tiny.csv", table(40, |_, y| format!("{}", y * 1e-160)));
    refused(&place, "train tiny.csv", &["the targets differ by", "another unit", "column 3 (y)"]);
    place.write("huge.csv", table(40, |_, y| format!("{}", y * 1e155)));
    refused(&place, "train huge.csv", &["is too large", "another unit", "line 2"]);
    place.write("far.csv", table(40, |_, y| format!("{}", y + 1e9)));
    let raw = place.ok("train far.csv --layers none --device cpu --epochs 1 --scaling none");
    assert!(raw.stderr.contains("warning: the targets aren't scaled and lose digits in f32"));
    place.write("beyond.csv", table(40, |_, y| format!("{}", y * 1e60)));
    refused(&place, "train beyond.csv --scaling none", &["overflows f32", "--scaling standard"]);
}

#[test]
fn rows_without_a_target_are_refused_or_left_out() {
    let place = Place::new();
    let is_gap = |i: usize| i % 10 == 4;
    let gaps = table(60, |i, y| if is_gap(i) { String::new() } else { y.to_string() });
    let clean: String = gaps
        .lines()
        .filter(|line| !line.ends_with(','))
        .fold(String::new(), |all, line| all + line + "\n");
    place.write("gaps.csv", &gaps);
    place.write("clean.csv", &clean);
    let advice = "--missing-target drop";
    let count = "the target is missing in 6 of 60 rows (10.0%)";
    refused(&place, "train gaps.csv", &[count, "line 6, column 3 (y)", advice]);
    refused(&place, "train clean.csv --validation gaps.csv", &[count, advice]);
    place.ok(&format!("train clean.csv {TRAIN} clean"));
    let said = "6 of 60 rows (10.0%) are dropped: the target is missing";
    let drop = place.ok(&format!("train gaps.csv --missing-target drop {TRAIN} drop"));
    assert!(drop.stderr.contains(&format!("note: {said}")), "{}", drop.stderr);
    assert_eq!(place.model("drop").members, place.model("clean").members);
    assert!(place.read("drop/config.toml").contains("missing-target = \"drop\""));
    refused(&place, "evaluate clean gaps.csv", &[count, advice]);
    let evaluate = |args: &str| place.ok(&format!("evaluate {args} --json --device cpu"));
    let left = evaluate("clean gaps.csv --missing-target drop");
    assert!(left.stderr.contains(&format!("gaps.csv: {said}")), "{}", left.stderr);
    let [left, all] = [left, evaluate("clean clean.csv")].map(|ran| ran.json());
    assert_eq!((&left[0]["rmse"], &left[0]["rows"]), (&all[0]["rmse"], &54.into()));
    assert_eq!(evaluate("drop gaps.csv").json()[0]["rows"], 54, "as in training");
    let both = "--validation gaps.csv --test gaps.csv --missing-target drop";
    let held = place.ok(&format!("train clean.csv {both} {TRAIN} held")).json();
    assert_eq!(held.last().unwrap()["valid"]["rmse"], held.last().unwrap()["test"]["rmse"]);
    place.ok("train gaps.csv --folds 3 --missing-target drop --layers none --epochs 2 --device cpu --out folds");
    assert_eq!(place.read("folds/out-of-fold.csv").lines().count(), 55);
    // All rows are predicted.
    assert_eq!(predictions(&place, "clean", "gaps.csv").len(), 60);
}

#[test]
fn rows_without_a_target_are_left_out_of_tables_beyond_the_memory_limit() {
    let place = Place::new();
    let write =
        |gap: &str| table(9_000, |i, y| if i % 1000 < 100 { gap.into() } else { y.to_string() });
    place.write("gaps.csv", write(""));
    let clean = write("-");
    let clean: Vec<&str> = clean.lines().filter(|line| !line.ends_with(",-")).collect();
    place.write("clean.csv", clean.join("\n") + "\n");
    let limit = "--memory-limit 1M --layers none --device cpu --epochs 1 --out";
    refused(
        &place,
        "train gaps.csv --memory-limit 1M",
        &["the target is missing in 900 of 9,000 rows (10.0%)", "--missing-target drop"],
    );
    let drop = place.ok(&format!("train gaps.csv --missing-target drop {limit} drop"));
    assert!(drop.stderr.contains("note: 900 of 9,000 rows (10.0%) are dropped"));
    assert!(drop.stderr.contains("encoded on disk"), "{}", drop.stderr);
    place.ok(&format!("train clean.csv {limit} clean"));
    assert_eq!(place.model("drop").members, place.model("clean").members);
    let other =
        format!("train clean.csv --validation gaps.csv --missing-target drop {limit} other");
    assert!(place.ok(&other).stderr.contains("gaps.csv: 900 of 9,000 rows"));
    let other = "train clean.csv --validation gaps.csv --memory-limit 1M";
    refused(&place, other, &["the target is missing in 900 of 9,000 rows"]);
}

/// A table of classes x and y, and at its end rows of z, with a part, a time and a group for each.
fn with_a_late_class() -> String {
    let row = |i: usize| {
        let class = if i < 110 { ["x", "y"][i % 2] } else { "z" };
        let (part, group) = if i < 100 { ("train", i / 10) } else { ("validation", 99) };
        format!("{},{part},{i},{group},{class}\n", i * 7 % 13)
    };
    std::iter::once("a,part,when,group,class\n".into()).chain((0..120).map(row)).collect()
}

#[test]
fn a_class_that_training_lacks_is_warned_of() {
    let place = Place::new();
    place.write("late.csv", with_a_late_class());
    let said = "validation rows of the class \"z\", which has no training rows";
    for split in ["column:part", "time:when --validation 0.1"] {
        let ran = place
            .ok(&format!("train late.csv --split {split} --layers none --device cpu --epochs 1"));
        assert!(ran.stderr.contains(&format!("warning: 10 {said}")), "{split}\n{}", ran.stderr);
    }
    let folds =
        "train late.csv --split group:group --folds 3 --layers none --device cpu --epochs 1";
    let ran = place.ok(folds);
    let of_fold = said.replace("validation rows", "test rows");
    assert_eq!(ran.stderr.matches(&of_fold).count(), 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains(said), "rows that only choose the epoch: {}", ran.stderr);
    let ran =
        place.ok("train late.csv --ignore part,group,when --layers none --device cpu --epochs 1");
    assert!(!ran.stderr.contains(said), "{}", ran.stderr);
    // The one of a file is refused, with what there is to do.
    let known = with_a_late_class();
    let known: Vec<&str> = known.lines().filter(|line| !line.ends_with('z')).collect();
    place.write("known.csv", known.join("\n") + "\n");
    for args in ["train known.csv --validation late.csv", "train known.csv --test late.csv"] {
        refused(&place, args, &["no class \"z\", the class of 10 rows", "remove these rows"]);
    }
    let single = format!("{}5,train,200,3,w\n", with_a_late_class());
    place.write("single.csv", single);
    let ran = place.ok("train single.csv --layers none --device cpu --epochs 1");
    let said = "warning: the class \"w\" has a single row, line 122: correct it if it is a typo";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn a_class_that_training_lacks_is_found_in_tables_beyond_the_memory_limit() {
    let place = Place::new();
    let row = |i: usize| {
        let class = if i < 7_900 { ["x", "y"][i % 2] } else { "z" };
        format!("{},{},{},{class}\n", i * 7 % 13, i % 5, if i < 7_000 { "train" } else { "val" })
    };
    let rows = (0..8_000).map(row);
    place.write(
        "late.csv",
        std::iter::once("a,b,part,class\n".into()).chain(rows).collect::<String>(),
    );
    let args = "train late.csv --split column:part --memory-limit 1M --layers none --device cpu --epochs 1";
    let ran = place.ok(args);
    let said = "warning: 100 validation rows of the class \"z\"";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn classes_are_the_same_however_their_numbers_are_written() {
    let place = Place::new();
    let write = |name: &str, class: &dyn Fn(usize) -> String| {
        let row = |i: usize| format!("{},{}\n", i % 3 * 5 + i % 2, class(i % 3 + 1));
        let rows = (0..90).map(row);
        place.write(name, std::iter::once("a,class\n".to_string()).chain(rows).collect::<String>());
    };
    write("whole.csv", &|class| class.to_string());
    let trained = place.ok(&format!("train whole.csv --task classification {TRAIN} run"));
    assert!(!trained.stderr.contains("note: class"), "{}", trained.stderr);
    let evaluate = |data: &str| {
        let line = place.ok(&format!("evaluate run {data} --json --device cpu")).json().remove(0);
        assert_eq!(line["rows"], 90);
        line["log_loss"].as_f64().unwrap()
    };
    let expected = evaluate("whole.csv");
    write("float.csv", &|class| format!("{class}.0"));
    write("spaces.csv", &|class| format!("{class}  "));
    write("plus.csv", &|class| format!("+{class}"));
    for data in ["float.csv", "spaces.csv", "plus.csv"] {
        assert_eq!(evaluate(data), expected, "{data}");
    }
}

#[test]
fn the_guess_of_a_task_is_said_and_a_class_for_each_row_refused() {
    let place = Place::new();
    place.write("ratings.csv", table(100, |i, _| (i % 5 + 1).to_string()));
    let ran = place.ok("train ratings.csv --dry-run --device cpu");
    let said = "note: y has 5 different whole numbers: used as classes; --task regression uses \
                them as numbers";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let ran = place.ok("train ratings.csv --dry-run --device cpu --task regression");
    assert!(!ran.stderr.contains("note: y"), "{}", ran.stderr);
    place.write("texts.csv", table(100, |i, _| format!("key{i}x")));
    refused(
        &place,
        "train texts.csv",
        &["a different class in each of its 100 rows", "an identifier"],
    );
    let args = "train texts.csv --task classification";
    refused(&place, args, &["a different class in each of its 100 rows"]);
    place.write("signs.csv", table(100, |_, y| if y > 0.0 { "+1" } else { "-1" }.into()));
    let json = place.ok(&format!("train signs.csv {TRAIN} signs")).json();
    assert!(json.last().unwrap()["valid"]["accuracy"].is_number());
    assert_eq!(place.model("signs").preprocessing.classes.unwrap(), ["-1", "1"]);
}

#[test]
fn columns_with_commas_spaces_and_numbers_for_names_are_found() {
    let place = Place::new();
    let rows = (0..40).map(|i| format!("{},{},{},{}\n", i % 7, i % 5, i % 3, i * 11 % 17));
    let header = "\"price, EUR\",2,dup,dup\n".to_string();
    place.write("names.csv", std::iter::once(header).chain(rows).collect::<String>());
    let target = |name: &str| {
        let args = "train names.csv --task regression --device cpu --dry-run --target";
        let ran = ran(place.command(args).arg(name).output().unwrap());
        assert_eq!(ran.code, 0, "{name}\n{}", ran.stderr);
        let line = ran.stdout.lines().find(|line| line.trim_end().ends_with("  target")).unwrap();
        (line.split("  ").find(|part| !part.is_empty()).unwrap().trim().to_string(), ran.stderr)
    };
    for (given, name) in [
        ("\"price, EUR\"", "price, EUR"),
        ("price, EUR", "price, EUR"),
        ("1", "price, EUR"),
        ("2", "2"),
        (" dup ", "dup"),
        ("dup.1", "dup.1"),
        ("3", "dup"),
    ] {
        assert_eq!(target(given).0, name, "{given}");
    }
    let said =
        "warning: columns 3 and 4 are both called \"dup\": the second is renamed to \"dup.1\"";
    assert!(target("1").1.contains(said));
    place.ok("train names.csv --task regression --layers none --device cpu --epochs 1 --out run");
    let keep = |names: &str| {
        let args = "predict run names.csv --device cpu --keep";
        let ran = ran(place.command(args).arg(names).output().unwrap());
        assert_eq!(ran.code, 0, "{names}\n{}", ran.stderr);
        ran.stdout.lines().next().unwrap().to_string()
    };
    assert_eq!(keep("1,dup,2"), "\"price, EUR\",dup,2,dup.1");
    assert_eq!(keep("\"price, EUR\",1"), "\"price, EUR\",dup.1");
    let ran = place.run("predict run names.csv --device cpu --keep price");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean \"price, EUR\"?"), "{}", ran.stderr);
}
