//! The properties that need all rows of a table larger than memory: the subset of each row, and the categories
//! of the training rows.

use crate::base::error::{Error, Result};
use crate::data::columns::frame::Values;
use crate::data::columns::frame::texts_of;
use crate::data::columns::kind::Kind;
use crate::data::encode::{Categories, canonical};
use crate::data::formats::want::{Rows, Want};
use crate::data::split::class_shares::ClassShares;
use crate::data::split::keys::times_of;
use crate::data::split::{Split, Subset, first_held_out, is_group_held_out, is_held_out};
use crate::data::tables::roles::Role;
use crate::data::tables::target::{Goal, read as read_targets};
use crate::data::tables::target_columns::Columns;
use crate::data::{StreamedTable, Table, Targets};
use std::collections::BTreeMap;

/// For columns with more categories than this, only those of the sample are known.
const MOST: usize = 100_000;

/// The subset of each row of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum RowSubsets {
    /// Each row is held out with this probability, by its number and the seed.
    Random {
        /// The probability.
        fraction: f64,
        /// The seed.
        seed: u64,
        /// The number of rows.
        rows: usize,
    },
    /// In the order of the rows.
    Listed(Vec<Subset>),
}

impl RowSubsets {
    /// The subset of a row.
    #[must_use]
    pub fn of(&self, row: usize) -> Subset {
        match self {
            RowSubsets::Random { fraction, seed, .. } if is_held_out(row, *fraction, *seed) => {
                Subset::Validation
            }
            RowSubsets::Random { .. } => Subset::Training,
            RowSubsets::Listed(subsets) => subsets.get(row).copied().unwrap_or(Subset::Training),
        }
    }

    /// The rows of a subset, ascending.
    pub fn rows(&self, subset: Subset) -> impl Iterator<Item = usize> + '_ {
        let all = match self {
            RowSubsets::Random { rows, .. } => *rows,
            RowSubsets::Listed(subsets) => subsets.len(),
        };
        (0..all).filter(move |&row| self.of(row) == subset)
    }
}

/// The result of a pass over all rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// The subset of each row.
    pub subsets: RowSubsets,
    /// The categories in the training rows, by column name.
    pub categories: BTreeMap<String, Categories>,
    /// The columns with so many categories that only those of the sample are known.
    pub too_many: Vec<String>,
}

/// How the subsets follow from the values of a column.
enum Rule {
    Group { fraction: f64, seed: u64 },
    From { time: f64, format: Option<String> },
    Named,
    Classes(ClassShares),
}

impl StreamedTable {
    /// Reads the columns that decide the split and those of categories once, if there are
    /// any. Each group is held out with the probability `fraction`; for a split by time, the time from which
    /// rows are held out comes from the sample. A stratified split first counts the rows of each class.
    ///
    /// # Errors
    /// For a stratified split without classes; when there is no such column, a value isn't a time
    /// or a subset, or a subset has no rows.
    pub fn census(&self, split: &Split, fraction: f64, seed: u64) -> Result<Census> {
        let Some(table) = self.sample().table() else {
            return Err(Error::failed("the sample of a table is not a table"));
        };
        let mut rule = match split {
            Split::Random => None,
            Split::Stratified => {
                self.sample().labels()?;
                Some(Rule::Classes(ClassShares::new(&self.class_sizes(table)?, fraction, seed)?))
            }
            Split::Group(_) => Some(Rule::Group { fraction, seed }),
            Split::Time(column) => {
                let place = self.sample().column_of(column)?.1;
                let format = self.sample().date_format(place).map(str::to_string);
                let time = first_held_out(&self.sample().times(column)?, fraction)?;
                Some(Rule::From { time, format })
            }
            Split::Column(_) => Some(Rule::Named),
        };
        let key = split.column().map(|name| self.sample().column_of(name)).transpose()?;
        let key = match split {
            Split::Stratified => target(table),
            _ => key.map(|(_, place, _)| place),
        };
        let columns = table.columns().iter().enumerate();
        let is_category = |(_, c): &(usize, &crate::data::Column)| {
            (c.role, c.kind) == (Role::Feature, Some(Kind::Category))
        };
        let counted: Vec<usize> = columns
            .filter(is_category)
            .filter(|_| !table.pixels())
            .map(|(place, _)| place)
            .collect();
        let mut categories = vec![Some(Categories::default()); counted.len()];
        let mut listed: Vec<Subset> = Vec::new();
        let random = RowSubsets::Random { fraction, seed, rows: self.rows() };
        let places: Vec<usize> = counted.iter().copied().chain(key).collect();
        if !places.is_empty() {
            self.pass_columns(&places, |rows| {
                if rows.first == 0 {
                    // A pass may begin again.
                    listed.clear();
                    categories.fill(Some(Categories::default()));
                }
                if let (Some(rule), Some(key)) = (&mut rule, key) {
                    listed.extend(rule.subsets(&rows, key)?);
                }
                let is_trained_on = |row: usize| {
                    let row = rows.first + row;
                    listed.get(row).copied().unwrap_or_else(|| random.of(row)) == Subset::Training
                };
                for (place, all) in counted.iter().zip(&mut categories) {
                    let Some(values) = &rows.frame.columns[*place] else { continue };
                    if let Some(found) = all
                        && !found.take(&texts_of(values), is_trained_on, MOST)
                    {
                        *all = None;
                    }
                }
                Ok(())
            })?;
        }
        let subsets = if key.is_some() { RowSubsets::Listed(listed) } else { random };
        if key.is_some() {
            check(&subsets, split)?;
        }
        let names = counted.iter().map(|&place| table.columns()[place].name.clone());
        let mut census = Census { subsets, categories: BTreeMap::new(), too_many: Vec::new() };
        for (name, found) in names.zip(categories) {
            match found {
                Some(found) => drop(census.categories.insert(name, found)),
                None => census.too_many.push(name),
            }
        }
        Ok(census)
    }

    /// The training rows of each class, in a pass through the target; none if it isn't a class.
    ///
    /// # Errors
    /// With line and column, for a value that isn't a class.
    pub fn class_rows(&self, subsets: &RowSubsets) -> Result<Option<Vec<usize>>> {
        let (Some(table), Targets::Classes { names, .. }) =
            (self.sample().table(), self.sample().targets())
        else {
            return Ok(None);
        };
        let places: Vec<usize> = target(table).into_iter().collect();
        let mut counts = vec![0; names.len()];
        self.pass_columns(&places, |rows| {
            if rows.first == 0 {
                // A pass may begin again.
                counts.fill(0);
            }
            let columns = Columns { frame: &rows.frame, places: &places };
            let Targets::Classes { labels, .. } = read_targets(columns, Goal::Classes(names))?
            else {
                return Ok(());
            };
            for (row, label) in labels.into_iter().enumerate() {
                if subsets.of(rows.first + row) == Subset::Training {
                    counts[label as usize] += 1;
                }
            }
            Ok(())
        })?;
        Ok(Some(counts))
    }

    /// The rows of each class of the target, by its text.
    fn class_sizes(&self, table: &Table) -> Result<BTreeMap<String, usize>> {
        let Some(place) = target(table) else { return Ok(BTreeMap::new()) };
        let mut sizes = BTreeMap::new();
        self.pass_columns(&[place], |rows| {
            if rows.first == 0 {
                sizes.clear();
            }
            let Some(values) = &rows.frame.columns[place] else { return Ok(()) };
            for row in 0..rows.frame.rows {
                *sizes.entry(class_text(values, row)).or_default() += 1;
            }
            Ok(())
        })?;
        Ok(sizes)
    }

    /// Passes the values of some columns to `take`, read as for the sample.
    fn pass_columns(&self, places: &[usize], take: impl FnMut(Rows) -> Result<()>) -> Result<()> {
        let columns = self.sample().table().map_or(0, |table| table.columns().len());
        let mut wanted = vec![Want::Nothing; columns];
        for &place in places {
            wanted[place] = self.want_as_sampled(place);
        }
        self.read_columns(wanted, take)
    }
}

/// The index of a table's target.
fn target(table: &Table) -> Option<usize> {
    table.columns().iter().position(|c| c.role == Role::Target(0))
}

impl Rule {
    /// The subsets of some rows by their column at that index. Rows come in the order of the table, and
    /// may start over.
    fn subsets(&mut self, rows: &Rows, place: usize) -> Result<Vec<Subset>> {
        let frame = &rows.frame;
        let Some(values) = &frame.columns[place] else {
            return Err(Error::failed("the column of the split was not read"));
        };
        let held_out = |is: bool| if is { Subset::Validation } else { Subset::Training };
        match self {
            Rule::From { time, format } => {
                let times = times_of(frame, place, values, format.as_deref())?;
                Ok(times.into_iter().map(|t| held_out(t >= *time)).collect())
            }
            Rule::Group { fraction, seed } => Ok((0..frame.rows)
                .map(|row| {
                    // A missing value is represented by something that can't be a text.
                    let name = values.text(row).unwrap_or_else(|| "\0".into());
                    held_out(is_group_held_out(&name, *fraction, *seed))
                })
                .collect()),
            Rule::Classes(classes) => {
                if rows.first == 0 {
                    classes.begin();
                }
                let subset = |row: usize| {
                    held_out(classes.holds_out(&class_text(values, row), rows.first + row))
                };
                Ok((0..frame.rows).map(subset).collect())
            }
            Rule::Named => (0..frame.rows)
                .map(|row| {
                    let at =
                        || format!("{}, {}", frame.describe_row(row), frame.header.describe(place));
                    Subset::named(&values.text(row).unwrap_or_default()).map_err(|e| e.at(at()))
                })
                .collect(),
        }
    }
}

/// The class of a row in canonical form.
fn class_text(values: &Values, row: usize) -> String {
    canonical(&values.text(row).unwrap_or_default()).into_owned()
}

/// Refuses subsets that leave no rows for training or validation.
fn check(subsets: &RowSubsets, split: &Split) -> Result<()> {
    if subsets.rows(Subset::Training).next().is_none() {
        return Err(Error::data("no row is left to train on")
            .at(format!("--split {split}"))
            .help("hold out fewer rows with --validation, or use another --split"));
    }
    let is_drawn = matches!(split, Split::Group(_));
    if is_drawn && subsets.rows(Subset::Validation).next().is_none() {
        return Err(Error::data(
            "no group is held out: each is held out with the probability --validation",
        )
        .at(format!("--split {split}"))
        .help("hold out more with --validation, or use another --seed"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "census_tests.rs"]
mod tests;
