//! Errors state what is wrong, where, and what to do, and have an exit code.

use crate::cli_support::{self, Place, idx, plane};

/// Runs it, and expects an exit code and each of the texts in the message.
fn fails(place: &Place, args: &str, code: i32, texts: &[&str]) {
    let ran = place.run(args);
    assert_eq!(ran.code, code, "wgrad {args}\n{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.is_empty(), "wgrad {args} printed results: {}", ran.stdout);
    assert!(ran.stderr.contains("error: "), "wgrad {args}\n{}", ran.stderr);
    for text in texts {
        assert!(ran.stderr.contains(text), "wgrad {args}: no {text:?} in\n{}", ran.stderr);
    }
}

/// On Unix an argument is any bytes.
#[cfg(unix)]
#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let bytes = std::ffi::OsStr::from_bytes(b"caf\xe9");
    for args in ["", "train --layers"] {
        let ran = cli_support::ran(place.command(args).arg(bytes).output().unwrap());
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("error: "), "{}", ran.stderr);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let place = Place::new();
    place.write("plane.csv", plane());
    for (args, texts) in [
        ("train --epoch 3", &["--epochs"][..]),
        ("train --layers 12:rellu", &["layer 1", "did you mean relu?"]),
        ("train --layers 12,0", &["a layer of width 0", "where: layer 2", "help: "]),
        ("train --layers 8:softmax", &["softmax in a hidden layer", "where: layer 1"]),
        ("train --layers 8:relu*3", &["3 activations for 8 units", "where: layer 1"]),
        ("train --residual 2", &["residual blocks of 2 layers", "at least 3 of the same width"]),
        ("train --batch-size 0", &["invalid batch size: 0", "--batch-size"]),
        ("train --lr -0.5", &["invalid learning rate: -0.5", "help: "]),
        ("train --lr nan", &["invalid learning rate: NaN"]),
        ("train --loss crossentropy", &["did you mean cross-entropy?"]),
        ("train --loss huber(-1)", &["not positive"]),
        ("train --optimizer adm", &["did you mean adam?"]),
        ("train --optimizer sgd --momentum 0.9", &["sgd has no momentum", "help: "]),
        ("train --optimizer adam --momentum 1", &["not in [0, 1)"]),
        ("train --plan fuse", &["did you mean fused?"]),
        ("train --precision f1", &["did you mean f16?"]),
        (
            "train --precision f16 --max-norm 2",
            &["--precision f16 cannot be used with --max-norm", "requires f32"],
        ),
        ("train --loss-scale 1000", &["invalid loss scale: 1000", "power of two"]),
        ("train --threads 0", &["0 threads", "help: "]),
        ("train --epochs 99999999999", &["99999999999 epochs"]),
        ("train --epochs 0", &["0 epochs", "from 1 to"]),
        ("train --seed -1", &["--seed"]),
        ("train --validation 1.5", &["not a fraction of the rows", "help: "]),
        ("train --validation 0.0001", &["for 1,797 rows", "help: "]),
        ("train --stop-at acc", &["METRIC=VALUE"]),
        ("train --stop-at rmse=1", &["not a metric of these data", "where: --stop-at", "accuracy"]),
        ("train --stop-at loss=1 --validation 0", &["needs validation", "help: "]),
        ("train --stop-at accuracy=98", &["never as good as 98", "write accuracy=0.98"]),
        ("train plane.csv --stop-at rmse=-1", &["never as good as -1", "where: --stop-at"]),
        ("train plane.csv --metric nll", &["squared-error gives no nll", "--loss gaussian-nll"]),
        ("train plane.csv --stop-at nll=1", &["squared-error gives no nll", "where: --stop-at"]),
        ("train --target y", &["help: "]),
        ("train plane.csv --target z", &["no target column \"z\"", "plane.csv", "a, b, y"]),
        (
            "train plane.csv --loss cross-entropy",
            &["cross-entropy cannot be used with a regression target"],
        ),
        ("train --config none.toml", &["no file none.toml", "help: "]),
        ("train --device cpu --out plane.csv", &["already exists"]),
        ("train --device cpu --out plane.csv --force", &["not a directory"]),
        ("check-gradients --threshold 0", &["--threshold 0"]),
        ("bench --seconds inf", &["--seconds inf", "above 0"]),
        ("train digits --class-weight 11=3", &["no class \"11\"", "help: "]),
        (
            "train plane.csv --class-weight balanced",
            &["--class-weight needs a target of classes", "--sample-weight"],
        ),
        ("train digits --class-weight 0=-1", &["is not a weight", "help: "]),
        ("train digits --class-weight 0=3,1=2,0=4", &["the class \"0\" has two weights"]),
        ("completions tcsh", &["tcsh"]),
    ] {
        fails(&place, args, 2, texts);
    }
    let bare = place.run("");
    assert!(bare.code == 2 && bare.stderr.contains("Usage: wgrad <COMMAND>"), "{}", bare.stderr);
    assert_eq!(place.names(""), ["plane.csv"], "no run directory was left behind");
}

#[test]
fn a_wrong_configuration_is_named_with_line_and_column() {
    let place = Place::new();
    for (text, texts) in [
        (
            "epochs = 3\nbatch_size = 4\n",
            &["\"batch_size\"", "line 2, column 1", "batch-size?"][..],
        ),
        ("epochs = 3\n\n  lr = 'fast'\n", &["line 3, column 8", "expected f32"]),
        ("layers = '3:tan'\n", &["line 1, column 10", "did you mean tanh?"]),
        ("epochs = 3 4\n", &["line 1, column 10", "help: "]),
        ("[training]\nepochs = 3\n", &["\"training\"", "line 1, column 2"]),
        ("no-shuffle = 'x'\n", &["line 1, column 14"]),
    ] {
        place.write("run.toml", text);
        fails(&place, "train --config run.toml", 2, texts);
        fails(&place, "train --config run.toml", 2, &["where: run.toml, line "]);
    }
    place.write("run.toml", b"epochs = \xFF");
    fails(&place, "train --config run.toml", 2, &["run.toml"]);
    fails(&place, "train --config .", 2, &["cannot read"]);
}

#[test]
fn bad_data_exit_with_3() {
    let place = Place::new();
    place.write("empty.csv", "");
    place.write("header.csv", "a,b,y\n");
    place.write("ragged.csv", "a,b,y\n1,2,0\n3,4\n");
    place.write("text.csv", plane().replacen("\n3,10,", "\n3,four,", 1));
    place.write("nan.csv", "a,b,y\n1,2,nan\n3,4,1\n");
    place.write("inf.csv", "a,b,y\n1,2,0\n3,1e999,1\n");
    place.write("latin.csv", b"a,b,y\n1,\xE4,0\n");
    place.write("quote.csv", "a,b,y\n1,\"2,0\n3,4,1\n");
    place.write("zeros.bin", vec![0u8; 100]);
    place.write("short/train-images-idx3-ubyte", idx(&[2, 2, 2], &[1; 7]));
    place.write("short/train-labels-idx1-ubyte", idx(&[2], &[0, 1]));
    place.write("huge/train-images-idx3-ubyte", idx(&[u32::MAX; 3], &[1; 7]));
    place.write("huge/train-labels-idx1-ubyte", idx(&[2], &[0, 1]));
    place.write("uneven/train-images-idx3-ubyte", idx(&[2, 2, 2], &[1; 8]));
    place.write("uneven/train-labels-idx1-ubyte", idx(&[3], &[0, 1, 0]));
    place.write("alone/train-images-idx3-ubyte", idx(&[2, 2, 2], &[1; 8]));
    for (data, texts) in [
        ("digit", &["did you mean digits?"][..]),
        ("./none.csv", &["no data set and no file", "help: "]),
        ("empty.csv", &["the file is empty", "where: empty.csv", "help: "]),
        ("header.csv", &["no rows", "where: header.csv"]),
        ("ragged.csv", &["where: ragged.csv, line 3", "help: "]),
        ("text.csv", &["\"four\"", "where: text.csv, line 5, column 2 (b)", "--ignore b"]),
        ("nan.csv", &["the target is missing", "where: nan.csv, line 2, column 3"]),
        ("inf.csv", &["where: inf.csv, line 3, column 2"]),
        ("latin.csv", &["UTF-8", "where: latin.csv, line 2, column 2"]),
        ("quote.csv", &["where: quote.csv, line 2"]),
        ("zeros.bin", &["where: zeros.bin"]),
        ("short", &["where: short/train-images-idx3-ubyte", "help: "]),
        ("huge", &["where: huge/train-images-idx3-ubyte", "help: "]),
        ("uneven", &["2 images, but 3 labels"]),
        ("alone", &["train-labels-idx1-ubyte is missing"]),
    ] {
        fails(&place, &format!("train {data} --device cpu"), 3, texts);
    }
    place.write("elsewhere", "");
    fails(&place, "train mnist --data-dir elsewhere", 3, &["elsewhere", "--data-dir"]);
    assert!(!place.path("runs").exists(), "no run directory was left behind");
}

#[test]
fn a_model_that_is_none_and_data_that_do_not_fit_exit_with_3() {
    let place = Place::new();
    place.write("plane.csv", plane());
    place.write("missing.csv", "a,c\n1,2\n");
    place.write("net.onnx", [8u8, 8, 18, 5]);
    place.ok("train plane.csv --device cpu --quiet --epochs 1 --layers 128 --out run");
    for (args, texts) in [
        ("evaluate nowhere digits", &["no model nowhere", "help: "][..]),
        ("inspect plane.csv", &["safetensors", "where: plane.csv"]),
        (
            "inspect net.onnx",
            &["net.onnx is an ONNX file", "help: ", "wgrad import net.onnx --out"],
        ),
        ("predict run missing.csv", &["\"b\"", "where: missing.csv", "help: "]),
        ("predict run digits", &["64 feature columns", "where: digits"]),
        ("evaluate run digits", &["64 feature columns", "where: digits"]),
        ("evaluate run missing.csv", &["missing.csv"]),
        ("train --init plane.csv", &["safetensors", "where: plane.csv"]),
    ] {
        fails(&place, args, 3, texts);
    }
    fails(
        &place,
        "train plane.csv --init run/model.safetensors --layers 5",
        2,
        &[
            "layers.0.weight is [128, 2], but the net needs [5, 2]",
            "where: run/model.safetensors",
            "--layers",
        ],
    );
    let bytes = std::fs::read(place.path("run/model.safetensors")).unwrap();
    for len in [0, 7, 100, bytes.len() - 1] {
        place.write("cut/model.safetensors", &bytes[..len]);
        fails(&place, "inspect cut", 3, &["safetensors", "where: cut/model.safetensors"]);
    }
    std::fs::remove_file(place.path("cut/model.safetensors")).unwrap();
    fails(&place, "inspect cut", 3, &["no model cut/model.safetensors", "help: "]);
}

#[test]
fn a_device_that_is_not_there_or_too_small_exits_with_4() {
    let place = Place::new();
    fails(&place, "train --device 999", 4, &["no adapter 999", "devices here: cpu"]);
    fails(&place, "train --device voodoo2", 4, &["there is no device \"voodoo2\"", "cpu"]);
    let half = "train --precision f16 --layers 8 --epochs 1 --out half";
    fails(&place, &format!("{half} --device cpu"), 4, &["trains in f32 only", "--precision f16"]);
    assert!(!place.path("half").exists());
    if cfg!(target_os = "linux") {
        fails(
            &place,
            "train --layers 2147483648,2147483648,2147483648",
            4,
            &["of memory", "help: "],
        );
    }
}

#[test]
fn a_run_that_diverges_exits_with_5_and_keeps_what_was_written() {
    let place = Place::new();
    let args = "train --device cpu --quiet --lr 1e30 --optimizer sgd --out run";
    fails(
        &place,
        args,
        5,
        &["training diverged", "where: epoch 1", "--lr", "run keeps config.toml"],
    );
    assert_eq!(place.names("run"), ["config.toml", "metrics.csv", "metrics.jsonl"]);
    let metrics = place.read("run/metrics.jsonl");
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit_code"]), (&"error".into(), &5.into()));
    fails(&place, "predict run digits", 3, &["no model run/model.safetensors", "diverged"]);
    let folds = args.replace("--out run", "--folds 3 --out folds");
    fails(&place, &folds, 5, &["training diverged", "where: fold 1 of 3, epoch 1"]);
    fails(&place, "train --resume none", 3, &["there is no run none", "help: "]);
}

#[test]
fn a_learning_rate_that_is_far_too_high_exits_with_5_though_all_numbers_are_finite() {
    let place = Place::new();
    place.write("plane.csv", plane());
    for data in ["digits", "plane.csv --layers 16"] {
        let args = format!("train {data} --device cpu --quiet --lr 10");
        fails(&place, &args, 5, &["training diverged", "now 10, with --lr 0.001", "--find-lr"]);
    }
}

#[test]
fn a_number_that_overflows_is_named_by_its_line_and_passed_over_when_asked_to() {
    let place = Place::new();
    let mut rows: Vec<String> =
        (0..300).map(|i| format!("{},{},{}", i % 7, i % 5, i % 7 * 2 - i % 5)).collect();
    rows[43] = "3e38,1,5".into();
    place.write("big.csv", format!("a,b,y\n{}\n", rows.join("\n")));
    // Weights large enough for the number to overflow in the first layer.
    let args = "train big.csv --device cpu --quiet --scaling none --initializer kaiming-uniform";
    let row = "1 of the 64 rows of the batch: line 45";
    fails(&place, args, 5, &["layer 1 of 3: layers.0.z", row, "now 0.003, with --lr 0.0003,"]);
    place.ok(&format!("{args} --on-divergence skip-batch --epochs 3 --out run"));
    place.model("run");
    let events = place.read("run/metrics.jsonl");
    assert_eq!(events.matches("\"event\":\"diverged\"").count(), 3, "{events}");
    assert!(events.contains("\"rows\":[\"line 45\"]"), "{events}");
}

#[test]
fn the_bundled_sets_are_trained_without_a_finding() {
    let place = Place::new();
    for data in ["digits", "spiral", "moons", "xor"] {
        let events = place.ok(&format!("train {data} --device cpu --json")).json();
        let end = events.last().unwrap();
        assert!(end["ending"] == "done" && end["findings"].is_null(), "{data}: {end}");
    }
    let ran = place.ok("train digits --device cpu --lr 1e-9 --epochs 3");
    assert!(ran.stderr.contains("note: 78 steps changed the weights"), "{}", ran.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_exits_with_1() {
    let place = Place::new();
    place.ok("train xor --device cpu --quiet --epochs 1 --out run");
    fails(
        &place,
        "predict run xor --device cpu -o none/out.csv",
        1,
        &["cannot write none/out.csv"],
    );
    fails(&place, "predict run xor --device cpu -o /dev/full", 1, &["cannot write /dev/full"]);
    fails(&place, "train xor --device cpu --out /proc/none/run", 1, &["cannot create", "--out"]);
}

#[test]
fn an_export_replaces_neither_its_model_nor_a_file_of_another_kind() {
    let place = Place::new();
    place.ok("train xor --device cpu --layers 4 --epochs 2 --no-report --out run");
    place.write("data.csv", "a,b\n1,2\n");
    let before = std::fs::read(place.path("run/model.safetensors")).unwrap();
    for (args, says) in [
        ("run -o run/model.safetensors", "would replace run/model.safetensors of the run"),
        ("run -o run/model.safetensors --format onnx", ".onnx, .safetensors"),
        ("run/model.safetensors -o run/model.safetensors", "would replace"),
        ("run -o data.csv --format c", "data.csv is not a valid name for an export to c"),
        (
            "run -o data.csv --format pytorch",
            "data.csv is not a valid name for an export to pytorch",
        ),
    ] {
        let ran = place.run(&format!("export {args}"));
        assert_eq!(ran.code, 2, "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args}: {}", ran.stderr);
    }
    let ran = place.run("report run run -o data.csv");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(std::fs::read(place.path("run/model.safetensors")).unwrap(), before);
    assert_eq!(place.read("data.csv"), "a,b\n1,2\n");
    // A run that ended before it had a model says how to go on.
    std::fs::remove_file(place.path("run/model.safetensors")).unwrap();
    let ran = place.run("predict run data.csv");
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("wgrad train --resume run"), "{}", ran.stderr);
}
