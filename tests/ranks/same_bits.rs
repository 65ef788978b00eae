//! 2 and 4 processes give the bits of one.

use crate::cli_support::Place;
use crate::jobs::{run, run_in_buckets, weights};
use serde_json::Value;

/// A table of `rows` rows with a column of weights.
pub fn table(place: &Place, name: &str, rows: u32) {
    let mut text = String::from("x,y,kind,w,target\n");
    for i in 0..rows {
        let x = f64::from(i * 37 % 101) / 50.0 - 1.0;
        let y = f64::from(i * 53 % 97) / 48.0 - 1.0;
        let kind = ["a", "b", "c"][(i * 7 % 3) as usize];
        let target = if x * y + f64::from(i % 3) > 0.8 { "yes" } else { "no" };
        text += &format!("{x},{y},{kind},{},{target}\n", 0.5 + f64::from(i % 4));
    }
    place.write(name, text);
}

const JOBS: [(&str, &str); 6] = [
    ("adam with dropout", "digits --epochs 2 --layers 24:relu --dropout 0.2"),
    (
        "sgd with augmentation and a ragged last batch",
        "digits --epochs 2 --layers 20:tanh --optimizer sgd --lr 0.1 --augment shift(1) --batch-size 100",
    ),
    ("batch normalization", "digits --epochs 2 --layers 24:relu,16:relu --norm batch"),
    ("weights of rows", "table.csv --sample-weight w --epochs 6 --layers 16:relu --batch-size 48"),
    (
        "an early stop",
        "table.csv --epochs 60 --patience 3 --lr 0.02 --layers 32:relu --batch-size 32",
    ),
    (
        "a table beyond the memory limit",
        "large.csv --epochs 1 --memory-limit 1M --batch-size 512 --layers 16:relu --target target",
    ),
];

#[test]
fn several_processes_give_the_bits_of_one() {
    let place = Place::new();
    table(&place, "table.csv", 300);
    table(&place, "large.csv", 30_000);
    for (i, (name, args)) in JOBS.into_iter().enumerate() {
        let train = |size: usize| {
            format!("train {args} --device cpu --reproducible --quiet --no-report --out {i}-{size}")
        };
        let alone = place.run(&train(1));
        assert_eq!(alone.code, 0, "{name}: {}", alone.stderr);
        let expected = weights(&place.path(&format!("{i}-1")));
        for size in [2, 4] {
            let ran = run(&place, size, &train(size));
            assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
            let found = weights(&place.path(&format!("{i}-{size}")));
            assert!(found == expected, "{name}, {size} processes");
        }
    }
}

#[test]
fn several_processes_on_an_adapter_give_the_bits_of_one() {
    let place = Place::new();
    if !place.run("devices --json").stdout.contains("\"index\"") {
        let required = std::env::var("WGRAD_REQUIRE_GPU").is_ok_and(|value| value == "1");
        assert!(!required, "no Vulkan adapter");
        return eprintln!("skipped: no Vulkan adapter: processes on one");
    }
    table(&place, "table.csv", 300);
    let train = |size: usize| {
        format!(
            "train table.csv --device gpu --reproducible --epochs 2 --layers 16:relu --dropout 0.1 --quiet --no-report --out {size}"
        )
    };
    let alone = place.run(&train(1));
    assert_eq!(alone.code, 0, "{}", alone.stderr);
    for size in [2, 4] {
        let ran = run(&place, size, &train(size));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let path = |size: usize| place.path(&size.to_string());
        assert!(weights(&path(size)) == weights(&path(1)), "{size} processes");
    }
}

/// Sums that overlap with the backward pass change no bit, and are said once.
#[test]
fn overlapping_sums_give_the_bits_of_one_process() {
    let place = Place::new();
    table(&place, "table.csv", 300);
    for (i, (name, args)) in JOBS[..4].iter().enumerate() {
        let train = |out: &str| format!("train {args} --device cpu --no-report --out {i}-{out}");
        let alone = place.run(&format!("{} --reproducible", train("1")));
        assert_eq!(alone.code, 0, "{name}: {}", alone.stderr);
        let of = |out: &str| weights(&place.path(&format!("{i}-{out}")));
        for size in [2, 4] {
            let out = size.to_string();
            let ran = run_in_buckets(&place, size, &format!("{} --reproducible", train(&out)), 1);
            assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
            let said = ran.stderr.matches("overlapping with the backward pass").count();
            // Ranks wait for each other in the middle of a batch normalization.
            assert_eq!(said, usize::from(!args.contains("--norm batch")), "{name}: {}", ran.stderr);
            assert!(of(&out) == of("1"), "{name}, {size} processes");
        }
        // Two ranks have a single order of a sum; the fastest sums overlap, too.
        let ran = run(&place, 2, &format!("{} --reproducible=no", train("after")));
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let ran = run_in_buckets(&place, 2, &format!("{} --reproducible=no", train("beside")), 1);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        assert!(of("after") == of("beside"), "{name}, in the fastest order");
    }
}

/// The events without values that depend on the clock and the machine.
fn events(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let mut events: Vec<Value> = lines.collect();
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        for name in [
            "seconds",
            "samples_per_second",
            "run",
            "model",
            "time",
            "dispatches",
            "device",
            "bytes_read",
        ] {
            event.remove(name);
        }
    }
    events.retain(|event| event["event"] != "progress");
    events
}

#[test]
fn rank_0_alone_writes_and_speaks() {
    let place = Place::new();
    let train = |out: &str| {
        format!(
            "train digits --epochs 2 --layers 16 --device cpu --reproducible --json --out {out}"
        )
    };
    let alone = place.run(&train("alone"));
    let both = run(&place, 2, &train("both"));
    assert_eq!((alone.code, both.code), (0, 0), "{}\n{}", alone.stderr, both.stderr);
    assert_eq!(events(&both.stdout), events(&alone.stdout));
    let names = |run: &str| {
        let mut names: Vec<_> = std::fs::read_dir(place.path(run))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("both"), names("alone"));
    assert_eq!(
        events(&place.read("both/metrics.jsonl")),
        events(&place.read("alone/metrics.jsonl"))
    );
    // Said once.
    let once = ["device: ", "ranks: 2, "].map(|said| both.stderr.matches(said).count());
    assert_eq!(once, [1, 1], "{}", both.stderr);
}

#[test]
fn another_number_of_processes_goes_on_to_the_same_bits() {
    let place = Place::new();
    let train = "train digits --layers 24:relu --dropout 0.2 --device cpu --reproducible --quiet --no-report";
    assert_eq!(place.run(&format!("{train} --epochs 4 --out whole")).code, 0);
    let first = run(&place, 2, &format!("{train} --epochs 2 --out parts"));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let then = run(&place, 4, "train --resume parts --epochs 4 --quiet --no-report");
    assert_eq!(then.code, 0, "{}", then.stderr);
    assert!(weights(&place.path("parts")) == weights(&place.path("whole")));
    // A run that is finished has nothing to do, whichever rank looks.
    let again = run(&place, 2, "train --resume parts --no-report");
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(again.stderr.matches("is finished").count(), 1, "{}", again.stderr);
}

/// Without fixed sums the model is the same except for rounding.
#[test]
fn the_fastest_order_trains_the_same_net() {
    let place = Place::new();
    let train = "train digits --epochs 3 --layers 32:relu --device cpu --json --quiet --no-report";
    let accuracy = |text: &str| {
        let end: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        end["valid"]["accuracy"].as_f64().unwrap()
    };
    let alone = place.run(&format!("{train} --out alone"));
    let both = run(&place, 2, &format!("{train} --reproducible=no --out both"));
    assert_eq!((alone.code, both.code), (0, 0), "{}", both.stderr);
    let [alone, both] = [alone, both].map(|ran| accuracy(&ran.stdout));
    assert!((alone - both).abs() < 0.02, "{alone} {both}");
}

/// Nets of an ensemble and of folds are distributed, with the results of a single process.
#[test]
fn nets_are_dealt_out_and_gathered() {
    let place = Place::of_defaults();
    table(&place, "table.csv", 300);
    for (name, options) in [("ensemble", "--ensemble 3:folds"), ("folds", "--folds 3")] {
        let train = |out: &str| {
            format!(
                "train table.csv {options} --epochs 2 --layers 16:relu --device cpu --json --no-report --out {out}"
            )
        };
        let [one, both] = [1, 2].map(|size| format!("{name}-{size}"));
        let alone = place.run(&train(&one));
        let ran = run(&place, 2, &train(&both));
        assert_eq!((alone.code, ran.code), (0, 0), "{name}: {}\n{}", alone.stderr, ran.stderr);
        assert!(weights(&place.path(&one)) == weights(&place.path(&both)), "{name}");
        let end = |text: &str| -> Value {
            let end: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(end["event"], "end", "{name}");
            let end = end.as_object().unwrap();
            let same = ["valid", "folds", "steps", "epochs", "nets", "ending", "temperature"];
            same.into_iter().map(|key| (key.to_string(), end.get(key).cloned())).collect()
        };
        assert_eq!(end(&ran.stdout), end(&alone.stdout), "{name}");
    }
    let refused = run(&place, 2, "train table.csv --ensemble 2 --keep-checkpoints 0 --out refused");
    assert!(refused.stderr.contains("--keep-checkpoints 0"), "{}", refused.stderr);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}
