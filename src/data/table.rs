//! Tables of numbers in delimited text: CSV, TSV.

use super::columns::{Columns, Expected, Role, is_header, roles};
use super::delimited::{Record, Records};
use super::stream::{ByteStream, set_name};
use super::target::{OpenColumn, TargetColumn, number};
use super::{Dataset, Features, Targets, Task};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use std::path::Path;

/// How a table is to be read.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// The target columns, each by its name or its number from 1 on; empty for the last one.
    pub target: Vec<String>,
    /// What the target holds.
    pub task: Task,
    /// What a trained model needs: columns are found as it knows them, classes keep their places,
    /// and the target may be missing.
    pub expected: Option<Expected>,
    /// Leaves the targets unread, so that nothing that stands in them matters.
    pub features_only: bool,
}

/// A table as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    name: String,
    columns: Columns,
    features: Features,
    targets: Option<Targets>,
}

impl Table {
    /// The name of the file without its endings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The columns as they stand in the file.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The features; bytes if all of them are whole numbers of 0 to 255.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The targets, where the table has them.
    #[must_use]
    pub fn targets(&self) -> Option<&Targets> {
        self.targets.as_ref()
    }

    /// The features alone.
    #[must_use]
    pub fn into_features(self) -> Features {
        self.features
    }

    /// The data set, and the columns that it came from.
    ///
    /// # Errors
    /// When the table has no targets.
    pub fn into_dataset(self) -> Result<(Dataset, Columns)> {
        let targets = self.targets.ok_or_else(|| {
            Error::data("the table has no target column")
                .at(&self.name)
                .help("give a table with the target, or only predict")
        })?;
        Ok((Dataset::new(self.name, self.features, targets)?, self.columns))
    }
}

/// Reads a CSV or TSV file of numbers, compressed by gzip or not.
///
/// Commas, semicolons and tabs separate. A first row with text in it names the columns. The
/// target may be text; every other column read must hold numbers.
///
/// # Errors
/// With file, line and column, for a cell that isn't a number, a row of another length, an empty
/// file, a name that no column has or that two have.
pub fn read_table(path: &Path, options: &TableOptions) -> Result<Table> {
    read_stream(ByteStream::open(path)?, options)
}

pub(super) fn read_stream(stream: ByteStream, options: &TableOptions) -> Result<Table> {
    let path = stream.path().to_path_buf();
    let mut records = Records::new(stream).map_err(|e| e.at(path.display()))?;
    let (mut first, mut second) = (Record::default(), Record::default());
    if !records.read(&mut first)? {
        return Err(Error::data("the file is empty")
            .at(path.display())
            .help("give a file with at least one row"));
    }
    let has_second = records.read(&mut second)?;
    let expected = options.expected.as_ref();
    let cells: Vec<&[u8]> = first.cells.iter().collect();
    let second_cells: Vec<&[u8]> = second.cells.iter().collect();
    let second_cells = has_second.then_some(&second_cells[..]);
    let header = is_header(&cells, second_cells, &options.target, expected);
    let mut reading = Reading::new(&cells, header, options)
        .map_err(|e| e.at(format!("{}, line {}", path.display(), first.line)))?;
    if !header {
        reading.push(&first, records.path())?;
    } else if !has_second {
        return Err(Error::data("the file has a header, but no rows")
            .at(path.display())
            .help("give a file with at least one row"));
    }
    if has_second {
        reading.push(&second, records.path())?;
    }
    let mut record = first;
    while records.read(&mut record)? {
        reading.push(&record, records.path())?;
    }
    reading.finish(&path)
}

/// A table while its rows are read.
struct Reading {
    columns: Columns,
    roles: Vec<Role>,
    row: Vec<f32>,
    features: Values,
    targets: Vec<TargetColumn>,
    is_training: bool,
}

impl Reading {
    fn new(first: &[&[u8]], header: bool, options: &TableOptions) -> Result<Self> {
        let names = if header {
            header_names(first)?
        } else {
            (1..=first.len()).map(|n| n.to_string()).collect()
        };
        let mut columns = Columns { header, names, targets: Vec::new() };
        let expected = options.expected.as_ref();
        if first.len() == 1 && expected.is_none() {
            return Err(Error::data("there is one column only")
                .help("give features and a target, separated by commas, semicolons or tabs"));
        }
        let mut roles = roles(&columns, &options.target, expected)?;
        let mut targets: Vec<(usize, usize)> = roles
            .iter()
            .enumerate()
            .filter_map(|(place, role)| match role {
                Role::Target(k) => Some((*k, place)),
                _ => None,
            })
            .collect();
        targets.sort_unstable();
        columns.targets = targets.into_iter().map(|(_, place)| place).collect();
        if options.features_only {
            columns.targets.iter().for_each(|&place| roles[place] = Role::Ignored);
        }
        let features = roles.iter().filter(|r| matches!(r, Role::Feature(_))).count();
        let targets = if options.features_only { 0 } else { columns.targets.len() };
        Ok(Reading {
            targets: target_columns(targets, options)?,
            row: vec![0.0; features],
            features: Values::Bytes(Vec::new()),
            is_training: expected.is_none(),
            columns,
            roles,
        })
    }

    fn push(&mut self, record: &Record, path: &Path) -> Result<()> {
        let Record { cells, line } = record;
        let place = |place: Option<String>| match place {
            Some(column) => format!("{}, line {line}, {column}", path.display()),
            None => format!("{}, line {line}", path.display()),
        };
        if cells.len() != self.roles.len() {
            return Err(ragged(record, self.roles.len()).at(place(None)));
        }
        for (i, (cell, role)) in cells.iter().zip(&self.roles).enumerate() {
            let result = match *role {
                Role::Feature(k) => number(cell).map(|x| self.row[k] = x),
                Role::Target(k) => self.targets[k].push(cell, *line),
                Role::Ignored => Ok(()),
            };
            result.map_err(|e| e.at(place(Some(self.columns.describe(i)))))?;
        }
        self.features.push(&self.row);
        Ok(())
    }

    fn finish(self, path: &Path) -> Result<Table> {
        let features = self.features.into_features(self.row.len())?;
        let mut found = Vec::new();
        for (target, &place) in self.targets.into_iter().zip(&self.columns.targets) {
            let at = format!("{}, {}", path.display(), self.columns.describe(place));
            let targets = match target {
                TargetColumn::Numbers(numbers) => {
                    Targets::Numbers(Matrix::new(numbers.len(), 1, numbers)?)
                }
                TargetColumn::Known { names, labels, .. } => Targets::Classes { labels, names },
                TargetColumn::Open(column) => column.finish().map_err(|e| e.at(&at))?,
            };
            if let Targets::Numbers(m) = &targets
                && self.is_training
                && m.rows() > 1
                && m.data().iter().all(|x| *x == m.data()[0])
            {
                return Err(Error::data(format!("the target is {} in every row", m.data()[0]))
                    .at(at)
                    .help("there is nothing to learn: name another target with --target"));
            }
            found.push(targets);
        }
        Ok(Table {
            name: set_name(path),
            columns: self.columns,
            features,
            targets: side_by_side(found),
        })
    }
}

fn header_names(first: &[&[u8]]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(first.len());
    for (i, cell) in first.iter().enumerate() {
        let name = std::str::from_utf8(cell).map_err(|_| {
            Error::data("invalid UTF-8")
                .at(format!("column {}", i + 1))
                .help("save the file as UTF-8 (`iconv -t UTF-8`)")
        })?;
        let name = match name.trim() {
            "" => (i + 1).to_string(),
            name => name.to_string(),
        };
        if let Some(before) = names.iter().position(|n| *n == name) {
            return Err(Error::data(format!("two columns are called {name:?}"))
                .at(format!("columns {} and {}", before + 1, i + 1))
                .help("give each column a name of its own"));
        }
        names.push(name);
    }
    Ok(names)
}

/// A reader for each of so many target columns.
fn target_columns(count: usize, options: &TableOptions) -> Result<Vec<TargetColumn>> {
    if count > 1 && options.task == Task::Classification {
        return Err(Error::usage("several targets can't be classes")
            .help("name one target, or say --task regression"));
    }
    let column = || match &options.expected {
        Some(Expected { classes: Some(names), .. }) => TargetColumn::of_classes(names),
        Some(_) => TargetColumn::Numbers(Vec::new()),
        None if count > 1 || options.task == Task::Regression => TargetColumn::Numbers(Vec::new()),
        None => TargetColumn::Open(OpenColumn::new(options.task)),
    };
    Ok((0..count).map(|_| column()).collect())
}

fn ragged(record: &Record, expected: usize) -> Error {
    let found = record.cells.len();
    Error::data(format!("a row of {found} cells, where the first row has {expected}"))
        .help("give every row as many cells, and quote a cell that has a separator in it")
}

/// The columns of several targets, which are numbers, as one matrix; one target as it is.
fn side_by_side(mut found: Vec<Targets>) -> Option<Targets> {
    if found.len() < 2 {
        return found.pop();
    }
    let columns: Vec<Matrix<f32>> = found
        .into_iter()
        .filter_map(|t| match t {
            Targets::Numbers(m) => Some(m),
            Targets::Classes { .. } => None,
        })
        .collect();
    let rows = columns.first().map_or(0, Matrix::rows);
    Some(Targets::Numbers(Matrix::from_fn(rows, columns.len(), |r, c| columns[c].data()[r])))
}

/// Feature values row after row: bytes until one isn't.
enum Values {
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
}

impl Values {
    fn push(&mut self, row: &[f32]) {
        // The comparison of bits tells −0 from 0.
        let is_byte = |x: &f32| f32::from(*x as u8).to_bits() == x.to_bits();
        match self {
            Values::Bytes(bytes) if row.iter().all(is_byte) => {
                bytes.extend(row.iter().map(|x| *x as u8));
            }
            Values::Bytes(bytes) => {
                let before = bytes.iter().map(|&b| f32::from(b));
                *self = Values::Numbers(before.chain(row.iter().copied()).collect());
            }
            Values::Numbers(numbers) => numbers.extend(row),
        }
    }

    fn into_features(self, cols: usize) -> Result<Features> {
        let rows = |len: usize| len / cols.max(1);
        match self {
            Values::Bytes(v) => Matrix::new(rows(v.len()), cols, v).map(Features::U8),
            Values::Numbers(v) => Matrix::new(rows(v.len()), cols, v).map(Features::F32),
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
