//! Training on more rows than are held in memory.

use crate::cli_support::{self, Place};
use std::sync::Arc;
use wgrad::backend::Backend;
use wgrad::backend::device::{self, Device};
use wgrad::data::{Dataset, Features, Preprocessing, Scaling, StoredSet, StoredWriter, Targets};
use wgrad::math::matrix::Matrix;
use wgrad::train::event::{Flow, Observer, Progress};
use wgrad::{Activation, Loss, Net, Spec, Trainer};

/// y = 3 a − 2 b + a b over a grid.
fn plane(rows: usize) -> Dataset {
    let a = |r: usize| (r * 7 % 101) as f32 / 50.0 - 1.0;
    let b = |r: usize| (r * 13 % 89) as f32 / 44.0 - 1.0;
    let features = Matrix::from_fn(rows, 2, |r, c| if c == 0 { a(r) } else { b(r) });
    let targets = Matrix::from_fn(rows, 1, |r, _| 30.0 * a(r) - 20.0 * b(r) + 10.0 * a(r) * b(r));
    Dataset::new("plane", Features::F32(features), Targets::from(targets)).unwrap()
}

fn stored(data: &Dataset) -> Arc<StoredSet> {
    let mut writer = StoredWriter::create().unwrap();
    for first in (0..data.rows()).step_by(700) {
        let rows: Vec<usize> = (first..data.rows().min(first + 700)).collect();
        writer.append(&data.select(&rows)).unwrap();
    }
    Arc::new(writer.finish().unwrap().unwrap())
}

fn cpu() -> Box<dyn Backend> {
    device::open(&Device::Cpu, None).unwrap().backend
}

fn spec() -> Spec {
    let net = Net::new(2).layer(16, Activation::Tanh).layer(1, Activation::Identity);
    Spec::new(net, Loss::SquaredError).epochs(3)
}

/// A window of 10 batches of 64 rows of 12 bytes.
const MEMORY: u64 = 16 * 10 * 64 * 12;

#[test]
fn without_shuffling_windows_give_the_weights_of_all_rows_at_hand() {
    let (data, held_out) = (plane(5003), plane(901));
    let scaling = Preprocessing::fit(&data, Scaling::Standard);
    let mut spec = spec();
    spec.shuffle = false;
    // What is drawn for rows and steps must not begin anew with a window.
    spec.net = spec.net.dropout(0.25);
    spec.mixup = Some(0.2);
    let mut whole = Trainer::new(&spec, &data, scaling.clone(), cpu()).unwrap();
    let end = whole.fit(Some(&held_out), &mut ()).unwrap();
    let mut windows = Trainer::streamed(&spec, stored(&data), scaling, cpu(), MEMORY).unwrap();
    let streamed_end = windows.fit_stored(stored(&held_out), &mut ()).unwrap();
    assert_eq!(windows.weights().unwrap(), whole.weights().unwrap());
    assert_eq!((streamed_end.steps, streamed_end.epochs), (end.steps, end.epochs));
    let (a, b) = (end.valid.unwrap(), streamed_end.valid.unwrap());
    for name in ["loss", "rmse", "mae", "r2"] {
        let (a, b) = (a.get(name).unwrap(), b.get(name).unwrap());
        assert!((a / b - 1.0).abs() < 1e-6, "{name}: {a} and {b}");
    }
}

/// Rows with different weights: the first ones with weight 0, so that whole windows have none.
fn uneven(data: &Dataset) -> Dataset {
    let weight = |row: usize| if row < 900 { 0.0 } else { 0.3 + (row * 5 % 7) as f32 };
    data.clone().weighted((0..data.rows()).map(weight).collect()).unwrap()
}

#[test]
fn weights_count_in_windows_as_they_do_with_all_rows_at_hand() {
    let (data, held_out) = (uneven(&plane(5003)), uneven(&plane(1901)));
    let scaling = Preprocessing::fit(&data, Scaling::Standard);
    let spec = Spec { shuffle: false, ..spec() };
    let mut whole = Trainer::new(&spec, &data, scaling.clone(), cpu()).unwrap();
    let expected = whole.fit(Some(&held_out), &mut ()).unwrap().valid.unwrap();
    let mut windows = Trainer::streamed(&spec, stored(&data), scaling, cpu(), MEMORY).unwrap();
    let found = windows.fit_stored(stored(&held_out), &mut ()).unwrap().valid.unwrap();
    assert_eq!(windows.weights().unwrap(), whole.weights().unwrap());
    for name in ["loss", "rmse", "mae", "r2"] {
        let (a, b) = (found.get(name).unwrap(), expected.get(name).unwrap());
        assert!((a / b - 1.0).abs() < 1e-6, "{name}: {a} and {b}");
    }
    let without = Dataset::new("plane", data.features().clone(), data.targets().clone()).unwrap();
    assert_ne!(stored(&without).fingerprint(), stored(&data).fingerprint());
}

#[test]
fn weights_of_rows_and_of_classes_train_the_same_model_beyond_the_memory_limit() {
    let place = Place::new();
    let row = |i: usize| {
        let (a, b) = (i * 7 % 101, i * 13 % 89);
        let weight = if i < 18_000 { 0 } else { 1 + i % 3 };
        let class = if a * a + 40 * b > 12_000 { "yes" } else { "no" };
        // Long, so that whole blocks of the file have no row that counts.
        let a = format!("{}.{a:03}", i % 2);
        format!("{a:0<70},{}.{b:03},{weight},{class}\n", i % 3)
    };
    let text: String =
        std::iter::once("a,b,w,y\n".to_string()).chain((0..40_000).map(row)).collect();
    place.write("long.csv", text);
    let train = "train long.csv --target y --device cpu --epochs 1 --no-shuffle --scaling none \
                 --validation 0 --quiet";
    let mut models = Vec::new();
    for (i, options) in [
        "--ignore w",
        "--sample-weight w",
        "--ignore w --class-weight balanced",
        "--ignore w --class-weight yes=5",
        "--sample-weight w --class-weight balanced",
    ]
    .iter()
    .enumerate()
    {
        place.ok(&format!("{train} {options} --out whole{i}"));
        place.ok(&format!("{train} {options} --memory-limit 2M --out windows{i}"));
        let [whole, windows] =
            ["whole", "windows"].map(|run| place.model(&format!("{run}{i}")).members);
        assert!(whole == windows, "{options}");
        assert!(!models.contains(&whole), "{options} has an effect");
        models.push(whole);
    }
    let plan = |options: &str| {
        place.ok(&format!("{train} --ignore w --class-weight balanced --dry-run --json {options}"))
    };
    let weights = |options: &str| plan(options).json()[0]["class_weights"].clone();
    assert_eq!(weights("--memory-limit 2M"), weights(""));
    let mixed = place
        .run(&format!("{train} --ignore w --class-weight balanced --mixup 0.2 --memory-limit 2M"));
    assert_eq!(mixed.code, 2, "{}", mixed.stderr);
    // Rows that all count nothing are found before anything is trained.
    let none = place.read("long.csv").replace(",1,", ",0,").replace(",2,", ",0,");
    place.write("none.csv", none.replace(",3,", ",0,"));
    let refused =
        place.run(&format!("{train} --sample-weight w --memory-limit 2M").replace("long", "none"));
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("all rows have the weight 0"), "{}", refused.stderr);
}

#[test]
fn a_count_below_zero_is_found_in_every_part_before_training() {
    let place = Place::new();
    let table = |rows: usize, negative: usize| -> String {
        let row = |i: usize| {
            let y = if i == negative { -3 } else { (i % 90) as i64 };
            format!("{},{},{y}\n", i * 7 % 101, i * 13 % 89)
        };
        std::iter::once("a,b,y\n".to_string()).chain((0..rows).map(row)).collect()
    };
    let train = "train DATA --task regression --loss poisson --device cpu --epochs 1 --out run";
    let cases = [
        (table(40_000, 39_970), "--memory-limit 2M", "row 39971, column 3 (y)"),
        (table(900, 0), "--validation 0.5", "line 2, column 3 (y)"),
        (table(900, 899), "--validation 0.5", "line 901, column 3 (y)"),
        (table(900, 450), "--validation 0.5", "line 452, column 3 (y)"),
    ];
    for (text, options, at) in cases {
        place.write("counts.csv", text);
        let refused = place.run(&format!("{train} {options}").replace("DATA", "counts.csv"));
        assert_eq!(refused.code, 3, "{options}: {}", refused.stderr);
        assert!(refused.stderr.contains("the target -3 with the loss"), "{}", refused.stderr);
        assert!(refused.stderr.contains(at), "{at}: {}", refused.stderr);
        assert!(!place.path("run").exists(), "nothing was trained");
    }
    place.write("other.csv", table(70, 60));
    for (rows, limit) in [(900, ""), (40_000, "--memory-limit 2M")] {
        place.write("counts.csv", table(rows, rows));
        for part in ["--validation", "--test"] {
            let refused = place
                .run(&format!("{train} {limit} {part} other.csv").replace("DATA", "counts.csv"));
            assert_eq!(refused.code, 3, "{part}: {}", refused.stderr);
            assert!(refused.stderr.contains("row 61, target 1"), "{part}: {}", refused.stderr);
        }
    }
    place.ok(&format!("{train} --quiet").replace("DATA", "counts.csv"));
    let refused = place.run("evaluate run other.csv --device cpu");
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("row 61, target 1"), "{}", refused.stderr);
}

#[test]
fn other_files_are_held_out_as_they_are_in_memory() {
    let place = Place::new();
    let table = |rows: usize, shift: usize| -> String {
        let row = |i: usize| {
            let (a, b, weight) = ((i + shift) * 7 % 101, i * 13 % 89, usize::from(i > 1500));
            format!("{a},{b},{weight},{}\n", 3 * a + b * b / 40)
        };
        std::iter::once("a,b,w,y\n".to_string()).chain((0..rows).map(row)).collect()
    };
    place.write("long.csv", table(40_000, 0));
    place.write("valid.csv", table(9_000, 3));
    place.write("test.csv", table(7_000, 5));
    let train = "train long.csv --sample-weight w --device cpu --epochs 2 --no-shuffle \
                 --scaling none --lr 0.0001 --validation valid.csv --test test.csv --json";
    // The last one has two outputs for a target.
    for loss in ["squared-error", "gaussian-nll"] {
        let train = format!("{train} --loss {loss}");
        let whole = place.ok(&train).json();
        let windows = place.ok(&format!("{train} --memory-limit 2M")).json();
        for name in ["rows", "validation_rows"] {
            assert_eq!(whole[0][name], windows[0][name], "{name}");
        }
        let (a, b) = (whole.last().unwrap(), windows.last().unwrap());
        for part in ["valid", "test"] {
            for name in ["loss", "rmse", "mae", "r2"] {
                let [a, b] = [a, b].map(|end| end[part][name].as_f64().unwrap());
                assert!((a / b - 1.0).abs() < 1e-5, "{loss} {part} {name}: {a} and {b}");
            }
        }
        // Weighted after each epoch as in the report.
        let last = windows.iter().rfind(|e| e["event"] == "epoch").unwrap();
        for name in ["rmse", "mae", "r2"] {
            let [a, b] = [&last[name], &b["valid"][name]].map(|x| x.as_f64().unwrap());
            assert!((a / b - 1.0).abs() < 1e-4, "{loss} {name}: {a} and {b}");
        }
    }
    let plan = place.ok(&format!("{train} --memory-limit 2M --dry-run")).json();
    assert_eq!(plan[0]["test_rows"], 7_000);
    // What isn't a table is held, which is said.
    let digits = place.run("train long.csv --memory-limit 2M --test digits");
    assert!(digits.stderr.contains("doesn't apply to digits"), "{}", digits.stderr);
}

/// Stops at a step, once.
struct StopAt(u64);

impl Observer for StopAt {
    fn progress(&mut self, progress: &Progress) -> Flow {
        if progress.step >= self.0 { Flow::Interrupt } else { Flow::Continue }
    }
}

#[test]
fn shuffled_windows_learn_and_depend_on_the_seed_alone_stopped_or_not() {
    let data = plane(5003);
    let scaling = Preprocessing::fit(&data, Scaling::Standard);
    let set = stored(&data);
    let run = |seed: u64, stops: &[u64]| {
        let spec = Spec { seed, epochs: 8, lr: 0.01, ..spec() };
        let mut trainer =
            Trainer::streamed(&spec, set.clone(), scaling.clone(), cpu(), MEMORY).unwrap();
        for &step in stops {
            trainer.fit_stored(set.clone(), &mut StopAt(step)).unwrap();
        }
        let end = trainer.fit_stored(set.clone(), &mut ()).unwrap();
        (trainer.weights().unwrap(), end.valid.unwrap())
    };
    let (weights, metrics) = run(1, &[]);
    assert!(metrics.get("r2").unwrap() > 0.95, "{metrics:?}");
    assert_eq!(run(1, &[37, 120, 303]).0, weights, "in the middle of windows too");
    assert_ne!(run(2, &[]).0, weights);
}

#[test]
fn a_table_larger_than_the_limit_is_trained_on_and_judged_as_a_whole() {
    let place = Place::new();
    let row = |i: usize| {
        let (a, b) = (i * 7 % 101, i * 13 % 89);
        let town = ["Oslo", "Rome", "Lima"][i % 3];
        format!("{i},{a},{b},{town},{}\n", 3 * a + 200 * (i % 3) + b * b / 40)
    };
    let text: String =
        std::iter::once("id,a,b,town,y\n".to_string()).chain((0..40_000).map(row)).collect();
    place.write("long.csv", text);
    let train = "train long.csv --ignore id --device cpu --epochs 3 --seed 5 --memory-limit 2M";
    let ran = place.ok(&format!("{train} --json --out run"));
    let events = ran.json();
    // Of 40,000 rows the inputs repeat after 26,967: that is found in the sample, and nothing else.
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        matches!(said[..], [twins, device]
            if twins.starts_with("warning: ") && twins.contains("are also in the training data")
                && device.starts_with("device: CPU")),
        "{}",
        ran.stderr
    );
    let (start, end) = (&events[0], events.last().unwrap());
    let rows = start["rows"].as_u64().unwrap();
    let held_out = start["validation_rows"].as_u64().unwrap();
    assert_eq!(rows + held_out, 40_000);
    assert!((3600..4400).contains(&held_out), "{held_out}");
    assert!(end["valid"]["r2"].as_f64().unwrap() > 0.99, "{end}");
    assert!(end["baselines"]["linear_model"]["r2"].as_f64().unwrap() < 0.99, "{end}");
    // The metrics of the last epoch, added up on the device, are those of the report.
    let last = events.iter().rfind(|e| e["event"] == "epoch").unwrap();
    let (a, b) = (last["rmse"].as_f64().unwrap(), end["valid"]["rmse"].as_f64().unwrap());
    assert!((a / b - 1.0).abs() < 1e-3, "{a} and {b}");
    place.ok("predict run long.csv --device cpu -o out.csv");
    assert_eq!(place.read("out.csv").lines().count(), 40_001);
    // The configuration trains the same model, and the number of threads changes nothing.
    place.ok("train --config run/config.toml --threads 1 --quiet --out again");
    assert_eq!(place.model("again"), place.model("run"));
    // Stopped and resumed, in another process.
    // The default schedule depends on the number of epochs.
    let constant = format!("{train} --schedule constant --quiet");
    place.ok(&format!("{constant} --out whole"));
    place.ok(&format!("{constant} --out cut").replace("--epochs 3", "--epochs 1"));
    place.ok("train --resume cut --epochs 3 --quiet");
    assert_eq!(place.model("cut"), place.model("whole"));
    // Below the limit the table is trained on as ever.
    place.ok("train long.csv --ignore id --device cpu --epochs 1 --quiet --out a");
    place
        .ok("train long.csv --ignore id --device cpu --epochs 1 --quiet --memory-limit 1G --out b");
    assert_eq!(place.model("a"), place.model("b"));
    let plan = place.ok(&format!("{train} --dry-run --json")).json();
    assert_eq!(plan[0]["rows"].as_u64(), Some(rows));
    // From standard input, which is read again and again.
    let piped = format!("{train} --quiet --out piped").replace("long.csv", "-");
    let input = std::fs::File::open(place.path("long.csv")).unwrap();
    let ran = cli_support::ran(place.command(&piped).stdin(input).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(place.model("piped").members, place.model("run").members);
    for (options, text) in [
        ("--folds 3", "--folds cannot be used with a table larger"),
        ("--split stratified", "a stratified split needs classes"),
        ("--fold 1", "--fold 1 needs --folds"),
        ("--memory-limit 1", "not a memory size"),
    ] {
        let train = if options.contains("limit") { "train long.csv" } else { train };
        let refused = place.run(&format!("{train} {options}"));
        assert_eq!(refused.code, 2, "{options}: {}", refused.stderr);
        assert!(refused.stderr.contains(text), "{options}: {}", refused.stderr);
    }
}

#[test]
fn a_table_larger_than_the_limit_is_split_by_its_columns() {
    let place = Place::new();
    let row = |i: usize| {
        let (part, shop) = (["train", "train", "test", "valid", "train"][i % 5], i * 31 % 83);
        format!("{part},s{shop},{},{},{}\n", i * 7919 % 40_000, i % 101, 3 * (i % 101) + shop)
    };
    let text: String =
        std::iter::once("part,shop,day,a,y\n".to_string()).chain((0..40_000).map(row)).collect();
    place.write("long.csv", text);
    let train = "train long.csv --device cpu --epochs 2 --memory-limit 2M --json";
    let by_part = place.ok(&format!("{train} --ignore shop,day --split column:part")).json();
    let end = by_part.last().unwrap();
    assert_eq!(
        (&by_part[0]["rows"], &by_part[0]["validation_rows"]),
        (&24_000.into(), &8_000.into())
    );
    for part in ["valid", "test"] {
        assert!(end[part]["r2"].as_f64().unwrap() > 0.5, "{part}: {end}");
    }
    assert!(end["test_baselines"]["mean"]["rmse"].is_number(), "{end}");
    let plan = place.ok(&format!("{train} --ignore shop,day --split column:part --dry-run")).json();
    assert_eq!(plan[0]["test_rows"], 8_000);
    let classes = format!("{train} --ignore shop,day --target part --split stratified");
    let events = place.ok(&classes).json();
    assert_eq!(
        (&events[0]["rows"], &events[0]["validation_rows"]),
        (&36_000.into(), &4_000.into())
    );
    for (ignore, split) in [("part,day", "group:shop"), ("part,shop", "time:day")] {
        let events = place.ok(&format!("{train} --ignore {ignore} --split {split}")).json();
        let rows = |name: &str| events[0][name].as_u64().unwrap();
        let held_out = rows("validation_rows");
        assert_eq!(rows("rows") + held_out, 40_000, "{split}");
        match split {
            // A shop has 481 or 482 rows, and all of them are held out or none: 8.3 ± 2.7 shops of 83.
            "group:shop" => {
                let shops = held_out.div_ceil(482);
                assert!((481 * shops..=482 * shops).contains(&held_out), "{held_out} in no shops");
                assert!((3..=14).contains(&shops), "{shops} shops");
            }
            // The last tenth of the days, as a sample of some thousand rows tells them: ± 190 rows.
            _ => assert!((3_430..=4_570).contains(&held_out), "{held_out}"),
        }
    }
}

#[test]
fn what_the_memory_limit_does_not_hold_for_is_said() {
    let place = Place::new();
    let ran = place.ok("train digits --device cpu --epochs 1 --memory-limit 1M --out run");
    let note = "note: --memory-limit doesn't apply to digits";
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
    // Nor as other data beside a table that is larger.
    let rows = (0..40_000).map(|i| format!("{},{}\n", i % 101, i % 89));
    place.write("long.csv", std::iter::once("a,y\n".to_string()).chain(rows).collect::<String>());
    let beside = "train long.csv --device cpu --memory-limit 1M --quiet --test digits";
    let refused = place.run(beside);
    assert!(refused.stderr.contains(note), "{}", refused.stderr);
    let whole = place.run(&beside.replace("--memory-limit 1M", ""));
    let error = |text: &str| text.lines().find(|l| l.starts_with("error")).map(str::to_string);
    assert!(whole.code == 3 && refused.code == 3, "{}", whole.stderr);
    assert_eq!(error(&refused.stderr), error(&whole.stderr));
}

/// Batches of Parquet have 65,536 rows: a row in a message is numbered within the whole table.
#[test]
fn a_row_of_a_later_batch_is_named_by_its_number_in_the_table() {
    use arrow_array::{ArrayRef, Float64Array, RecordBatch};
    let place = Place::new();
    let a: Float64Array = (0..160_000).map(|i| Some(f64::from(i * 7 % 101) / 2.0)).collect();
    let target = |i: i32| (i != 150_000).then(|| f64::from(i % 97) / 4.0);
    let y: Float64Array = (0..160_000).map(target).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("a", std::sync::Arc::new(a)), ("y", std::sync::Arc::new(y))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    place.write("long.parquet", file);
    for limit in ["", "--memory-limit 2M"] {
        let refused = place.run(&format!("train long.parquet --device cpu --quiet {limit}"));
        assert_eq!(refused.code, 3, "{limit}: {}", refused.stderr);
        for text in ["the target is missing", "row 150001, column 2 (y)"] {
            assert!(refused.stderr.contains(text), "{limit}: no {text:?} in {}", refused.stderr);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_for_the_rows_ends_the_run_with_advice() {
    let place = Place::new();
    let row = |i: usize| format!("{},{},{}\n", i % 977, i % 1013, i % 13);
    let text: String = std::iter::once("a,b,y\n".into()).chain((0..60_000).map(row)).collect();
    place.write("long.csv", text);
    let mut shell = std::process::Command::new("bash");
    // Files end at 256 KiB.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "bash"]);
    shell.args([env!("CARGO_BIN_EXE_wgrad"), "train", "long.csv", "--memory-limit", "1M"]);
    shell.args(["--device", "cpu", "--quiet"]).current_dir(place.path(""));
    let failed =
        cli_support::ran(shell.env("WGRAD_CACHE_DIR", place.path("cache")).output().unwrap());
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    for part in ["cannot write", "free some space", "WGRAD_CACHE_DIR"] {
        assert!(failed.stderr.contains(part), "{part} in {}", failed.stderr);
    }
    assert!(place.names("cache").iter().all(|name| !name.ends_with(".tmp")), "nothing is left");
}
