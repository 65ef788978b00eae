//! The target columns of a table.

use crate::base::error::{Error, Result};
use crate::data::columns::frame::{Frame, Values};

/// The target columns of a table.
#[derive(Clone, Copy)]
pub(in crate::data) struct Columns<'a> {
    pub(in crate::data) frame: &'a Frame,
    /// Their indices, in the order of the outputs.
    pub(in crate::data) places: &'a [usize],
}

impl<'a> Columns<'a> {
    pub(in crate::data) fn values(self, k: usize) -> Result<&'a Values> {
        let place = self.places[k];
        self.frame.columns[place].as_ref().ok_or_else(|| {
            Error::failed(format!("the target {:?} was not read", self.frame.header.names[place]))
        })
    }

    /// The position of a row's value, for messages.
    pub(in crate::data) fn at(self, k: usize, row: usize) -> String {
        format!("{}, {}", self.frame.describe_row(row), self.column(k))
    }

    pub(in crate::data) fn column(self, k: usize) -> String {
        self.frame.header.describe(self.places[k])
    }

    /// A target in a sentence: its name, or its number if it has none.
    pub(super) fn called(self, k: usize) -> String {
        match self.frame.header.named {
            true => self.name(k),
            false => self.column(k),
        }
    }

    /// The name of a target.
    pub(in crate::data) fn name(self, k: usize) -> String {
        self.frame.header.names[self.places[k]].clone()
    }

    /// Refuses a missing value.
    pub(super) fn check_present(self, k: usize) -> Result<()> {
        let values = self.values(k)?;
        match (0..values.len()).find(|&row| values.is_missing(row)) {
            None => Ok(()),
            Some(row) => Err(Error::data("the target is missing")
                .at(self.at(k, row))
                .help("fill it in, or remove the row")),
        }
    }
}
