//! The folds of a cross-validation: seeded, each row held out by exactly one fold.

use super::{order, sizes};
use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::math::random::Stream;

/// The held-out rows of each of `k` folds, whose sizes differ by one row at most.
///
/// # Errors
/// When there are fewer than 2 folds, or fewer rows than folds.
pub fn random(rows: usize, k: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    stratified(&vec![0; rows], k, seed)
}

/// As [`random`], where also the number of rows of each class differs by at most one between folds.
///
/// # Errors
/// As [`random`].
pub fn stratified(labels: &[u32], k: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    let rows = labels.len();
    check_folds(k, rows, "row")?;
    // The rows of a class are distributed in turn, continuing after the previous class.
    let mut turn: Vec<usize> = sizes(labels)
        .iter()
        .scan(0, |sum, size| Some(std::mem::replace(sum, *sum + size)))
        .collect();
    let mut fold_of = vec![0; rows];
    for row in order(rows, seed, Stream::Folds)? {
        let turn = &mut turn[labels[row] as usize];
        fold_of[row] = *turn % k;
        *turn += 1;
    }
    Ok(collect(&fold_of, k))
}

/// As [`random`], where the rows of a group stay in one fold: the largest groups are assigned first,
/// each to the fold with the fewest rows.
///
/// # Errors
/// As [`random`], with groups instead of rows.
pub fn grouped(groups: &[u32], k: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    let sizes = sizes(groups);
    check_folds(k, sizes.iter().filter(|&&n| n > 0).count(), "group")?;
    let mut order: Vec<usize> = order(sizes.len(), seed, Stream::Folds)?.collect();
    order.sort_by_key(|&group| std::cmp::Reverse(sizes[group]));
    let (mut rows_of, mut fold_of) = (vec![0; k], vec![0; sizes.len()]);
    for group in order {
        let smallest = (0..k).min_by_key(|&fold| rows_of[fold]).unwrap_or(0);
        rows_of[smallest] += sizes[group];
        fold_of[group] = smallest;
    }
    let fold_of: Vec<usize> = groups.iter().map(|&group| fold_of[group as usize]).collect();
    Ok(collect(&fold_of, k))
}

fn check_folds(k: usize, number: usize, what: &str) -> Result<()> {
    if k >= 2 && k <= number {
        return Ok(());
    }
    Err(Error::usage(format!("{} of {}", count(k, "fold"), count(number, what)))
        .help(format!("--folds must be at least 2, and every fold needs a {what}")))
}

/// The rows of each fold, ascending.
fn collect(fold_of: &[usize], k: usize) -> Vec<Vec<usize>> {
    let mut folds = vec![Vec::new(); k];
    fold_of.iter().enumerate().for_each(|(row, &fold)| folds[fold].push(row));
    folds
}
