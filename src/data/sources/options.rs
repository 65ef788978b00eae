//! Options for opening data, and data for evaluating a model.

use crate::data::ImageOptions;
#[cfg(feature = "data")]
use crate::data::streams::stream::{Pipes, Source};
use crate::data::{ColumnOptions, OnError, OnUnknown, Task, TextOptions};
#[cfg(feature = "data")]
use crate::data::{Dataset, UnknownCategories};
use std::path::PathBuf;

#[cfg(feature = "data")]
/// The names of the sets that need no file.
pub const NAMES: [&str; 7] =
    ["digits", "housing", "spiral", "moons", "xor", "mnist", "fashion-mnist"];

/// Whether the set of that name is generated from a seed.
#[must_use]
pub fn is_generated(name: &str) -> bool {
    matches!(name, "spiral" | "moons" | "xor")
}

/// How data are found and read.
#[derive(Debug, Clone, Default)]
pub struct DataOptions {
    /// The directory in which the files of known sets are searched first.
    pub data_dir: Option<PathBuf>,
    /// Options for the columns of a table.
    pub columns: ColumnOptions,
    /// The task, which determines how the target of a table is read.
    pub task: Task,
    /// Options for the form of a delimited text.
    pub text: TextOptions,
    /// Options for images.
    pub image: ImageOptions,
    /// The seed of generated sets.
    pub seed: u64,
    /// What to do with rows of a table for training that can't be read.
    pub on_error: OnError,
    /// How rows with categories unknown to a trained model are treated.
    pub unknown: OnUnknown,
    #[cfg(feature = "data")]
    /// Stores input that can be read only once, such as standard input, during the lifetime of these options
    /// and their clones: only with them it can be opened again.
    pub pipes: Pipes,
    /// Called with messages about slow operations, such as downloads, and about how data are read.
    pub notify: Option<fn(&str)>,
    /// The most bytes of memory for data that can't be read in parts, by default the process's whole
    /// budget.
    pub memory: Option<u64>,
}

#[cfg(feature = "data")]
/// Passes on messages.
pub(in crate::data) fn say(options: &DataOptions, notes: &[String]) {
    if let Some(notify) = options.notify {
        notes.iter().for_each(|note| notify(note));
    }
}

#[cfg(feature = "data")]
/// Data for evaluating a trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The rows, encoded for the net.
    pub data: Dataset,
    /// Whether they are the test part of a set, or if it has none, its validation part.
    pub is_test_part: bool,
    /// Warnings about how the data were read, one sentence each.
    pub warnings: Vec<String>,
    /// The categories of a table that are unknown to the model.
    pub unknown: UnknownCategories,
}

#[cfg(feature = "data")]
/// Reports the dropped rows of a table.
pub(in crate::data) fn say_dropped(
    source: &Source,
    options: &DataOptions,
    dropped: Option<String>,
) {
    if let (Some(dropped), Some(notify)) = (dropped, options.notify) {
        notify(&format!("note: {}: {dropped}", source.path().display()));
    }
}
