//! Times as users write them.

use crate::base::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A time in seconds, written as in `90s`, `1.5h`, `10m` or `500ms`; a bare number is in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeSpan(pub f64);

impl TimeSpan {
    const UNITS: [(&'static str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |unit: &&(&str, f64)| self.0 > 0.0 && self.0 % unit.1 == 0.0;
        match Self::UNITS[1..].iter().rev().find(whole) {
            Some((unit, seconds)) => write!(f, "{}{unit}", self.0 / seconds),
            None => write!(f, "{}s", self.0),
        }
    }
}

impl FromStr for TimeSpan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text[digits.len()..].to_lowercase();
        let seconds = match Self::UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, seconds)) => Some(*seconds),
            None => unit.is_empty().then_some(1.0),
        };
        match (digits.trim().parse::<f64>(), seconds) {
            (Ok(number), Some(seconds)) if number.is_finite() && number >= 0.0 => {
                Ok(TimeSpan(number * seconds))
            }
            _ => Err(Error::usage(format!("{text:?} is not a time"))
                .help("write for example 90s, 10m or 2h")),
        }
    }
}

/// How often something is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Every {
    /// Whenever this many seconds have passed.
    Seconds(f64),
    /// After this many epochs.
    Epochs(usize),
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Seconds(seconds) => TimeSpan(*seconds).fmt(f),
            Every::Epochs(1) => f.write_str("1epoch"),
            Every::Epochs(n) => write!(f, "{n}epochs"),
        }
    }
}

impl FromStr for Every {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let count = ["epochs", "epoch"].iter().find_map(|unit| text.trim().strip_suffix(unit));
        match count.map(|n| n.trim().parse::<usize>()) {
            None => text.parse().map(|span: TimeSpan| Every::Seconds(span.0)),
            Some(Ok(n)) if n > 0 => Ok(Every::Epochs(n)),
            Some(_) => Err(Error::usage(format!("{text:?} is not a number of epochs"))
                .help("write for example 60s, 10m or 5epochs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        for (text, seconds) in
            [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), ("250ms", 0.25), ("7", 7.0)]
        {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.0, seconds);
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        assert_eq!(TimeSpan(600.0).to_string(), "10m");
        for (text, every) in [
            ("5epochs", Every::Epochs(5)),
            ("1 epoch", Every::Epochs(1)),
            ("0", Every::Seconds(0.0)),
            ("2m", Every::Seconds(120.0)),
        ] {
            assert_eq!(text.parse(), Ok(every));
            assert_eq!(every.to_string().parse(), Ok(every));
        }
        assert!("0 epochs".parse::<Every>().is_err());
        for wrong in ["", "m", "ten", "5 days", "-3s", "NaN", "infs"] {
            assert!(wrong.parse::<TimeSpan>().is_err(), "{wrong}");
        }
    }
}
