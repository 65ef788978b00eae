//! What suits the data at hand better than the general defaults, and the presets. An option that is
//! given goes before both. Each of them is options in a file's words, so that what a preset does can be
//! written down and changed; `benches/RESULTS.md` and `benches/tables/RESULTS.md` have what they reach.

use crate::config::{Preset, TrainConfig};
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
epochs = 40
batch-size = 128
lr = 0.002
schedule = "cosine"
optimizer = "adamw"
weight-decay = 0.1
dropout = 0.05
initializer = "xavier-uniform"
"#;

const TABLES_BEST: &str = r#"
layers = "512:relu,512:relu,512:relu"
epochs = 50
batch-size = 128
lr = 0.001
schedule = "cosine"
optimizer = "adamw"
weight-decay = 0.1
dropout = 0.1
initializer = "xavier-uniform"
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

/// Completes the options by the preset that is asked for, and by what suits the data.
pub(super) fn complete(config: TrainConfig, kind: Kind) -> Result<TrainConfig> {
    let mut config = match config.run.preset {
        Some(preset) => {
            let mut preset = TrainConfig::from_toml(text(preset, kind))?;
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
            config.or(preset)
        }
        None => config,
    };
    let lr = match kind {
        Kind::Digits => 0.007,
        Kind::Table => {
            config.step.schedule.get_or_insert(Schedule::Cosine);
            config.net.initializer.get_or_insert(Init::XavierUniform);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_options_and_what_is_given_goes_before_them() {
        for preset in Preset::ALL {
            for kind in [Kind::Digits, Kind::Images, Kind::Table, Kind::Other] {
                let mut given = TrainConfig::default();
                given.run.preset = Some(preset);
                given.run.epochs = Some(3);
                let complete = complete(given, kind).unwrap();
                assert_eq!(complete.run.epochs, Some(3));
                assert!(complete.net.layers.is_some() && complete.step.lr.is_some());
            }
        }
    }

    #[test]
    fn another_optimizer_keeps_its_own_rate() {
        let mut given = TrainConfig::default();
        given.step.optimizer = Some(Optimizer::Sgd);
        assert_eq!(complete(given.clone(), Kind::Table).unwrap().step.lr, None);
        given.run.preset = Some(Preset::Best);
        let best = complete(given, Kind::Table).unwrap();
        assert_eq!(best.step.lr, None, "a preset's rate is for its own optimizer");
        assert_eq!(best.step.weight_decay, None, "adamw's decay is not that of other rules");
    }
}
