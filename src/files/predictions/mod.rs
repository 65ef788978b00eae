//! Files of predictions: CSV, TSV, JSON lines, Parquet, NPY.
//!
//! A row has the columns that are copied, then the predictions: `class` and the
//! probability `p_NAME` of each class; `labels`, those of probability 0.5 or more, and `p_NAME` of
//! each label; or the values under the names of the targets, in their units. An NPY file holds only the
//! probabilities or values, (rows, outputs). They are in f32, or in f64 if the targets need it:
//! see [`TargetScaling`].

mod cells;
mod columnar;
mod matrix;
mod text;
mod writer;

use crate::base::error::{Error, Result};
use crate::base::names::names;
use crate::data::{Predictions, Preprocessing, TargetScaling};
use crate::math::loss::index_of_max;
use arrow_array::ArrayRef;
use std::io::{Seek, Write};
use std::path::Path;
pub use writer::Writer;

/// The probability from which a label is predicted.
const THRESHOLD: f32 = 0.5;

/// A file format of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Cells separated by commas, under a header.
    Csv,
    /// Cells separated by tabs, under a header.
    Tsv,
    /// A JSON object per line.
    Jsonl,
    /// Parquet, compressed with Snappy.
    Parquet,
    /// A NumPy array: (rows, outputs).
    Npy,
}

names!(Format, "format of predictions": Csv "csv", Tsv "tsv", Jsonl "jsonl", Parquet "parquet", Npy "npy");

impl Format {
    /// The format of a file's extension; CSV if it has none.
    ///
    /// # Errors
    /// For an unknown extension.
    pub fn of(path: &Path) -> Result<Self> {
        let Some(extension) = path.extension() else { return Ok(Format::Csv) };
        match extension.to_string_lossy().to_lowercase().as_str() {
            "csv" | "txt" => Ok(Format::Csv),
            "tsv" | "tab" => Ok(Format::Tsv),
            "jsonl" | "ndjson" => Ok(Format::Jsonl),
            "parquet" | "pq" => Ok(Format::Parquet),
            "npy" => Ok(Format::Npy),
            other => Err(Error::usage(format!(".{other} is not a format of predictions"))
                .at(path.display())
                .help("use the extension .csv, .tsv, .jsonl, .parquet or .npy, or give --format")),
        }
    }
}

/// The predicted class or labels of a row.
enum Verdict {
    /// The most probable of these classes.
    Class(Vec<String>),
    /// The probable ones of these labels, and the separator.
    Labels(Vec<String>, char),
}

impl Verdict {
    fn name(&self) -> &'static str {
        match self {
            Verdict::Class(_) => "class",
            Verdict::Labels(..) => "labels",
        }
    }

    /// Appends the class or labels of a row with these probabilities.
    fn say(&self, probabilities: &[f32], text: &mut String) {
        match self {
            Verdict::Class(names) => text.push_str(&names[index_of_max(probabilities)]),
            Verdict::Labels(names, separator) => {
                let probable = names.iter().zip(probabilities).filter(|(_, p)| **p >= THRESHOLD);
                for (i, (name, _)) in probable.enumerate() {
                    if i > 0 {
                        text.push(*separator);
                    }
                    text.push_str(name);
                }
            }
        }
    }
}

/// The columns of a file of predictions.
pub struct Columns {
    kept: Vec<String>,
    verdict: Option<Verdict>,
    outputs: Vec<String>,
    /// Whether predictions are in f64.
    is_double: bool,
}

impl Columns {
    /// The columns of predictions with `outputs` outputs, by the preprocessing of their model, after
    /// the columns that are copied. A prediction with the name of one of these is
    /// renamed `predicted_NAME`.
    #[must_use]
    pub fn new(preprocessing: &Preprocessing, outputs: usize, kept: &[String]) -> Self {
        let probability = |name: &String| format!("p_{name}");
        let (verdict, outputs) = match (&preprocessing.classes, &preprocessing.labels) {
            (Some(names), _) => {
                (Some(Verdict::Class(names.clone())), names.iter().map(probability).collect())
            }
            (None, Some(names)) => {
                let separator = preprocessing.encoding.as_ref().and_then(|e| e.separator);
                let verdict = Verdict::Labels(names.clone(), separator.unwrap_or('|'));
                (Some(verdict), names.iter().map(probability).collect())
            }
            (None, None) => (None, value_names(preprocessing, outputs)),
        };
        let is_double = matches!(preprocessing.targets, TargetScaling::Double(_));
        let mut columns = Columns { kept: kept.to_vec(), verdict, outputs, is_double };
        for name in &mut columns.outputs {
            if kept.contains(name) {
                *name = format!("predicted_{name}");
            }
        }
        columns
    }

    /// The name of the column with the class or the labels, if there is one.
    fn verdict_name(&self) -> Option<String> {
        let name = self.verdict.as_ref()?.name();
        match self.kept.iter().any(|k| k == name) {
            true => Some(format!("predicted_{name}")),
            false => Some(name.to_string()),
        }
    }

    /// The names in order.
    fn names(&self) -> Vec<String> {
        self.kept.iter().cloned().chain(self.verdict_name()).chain(self.outputs.clone()).collect()
    }
}

/// The names of predicted values.
fn value_names(preprocessing: &Preprocessing, outputs: usize) -> Vec<String> {
    let targets = preprocessing.targets.cols();
    let names = match (&preprocessing.encoding, targets) {
        (Some(encoding), _) if encoding.header.named => encoding.targets.clone(),
        (_, 1) => vec!["prediction".into()],
        _ => (1..=targets).map(|i| format!("prediction_{i}")).collect(),
    };
    // The means are followed by the standard deviations, if they are predicted.
    let deviations = names.iter().take(outputs - targets).map(|name| format!("{name}_std"));
    names.iter().cloned().chain(deviations).collect()
}

/// Some rows of predictions.
pub struct Rows<'a> {
    /// The columns that are copied, with the rows of `values`.
    pub kept: &'a [ArrayRef],
    /// Probabilities or values: (rows, outputs).
    pub values: &'a Predictions,
}

/// The destination of predictions. NPY needs to seek, the others don't.
pub trait Sink: Write + Seek + Send {}
impl<T: Write + Seek + Send> Sink for T {}

#[cfg(test)]
mod tests;
