//! `wgrad predict`.

use super::args::PredictArgs;
use super::open::{Trained, open_device};
use super::{count, printed, say};
use crate::backend::Backend;
use crate::checkpoint::write_atomically;
use crate::data::{self, Features};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

pub(super) fn predict(args: &PredictArgs) -> Result<ExitCode> {
    let trained = Trained::open(&args.model.run)?;
    let options = trained.data_options(&args.model, &[]);
    let inputs = data::open_inputs(&args.model.data, &trained.model.preprocessing, &options)?;
    let rows = inputs.features.rows();
    let backend = open_device(&args.model.device)?.backend;
    let Some(path) = &args.output else {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = trained.write(inputs.features, backend, &mut out)?;
        printed(written.and_then(|()| out.flush()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let same = |path: &Path| std::fs::canonicalize(path).ok();
    if same(path).is_some() && same(path) == same(Path::new(&args.model.data)) {
        return Err(Error::usage(format!(
            "the predictions would replace their own data, {}",
            path.display()
        ))
        .help("give another file with -o"));
    }
    let mut failed = None;
    let written = write_atomically(path, |out| {
        trained.write(inputs.features, backend, out).unwrap_or_else(|error| {
            failed = Some(error);
            Err(io::ErrorKind::Other.into())
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    written?;
    say(format_args!("{} predicted: {}", count(rows, "row"), path.display()));
    Ok(ExitCode::SUCCESS)
}

impl Trained {
    /// Writes predictions as CSV: the class and the probability of each, or the values. What the
    /// model failed at is the outer error, what the output failed at the inner one.
    fn write(
        &self,
        features: Arc<Features>,
        backend: Box<dyn Backend>,
        out: &mut dyn Write,
    ) -> Result<io::Result<()>> {
        let mut csv = csv::WriterBuilder::new().from_writer(out);
        if let Err(e) = csv.write_record(self.header()) {
            return Ok(Err(io_error(e)));
        }
        let mut stopped = None;
        let done = self.model.predict_batches(features, backend, |_, batch| {
            self.write_rows(&batch, &mut csv).map_err(|e| {
                stopped = Some(e);
                Error::failed("the predictions can't be written")
            })
        });
        match stopped {
            Some(error) => Ok(Err(error)),
            None => done.map(|()| csv.flush()),
        }
    }

    fn write_rows(
        &self,
        batch: &Matrix<f32>,
        csv: &mut csv::Writer<&mut dyn Write>,
    ) -> io::Result<()> {
        let mut cell = String::new();
        for row in batch.iter_rows() {
            if let Some(classes) = &self.model.preprocessing.classes {
                csv.write_field(&classes[self.model.class(row)]).map_err(io_error)?;
            }
            for value in row {
                cell.clear();
                // Debug writes the shortest text that reads back the same, with an exponent where
                // that is shorter; writing to a string can't fail.
                let _ = write!(cell, "{value:?}");
                csv.write_field(&cell).map_err(io_error)?;
            }
            csv.write_record(None::<&[u8]>).map_err(io_error)?;
        }
        Ok(())
    }

    /// The names of the columns.
    fn header(&self) -> Vec<String> {
        if let Some(classes) = &self.model.preprocessing.classes {
            let probabilities = classes.iter().map(|class| format!("p_{class}"));
            return std::iter::once("class".to_string()).chain(probabilities).collect();
        }
        let outputs = self.model.predicted_columns();
        if let Some(labels) = &self.model.preprocessing.labels {
            return labels.iter().map(|label| format!("p_{label}")).collect();
        }
        let targets = self.model.objective.loss.targets(outputs);
        let names = match &self.model.preprocessing.encoding {
            Some(encoding) if encoding.header.named => encoding.targets.clone(),
            _ if targets == 1 => vec!["prediction".into()],
            _ => (1..=targets).map(|i| format!("prediction_{i}")).collect(),
        };
        // Behind the means come the standard deviations, where they are predicted.
        let deviations: Vec<String> =
            names.iter().take(outputs - targets).map(|name| format!("{name}_std")).collect();
        [names, deviations].concat()
    }
}

/// The error of the output itself, whose kind tells a reader that went away from a full disk.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
