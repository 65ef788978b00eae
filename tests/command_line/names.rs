//! Renamed options, and names that had two meanings: the earlier spelling is still accepted, but no
//! help text mentions it.

use crate::cli_support::{Place, plane, ran};

/// The model of a run with these options of `train`.
fn trained(place: &Place, options: &str) -> wgrad::Model {
    let runs = place.names("").into_iter().filter(|name| name.starts_with("run-"));
    let out = format!("run-{}", runs.count() + 1);
    let common = "train table.csv --target y --device cpu --quiet --epochs 2 --layers 5:tanh";
    place.ok(&format!("{common} --out {out} {options}"));
    place.model(&out)
}

#[test]
fn earlier_names_of_options_do_what_the_new_ones_do() {
    let place = Place::new();
    place.write("table.csv", plane());
    // In two epochs the last one is the best.
    for (old, new) in [
        ("--keep last", "--keep-weights last"),
        ("--log a", "--log-transform a"),
        ("--momentum 0.5", "--beta1 0.5"),
    ] {
        let (by_old, by_new) = (trained(&place, old), trained(&place, new));
        assert_eq!(by_old, by_new, "{old}");
        let is_the_default = old == "--keep last";
        assert!(is_the_default || by_old != trained(&place, ""), "{old} has an effect");
    }
    // `--output` makes the directory that `--out` makes.
    place.ok("train xor --device cpu --quiet --epochs 1 --output by-output");
    place.ok("train xor --device cpu --quiet --epochs 1 -o by-o");
    assert_eq!(place.model("by-output"), place.model("by-o"));
    place.ok("train --data xor --device cpu --quiet --epochs 1 --out by-data");
    assert_eq!(place.model("by-data"), place.model("by-o"));

    let predict = "predict run-2 table.csv --device cpu";
    let kept = place.ok(&format!("{predict} --keep a")).stdout;
    assert_eq!(place.ok(&format!("{predict} --keep-columns a")).stdout, kept);
    place.ok(&format!("{predict} --keep a --output old.csv"));
    place.ok(&format!("{predict} --keep-columns a --out new.csv"));
    assert_eq!((place.read("old.csv"), place.read("new.csv")), (kept.clone(), kept));
    place.ok("export run-2 --output net.c");
    place.ok("export run-2 --out net2.c");
}

#[test]
fn earlier_names_are_read_from_files_and_the_environment() {
    let place = Place::new();
    place.write("table.csv", plane());
    let new = trained(&place, "--keep-weights last --log-transform a");
    place.write("old.toml", "keep = \"last\"\nlog = [\"a\"]\n");
    assert_eq!(trained(&place, "--config old.toml"), new);
    let train = "train table.csv --target y --device cpu --quiet --epochs 2 --layers 5:tanh --out by-variable";
    let mut command = place.command(train);
    let by_variable =
        ran(command.env("WGRAD_KEEP", "last").env("WGRAD_LOG", "a").output().unwrap());
    assert_eq!(by_variable.code, 0, "{}", by_variable.stderr);
    assert!(!by_variable.stderr.contains("is not an option"), "{}", by_variable.stderr);
    assert_eq!(place.model("by-variable"), new);
    let config = place.read("by-variable/config.toml");
    assert!(config.contains("keep-weights = ") && config.contains("log-transform = "), "{config}");
    let wrong = ran(place.command(train).env("WGRAD_KEEP", "most").output().unwrap());
    assert!(wrong.stderr.contains("WGRAD_KEEP=most in the environment"), "{}", wrong.stderr);
}

#[test]
fn data_are_named_as_an_argument_by_every_command() {
    let place = Place::new();
    for (old, new) in [
        (
            "verify --data xor --layers 4:tanh --device cpu --json",
            "verify xor --layers 4:tanh --device cpu --json",
        ),
        (
            "check-gradients --data xor --layers 4:tanh --json",
            "check-gradients xor --layers 4:tanh --json",
        ),
    ] {
        assert_eq!(place.ok(old).stdout, place.ok(new).stdout);
    }
    let bench = place.ok("bench xor --device cpu --seconds 0.05 --layers 4:tanh --json").json();
    assert_eq!(bench[0]["case"], "xor");
    let resumed = place.ok("verify xor --checkpoints --device cpu --json").json();
    assert_eq!(
        (&resumed[0]["event"], &resumed[0]["passed"]),
        (&"verify_resume".into(), &true.into())
    );
    for args in ["train xor --data moons", "verify xor --data moons", "bench xor --data moons"] {
        let refused = place.run(args);
        assert_eq!(refused.code, 2, "{args}");
        assert!(
            refused.stderr.contains("two data sets: xor and --data moons"),
            "{}",
            refused.stderr
        );
    }
    let mut command = place.command("train xor --device cpu --quiet --epochs 1 --out xor");
    assert_eq!(
        ran(command.env("WGRAD_DATA", "moons").output().unwrap()).code,
        0,
        "an argument goes first"
    );
}

#[test]
fn no_help_text_mentions_an_earlier_name() {
    let place = Place::new();
    for command in
        ["train", "predict", "export", "verify", "bench", "check-gradients", "report", "import"]
    {
        let help = place.ok(&format!("{command} --help")).stdout;
        for old in ["--keep ", "--log ", "--output ", "--data ", "--image-colour", "--resume "] {
            let is_new = old == "--resume " && command == "train";
            assert!(is_new || !help.contains(old), "{old} in the help of {command}");
        }
    }
}

#[test]
fn momentum_and_beta1_are_for_their_own_optimizers() {
    let place = Place::new();
    for (options, text) in [
        ("--optimizer nesterov --beta1 0.9", "give --momentum instead of --beta1"),
        ("--optimizer sgd --beta1 0.9", "has no β₁"),
        ("--beta1 1.5", "β₁ of 1.5"),
        ("--momentum 0.9 --beta1 0.8", "--momentum cannot be used with --beta1"),
    ] {
        let refused = place.run(&format!("train xor {options}"));
        assert_eq!(refused.code, 2, "{options}: {}", refused.stderr);
        assert!(refused.stderr.contains(text), "{options}: {}", refused.stderr);
    }
}
