//! The options of how a delimited text is written.

use super::values::{ColumnNames, names, text};
use crate::data::{DateFormat, Decimal, Grouping, HasHeader, Separator, TextOptions};
use clap::Args;
use serde::{Deserialize, Serialize};

/// How a CSV, TSV or other delimited text is written, where its rows don't tell.
#[derive(Debug, Clone, PartialEq, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Text files")]
pub struct TextConfig {
    /// Decimal separator: . or , [default: from the values of all columns]
    #[arg(long, env = "WGRAD_DECIMAL", value_name = ".|,")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,

    /// Thousands separator: , . ' _ or space, or none [default: from the values of all columns]
    #[arg(long, env = "WGRAD_THOUSANDS", value_name = "SIGN|none")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<Grouping>,

    /// Separator of cells: one character, or tab, space [default: under which all rows have as many
    /// cells]
    #[arg(long, env = "WGRAD_SEPARATOR", value_name = "CHAR")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<Separator>,

    /// Whether the first row holds the names of the columns [default: yes if it is unlike the others]
    #[arg(long, env = "WGRAD_HEADER", value_name = "yes|no")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HasHeader>,

    /// Texts or numbers that stand for a missing value, beside empty cells, NA, NaN, NULL, None, - and
    /// other usual marks
    #[arg(long, env = "WGRAD_MISSING", value_name = "TEXT[,TEXT…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<ColumnNames>>,

    /// Format of dates, as in DD/MM/YYYY or %d/%m/%Y [default: the one that all dates of a column
    /// have]
    #[arg(long, env = "WGRAD_DATE_FORMAT", value_name = "FORMAT")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub date_format: Option<DateFormat>,
}

impl TextConfig {
    /// What they say of a text.
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
