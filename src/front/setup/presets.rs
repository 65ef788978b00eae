//! Options that suit the data better than the general defaults, and the presets. Given options
//! take precedence over both. Presets are written like an options file, so that their effect can be
//! saved and changed; `benches/RESULTS.md` and `benches/tables/RESULTS.md` have their results.

use crate::base::error::Result;
use crate::data::Targets;
use crate::data::split::Split;
use crate::files::config::{Calibration, Ensemble, Preset, TrainConfig};
use crate::math::init::Init;
use crate::math::optim::Optimizer;
use crate::math::schedule::Schedule;

/// The kinds of data with known good settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The bundled digits, a small set.
    Digits,
    /// Images with values from 0 to 255.
    Images,
    /// Columns of a table.
    Table,
    /// Anything else: generated points, arrays of numbers.
    Other,
}

/// The properties of data by which settings are chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub kind: Kind,
    /// The number of training rows, including those held out of them.
    pub rows: usize,
    /// The number of groups, which are held out as a whole, if the rows are split by groups.
    pub groups: Option<usize>,
    /// Whether the table isn't held in memory.
    pub is_streamed: bool,
    /// Whether the data have their own held-out rows.
    pub holds_out: bool,
    pub targets: &'a Targets,
}

/// The common options of the presets for images.
const IMAGES: &str = r#"
batch-size = 128
schedule = "cosine"
"#;

const IMAGES_QUICK: &str = r#"
layers = "256:relu"
epochs = 5
lr = 0.002
"#;

const IMAGES_STRONG: &str = r#"
layers = "800:relu,800:relu"
epochs = 60
lr = 0.001
dropout = 0.5
input-dropout = 0.2
"#;

const IMAGES_BEST: &str = r#"
layers = "1024:relu,1024:relu"
epochs = 70
lr = 0.001
augment = "standard"
ema = 0.999
"#;

const OTHERS_QUICK: &str = r#"
layers = "64:relu"
epochs = 10
lr = 0.003
schedule = "cosine"
"#;

/// The common options of the longer presets for other data.
const OTHERS: &str = r#"
batch-size = 128
schedule = "cosine"
optimizer = "adamw"
weight-decay = 0.1
dropout = 0.1
initializer = "xavier-uniform"
"#;

const OTHERS_STRONG: &str = r#"
layers = "256:relu,256:relu"
epochs = 60
lr = 0.003
"#;

const OTHERS_BEST: &str = r#"
layers = "256:relu,256:relu,256:relu"
epochs = 100
lr = 0.002
"#;

/// The settings for a table that depend on its number of rows. `benches/tables/RESULTS.md` has the time
/// for a median table of 5,000 rows.
struct Recipe {
    /// The hidden layers below [`WIDE_FROM`] rows, and from there on.
    layers: [&'static str; 2],
    /// The number of steps of 64 rows for a net, per two classes.
    steps: usize,
    /// The fewest epochs below [`WIDE_FROM`] rows, and from there on: with many rows, every epoch helps a lot.
    least_epochs: [usize; 2],
    /// The most epochs: with few rows, more epochs only overfit.
    most_epochs: usize,
    /// The number of nets, trained on folds.
    nets: usize,
    /// The other options, in the form of an options file.
    others: &'static str,
}

/// The number of rows from which wider layers and more epochs pay.
const WIDE_FROM: usize = 10_000;

const TABLES: Recipe = Recipe {
    layers: ["128,128"; 2],
    steps: 500,
    least_epochs: [8, 20],
    most_epochs: 60,
    nets: 3,
    others: "lr = 0.007",
};

/// Numbers take longer to learn than classes.
const TABLES_OF_NUMBERS: Recipe = Recipe {
    steps: 1500,
    least_epochs: [10, 20],
    most_epochs: 100,
    others: "lr = 0.005",
    ..TABLES
};

/// For a single net.
const TABLES_ONE_NET: Recipe = Recipe {
    layers: ["128,128"; 2],
    steps: 4000,
    least_epochs: [20; 2],
    most_epochs: 150,
    nets: 1,
    others: "lr = 0.003",
};

const TABLES_QUICK: Recipe = Recipe {
    layers: ["64"; 2],
    steps: 0,
    least_epochs: [10; 2],
    most_epochs: 10,
    nets: 1,
    others: "lr = 0.003",
};

const TABLES_STRONG: Recipe = Recipe {
    layers: ["128,128", "256,256"],
    steps: 4000,
    least_epochs: [30, 45],
    most_epochs: 150,
    nets: 10,
    others: "lr = 0.003",
};

/// Weight decay and dropout prevent wide nets from overfitting few rows, if the learning rate starts low.
const TABLES_BEST: Recipe = Recipe {
    layers: ["256,256", "256,256,256"],
    steps: 4000,
    least_epochs: [40; 2],
    most_epochs: 150,
    nets: 10,
    others: r#"
lr = 0.003
warmup = 0.1
optimizer = "adamw"
weight-decay = 0.1
dropout = 0.1
"#,
};

/// The default batch size.
const BATCH: usize = 64;
/// The most rows of a table for which nets on folds are worth the time.
const FOLDED: usize = 30_000;
/// The fewest rows for nets on folds.
const LEAST_FOLDED: usize = 20;

/// The index of values that depend on the number of rows.
fn is_wide(about: &About<'_>) -> usize {
    usize::from(about.rows >= WIDE_FROM)
}

impl Recipe {
    fn of(config: &TrainConfig, about: &About<'_>) -> &'static Recipe {
        match config.run.preset {
            None if config.run.ensemble.is_none() && suits_folds(config, about) => {
                match about.targets {
                    Targets::Numbers(_) => &TABLES_OF_NUMBERS,
                    Targets::Classes { .. } | Targets::Labels { .. } => &TABLES,
                }
            }
            None => &TABLES_ONE_NET,
            Some(Preset::Quick) => &TABLES_QUICK,
            Some(Preset::Strong) => &TABLES_STRONG,
            Some(Preset::Best) => &TABLES_BEST,
        }
    }

    /// The number of steps of a net: a net with more classes has more to learn.
    fn steps(&self, targets: &Targets) -> usize {
        match targets {
            Targets::Classes { names, .. } => self.steps * names.len().max(2) / 2,
            Targets::Labels { .. } | Targets::Numbers(_) => self.steps,
        }
    }

    /// The options for these data.
    fn options(&self, config: &TrainConfig, about: &About<'_>) -> Result<TrainConfig> {
        let mut options = TrainConfig::from_lines(self.others)?;
        options.net.layers = self.layers[is_wide(about)].parse().ok();
        options.net.initializer = Some(Init::XavierUniform);
        options.step.schedule = Some(Schedule::Cosine);
        let batch = config.step.batch_size.unwrap_or(BATCH);
        let steps_per_epoch = about.rows.div_ceil(batch.min(about.rows).max(1)).max(1);
        let epochs = self.steps(about.targets) / steps_per_epoch;
        options.run.epochs =
            Some(epochs.clamp(self.least_epochs[is_wide(about)], self.most_epochs));
        let most = about.groups.unwrap_or(usize::MAX);
        let nets = if takes_folds(config, about) { self.nets.min(most) } else { 1 };
        options.run.ensemble = Some(Ensemble { nets, by_folds: nets > 1 });
        if !matches!(about.targets, Targets::Numbers(_)) {
            options.run.calibrate = Some(Calibration::Temperature);
            // Accuracy is too coarse if few rows are held out.
            if config.run.stop_at.is_none() {
                options.run.metric = Some("loss".into());
            }
        }
        Ok(options)
    }
}

/// The settings of a preset for data other than tables.
fn settings(preset: Preset, kind: Kind) -> Result<TrainConfig> {
    let [own, shared] = match (preset, kind) {
        (Preset::Quick, Kind::Images) => [IMAGES_QUICK, IMAGES],
        (Preset::Strong, Kind::Images) => [IMAGES_STRONG, IMAGES],
        (Preset::Best, Kind::Images) => [IMAGES_BEST, IMAGES],
        (Preset::Quick, _) => [OTHERS_QUICK, ""],
        (Preset::Strong, _) => [OTHERS_STRONG, OTHERS],
        (Preset::Best, _) => [OTHERS_BEST, OTHERS],
    };
    Ok(TrainConfig::from_lines(own)?.or(TrainConfig::from_lines(shared)?))
}

/// The options for digits without a preset.
const DIGITS: &str = "epochs = 30\nlr = 0.007";

/// Completes the options with the given preset and with options that suit the data.
///
/// # Errors
/// Only if settings in this file are invalid options.
pub(crate) fn complete(config: TrainConfig, about: &About<'_>) -> Result<TrainConfig> {
    let mut suited = match (about.kind, config.run.preset) {
        (Kind::Table, _) => Recipe::of(&config, about).options(&config, about)?,
        (kind, Some(preset)) => settings(preset, kind)?,
        (Kind::Digits, None) => TrainConfig::from_lines(DIGITS)?,
        (Kind::Images | Kind::Other, None) => return Ok(config),
    };
    if let Some(optimizer) = config.step.optimizer
        && optimizer.name() != suited.step.optimizer.map_or("adam", Optimizer::name)
    {
        // Another optimizer has its own decay, and its own rate unless it is in the same family.
        suited.step.weight_decay = None;
        if !matches!(optimizer, Optimizer::Adam { .. } | Optimizer::AdamW { .. }) {
            (suited.step.lr, suited.step.warmup) = (None, None);
        }
        if optimizer.needs_full_batch() {
            suited.step.batch_size = None;
        }
    }
    Ok(config.or(suited))
}

/// The reason why [`complete`] sets an option for these data; none for options that it doesn't set.
pub(crate) fn why(option: &str, config: &TrainConfig, about: &About<'_>) -> Option<String> {
    let recipe = Recipe::of(config, about);
    let preset = config.run.preset.map(|preset| format!("--preset {preset}"));
    Some(match (option, about.kind) {
        ("epochs", Kind::Table) => {
            let (least, most) = (recipe.least_epochs[is_wide(about)], recipe.most_epochs);
            match recipe.steps(about.targets) {
                0 => format!("the same number for every table with {}", preset?),
                steps => format!("about {steps} steps, within {least} to {most} epochs"),
            }
        }
        ("ensemble", Kind::Table) if takes_folds(config, about) && recipe.nets > 1 => {
            "each net holds out a different part, so that every row is used for training and validation".into()
        }
        ("ensemble", Kind::Table) if config.run.preset == Some(Preset::Quick) => preset?,
        ("ensemble", Kind::Table) => {
            format!("one net, as {}", without_folds(config, about).unwrap_or_default())
        }
        ("metric", Kind::Table) => {
            "the best epoch is chosen by loss: accuracy is too coarse with few rows".into()
        }
        ("calibrate", Kind::Table) => "a temperature fitted to held-out rows".into(),
        ("layers", Kind::Table) if recipe.layers[0] != recipe.layers[1] => {
            format!("narrower below {WIDE_FROM} rows, wider from there on")
        }
        (
            "layers" | "epochs" | "lr" | "schedule" | "initializer" | "batch-size" | "optimizer"
            | "weight-decay" | "warmup" | "dropout" | "input-dropout" | "augment" | "ema",
            _,
        ) => preset.unwrap_or_else(|| match about.kind {
            Kind::Table => "suits most tables".into(),
            Kind::Digits => "suits the digits".into(),
            Kind::Images | Kind::Other => "suits these data".into(),
        }),
        _ => return None,
    })
}

/// A sentence about the nets of a preset that aren't trained on these data, and why.
pub(crate) fn left_out(config: &TrainConfig, about: &About<'_>) -> Option<String> {
    let preset = config.run.preset.filter(|_| about.kind == Kind::Table)?;
    let nets = Recipe::of(config, about).nets;
    if nets == 1 || config.run.ensemble.is_some() || config.run.folds.is_some() {
        return None;
    }
    let why = without_folds(config, about)?;
    Some(format!("--preset {preset}: one net instead of the average of {nets}, as {why}"))
}

/// Whether nets on folds may be trained.
fn takes_folds(config: &TrainConfig, about: &About<'_>) -> bool {
    without_folds(config, about).is_none()
}

/// Why nets can't be trained on folds: an option chooses the held-out rows, or needs a single net.
fn without_folds(config: &TrainConfig, about: &About<'_>) -> Option<String> {
    match (config.run.folds, config.run.fold) {
        (None, None) => unsuited_to_folds(config, about),
        _ => Some("--folds trains a net for each fold".into()),
    }
}

/// As [`takes_folds`], also for the nets of a cross-validation, which are trained as those are.
fn suits_folds(config: &TrainConfig, about: &About<'_>) -> bool {
    unsuited_to_folds(config, about).is_none()
}

fn unsuited_to_folds(config: &TrainConfig, about: &About<'_>) -> Option<String> {
    let run = &config.run;
    if let Some(validation) = &run.validation {
        return Some(format!("--validation {validation} chooses the held-out rows"));
    }
    if let Some(split @ (Split::Time(_) | Split::Column(_))) = &run.split {
        return Some(format!("--split {split} chooses the held-out rows"));
    }
    let single = [
        ("--member", run.member.is_some()),
        ("--init", run.init.is_some()),
        ("--stop-at", run.stop_at.is_some()),
        ("--keep-weights", run.keep_weights.is_some()),
    ];
    if let Some((option, _)) = single.iter().find(|(_, is_given)| *is_given) {
        return Some(format!("{option} is for a single net"));
    }
    let others = [
        (about.is_streamed, "the table is not held in memory"),
        (about.holds_out, "the data have their own held-out rows"),
        (about.rows > FOLDED, "there are enough rows to hold some out"),
        (about.rows < LEAST_FOLDED, "there are too few rows for folds"),
        (about.groups.is_some_and(|groups| groups < 2), "all rows are in one group"),
    ];
    others.iter().find(|(is_so, _)| *is_so).map(|(_, why)| (*why).into())
}

#[cfg(test)]
#[path = "presets_tests.rs"]
mod tests;
