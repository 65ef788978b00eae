//! Resuming a run that was interrupted, killed, or whose files were damaged gives the bits of an
//! uninterrupted run.

use crate::cli_support::{self, Place};
use crate::common::{Shared, cpu32, gpu, random_classes, random_data};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wgrad::data::{Dataset, Preprocessing};
use wgrad::files::checkpoint::{Saved, Store, load_checkpoint};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::optim::Optimizer;
use wgrad::math::random::{Random, Stream};
use wgrad::net::spec::{Net, PlanKind, Spec};
use wgrad::net::stopping::{Keep, Stopping};
use wgrad::train::event::{Ending, Flow, Observer, Progress};
use wgrad::train::snapshot::{Checkpoint, Position};
use wgrad::train::trainer::Trainer;

/// A seed that differs from run to run, or that of `WGRAD_TEST_SEED`; it is printed.
fn seed(test: &str) -> u64 {
    let given = std::env::var("WGRAD_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = given.unwrap_or_else(now);
    println!("{test}: WGRAD_TEST_SEED={seed}");
    seed
}

/// A number from 0 to below `end`.
fn draw(random: &mut Random, end: u64) -> u64 {
    rand::RngExt::random_range(random, 0..end)
}

/// Ends a run at a step, and stores its checkpoints.
struct EndsAt {
    step: u64,
    taken: Vec<std::sync::Arc<Checkpoint>>,
}

impl Observer for EndsAt {
    fn progress(&mut self, progress: &Progress) -> Flow {
        if progress.step >= self.step { Flow::Interrupt } else { Flow::Continue }
    }
    fn wants_checkpoint(&mut self, position: &Position) -> bool {
        position.step % 2 == 1
    }
    fn checkpoint(&mut self, checkpoint: &std::sync::Arc<Checkpoint>) -> wgrad::Result<()> {
        self.taken.push(checkpoint.clone());
        Ok(())
    }
}

fn spec(optimizer: Optimizer, plan: PlanKind) -> (Spec, Dataset, Dataset) {
    // One and a half panels: weights that lie packed in the fused plan on the CPU.
    let net = Net::new(6).layer(48, Activation::Tanh).layer(3, Activation::Identity);
    let stopping = Stopping { keep: Keep::Best, ..Stopping::default() };
    let spec = Spec {
        batch_size: 4,
        lr: 0.01,
        seed: 5,
        plan,
        stopping,
        ..Spec::new(net, Loss::CrossEntropy)
    };
    let mut spec = Spec { optimizer, ..spec }.epochs(3);
    if optimizer.needs_full_batch() {
        spec = Spec { batch_size: 50, ..spec }.epochs(30);
    }
    (spec, random_classes(50, 6, 3, 1), random_classes(20, 6, 3, 2))
}

/// Trains through interruptions at random steps, each time with a new trainer from a checkpoint's
/// file, on each of `backends` in turn; and compares the result with an uninterrupted run.
fn goes_on_exactly(backends: &[Shared], optimizer: Optimizer, plan: PlanKind, random: &mut Random) {
    let (spec, training, validation) = spec(optimizer, plan);
    let none = || Preprocessing::none(&training);
    let mut whole = Trainer::new(&spec, &training, none(), backends[0].boxed()).unwrap();
    let end = whole.fit(Some(&validation), &mut ()).unwrap();
    let expected = whole.checkpoint().unwrap();

    let place = tempfile::tempdir().unwrap();
    let store = Store::new(place.path().into(), 2);
    let mut from: Option<Checkpoint> = None;
    for turn in 0.. {
        let backend = backends[turn % backends.len()].boxed();
        let mut run = match &from {
            None => Trainer::new(&spec, &training, none(), backend).unwrap(),
            Some(checkpoint) => {
                Trainer::resume(&spec, &training, none(), backend, checkpoint).unwrap()
            }
        };
        let step = run.position().step + 1 + draw(random, end.steps / 5);
        let mut ends = EndsAt { step, taken: Vec::new() };
        let ended = run.fit(Some(&validation), &mut ends).unwrap();
        if ended.ending == Ending::Done {
            let found = run.checkpoint().unwrap();
            assert_eq!(found.now, expected.now, "{optimizer}");
            assert_eq!(found.best, expected.best, "{optimizer}");
            assert_eq!(ended.valid, end.valid);
            assert!(turn > 2, "{turn} interruptions");
            return;
        }
        // From the last step, or from a checkpoint that was taken before.
        let last = run.checkpoint().unwrap();
        let taken = ends.taken.pop().filter(|_| draw(random, 2) == 0);
        let checkpoint = taken.unwrap_or_else(|| std::sync::Arc::new(last));
        let saved = Saved { checkpoint, config: "epochs = 3".into(), events: 7, ended: None };
        let path = store.write(&saved).unwrap();
        let read = load_checkpoint(&path).unwrap();
        assert_eq!(read, saved);
        from = Some((*read.checkpoint).clone());
    }
}

#[test]
fn a_run_that_is_gone_on_with_comes_to_the_same_bits_on_the_cpu() {
    let mut random = Random::new(seed("resume on the CPU"), Stream::Check, 0);
    for optimizer in Optimizer::ALL {
        for plan in PlanKind::ALL {
            goes_on_exactly(&[1, 2, 3].map(cpu32), optimizer, plan, &mut random);
        }
    }
}

#[test]
fn a_run_that_is_gone_on_with_comes_to_the_same_bits_on_the_gpu() {
    let Some(gpu) = gpu("a_run_that_is_gone_on_with_comes_to_the_same_bits_on_the_gpu") else {
        return;
    };
    let mut random = Random::new(seed("resume on the GPU"), Stream::Check, 0);
    for optimizer in [Optimizer::Sgd, Optimizer::ALL[3]] {
        for plan in PlanKind::ALL {
            goes_on_exactly(std::slice::from_ref(&gpu), optimizer, plan, &mut random);
        }
    }
}

#[test]
fn other_data_and_other_settings_are_refused() {
    let (spec, training, validation) = spec(Optimizer::ALL[3], PlanKind::Fused);
    let backend = cpu32(1);
    let none = || Preprocessing::none(&training);
    let mut run = Trainer::new(&spec, &training, none(), backend.boxed()).unwrap();
    run.fit(Some(&validation), &mut EndsAt { step: 5, taken: Vec::new() }).unwrap();
    let checkpoint = run.checkpoint().unwrap();
    let refused = |spec: &Spec, data: &Dataset| {
        let made = Trainer::resume(spec, data, none(), backend.boxed(), &checkpoint);
        made.err().expect("refused").to_string()
    };
    let same_shape = random_classes(50, 6, 3, 9);
    assert!(refused(&spec, &same_shape).contains("but different values"));
    let fewer = training.select(&[0, 1, 2, 3, 4]);
    assert!(refused(&spec, &fewer).contains("5 training rows of 6 columns, where it had 50"));
    let batch = refused(&Spec { batch_size: 8, ..spec.clone() }, &training);
    assert!(batch.contains("batch size: 4, not batch size: 8"), "{batch}");
    let sgd = refused(&spec.clone().optimizer(Optimizer::Sgd), &training);
    assert!(sgd.contains("optimizer: Adam"), "{sgd}");
    let numbers = random_data(Loss::SquaredError, 50, 6, 3, 1);
    assert!(!refused(&spec, &numbers).is_empty());
    let longer = spec.clone().epochs(9);
    let again = || Trainer::resume(&longer, &training, none(), backend.boxed(), &checkpoint);
    let judged_by = |validation: Option<&Dataset>| {
        again().unwrap().fit(validation, &mut ()).err().map(|error| error.to_string())
    };
    let other = judged_by(Some(&random_classes(20, 6, 3, 3))).unwrap();
    assert!(
        other.contains("the validation data are not those") && other.contains("different values")
    );
    let fewer = judged_by(Some(&validation.select(&[0, 1]))).unwrap();
    assert!(fewer.contains("2 validation rows of 6 columns, where it had 20"), "{fewer}");
    let last = Spec { stopping: Stopping::default(), ..longer.clone() };
    let mut unjudged =
        Trainer::resume(&last, &training, none(), backend.boxed(), &checkpoint).unwrap();
    let none_left = unjudged.fit(None, &mut ()).unwrap_err().to_string();
    assert!(none_left.contains("no validation rows, where it had 20"), "{none_left}");
    assert_eq!(judged_by(Some(&validation)), None);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let mut random = Random::new(seed("damage"), Stream::Check, 0);
    let (spec, training, validation) = spec(Optimizer::ALL[3], PlanKind::Fused);
    let place = tempfile::tempdir().unwrap();
    let store = Store::new(place.path().join("deep/checkpoint"), 2);
    assert!(store.newest().unwrap().is_none());
    let mut run =
        Trainer::new(&spec, &training, Preprocessing::none(&training), cpu32(1).boxed()).unwrap();
    let mut write = |step| {
        run.fit(Some(&validation), &mut EndsAt { step, taken: Vec::new() }).unwrap();
        let checkpoint = std::sync::Arc::new(run.checkpoint().unwrap());
        let saved = Saved { checkpoint, config: String::new(), events: step, ended: None };
        (store.write(&saved).unwrap(), saved)
    };
    let (first, _) = write(1);
    let (_, before) = write(16);
    let (newest, last) = write(20);
    assert!(!first.exists(), "two are kept");
    assert!(before.checkpoint.best.is_some());
    assert_eq!(store.newest().unwrap().unwrap().saved, last);
    let bytes = std::fs::read(&newest).unwrap();
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        let at = draw(&mut random, bytes.len() as u64) as usize;
        match draw(&mut random, 3) {
            0 => damaged.truncate(at),
            1 => damaged[at] ^= 1 << draw(&mut random, 8),
            _ => damaged.splice(at..at, [0; 3]).for_each(drop),
        }
        std::fs::write(&newest, &damaged).unwrap();
        let found = store.newest().unwrap().unwrap();
        assert!(found.saved == before, "damage at byte {at} of {}", bytes.len());
        assert_eq!(found.damaged.len(), 1);
    }
    std::fs::write(store.directory().join("00000002.safetensors"), b"").unwrap();
    std::fs::write(&newest, &bytes[..100]).unwrap();
    let error = store.newest().unwrap_err().to_string();
    assert!(error.contains("00000003.safetensors"), "{error}");
}

/// The events of a run, without what differs from run to run.
fn events(place: &Place, run: &str) -> Vec<Value> {
    let text = place.read(&format!("{run}/metrics.jsonl"));
    let mut all: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &mut all {
        let event = event.as_object_mut().unwrap();
        for key in ["run", "model", "seconds", "samples_per_second", "device"] {
            event.remove(key);
        }
        for key in ["bytes_read", "dispatches", "submissions", "train_loss"] {
            if event["event"] == "end" {
                event.remove(key);
            }
        }
    }
    all
}

/// Checks that a resumed run has the same files as an uninterrupted one.
fn assert_same(place: &Place, whole: &str, run: &str) {
    assert_eq!(place.model(run), place.model(whole));
    let mut found = events(place, run);
    found.retain(|event| event["event"] != "resume");
    assert_eq!(found, events(place, whole));
}

const ROWS: &str = "train digits --device cpu --quiet --layers 16:tanh --batch-size 32";

#[cfg(unix)]
fn kill(signal: &str, child: &std::process::Child) {
    std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_fifty_times_loses_nothing() {
    let mut random = Random::new(seed("killed fifty times"), Stream::Check, 0);
    let place = Place::new();
    let options = "--epochs 60 --checkpoint-every 0s --out";
    let begin = Instant::now();
    place.ok(&format!("{ROWS} {options} whole"));
    let whole = begin.elapsed().as_millis() as u64;
    // Until so long after its start a run is killed: the first moments, and the last, are too.
    let longest = whole.clamp(50, 1000);
    let (mut kills, mut runs) = (0, 0);
    while kills < 50 {
        runs += 1;
        let out = format!("run-{runs}");
        let mut args = format!("{ROWS} {options} {out}");
        loop {
            let mut command = place.command(&args);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let after = Duration::from_millis(draw(&mut random, longest));
            let begin = Instant::now();
            let mut ended = None;
            while ended.is_none() && (kills >= 50 || begin.elapsed() < after) {
                std::thread::sleep(Duration::from_millis(2));
                ended = child.try_wait().unwrap();
            }
            if let Some(status) = ended {
                assert!(status.success(), "{args}: {status}");
                break;
            }
            kill("-KILL", &child);
            kills += 1;
            child.wait().unwrap();
            if place.path(&out).join("config.toml").exists() {
                args = format!("train --quiet --resume {out}");
            } else if place.path(&out).exists() {
                // Killed before it began: there is nothing in it.
                std::fs::remove_dir_all(place.path(&out)).unwrap();
            }
        }
        assert_same(&place, "whole", &out);
        let left = place.names(format!("{out}/checkpoint"));
        assert_eq!(left.len(), 2, "{left:?}");
    }
    println!("{kills} kills in {runs} runs");
    assert!(kills >= 50);
}

#[cfg(unix)]
#[test]
fn ctrl_c_writes_a_checkpoint_and_the_run_goes_on_from_it() {
    let place = Place::new();
    let options = "--epochs 400 --out";
    place.ok(&format!("{ROWS} {options} whole"));
    let mut command = place.command(&format!("{ROWS} {options} run"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let metrics = place.path("run/metrics.jsonl");
    while begin.elapsed() < Duration::from_secs(60)
        && !std::fs::read_to_string(&metrics).is_ok_and(|text| text.contains("\"epoch\":2,"))
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill("-INT", &child);
    let ran = cli_support::ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(ran.stdout.contains("next        wgrad train --resume run"), "{}", ran.stdout);
    assert_eq!(place.names("run/checkpoint"), ["00000001.safetensors"]);

    // Another number of threads changes nothing.
    let resumed = place.ok("train --resume run --threads 1");
    assert!(resumed.stderr.contains("resume: run/checkpoint/00000001.safetensors"));
    assert_same(&place, "whole", "run");
    let lines = events(&place, "run");
    assert_eq!(lines.iter().filter(|event| event["event"] == "resume").count(), 1);

    let again = place.ok("train --resume run");
    assert!(again.stderr.contains("run is finished (trained, 400 epochs)"), "{}", again.stderr);
    let more = place.ok("train --resume run --epochs 402 --json");
    let names: Vec<_> = more.json().iter().map(|e| e["event"].to_string()).collect();
    assert_eq!(names, ["\"resume\"", "\"epoch\"", "\"epoch\"", "\"end\""]);
    place.ok(&format!("{ROWS} --epochs 402 --out longer"));
    assert_eq!(place.model("run"), place.model("longer"));
}

#[test]
fn what_would_make_another_run_of_it_is_refused() {
    let place = Place::new();
    place.write("data.csv", cli_support::plane());
    place.ok("train data.csv --device cpu --quiet --epochs 2 --layers 4 --out run");
    let refused = |args: &str, code: i32, text: &str| {
        let ran = place.run(&format!("train {args}"));
        assert_eq!(ran.code, code, "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(text), "{args}: {}", ran.stderr);
    };
    refused("--resume run --batch-size 7", 2, "--resume can't change it to --batch-size 7");
    refused("--resume run --layers 5", 2, "started with --layers 4:relu");
    refused("--resume run --optimizer sgd", 2, "started with --optimizer adam");
    refused("other.csv --resume run", 2, "--resume can't change it to --data");
    refused("--resume run --epochs 1", 2, "the run has already trained for 2 epochs");
    refused("--resume none", 3, "there is no run none");
    refused("--resume run --force", 2, "cannot be used with --force");
    place.ok("train data.csv --resume run --epochs 2 --layers 4:relu");
    place.write("data.csv", cli_support::plane().replace("10.25", "11.25"));
    refused("--resume run --epochs 3", 3, "the training data are not those of the run");
    place.write("data.csv", cli_support::plane());
    place.write("held-out.csv", cli_support::plane());
    let judged = "train data.csv --validation held-out.csv --device cpu --quiet --layers 4";
    place.ok(&format!("{judged} --epochs 2 --out judged"));
    place.write("held-out.csv", cli_support::plane().replace("10.25", "11.25"));
    refused("--resume judged --epochs 3", 3, "the validation data are not those of the run");
    place.write("held-out.csv", cli_support::plane());
    place.ok("train --resume judged --epochs 3 --quiet");
    let checkpoints = place.path("run/checkpoint");
    std::fs::write(checkpoints.join("00000001.safetensors"), b"half").unwrap();
    refused("--resume run --epochs 3", 3, "every checkpoint of the run is damaged");
    place.ok("train xor --device cpu --quiet --epochs 1 --folds 2 --out folds");
    refused("--resume folds", 2, "a run of folds");
    place.ok("train xor --device cpu --quiet --epochs 1 --keep-checkpoints 0 --out bare");
    assert!(!place.path("bare/checkpoint").exists());
}

#[test]
fn verify_proves_it_on_this_machine() {
    let place = Place::new();
    for args in [
        "digits --layers 9:tanh",
        "moons --optimizer sgd --batch-size 7",
        "digits --dropout 0.2 --norm batch",
        "digits --ema 0.99",
        "moons --swa 0.5 --schedule plateau",
        "digits --micro-batch 16",
        "digits --mixup 0.2 --schedule one-cycle --cycle-momentum",
        "digits --optimizer radam --clip-global-norm 1 --gradient-noise 0.01 --max-norm 1",
    ] {
        let report =
            &place.ok(&format!("verify --data {args} --resume --device cpu --json")).json()[0];
        assert_eq!((&report["passed"], &report["differs"]), (&true.into(), &Value::Null));
        let at = report["interrupted_at"].as_array().unwrap();
        let steps = report["steps"].as_u64().unwrap();
        assert!(at.len() > 2 && at.iter().all(|step| step.as_u64().unwrap() < steps), "{report}");
    }
    let told = place.ok("verify --data xor --resume --device cpu").stdout;
    assert!(told.starts_with("passed: ") && told.ends_with("tensors bit-identical\n"), "{told}");
}

/// A shell in which no file grows beyond some kilobytes stands in for a disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn a_run_outlives_a_disk_that_is_too_full_for_checkpoints() {
    let place = Place::new();
    let options = "train digits --device cpu --layers 64:tanh --checkpoint-every 0s --epochs";
    let limited = |args: &str, kilobytes: usize| {
        let program = env!("CARGO_BIN_EXE_wgrad");
        // `ulimit -f` counts blocks of 512 or 1,024 bytes, as the shell likes it.
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec {program} {args}");
        let mut command = std::process::Command::new("sh");
        let command = command.args(["-c", &script]).current_dir(place.path("."));
        cli_support::ran(command.output().unwrap())
    };
    // Enough for the model, not for a checkpoint, which is six times as large.
    let ran = limited(&format!("{options} 4 --out small"), 60);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("no checkpoint could be written").count(), 1, "{}", ran.stderr);
    place.model("small");
    assert!(place.names("small/checkpoint").is_empty());

    // A run that has a checkpoint keeps it whole when no other can be written.
    place.ok(&format!("{options} 2 --out run"));
    let before = std::fs::read(newest(&place.path("run/checkpoint"))).unwrap();
    let ran = limited("train --resume run --epochs 4", 60);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(std::fs::read(newest(&place.path("run/checkpoint"))).unwrap(), before);
    place.ok("train --resume run --epochs 4");
    place.ok(&format!("{options} 4 --out whole"));
    assert_eq!(place.model("run"), place.model("whole"));
}

fn newest(checkpoints: &Path) -> std::path::PathBuf {
    let mut all: Vec<_> =
        std::fs::read_dir(checkpoints).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.pop().unwrap()
}
