//! The keys by which rows are split: groups, times and names of subsets, from a table's column.

use super::Subsets;
use crate::base::error::{Error, Result};
use crate::data::columns::time;
use crate::data::split;
use crate::data::tables::roles::place_of;
use crate::data::{Data, Frame, Targets, Values};

impl Data {
    /// The class of each row.
    ///
    /// # Errors
    /// When the targets aren't classes.
    pub fn labels(&self) -> Result<&[u32]> {
        match self.targets() {
            Targets::Classes { labels, .. } => Ok(labels),
            _ => Err(Error::usage("a stratified split needs classes").help("use --split random")),
        }
    }

    /// The group of each row, numbered from 0 on: rows with the same value in a column form one, and
    /// those without a value form one too.
    ///
    /// # Errors
    /// When the data aren't a table, or have no such column.
    pub fn groups(&self, column: &str) -> Result<Vec<u32>> {
        let (frame, place, values) = self.column_of(column)?;
        if frame.rows == 0 {
            return Err(Error::data("no rows").at(frame.header.describe(place)));
        }
        let texts: Vec<Option<String>> = (0..frame.rows).map(|row| values.text(row)).collect();
        // A missing value is represented by something that can't be a text.
        Ok(split::numbered(texts.iter().map(|t| t.as_deref().unwrap_or("\0"))))
    }

    /// The time of each row: a number, or the seconds of a date or time.
    ///
    /// # Errors
    /// As [`Data::groups`], and for a value that is missing or not a time.
    pub fn times(&self, column: &str) -> Result<Vec<f64>> {
        let (frame, place, values) = self.column_of(column)?;
        times_of(frame, place, values, self.date_format(place))
    }

    /// The format of the dates and times in a column of text.
    pub(in crate::data) fn date_format(&self, place: usize) -> Option<&str> {
        Some(&self.table()?.columns()[place].dates.as_ref()?.format)
    }

    /// The subsets that a column names.
    ///
    /// # Errors
    /// As [`Data::groups`], and for a name that isn't that of a subset.
    pub fn subsets(&self, column: &str) -> Result<Subsets> {
        let (frame, place, values) = self.column_of(column)?;
        let names: Vec<String> =
            (0..frame.rows).map(|row| values.text(row).unwrap_or_default()).collect();
        split::by_column(names.iter().map(String::as_str))
            .map_err(|e| e.at(frame.header.describe(place)))
    }

    pub(in crate::data) fn column_of(&self, column: &str) -> Result<(&Frame, usize, &Values)> {
        let table = self.table().ok_or_else(|| {
            Error::usage(format!(
                "cannot split by the column {column:?}: {} is not a table",
                self.name()
            ))
            .help("use --split random or stratified")
        })?;
        let frame = table.frame();
        let place = place_of(&frame.header, "column", column).map_err(|e| e.at("--split"))?;
        let values = frame.columns[place].as_ref().ok_or_else(|| {
            Error::usage(format!("the column {column:?} decides the split, but is also ignored"))
                .help("remove it from --ignore: the column of --split isn't a feature anyway")
        })?;
        Ok((frame, place, values))
    }
}

/// The time of each row of a column, whose texts have that format.
///
/// # Errors
/// With line and column, for a value that is missing or not a time.
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
            Some(text) => format!("{text:?} is not a time like the others in its column"),
            None => "a row without a time".into(),
        })
        .at(format!("{}, {}", frame.describe_row(row), frame.header.describe(place)))
        .help("write all as numbers, or all as dates such as 2024-01-31; or use another --split")),
    }
}
