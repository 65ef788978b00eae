use super::*;
use crate::base::words::thousands;

/// A table of so many rows.
fn about(kind: Kind, rows: usize, targets: &Targets) -> About<'_> {
    About { kind, rows, groups: None, is_streamed: false, holds_out: false, targets }
}

fn classes() -> Targets {
    Targets::Classes { labels: vec![0, 1], names: vec!["a".into(), "b".into()] }
}

#[test]
fn settings_read_as_lines_and_as_a_file_alike() {
    let recipes =
        [&TABLES, &TABLES_OF_NUMBERS, &TABLES_ONE_NET, &TABLES_QUICK, &TABLES_STRONG, &TABLES_BEST];
    let texts = [
        IMAGES_QUICK,
        IMAGES_STRONG,
        IMAGES_BEST,
        OTHERS_QUICK,
        OTHERS_STRONG,
        OTHERS_BEST,
        DIGITS,
    ];
    for text in texts.into_iter().chain(recipes.map(|recipe| recipe.others)) {
        let lines = TrainConfig::from_lines(text).unwrap();
        assert_eq!(lines, TrainConfig::from_toml(text).unwrap(), "{text}");
        assert_ne!(lines, TrainConfig::default());
    }
    assert!(TrainConfig::from_lines("lr 3").is_err() && TrainConfig::from_lines("lr = x").is_err());
}

#[test]
fn presets_are_options_and_what_is_given_goes_before_them() {
    for preset in Preset::ALL {
        for kind in [Kind::Digits, Kind::Images, Kind::Table, Kind::Other] {
            let mut given = TrainConfig::default();
            given.run.preset = Some(preset);
            given.run.epochs = Some(3);
            let complete = complete(given, &about(kind, 500, &classes())).unwrap();
            assert_eq!(complete.run.epochs, Some(3));
            assert!(complete.net.layers.is_some() && complete.step.lr.is_some());
        }
    }
}

#[test]
fn another_optimizer_keeps_its_own_rate() {
    let mut given = TrainConfig::default();
    given.step.optimizer = Some(Optimizer::Sgd);
    assert_eq!(
        complete(given.clone(), &about(Kind::Table, 500, &classes())).unwrap().step.lr,
        None
    );
    given.run.preset = Some(Preset::Best);
    let best = complete(given, &about(Kind::Table, 500, &classes())).unwrap();
    assert_eq!(best.step.lr, None, "a preset's rate is for its own optimizer");
    assert_eq!(best.step.weight_decay, None, "adamw's decay is not that of other rules");
}

/// A cross-validation evaluates the settings that a run without options has.
#[test]
fn the_nets_of_folds_have_the_settings_of_the_default() {
    let targets = classes();
    let of = |options: &str, rows| {
        let config = TrainConfig::from_toml(options).unwrap();
        complete(config, &about(Kind::Table, rows, &targets)).unwrap()
    };
    for rows in [500, 3200, 20_000, 40_000] {
        let (plain, mut folds) = (of("", rows), of("folds = 5", rows));
        assert_eq!(folds.run.ensemble.unwrap().to_string(), "1");
        (folds.run.folds, folds.run.ensemble) = (None, plain.run.ensemble);
        assert_eq!(folds, plain, "{rows} rows");
    }
    assert_eq!(of("folds = 5", 3200).run.epochs, Some(10));
    // Without a choice of the epoch, as for a single net: 4,000 steps.
    assert_eq!(of("folds = 5\nkeep-weights = \"last\"", 3200).run.epochs, Some(80));
}

#[test]
fn tables_are_trained_by_steps_and_with_the_nets_of_folds_where_nothing_else_is_held_out() {
    let targets = classes();
    let epochs = |rows| {
        let found = complete(TrainConfig::default(), &about(Kind::Table, rows, &targets)).unwrap();
        found.run.epochs.unwrap()
    };
    // Three nets of 500 steps of 64 rows, of 8 to 60 epochs, or 20 from 10,000 rows; one of 4,000, of 20 to 150 epochs.
    assert_eq!([100, 3200, 9000, 20_000].map(epochs), [60, 10, 8, 20]);
    assert_eq!([15, 40_000, 1_000_000].map(epochs), [150, 20, 20]);
    let ensemble = |options: &str, about: &About<'_>| {
        let config = TrainConfig::from_toml(options).unwrap();
        complete(config, about).unwrap().run.ensemble.unwrap().to_string()
    };
    let small = about(Kind::Table, 500, &targets);
    assert_eq!(ensemble("", &small), "3:folds");
    assert_eq!(ensemble("preset = \"best\"", &small), "10:folds");
    assert_eq!(ensemble("preset = \"quick\"", &small), "1");
    let of_groups = |groups| About { groups: Some(groups), ..small };
    let by_groups = |groups| ensemble("split = \"group:a\"", &of_groups(groups));
    assert_eq!([1, 2, 90].map(by_groups), ["1", "2:folds", "3:folds"]);
    let strong = "split = \"group:a\"\npreset = \"strong\"";
    assert_eq!(ensemble(strong, &of_groups(4)), "4:folds");
    for options in [
        "validation = 0.2",
        "validation = 0",
        "split = \"time:t\"",
        "split = \"column:c\"",
        "folds = 3",
        "init = \"w\"",
        "stop-at = \"accuracy=1\"",
        "keep = \"last\"",
        "ensemble = 1",
    ] {
        assert_eq!(ensemble(options, &small), "1", "{options}");
    }
    for about in [
        About { rows: 40_000, ..small },
        About { rows: 9, ..small },
        About { is_streamed: true, ..small },
        About { holds_out: true, ..small },
    ] {
        assert_eq!(ensemble("", &about), "1", "{about:?}");
        assert_eq!(ensemble("preset = \"strong\"", &about), "1", "{about:?}");
    }
}

#[test]
fn the_documented_defaults_are_those_of_the_recipes() {
    let documented = include_str!("../defaults.md");
    let several = |recipe: &Recipe| {
        assert_eq!(recipe.nets, 3);
        format!("{} to {}", recipe.least_epochs[0], recipe.most_epochs)
    };
    for part in [
        format!("{LEAST_FOLDED} to {}", thousands(FOLDED as f64)),
        TABLES.layers[0].replace(',', ", "),
        format!("{} for classes", TABLES.others.trim_start_matches("lr = ")),
        format!("{} for numbers", TABLES_OF_NUMBERS.others.trim_start_matches("lr = ")),
        format!("{} for 1 net", TABLES_ONE_NET.others.trim_start_matches("lr = ")),
        format!("about {} steps for two classes", TABLES.steps),
        format!("{} for numbers, within", thousands(TABLES_OF_NUMBERS.steps as f64)),
        format!("within {} and {} epochs", several(&TABLES), several(&TABLES_OF_NUMBERS)),
        format!("at least {} from {}", TABLES.least_epochs[1], thousands(WIDE_FROM as f64)),
        format!("about {} steps, within", thousands(TABLES_ONE_NET.steps as f64)),
        format!("{} to {}", TABLES_ONE_NET.least_epochs[0], TABLES_ONE_NET.most_epochs),
        format!("| {BATCH} |"),
    ] {
        assert!(documented.contains(&part), "{part}");
    }
}
