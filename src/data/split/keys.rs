//! What the rows of data are split by: groups, times and names of parts, from a table's column.

use super::Parts;
use crate::base::error::{Error, Result};
use crate::data::columns::time;
use crate::data::split;
use crate::data::tables::roles::place_of;
use crate::data::{Data, Frame, Targets, Values};

impl Data {
    /// The class of each row.
    ///
    /// # Errors
    /// When the targets are something else.
    pub fn labels(&self) -> Result<&[u32]> {
        match self.targets() {
            Targets::Classes { labels, .. } => Ok(labels),
            _ => Err(Error::usage("a stratified split without classes")
                .help("only classes can be stratified: take --split random")),
        }
    }

    /// The group of each row, numbered from 0 on: rows with the same value in a column are one, and
    /// those without a value are one too.
    ///
    /// # Errors
    /// When the data aren't a table, or have no such column.
    pub fn groups(&self, column: &str) -> Result<Vec<u32>> {
        let (frame, place, values) = self.column_of(column)?;
        if frame.rows == 0 {
            return Err(Error::data("no rows").at(frame.header.describe(place)));
        }
        let texts: Vec<Option<String>> = (0..frame.rows).map(|row| values.text(row)).collect();
        // What no text can be stands for a missing one.
        Ok(split::numbered(texts.iter().map(|t| t.as_deref().unwrap_or("\0"))))
    }

    /// The time of each row: a number, or the seconds of a date or time.
    ///
    /// # Errors
    /// As [`Data::groups`], and for a value that is missing or no time.
    pub fn times(&self, column: &str) -> Result<Vec<f64>> {
        let (frame, place, values) = self.column_of(column)?;
        times_of(frame, place, values, self.date_format(place))
    }

    /// The form of the dates and times in a column of text.
    pub(in crate::data) fn date_format(&self, place: usize) -> Option<&str> {
        Some(&self.table()?.columns()[place].dates.as_ref()?.format)
    }

    /// The parts that a column names.
    ///
    /// # Errors
    /// As [`Data::groups`], and for a name that isn't that of a part.
    pub fn parts(&self, column: &str) -> Result<Parts> {
        let (frame, place, values) = self.column_of(column)?;
        let names: Vec<String> =
            (0..frame.rows).map(|row| values.text(row).unwrap_or_default()).collect();
        split::by_column(names.iter().map(String::as_str))
            .map_err(|e| e.at(frame.header.describe(place)))
    }

    pub(in crate::data) fn column_of(&self, column: &str) -> Result<(&Frame, usize, &Values)> {
        let table = self.table().ok_or_else(|| {
            Error::usage(format!(
                "a split by the column {column:?}, but {} is not a table",
                self.name()
            ))
            .help("take --split random or stratified")
        })?;
        let frame = table.frame();
        let place = place_of(&frame.header, "column", column).map_err(|e| e.at("--split"))?;
        let values = frame.columns[place].as_ref().ok_or_else(|| {
            Error::usage(format!("the column {column:?} decides the split, and is ignored too"))
                .help("leave it out of --ignore: it isn't learned from anyway")
        })?;
        Ok((frame, place, values))
    }
}

/// The time of each row of a column, whose texts have that form.
///
/// # Errors
/// With line and column, for a value that is missing or no time.
pub(in crate::data) fn times_of(
    frame: &Frame,
    place: usize,
    values: &Values,
    format: Option<&str>,
) -> Result<Vec<f64>> {
    let times: Vec<f64> = match values {
        Values::Texts(texts) => {
            let of = |word: &str| format.and_then(|f| time::seconds(word, f));
            let words: Vec<f64> =
                texts.words.iter().map(|word| of(word).unwrap_or(f64::NAN)).collect();
            let time = |&code: &u32| words.get(code as usize).copied().unwrap_or(f64::NAN);
            texts.codes.iter().map(time).collect()
        }
        numbers => (0..frame.rows).map(|row| numbers.number(row)).collect(),
    };
    match times.iter().position(|t| !t.is_finite()) {
        None => Ok(times),
        Some(row) => Err(Error::data(match values.text(row) {
            Some(text) => format!("{text:?} is not a time like the others of its column"),
            None => "a row without its time".into(),
        })
        .at(format!("{}, {}", frame.describe_row(row), frame.header.describe(place)))
        .help("write all as numbers, or all as dates such as 2024-01-31; or split otherwise")),
    }
}
