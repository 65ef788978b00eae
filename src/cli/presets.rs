//! What suits the data at hand better than the general defaults, and the presets. An option that is
//! given goes before both. Each of them is options in a file's words, so that what a preset does can be
//! written down and changed; `benches/RESULTS.md` and `benches/tables/RESULTS.md` have what they reach.

use crate::config::{Calibration, Ensemble, Preset, TrainConfig};
use crate::data::Targets;
use crate::data::split::Split;
use crate::error::Result;
use crate::init::Init;
use crate::optim::Optimizer;
use crate::schedule::Schedule;

/// The kinds of data that settings are known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bundled digits, of which there are few.
    Digits,
    /// Images of 0 to 255.
    Images,
    /// Columns of a table.
    Table,
    /// Anything else: generated points, arrays of numbers.
    Other,
}

/// What settings are chosen by.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub kind: Kind,
    /// Those that are trained on and those that are held out of them.
    pub rows: usize,
    /// Whether the table is larger than the memory limit.
    pub is_streamed: bool,
    /// Whether the data hold rows out by themselves.
    pub holds_out: bool,
    pub targets: &'a Targets,
}

const IMAGES_QUICK: &str = r#"
layers = "256:relu"
epochs = 5
batch-size = 128
lr = 0.002
schedule = "cosine"
"#;

const IMAGES_STRONG: &str = r#"
layers = "800:relu,800:relu"
epochs = 60
batch-size = 128
lr = 0.001
schedule = "cosine"
dropout = 0.5
input-dropout = 0.2
"#;

const IMAGES_BEST: &str = r#"
layers = "1024:relu,1024:relu"
epochs = 70
batch-size = 128
lr = 0.001
schedule = "cosine"
augment = "standard"
ema = 0.999
"#;

const TABLES_QUICK: &str = r#"
layers = "64:relu"
epochs = 10
lr = 0.003
schedule = "cosine"
"#;

const TABLES_STRONG: &str = r#"
layers = "256:relu,256:relu"
epochs = 60
batch-size = 128
lr = 0.003
schedule = "cosine"
optimizer = "adamw"
weight-decay = 0.1
dropout = 0.1
initializer = "xavier-uniform"
ensemble = "5:folds"
"#;

const TABLES_BEST: &str = r#"
layers = "256:relu,256:relu,256:relu"
epochs = 100
batch-size = 128
lr = 0.002
schedule = "cosine"
optimizer = "adamw"
weight-decay = 0.1
dropout = 0.1
initializer = "xavier-uniform"
ensemble = "10:folds"
"#;

/// The settings of a preset for that kind of data, as a file of options.
fn text(preset: Preset, kind: Kind) -> &'static str {
    match (preset, kind) {
        (Preset::Quick, Kind::Images) => IMAGES_QUICK,
        (Preset::Strong, Kind::Images) => IMAGES_STRONG,
        (Preset::Best, Kind::Images) => IMAGES_BEST,
        (Preset::Quick, _) => TABLES_QUICK,
        (Preset::Strong, _) => TABLES_STRONG,
        (Preset::Best, _) => TABLES_BEST,
    }
}

/// How many steps a net takes over the rows of a table, within bounds for the epochs: with few rows more
/// epochs only learn them by heart, with many rows each epoch is worth much.
const STEPS: usize = 4000;
const EPOCHS: [usize; 2] = [20, 150];
/// The rows of a batch, unless something else is asked for.
const BATCH: usize = 64;
/// Up to so many rows a table is worth the time for the nets of folds.
const FOLDED: usize = 30_000;
/// The nets of a table without a preset.
const NETS: usize = 5;

/// Completes the options by the preset that is asked for, and by what suits the data.
pub(super) fn complete(config: TrainConfig, about: &About<'_>) -> Result<TrainConfig> {
    let mut config = match config.run.preset {
        Some(preset) => {
            let mut preset = TrainConfig::from_toml(text(preset, about.kind))?;
            let name = |optimizer: Option<Optimizer>| optimizer.map_or("adam", Optimizer::name);
            if name(config.step.optimizer) != name(preset.step.optimizer)
                && config.step.optimizer.is_some()
            {
                // Its rate is for its own rule, and so are its decay and its batches.
                (preset.step.lr, preset.step.weight_decay) = (None, None);
                if config.step.optimizer.is_some_and(Optimizer::needs_full_batch) {
                    preset.step.batch_size = None;
                }
            }
            if about.kind != Kind::Table || !takes_folds(&config, about) {
                preset.run.ensemble = None;
            }
            config.or(preset)
        }
        None => config,
    };
    let lr = match about.kind {
        Kind::Digits => 0.007,
        Kind::Table => {
            suit_table(&mut config, about);
            0.003
        }
        Kind::Images | Kind::Other => return Ok(config),
    };
    config.run.epochs.get_or_insert(30);
    // Other rules have rates of their own.
    if matches!(
        config.step.optimizer,
        None | Some(Optimizer::Adam { .. } | Optimizer::AdamW { .. })
    ) {
        config.step.lr.get_or_insert(lr);
    }
    Ok(config)
}

/// What suits tables: `benches/tables/RESULTS.md` shows what each of these gains over many of them.
fn suit_table(config: &mut TrainConfig, about: &About<'_>) {
    config.step.schedule.get_or_insert(Schedule::Cosine);
    config.net.initializer.get_or_insert(Init::XavierUniform);
    if config.run.preset.is_none() {
        if takes_folds(config, about) {
            config.run.ensemble.get_or_insert(Ensemble { nets: NETS, by_folds: true });
        }
        if config.net.layers.is_none() {
            config.net.layers = "128,128".parse().ok();
        }
    }
    config.run.ensemble.get_or_insert(Ensemble { nets: 1, by_folds: false });
    let batch = config.step.batch_size.unwrap_or(BATCH);
    let steps = about.rows.div_ceil(batch.min(about.rows).max(1)).max(1);
    config.run.epochs.get_or_insert((STEPS / steps).clamp(EPOCHS[0], EPOCHS[1]));
    if !matches!(about.targets, Targets::Numbers(_)) {
        config.run.calibrate.get_or_insert(Calibration::Temperature);
        // The share of right rows is too coarse where a tenth of few rows is held out.
        if config.run.stop_at.is_none() {
            config.run.metric.get_or_insert_with(|| "loss".into());
        }
    }
}

/// Whether the nets of folds may be trained where one net was not asked for: nothing is said of the rows
/// that are held out, or of what needs one net.
fn takes_folds(config: &TrainConfig, about: &About<'_>) -> bool {
    let run = &config.run;
    let is_free = run.validation.is_none()
        && matches!(run.split, None | Some(Split::Random | Split::Stratified | Split::Group(_)))
        && (run.folds, run.fold, run.member) == (None, None, None)
        && run.init.is_none()
        && run.stop_at.is_none()
        && run.keep.is_none();
    let is_small = (2 * NETS..=FOLDED).contains(&about.rows);
    is_free && is_small && !about.is_streamed && !about.holds_out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of so many rows.
    fn about(kind: Kind, rows: usize, targets: &Targets) -> About<'_> {
        About { kind, rows, is_streamed: false, holds_out: false, targets }
    }

    fn classes() -> Targets {
        Targets::Classes { labels: vec![0, 1], names: vec!["a".into(), "b".into()] }
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

    #[test]
    fn tables_are_trained_by_steps_and_with_the_nets_of_folds_where_nothing_else_is_held_out() {
        let targets = classes();
        let epochs = |rows| {
            let found =
                complete(TrainConfig::default(), &about(Kind::Table, rows, &targets)).unwrap();
            found.run.epochs.unwrap()
        };
        // 4,000 steps of 64 rows, between 20 and 150 epochs.
        assert_eq!([100, 6400, 1_000_000].map(epochs), [150, 40, 20]);
        let ensemble = |options: &str, about: &About<'_>| {
            let config = TrainConfig::from_toml(options).unwrap();
            complete(config, about).unwrap().run.ensemble.unwrap().to_string()
        };
        let small = about(Kind::Table, 500, &targets);
        assert_eq!(ensemble("", &small), "5:folds");
        assert_eq!(ensemble("preset = \"best\"", &small), "10:folds");
        assert_eq!(ensemble("preset = \"quick\"", &small), "1");
        assert_eq!(ensemble("split = \"group:a\"", &small), "5:folds");
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
}
