//! Files and directories of a run, by name, and the runs that users name.

use std::path::{Component, Path, PathBuf};

/// The directory of runs without `--out`.
pub(in crate::cli) const RUNS: &str = "runs";

/// The file of options.
pub(in crate::cli) const CONFIG: &str = "config.toml";

/// The file of events.
pub(in crate::cli) const EVENTS: &str = "metrics.jsonl";

/// The table of the metrics of each epoch.
pub(super) const TABLE: &str = "metrics.csv";

/// The file of the model.
pub(in crate::cli) const MODEL: &str = "model.safetensors";

/// The columns of a table as recognized.
pub(super) const COLUMNS: &str = "columns.txt";

/// The directory of checkpoints.
pub(super) const CHECKPOINTS: &str = "checkpoint";

/// The prefix of the directories of folds.
pub(in crate::cli) const FOLD: &str = "fold-";

/// The prefix of the directories of an ensemble's nets.
pub(super) const NET: &str = "net-";

/// The file of the metrics of a cross-validation.
pub(in crate::cli) const FOLDS: &str = "folds.json";

/// The file of out-of-fold predictions.
pub(in crate::cli) const OUT_OF_FOLD: &str = "out-of-fold.csv";

/// The file of the linear model in a run directory.
pub(in crate::cli) const LINEAR: &str = "linear.safetensors";

/// A run that a user names: its directory or model file, or the name of a directory in [`RUNS`].
pub(in crate::cli) fn named_run(path: PathBuf) -> PathBuf {
    let is_run = |path: &Path| [CONFIG, MODEL].iter().any(|file| path.join(file).is_file());
    match in_runs(&path).filter(|other| is_run(other)) {
        Some(other) if !path.is_file() && !is_run(&path) => other,
        _ => path,
    }
}

/// The places in which a run was looked for, for an error; empty if there is only one.
pub(in crate::cli) fn looked_for(path: &Path) -> String {
    match in_runs(path).filter(|_| !path.exists()) {
        Some(other) => format!(": looked for {} and {}", path.display(), other.display()),
        None => String::new(),
    }
}

/// The directory in [`RUNS`] of a bare name.
fn in_runs(path: &Path) -> Option<PathBuf> {
    let mut parts = path.components();
    let is_bare = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    is_bare.then(|| Path::new(RUNS).join(path))
}
