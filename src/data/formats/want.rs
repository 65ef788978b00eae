//! What to read of the columns of a file, and the resulting rows.

use crate::base::error::{Error, Result, serde_as_text};
use crate::base::names::names;
use crate::data::columns::frame::{Frame, Values, texts_of};
use crate::data::columns::missing::Marks;
use crate::data::columns::number_form::NumberForm;
use crate::data::columns::text_options::TextOptions;
use crate::data::columns::texts::Texts;
#[cfg(feature = "data")]
use arrow_array::ArrayRef;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known about a table's columns before reading it.
#[derive(Debug, Clone, Copy)]
pub(in crate::data) struct Known<'a> {
    /// Names, at least one of which a header must have, if there is one.
    pub(in crate::data) names: &'a [String],
    /// Whether the columns have no names.
    pub(in crate::data) unnamed: bool,
    /// The options for the form of a delimited text.
    pub(in crate::data) text: &'a TextOptions,
    /// The number forms of the trained model for which the table is read, if any.
    pub(in crate::data) forms: Option<&'a BTreeMap<String, NumberForm>>,
    /// What to do with rows that can't be read, by [`read`](super::read::read).
    pub(in crate::data) on_error: OnError,
}

/// The default options for text.
static NOTHING_SAID: TextOptions = TextOptions {
    decimal: None,
    thousands: None,
    separator: None,
    header: None,
    missing: Vec::new(),
    date_format: None,
};

impl Default for Known<'_> {
    fn default() -> Self {
        Known {
            names: &[],
            unnamed: false,
            text: &NOTHING_SAID,
            forms: None,
            on_error: OnError::Stop,
        }
    }
}

/// What to do with a row that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The reading ends with its error.
    #[default]
    Stop,
    /// It is skipped.
    Skip,
}

names!(OnError, "value of --on-error": Stop "stop", Skip "skip");

serde_as_text!(OnError);

/// What to read of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Want {
    /// Its values, of any type.
    Guess,
    /// As [`Want::Guess`], for a target.
    Target,
    /// Numbers.
    Number,
    /// Texts.
    Text,
    /// Texts that name classes; `None` may be one.
    Class,
    /// Moments if the file stores them as such, otherwise texts.
    Moment,
    /// Nothing: it isn't read.
    Nothing,
}

/// The columns of a table to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::data) struct Selection {
    /// What to read of each column.
    pub(in crate::data) wanted: Vec<Want>,
    /// The indices of the columns that are copied to the output, independent of their other use.
    pub(in crate::data) kept: Vec<usize>,
    /// Whether copied columns of texts become values if all texts of a column have the same type; otherwise
    /// they are copied unchanged.
    pub(in crate::data) typed: bool,
}

impl From<Vec<Want>> for Selection {
    fn from(wanted: Vec<Want>) -> Self {
        Selection { wanted, kept: Vec::new(), typed: false }
    }
}

/// Some rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct Rows {
    /// The number of rows before them.
    pub(in crate::data) first: usize,
    /// Their values.
    pub(in crate::data) frame: Frame,
    /// The columns that are copied to the output, in the order of the selection: from a text file, texts
    /// or the types required by the selection, otherwise the file's types.
    #[cfg(feature = "data")]
    pub(in crate::data) kept: Vec<ArrayRef>,
    /// The rows that can't be read, in order and each once, with their errors. Their values are meaningless.
    pub(in crate::data) faults: Vec<(usize, Error)>,
}

impl Rows {
    /// All rows of a table in memory, without columns copied to the output.
    pub(in crate::data) fn of_frame(frame: Frame) -> Self {
        Rows {
            first: 0,
            frame,
            #[cfg(feature = "data")]
            kept: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// The rows, if all of them can be read.
    ///
    /// # Errors
    /// The error of the first row that can't.
    pub(in crate::data) fn sound(self) -> Result<Self> {
        match self.faults.first() {
            Some((_, error)) => Err(error.clone()),
            None => Ok(self),
        }
    }
}

/// Refuses requested columns that can't be read: those of lists or objects.
pub(in crate::data) fn check_read(frame: &Frame, selection: &Selection) -> Result<()> {
    let is_asked = |place: usize| {
        let want = selection.wanted.get(place);
        selection.kept.contains(&place) || !matches!(want, None | Some(Want::Nothing | Want::Guess))
    };
    match (0..frame.columns.len()).find(|&place| frame.columns[place].is_none() && is_asked(place))
    {
        None => Ok(()),
        Some(place) => Err(Error::data("the column holds lists or objects, not numbers or texts")
            .at(frame.header.describe(place))
            .help("give each of their values its own column")),
    }
}

/// Converts the columns of a typed format to the wanted types, with marks of missing
/// values removed: the usual ones, and those added by the user.
pub(in crate::data) fn as_wanted(rows: &mut Rows, wanted: &[Want], missing: &[String]) {
    let marks = Marks::new(missing);
    if !missing.is_empty() {
        Arc::make_mut(&mut rows.frame.header).missing = missing.to_vec();
    }
    let mut faults = std::mem::take(&mut rows.faults);
    for (place, want) in wanted.iter().enumerate() {
        let Some(values) = rows.frame.columns[place].take() else { continue };
        let values = marks.clear(values, matches!(want, Want::Class | Want::Target));
        rows.frame.columns[place] = match want {
            Want::Nothing => None,
            Want::Guess | Want::Target => Some(values),
            Want::Moment if matches!(values, Values::Times(_)) => Some(values),
            Want::Text | Want::Class | Want::Moment => {
                Some(Values::Texts(texts_of(&values).into_owned()))
            }
            Want::Number => {
                let (numbers, wrong) = as_numbers(values);
                let column = rows.frame.header.describe(place);
                let place = |row| format!("{column}, {}", rows.frame.describe_row(row));
                faults.extend(wrong.into_iter().map(|(row, e)| (row, e.at(place(row)))));
                Some(numbers)
            }
        };
    }
    faults.sort_by_key(|(row, _)| *row);
    faults.dedup_by_key(|(row, _)| *row);
    rows.faults = faults;
}

/// Texts as numbers, and the rows whose text isn't a number. A moment isn't one either: the unit of the
/// other numbers is unknown.
fn as_numbers(values: Values) -> (Values, Vec<(usize, Error)>) {
    if let Values::Times(times) = &values {
        let error = Error::data("a date or time is not a number")
            .help("give numbers, or omit --numeric: dates and times are recognized without it");
        let present = times.iter().enumerate().filter(|(_, x)| !x.is_nan());
        let faults = present.map(|(row, _)| (row, error.clone())).collect();
        return (values, faults);
    }
    let Values::Texts(Texts { codes, words }) = &values else { return (values, Vec::new()) };
    let number = |word: &str| word.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    let numbers: Vec<Option<f64>> = words.iter().map(number).collect();
    let mut faults = Vec::new();
    let mut of = |(row, &code): (usize, &u32)| match numbers.get(code as usize) {
        Some(Some(number)) => *number,
        Some(None) => {
            let error = Error::data(format!("{:?} is not a number", words.get(code)))
                .help("correct it, or leave the cell empty if the value is missing");
            faults.push((row, error));
            f64::NAN
        }
        None => f64::NAN,
    };
    let numbers = codes.iter().enumerate().map(&mut of).collect();
    (Values::Numbers(numbers), faults)
}
