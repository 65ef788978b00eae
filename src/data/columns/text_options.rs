//! Options for the form of a delimited text.

use super::number_form::{Decimal, Thousands};
use crate::base::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Options for the form of a delimited text; unset ones are found from its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextOptions {
    /// What marks decimals.
    pub decimal: Option<Decimal>,
    /// The thousands separator.
    pub thousands: Option<Grouping>,
    /// The separator of cells.
    pub separator: Option<Separator>,
    /// Whether the first row names the columns.
    pub header: Option<bool>,
    /// Marks of missing values, besides the usual ones.
    pub missing: Vec<String>,
    /// The date format that is tried before all others.
    pub date_format: Option<DateFormat>,
}

impl TextOptions {
    /// These options, with the marks of missing values of a trained model.
    pub(in crate::data) fn with_marks(&self, missing: &[String]) -> Self {
        let mut all = self.clone();
        all.missing.extend(missing.iter().filter(|mark| !self.missing.contains(mark)).cloned());
        all
    }
}

/// The thousands separator, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouping(pub Option<Thousands>);

/// The byte that separates cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separator(pub u8);

/// The format of dates and times, in the notation of `chrono`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat(pub String);

impl FromStr for Decimal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "." | "point" => Ok(Decimal::Point),
            "," | "comma" => Ok(Decimal::Comma),
            _ => Err(Error::usage(format!("{text:?} is not a decimal separator"))
                .help("give . or , (or point, comma)")),
        }
    }
}

impl FromStr for Grouping {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(Grouping(Some(match text {
            "none" => return Ok(Grouping(None)),
            "," | "comma" => Thousands::Comma,
            "." | "point" => Thousands::Point,
            " " | "space" => Thousands::Space,
            "'" | "’" | "apostrophe" => Thousands::Apostrophe,
            "_" | "underscore" => Thousands::Underscore,
            _ => {
                return Err(Error::usage(format!("{text:?} is not a thousands separator")).help(
                    "give , . ' _ or a space (or comma, point, apostrophe, underscore, space), or none",
                ));
            }
        })))
    }
}

impl FromStr for Separator {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.as_bytes()) {
            ("tab" | "\\t" | "\t", _) => Ok(Separator(b'\t')),
            ("space", _) => Ok(Separator(b' ')),
            ("comma", _) => Ok(Separator(b',')),
            ("semicolon", _) => Ok(Separator(b';')),
            ("bar" | "pipe", _) => Ok(Separator(b'|')),
            (_, &[byte]) if !byte.is_ascii_alphanumeric() && !b"\"\r\n\0".contains(&byte) => {
                Ok(Separator(byte))
            }
            _ => Err(Error::usage(format!("{text:?} is not a field separator"))
                .help("give one ASCII character, such as ; or |, or tab, space")),
        }
    }
}

impl FromStr for DateFormat {
    type Err = Error;

    /// `%d/%m/%Y` as in `strftime`, or `DD/MM/YYYY`.
    fn from_str(text: &str) -> Result<Self> {
        let format = match text.contains('%') {
            true => text.to_string(),
            false => super::time::strftime(text),
        };
        match super::time::is_format(&format) {
            true => Ok(DateFormat(format)),
            false => Err(Error::usage(format!("{text:?} is not a date or time format"))
                .help("write it as DD/MM/YYYY or YYYY-MM-DD hh:mm:ss, or as %d/%m/%Y")),
        }
    }
}

/// Writes a type as the text that it is parsed from.
macro_rules! as_text {
    ($type:ty, $text:expr) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let text: fn(&$type) -> String = $text;
                f.write_str(&text(self))
            }
        }
    };
}
as_text!(Decimal, |decimal| if *decimal == Decimal::Comma { ",".into() } else { ".".into() });
as_text!(Grouping, |grouping| match grouping.0 {
    None => "none".into(),
    Some(Thousands::Comma) => ",".into(),
    Some(Thousands::Point) => ".".into(),
    Some(Thousands::Space) => "space".into(),
    Some(Thousands::Apostrophe) => "'".into(),
    Some(Thousands::Underscore) => "_".into(),
});
as_text!(Separator, |separator| match separator.0 {
    b'\t' => "tab".into(),
    b' ' => "space".into(),
    byte => char::from(byte).to_string(),
});
as_text!(DateFormat, |format| format.0.clone());

/// Whether the first row names the columns, as the value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HasHeader {
    /// It does.
    Yes,
    /// It is a row like the others.
    No,
}

impl FromStr for HasHeader {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "yes" => Ok(HasHeader::Yes),
            "no" => Ok(HasHeader::No),
            _ => Err(crate::base::error::unknown("value of --header", text, &["yes", "no"])),
        }
    }
}
