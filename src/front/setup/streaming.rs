//! `--memory-limit` and `--shard`: a table beyond the limit, or whose rows are split over ranks, is profiled on a sample
//! of its rows, encoded into files, and trained on in windows.

use super::hooks::Hooks;
use super::job::Job;
use super::splitting::{self, VALIDATION};
use super::unseen::unseen_classes;
use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::data::OnError;
use crate::data::split::{Split, Subset, Subsets};
use crate::data::{
    self, Categories, Census, ClassWeight, DataOptions, Dataset, EncodedChunk, Preprocessing,
    SlabOrder, StoredSet, StoredWriter, StreamedTable, Targets, UnknownCategories,
};
use crate::files::config::{HeldOutData, Shard, TrainConfig};
use crate::math::loss::Loss;
use crate::train::ranks::Shards;
use crate::train::samples::check_targets;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The number of rows of another file that are held in memory.
const FIRST: usize = 1000;
/// The memory limit of `--shard`, unless one is given. The order of the rows depends on it, so it is the same everywhere.
const LIMIT: u64 = 1 << 30;

/// A table that isn't held in memory, and how its rows are split.
pub(crate) struct Streaming {
    table: StreamedTable,
    limit: u64,
    reason: Reason,
    census: Census,
    training_rows: usize,
    validation_rows: usize,
    test_rows: usize,
}

/// Why a table isn't held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is larger than the memory limit.
    Large,
    /// Its rows are split over ranks.
    Sharded,
}

impl Reason {
    /// As a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Reason::Large => "the table is larger than --memory-limit",
            Reason::Sharded => "the rows are split over ranks with --shard",
        }
    }

    /// The error for an option that can't be used.
    pub fn refuse(self, option: &str) -> Error {
        let (with, how) = match self {
            Reason::Large => ("a table larger than --memory-limit", "raise the limit"),
            Reason::Sharded => ("--shard", "omit --shard"),
        };
        let name = option.split(' ').next().unwrap_or(option);
        Error::usage(format!("{option} cannot be used with {with}"))
            .help(format!("{how}, or omit {name}"))
    }
}

/// Its encoded rows, in files.
pub(crate) struct Stored {
    pub training: Arc<StoredSet>,
    /// The shards of the training rows, if they are split over ranks.
    pub shards: Option<Shards>,
    pub validation: Option<Arc<StoredSet>>,
    pub test: Option<Arc<StoredSet>>,
    pub limit: u64,
    /// Warnings about all rows.
    pub warnings: Vec<String>,
}

/// Reports that data other than tables are held as a whole.
fn say_unlimited(name: &str, hooks: Hooks) {
    hooks.say(format_args!(
        "note: --memory-limit doesn't apply to {name}: only tables are stored on disk, this is held in memory as a whole"
    ));
}

/// The first rows of another file that is held out, all its rows encoded into a file, checked as in
/// [`Streaming::store`], and their categories that aren't in the training rows; none if
/// it isn't a table.
///
/// # Errors
/// As [`Streaming::store`].
pub(super) fn store_other(
    name: &str,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    loss: Loss,
    hooks: Hooks,
) -> Result<Option<(Dataset, Arc<StoredSet>, UnknownCategories)>> {
    if !data::is_table(name, options)? {
        say_unlimited(name, hooks);
        return Ok(None);
    }
    let mut writer = StoredWriter::create()?;
    let mut all_unknown = UnknownCategories::default();
    data::pass_measured(name, preprocessing, options, |EncodedChunk { first, data, unknown }| {
        check_targets(loss, data.targets(), |row, output| {
            format!("row {}, target {}", first + row + 1, output + 1)
        })
        .map_err(|e| e.at(name))?;
        all_unknown.add(&unknown);
        writer.append(&data)
    })?;
    let Some(set) = writer.finish()? else {
        return Err(Error::data("the table has no rows").at(name));
    };
    let first = set.window(&SlabOrder::new(&set, None, 0), 0, FIRST)?;
    Ok(Some((first, Arc::new(set), all_unknown)))
}

/// The table DATA, if it is larger than the limit or its rows are to be split over ranks.
///
/// # Errors
/// When it can't be read, or the options need all rows at once.
pub(crate) fn open(
    config: &mut TrainConfig,
    name: &str,
    options: &DataOptions,
    hooks: Hooks,
) -> Result<Option<Streaming>> {
    let is_sharded = config.run.shard.is_some_and(|shard| shard != Shard::No);
    let limit = config.run.memory_limit.map(|size| size.0);
    let Some(limit) = limit.or(is_sharded.then_some(LIMIT)) else { return Ok(None) };
    if !data::is_table(name, options)? {
        if is_sharded {
            return Err(Error::usage(format!("--shard cannot be used with {name}"))
                .help("only the rows of tables in files are split: omit --shard"));
        }
        // Folders of images are refused beyond the limit.
        if !Path::new(name).is_dir() {
            say_unlimited(name, hooks);
        }
        return Ok(None);
    }
    // The sample is in memory at the same time as the windows.
    let table = StreamedTable::open(name, options, limit / 2)?;
    let reason = match table.bytes() <= limit / 2 {
        _ if is_sharded => Reason::Sharded,
        false => Reason::Large,
        true => return Ok(None),
    };
    table.say_notes();
    if let (Some(fold), None) = (config.run.fold, config.run.folds) {
        return Err(splitting::without_folds(fold));
    }
    if config.run.folds.is_some() {
        return Err(reason.refuse("--folds"));
    }
    if let Some(HeldOutData::Fraction(fraction)) = config.run.test {
        return Err(reason
            .refuse(&format!("--test {fraction}"))
            .help("give a file, or mark the test rows in a column: --split column:COL"));
    }
    if options.on_error == OnError::Skip {
        return Err(reason.refuse("--on-error skip"));
    }
    let split = config.run.split.get_or_insert(Split::Random).clone();
    let fraction = match (&config.run.validation, &split) {
        (Some(_), Split::Column(_)) => return Err(splitting::beside_column()),
        (Some(HeldOutData::Path(_)), Split::Random) => 0.0,
        (Some(HeldOutData::Path(_)), _) => return Err(splitting::beside_column()),
        (Some(HeldOutData::Fraction(fraction)), _) => *fraction,
        (None, _) => VALIDATION,
    };
    if let Some(HeldOutData::Path(_)) = &config.run.validation {
        config.run.split = None;
    }
    // With a fraction of 0, nothing is held out by any split.
    let split = if fraction == 0.0 { Split::Random } else { split };
    let census = table.census(&split, fraction, config.data.seed.unwrap_or(0))?;
    for name in &census.too_many {
        hooks.say(format_args!(
            "note: the column {name} has so many categories that only those of {} are distinguished",
            count(table.sample().rows(), "row")
        ));
    }
    let rows = |subset: Subset| census.subsets.rows(subset).count();
    let (validation_rows, test_rows) = (rows(Subset::Validation), rows(Subset::Test));
    let training_rows = table.rows() - validation_rows - test_rows;
    Ok(Some(Streaming { table, limit, reason, census, training_rows, validation_rows, test_rows }))
}

impl Streaming {
    /// Why the table isn't held in memory.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The number of training rows.
    pub fn training_rows(&self) -> usize {
        self.training_rows
    }

    /// The number of rows held out for validation.
    pub fn validation_rows(&self) -> usize {
        self.validation_rows
    }

    /// The number of rows held out for a test.
    pub fn test_rows(&self) -> usize {
        self.test_rows
    }

    /// The sample from which the table is analyzed.
    pub fn sample(&self) -> Arc<data::Data> {
        self.table.sample().clone()
    }

    /// The categories of the training rows.
    pub fn categories(&self) -> &BTreeMap<String, Categories> {
        &self.census.categories
    }

    /// The index in the table of the training row with that number.
    pub fn training_row(&self, number: usize) -> usize {
        self.census.subsets.rows(Subset::Training).nth(number).unwrap_or(number)
    }

    /// The weight of each class, by its training rows.
    ///
    /// # Errors
    /// When the target isn't a class, or a given class isn't among them.
    pub fn class_weights(&self, weight: &ClassWeight) -> Result<Vec<f32>> {
        let targets = self.table.sample().targets();
        match (weight, targets) {
            (ClassWeight::Balanced, Targets::Classes { names, .. }) => {
                let counts = self.table.class_rows(&self.census.subsets)?.unwrap_or_default();
                weight.of_counts(names, &counts)
            }
            _ => weight.of_classes(targets),
        }
    }

    /// The subsets of the sample.
    pub fn subsets(&self) -> Subsets {
        let mut subsets = Subsets::default();
        for (i, &row) in self.table.places().iter().enumerate() {
            match self.census.subsets.of(row) {
                Subset::Training => subsets.training.push(i),
                Subset::Validation => subsets.validation.push(i),
                Subset::Test => subsets.test.push(i),
            }
        }
        subsets
    }

    /// Encodes all rows for the job into files; training rows with their class weights, and only those of this rank's
    /// shards.
    ///
    /// # Errors
    /// With line and column, for a value that can't be encoded or that is invalid for the
    /// loss; when all rows of a subset have the weight 0; when the disk is full.
    pub fn store(&self, job: &Job) -> Result<Stored> {
        let mut training = match &job.shards {
            Some(shards) => StoredWriter::create_for(shards.held())?,
            None => StoredWriter::create()?,
        };
        let (mut validation, mut test) = (StoredWriter::create()?, StoredWriter::create()?);
        let mut class_rows = [(); 3].map(|()| vec![0; job.training.outputs()]);
        self.table.pass(&job.preprocessing, |chunk| {
            check_targets(job.spec.objective.loss, chunk.data.targets(), |row, output| {
                format!("row {}, {}", chunk.first + row + 1, job.target_name(output))
            })
            .map_err(|e| e.at(chunk.data.name()))?;
            if let Targets::Numbers(m) = chunk.data.targets() {
                let scaled = job.preprocessing.targets.apply(m, chunk.first);
                scaled.map_err(|e| e.at(chunk.data.name()))?;
            }
            let own = |subset: Subset| -> Vec<usize> {
                let is_own = |row: &usize| self.census.subsets.of(chunk.first + row) == subset;
                (0..chunk.data.rows()).filter(is_own).collect()
            };
            let writers = [
                (Subset::Training, &mut training),
                (Subset::Validation, &mut validation),
                (Subset::Test, &mut test),
            ];
            for ((subset, writer), class_rows) in writers.into_iter().zip(&mut class_rows) {
                let rows = own(subset);
                if rows.is_empty() {
                    continue;
                }
                let chosen = chunk.data.select(&rows);
                if let Targets::Classes { labels, .. } = chosen.targets() {
                    labels.iter().for_each(|&label| class_rows[label as usize] += 1);
                }
                writer.append(&match &job.class_weights {
                    Some(weights) if subset == Subset::Training => {
                        chosen.class_weighted(weights)?
                    }
                    _ => chosen,
                })?;
            }
            Ok(())
        })?;
        let training = training.finish()?.ok_or_else(|| {
            Error::data("no row is left to train on").help("hold out fewer rows with --validation")
        })?;
        let held_out = |writer: StoredWriter, name: &str| {
            Ok::<_, Error>(writer.finish().map_err(|e| e.at(name))?.map(Arc::new))
        };
        let validation = held_out(validation, "the validation rows")?;
        let test = held_out(test, "the test rows")?;
        let [validation, test] = [(validation, &job.other_validation), (test, &job.other_test)]
            .map(|(own, other)| own.or_else(|| other.clone()));
        let [trained, held @ ..] = &class_rows;
        let warnings = held.iter().zip(["validation", "test"]);
        let warnings =
            warnings.filter_map(|(held, subset)| unseen_classes(trained, held, job, subset));
        let (training, warnings) = (Arc::new(training), warnings.collect());
        let shards = job.shards.clone();
        Ok(Stored { training, shards, validation, test, limit: self.limit, warnings })
    }
}
