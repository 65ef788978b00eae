//! Splits, baselines, reports, folds and warnings on the command line.

use crate::cli_support::{Place, plane};
use serde_json::Value;

/// 120 rows of three classes of unequal size that two columns distinguish with some overlap, and
/// columns by which to split.
fn sales() -> String {
    let mut text = String::from("size,weight,customer,day,part,kind\n");
    for i in 0..120u32 {
        let kind = [0, 0, 1, 0, 2, 1][i as usize % 6];
        let noise = f64::from(i * 37 % 23) / 10.0;
        let (size, weight) = (f64::from(kind) + noise, f64::from(i * 53 % 29) - f64::from(kind));
        let day = format!("2024-{:02}-{:02}", 1 + i % 12, 1 + i / 12 % 28);
        let part = ["train", "train", "validation", "train", "test"][i as usize % 5];
        text += &format!("{size},{weight},c{},{day},{part},k{kind}\n", i % 17);
    }
    text
}

fn end(events: &[Value]) -> &Value {
    events.last().unwrap()
}

#[test]
fn a_run_ends_beside_its_baselines_and_evaluate_tells_all() {
    let place = Place::new();
    let trained = place.ok("train --device cpu --epochs 4");
    assert!(trained.stderr.contains("180 for validation (stratified)"), "{}", trained.stderr);
    assert!(trained.stdout.contains("(majority class 10."), "{}", trained.stdout);
    assert!(trained.stdout.contains("linear model 9"), "{}", trained.stdout);
    assert!(!trained.stderr.contains("warning"), "{}", trained.stderr);
    let shown = place.ok("evaluate runs/digits-1 digits --device cpu").stdout;
    for part in ["majority class   linear model", "calibration error", "predicted", "ROC AUC"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let json = &place.ok("evaluate runs/digits-1 digits --device cpu --json").json()[0];
    let report = &json["report"];
    assert_eq!(report["confusion"].as_array().unwrap().len(), 10);
    assert_eq!(json["class_names"][9], "9");
    assert_eq!(report["classes"][0]["support"], 178.0);
    let accuracy = |v: &Value| v["accuracy"].as_f64().unwrap();
    assert_eq!(accuracy(json), accuracy(report));
    assert!(accuracy(json) > accuracy(&json["baselines"]["majority_class"]));
    // The linear model is a model like any other.
    let linear = "evaluate runs/digits-1/linear.safetensors digits --device cpu --json";
    assert_eq!(accuracy(&place.ok(linear).json()[0]), accuracy(&json["baselines"]["linear_model"]));
}

#[test]
fn numbers_are_judged_in_their_own_units_beside_the_mean() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let events =
        place.ok("train plane.csv --device cpu --scaling standard --json --out run").json();
    let end = end(&events);
    for name in ["rmse", "mae", "median_absolute_error", "r2"] {
        assert!(end["valid"][name].is_number(), "{name} in {end}");
    }
    // A plane is linear: the net can't beat that, and hears so.
    let linear = end["baselines"]["linear_model"]["rmse"].as_f64().unwrap();
    let mean = end["baselines"]["mean"]["rmse"].as_f64().unwrap();
    assert!(linear < 0.05 * mean, "{linear} {mean}");
    let shown = place.ok("evaluate run plane.csv --device cpu");
    assert!(shown.stdout.contains("R²") && shown.stdout.contains("MAPE"), "{}", shown.stdout);
    let note = "a linear model is better (RMSE ";
    let texts = [note, "the net's", "--layers none trains one"];
    assert!(texts.iter().all(|text| shown.stderr.contains(text)), "{}", shown.stderr);
    assert!(shown.stderr.contains("these rows (plane) include those that the net was trained on"));
}

#[test]
fn any_metric_of_the_report_can_be_watched_and_choose_the_epoch() {
    let place = Place::new();
    place.write("sales.csv", sales());
    place.write("plane.csv", plane());
    let sales = "sales.csv --ignore customer,day,part --validation 0.3";
    for (data, metric, larger) in [
        (sales, "f1", true),
        (sales, "roc_auc", true),
        (sales, "log_loss", false),
        ("plane.csv", "median_absolute_error", false),
    ] {
        // Calibration would change what was measured.
        let options = "--device cpu --epochs 12 --lr 0.02 --calibrate none";
        let train = format!("train {data} {options} --metric {metric}");
        let events = place.ok(&format!("{train} --json")).json();
        let each: Vec<f64> =
            events[1..13].iter().map(|epoch| epoch[metric].as_f64().unwrap()).collect();
        let best = each.iter().copied().reduce(if larger { f64::max } else { f64::min }).unwrap();
        let end = end(&events);
        assert_eq!(end["best"]["metric"], metric);
        assert_eq!(end["best"]["value"], best, "{metric}: {each:?}");
        let judged = end["valid"][metric].as_f64().unwrap();
        assert!((judged - best).abs() < 1e-9, "{metric}: {judged} {best}");
    }
    let stopped = place.ok(&format!("train {sales} --device cpu --stop-at f1=0.3 --json")).json();
    assert_eq!(end(&stopped)["ending"], "stopped");
    for (args, text) in [
        ("--metric f1_weight", "did you mean f1_weighted?"),
        ("--metric rmse", "they have loss, accuracy, balanced_accuracy, f1"),
        ("--stop-at rmse=1", "rmse is not a metric of these data"),
        ("--stop-at auc=1", "unknown metric \"auc\""),
    ] {
        let refused = place.run(&format!("train {sales} {args}"));
        assert!(refused.code == 2 && refused.stderr.contains(text), "{args}: {}", refused.stderr);
    }
}

#[test]
fn a_plan_shows_class_weights_and_residual_blocks() {
    let place = Place::new();
    place.write("sales.csv", sales());
    let train = "train sales.csv --ignore customer,day,part --device cpu --dry-run";
    let plan = place.ok(&format!("{train} --class-weight k0=2,k1=0.5")).stdout;
    assert!(plan.contains("\nweights    of classes: k0 2, k1 0.5, k2 1\n"), "{plan}");
    let plan = place.ok(&format!("{train} --class-weight balanced --json")).json();
    let weight = |class: &str| plan[0]["class_weights"][class].as_f64().unwrap();
    assert!(weight("k0") < weight("k1") && weight("k1") < weight("k2"), "{}", plan[0]);
    let plan = place.ok("train --device cpu --layers 8,8,8 --residual 2 --dry-run").stdout;
    assert!(plan.contains("residual blocks of 2 layers after the first hidden layer"), "{plan}");
    assert!(!plan.contains("weights    of"), "{plan}");
}

#[test]
fn a_column_can_decide_the_split_and_is_then_not_learnt_from() {
    let place = Place::new();
    place.write("sales.csv", sales());
    let rows = |options: &str| {
        let args = format!("train sales.csv --device cpu --dry-run --json {options}");
        let plan = place.ok(&args).json().remove(0);
        let rows = |name: &str| plan[name].as_u64().unwrap();
        (rows("rows"), rows("validation_rows"), rows("test_rows"), plan["net"]["inputs"].clone())
    };
    let (training, validation, test, _) = rows("--split column:part --ignore customer,day");
    assert_eq!((training, validation, test), (72, 24, 24));
    let ignore = "--ignore part,day --columns size,weight";
    let (training, validation, _, inputs) = rows(&format!("--split group:customer {ignore}"));
    assert!((4..=20).contains(&validation) && training + validation == 120, "{validation}");
    assert_eq!(inputs, 2);
    let (training, validation, ..) =
        rows("--split time:day --validation 0.25 --ignore customer,part");
    assert_eq!((training, validation), (90, 30));
    // What was held out is told by the run.
    let run = place.ok("train sales.csv --device cpu --epochs 2 --split column:part --ignore \
                        customer,day --json --out run");
    let events = run.json();
    assert!(end(&events)["valid"]["accuracy"].is_number());
    assert!(end(&events)["test_baselines"]["majority_class"]["accuracy"].is_number());
    assert!(place.read("run/config.toml").contains("split = \"column:part\""));
    place.ok("predict run sales.csv --device cpu");
}

/// Metrics that are impossible for the held-out rows are refused before the training, not after its first
/// epoch.
#[test]
fn a_metric_that_the_held_out_rows_do_not_have_is_refused_before_the_run() {
    let place = Place::new();
    let row = |i: u32| {
        let part = if i.is_multiple_of(8) { "validation" } else { "train" };
        format!("{},{part},{}\n", i * 7 % 31, if i % 4 == 1 { "b" } else { "a" })
    };
    let rows: String = std::iter::once("x,part,y\n".into()).chain((0..200).map(row)).collect();
    place.write("one.csv", rows);
    for option in ["--metric roc_auc", "--stop-at roc_auc=0.9"] {
        let refused =
            place.run(&format!("train one.csv --split column:part --device cpu {option}"));
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        for text in ["the held-out rows have no roc_auc", option, "help: hold out rows of every"] {
            assert!(refused.stderr.contains(text), "no {text:?} in {}", refused.stderr);
        }
    }
    assert!(!place.path("runs").exists(), "no run directory was left behind");
    place.ok("train one.csv --split column:part --device cpu --quiet --epochs 1 --metric f1");
    place.ok("train one.csv --device cpu --quiet --epochs 1 --metric roc_auc");
}

/// The limit applies to each net, as stated in the help; a run of folds can't be resumed.
#[test]
fn folds_under_a_time_limit_end_with_a_model_to_predict_with() {
    let place = Place::new();
    place.write("sales.csv", sales());
    let train = "train sales.csv --ignore customer,day,part --device cpu --epochs 1000000";
    let ran = place.ok(&format!("{train} --folds 2 --time-limit 0.2s --out run"));
    assert!(ran.stdout.contains("next        wgrad predict run DATA"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("--resume"), "{}", ran.stdout);
    place.ok("predict run sales.csv --device cpu");
    assert!(place.ok("train --help").stdout.contains("2h; applies to each net of"));
}

#[test]
fn folds_are_judged_one_by_one_and_as_a_whole() {
    let place = Place::new();
    place.write("sales.csv", sales());
    let train = "train sales.csv --ignore customer,day,part --device cpu --epochs 20 --folds 4";
    let run = place.ok(&format!("{train} --json --out run"));
    let events = run.json();
    let names: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["fold", "fold", "fold", "fold", "end"]);
    let accuracy = |v: &Value| v["accuracy"].as_f64().unwrap();
    let each: Vec<f64> = events[..4].iter().map(|e| accuracy(&e["valid"])).collect();
    assert!(events[..4].iter().all(|e| e["rows"] == 30));
    let end = end(&events);
    let mean = each.iter().sum::<f64>() / 4.0;
    assert!((accuracy(&end["mean"]) - mean).abs() < 1e-12);
    // Folds of one size: the accuracy over all rows is the mean over the folds.
    assert!((accuracy(&end["valid"]) - mean).abs() < 1e-12, "{end}");
    assert_eq!(end["report"]["rows"], 120);
    assert!(end["baselines"]["linear_model"]["accuracy"].is_number());
    // The epoch of a net is chosen by a tenth of its training rows, and the fold only evaluates it.
    let lines = |run: &str| -> Vec<Value> {
        let text = place.read(&format!("{run}/metrics.jsonl"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of_fold = lines("run/fold-2");
    assert_eq!((&of_fold[0]["rows"], &of_fold[0]["validation_rows"]), (&81.into(), &9.into()));
    let last = of_fold.last().unwrap();
    assert_eq!((accuracy(&last["test"]), &last["test_rows"]), (each[1], &30.into()));
    assert_eq!(last["best"]["metric"], "loss");
    let of_last = lines("run");
    assert_eq!((&of_last[0]["rows"], &of_last[0]["validation_rows"]), (&108.into(), &12.into()));
    assert!(of_last.last().unwrap()["valid"].is_null(), "those rows chose the epoch");
    // The whole is listed with the metrics of all rows.
    let listed = place.ok("runs run --json").json();
    let find = |run: &str| listed.iter().find(|line| line["run"] == run).unwrap();
    assert_eq!(accuracy(&find("run")["valid"]), accuracy(&end["valid"]));
    assert_eq!(find("run")["judged_rows"], 120);
    assert_eq!(accuracy(&find("run/fold-2")["valid"]), each[1]);
    let files = [
        "README.md",
        "columns.txt",
        "config.toml",
        "fold-1",
        "fold-2",
        "fold-3",
        "fold-4",
        "folds.json",
    ];
    assert_eq!(place.names("run")[..8], files);
    place.model("run/fold-4");
    place.ok("predict run sales.csv --device cpu");
    place.ok("evaluate run/fold-2 sales.csv --device cpu");
    // Every row stands in its place, as the net that didn't see it predicts it.
    let text = place.read("run/out-of-fold.csv");
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    assert!(header.starts_with("row,fold,kind,class,p_"), "{header}");
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 120);
    let right = rows.iter().filter(|row| row[2] == row[3]).count();
    assert!((right as f64 / 120.0 - accuracy(&end["valid"])).abs() < 1e-12);
    let predicted = place.ok("predict run/fold-2 sales.csv --device cpu").stdout;
    for (i, (row, line)) in rows.iter().zip(predicted.lines().skip(1)).enumerate() {
        assert_eq!(row[0], (i + 1).to_string());
        assert_eq!(row[1] == "2", row[3..].join(",") == line, "row {}", i + 1);
    }
    // The configuration of a fold trains the net of that fold.
    place.ok("train --config run/fold-2/config.toml --quiet --out alone");
    assert_eq!(place.model("alone"), place.model("run/fold-2"));
    let refused = place.run("train sales.csv --folds 4 --fold 5");
    assert!(refused.code == 2 && refused.stderr.contains("from 1 to 4"), "{}", refused.stderr);
    assert_eq!(place.run("train sales.csv --fold 1").code, 2);
    // The same options give the same folds, and the run can be replaced.
    let model = place.model("run");
    let again = place.ok(&format!("{train} --out run --force"));
    assert_eq!(place.model("run"), model);
    assert!(again.stdout.contains("± ") && again.stdout.contains("all rows"), "{}", again.stdout);
    assert!(again.stdout.lines().all(|line| line.chars().count() <= 80), "{}", again.stdout);
}

#[test]
fn rows_in_both_parts_and_columns_that_tell_the_target_are_warned_of() {
    let place = Place::new();
    let mut rows: Vec<String> = sales().lines().skip(1).map(str::to_string).collect();
    let with_copy = |rows: &[String]| {
        let line =
            |row: &String| format!("{},{}\n", row.replace(",k", ",x"), &row[row.len() - 2..]);
        let header = "size,weight,customer,day,part,copy,kind\n".to_string();
        header + &rows.iter().map(line).collect::<String>()
    };
    place.write("copy.csv", with_copy(&rows));
    let train = "train copy.csv --device cpu --quiet --epochs 1 --ignore customer,day,part";
    let told = place.ok(train).stderr;
    assert!(told.contains("warning: column 6 (copy) alone determines the target"), "{told}");
    assert!(!told.contains("are also in"), "{told}");
    rows.extend_from_within(..);
    place.write("twice.csv", "size,weight,customer,day,part,kind\n".to_string() + &rows.join("\n"));
    let told = place.ok("train twice.csv --device cpu --quiet --epochs 1 --ignore day,part").stderr;
    assert!(told.contains("validation rows are also in the training data"), "{told}");
    let mut rare = "a,kind\n".to_string();
    (0..300).for_each(|i| {
        rare += &format!("{},{}\n", i * 7 % 113, if i % 50 == 0 { "x" } else { "y" })
    });
    place.write("rare.csv", rare);
    let told = place.ok("train rare.csv --device cpu --quiet --epochs 1").stderr;
    assert!(told.contains("of the training rows are of class \"y\""), "{told}");
}

#[test]
fn splits_that_make_no_sense_are_refused_with_what_to_do() {
    let place = Place::new();
    place.write("sales.csv", sales());
    place.write("plane.csv", plane());
    for (args, code, texts) in [
        ("train --split group:x", 2, &["digits is not a table", "help: "][..]),
        ("train sales.csv --split group:customr", 2, &["customer"]),
        ("train sales.csv --split grup:customer", 2, &["unknown split"]),
        ("train sales.csv --split time:kind2", 2, &["kind2"]),
        ("train sales.csv --split time:customer", 3, &["line 2", "customer", "is not a time"]),
        ("train sales.csv --split column:customer", 3, &["is not the name of a part", "row 1"]),
        (
            "train sales.csv --split column:part --validation 0.2",
            2,
            &["--validation cannot be used with"],
        ),
        ("train plane.csv --split stratified", 2, &["needs classes"]),
        ("train --folds 1", 2, &["1 fold of 1,797 rows", "at least 2"]),
        ("train --folds 5 --validation 0.2", 2, &["--folds cannot be used with --validation"]),
        ("train sales.csv --folds 5 --split time:day", 2, &["--folds cannot be used with --split"]),
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, code, "wgrad {args}\n{}{}", ran.stdout, ran.stderr);
        for text in texts {
            assert!(ran.stderr.contains(text), "wgrad {args}: no {text:?} in\n{}", ran.stderr);
        }
    }
    assert!(!place.path("runs").exists(), "no run directory was left behind");
}

#[test]
fn a_fraction_of_the_rows_is_a_test() {
    let place = Place::of_defaults();
    place.write("sales.csv", sales());
    let train = "train sales.csv --ignore customer,day,part --device cpu --epochs 2 --test 0.25";
    for (options, validation, out) in [
        ("", 90, "three"),
        ("--ensemble 1", 9, "one"),
        ("--ensemble 2 --validation 0.2", 18, "two"),
    ] {
        let ran = place.ok(&format!("{train} {options} --out {out}"));
        assert!(ran.stderr.contains(", 30 for a test"), "{options}: {}", ran.stderr);
        assert!(ran.stdout.contains("\ntest "), "{options}: {}", ran.stdout);
        let events = place.read(&format!("{out}/metrics.jsonl"));
        let end: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        assert_eq!((&end["test_rows"], &end["valid_rows"]), (&30.into(), &validation.into()));
        assert!(place.read(&format!("{out}/config.toml")).contains("test = 0.25"));
        // Its rows are found again.
        let report = || -> serde_json::Value {
            serde_json::from_str(&place.read(&format!("{out}/report.json"))).unwrap()
        };
        let before = report();
        place.ok(&format!("report {out} --device cpu"));
        assert_eq!(report()["evaluations"][1]["metrics"], before["evaluations"][1]["metrics"]);
        assert_eq!(before["rows"]["test"], 30);
    }
    for (options, text) in [
        ("--folds 2", "--test 0.25 cannot be used with --folds"),
        ("--split column:part", "--test 0.25 cannot be used with --split column:part"),
    ] {
        let refused = place.run(&format!("{} {options}", train.replace(",part", "")));
        assert!(
            refused.code == 2 && refused.stderr.contains(text),
            "{options}: {}",
            refused.stderr
        );
    }
}

#[test]
fn a_preset_says_which_of_its_parts_are_off() {
    let place = Place::of_defaults();
    place.write("sales.csv", sales());
    let train = "train sales.csv --preset strong --ignore customer,part --device cpu --dry-run";
    let said = place.ok(&format!("{train} --split time:day")).stderr;
    let note = "note: --preset strong: one net instead of the average of 10, as --split time:day chooses the \
                held-out rows\n";
    assert!(said.contains(note) && !said.contains("calibrated"), "{said}");
    let said = place.ok(&format!("{train} --validation 0")).stderr;
    assert!(said.contains("as --validation 0 chooses the held-out rows\n"), "{said}");
    assert!(
        said.contains(
            "the last epoch is kept instead of the best, and the probabilities aren't calibrated"
        ),
        "{said}"
    );
    for options in ["", "--ensemble 1"] {
        let said = place.ok(&format!("{train} {options}")).stderr;
        assert!(!said.contains("note: --preset"), "{options}: {said}");
    }
}
