//! Leakage, which makes held-out metrics look too good: rows that are also training rows, and columns
//! that reveal the target.
//!
//! Both are signs, not proofs, and are reported only if chance isn't an explanation.

use super::ratio;
use crate::base::parallel::*;
use crate::data::{Dataset, Features, Targets};
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

/// The fraction of held-out duplicates from which they are reported: single ones occur by chance.
const TWINS: f64 = 0.005;
/// A table whose fraction of distinct rows is below this is coarse: its rows repeat naturally.
const DISTINCT: f64 = 0.5;
/// A rule on one column reveals the target if it leaves at most this fraction of a constant's
/// errors, or of the variance.
const LEFT: [f64; 2] = [0.01, 0.001];
/// 1 − the rank correlation of a column that orders rows like the target.
const RANKS: f64 = 1e-4;
/// With fewer rows outside the majority class, or fewer distinct numbers, chance can't be
/// distinguished from a rule.
const FEWEST: usize = 20;

/// Held-out rows that are also in the training data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The number of them.
    pub rows: usize,
    /// One of them, as its row in the held-out data and that of its duplicate in the training data,
    /// from 0 on.
    pub example: (usize, usize),
}

/// The rows of `held_out` that equal a row of `training` in all features and in the target. None
/// if they are fewer than 0.5%, or if the training rows themselves are coarse, most of them
/// having duplicates. Rows are found by a hash and then compared. O(n log n).
#[must_use]
pub fn overlap(training: &Dataset, held_out: &Dataset) -> Option<Overlap> {
    if training.features().cols() != held_out.features().cols() {
        return None;
    }
    let bytes = [training, held_out].iter().all(|d| matches!(d.features(), Features::U8(_)));
    let mut known: Vec<(u64, usize)> =
        (0..training.rows()).into_par_iter().map(|r| (hash(training, r, bytes), r)).collect();
    known.par_sort_unstable();
    let distinct = known.chunk_by(|a, b| a.0 == b.0).count();
    let twin = |row: usize| {
        let hash = hash(held_out, row, bytes);
        let from = known.partition_point(|k| k.0 < hash);
        let alike = known[from..].iter().take_while(|k| k.0 == hash);
        alike.map(|k| k.1).find(|&r| same(training, r, held_out, row))
    };
    let rows = (0..held_out.rows()).into_par_iter();
    let twins: Vec<(usize, usize)> = rows.filter_map(|row| Some((row, twin(row)?))).collect();
    let many = twins.len() as f64 >= TWINS * held_out.rows() as f64;
    let coarse = (distinct as f64) < DISTINCT * training.rows() as f64;
    let example = *twins.first()?;
    (many && !coarse).then_some(Overlap { rows: twins.len(), example })
}

/// A hash of the features of a row: of the bytes if both sets have bytes, else of the values.
fn hash(data: &Dataset, row: usize, bytes: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    match data.features() {
        Features::U8(m) if bytes => hasher.write(m.row(row)),
        Features::U8(m) => {
            m.row(row).iter().for_each(|&x| hasher.write_u32(f32::from(x).to_bits()))
        }
        // Adding 0 turns −0 into 0.
        Features::F32(m) => m.row(row).iter().for_each(|&x| hasher.write_u32((x + 0.0).to_bits())),
    }
    hasher.finish()
}

fn same(a: &Dataset, i: usize, b: &Dataset, j: usize) -> bool {
    let features = || {
        let cols = a.features().cols();
        (0..cols).all(|c| a.features().value(i, c) == b.features().value(j, c))
    };
    let targets = match (a.targets(), b.targets()) {
        (
            Targets::Classes { labels, names },
            Targets::Classes { labels: others, names: other_names },
        ) => names[labels[i] as usize] == other_names[others[j] as usize],
        (Targets::Numbers(m), Targets::Numbers(others)) => m.row(i) == others.row(j),
        (Targets::Labels { values, .. }, Targets::Labels { values: others, .. }) => {
            values.row(i) == others.row(j)
        }
        _ => false,
    };
    targets && features()
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// Numbers, NaN if missing.
    Numbers(&'a [f64]),
    /// Categories, by number.
    Codes(&'a [u32]),
}

impl Column<'_> {
    /// The rows in the order of their values, equal values together.
    fn groups(&self) -> Vec<Vec<usize>> {
        let rows = match self {
            Column::Numbers(x) => x.len(),
            Column::Codes(codes) => codes.len(),
        };
        let mut order: Vec<usize> = (0..rows).collect();
        let same: Box<dyn Fn(usize, usize) -> bool> = match *self {
            Column::Numbers(x) => {
                order.sort_unstable_by(|&a, &b| x[a].total_cmp(&x[b]));
                Box::new(|a, b| x[a] == x[b] || x[a].is_nan() && x[b].is_nan())
            }
            Column::Codes(codes) => {
                order.sort_unstable_by_key(|&r| codes[r]);
                Box::new(|a, b| codes[a] == codes[b])
            }
        };
        order.chunk_by(|&a, &b| same(a, b)).map(<[usize]>::to_vec).collect()
    }

    /// Whether there are too many groups of equal values for a conclusion.
    fn is_too_fine(&self, groups: usize, evidence: usize) -> bool {
        matches!(self, Column::Codes(_)) && groups * 5 > evidence
    }
}

/// Whether a column alone determines the class of nearly every row, so that it was probably filled in
/// when the class was known.
///
/// Numbers: sorted by them, each class is contiguous. Categories: each has rows
/// of one class. Both up to 1% of the errors of the majority class, of which there
/// must be 20.
#[must_use]
pub fn tells_class(column: Column<'_>, labels: &[u32]) -> bool {
    let classes = labels.iter().max().map_or(0, |&l| l as usize + 1);
    let count = |rows: &mut dyn Iterator<Item = usize>| {
        let mut counts = vec![0usize; classes];
        rows.for_each(|row| counts[labels[row] as usize] += 1);
        counts
    };
    let all = count(&mut (0..labels.len()));
    let base = labels.len() - all.iter().max().copied().unwrap_or(0);
    let groups = column.groups();
    if base < FEWEST || column.is_too_fine(groups.len(), base) {
        return false;
    }
    let (mut mistakes, mut runs, mut before) = (0.0, 0usize, None);
    for group in &groups {
        let counts = count(&mut group.iter().copied());
        let likeliest = (0..classes).max_by_key(|&k| counts[k]);
        mistakes += (group.len() - counts.iter().max().copied().unwrap_or(0)) as f64;
        if likeliest != before {
            runs += 1;
            before = likeliest;
        }
        if mistakes > LEFT[0] * base as f64 {
            return false;
        }
    }
    if matches!(column, Column::Numbers(_)) {
        // A row among those of another class adds two runs.
        let occurring = all.iter().filter(|&&n| n > 0).count();
        mistakes += runs.saturating_sub(occurring) as f64 / 2.0;
    }
    mistakes <= LEFT[0] * base as f64
}

/// Whether a column alone determines a numeric target nearly exactly: by a line, by its order, or
/// as a category.
#[must_use]
pub fn tells_number(column: Column<'_>, target: &[f64]) -> bool {
    let n = target.len() as f64;
    let mean = target.iter().sum::<f64>() / n;
    let variation: f64 = target.iter().map(|t| (t - mean).powi(2)).sum();
    let of_target = ranks(target);
    let mut distinct: Vec<f64> = of_target.clone();
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup();
    if distinct.len() < FEWEST {
        return false;
    }
    match column {
        Column::Numbers(x) => {
            if x.iter().any(|x| x.is_nan()) {
                return false;
            }
            let line = correlation(x, target).powi(2);
            1.0 - line < LEFT[1] || 1.0 - correlation(&ranks(x), &of_target).abs() < RANKS
        }
        Column::Codes(_) => {
            let groups = column.groups();
            let within: f64 = groups
                .iter()
                .map(|group| {
                    let mean = group.iter().map(|&r| target[r]).sum::<f64>() / group.len() as f64;
                    group.iter().map(|&r| (target[r] - mean).powi(2)).sum::<f64>()
                })
                .sum();
            !column.is_too_fine(groups.len(), target.len()) && within < LEFT[1] * variation
        }
    }
}

/// Pearson's r; 0 if one of them is constant.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    let scale = (aa * bb).sqrt();
    if scale > 0.0 { ab / scale } else { 0.0 }
}

/// The rank of each value, equal values sharing the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in Column::Numbers(values).groups() {
        let shared = first as f64 + (group.len() as f64 - 1.0) / 2.0;
        first += group.len();
        group.into_iter().for_each(|row| ranks[row] = shared);
    }
    ranks
}

/// The majority class, and its fraction of the rows.
#[must_use]
pub fn majority(labels: &[u32]) -> Option<(usize, f64)> {
    let mut counts = vec![0usize; labels.iter().max().map_or(0, |&l| l as usize + 1)];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    let most = (0..counts.len()).max_by_key(|&k| counts[k])?;
    Some((most, ratio(counts[most] as f64, labels.len() as f64)))
}

#[cfg(test)]
#[path = "leakage_tests.rs"]
mod tests;
