//! The split of rows into training and held-out subsets: seeded, each row in exactly one subset.
//!
//! Pure functions of labels, groups, times, or names of subsets. All
//! return row numbers in ascending order. Every random choice uses the order of rows given by
//! (seed, rows), so a split depends on nothing else.

pub(super) mod class_shares;
pub mod folds;
pub(super) mod keys;

use crate::base::error::{Error, Result, nearest, serde_as_text, unknown};
use crate::base::words::count;
use crate::math::random::{Permutation, Stream, stream_key, text_hash, threefry};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// How rows are split into training and validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// At random.
    Random,
    /// At random within each class, so that both subsets have the same fractions of the classes.
    Stratified,
    /// At random by the values of a column: rows with the same value stay together.
    Group(String),
    /// By the values of a column: the latest rows are held out.
    Time(String),
    /// By the subset named in a column: train, validation or test.
    Column(String),
}

impl Split {
    /// The column that decides, if one does.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Split::Random | Split::Stratified => None,
            Split::Group(column) | Split::Time(column) | Split::Column(column) => Some(column),
        }
    }
}

serde_as_text!(Split);

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Split::Random => f.write_str("random"),
            Split::Stratified => f.write_str("stratified"),
            Split::Group(column) => write!(f, "group:{column}"),
            Split::Time(column) => write!(f, "time:{column}"),
            Split::Column(column) => write!(f, "column:{column}"),
        }
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const KNOWN: [&str; 5] = ["random", "stratified", "group:COL", "time:COL", "column:COL"];
        let (kind, column) = match text.split_once(':') {
            Some((kind, column)) => (kind, Some(column.trim())),
            None => (text, None),
        };
        match (kind.trim(), column) {
            ("random", None) => Ok(Split::Random),
            ("stratified", None) => Ok(Split::Stratified),
            ("group" | "time" | "column", None | Some("")) => {
                Err(Error::usage(format!("a split by {kind} needs a column"))
                    .help(format!("name the column, as in {kind}:NAME")))
            }
            ("group", Some(column)) => Ok(Split::Group(column.into())),
            ("time", Some(column)) => Ok(Split::Time(column.into())),
            ("column", Some(column)) => Ok(Split::Column(column.into())),
            _ => Err(unknown("split", text, &KNOWN)),
        }
    }
}

/// The subset of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subset {
    /// Used for training.
    Training,
    /// Held out for validation.
    Validation,
    /// Only used for the test at the end.
    Test,
}

impl Subset {
    /// The subset of a name: `train`, `validation` or `test`, in any case, and other usual names
    /// (`training`, `valid`, `val`, `dev`, `testing`).
    ///
    /// # Errors
    /// When it isn't one of these.
    pub fn named(name: &str) -> Result<Self> {
        match name.trim().to_lowercase().as_str() {
            "train" | "training" => Ok(Subset::Training),
            "validation" | "valid" | "val" | "dev" => Ok(Subset::Validation),
            "test" | "testing" => Ok(Subset::Test),
            other => {
                let known = ["train", "validation", "test"];
                let hint = nearest(other, known).map_or(String::new(), |n| format!("{n}? "));
                Err(Error::data(format!("{name:?} is not the name of a part"))
                    .help(format!("{hint}known: {}", known.join(", "))))
            }
        }
    }
}

/// The rows of each subset, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subsets {
    /// The training rows.
    pub training: Vec<usize>,
    /// The rows held out for validation.
    pub validation: Vec<usize>,
    /// The rows only used for the test at the end.
    pub test: Vec<usize>,
}

impl Subsets {
    /// The rows for which `is_held_out` is true are held out, the others are for training.
    fn of(rows: usize, is_held_out: impl Fn(usize) -> bool) -> Self {
        let (validation, training) = (0..rows).partition(|&row| is_held_out(row));
        Subsets { training, validation, test: Vec::new() }
    }
}

/// Holds out a random `fraction` of the rows.
///
/// # Errors
/// When the fraction is not in (0, 1), or leaves one subset without rows.
pub fn random(rows: usize, fraction: f64, seed: u64) -> Result<Subsets> {
    let count = held_out_count(rows, fraction)?;
    let mut held_out = vec![false; rows];
    order(rows, seed, Stream::Split)?.take(count).for_each(|row| held_out[row] = true);
    Ok(Subsets::of(rows, |row| held_out[row]))
}

/// Holds out a random `fraction` of the rows of each class, with a difference of less than one row per
/// class; the total is that of [`random`]. A class with a single row is in the training subset, as long
/// as other classes have enough rows.
///
/// # Errors
/// As [`random`].
pub fn stratified(labels: &[u32], fraction: f64, seed: u64) -> Result<Subsets> {
    let rows = labels.len();
    let mut quota = quotas(&sizes(labels), fraction)?;
    let mut held_out = vec![false; rows];
    for row in order(rows, seed, Stream::Split)? {
        let left = &mut quota[labels[row] as usize];
        if *left > 0 {
            *left -= 1;
            held_out[row] = true;
        }
    }
    Ok(Subsets::of(rows, |row| held_out[row]))
}

/// The number of rows to hold out of each class, given the numbers of its rows: see [`stratified`].
///
/// # Errors
/// As [`random`].
pub fn quotas(sizes: &[usize], fraction: f64) -> Result<Vec<usize>> {
    let count = held_out_count(sizes.iter().sum(), fraction)?;
    let mut quota: Vec<usize> = sizes.iter().map(|&n| (n as f64 * fraction) as usize).collect();
    // The rows left by rounding down go to the largest remainders.
    let remainder = |class: usize| sizes[class] as f64 * fraction - quota[class] as f64;
    let empties = |class: usize| quota[class] + 1 >= sizes[class];
    let mut next: Vec<usize> = (0..sizes.len()).filter(|&c| remainder(c) > 0.0).collect();
    next.sort_by(|&a, &b| {
        empties(a).cmp(&empties(b)).then(remainder(b).total_cmp(&remainder(a))).then(a.cmp(&b))
    });
    let missing = count.saturating_sub(quota.iter().sum());
    next.iter().take(missing).for_each(|&class| quota[class] += 1);
    Ok(quota)
}

/// Holds out whole groups: in random order, each group that brings the held-out rows nearer to
/// `fraction`; if every group is too large for that, the smallest.
///
/// `groups` holds the group of each row, numbered from 0 on.
///
/// # Errors
/// As [`random`], and when there is only one group.
pub fn grouped(groups: &[u32], fraction: f64, seed: u64) -> Result<Subsets> {
    let rows = groups.len();
    let wanted = held_out_count(rows, fraction)?;
    let sizes = sizes(groups);
    let order: Vec<usize> =
        order(sizes.len(), seed, Stream::Split)?.filter(|&group| sizes[group] > 0).collect();
    if order.len() < 2 {
        return Err(Error::data("all rows are in one group")
            .help("split by a column that has several values, or use --split random"));
    }
    let mut held_out = vec![false; sizes.len()];
    let mut count = 0usize;
    for &group in &order {
        let with = count + sizes[group];
        if with < rows && with.abs_diff(wanted) < count.abs_diff(wanted) {
            (held_out[group], count) = (true, with);
        }
    }
    if count == 0
        && let Some(&smallest) = order.iter().min_by_key(|&&group| sizes[group])
    {
        held_out[smallest] = true;
    }
    Ok(Subsets::of(rows, |row| held_out[groups[row] as usize]))
}

/// Holds out the last `fraction` of the rows by time. Rows with the same time stay together, in the
/// subset that brings the held-out rows nearer to the fraction: every training row is earlier than
/// every held-out one.
///
/// # Errors
/// As [`random`]; when a time is not a finite number (its row is named), or all are the same.
pub fn by_time(times: &[f64], fraction: f64) -> Result<Subsets> {
    let first = first_held_out(times, fraction)?;
    Ok(Subsets::of(times.len(), |row| times[row] >= first))
}

/// The time from which [`by_time`] holds rows out.
///
/// # Errors
/// As [`by_time`].
pub fn first_held_out(times: &[f64], fraction: f64) -> Result<f64> {
    let rows = times.len();
    let wanted = rows - held_out_count(rows, fraction)?;
    if let Some(row) = times.iter().position(|t| !t.is_finite()) {
        return Err(Error::data(format!("a time is {}", times[row]))
            .at(format!("row {}", row + 1))
            .help("every row needs a time: remove the row, or use another --split"));
    }
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Training ends before the first row of some time, chosen nearest to the ideal end.
    let boundary = sorted[wanted];
    let before = sorted.partition_point(|t| *t < boundary);
    let after = sorted.partition_point(|t| *t <= boundary);
    let first = match (before, after) {
        (0, after) if after == rows => {
            return Err(Error::data("all rows have the same time")
                .help("split by a column that has several values, or use --split random"));
        }
        (0, after) => after,
        (before, after) if after == rows => before,
        (before, after) if wanted - before <= after - wanted => before,
        (_, after) => after,
    };
    Ok(sorted[first])
}

/// The subsets named in a column, by [`Subset::named`].
///
/// # Errors
/// When a name isn't one of these (its row is named), or no row is for training.
pub fn by_column<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Subsets> {
    let mut subsets = Subsets::default();
    for (row, name) in names.into_iter().enumerate() {
        let subset = Subset::named(name).map_err(|e| e.at(format!("row {}", row + 1)))?;
        match subset {
            Subset::Training => subsets.training.push(row),
            Subset::Validation => subsets.validation.push(row),
            Subset::Test => subsets.test.push(row),
        }
    }
    if subsets.training.is_empty() {
        return Err(Error::data("no row is for training")
            .help("mark the rows to train on with train in the column of --split"));
    }
    Ok(subsets)
}

/// The rows of `0..rows` that are not in `held_out`, which is ascending.
#[must_use]
pub fn all_but(rows: usize, held_out: &[usize]) -> Vec<usize> {
    let mut held_out = held_out.iter().peekable();
    (0..rows).filter(|row| held_out.next_if_eq(&row).is_none()).collect()
}

/// Numbers values in order of first appearance: the number of each, from 0 on.
#[must_use]
pub fn numbered<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<u32> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    values
        .into_iter()
        .map(|value| {
            let next = numbers.len() as u32;
            *numbers.entry(value).or_insert(next)
        })
        .collect()
}

/// The number of rows in a `fraction` of them.
fn held_out_count(rows: usize, fraction: f64) -> Result<usize> {
    let held_out = (rows as f64 * fraction).round() as usize;
    if fraction > 0.0 && fraction < 1.0 && held_out > 0 && held_out < rows {
        return Ok(held_out);
    }
    Err(Error::usage(format!(
        "a validation fraction of {fraction} cannot be used for {}",
        count(rows, "row")
    ))
    .help("choose a fraction that leaves rows for both parts, or 0 for no validation"))
}

/// `0..n` in the random order of a stream of `seed`.
fn order(n: usize, seed: u64, stream: Stream) -> Result<impl Iterator<Item = usize>> {
    let n = u32::try_from(n).map_err(|_| {
        Error::data(format!("{n} rows")).help("a data set has at most 2³² rows: split it")
    })?;
    let permutation = Permutation::new(n, Some(stream_key(seed, stream, 0)));
    Ok((0..n).map(move |i| permutation.at(i) as usize))
}

/// The number of occurrences of each number.
fn sizes(numbers: &[u32]) -> Vec<usize> {
    let mut sizes = vec![0; numbers.iter().max().map_or(0, |&n| n as usize + 1)];
    numbers.iter().for_each(|&n| sizes[n as usize] += 1);
    sizes
}

/// Whether a row is held out if each is with a probability of `fraction`, by its number and the
/// seed alone: for tables that are read in chunks.
#[must_use]
pub fn is_held_out(row: usize, fraction: f64, seed: u64) -> bool {
    let row = row as u64;
    let key = stream_key(seed, Stream::HeldOut, 0);
    let [drawn, _] = threefry(key, [row as u32, (row >> 32) as u32]);
    f64::from(drawn) < fraction * 2f64.powi(32)
}

/// As [`is_held_out`], for a whole group by its name.
#[must_use]
pub fn is_group_held_out(group: &str, fraction: f64, seed: u64) -> bool {
    let hash = text_hash(group);
    let key = stream_key(seed, Stream::HeldOut, 1);
    let [drawn, _] = threefry(key, [hash as u32, (hash >> 32) as u32]);
    f64::from(drawn) < fraction * 2f64.powi(32)
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
