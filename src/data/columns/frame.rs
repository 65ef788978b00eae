//! Columns of typed values, with the lines of the text that they came from.

use super::lines::Lines;
use super::number_form::NumberForm;
use super::texts::{MISSING, Texts};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The names of a table's columns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Whether the names come from the data; otherwise they are the numbers from 1 on.
    pub named: bool,
    /// The name of each column, all different.
    pub names: Vec<String>,
    /// The forms of numbers, by column name, of the columns whose form isn't the plain one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forms: BTreeMap<String, NumberForm>,
    /// The marks of missing values in text, besides the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Warnings about renamed columns; not part of a model.
    #[serde(skip)]
    pub renamed: Vec<String>,
}

impl Header {
    /// The header of `cols` columns without names.
    #[must_use]
    pub fn numbered(cols: usize) -> Self {
        let names = (1..=cols).map(|n| n.to_string()).collect();
        Header { names, ..Header::default() }
    }

    /// The header of columns with these names. A name that an earlier column has becomes `NAME.1`,
    /// `NAME.2` and so on, as in pandas.
    #[must_use]
    pub fn of_names(mut names: Vec<String>) -> Self {
        let mut first: HashMap<String, usize> = HashMap::new();
        let mut taken: HashSet<String> = names.iter().cloned().collect();
        let mut renamed = Vec::new();
        for (place, name) in names.iter_mut().enumerate() {
            let Some(before) = first.get(name) else {
                first.insert(name.clone(), place);
                continue;
            };
            let free = (1..).map(|i| format!("{name}.{i}")).find(|new| !taken.contains(new));
            let new = free.unwrap_or_default();
            renamed.push(format!(
                "columns {} and {} are both called {name:?}: the second is renamed to {new:?}",
                before + 1,
                place + 1
            ));
            taken.insert(new.clone());
            *name = new;
        }
        Header { named: true, names, renamed, ..Header::default() }
    }

    /// The index of the column with that name.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// A column for a message: its number, and its name where it has one.
    #[must_use]
    pub fn describe(&self, place: usize) -> String {
        match self.names.get(place) {
            Some(name) if self.named => format!("column {} ({name})", place + 1),
            _ => format!("column {}", place + 1),
        }
    }
}

/// The index of each name, of equal names the first: for looking up many names.
pub(in crate::data) fn places_by_name(names: &[String]) -> HashMap<&str, usize> {
    names.iter().enumerate().rev().map(|(place, name)| (name.as_str(), place)).collect()
}

/// The values of one column, one for each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Whole numbers from 0 to 255, none missing.
    Bytes(Vec<u8>),
    /// Numbers; NaN if missing.
    Numbers(Vec<f64>),
    /// Texts.
    Texts(Texts),
    /// Seconds since 1970-01-01 00:00; NaN if missing.
    Times(Vec<f64>),
}

impl Values {
    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::Bytes(v) => v.len(),
            Values::Numbers(v) | Values::Times(v) => v.len(),
            Values::Texts(t) => t.codes.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the value of `row` is missing.
    #[must_use]
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Values::Bytes(_) => false,
            Values::Numbers(v) | Values::Times(v) => v[row].is_nan(),
            Values::Texts(t) => t.codes[row] == MISSING,
        }
    }

    /// The approximate number of bytes of memory that they use.
    pub(in crate::data) fn bytes(&self) -> u64 {
        let bytes = match self {
            Values::Bytes(v) => v.len(),
            Values::Numbers(v) | Values::Times(v) => v.len() * 8,
            Values::Texts(t) => t.codes.len() * 4 + t.words.bytes(),
        };
        bytes as u64
    }

    /// The number of values that aren't missing.
    #[must_use]
    pub fn present(&self) -> usize {
        match self {
            Values::Bytes(v) => v.len(),
            Values::Numbers(v) | Values::Times(v) => v.iter().filter(|x| !x.is_nan()).count(),
            Values::Texts(t) => t.codes.iter().filter(|&&code| code != MISSING).count(),
        }
    }

    /// The number, or the seconds, of `row`; NaN if it is missing or a text.
    #[must_use]
    pub fn number(&self, row: usize) -> f64 {
        match self {
            Values::Bytes(v) => v[row].into(),
            Values::Numbers(v) | Values::Times(v) => v[row],
            Values::Texts(_) => f64::NAN,
        }
    }

    /// The value of `row` as text; none if it is missing.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<String> {
        if self.is_missing(row) {
            return None;
        }
        match self {
            Values::Texts(t) => Some(t.words.get(t.codes[row]).to_string()),
            _ => Some(number_text(self.number(row))),
        }
    }

    /// The values of these rows, in that order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Values::Bytes(v) => Values::Bytes(rows.iter().map(|&r| v[r]).collect()),
            Values::Numbers(v) => Values::Numbers(rows.iter().map(|&r| v[r]).collect()),
            Values::Times(v) => Values::Times(rows.iter().map(|&r| v[r]).collect()),
            Values::Texts(t) => {
                let text = |&r: &usize| match t.codes[r] {
                    MISSING => None,
                    code => Some(t.words.get(code)),
                };
                Values::Texts(rows.iter().map(text).collect())
            }
        }
    }

    /// Appends the rows of `more`. Bytes can be combined with numbers, other types only with the same type.
    pub(in crate::data) fn append(&mut self, more: Values) {
        match (&mut *self, more) {
            (Values::Bytes(all), Values::Bytes(more)) => all.extend(more),
            (Values::Numbers(all), Values::Numbers(more))
            | (Values::Times(all), Values::Times(more)) => all.extend(more),
            (Values::Numbers(all), Values::Bytes(more)) => {
                all.extend(more.into_iter().map(f64::from));
            }
            (Values::Bytes(bytes), more @ Values::Numbers(_)) => {
                *self = Values::Numbers(bytes.iter().map(|&b| b.into()).collect());
                self.append(more);
            }
            (Values::Texts(all), Values::Texts(more)) => all.append(&more),
            (all, more) => {
                unreachable!("a reader gives a column one type, not {all:?} and {more:?}")
            }
        }
    }
}

/// A number as people write it: whole numbers without a fraction.
#[must_use]
pub fn number_text(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() < 9e15 { (x as i64).to_string() } else { x.to_string() }
}

/// Some or all rows of a table: the columns that were read, with their types.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frame {
    /// The names of all columns.
    pub header: Arc<Header>,
    /// The values of each column; none if it wasn't read.
    pub columns: Vec<Option<Values>>,
    /// The number of rows.
    pub rows: usize,
    /// The lines of the rows, or their numbers where the data aren't text.
    pub lines: Lines,
    /// Warnings about how the data were read, one sentence each.
    pub warnings: Vec<String>,
    /// The texts that were read as missing values and may be something else, with the number of cells: by column.
    pub marks: MarkCounts,
}

/// How many cells of a column hold a text: by the index of the column and the text.
pub type MarkCounts = BTreeMap<(usize, String), usize>;

impl Frame {
    /// The values of the column of that name, if it exists and was read.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Values> {
        self.columns.get(self.header.place(name)?)?.as_ref()
    }

    /// A row for a message: its line, or its number in the whole table from 1 on.
    #[must_use]
    pub fn describe_row(&self, row: usize) -> String {
        match self.lines.of(row) {
            Some(line) if !self.lines.are_rows() => format!("line {line}"),
            Some(number) => format!("row {number}"),
            None => format!("row {}", row + 1),
        }
    }

    /// These rows, in that order, without texts that no longer occur.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let lines = self.lines.select(rows);
        Frame {
            header: self.header.clone(),
            columns: self.columns.iter().map(|c| c.as_ref().map(|c| c.select(rows))).collect(),
            rows: rows.len(),
            lines,
            warnings: self.warnings.clone(),
            marks: self.marks.clone(),
        }
    }

    /// The approximate number of bytes of memory that it uses.
    pub(in crate::data) fn bytes(&self) -> u64 {
        self.columns.iter().flatten().map(Values::bytes).sum()
    }

    /// Appends the rows of `more`, which has the same columns of the same types.
    pub(in crate::data) fn append(&mut self, more: Frame) {
        if self.rows == 0 {
            *self = more;
            return;
        }
        self.lines.append(&more.lines, self.rows);
        self.rows += more.rows;
        self.warnings.extend(
            more.warnings.into_iter().filter(|w| !self.warnings.contains(w)).collect::<Vec<_>>(),
        );
        for (mark, cells) in more.marks {
            *self.marks.entry(mark).or_default() += cells;
        }
        for (all, more) in self.columns.iter_mut().zip(more.columns) {
            if let (Some(all), Some(more)) = (all, more) {
                all.append(more);
            }
        }
    }
}

/// The values as texts, numbers as people write them.
pub(in crate::data) fn texts_of(values: &Values) -> Cow<'_, Texts> {
    match values {
        Values::Texts(texts) => Cow::Borrowed(texts),
        _ => {
            let mut texts = Texts::default();
            // Each different number is written once.
            let mut written: HashMap<u64, u32> = HashMap::new();
            for row in 0..values.len() {
                let code = match values.is_missing(row) {
                    true => MISSING,
                    false => {
                        let x = values.number(row);
                        let write = || texts.words.code(&number_text(x));
                        *written.entry(x.to_bits()).or_insert_with(write)
                    }
                };
                texts.codes.push(code);
            }
            Cow::Owned(texts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_numbers_only_where_they_must() {
        let mut column = Values::Bytes(vec![1, 2]);
        column.append(Values::Bytes(vec![3]));
        assert_eq!(column, Values::Bytes(vec![1, 2, 3]));
        column.append(Values::Numbers(vec![0.5]));
        column.append(Values::Bytes(vec![7]));
        assert_eq!(column, Values::Numbers(vec![1.0, 2.0, 3.0, 0.5, 7.0]));
    }

    #[test]
    fn the_second_column_of_a_name_gets_one_of_its_own() {
        let of = |names: &[&str]| Header::of_names(names.iter().map(|n| n.to_string()).collect());
        let header = of(&["a", "dup", "dup.1", "dup", "dup"]);
        assert_eq!(header.names, ["a", "dup", "dup.1", "dup.2", "dup.3"]);
        assert_eq!(
            header.renamed[0],
            "columns 2 and 4 are both called \"dup\": the second is renamed to \"dup.2\""
        );
        assert_eq!((header.renamed.len(), of(&["a", "b"]).renamed.len()), (2, 0));
    }

    #[test]
    fn rows_keep_their_number_in_the_whole_table() {
        let chunk = |first| Frame {
            columns: vec![Some(Values::Bytes(vec![0; 5]))],
            rows: 5,
            lines: Lines::of_rows(first),
            ..Frame::default()
        };
        assert_eq!(chunk(100).describe_row(2), "row 103");
        let mut chosen = chunk(100).select(&[1, 4]);
        chosen.append(chunk(105));
        let rows: Vec<String> = (0..4).map(|row| chosen.describe_row(row)).collect();
        assert_eq!(rows, ["row 102", "row 105", "row 106", "row 107"]);
    }
}
