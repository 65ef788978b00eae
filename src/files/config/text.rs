//! The options of delimited text files.

use super::declare::options;
use super::values::{ColumnNames, names, text};
use crate::data::{DateFormat, Decimal, Grouping, HasHeader, Separator, TextOptions};
use serde::{Deserialize, Serialize};

options! {
    /// The format of a CSV, TSV or other delimited text file, if it can't be detected.
    #[command(next_help_heading = "Text files")]
    TextConfig {
        /// Decimal separator: . or , [default: detected from all values]
        #[arg(value_name = ".|,")]
        #[serde(with = "text")]
        decimal: Decimal,

        /// Thousands separator: , . ' _ or space, or none [default: detected from all values]
        #[arg(value_name = "SIGN|none")]
        #[serde(with = "text")]
        thousands: Grouping,

        /// Field separator: one character, tab or space [default: detected]
        #[arg(value_name = "CHAR")]
        #[serde(with = "text")]
        separator: Separator,

        /// Whether the first row holds column names [default: detected]
        #[arg(value_name = "yes|no")]
        header: HasHeader,

        /// Markers of missing values, in addition to empty cells, NA, NaN, NULL, None, - and the like
        #[arg(value_name = "TEXT[,TEXT…]")]
        #[serde(with = "names")]
        missing: Vec<ColumnNames>,

        /// Date format, such as DD/MM/YYYY or %d/%m/%Y [default: detected from all dates of a column]
        #[arg(value_name = "FORMAT")]
        #[serde(with = "text")]
        date_format: DateFormat,
    }
}

impl TextConfig {
    /// The options in the form that readers take.
    #[must_use]
    pub fn options(&self) -> TextOptions {
        TextOptions {
            decimal: self.decimal,
            thousands: self.thousands,
            separator: self.separator,
            header: self.header.map(|header| header == HasHeader::Yes),
            missing: ColumnNames::join(self.missing.as_deref().unwrap_or_default()),
            date_format: self.date_format.clone(),
        }
    }
}
