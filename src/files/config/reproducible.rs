//! Whether gradients are summed in a fixed order.

use crate::base::error::{Error, Result, serde_as_text};
use crate::train::ranks::BLOCKS;
use std::fmt;
use std::str::FromStr;

/// The value of `--reproducible`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reproducible {
    /// Gradients are summed over this many blocks of each batch, in a fixed order.
    Blocks(usize),
    /// Gradients are summed in the fastest order.
    No,
}

impl fmt::Display for Reproducible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reproducible::Blocks(blocks) => write!(f, "{blocks}"),
            Reproducible::No => f.write_str("no"),
        }
    }
}

impl FromStr for Reproducible {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "no" | "false" => return Ok(Reproducible::No),
            "yes" | "true" => return Ok(Reproducible::Blocks(BLOCKS)),
            _ => {}
        }
        match text.trim().parse::<usize>() {
            Ok(blocks) if blocks.is_power_of_two() && blocks <= 1 << 16 => {
                Ok(Reproducible::Blocks(blocks))
            }
            _ => Err(Error::usage(format!("{text:?} is not a number of blocks")).help(
                "give a power of two up to 65536, as in --reproducible=16, yes for 8, or no",
            )),
        }
    }
}

serde_as_text!(Reproducible);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_blocks_is_a_power_of_two() {
        for (text, value) in [
            ("yes", Reproducible::Blocks(8)),
            ("16", Reproducible::Blocks(16)),
            ("1", Reproducible::Blocks(1)),
            ("no", Reproducible::No),
        ] {
            let parsed: Reproducible = text.parse().unwrap();
            assert_eq!(parsed, value);
            assert_eq!(parsed.to_string().parse::<Reproducible>().unwrap(), value);
        }
        for text in ["", "0", "6", "131072", "maybe", "-8"] {
            assert!(text.parse::<Reproducible>().is_err(), "{text}");
        }
    }
}
