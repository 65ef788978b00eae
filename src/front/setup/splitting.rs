//! The split into training and held-out rows by the options.

use crate::base::error::{Error, Result};
use crate::data::split::{self, Parts, Split};
use crate::data::{Data, Targets};
use crate::files::config::{TrainConfig, Validation};
use crate::front::setup::hooks::Hooks;

/// Fraction of the rows held out for validation by default.
pub(super) const VALIDATION: f64 = 0.1;

/// The parts of a run. The chosen split, if any, is stored in the options.
pub(crate) fn parts(config: &mut TrainConfig, data: &Data, hooks: Hooks) -> Result<Parts> {
    let rows = data.rows();
    let all = || all(data);
    match (config.run.fold, config.run.folds) {
        (Some(fold), Some(k)) => return one_fold(config, data, fold, k),
        (Some(fold), None) => return Err(without_folds(fold)),
        _ => {}
    }
    let given = config.run.split.clone();
    let fraction = match (&config.run.validation, &given) {
        (Some(Validation::Path(_)), None) => return Ok(all()),
        (Some(_), Some(Split::Column(_))) | (Some(Validation::Path(_)), Some(_)) => {
            return Err(beside_column());
        }
        (_, Some(Split::Column(column))) => return data.parts(column),
        (Some(Validation::Fraction(fraction)), _) => *fraction,
        (None, _) if rows as f64 * VALIDATION < 1.0 => {
            hooks
                .say(format_args!("note: {rows} rows are too few to hold some out for validation"));
            return Ok(all());
        }
        (None, _) => VALIDATION,
    };
    if fraction == 0.0 {
        return Ok(all());
    }
    let seed = config.data.seed.unwrap_or(0);
    match resolve(config, data) {
        Split::Random => split::random(rows, fraction, seed),
        Split::Stratified => split::stratified(data.labels()?, fraction, seed),
        Split::Group(column) => split::grouped(&data.groups(&column)?, fraction, seed),
        Split::Time(column) => split::by_time(&data.times(&column)?, fraction),
        Split::Column(column) => data.parts(&column),
    }
}

/// All rows as training rows.
pub(crate) fn all(data: &Data) -> Parts {
    Parts { training: (0..data.rows()).collect(), ..Parts::default() }
}

/// The error for one fold without the number of folds.
pub(super) fn without_folds(fold: usize) -> Error {
    Error::usage(format!("--fold {fold} without --folds"))
        .help("give the number of folds with --folds")
}

/// The error for held-out rows that are given in two ways.
pub(super) fn beside_column() -> Error {
    Error::usage("--validation cannot be used with --split")
        .help("a fraction can be used with every --split except column:COL, other data with none")
}

/// The parts of fold `fold` of `k`, counted from 1.
fn one_fold(config: &mut TrainConfig, data: &Data, fold: usize, k: usize) -> Result<Parts> {
    let folds = folds(config, data, k)?;
    match fold.checked_sub(1).and_then(|i| folds.get(i)) {
        Some(held_out) => Ok(parts_of(data.rows(), held_out)),
        None => Err(Error::usage(format!("--fold {fold} of --folds {k}"))
            .help(format!("folds are counted from 1 to {k}"))),
    }
}

/// The parts of a fold with these rows held out.
pub(crate) fn parts_of(rows: usize, held_out: &[usize]) -> Parts {
    let training = split::all_but(rows, held_out);
    Parts { training, validation: held_out.to_vec(), test: Vec::new() }
}

/// The held-out rows of each fold.
pub(crate) fn folds(config: &mut TrainConfig, data: &Data, k: usize) -> Result<Vec<Vec<usize>>> {
    if let Some(validation) = &config.run.validation {
        return Err(Error::usage(format!("--folds cannot be used with --validation {validation}"))
            .help("omit one of them: every fold is held out once"));
    }
    let seed = config.data.seed.unwrap_or(0);
    match resolve(config, data) {
        Split::Random => split::folds(data.rows(), k, seed),
        Split::Stratified => split::stratified_folds(data.labels()?, k, seed),
        Split::Group(column) => split::grouped_folds(&data.groups(&column)?, k, seed),
        other => Err(Error::usage(format!("--folds cannot be used with --split {other}"))
            .help("folds are random, stratified or group:COL")),
    }
}

/// The given split; by default stratified for classes, otherwise random.
fn resolve(config: &mut TrainConfig, data: &Data) -> Split {
    let default = || match data.targets() {
        Targets::Classes { .. } => Split::Stratified,
        _ => Split::Random,
    };
    config.run.split.get_or_insert_with(default).clone()
}
