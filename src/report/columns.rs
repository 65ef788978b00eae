//! The columns of a table: their values, and the encoding of each.

use super::{NotComputed, Rows, sample};
use crate::data::{Column, Encoder, Encoding, Kind, MISSING, Role, Table, Targets, Values};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The most columns that are described individually.
const COLUMNS: usize = 200;
/// The most values from which distributions are taken, over all columns.
const VALUES: usize = 1_000_000;
/// The most rows from which they are taken.
const ROWS: usize = 10_000;
/// The bins of a histogram.
const BINS: usize = 24;
/// The most categories of a column that are named.
const SHARES: usize = 6;
/// A histogram excludes the outermost percentiles if the full range is this many times wider.
const LONG_TAIL: f64 = 3.0;

/// A column of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// `feature`, `target`, `weight`, `reserved` or `ignored`.
    pub role: String,
    /// Its kind: `number`, `category`, …; none where it wasn't read.
    pub kind: Option<String>,
    /// How many rows lack a value.
    pub missing: usize,
    /// Its encoding; none if nothing is learned from it.
    pub input: Option<String>,
    /// The number of inputs.
    pub inputs: usize,
    /// Why nothing is learned from it.
    pub left_out: Option<String>,
    /// Its values in the training rows.
    pub distribution: Option<Distribution>,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Numbers, or times as seconds since 1970.
    Numbers {
        /// Whether they are times.
        is_time: bool,
        /// The smallest.
        min: f64,
        /// The median.
        median: f64,
        /// The largest.
        max: f64,
        /// The range of the bins, which have equal widths; values beyond are counted in the outermost bins.
        range: [f64; 2],
        /// The rows of each bin.
        counts: Vec<usize>,
    },
    /// Names.
    Shares {
        /// The most frequent ones.
        shares: Vec<Share>,
        /// The number of different ones.
        distinct: usize,
        /// The rows with a value.
        rows: usize,
    },
}

/// How many rows have a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The value.
    pub name: String,
    /// The number of rows.
    pub rows: usize,
}

impl Distribution {
    /// The distribution of numbers, without NaN; none if there are no numbers.
    pub(super) fn of_numbers(values: impl Iterator<Item = f64>, is_time: bool) -> Option<Self> {
        let mut sorted: Vec<f64> = values.filter(|x| x.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let inner = [at(0.01), at(0.99)];
        let is_long = max - min > LONG_TAIL * (inner[1] - inner[0]) && inner[1] > inner[0];
        let range = if is_long { inner } else { [min, max] };
        let width = range[1] - range[0];
        if !width.is_finite() {
            return None;
        }
        let mut counts = vec![0; if width > 0.0 { BINS } else { 1 }];
        for x in &sorted {
            let place = ((x - range[0]) / width * BINS as f64).floor();
            let last = counts.len() - 1;
            counts[if place > 0.0 { (place as usize).min(last) } else { 0 }] += 1;
        }
        Some(Distribution::Numbers { is_time, min, median: at(0.5), max, range, counts })
    }

    /// The distribution of names.
    fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        names.for_each(|name| *counts.entry(name).or_default() += 1);
        let rows = counts.values().sum();
        let distinct = counts.len();
        let mut all: Vec<(&str, usize)> = counts.into_iter().collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let share = |(name, rows): (&str, usize)| Share { name: name.into(), rows };
        let shares = all.into_iter().take(SHARES).map(share).collect();
        Distribution::Shares { shares, distinct, rows }
    }

    fn of(values: &Values, kind: Option<Kind>, rows: &[usize]) -> Option<Self> {
        let numbers = || rows.iter().map(|&row| values.number(row));
        match (values, kind) {
            (Values::Texts(_), Some(Kind::Time | Kind::Text)) => None,
            (Values::Texts(texts), _) => {
                let codes = rows.iter().map(|&row| texts.codes[row]);
                let words = codes.filter(|&code| code != MISSING).map(|code| texts.words.get(code));
                Some(Distribution::of_names(words))
            }
            (_, Some(Kind::Category | Kind::Boolean | Kind::Constant)) => {
                let texts: Vec<String> = rows.iter().filter_map(|&row| values.text(row)).collect();
                Some(Distribution::of_names(texts.iter().map(String::as_str)))
            }
            (Values::Times(_), _) => Self::of_numbers(numbers(), true),
            _ => Self::of_numbers(numbers(), false),
        }
    }
}

/// The columns of a table with their distributions in its training rows.
pub(super) fn columns(
    table: &Table,
    encoding: Option<&Encoding>,
    training_rows: &[usize],
) -> super::Columns {
    let all = table.columns();
    let most = (VALUES / all.len().clamp(1, COLUMNS)).clamp(1, ROWS);
    let chosen = sample(training_rows.len(), most, 0);
    let rows: Vec<usize> = chosen.iter().map(|&i| training_rows[i]).collect();
    let encoders: HashMap<&str, &Encoder> = encoding
        .iter()
        .flat_map(|encoding| &encoding.features)
        .map(|feature| (feature.column.as_str(), &feature.encoder))
        .collect();
    let of = |(place, column): (usize, &Column)| {
        let encoder = encoders.get(column.name.as_str()).filter(|_| column.role == Role::Feature);
        let values = table.frame().columns.get(place).and_then(Option::as_ref);
        ColumnSummary {
            name: column.name.clone(),
            role: role(column.role).into(),
            kind: column.kind.map(|kind| kind.to_string()),
            missing: column.missing,
            input: encoder.map(|encoder| encoder.describe()),
            inputs: encoder.map_or(0, |encoder| encoder.width()),
            left_out: left_out(column),
            distribution: values.and_then(|v| Distribution::of(v, column.kind, &rows)),
        }
    };
    super::Columns {
        total: all.len(),
        sampled_rows: rows.len(),
        columns: all.iter().enumerate().take(COLUMNS).map(of).collect(),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Feature => "feature",
        Role::Target(_) => "target",
        Role::Weight => "weight",
        Role::Reserved => "reserved",
        Role::Ignored => "ignored",
    }
}

/// Why nothing is learned from a column; none if it is used or is the target.
fn left_out(column: &Column) -> Option<String> {
    match (column.role, column.kind) {
        (Role::Target(_), _) => None,
        (Role::Weight, _) => Some("gives the weights of the rows".into()),
        (Role::Reserved, _) => Some("determines the split".into()),
        (Role::Ignored, _) => Some("left out with --ignore or --columns".into()),
        (Role::Feature, Some(Kind::Text | Kind::Constant)) => Some(column.why.clone()),
        (Role::Feature, Some(_)) => None,
        (Role::Feature, None) => Some(column.why.clone()),
    }
}

/// The number of rows of each class or label.
pub(super) fn shares(targets: &Targets) -> Vec<Share> {
    let share = |(name, rows): (&String, usize)| Share { name: name.clone(), rows };
    match targets {
        Targets::Classes { labels, names } => {
            let mut counts = vec![0; names.len()];
            labels.iter().for_each(|&label| counts[label as usize] += 1);
            names.iter().zip(counts).map(share).collect()
        }
        Targets::Labels { values, names } => {
            let count = |c: usize| values.iter_rows().filter(|row| row[c] >= 0.5).count();
            names.iter().enumerate().map(|(c, name)| share((name, count(c)))).collect()
        }
        Targets::Numbers(_) => Vec::new(),
    }
}

/// The distributions of targets that are numbers.
pub(super) fn distributions(targets: &Targets) -> Vec<Distribution> {
    let Targets::Numbers(m) = targets else { return Vec::new() };
    let rows = sample(m.rows(), ROWS, 1);
    let of = |c: usize| Distribution::of_numbers(rows.iter().map(|&r| m.row(r)[c]), false);
    let all: Option<Vec<_>> = (0..m.cols()).map(of).collect();
    all.unwrap_or_default()
}

/// The note for a table that is only known by a sample of its rows.
pub(super) fn sampled(known: usize, rows: Rows) -> Option<NotComputed> {
    (known < rows.training).then(|| NotComputed {
        part: "distributions, importance and partial dependence over all rows".into(),
        why: format!(
            "the table is larger than --memory-limit, or split with --shard: they are computed from a sample of {known} of its {} training rows",
            rows.training
        ),
    })
}

/// The kind of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// One class per row.
    Classes,
    /// Any number of labels per row.
    Labels,
    /// Numbers.
    Numbers,
}

/// The targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSummary {
    /// Its kind.
    pub kind: TargetKind,
    /// The target columns of a table.
    pub columns: Vec<String>,
    /// The names of the classes, labels or numbers, in the order of the outputs.
    pub names: Vec<String>,
    /// How many training rows have each class or label.
    pub shares: Vec<Share>,
    /// For numbers, their distribution in the training rows, in the order of `names`.
    pub distributions: Vec<super::Distribution>,
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// The number of columns.
    pub total: usize,
    /// The number of rows in the distributions.
    pub sampled_rows: usize,
    /// The columns in the order of the table, up to a number.
    pub columns: Vec<ColumnSummary>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_every_number_once_and_ends_where_they_do() {
        let Some(Distribution::Numbers { min, median, max, range, counts, .. }) =
            Distribution::of_numbers((0..100).map(f64::from).chain([f64::NAN]), false)
        else {
            panic!("numbers have a distribution")
        };
        assert_eq!((min, median, max, range), (0.0, 50.0, 99.0, [0.0, 99.0]));
        assert_eq!((counts.iter().sum::<usize>(), counts.len()), (100, BINS));
    }

    #[test]
    fn a_long_tail_and_equal_values_leave_the_bins_of_use() {
        let values = (0..1000).map(|i| if i == 0 { 1e9 } else { f64::from(i % 50) });
        let Some(Distribution::Numbers { max, range, counts, .. }) =
            Distribution::of_numbers(values, false)
        else {
            panic!("numbers have a distribution")
        };
        assert_eq!((max, range, counts.iter().sum::<usize>()), (1e9, [0.0, 49.0], 1000));
        let equal = Distribution::of_numbers([2.0; 5].into_iter(), false);
        let Some(Distribution::Numbers { counts, .. }) = equal else { panic!("numbers") };
        assert_eq!(counts, [5]);
        assert_eq!(Distribution::of_numbers([f64::NAN].into_iter(), false), None);
        let apart = Distribution::of_numbers([f64::MIN, f64::MAX].into_iter(), false);
        assert_eq!(apart, None, "f64 holds no range of them");
    }

    #[test]
    fn frequent_names_come_first() {
        let names = ["b", "a", "b", "c", "d", "e", "f", "g", "h"];
        let Distribution::Shares { shares, distinct, rows } =
            Distribution::of_names(names.into_iter())
        else {
            panic!("names have shares")
        };
        assert_eq!((shares.len(), distinct, rows), (SHARES, 8, 9));
        assert_eq!(shares[0], Share { name: "b".into(), rows: 2 });
        assert_eq!(shares[1].name, "a");
    }
}
