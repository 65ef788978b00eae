//! Files and directories of a run, by name.

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
