//! What is wanted of the columns of a file, and the rows that come of it.

use crate::base::error::{Error, Result};
use crate::data::columns::frame::Frame;
use crate::data::columns::number_form::NumberForm;
use crate::data::columns::text_options::TextOptions;
use arrow_array::ArrayRef;
use std::collections::BTreeMap;

/// What is known of a table's columns before it is looked at.
#[derive(Debug, Clone, Copy)]
pub(in crate::data) struct Known<'a> {
    /// Names that a header, if there is one, must have one of.
    pub(in crate::data) names: &'a [String],
    /// Whether the columns have no names.
    pub(in crate::data) unnamed: bool,
    /// What is said of how a delimited text is written.
    pub(in crate::data) text: &'a TextOptions,
    /// The forms of numbers that a trained model knows, where the table is read for one.
    pub(in crate::data) forms: Option<&'a BTreeMap<String, NumberForm>>,
}

/// What is said of a text by default.
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
        Known { names: &[], unnamed: false, text: &NOTHING_SAID, forms: None }
    }
}

/// What is wanted of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Want {
    /// Its values, whatever they are.
    Guess,
    /// As [`Want::Guess`], for a target.
    Target,
    /// Numbers.
    Number,
    /// Texts.
    Text,
    /// Texts that name classes, as `None` may.
    Class,
    /// Moments where the file knows them, else texts.
    Moment,
    /// That it isn't read.
    Nothing,
}

/// What is read of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::data) struct Selection {
    /// What is wanted of each column.
    pub(in crate::data) wanted: Vec<Want>,
    /// The places of the columns that are carried along, whatever else they are wanted for.
    pub(in crate::data) kept: Vec<usize>,
    /// Whether those of a text become values of the type that all of a column's texts have; else they
    /// are carried along as they stand.
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
    /// The columns that are carried along, in the order of the selection: where the file is text, texts
    /// or of the types that the selection asks for, else of the file's types.
    pub(in crate::data) kept: Vec<ArrayRef>,
    /// The rows that can't be read, in order and each once, and why. Their values mean nothing.
    pub(in crate::data) faults: Vec<(usize, Error)>,
}

impl Rows {
    /// The rows, if all of them can be read.
    ///
    /// # Errors
    /// What is wrong with the first that can't.
    pub(in crate::data) fn sound(self) -> Result<Self> {
        match self.faults.first() {
            Some((_, error)) => Err(error.clone()),
            None => Ok(self),
        }
    }
}
