//! The effect of changed options on a resumed run, and the messages about it.

use crate::cli_support::{Place, plane};

#[test]
fn another_number_of_epochs_is_said_to_make_another_model_where_the_schedule_is_as_long_as_the_run()
{
    let place = Place::new();
    place.write("plane.csv", plane());
    let train = "train plane.csv --device cpu --epochs 2 --quiet";
    let note = "may give a different model than a run of 4 epochs from the start";
    for (run, options, is_said) in [
        ("cosine", "--schedule cosine", true),
        ("share", "--schedule constant --warmup 0.5", true),
        ("mean", "--schedule constant --swa 0.5", true),
        ("constant", "--schedule constant --warmup 2", false),
    ] {
        place.ok(&format!("{train} {options} --out {run}"));
        let went_on = place.ok(&format!("train --resume {run} --epochs 4 --quiet"));
        assert_eq!(went_on.stderr.contains(note), is_said, "{run}: {}", went_on.stderr);
        let config = place.read(&format!("{run}/config.toml"));
        assert_eq!(config.contains("trains the same model again"), !is_said, "{config}");
        assert_eq!(
            config.contains("# history: up to epoch 2 (step 2) as in a run of 2 epochs\n"),
            is_said,
            "{config}"
        );
        place
            .ok(&format!("{train} {options} --epochs 4 --out {run}-whole")
                .replace("--epochs 2 ", ""));
        let same = place.model(run).members == place.model(&format!("{run}-whole")).members;
        // A mean over the second half of either run begins behind the epochs that were done.
        assert_eq!(same, !is_said || run == "mean", "{run}");
    }
    // The history stays when the run is resumed once more.
    place.ok("train --resume cosine --epochs 5 --quiet");
    let config = place.read("cosine/config.toml");
    for line in [
        "up to epoch 2 (step 2) as in a run of 2 epochs",
        "up to epoch 4 (step 4) as in a run of 4 epochs",
    ] {
        assert!(config.contains(line), "{line} in {config}");
    }
    // Of no more epochs nothing is said.
    place.ok(&format!("{train} --schedule cosine --out again"));
    let same = place.ok("train --resume again --epochs 2");
    assert!(!same.stderr.contains("warning"), "{}", same.stderr);
}

#[test]
fn the_best_epoch_so_far_stays_comparable_whatever_ends_the_run() {
    let place = Place::new();
    let train = "train digits --device cpu --layers 16 --lr 0.02 --quiet";
    place.ok(&format!("{train} --epochs 6 --out run"));
    let events = place.ok("train --resume run --epochs 7 --stop-at roc_auc=0.999999 --json").json();
    let end = events.last().unwrap();
    assert_eq!(end["best"]["metric"], "accuracy", "{end}");
    let all: Vec<serde_json::Value> = place
        .read("run/metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let epochs = all.iter().filter(|event| event["event"] == "epoch");
    let highest = epochs.filter_map(|event| event["accuracy"].as_f64()).fold(0.0, f64::max);
    assert_eq!(end["best"]["value"].as_f64(), Some(highest), "{end}");
    assert!(place.read("run/config.toml").contains("metric = \"accuracy\""));
}
