//! `--memory-limit`: a table beyond it is understood by a sample of its rows, encoded into files,
//! and trained on in windows.

use super::job::Job;
use crate::config::{TrainConfig, Validation};
use crate::data::split::{self, Parts, Split};
use crate::data::{self, DataOptions, StoredSet, StoredWriter, StreamedTable};
use crate::error::{Error, Result};
use std::sync::Arc;

/// The part of the rows that is held out unless something else is asked for.
const VALIDATION: f64 = 0.1;

/// A table that is larger than the limit, and how its rows are split.
pub(super) struct Streaming {
    table: StreamedTable,
    limit: u64,
    /// The part that is held out, row by row at random.
    fraction: f64,
    seed: u64,
    pub training_rows: usize,
    pub validation_rows: usize,
}

/// Its encoded rows, in files.
pub(super) struct Stored {
    pub training: Arc<StoredSet>,
    pub validation: Option<Arc<StoredSet>>,
    pub limit: u64,
}

/// The table that DATA names, if it is larger than the limit.
///
/// # Errors
/// When it can't be read, or the options need all rows at once.
pub(super) fn open(
    config: &mut TrainConfig,
    name: &str,
    options: &DataOptions,
) -> Result<Option<Streaming>> {
    let Some(limit) = config.run.memory_limit.map(|size| size.0) else { return Ok(None) };
    if data::NAMES.contains(&name) || name == "-" || !data::is_table(name, options)? {
        return Ok(None);
    }
    // The sample lives beside the windows.
    let table = StreamedTable::open(name, options, limit / 2)?;
    if table.bytes() <= limit / 2 {
        return Ok(None);
    }
    if config.run.folds.is_some() {
        return Err(Error::usage("--folds beside a table larger than --memory-limit")
            .help("raise the limit, or leave out --folds"));
    }
    match config.run.split.get_or_insert(Split::Random) {
        Split::Random => {}
        other => {
            return Err(Error::usage(format!("--split {other} of a table larger than --memory-limit"))
                .help("such rows are held out at random: leave out --split, or give other data with --validation"));
        }
    }
    let fraction = match &config.run.validation {
        Some(Validation::Fraction(fraction)) => *fraction,
        Some(Validation::Path(_)) => 0.0,
        None => VALIDATION,
    };
    if !(0.0..1.0).contains(&fraction) {
        // The error for a fraction that makes no sense.
        split::random(table.rows(), fraction, 0)?;
    }
    if let Some(Validation::Path(_)) = &config.run.validation {
        config.run.split = None;
    }
    let seed = config.data.seed.unwrap_or(0);
    let held_out = (0..table.rows()).filter(|&row| split::is_held_out(row, fraction, seed)).count();
    let training_rows = table.rows() - held_out;
    Ok(Some(Streaming { table, limit, fraction, seed, training_rows, validation_rows: held_out }))
}

impl Streaming {
    /// The sample by which the table is understood.
    pub fn sample(&self) -> Arc<data::Data> {
        self.table.sample().clone()
    }

    fn is_held_out(&self, row: usize) -> bool {
        split::is_held_out(row, self.fraction, self.seed)
    }

    /// The row of the table that is the training row of that number.
    pub fn training_row(&self, number: usize) -> usize {
        let mut training = (0..self.table.rows()).filter(|&row| !self.is_held_out(row));
        training.nth(number).unwrap_or(number)
    }

    /// The parts of the sample.
    pub fn parts(&self) -> Parts {
        let places = self.table.places();
        let (validation, training) = (0..places.len()).partition(|&i| self.is_held_out(places[i]));
        Parts { training, validation, test: Vec::new() }
    }

    /// Encodes all rows as the job says, into files.
    ///
    /// # Errors
    /// With line and column, for a value that doesn't fit what was fitted; when the disk is full.
    pub fn store(&self, job: &Job) -> Result<Stored> {
        let (mut training, mut validation) = (StoredWriter::create()?, StoredWriter::create()?);
        self.table.pass(&job.preprocessing, |chunk| {
            let (held_out, kept): (Vec<usize>, Vec<usize>) =
                (0..chunk.data.rows()).partition(|&row| self.is_held_out(chunk.first + row));
            for (rows, writer) in [(kept, &mut training), (held_out, &mut validation)] {
                if !rows.is_empty() {
                    writer.append(&chunk.data.select(&rows))?;
                }
            }
            Ok(())
        })?;
        let training = training.finish()?.ok_or_else(|| {
            Error::data("no row is left to train on").help("hold fewer rows out with --validation")
        })?;
        let validation = validation.finish()?.map(Arc::new);
        Ok(Stored { training: Arc::new(training), validation, limit: self.limit })
    }
}
