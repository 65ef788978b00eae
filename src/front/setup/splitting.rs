//! The split into training and held-out rows by the options.

use crate::base::error::{Error, Result};
use crate::data::split::{self, Split, Subsets};
use crate::data::{Data, Targets};
use crate::files::config::{TrainConfig, Validation};
use crate::front::setup::hooks::Hooks;
use crate::net::stopping::Keep;

/// Fraction of the rows held out for validation by default.
pub(super) const VALIDATION: f64 = 0.1;

/// The subsets of a run. The chosen split, if any, is stored in the options.
pub(crate) fn subsets(config: &mut TrainConfig, data: &Data, hooks: Hooks) -> Result<Subsets> {
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
        (_, Some(Split::Column(column))) => return data.subsets(column),
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
        Split::Column(column) => data.subsets(&column),
    }
}

/// All rows as training rows.
pub(crate) fn all(data: &Data) -> Subsets {
    Subsets { training: (0..data.rows()).collect(), ..Subsets::default() }
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

/// The subsets of fold `fold` of `k`, counted from 1.
fn one_fold(config: &mut TrainConfig, data: &Data, fold: usize, k: usize) -> Result<Subsets> {
    let folds = folds(config, data, k)?;
    match fold.checked_sub(1).and_then(|i| folds.get(i)) {
        Some(held_out) => fold_subsets(config, data, held_out),
        None => Err(Error::usage(format!("--fold {fold} of --folds {k}"))
            .help(format!("folds are counted from 1 to {k}"))),
    }
}

/// The subsets of a run of a cross-validation: that of a fold with these rows held out, or the last one, without any.
///
/// A tenth of the other rows is held out for validation, by which the epoch is chosen and the model calibrated:
/// the fold itself is only used for a test, as its metrics would be too good otherwise. Where no epoch is chosen
/// (`--keep-weights last`), or there are too few rows, the fold is the validation subset, and the last epoch is kept.
///
/// # Errors
/// When epochs are to be compared, and there are too few rows to hold some out.
pub(crate) fn fold_subsets(
    config: &mut TrainConfig,
    data: &Data,
    held_out: &[usize],
) -> Result<Subsets> {
    let rows = split::all_but(data.rows(), held_out);
    let run = &mut config.run;
    let is_watched = run.patience.is_some() || run.stop_at.is_some();
    let is_chosen = is_watched || run.keep_weights != Some(Keep::Last);
    if is_chosen && rows.len() as f64 * VALIDATION >= 1.0 {
        let subsets = inner(config, data, &rows)?;
        let of = |places: Vec<usize>| places.into_iter().map(|place| rows[place]).collect();
        let (training, validation) = (of(subsets.training), of(subsets.validation));
        return Ok(Subsets { training, validation, test: held_out.to_vec() });
    }
    if is_watched || run.keep_weights == Some(Keep::Best) {
        return Err(Error::usage("--patience, --stop-at or --keep-weights best with too few rows")
            .at(format!("the {} training rows of a fold", rows.len()))
            .help("leave it out: a tenth of these rows can't be held out to compare epochs"));
    }
    run.keep_weights = Some(Keep::Last);
    Ok(Subsets { training: rows, validation: held_out.to_vec(), test: Vec::new() })
}

/// Some of the training rows of a fold, held out for validation: the subsets of their places.
fn inner(config: &mut TrainConfig, data: &Data, rows: &[usize]) -> Result<Subsets> {
    let seed = config.data.seed.unwrap_or(0);
    let of = |all: &[u32]| rows.iter().map(|&row| all[row]).collect::<Vec<u32>>();
    match resolve(config, data) {
        Split::Stratified => split::stratified(&of(data.labels()?), VALIDATION, seed),
        Split::Group(column) => match of(&data.groups(&column)?) {
            groups if groups.iter().any(|group| *group != groups[0]) => {
                split::grouped(&groups, VALIDATION, seed)
            }
            // A single group can't be held out of itself.
            _ => split::random(rows.len(), VALIDATION, seed),
        },
        _ => split::random(rows.len(), VALIDATION, seed),
    }
}

/// The subsets of the net of an ensemble with these rows held out.
pub(crate) fn subsets_of(rows: usize, held_out: &[usize]) -> Subsets {
    let training = split::all_but(rows, held_out);
    Subsets { training, validation: held_out.to_vec(), test: Vec::new() }
}

/// The held-out rows of each fold.
pub(crate) fn folds(config: &mut TrainConfig, data: &Data, k: usize) -> Result<Vec<Vec<usize>>> {
    if let Some(validation) = &config.run.validation {
        return Err(Error::usage(format!("--folds cannot be used with --validation {validation}"))
            .help("omit one of them: every fold is held out once"));
    }
    let seed = config.data.seed.unwrap_or(0);
    match resolve(config, data) {
        Split::Random => split::folds::random(data.rows(), k, seed),
        Split::Stratified => split::folds::stratified(data.labels()?, k, seed),
        Split::Group(column) => split::folds::grouped(&data.groups(&column)?, k, seed),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits;

    #[test]
    fn the_epoch_of_a_fold_is_chosen_by_rows_that_are_not_judged() {
        let data = Data::Ready(digits());
        let mut config = TrainConfig::default();
        let folds = folds(&mut config, &data, 5).unwrap();
        for held_out in folds.iter().map(|rows| &rows[..]).chain([&[][..]]) {
            let subsets = fold_subsets(&mut config, &data, held_out).unwrap();
            assert_eq!(subsets.test, held_out);
            let others = data.rows() - held_out.len();
            assert_eq!(subsets.validation.len(), (others as f64 * VALIDATION).round() as usize);
            let mut all = [subsets.training, subsets.validation, subsets.test].concat();
            all.sort_unstable();
            assert_eq!(all, (0..data.rows()).collect::<Vec<_>>(), "each row is in one part");
            assert_eq!(config.run.keep_weights, None);
        }
        // Without a choice, all other rows are for training; stopping needs rows again.
        config.run.keep_weights = Some(Keep::Last);
        let subsets = fold_subsets(&mut config, &data, &folds[0]).unwrap();
        assert_eq!(subsets, subsets_of(data.rows(), &folds[0]));
        config.run.patience = Some(3);
        assert_eq!(fold_subsets(&mut config, &data, &folds[0]).unwrap().test, folds[0]);
    }

    #[test]
    fn with_too_few_rows_the_last_epoch_is_kept() {
        let data = Data::Ready(digits().select(&(0..12).collect::<Vec<_>>()));
        let mut config = TrainConfig::default();
        config.run.split = Some(Split::Random);
        let folds = folds(&mut config, &data, 3).unwrap();
        let mut watched = config.clone();
        let subsets = fold_subsets(&mut config, &data, &folds[1]).unwrap();
        assert_eq!(subsets, subsets_of(12, &folds[1]));
        assert_eq!(config.run.keep_weights, Some(Keep::Last));
        watched.run.patience = Some(3);
        let error = fold_subsets(&mut watched, &data, &folds[1]).unwrap_err().to_string();
        assert!(error.contains("the 8 training rows of a fold"), "{error}");
    }
}
