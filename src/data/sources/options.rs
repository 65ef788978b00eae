//! How data are to be opened, and what a model is measured on.

use crate::data::ImageOptions;
#[cfg(feature = "data")]
use crate::data::streams::stream::{Pipes, Source};
use crate::data::{ColumnOptions, OnUnknown, Task, TextOptions};
#[cfg(feature = "data")]
use crate::data::{Dataset, UnknownCategories};
use std::path::PathBuf;

#[cfg(feature = "data")]
/// The names of the sets that need no file.
pub const NAMES: [&str; 7] =
    ["digits", "housing", "spiral", "moons", "xor", "mnist", "fashion-mnist"];

/// Whether the set of that name is drawn by a seed.
#[must_use]
pub fn is_generated(name: &str) -> bool {
    matches!(name, "spiral" | "moons" | "xor")
}

/// How data are to be found and read.
#[derive(Debug, Clone, Default)]
pub struct DataOptions {
    /// Where the files of known sets are looked for first.
    pub data_dir: Option<PathBuf>,
    /// What is said of the columns of a table.
    pub columns: ColumnOptions,
    /// What the target of a table holds.
    pub task: Task,
    /// What is said of how a delimited text is written.
    pub text: TextOptions,
    /// What is said of images.
    pub image: ImageOptions,
    /// The seed of generated sets.
    pub seed: u64,
    /// What to do about rows with categories that a trained model doesn't know.
    pub unknown: OnUnknown,
    #[cfg(feature = "data")]
    /// Keeps what comes only once, such as standard input, for as long as these options or a clone of
    /// them are there: only with them it can be opened again.
    pub pipes: Pipes,
    /// Is told what takes a while, such as a download, and what is good to know of how data are read.
    pub notify: Option<fn(&str)>,
    /// The bytes of memory that what can't be read in parts may take, by default all that the process
    /// may take.
    pub memory: Option<u64>,
}

#[cfg(feature = "data")]
/// Hands on what is good to know.
pub(in crate::data) fn say(options: &DataOptions, notes: &[String]) {
    if let Some(notify) = options.notify {
        notes.iter().for_each(|note| notify(note));
    }
}

#[cfg(feature = "data")]
/// Data to measure a trained model on.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The rows, as the net takes them.
    pub data: Dataset,
    /// Whether they are the test part of a set that has one, or else its validation part.
    pub is_test_part: bool,
    /// What a person should know of how the data were read, a sentence each.
    pub warnings: Vec<String>,
    /// The categories of a table that the model doesn't know.
    pub unknown: UnknownCategories,
}

#[cfg(feature = "data")]
/// Says what was left out of a table.
pub(in crate::data) fn say_dropped(
    source: &Source,
    options: &DataOptions,
    dropped: Option<String>,
) {
    if let (Some(dropped), Some(notify)) = (dropped, options.notify) {
        notify(&format!("note: {}: {dropped}", source.path().display()));
    }
}
