//! Rows whose target is missing: refused or dropped.

use crate::base::error::{Error, Result, serde_as_text};
use crate::base::names::names;
use crate::base::words::{part, verb};
use crate::data::formats::want::Rows;

/// How rows with a missing target are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingTarget {
    /// They are refused.
    #[default]
    Error,
    /// They are dropped.
    Drop,
}

names!(MissingTarget, "value of --missing-target": Error "error", Drop "drop");

serde_as_text!(MissingTarget);

/// Selects the rows of a table that have all targets, chunk by chunk.
pub(in crate::data) struct Complete {
    rule: MissingTarget,
    rows: usize,
    missing: usize,
    /// The position of the first missing target.
    first: String,
}

impl Complete {
    pub(in crate::data) fn new(rule: MissingTarget) -> Self {
        Complete { rule, rows: 0, missing: 0, first: String::new() }
    }

    /// The rows of a chunk whose targets, in the columns at these indices, are all present, numbered without
    /// the other rows; none if no row is left, or if rows are only counted until
    /// [`Complete::finish`] refuses them. A table may start over with its first row.
    pub(in crate::data) fn take(&mut self, mut rows: Rows, places: &[usize]) -> Option<Rows> {
        if rows.first == 0 {
            (self.rows, self.missing) = (0, 0);
        }
        let frame = &rows.frame;
        let missing = |row: usize| {
            places.iter().copied().find(|&place| {
                frame.columns[place].as_ref().is_some_and(|values| values.is_missing(row))
            })
        };
        let kept: Vec<usize> = (0..frame.rows).filter(|&row| missing(row).is_none()).collect();
        let lost = frame.rows - kept.len();
        if let (0, Some(row)) = (self.missing, (0..frame.rows).find(|&row| missing(row).is_some()))
        {
            let column = missing(row).map(|place| frame.header.describe(place)).unwrap_or_default();
            self.first = format!("{}, {column}", frame.describe_row(row));
        }
        rows.first -= self.missing;
        self.rows += frame.rows;
        self.missing += lost;
        match (self.missing, self.rule) {
            _ if kept.is_empty() => None,
            (0, _) => Some(rows),
            (_, MissingTarget::Error) => None,
            (_, MissingTarget::Drop) if lost == 0 => Some(rows),
            (_, MissingTarget::Drop) => {
                rows.frame = rows.frame.select(&kept);
                Some(rows)
            }
        }
    }

    /// The message about rows that were dropped.
    ///
    /// # Errors
    /// When rows are to be refused, or none is left.
    pub(in crate::data) fn finish(self) -> Result<Option<String>> {
        let share = 100.0 * self.missing as f64 / self.rows.max(1) as f64;
        let count = format!("{} ({share:.1}%)", part(self.missing, self.rows, "row"));
        match self.rule {
            _ if self.missing == 0 => Ok(None),
            _ if self.missing == self.rows => {
                Err(Error::data("the target is missing in every row")
                    .at(self.first)
                    .help("name another target with --target"))
            }
            MissingTarget::Error => Err(Error::data(format!("the target is missing in {count}"))
                .at(self.first)
                .help("fill it in, or drop these rows with --missing-target drop")),
            MissingTarget::Drop => {
                let are = verb(self.missing, ["is", "are"]);
                Ok(Some(format!("{count} {are} dropped: the target is missing")))
            }
        }
    }
}
