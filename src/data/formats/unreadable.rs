//! Rows that can't be read: they end the reading of a table, or are skipped up to a limit.

use super::want::{OnError, Rows};
use crate::base::error::{Error, Result};
use crate::base::words::{part, verb};

/// The largest fraction of the rows that are skipped.
const MOST: f64 = 0.05;
/// The most rows whose errors are named.
const NAMED: usize = 3;

/// Selects the rows of a table that can be read, chunk by chunk.
pub(in crate::data) struct Readable {
    rule: OnError,
    rows: usize,
    skipped: usize,
    /// The first errors.
    errors: Vec<Error>,
}

impl Readable {
    pub(in crate::data) fn new(rule: OnError) -> Self {
        Readable { rule, rows: 0, skipped: 0, errors: Vec::new() }
    }

    /// The rows of a chunk that can be read. A table may start over with its first row.
    ///
    /// # Errors
    /// The error of the first row that can't, if none may be skipped.
    pub(in crate::data) fn take(&mut self, mut rows: Rows) -> Result<Rows> {
        if rows.first == 0 {
            *self = Readable::new(self.rule);
        }
        self.rows += rows.frame.rows;
        if rows.faults.is_empty() || self.rule == OnError::Stop {
            return rows.sound();
        }
        let faults = std::mem::take(&mut rows.faults);
        let is_sound = |row: &usize| faults.binary_search_by_key(row, |(bad, _)| *bad).is_err();
        let kept: Vec<usize> = (0..rows.frame.rows).filter(is_sound).collect();
        rows.frame = rows.frame.select(&kept);
        self.skipped += faults.len();
        let room = NAMED - self.errors.len();
        self.errors.extend(faults.into_iter().take(room).map(|(_, error)| error));
        Ok(rows)
    }

    /// A warning about the rows that were skipped.
    ///
    /// # Errors
    /// When they are too many.
    pub(in crate::data) fn finish(self) -> Result<Option<String>> {
        let Readable { rows, skipped, errors, .. } = self;
        let named: Vec<String> = errors.iter().map(Error::brief).collect();
        let count = part(skipped, rows, "row");
        match skipped {
            0 => Ok(None),
            _ if skipped as f64 > MOST * rows as f64 => {
                let most = MOST * 100.0;
                Err(Error::data(format!("{count} can't be read, more than {most}%"))
                    .at(named.first().cloned().unwrap_or_default())
                    .help("correct or remove these rows: --on-error skip leaves out only a few"))
            }
            _ => Ok(Some(format!(
                "{count} can't be read and {} skipped: {}{}",
                verb(skipped, ["is", "are"]),
                named.join("; "),
                if skipped > named.len() { "; …" } else { "" }
            ))),
        }
    }
}
