//! Usage errors: every message says what is wrong, where, and what to
//! write instead, for arguments, the environment and files.

use crate::cli_support::{Place, Ran, plane, ran};

/// Runs it with variables, and expects exit code 2 and each of the texts on standard error.
fn refused(place: &Place, args: &str, variables: &[(&str, &str)], texts: &[&str]) -> Ran {
    let mut command = place.command(args);
    command.envs(variables.iter().copied());
    let ran = ran(command.output().unwrap());
    assert_eq!(ran.code, 2, "wgrad {args}\n{}{}", ran.stdout, ran.stderr);
    for text in texts {
        assert!(ran.stderr.contains(text), "wgrad {args}: no {text:?} in\n{}", ran.stderr);
    }
    ran
}

#[test]
fn a_wrong_value_is_named_with_its_option_and_an_example() {
    let place = Place::new();
    for (args, texts) in [
        (
            "train --residual -1",
            &["error: \"-1\" is not a whole number", "where: --residual -1", "for example 2"][..],
        ),
        ("train --epochs ten", &["\"ten\" is not a whole number", "where: --epochs ten"]),
        ("train --epochs=1.5", &["\"1.5\" is not a whole number", "where: --epochs 1.5"]),
        ("train --lr fast", &["\"fast\" is not a number", "where: --lr fast", "for example 0.001"]),
        ("train --seed -1", &["where: --seed -1", "help: "]),
        ("train --threads x", &["where: --threads x", "for example 2"]),
        ("train --layers=", &["no layers were given", "or none"]),
        ("train --schedule step:abc", &["parameters go in parentheses", "where: --schedule"]),
        ("train --schedule step(abc)", &["is not a span of step", "write for example step("]),
        ("train --loss huber(x)", &["parameter of huber", "write for example huber(1)"]),
        ("train --warmup lots", &["where: --warmup lots", "2epochs"]),
        ("train --no-shuffle=maybe", &["\"maybe\" is neither true nor false"]),
        ("train --lr", &["--lr needs a value"]),
        ("train --epoch 3", &["unknown option --epoch", "did you mean --epochs?"]),
        ("train digits moons", &["unexpected argument 'moons'"]),
        ("train --ema 0.9 --swa 0.1", &["--swa", "cannot be used with", "--ema"]),
        ("train --lr 1 --lr 2", &["--lr is given twice"]),
        ("trian", &["unknown command \"trian\"", "did you mean train?"]),
        ("evaluate", &["missing: RUN, DATA", "wgrad evaluate --help"]),
        ("predict runs/a", &["missing: DATA", "- reads standard input"]),
        ("check-gradients --threshold low", &["where: --threshold low", "for example 1e-5"]),
        ("completions tcsh", &["known: bash"]),
        ("train --warmup 500 --epochs 1", &["a warmup of 500 steps doesn't fit in a run of 26"]),
        (
            "train --lr 1 --optimizer lbfgs --l1 0.1 --ema 0.9",
            &["lbfgs cannot be used with --l1 and --ema"],
        ),
    ] {
        let ran = refused(&place, args, &[], texts);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert!(!ran.stderr.contains("try '--help'"), "{}", ran.stderr);
    }
    assert!(place.names("").is_empty(), "nothing was left behind");
}

#[test]
fn a_value_that_nobody_typed_is_named_with_where_it_comes_from() {
    let place = Place::new();
    let of = |variable, text| [(variable, text)];
    let texts = ["\"ten\" is not a whole number", "where: WGRAD_EPOCHS=ten in the environment"];
    refused(&place, "train", &of("WGRAD_EPOCHS", "ten"), &texts);
    let texts = ["invalid learning rate: -1"];
    refused(&place, "train", &of("WGRAD_LR", "-1"), &texts);
    refused(
        &place,
        "train --optimizer lbfgs",
        &of("WGRAD_L1", "0.1"),
        &["lbfgs cannot be used with --l1", "--l1 0.1 is from WGRAD_L1 in the environment"],
    );
    place.write("run.toml", "dropout = 0.5\nl1 = 0.1\n");
    refused(
        &place,
        "train --optimizer lbfgs --l1 0.2 --config run.toml",
        &[],
        &["cannot be used with --l1 and --dropout", "help: ", "--dropout 0.5 is from run.toml"],
    );
    let preset = refused(
        &place,
        "train --optimizer lbfgs --preset strong",
        &[],
        &["lbfgs cannot be used with --dropout", "--dropout 0.1 is from --preset strong"],
    );
    assert!(!preset.stderr.contains("--l1"), "{}", preset.stderr);
}

#[test]
fn a_variable_that_is_none_is_pointed_out_and_an_empty_one_counts_as_not_set() {
    let place = Place::new();
    let train = |variable: &str, value: &str| {
        let mut command = place.command("train xor --epochs 1 --device cpu --dry-run");
        let ran = ran(command.env(variable, value).output().unwrap());
        assert_eq!(ran.code, 0, "{variable}={value}\n{}", ran.stderr);
        ran.stderr
    };
    assert!(train("WGRAD_EPOCH", "3").contains("warning: WGRAD_EPOCH in the environment"));
    assert!(train("WGRAD_EPOCH", "3").contains("did you mean WGRAD_EPOCHS?"));
    for empty in ["WGRAD_DATA_DIR", "WGRAD_EPOCHS", "WGRAD_JSON", "WGRAD_OUT"] {
        assert!(!train(empty, "").contains("warning"), "{empty}");
    }
    assert!(!train("WGRAD_TEST_SEED", "3").contains("warning"));
}

#[test]
fn options_without_effect_are_pointed_out() {
    let place = Place::new();
    for (options, texts) in [
        ("--micro-batch 128", "--micro-batch 128 has no effect: a batch has 64 rows"),
        ("--embedding-dims 8", "--embedding-dims 8 has no effect: no column is embedded"),
        ("--image-size 4x4", "--image-size 4x4 has no effect: the data are not folders"),
        ("--image-color rgb", "--image-color rgb has no effect: the data are not folders"),
        ("--metric f1 --validation 0", "--metric f1 has no effect: no rows are held out"),
        ("--loss-scale 1024", "--loss-scale 1024 has no effect: it is for --precision f16"),
        (
            "--checkpoint-every 5epochs --keep-checkpoints 0",
            "--checkpoint-every 5epochs has no effect: --keep-checkpoints 0 keeps none",
        ),
    ] {
        let ran = place.ok(&format!("train digits --epochs 1 --device cpu --quiet {options}"));
        assert!(ran.stderr.contains(&format!("warning: {texts}")), "{}", ran.stderr);
    }
    for useful in
        ["--micro-batch 32 --metric f1 --checkpoint-every 5epochs", "--metric f1 --folds 2"]
    {
        let ran = place.ok(&format!("train digits --epochs 1 --device cpu --quiet {useful}"));
        assert!(!ran.stderr.contains("no effect"), "{}", ran.stderr);
    }
    // A metric that was chosen for a table isn't one that was asked for.
    let rows = (0..60).map(|i| format!("{i},{}\n", ["x", "y"][i * 7 % 5 % 2]));
    place.write(
        "kinds.csv",
        std::iter::once("a,kind\n".to_string()).chain(rows).collect::<String>(),
    );
    let ran = place.ok("train kinds.csv --epochs 1 --device cpu --quiet --folds 2");
    assert!(!ran.stderr.contains("--metric"), "{}", ran.stderr);
}

#[test]
fn with_json_an_error_is_the_last_line_too() {
    let place = Place::new();
    place.write("plane.csv", plane());
    for (args, code, text) in [
        ("train --json --lr fast", 2, "\"fast\" is not a number"),
        ("train --json --optimizer adm", 2, "did you mean adam?"),
        ("train none.csv --json", 3, "none.csv"),
        ("evaluate nowhere digits --json", 3, "no model nowhere"),
        ("train plane.csv --json --loss cross-entropy", 2, "regression"),
        ("train digits --json --device cpu --lr 1e30 --optimizer sgd", 5, "training diverged"),
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, code, "{args}: {}", ran.stderr);
        let lines = ran.json();
        let errors = lines.iter().filter(|line| line["event"] == "error").count();
        let last = lines.last().unwrap();
        assert_eq!(
            (errors, &last["event"], &last["exit_code"]),
            (1, &"error".into(), &code.into())
        );
        assert!(last["error"].as_str().unwrap().contains(text), "{last}");
        assert!(ran.stderr.contains("error: "), "people read it on standard error: {}", ran.stderr);
    }
    assert!(place.run("train --lr fast").stdout.is_empty());
}

#[cfg(unix)]
#[test]
fn ctrl_c_before_the_run_begins_exits_with_130() {
    use std::process::{Command, Stdio};
    let place = Place::new();
    // It waits for data that never come.
    let mut child = place.command("train - --device cpu").stdin(Stdio::piped()).spawn().unwrap();
    let open = child.stdin.take();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(open);
}

#[test]
fn a_run_that_is_gone_on_with_says_why_it_takes_its_device() {
    let place = Place::new();
    place.ok("train xor --device cpu --quiet --epochs 1 --out run");
    let ran = place.ok("train --resume run --epochs 2 --quiet");
    assert!(ran.stderr.contains("the run was started on it"), "{}", ran.stderr);
    let ran = place.ok("train --resume run --epochs 3 --quiet --device cpu");
    assert!(ran.stderr.contains("as requested"), "{}", ran.stderr);
}

#[test]
fn a_gradient_check_says_the_error_and_what_rounding_makes_of_it() {
    let ran = Place::new().ok("check-gradients --layers 4:tanh");
    let line = ran.stdout.lines().find(|line| line.starts_with("error ")).unwrap().to_string();
    let error: f64 = line.split([' ', ',']).filter_map(|word| word.parse().ok()).next().unwrap();
    assert!(error > 0.0 && error < 1e-3 && line.contains("the rounding error"), "{line}");
}

#[test]
fn what_is_done_is_logged_where_it_is_asked_for_and_standard_output_stays_as_it_is() {
    let place = Place::new();
    let train = |out: &str, more: &str, filter: &str| {
        let args = format!("train xor --device cpu --epochs 1 --json --out {out} {more}");
        let ran = ran(place.command(&args).env("RUST_LOG", filter).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.lines().all(|line| line.starts_with('{')), "{}", ran.stdout);
        ran.stderr
    };
    let logged = train("a", "--verbose", "");
    for part in ["debug: wgrad", "400 rows read in ", "trained in "] {
        assert!(logged.contains(part), "{part} in {logged}");
    }
    assert!(train("b", "", "wgrad=debug").contains("debug: wgrad"));
    assert!(!train("c", "", "").contains("debug: "));
    assert!(!train("d", "-v", "wgrad=error").contains("debug: "), "RUST_LOG goes first");
    assert!(train("e", "", "wgrad=loud").contains("warning: RUST_LOG=wgrad=loud"));
}
