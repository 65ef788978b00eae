//! Whether the training rows are split over the ranks.

use crate::base::error::{Error, Result, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// The value of `--shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shard {
    /// Into as many shards as a batch has blocks, or as there are ranks.
    Auto,
    /// Into this many shards.
    Into(usize),
    /// Every rank holds all rows.
    No,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shard::Auto => f.write_str("yes"),
            Shard::Into(shards) => write!(f, "{shards}"),
            Shard::No => f.write_str("no"),
        }
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "no" | "false" => return Ok(Shard::No),
            "yes" | "true" => return Ok(Shard::Auto),
            _ => {}
        }
        match text.trim().parse::<usize>() {
            Ok(shards @ 1..=65_536) => Ok(Shard::Into(shards)),
            _ => Err(Error::usage(format!("{text:?} is not a number of shards"))
                .help("give a number up to 65536, as in --shard=4, yes, or no")),
        }
    }
}

serde_as_text!(Shard);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_number_of_shards_yes_or_no() {
        for (text, value) in
            [("yes", Shard::Auto), ("3", Shard::Into(3)), ("1", Shard::Into(1)), ("no", Shard::No)]
        {
            let parsed: Shard = text.parse().unwrap();
            assert_eq!(parsed, value);
            assert_eq!(parsed.to_string().parse::<Shard>().unwrap(), value);
        }
        for text in ["", "0", "65537", "maybe", "-8"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
