//! `--memory-limit`: a table beyond it is understood by a sample of its rows, encoded into files,
//! and trained on in windows.

use super::job::Job;
use super::{count, say, splitting};
use crate::config::{TrainConfig, Validation};
use crate::data::split::{self, Part, Parts, Split};
use crate::data::{self, Categories, Census, DataOptions, StoredSet, StoredWriter, StreamedTable};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The part of the rows that is held out unless something else is asked for.
const VALIDATION: f64 = 0.1;

/// A table that is larger than the limit, and how its rows are split.
pub(super) struct Streaming {
    table: StreamedTable,
    limit: u64,
    census: Census,
    pub training_rows: usize,
    pub validation_rows: usize,
    pub test_rows: usize,
}

/// Its encoded rows, in files.
pub(super) struct Stored {
    pub training: Arc<StoredSet>,
    pub validation: Option<Arc<StoredSet>>,
    pub test: Option<Arc<StoredSet>>,
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
    if data::NAMES.contains(&name) || !data::is_table(name, options)? {
        return Ok(None);
    }
    // The sample lives beside the windows.
    let table = StreamedTable::open(name, options, limit / 2)?;
    if table.bytes() <= limit / 2 {
        return Ok(None);
    }
    if config.run.fold.is_some() && config.run.folds.is_none() {
        return Err(splitting::without_folds(config.run.fold));
    }
    if config.run.folds.is_some() {
        return Err(Error::usage("--folds beside a table larger than --memory-limit")
            .help("raise the limit, or leave out --folds"));
    }
    let split = config.run.split.get_or_insert(Split::Random).clone();
    let fraction = match (&config.run.validation, &split) {
        (Some(_), Split::Column(_)) => return Err(splitting::beside_column()),
        (Some(Validation::Path(_)), Split::Random) => 0.0,
        (Some(Validation::Path(_)), _) => return Err(splitting::beside_column()),
        (Some(Validation::Fraction(fraction)), _) => *fraction,
        (None, _) => VALIDATION,
    };
    if !(0.0..1.0).contains(&fraction) {
        // The error for a fraction that makes no sense.
        split::random(table.rows(), fraction, 0)?;
    }
    if let Some(Validation::Path(_)) = &config.run.validation {
        config.run.split = None;
    }
    // Of no part nothing is held out, whatever would decide it.
    let split = if fraction == 0.0 { Split::Random } else { split };
    let census = table.census(&split, fraction, config.data.seed.unwrap_or(0))?;
    for name in &census.too_many {
        say(format_args!(
            "note: the column {name} has so many categories that only those of {} are told apart",
            count(table.sample().rows(), "row")
        ));
    }
    let rows = |part: Part| census.parts.rows(part).count();
    let (validation_rows, test_rows) = (rows(Part::Validation), rows(Part::Test));
    let training_rows = table.rows() - validation_rows - test_rows;
    Ok(Some(Streaming { table, limit, census, training_rows, validation_rows, test_rows }))
}

impl Streaming {
    /// The sample by which the table is understood.
    pub fn sample(&self) -> Arc<data::Data> {
        self.table.sample().clone()
    }

    /// The categories of the rows that are trained on.
    pub fn categories(&self) -> &BTreeMap<String, Categories> {
        &self.census.categories
    }

    /// The row of the table that is the training row of that number.
    pub fn training_row(&self, number: usize) -> usize {
        self.census.parts.rows(Part::Training).nth(number).unwrap_or(number)
    }

    /// The parts of the sample.
    pub fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        for (i, &row) in self.table.places().iter().enumerate() {
            match self.census.parts.of(row) {
                Part::Training => parts.training.push(i),
                Part::Validation => parts.validation.push(i),
                Part::Test => parts.test.push(i),
            }
        }
        parts
    }

    /// Encodes all rows as the job says, into files.
    ///
    /// # Errors
    /// With line and column, for a value that doesn't fit what was fitted; when the disk is full.
    pub fn store(&self, job: &Job) -> Result<Stored> {
        let mut training = StoredWriter::create()?;
        let (mut validation, mut test) = (StoredWriter::create()?, StoredWriter::create()?);
        self.table.pass(&job.preprocessing, |chunk| {
            let own = |part: Part| -> Vec<usize> {
                let is_own = |row: &usize| self.census.parts.of(chunk.first + row) == part;
                (0..chunk.data.rows()).filter(is_own).collect()
            };
            for (part, writer) in [
                (Part::Training, &mut training),
                (Part::Validation, &mut validation),
                (Part::Test, &mut test),
            ] {
                let rows = own(part);
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
        let test = test.finish()?.map(Arc::new);
        Ok(Stored { training: Arc::new(training), validation, test, limit: self.limit })
    }
}
