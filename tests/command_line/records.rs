//! `wgrad runs` and `wgrad compare`: the output for runs in any state.

use crate::cli_support::{Place, plane};
use std::fs;

/// A place with runs of several kinds in `runs`: two that are done, one that failed, one that was
/// killed, one of another version, one that is damaged, and a directory that isn't a run.
fn place() -> Place {
    let place = Place::new();
    place.write("plane.csv", plane());
    let train = "train plane.csv --device cpu --quiet --layers 8";
    place.ok(&format!("{train} --epochs 3 --lr 0.01"));
    place.ok(&format!("{train} --epochs 5 --lr 0.02 --out runs/second"));
    let diverged = place.run(&format!("{train} --optimizer sgd --lr 1e30 --out runs/diverged"));
    assert_eq!(diverged.code, 5, "{}", diverged.stderr);
    let (config, events) =
        (place.read("runs/second/config.toml"), place.read("runs/second/metrics.jsonl"));
    let killed: Vec<&str> = events.lines().take(3).collect();
    place.write("runs/killed/config.toml", &config);
    place.write("runs/killed/metrics.jsonl", killed.join("\n") + "\n{\"event\":\"epo");
    let other = config.replace("# wgrad ", "# wgrad 9.8.").replace("epochs = 5", "turns = 5");
    place.write("runs/newer/config.toml", other);
    place.write("runs/newer/metrics.jsonl", "{\"event\":\"begun\"}\n");
    place.write("runs/damaged/config.toml", [0u8, 255, 3]);
    place.write("runs/damaged/metrics.jsonl", [0u8, 255, 10, 91, 10]);
    place.write("runs/none/notes.txt", "no run");
    place
}

#[test]
fn runs_are_listed_newest_first_whatever_state_they_are_in() {
    let place = place();
    let table = place.ok("runs").stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("run ") && lines[0].contains("metric"), "{table}");
    let line =
        |name: &str| lines.iter().find(|l| l.starts_with(&format!("{name} "))).unwrap().to_string();
    for part in ["done", "plane.csv", "8:relu", "RMSE ", " s", "CPU"] {
        assert!(line("runs/plane-1").contains(part), "{part} in {table}");
    }
    assert!(line("runs/diverged").contains("failed"), "{table}");
    assert!(line("runs/killed").contains("unfinished, epoch 2"), "{table}");
    assert!(line("runs/newer").contains("unfinished"), "{table}");
    assert!(line("runs/damaged").contains("unfinished"), "{table}");
    assert_eq!(lines.len(), 7, "a directory without a run is none: {table}");

    let json = place.ok("runs runs --json").json();
    assert_eq!(json.len(), 6);
    assert!(json.iter().all(|run| run["event"] == "run"));
    let times: Vec<u64> = json.iter().map(|run| run["modified"].as_u64().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let second = json.iter().find(|run| run["run"] == "runs/second").unwrap();
    assert_eq!((&second["state"], &second["epochs"]), (&"done".into(), &5.into()));
    assert!(second["valid"]["rmse"].is_number() && second["seconds"].is_number(), "{second}");
    let newer = json.iter().find(|run| run["run"] == "runs/newer").unwrap();
    assert!(newer["version"].as_str().unwrap().starts_with("9.8."), "{newer}");
    let diverged = json.iter().find(|run| run["run"] == "runs/diverged").unwrap();
    assert!(diverged["error"].as_str().unwrap().contains("diverged"), "{diverged}");
}

#[test]
fn no_runs_are_no_error_and_no_directory_is_one() {
    let place = Place::new();
    let none = place.ok("runs");
    assert!(none.stdout.is_empty() && none.stderr.contains("no runs in runs"), "{}", none.stderr);
    fs::create_dir(place.path("empty")).unwrap();
    let empty = place.ok("runs empty");
    assert!(
        empty.stdout.is_empty() && empty.stderr.contains("no runs in empty"),
        "{}",
        empty.stderr
    );
    assert!(place.ok("runs empty --json").stdout.is_empty());
    place.write("file", "text");
    for missing in ["nowhere", "file"] {
        let refused = place.run(&format!("runs {missing}"));
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("no directory {missing}")), "{}", refused.stderr);
    }
}

#[test]
fn the_nets_of_an_ensemble_are_listed_within_its_run() {
    let place = Place::new();
    place.ok("train xor --device cpu --quiet --epochs 1 --ensemble 2 --out two");
    let all = place.ok("runs --json").json();
    assert_eq!((all.len(), &all[0]["run"], &all[0]["nets"]), (1, &"two".into(), &2.into()));
    assert_eq!(place.ok("runs two --json").json().len(), 3);
    assert!(place.ok("runs").stdout.contains("2 × 128:relu"), "{}", place.ok("runs").stdout);
    let rows = |of: &serde_json::Value| of["judged_rows"].as_u64().unwrap();
    assert_eq!(rows(&all[0]), rows(&place.ok("runs two/net-1 --json").json()[0]));
}

#[test]
fn a_comparison_shows_what_differs_in_settings_and_results() {
    let place = place();
    let ran = place.ok("compare runs/plane-1 runs/second");
    let line = |name: &str| {
        let found = ran.stdout.lines().find(|l| l.starts_with(&format!("{name} ")));
        found.unwrap_or_else(|| panic!("{name} in {}", ran.stdout)).to_string()
    };
    assert!(line("setting").contains("runs/plane-1") && line("setting").contains("runs/second"));
    assert!(line("lr").contains("0.01") && line("lr").contains("0.02"));
    assert!(!ran.stdout.contains("\nlayers "), "what is alike isn't shown: {}", ran.stdout);
    assert!(ran.stdout.contains("other settings alike"), "{}", ran.stdout);
    assert_eq!(line("RMSE").matches(" *").count(), 1, "the best is marked: {}", ran.stdout);
    assert!(line("epochs").contains('3') && line("epochs").contains('5'));
    assert!(ran.stdout.contains("\n* the best of these runs\n"), "{}", ran.stdout);
    assert!(line("rows").contains(" 6 "), "a tenth of 60 rows is judged: {}", ran.stdout);
    assert!(place.ok("compare --help").stdout.contains("A * marks the best"));

    let json = &place.ok("compare runs/plane-1 runs/second --json").json()[0];
    assert_eq!(json["settings"]["lr"], serde_json::json!(["0.01", "0.02"]));
    assert_eq!(json["valid"]["rmse"].as_array().unwrap().len(), 2);
    assert!(json["settings"]["layers"].is_null(), "{json}");
}

#[test]
fn a_run_in_runs_is_found_by_its_bare_name() {
    let place = Place::new();
    place.write("plane.csv", plane());
    place.ok("train plane.csv --device cpu --quiet --epochs 1");
    for command in [
        "compare plane-1 runs/plane-1",
        "inspect plane-1",
        "evaluate plane-1 plane.csv",
        "predict plane-1 plane.csv",
        "report plane-1",
        "train --resume plane-1 --epochs 2",
        "check-gradients plane-1",
        "export plane-1 -o plane.c",
    ] {
        let ran = place.ok(command);
        assert!(!ran.stdout.contains(" plane-1"), "it is shown as a path: {}", ran.stdout);
    }
    // A directory of data isn't mistaken for the run of that name.
    fs::create_dir(place.path("plane-1")).unwrap();
    place.ok("inspect plane-1");
    // A run that is in the current directory is preferred.
    place.ok("train plane.csv --device cpu --quiet --epochs 3 --out plane-2");
    place.ok("train plane.csv --device cpu --quiet --epochs 1 --out runs/plane-2");
    let epochs =
        place.ok("compare plane-2 runs/plane-2 --json").json()[0]["runs"][0]["epochs"].clone();
    assert_eq!(epochs, 3);
    for command in
        ["compare nowhere plane-1", "evaluate nowhere plane.csv", "train --resume nowhere"]
    {
        let refused = place.run(command);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("nowhere and runs/nowhere"), "{}", refused.stderr);
    }
}

#[test]
fn a_comparison_says_whether_a_difference_is_more_than_chance() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let train = "train plane.csv --device cpu --quiet --no-report --lr 0.01";
    for options in [
        "--validation 0.5 --epochs 1 --out poor",
        "--validation 0.5 --epochs 80 --out one",
        "--folds 3 --epochs 80 --out folds",
        "--ensemble 3:folds --epochs 80 --out three",
    ] {
        place.ok(&format!("{train} {options}"));
    }
    let ran = place.ok("compare poor one folds three");
    let (_, shown) = ran.stdout.split_once("\ndifference from poor, with 95% intervals").unwrap();
    for (name, text) in [("RMSE", ": better"), ("rows", "30 rows")] {
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert_eq!(line.matches(text).count(), 3, "{shown}");
    }
    let same = place.ok("compare one one --json").json().remove(0);
    let difference = &same["differences"][0];
    assert_eq!((&difference["rows"], &difference["from"]), (&30.into(), &"one".into()));
    assert_eq!(difference["metrics"]["rmse"]["interval"], serde_json::json!([0.0, 0.0]));
    fs::rename(place.path("plane.csv"), place.path("moved.csv")).unwrap();
    let ran = place.ok("compare poor one");
    assert!(
        ran.stdout.contains("difference of one from poor: not computed: poor: "),
        "{}",
        ran.stdout
    );
}

#[test]
fn runs_that_are_broken_or_of_another_version_can_be_compared_too() {
    let place = place();
    let ran = place.ok("compare runs/second runs/killed runs/newer runs/damaged runs/diverged");
    for part in ["turns", "unfinished", "failed", "–"] {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    assert!(ran.stderr.contains("runs/diverged failed: "), "{}", ran.stderr);
    let model = place.ok("compare runs/second/model.safetensors runs/plane-1");
    assert!(model.stdout.contains("lr"), "{}", model.stdout);
    let one = place.run("compare runs/second");
    assert_eq!(one.code, 2, "{}", one.stderr);
    assert!(one.stderr.contains("help: name two runs"), "{}", one.stderr);
    let none = place.run("compare runs/second runs/none");
    assert_eq!(none.code, 3, "{}", none.stderr);
    assert!(none.stderr.contains("no run runs/none"), "{}", none.stderr);
}

#[test]
fn a_note_says_where_runs_were_judged_on_other_rows() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let train = "train plane.csv --device cpu --quiet --epochs 1";
    place.ok(&format!("{train} --out a"));
    place.ok(&format!("{train} --validation 0.3 --out b"));
    let ran = place.ok("compare a b");
    assert!(ran.stderr.contains("note: the runs differ in validation"), "{}", ran.stderr);
    // The column that was chosen is the one that is named.
    let target = plane().lines().next().unwrap().rsplit(',').next().unwrap().to_string();
    place.ok(&format!("{train} --target {target} --out named"));
    let ran = place.ok("compare a named");
    assert!(!ran.stderr.contains("differ in"), "{}", ran.stderr);
    assert!(ran.stdout.contains("settings: none differ"), "{}", ran.stdout);
    place.ok(&format!("{train} --out c"));
    let alike = place.ok("compare a c");
    assert!(alike.stdout.starts_with("settings: none differ\n"), "{}", alike.stdout);
    assert!(!alike.stderr.contains("note:"), "{}", alike.stderr);
}
