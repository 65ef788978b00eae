//! What takes all rows of a table larger than memory: the part that each belongs to, and the categories
//! of those that are trained on.

use super::class_shares::ClassShares;
use super::encode::{Categories, texts_of};
use super::frame::Values;
use super::keys::{time_format, times_of};
use super::kind::Kind;
use super::read::{Rows, Want};
use super::roles::Role;
use super::split::{Part, Split, first_held_out, is_group_held_out, is_held_out};
use super::target::{Columns, Goal, read as read_targets};
use super::{StreamedTable, Table, Targets};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Of columns with more categories than this only those of the sample are known.
const MOST: usize = 100_000;

/// The part of each row of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum RowParts {
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
    Listed(Vec<Part>),
}

impl RowParts {
    /// The part of a row.
    #[must_use]
    pub fn of(&self, row: usize) -> Part {
        match self {
            RowParts::Random { fraction, seed, .. } if is_held_out(row, *fraction, *seed) => {
                Part::Validation
            }
            RowParts::Random { .. } => Part::Training,
            RowParts::Listed(parts) => parts.get(row).copied().unwrap_or(Part::Training),
        }
    }

    /// The rows of a part, ascending.
    pub fn rows(&self, part: Part) -> impl Iterator<Item = usize> + '_ {
        let all = match self {
            RowParts::Random { rows, .. } => *rows,
            RowParts::Listed(parts) => parts.len(),
        };
        (0..all).filter(move |&row| self.of(row) == part)
    }
}

/// What a pass over all rows found.
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// The part of each row.
    pub parts: RowParts,
    /// The categories in the rows that are trained on, by the names of the columns.
    pub categories: BTreeMap<String, Categories>,
    /// The columns with so many categories that only those of the sample are known.
    pub too_many: Vec<String>,
}

/// How the parts follow from the values of a column.
enum Rule {
    Group { fraction: f64, seed: u64 },
    From { time: f64, format: Option<&'static str> },
    Named,
    Classes(ClassShares),
}

impl StreamedTable {
    /// Goes once through the columns that decide the split and those of categories, where there are
    /// any. Groups are held out each with a probability of `fraction`; for a split by time the sample
    /// says from which time on rows are. A stratified split counts the rows of each class before.
    ///
    /// # Errors
    /// For a stratified split without classes; when there is no such column, it holds what is no time
    /// or no part, or a part is left without rows.
    pub fn census(&self, split: &Split, fraction: f64, seed: u64) -> Result<Census> {
        let Some(table) = self.sample().table() else {
            return Err(Error::failed("the sample of a table is no table"));
        };
        let mut rule = match split {
            Split::Random => None,
            Split::Stratified => {
                self.sample().labels()?;
                Some(Rule::Classes(ClassShares::new(&self.class_sizes(table)?, fraction, seed)?))
            }
            Split::Group(_) => Some(Rule::Group { fraction, seed }),
            Split::Time(column) => {
                let format = time_format(self.sample().column_of(column)?.2);
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
        let is_category = |(_, c): &(usize, &super::Column)| {
            (c.role, c.kind) == (Role::Feature, Some(Kind::Category))
        };
        let counted: Vec<usize> = columns
            .filter(is_category)
            .filter(|_| !table.pixels())
            .map(|(place, _)| place)
            .collect();
        let mut categories = vec![Some(Categories::default()); counted.len()];
        let mut listed: Vec<Part> = Vec::new();
        let random = RowParts::Random { fraction, seed, rows: self.rows() };
        let places: Vec<usize> = counted.iter().copied().chain(key).collect();
        if !places.is_empty() {
            self.pass_columns(&places, |rows| {
                if rows.first == 0 {
                    // A pass may begin again.
                    listed.clear();
                    categories.fill(Some(Categories::default()));
                }
                if let (Some(rule), Some(key)) = (&mut rule, key) {
                    listed.extend(rule.parts(&rows, key)?);
                }
                let is_trained_on = |row: usize| {
                    let row = rows.first + row;
                    listed.get(row).copied().unwrap_or_else(|| random.of(row)) == Part::Training
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
        let parts = if key.is_some() { RowParts::Listed(listed) } else { random };
        if key.is_some() {
            check(&parts, split)?;
        }
        let names = counted.iter().map(|&place| table.columns()[place].name.clone());
        let mut census = Census { parts, categories: BTreeMap::new(), too_many: Vec::new() };
        for (name, found) in names.zip(categories) {
            match found {
                Some(found) => drop(census.categories.insert(name, found)),
                None => census.too_many.push(name),
            }
        }
        Ok(census)
    }

    /// The training rows of each class, in a pass through the target; none where it is no class.
    ///
    /// # Errors
    /// With line and column, for a value that is no class.
    pub fn class_rows(&self, parts: &RowParts) -> Result<Option<Vec<usize>>> {
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
                if parts.of(rows.first + row) == Part::Training {
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
                *sizes.entry(values.text(row).unwrap_or_default()).or_default() += 1;
            }
            Ok(())
        })?;
        Ok(sizes)
    }

    /// Takes the values of some columns, read as they were for the sample.
    fn pass_columns(&self, places: &[usize], take: impl FnMut(Rows) -> Result<()>) -> Result<()> {
        let sample = self.sample().table().map(super::Table::frame);
        let columns = sample.map_or(&[][..], |frame| &frame.columns);
        let mut wanted = vec![Want::Nothing; columns.len()];
        for &place in places {
            wanted[place] = match &columns[place] {
                None => Want::Nothing,
                Some(Values::Texts(_)) => Want::Text,
                Some(Values::Bytes(_) | Values::Numbers(_)) => Want::Number,
                Some(Values::Times(_)) => Want::Guess,
            };
        }
        self.read_columns(wanted, take)
    }
}

/// The place of a table's target.
fn target(table: &Table) -> Option<usize> {
    table.columns().iter().position(|c| c.role == Role::Target(0))
}

impl Rule {
    /// The parts of some rows by their column at that place. Rows come in the order of the table, and
    /// may begin again.
    fn parts(&mut self, rows: &Rows, place: usize) -> Result<Vec<Part>> {
        let frame = &rows.frame;
        let Some(values) = &frame.columns[place] else {
            return Err(Error::failed("the column of the split was not read"));
        };
        let held_out = |is: bool| if is { Part::Validation } else { Part::Training };
        match self {
            Rule::From { time, format } => {
                let times = times_of(frame, place, values, *format)?;
                Ok(times.into_iter().map(|t| held_out(t >= *time)).collect())
            }
            Rule::Group { fraction, seed } => Ok((0..frame.rows)
                .map(|row| {
                    // What no text can be stands for a missing one.
                    let name = values.text(row).unwrap_or_else(|| "\0".into());
                    held_out(is_group_held_out(&name, *fraction, *seed))
                })
                .collect()),
            Rule::Classes(classes) => {
                if rows.first == 0 {
                    classes.begin();
                }
                let part = |row: usize| {
                    let name = values.text(row).unwrap_or_default();
                    held_out(classes.holds_out(&name, rows.first + row))
                };
                Ok((0..frame.rows).map(part).collect())
            }
            Rule::Named => (0..frame.rows)
                .map(|row| {
                    let at =
                        || format!("{}, {}", frame.describe_row(row), frame.header.describe(place));
                    Part::named(&values.text(row).unwrap_or_default()).map_err(|e| e.at(at()))
                })
                .collect(),
        }
    }
}

/// Refuses parts that leave nothing to train on, or to measure on.
fn check(parts: &RowParts, split: &Split) -> Result<()> {
    if parts.rows(Part::Training).next().is_none() {
        return Err(Error::data("no row is left to train on")
            .at(format!("--split {split}"))
            .help("hold fewer rows out with --validation, or split otherwise"));
    }
    let is_drawn = matches!(split, Split::Group(_));
    if is_drawn && parts.rows(Part::Validation).next().is_none() {
        return Err(Error::data(
            "no group is held out: each is with the probability of --validation",
        )
        .at(format!("--split {split}"))
        .help("hold out more with --validation, or draw again with another --seed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{ColumnOptions, DataOptions, Encoder, Fitting, Scaling};
    use super::*;
    use std::collections::BTreeSet;

    const ROWS: usize = 30_000;

    /// The values of a row: its shop, its day, its part, its town, which is one of many, and a number.
    fn row(i: usize) -> (String, usize, &'static str, String, usize) {
        let town = if i.is_multiple_of(5) { format!("t{}", i / 5 % 400) } else { "t0".into() };
        (
            format!("s{}", i * 31 % 83),
            i * 7919 % 900,
            ["train", "test", "train", "val"][i % 4],
            town,
            i % 97,
        )
    }

    fn table(file: &tempfile::NamedTempFile, key: &str) -> StreamedTable {
        let mut text = "shop,day,part,town,n,y\n".to_string();
        for i in 0..ROWS {
            let (shop, day, part, town, n) = row(i);
            let day =
                format!("20{:02}-{:02}-{:02}", 10 + day / 300, 1 + day / 25 % 12, 1 + day % 25);
            text += &format!("{shop},{day},{part},{town},{n},{}\n", n * 2);
        }
        std::fs::write(file.path(), text).unwrap();
        let keys = ["shop", "day", "part"].map(str::to_string);
        let columns = ColumnOptions {
            reserved: vec![key.to_string()],
            ignore: keys.into_iter().filter(|name| name != key).collect(),
            categorical: vec!["town".into()],
            ..ColumnOptions::default()
        };
        let options = DataOptions { columns, ..DataOptions::default() };
        StreamedTable::open(file.path().to_str().unwrap(), &options, 1 << 17).unwrap()
    }

    fn census(key: &str, split: &str, fraction: f64) -> (StreamedTable, Census) {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        let table = table(&file, key);
        assert!(table.sample().rows() < ROWS / 5, "{}", table.sample().rows());
        let census = table.census(&split.parse().unwrap(), fraction, 3).unwrap();
        (table, census)
    }

    #[test]
    fn groups_stay_together_and_the_latest_rows_are_held_out() {
        let (_, found) = census("shop", "group:shop", 0.2);
        let shops = |part| found.parts.rows(part).map(|i| row(i).0).collect::<BTreeSet<_>>();
        let (training, held_out) = (shops(Part::Training), shops(Part::Validation));
        assert!(training.is_disjoint(&held_out) && training.len() + held_out.len() == 83);
        assert!((5..30).contains(&held_out.len()), "{}", held_out.len());
        let (_, found) = census("day", "time:day", 0.2);
        let days = |part| found.parts.rows(part).map(|i| row(i).1);
        assert!(days(Part::Training).max() < days(Part::Validation).min());
        let share = days(Part::Validation).count() as f64 / ROWS as f64;
        assert!((share - 0.2).abs() < 0.03, "{share}");
        let (_, found) = census("part", "column:part", 0.2);
        for (i, part) in
            [Part::Training, Part::Test, Part::Training, Part::Validation].iter().enumerate()
        {
            assert_eq!(found.parts.of(4 * 77 + i), *part);
        }
        assert_eq!(found.parts.rows(Part::Test).count(), ROWS / 4);
    }

    #[test]
    fn of_each_class_its_share_is_held_out_from_everywhere() {
        // One row in 97 is of a rare class, and one of a class of its own.
        let class = |i: usize| match i {
            20_000 => "single",
            i if i.is_multiple_of(97) => "rare",
            i => ["a", "b", "b"][i % 3],
        };
        let rows = (0..ROWS).map(|i| format!("{},{},{}\n", i * 7919 % 991, i % 13, class(i)));
        let text: String = std::iter::once("x,z,y\n".to_string()).chain(rows).collect();
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let options = DataOptions::default();
        let table = StreamedTable::open(file.path().to_str().unwrap(), &options, 1 << 17).unwrap();
        assert!(table.sample().rows() < ROWS / 5, "{}", table.sample().rows());
        let census = |seed| table.census(&Split::Stratified, 0.2, seed).unwrap();
        let found = census(3);
        let held_out: Vec<usize> = found.parts.rows(Part::Validation).collect();
        assert_eq!(held_out.len(), ROWS / 5);
        for name in ["a", "b", "rare"] {
            let rows = (0..ROWS).filter(|&i| class(i) == name).count() as f64 * 0.2;
            let found = held_out.iter().filter(|&&i| class(i) == name).count() as f64;
            assert!((found - rows).abs() <= 1.0, "{name}: {found} of {rows}");
        }
        assert!(!held_out.contains(&20_000), "the only row of its class is trained on");
        let mean = held_out.iter().sum::<usize>() as f64 / held_out.len() as f64;
        assert!((mean / ROWS as f64 - 0.5).abs() < 0.02, "{mean}");
        assert_eq!(census(3), found);
        assert_ne!(census(4).parts, found.parts);
    }

    #[test]
    fn every_category_of_the_training_rows_is_known_though_the_sample_has_few() {
        for (key, split) in [("shop", "random"), ("shop", "group:shop")] {
            let (table, found) = census(key, split, 0.2);
            let training: Vec<usize> = found.parts.rows(Part::Training).collect();
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            training.iter().for_each(|&i| *counts.entry(row(i).3).or_default() += 1);
            let places = table.places();
            let sample: BTreeSet<String> = places.iter().map(|&i| row(i).3).collect();
            assert!(sample.len() < counts.len(), "the sample misses some");
            let fitting =
                Fitting { counted: found.categories.clone(), ..Fitting::new(Scaling::Standard) };
            let fitted = table.fit(&fitting, |row| found.parts.of(row) == Part::Training).unwrap();
            let encoding = fitted.encoding.unwrap();
            let town = encoding.features.iter().find(|f| f.column == "town").unwrap();
            let Encoder::Embedding(town) = &town.encoder else { panic!("{town:?}") };
            assert_eq!(town.names, counts.into_keys().collect::<Vec<_>>(), "{split}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_row() {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        let refused = |key: &str, split: &str| {
            table(&file, key).census(&split.parse().unwrap(), 0.2, 0).unwrap_err().to_string()
        };
        assert!(refused("shop", "stratified").contains("only classes can be stratified"));
        assert!(refused("shop", "time:shop").contains("is no time"));
        let named = refused("shop", "column:shop");
        assert!(named.contains("line 2, column 1 (shop)"), "{named}");
        assert!(refused("shop", "group:shopp").contains("did you mean shop?"));
    }
}
