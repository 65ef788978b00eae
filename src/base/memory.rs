//! How much memory this process may use; what needs more is refused before any is allocated.

use crate::base::error::{Error, Result};
use crate::base::system_memory;
use std::fmt::Display;
use std::sync::OnceLock;

/// The bytes of memory that this process may use, as first read (see [`system_memory::total`]); none
/// where the system doesn't report them.
#[must_use]
pub fn available() -> Option<u64> {
    static ALL: OnceLock<Option<u64>> = OnceLock::new();
    *ALL.get_or_init(|| system_memory::total().map(|memory| memory.bytes))
}

/// The memory that reading data may use, in bytes; without a limit, [`available`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget(pub Option<u64>);

impl Budget {
    /// Refuses `what` if it needs more bytes than the user's limit or, without one, than [`available`].
    ///
    /// # Errors
    /// For such a need, with both numbers.
    pub fn check(self, need: u64, what: impl Display) -> Result<()> {
        let (most, who, help) = match self.0 {
            Some(limit) => (limit, "the memory limit is", "raise --memory-limit, or "),
            None => match available() {
                Some(all) => (all, "there are only", ""),
                None => return Ok(()),
            },
        };
        if need <= most {
            return Ok(());
        }
        Err(Error::data(format!(
            "{what} takes {} of memory, but {who} {}",
            human(need as f64),
            human(most as f64)
        ))
        .help(format!("{help}write the data as Parquet or CSV, which are read in parts")))
    }
}

/// A number of bytes with its unit, as in `5.0 GB`.
#[must_use]
pub fn human(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let step = (bytes.max(1.0).log10() / 3.0) as usize;
    let unit = step.min(UNITS.len() - 1);
    let value = bytes / 1000f64.powi(unit as i32);
    let digits = usize::from(value < 9.95 && unit > 0);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_more_than_the_limit_is_refused_with_both_numbers() {
        let budget = Budget(Some(1_000_000));
        budget.check(1_000_000, "x").unwrap();
        let error = budget.check(5_000_000_000, "the array x").unwrap_err().to_string();
        assert!(error.starts_with("the array x takes 5.0 GB of memory"), "{error}");
        assert!(error.contains("the memory limit is 1.0 MB"), "{error}");
        assert!(Budget(None).check(u64::MAX, "x").is_err() || available().is_none());
    }

    #[test]
    fn bytes_are_readable() {
        let all = [0.0, 999.0, 1500.0, 12e6, 3.25e9, 7e20].map(human);
        assert_eq!(all, ["0 B", "999 B", "1.5 kB", "12 MB", "3.2 GB", "700000 PB"]);
    }
}
