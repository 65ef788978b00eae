//! The split into training and held-out rows by the options.

use crate::base::error::{Error, Result};
use crate::base::words::{count, verb};
use crate::data::split::{self, Split, Subsets};
use crate::data::{Data, Targets};
use crate::files::config::{HeldOutData, TrainConfig};
use crate::front::setup::hooks::Hooks;
use crate::net::stopping::Keep;

/// Fraction of the rows held out for validation by default.
pub(super) const VALIDATION: f64 = 0.1;

/// The subsets of a run. The chosen split, if any, is stored in the options.
pub(crate) fn subsets(config: &mut TrainConfig, data: &Data, hooks: Hooks) -> Result<Subsets> {
    match (config.run.fold, config.run.folds) {
        (Some(fold), Some(k)) => return one_fold(config, data, fold, k),
        (Some(fold), None) => return Err(without_folds(fold)),
        _ => {}
    }
    let all = all(config, data)?;
    let rows = all.training.len();
    let fraction = match (&config.run.validation, &config.run.split) {
        (Some(HeldOutData::Path(_)), None) => return Ok(all),
        // The split is that of the test rows.
        (Some(HeldOutData::Path(_)), Some(_)) if !all.test.is_empty() => return Ok(all),
        (Some(_), Some(Split::Column(_))) | (Some(HeldOutData::Path(_)), Some(_)) => {
            return Err(beside_column());
        }
        (_, Some(Split::Column(column))) => return data.subsets(column),
        (Some(HeldOutData::Fraction(fraction)), _) => *fraction,
        (None, _) if rows as f64 * VALIDATION < 1.0 => {
            hooks.say(format_args!(
                "note: {} {} too few to hold some out for validation",
                count(rows, "row"),
                verb(rows, ["is", "are"])
            ));
            return Ok(all);
        }
        (None, _) => VALIDATION,
    };
    if fraction == 0.0 {
        return Ok(all);
    }
    let split = resolve(config, data);
    let subsets = hold_out(config, data, &split, &all.training, fraction)?;
    Ok(Subsets { test: all.test, ..subsets })
}

/// All rows as training rows, except a fraction that --test holds out.
pub(crate) fn all(config: &TrainConfig, data: &Data) -> Result<Subsets> {
    let test = test_rows(config, data)?;
    Ok(Subsets { training: split::all_but(data.rows(), &test), test, ..Subsets::default() })
}

/// The rows that a fraction in --test holds out, before any are held out for validation.
fn test_rows(config: &TrainConfig, data: &Data) -> Result<Vec<usize>> {
    let fraction = match config.run.test {
        Some(HeldOutData::Fraction(fraction)) if fraction > 0.0 => fraction,
        _ => return Ok(Vec::new()),
    };
    let refused = |other: String, help: &str| {
        Err(Error::usage(format!("--test {fraction} cannot be used with {other}")).help(help))
    };
    if config.run.folds.is_some() {
        return refused(
            "--folds".into(),
            "give a file, or omit --test: every fold is held out once",
        );
    }
    let split = split_of(config, data);
    if let Split::Column(_) = split {
        let other = format!("--split {split}");
        return refused(other, "mark the test rows with test in that column, or give a file");
    }
    let rows: Vec<usize> = (0..data.rows()).collect();
    Ok(hold_out(config, data, &split, &rows, fraction)?.validation)
}

/// Holds out a fraction of these rows by a split that isn't one of a column.
fn hold_out(
    config: &TrainConfig,
    data: &Data,
    split: &Split,
    rows: &[usize],
    fraction: f64,
) -> Result<Subsets> {
    fn of<T: Copy>(all: &[T], rows: &[usize]) -> Vec<T> {
        rows.iter().map(|&row| all[row]).collect()
    }
    let seed = config.data.seed.unwrap_or(0);
    let subsets = match split {
        Split::Random => split::random(rows.len(), fraction, seed)?,
        Split::Stratified => split::stratified(&of(data.labels()?, rows), fraction, seed)?,
        Split::Group(column) => split::grouped(&of(&data.groups(column)?, rows), fraction, seed)?,
        Split::Time(column) => split::by_time(&of(&data.times(column)?, rows), fraction)?,
        Split::Column(column) => return data.subsets(column),
    };
    Ok(of_rows(subsets, rows))
}

/// Subsets of the places of some rows as subsets of these rows.
fn of_rows(subsets: Subsets, rows: &[usize]) -> Subsets {
    let of = |places: Vec<usize>| places.into_iter().map(|place| rows[place]).collect();
    let Subsets { training, validation, test } = subsets;
    Subsets { training: of(training), validation: of(validation), test: of(test) }
}

/// The error for one fold without the number of folds.
pub(super) fn without_folds(fold: usize) -> Error {
    Error::usage(format!("--fold {fold} needs --folds"))
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
        None => Err(Error::usage(format!("--fold {fold} is out of range for --folds {k}"))
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
        return Ok(Subsets { test: held_out.to_vec(), ..subsets });
    }
    if is_watched || run.keep_weights == Some(Keep::Best) {
        return Err(Error::usage("too few rows for --patience, --stop-at or --keep-weights best")
            .at(format!("the {} training rows of a fold", rows.len()))
            .help("omit the option: a tenth of these rows can't be held out to compare epochs"));
    }
    run.keep_weights = Some(Keep::Last);
    Ok(Subsets { training: rows, validation: held_out.to_vec(), test: Vec::new() })
}

/// Some of the training rows of a fold, held out for validation.
fn inner(config: &mut TrainConfig, data: &Data, rows: &[usize]) -> Result<Subsets> {
    let split = match resolve(config, data) {
        Split::Stratified => Split::Stratified,
        Split::Group(column) => {
            let groups = data.groups(&column)?;
            // A single group can't be held out of itself.
            let are_several = rows.iter().any(|&row| groups[row] != groups[rows[0]]);
            if are_several { Split::Group(column) } else { Split::Random }
        }
        _ => Split::Random,
    };
    hold_out(config, data, &split, rows, VALIDATION)
}

/// The subsets of the net of an ensemble with these rows held out of all training rows, ascending.
pub(crate) fn subsets_of(rows: &[usize], held_out: &[usize]) -> Subsets {
    let is_other = |row: &usize| held_out.binary_search(row).is_err();
    let training = rows.iter().copied().filter(is_other).collect();
    Subsets { training, validation: held_out.to_vec(), test: Vec::new() }
}

/// The held-out rows of each fold.
pub(crate) fn folds(config: &mut TrainConfig, data: &Data, k: usize) -> Result<Vec<Vec<usize>>> {
    if let Some(validation) = &config.run.validation {
        return Err(Error::usage(format!("--folds cannot be used with --validation {validation}"))
            .help("omit one of them: every fold is held out once"));
    }
    let rows = all(config, data)?.training;
    let of = |all: &[u32]| -> Vec<u32> { rows.iter().map(|&row| all[row]).collect() };
    let seed = config.data.seed.unwrap_or(0);
    let folds = match resolve(config, data) {
        Split::Random => split::folds::random(rows.len(), k, seed)?,
        Split::Stratified => split::folds::stratified(&of(data.labels()?), k, seed)?,
        Split::Group(column) => split::folds::grouped(&of(&data.groups(&column)?), k, seed)?,
        other => {
            return Err(Error::usage(format!("--folds cannot be used with --split {other}"))
                .help("folds are random, stratified or group:COL"));
        }
    };
    let places = folds.into_iter();
    Ok(places.map(|fold| fold.into_iter().map(|place| rows[place]).collect()).collect())
}

/// The given split, which is then stored in the options; by default that of [`split_of`].
fn resolve(config: &mut TrainConfig, data: &Data) -> Split {
    let split = split_of(config, data);
    config.run.split.get_or_insert(split).clone()
}

/// The given split; by default stratified for classes, otherwise random.
fn split_of(config: &TrainConfig, data: &Data) -> Split {
    match (&config.run.split, data.targets()) {
        (Some(split), _) => split.clone(),
        (None, Targets::Classes { .. }) => Split::Stratified,
        (None, _) => Split::Random,
    }
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
        let all: Vec<usize> = (0..data.rows()).collect();
        assert_eq!(subsets, subsets_of(&all, &folds[0]));
        config.run.patience = Some(3);
        assert_eq!(fold_subsets(&mut config, &data, &folds[0]).unwrap().test, folds[0]);
    }

    #[test]
    fn a_fraction_for_a_test_is_held_out_of_all_other_subsets() {
        let data = Data::Ready(digits());
        let mut config = TrainConfig::default();
        let without = subsets(&mut config.clone(), &data, Hooks::default()).unwrap();
        config.run.test = Some(HeldOutData::Fraction(0.25));
        let found = subsets(&mut config.clone(), &data, Hooks::default()).unwrap();
        assert_eq!([found.test.len(), found.validation.len()], [449, 135]);
        let mut all = [found.training, found.validation, found.test.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..data.rows()).collect::<Vec<_>>(), "each row is in one part");
        // The same rows whatever is held out for validation.
        let folds = folds(&mut config.clone(), &data, 3).unwrap();
        let mut all = [folds.concat(), found.test.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..data.rows()).collect::<Vec<_>>());
        config.run.validation = Some("other.csv".parse().unwrap());
        config.run.split = Some(Split::Stratified);
        let other = subsets(&mut config, &data, Hooks::default()).unwrap();
        assert_eq!((other.test, other.validation.len()), (found.test, 0));
        (config.run.folds, config.run.validation) = (Some(3), None);
        let refused = fold_refusal(&mut config, &data);
        assert_eq!(refused, "--test 0.25 cannot be used with --folds");
        config.run.test = Some(HeldOutData::Fraction(0.0));
        (config.run.folds, config.run.split) = (None, None);
        assert_eq!(subsets(&mut config, &data, Hooks::default()).unwrap(), without);
    }

    fn fold_refusal(config: &mut TrainConfig, data: &Data) -> String {
        folds(config, data, 3).unwrap_err().message().to_string()
    }

    #[test]
    fn with_too_few_rows_the_last_epoch_is_kept() {
        let data = Data::Ready(digits().select(&(0..12).collect::<Vec<_>>()));
        let mut config = TrainConfig::default();
        config.run.split = Some(Split::Random);
        let folds = folds(&mut config, &data, 3).unwrap();
        let mut watched = config.clone();
        let subsets = fold_subsets(&mut config, &data, &folds[1]).unwrap();
        assert_eq!(subsets, subsets_of(&(0..12).collect::<Vec<_>>(), &folds[1]));
        assert_eq!(config.run.keep_weights, Some(Keep::Last));
        watched.run.patience = Some(3);
        let error = fold_subsets(&mut watched, &data, &folds[1]).unwrap_err().to_string();
        assert!(error.contains("the 8 training rows of a fold"), "{error}");
    }
}
