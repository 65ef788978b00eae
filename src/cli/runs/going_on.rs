//! Whether and how a run that has begun is resumed.

use crate::base::error::{Error, Result};
use crate::cli::arguments::terminal::say;
use crate::cli::runs::rates::HISTORY;
use crate::files::checkpoint::{Newest, Saved};
use crate::files::config::TrainConfig;
use crate::train::event::Ending;
use crate::train::snapshot::{Checkpoint, Position};
use std::path::absolute;
use std::sync::Arc;

/// The options that may change on resuming. None of them changes what a step computes, except
/// the epochs, if something depends on the length of the run: then there is a warning.
const FREE: [&str; 11] = [
    "epochs",
    "device",
    "threads",
    "data-dir",
    "time-limit",
    "patience",
    "on-divergence",
    "stop-at",
    "checkpoint-every",
    "tensorboard",
    "keep-checkpoints",
];

/// A run as it was started, and its position.
pub(in crate::cli) struct Begun {
    pub(in crate::cli) config: TrainConfig,
    /// The lines of its configuration with its history.
    pub(in crate::cli) history: Vec<String>,
    /// None if it was killed before the first was written: it then starts again, with the same
    /// result.
    pub checkpoint: Option<Arc<Checkpoint>>,
    /// What is resumed, for users.
    pub(in crate::cli) from: String,
    /// The length of its events.
    pub events: u64,
    pub ended: Option<Ending>,
}

impl Begun {
    pub fn at(newest: Newest) -> Result<Self> {
        let Newest { saved, path, damaged } = newest;
        damaged.iter().for_each(|error| say(format_args!("warning: {error}")));
        let Saved { checkpoint, config, events, ended } = saved;
        let history = config.lines().filter(|line| line.starts_with(HISTORY));
        Ok(Begun {
            history: history.map(str::to_string).collect(),
            config: TrainConfig::from_toml(&config).map_err(|e| e.at(path.display()))?,
            checkpoint: Some(checkpoint),
            from: path.display().to_string(),
            events,
            ended,
        })
    }

    pub(super) fn anew(config: TrainConfig) -> Self {
        let from = "no checkpoint was written".into();
        Begun { config, history: Vec::new(), checkpoint: None, from, events: 0, ended: None }
    }

    pub fn position(&self) -> Position {
        self.checkpoint.as_ref().map_or(Position::default(), |checkpoint| checkpoint.now.position)
    }
}

/// Whether a run that has ended can be continued.
pub(in crate::cli) fn goes_on(ending: Ending, given: &TrainConfig, at: Position) -> bool {
    let more = given.run.epochs.is_some_and(|epochs| epochs > at.epoch);
    match ending {
        Ending::Interrupted | Ending::TimeLimit => true,
        Ending::Done => more,
        Ending::Stopped => more || given.run.stop_at.is_some(),
        Ending::Patience => more || given.run.patience.is_some(),
    }
}

/// Refuses options that would make it a different run.
pub(in crate::cli) fn check_same(given: &TrainConfig, config: &TrainConfig) -> Result<()> {
    if config.run.folds.is_some() && config.run.fold.is_none() {
        return Err(Error::usage("a run of folds can't be resumed")
            .help("train again with --config and its config.toml"));
    }
    let (given, config) = (given.to_table()?, config.to_table()?);
    for (key, value) in &given {
        let before = config.get(key);
        let is_path = |a: &toml::Value, b: &toml::Value| {
            let full = |v: &toml::Value| absolute(v.as_str()?).ok();
            full(a).is_some() && full(a) == full(b)
        };
        let same = before.is_some_and(|before| before == value || is_path(before, value));
        if same || FREE.contains(&key.as_str()) {
            continue;
        }
        let before = match before {
            Some(before) => format!("--{key} {}", before.to_string().trim_matches('"')),
            None => format!("no --{key}"),
        };
        let now = value.to_string();
        return Err(Error::usage(format!(
            "the run was started with {before}: --resume can't change it to --{key} {}",
            now.trim_matches('"')
        ))
        .help(format!(
            "omit it, or start a new run without --resume; only these can be changed: --{}",
            FREE.join(", --")
        )));
    }
    Ok(())
}
