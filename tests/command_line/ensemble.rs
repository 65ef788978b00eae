//! `train --ensemble`: several nets in one model, and `--calibrate`.

use crate::cli_support::{self, Place};
use std::fs;

/// A table of three classes that overlap: (a, b) and the class.
fn classes(rows: usize) -> String {
    let rows = (0..rows).map(|i| {
        let (a, b) = (i * 37 % 101, i * 53 % 89);
        let class = ["red", "green", "blue"][(a + i % 7 * 9) / 20 % 3];
        format!("{a},{b},{class}\n")
    });
    std::iter::once("a,b,class\n".to_string()).chain(rows).collect()
}

const QUICK: &str = "--device cpu --threads 2 --epochs 3 --layers 8 --quiet --calibrate none";

/// The numbers in the columns of probabilities, or of the prediction, of each row.
fn predictions(place: &Place, run: &str, data: &str) -> Vec<Vec<f64>> {
    let ran = place.ok(&format!("predict {run} {data} --device cpu"));
    let numbers = |line: &str| line.split(',').filter_map(|cell| cell.parse().ok()).collect();
    ran.stdout.lines().skip(1).map(numbers).collect()
}

fn check_is_mean(place: &Place, data: &str, nets: usize) {
    let each: Vec<_> =
        (1..=nets).map(|i| predictions(place, &format!("run/net-{i}"), data)).collect();
    let found = predictions(place, "run", data);
    assert!(found.len() > 10 && each.windows(2).all(|pair| pair[0] != pair[1]));
    for (row, found) in found.iter().enumerate() {
        assert!(!found.is_empty());
        for (i, x) in found.iter().enumerate() {
            let mean = each.iter().map(|net| net[row][i]).sum::<f64>() / nets as f64;
            assert!((x - mean).abs() < 1e-5 * mean.abs().max(1.0), "{x} {mean}");
        }
    }
}

#[test]
fn an_ensemble_predicts_the_mean_of_its_nets_for_classes_and_numbers() {
    for (data, text) in [("t.csv", classes(90)), ("t.csv", cli_support::plane())] {
        let place = Place::of_defaults();
        place.write(data, text);
        place.ok(&format!("train {data} --out run --ensemble 3 {QUICK}"));
        check_is_mean(&place, data, 3);
        assert_eq!(place.model("run").members.len(), 3);
    }
}

#[test]
fn nets_by_folds_judge_each_row_by_the_net_that_did_not_see_it() {
    let place = Place::of_defaults();
    place.write("t.csv", classes(90));
    let end = place.ok(&format!("train t.csv --out run --ensemble 3:folds --json {QUICK}"));
    let lines = end.json();
    let names: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["net", "net", "net", "end"]);
    check_is_mean(&place, "t.csv", 3);
    // The log loss over all rows is that of the folds together.
    let mut sum = 0.0;
    for net in 1..=3 {
        let run = place.read(&format!("run/net-{net}/metrics.jsonl"));
        let of_start: serde_json::Value =
            serde_json::from_str(run.lines().next().unwrap()).unwrap();
        let rows = of_start["validation_rows"].as_f64().unwrap();
        let best = &lines[net - 1]["best"]["epoch"];
        let epoch = run.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        let mut epochs = epoch.filter(|l| l["event"] == "epoch" && l["epoch"] == *best);
        sum += rows * epochs.next().unwrap()["valid_loss"].as_f64().unwrap();
    }
    let found = lines[3]["valid"]["log_loss"].as_f64().unwrap();
    assert!((found - sum / 90.0).abs() < 1e-5, "{found}, {}", sum / 90.0);
}

#[test]
fn a_net_of_an_ensemble_can_be_trained_alone() {
    let place = Place::of_defaults();
    place.write("t.csv", classes(60));
    for ensemble in ["3", "3:folds"] {
        let force = format!("--ensemble {ensemble} --force {QUICK}");
        place.ok(&format!("train t.csv --out run {force}"));
        place.ok(&format!("train t.csv --out alone --member 2 {force}"));
        assert_eq!(place.model("alone"), place.model("run/net-2"), "{ensemble}");
        let nets = &place.model("run").members;
        assert_eq!(nets[1..2], place.model("alone").members[..]);
        // The first net of seeds is what is trained without the option.
        if ensemble == "3" {
            place.ok(&format!("train t.csv --out one --ensemble 1 --force {QUICK}"));
            assert_eq!(place.model("one").members[..], nets[..1]);
        }
        // The configuration that was written trains the same again.
        place.ok("train --config run/config.toml --out again --force --quiet");
        assert_eq!(place.model("again"), place.model("run"), "{ensemble}");
    }
}

#[test]
fn an_ensemble_that_was_cut_off_comes_to_the_same_model() {
    let place = Place::of_defaults();
    place.write("t.csv", classes(60));
    for ensemble in ["3", "3:folds"] {
        let options = format!("--ensemble {ensemble} --checkpoint-every 1epochs {QUICK}");
        place.ok(&format!("train t.csv --out run --force {options}"));
        let whole = fs::read(place.path("run/model.safetensors")).unwrap();
        // As a process leaves it that is killed: a net is done, one has a checkpoint in its middle and half
        // a line behind it, one isn't begun.
        fs::remove_file(place.path("run/model.safetensors")).unwrap();
        fs::remove_dir_all(place.path("run/net-3")).unwrap();
        fs::remove_file(place.path("run/net-2/model.safetensors")).unwrap();
        let checkpoints = place.names("run/net-2/checkpoint");
        fs::remove_file(place.path("run/net-2/checkpoint").join(checkpoints.last().unwrap()))
            .unwrap();
        let events = place.read("run/net-2/metrics.jsonl");
        place.write("run/net-2/metrics.jsonl", &events[..events.len() - 5]);
        place.ok("train --resume run --quiet");
        assert_eq!(fs::read(place.path("run/model.safetensors")).unwrap(), whole, "{ensemble}");
        let lines = place.read("run/metrics.jsonl");
        assert_eq!(lines.lines().count(), 4, "{lines}");
        assert!(lines.lines().last().unwrap().starts_with("{\"event\":\"end\""), "{lines}");
    }
}

/// Without a terminal each net is told as it ends, then the epochs that were kept; a finished run stays as it is.
#[test]
fn the_nets_of_an_ensemble_are_told_one_by_one() {
    let place = Place::of_defaults();
    place.write("t.csv", classes(90));
    let options = QUICK.replace(" --quiet", "").replace("--epochs 3", "--epochs 12");
    let ran = place.ok(&format!("train t.csv --out run --ensemble 3:folds --lr 0.3 {options}"));
    let told = |net: usize| ran.stderr.contains(&format!("net {net}/3  12 epochs, "));
    assert!((1..=3).all(told) && ran.stderr.contains(": validation loss "), "{}", ran.stderr);
    let kept = ran.stdout.lines().find(|line| line.starts_with("kept ")).unwrap();
    let best = (1..=3).map(|net| {
        let events = place.read(&format!("run/net-{net}/metrics.jsonl"));
        let end: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        end["best"]["epoch"].to_string()
    });
    let best = best.collect::<Vec<_>>().join(", ");
    let expected = format!("epochs {best} of 12, the best of each net by validation loss");
    assert!(kept.ends_with(&expected), "{kept}: {expected}");
    let (model, events) =
        (fs::read(place.path("run/model.safetensors")).unwrap(), place.read("run/metrics.jsonl"));
    let again = place.ok("train --resume run");
    assert!(again.stderr.contains("run is finished: give more --epochs"), "{}", again.stderr);
    assert_eq!(fs::read(place.path("run/model.safetensors")).unwrap(), model);
    assert_eq!(place.read("run/metrics.jsonl"), events);
    let more = place.ok("train --resume run --epochs 14 --json --device cpu");
    let [before, after] = [&events, &more.stdout].map(|text| {
        let end: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        end["seconds"].as_f64().unwrap()
    });
    assert!(after > before, "{before} {after}");
}

#[test]
fn calibration_divides_the_logits_and_lowers_the_log_loss() {
    let place = Place::of_defaults();
    // A net that learns its rows by heart is too sure of itself.
    place.write("t.csv", classes(120));
    let options = "--device cpu --quiet --layers 64,64 --epochs 60 --lr 0.01 --keep last \
                   --json --force";
    let end = |out: &str, more: &str| {
        let ran = place.ok(&format!("train t.csv --out {out} {options} {more}"));
        ran.json().last().unwrap().clone()
    };
    for more in ["", "--ensemble 2", "--ensemble 3:folds"] {
        let plain = end("plain", &format!("{more} --calibrate none"));
        let found = end("warm", &format!("{more} --calibrate temperature"));
        assert_eq!(plain["temperature"], serde_json::Value::Null);
        let temperature = found["temperature"].as_f64().unwrap();
        let [before, after] =
            [&plain, &found].map(|end| end["valid"]["log_loss"].as_f64().unwrap());
        assert!(temperature > 1.1 && after < before, "{more}: {temperature} {before} {after}");
        if !more.contains("ensemble") {
            assert_eq!(plain["valid"]["accuracy"], found["valid"]["accuracy"]);
            assert!((after - found["valid"]["loss"].as_f64().unwrap()).abs() < 1e-5);
        }
        let (plain, warm) = (place.model("plain"), place.model("warm"));
        for (a, b) in plain.members.iter().zip(&warm.members) {
            let pairs = a.last().unwrap().weight.data().iter().zip(b.last().unwrap().weight.data());
            pairs.for_each(|(a, b)| assert_eq!(a / temperature as f32, *b));
        }
        let inspected = place.ok("inspect warm --json").json();
        assert_eq!(inspected[0]["temperature"].as_f64(), Some(temperature), "{more}");
    }
}

#[test]
fn an_ensemble_that_makes_no_sense_is_refused_with_the_way_out() {
    let place = Place::of_defaults();
    place.write("t.csv", classes(60));
    for (options, says) in [
        ("--member 2", "--member 2 needs --ensemble"),
        ("--ensemble 3 --member 4", "counted from 1 to 3"),
        ("--ensemble 3 --folds 4", "--folds cannot be used with --ensemble 3"),
        ("--ensemble 3:folds --validation 0.2", "--folds cannot be used with --validation"),
        ("--ensemble 1:folds", "an ensemble by folds needs at least 2 nets, not 1"),
        ("--ensemble 0:folds", "5:folds"),
        ("--ensemble 0", "an ensemble cannot have 0 nets"),
        ("--ensemble 1001", "an ensemble of 1001 nets is too large: at most"),
        ("--ensemble many", "not a number of nets"),
        ("--ensemble 3 --memory-limit 1K", "--memory-limit"),
    ] {
        let ran = place.run(&format!("train t.csv --out run {options} {QUICK}"));
        assert_eq!(ran.code, 2, "{options}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{options}: {}", ran.stderr);
        assert!(!place.path("run").exists(), "{options}");
    }
}

#[test]
fn a_small_table_gets_the_nets_of_three_folds_and_says_why() {
    let place = Place::of_defaults();
    place.write("t.csv", cli_support::plane());
    let ran = place.ok("train t.csv --device cpu --out run");
    assert!(
        ran.stderr.contains("ensemble: 3 nets, each with a different fold held out"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("(60 rows)"), "all rows are judged: {}", ran.stdout);
    let config = place.read("run/config.toml");
    for line in [
        "ensemble = \"3:folds\"",
        "layers = \"128:relu,128:relu\"",
        "epochs = 100",
        "#   ensemble     3:folds         each net holds out a different part",
    ] {
        assert!(config.contains(line), "no {line} in {config}");
    }
    let plan = place.ok("train t.csv --device cpu --dry-run");
    for says in [
        "about 1500 steps, within",
        "40 rows for training of each net, 20 rows for validation",
        "1 step of 40 rows in each of 100 epochs, for each of 3 nets",
    ] {
        assert!(plan.stdout.contains(says), "{says}: {}", plan.stdout);
    }
    let ran = place.ok("train t.csv --device cpu --validation 0.2 --out one");
    assert!(
        !ran.stderr.contains("ensemble: ") && ran.stdout.contains("(12 rows)"),
        "{}",
        ran.stdout
    );
}

#[test]
fn predicted_numbers_stay_near_the_range_that_was_seen() {
    let place = Place::of_defaults();
    let rows = (0..60).map(|i| format!("{i},{}\n", 2 * i + 1));
    place.write("t.csv", std::iter::once("x,y\n".to_string()).chain(rows).collect::<String>());
    place.write("far.csv", "x\n-1000000\n30\n1000000\n");
    let predict = |run: &str| -> Vec<f64> {
        let ran = place.ok(&format!("predict {run} far.csv --device cpu"));
        ran.stdout.lines().skip(1).map(|line| line.parse().unwrap()).collect()
    };
    place.ok("train t.csv --target y --device cpu --quiet --scaling standard --out run");
    // y is from 1 to 119; a tenth of that range lies beyond on either side.
    let y = predict("run");
    assert!((y[0] + 10.8).abs() < 1e-3 && (y[2] - 130.8).abs() < 1e-3, "{y:?}");
    assert!((y[1] - 61.0).abs() < 10.0, "{y:?}");
    // A linear model goes on.
    let linear = "--layers none --lr 0.1 --ensemble 1 --scaling standard";
    place.ok(&format!("train t.csv --target y --device cpu --quiet {linear} --out linear"));
    assert!(predict("linear")[2] > 1e6, "{:?}", predict("linear"));
}
