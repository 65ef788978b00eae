//! The commands as a user runs them.

use crate::cli_support::{Place, idx, plane, ran};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_net_is_trained_measured_used_and_looked_at() {
    let place = Place::new();
    let trained = place.ok("train --device cpu --epochs 4");
    assert!(trained.stderr.contains("device: CPU (cpu, f32,"), "{}", trained.stderr);
    assert!(trained.stderr.contains(": as requested\n"), "why it was taken: {}", trained.stderr);
    assert_eq!(trained.stderr.matches("epoch ").count(), 4, "{}", trained.stderr);
    assert!(!trained.stderr.contains('\u{1b}'), "no control characters without a terminal");
    assert!(trained.stdout.contains("wgrad predict runs/digits-1"), "{}", trained.stdout);
    assert_eq!(
        place.names("runs/digits-1"),
        [
            "README.md",
            "checkpoint",
            "config.toml",
            "linear.safetensors",
            "metrics.csv",
            "metrics.jsonl",
            "model.safetensors",
            "report.html",
            "report.json"
        ]
    );

    let evaluated = place.ok("evaluate runs/digits-1 digits --device cpu --json").json();
    assert_eq!(evaluated.len(), 1);
    assert!(evaluated[0]["accuracy"].as_f64().unwrap() > 0.9, "{}", evaluated[0]);
    assert_eq!(evaluated[0]["rows"], 1797);

    let printed = place.ok("predict runs/digits-1 digits --device cpu").stdout;
    place.ok("predict runs/digits-1 digits --device cpu -o out.csv");
    assert_eq!(place.read("out.csv"), printed);
    let mut lines = printed.lines();
    assert_eq!(lines.next(), Some("class,p_0,p_1,p_2,p_3,p_4,p_5,p_6,p_7,p_8,p_9"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 1797);
    // The set begins with one of each digit in order.
    let right = (0..10).filter(|&i| rows[i][0] == i.to_string()).count();
    assert!(right >= 8, "{right}");
    let sum: f32 = rows[0][1..].iter().map(|p| p.parse::<f32>().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5);

    let shown = place.ok("inspect runs/digits-1").stdout;
    for part in ["64 → 128 relu → 10 identity", "9,610 parameters", "outer product", "epochs = 4"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let json = &place.ok("inspect runs/digits-1/model.safetensors --json").json()[0];
    assert_eq!((&json["parameters"], &json["layers"][1]["units"]), (&9610.into(), &10.into()));
}

#[test]
fn events_on_standard_output_are_those_of_the_contract() {
    let place = Place::new();
    let run = place.ok("train moons --device cpu --epochs 3 --json --out here");
    assert!(!run.stderr.contains("epoch"), "{}", run.stderr);
    let events = run.json();
    let names: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["start", "epoch", "epoch", "epoch", "end"]);
    for key in
        ["epoch", "step", "train_loss", "seconds", "samples_per_second", "valid_loss", "accuracy"]
    {
        assert!(events[2][key].is_number(), "{key} in {}", events[2]);
    }
    assert_eq!((&events[2]["epoch"], &events[2]["step"]), (&2.into(), &30.into()));
    let end = &events[4];
    assert_eq!((&end["run"], &end["backend"]), (&"here".into(), &"cpu".into()));
    assert!(end["device"].is_string() && end["seconds"].is_number(), "{end}");
    assert!(end["valid"]["accuracy"].is_number() && end["test"].is_null(), "{end}");
    let recorded: Vec<Value> = place
        .read("here/metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(recorded, events, "the run directory keeps the same events");
}

#[test]
fn the_same_options_give_the_same_weights_whatever_the_threads() {
    let place = Place::new();
    let options = "--device cpu --quiet --epochs 2 --layers 9:tanh*5+sine*4 --optimizer nesterov \
                   --momentum 0.8 --lr 0.01 --seed 5 --bias subtract --initializer normal(0.3) \
                   --schedule cosine --weight-decay 0.001 --batch-size 50";
    place.ok(&format!("train spiral {options} --threads 1 --out one"));
    place.ok(&format!("train spiral {options} --threads 2 --out two"));
    place.ok("train --config one/config.toml --threads 2 --quiet --out again");
    let model = place.model("one");
    assert_eq!(place.model("two"), model);
    assert_eq!(place.model("again"), model);
    assert_eq!(
        place.read("again/config.toml").replace("threads = 2", "threads = 1"),
        place.read("one/config.toml")
    );
    place.ok(&format!("train spiral {options} --seed 6 --out other").replace("--seed 5", ""));
    assert_ne!(place.model("other").members[0], model.members[0]);
}

#[test]
fn a_run_can_start_from_given_weights_and_keep_the_order_of_the_rows() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let run = |out: &str, options: &str| {
        let common =
            "train plane.csv --device cpu --quiet --validation 0 --layers 5:tanh --epochs 2";
        place.ok(&format!("{common} --out {out} {options}"));
        place.model(out).members
    };
    let first = run("first", "--seed 1");
    let init = "--init first/model.safetensors --no-shuffle";
    let a = run("a", &format!("{init} --seed 2"));
    assert_eq!(run("b", &format!("{init} --seed 3")), a, "no seed is left to matter");
    assert_ne!(a, first);
    assert_ne!(run("c", "--init first/model.safetensors --seed 2"), a);
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let place = Place::new();
    place.write("run.toml", "data = 'xor'\nepochs = 7\nlr = 0.5\nlayers = '3:tanh'\n");
    let output = place
        .command("train --config run.toml --lr 0.25 --dry-run --json")
        .env("WGRAD_LR", "0.125")
        .env("WGRAD_EPOCHS", "9")
        .output()
        .unwrap();
    let plan = &ran(output).json()[0];
    assert_eq!((&plan["epochs"], &plan["data"]), (&9.into(), &"xor".into()));
    let config = plan["config"].as_str().unwrap();
    assert!(config.contains("lr = 0.25") && config.contains("layers = \"3:tanh\""), "{config}");
    assert!(config.contains("batch-size = 64"), "defaults are written too: {config}");
    assert_eq!(place.names(""), ["run.toml"], "nothing is written ahead");
}

#[test]
fn run_directories_are_numbered_and_replaced_only_on_request() {
    let place = Place::new();
    let train = "train xor --device cpu --quiet --epochs 1";
    place.ok(train);
    place.ok(train);
    assert_eq!(place.names("runs"), ["xor-1", "xor-2"]);
    let refused = place.run(&format!("{train} --out runs/xor-1"));
    assert!(refused.code == 2 && refused.stderr.contains("--force"), "{}", refused.stderr);
    place.ok(&format!("{train} --out runs/xor-1 --force --layers 3:tanh"));
    assert_eq!(place.model("runs/xor-1").net.layers[0].units, 3);
    assert_eq!(place.names("runs"), ["xor-1", "xor-2"]);
}

#[test]
fn numbers_are_learnt_and_predicted_by_the_names_of_the_columns() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let train = "train plane.csv --device cpu --quiet --epochs 60 --layers 16:tanh --lr 0.02 --schedule constant --scaling standard --json --out run";
    let events = place.ok(train).json();
    assert!(events.last().unwrap()["valid"]["r2"].as_f64().unwrap() > 0.98, "{:?}", events.last());
    place.write("new.csv", "id,b,a\n7,2,5\n8,10,0\n");
    let predicted = place.ok("predict run new.csv --device cpu").stdout;
    let lines: Vec<&str> = predicted.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "y"));
    let error = |line: &str, y: f64| (line.parse::<f64>().unwrap() - y).abs();
    assert!(error(lines[1], 21.25) < 3.0 && error(lines[2], -9.75) < 3.0, "{predicted}");
    let evaluated = place.ok("evaluate run plane.csv --device cpu --json");
    assert!(evaluated.stderr.contains("was trained on"), "{}", evaluated.stderr);
    assert!(evaluated.json()[0]["rmse"].as_f64().unwrap() < 3.0);
}

#[test]
fn a_test_part_is_measured_at_the_end_and_a_run_may_stop_by_it() {
    let place = Place::new();
    // Two classes: the upper or the lower half of a 2 × 2 image is bright.
    let labels: Vec<u8> = (0..40).map(|i| i % 2).collect();
    let images: Vec<u8> = (0..40u8)
        .flat_map(|i| if i % 2 == 0 { [200, 190, i, 3] } else { [i, 5, 210, 180] })
        .collect();
    for (part, rows) in [("train", 40), ("t10k", 20)] {
        place.write(
            &format!("set/{part}-labels-idx1-ubyte"),
            idx(&[rows], &labels[..rows as usize]),
        );
        let pixels = &images[..rows as usize * 4];
        place.write(&format!("set/{part}-images-idx3-ubyte"), idx(&[rows, 2, 2], pixels));
    }
    let events = place.ok("train set --device cpu --epochs 2 --json --out a").json();
    let end = events.last().unwrap();
    assert!(end["test"]["accuracy"].is_number() && end["valid"]["accuracy"].is_number(), "{end}");
    let stopped = place.ok(
        "train set --device cpu --epochs 500 --batch-size 8 --validation 0 --stop-at accuracy=1 --json --out b",
    );
    let events = stopped.json();
    let end = events.last().unwrap();
    assert_eq!((&end["ending"], &end["test"]["accuracy"]), (&"stopped".into(), &1.0.into()));
    assert!(end["epochs"].as_u64().unwrap() < 500 && end["valid"].is_null());
    assert!(events[1]["test_loss"].is_number() && events[1]["valid_loss"].is_null());
    let evaluated = place.ok("evaluate b set --device cpu --json");
    assert_eq!(evaluated.json()[0]["rows"], 20, "the test part is taken");
    assert!(!evaluated.stderr.contains("was trained on"));
    assert_eq!(place.ok("predict b set --device cpu").stdout.lines().count(), 21);
}

#[test]
fn gradients_and_kernels_are_checked_on_request() {
    let place = Place::new();
    let passed =
        place.ok("check-gradients --data xor --layers 4:tanh*2+gaussian*2 --bias subtract");
    for part in ["worst       layers.", "analytic    ", "numerical   ", "passed"] {
        assert!(passed.stdout.contains(part), "{part} in {}", passed.stdout);
    }
    // Differences over a step so wide aren't derivatives.
    let failed = place.run("check-gradients --data xor --layers 4:tanh --step 0.9");
    assert_eq!(failed.code, 1, "{}", failed.stdout);
    assert!(failed.stdout.contains("FAILED"), "{}", failed.stdout);
    place.ok("train moons --device cpu --quiet --epochs 1 --layers 6:silu --out run");
    place.ok("check-gradients run");
    let verified = place.ok("verify moons --layers 5:mish --device cpu").stdout;
    let last = verified.lines().last().unwrap();
    assert!(last.starts_with("passed: ") && last.contains(" results on CPU"), "{verified}");
    assert_eq!(verified.matches("\nok ").count(), 3, "the worst three: {verified}");
    let all = place.ok("verify moons --layers 5:mish --device cpu --all").stdout;
    assert!(all.matches("\nok ").count() > 30 && all.ends_with(&format!("{last}\n")), "{all}");
}

#[test]
fn devices_and_completions_are_printed() {
    let place = Place::new();
    let devices = &place.ok("devices --json").json()[0];
    assert!(devices["adapters"].is_array() && devices["cpu"]["detail"].is_string());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.ok(&format!("completions {shell}")).stdout.contains("check-gradients"));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_work_quietly() {
    let place = Place::new();
    place.ok("train xor --device cpu --quiet --epochs 1 --out run");
    for (args, code) in [
        ("inspect run", 0),
        ("predict run xor --device cpu", 0),
        ("train digits --device cpu --epochs 100000 --json --out endless", 1),
    ] {
        let mut child =
            place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, code, "{args}: {}", ran.stderr);
        assert!(!ran.stderr.contains("error"), "{args}: {}", ran.stderr);
    }
    place.model("endless");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_its_model() {
    let place = Place::new();
    let child = place
        .command("train digits --device cpu --epochs 1000000 --out run")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let metrics = place.path("run/metrics.jsonl");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60)
        && !std::fs::read_to_string(&metrics).is_ok_and(|text| text.contains("\"epoch\":2,"))
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
    let ran = ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("interrupted: finishing the step and saving the model"));
    assert!(ran.stdout.contains("interrupted"), "{}", ran.stdout);
    place.model("run");
    let last = place.read("run/metrics.jsonl").lines().last().unwrap().to_string();
    assert!(last.contains("\"ending\":\"interrupted\""), "{last}");
}

#[test]
fn a_trained_net_is_timed_against_its_floor() {
    let place = Place::new();
    place.ok("train moons --device cpu --epochs 1 --layers 8:tanh --batch-size 50 --out here");
    let told = place.ok("bench here --device cpu --seconds 0.1");
    assert!(told.stdout.contains("per step of 50 rows"), "{}", told.stdout);
    let line = &place.ok("bench here --device cpu --seconds 0.1 --json").json()[0];
    let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"));
    let parts = [
        ("arithmetic", "arithmetic_seconds"),
        ("bandwidth", "bandwidth_seconds"),
        ("dispatches", "dispatch_seconds"),
        ("host", "host_seconds"),
    ]
    .map(|(bound, key)| (bound, number(key)));
    let (bound, largest) = parts.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(largest > 0.0 && line["bound"] == bound, "bound by {bound}: {line}");
    // serde_json reads numbers back to within a last place.
    let share = largest / number("step_seconds");
    assert!((number("share") / share - 1.0).abs() < 1e-12, "bound by {bound}: {line}");
    assert_eq!(place.run("bench here --case S64").code, 2);
}

#[test]
fn a_bench_takes_turns_when_asked_to() {
    let place = Place::new();
    let mut command = place.command("bench --data xor --device cpu --seconds 0.05 --serve");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"\n\n").unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "ready"), "{out}");
    let measured: Value = serde_json::from_str(lines[2]).unwrap();
    assert!(measured["samples_per_second"].as_f64().unwrap() > 0.0, "{measured}");
}
