//! Spans: parts of a run.

use crate::base::error::{Error, Result, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// How long a run is, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// The steps of the whole run.
    pub total: u64,
    /// The steps of an epoch.
    pub epoch: u64,
}

/// A part of a run, as a number of steps or epochs or a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// A number of steps.
    Steps(u64),
    /// A number of epochs.
    Epochs(f32),
    /// A fraction of all steps, between 0 and 1.
    Share(f32),
}

impl Default for Span {
    fn default() -> Self {
        Span::Steps(0)
    }
}

impl Span {
    /// The steps of the span in a run of this length.
    #[must_use]
    pub fn steps(self, length: Length) -> f64 {
        match self {
            Span::Steps(steps) => steps as f64,
            Span::Epochs(epochs) => f64::from(epochs) * length.epoch as f64,
            Span::Share(share) => f64::from(share) * length.total as f64,
        }
    }

    /// Whether its steps depend on how many epochs a run has.
    #[must_use]
    pub fn depends_on_length(self) -> bool {
        matches!(self, Span::Share(_))
    }

    /// The same rounded to whole steps.
    #[must_use]
    pub fn whole_steps(self, length: Length) -> u64 {
        self.steps(length).round() as u64
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Steps(steps) => write!(f, "{steps}"),
            Span::Epochs(epochs) => write!(f, "{epochs}epochs"),
            Span::Share(share) => write!(f, "{share}"),
        }
    }
}

impl FromStr for Span {
    type Err = Error;

    /// Reads `500` (steps), `0.1` (a fraction of all steps) or `2.5epochs`.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let epochs = text.strip_suffix("epochs").or_else(|| text.strip_suffix("epoch"));
        let span = match epochs {
            Some(epochs) => epochs.trim().parse().ok().map(Span::Epochs),
            None => text
                .parse()
                .map(Span::Steps)
                .ok()
                .or_else(|| text.parse().ok().filter(|share| *share < 1.0).map(Span::Share)),
        };
        let is_valid = |span: &Span| match span {
            Span::Steps(_) => true,
            Span::Epochs(x) | Span::Share(x) => x.is_finite() && *x >= 0.0,
        };
        span.filter(is_valid).ok_or_else(|| {
            Error::usage(format!("{text:?} is not a part of a run"))
                .help("write 500 for steps, 0.1 for a fraction of all steps, or 2epochs")
        })
    }
}

serde_as_text!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_and_are_steps_of_a_run() {
        let run = Length { total: 200, epoch: 20 };
        for (text, steps) in [("7", 7.0), ("0.25", 50.0), ("2.5epochs", 50.0), ("0", 0.0)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.steps(run), span.to_string().as_str()), (steps, text));
        }
        assert_eq!("1 epoch".parse::<Span>().unwrap(), Span::Epochs(1.0));
        for text in ["1.5", "-1", "-0.1", "epochs", "NaN", "", "infepochs"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
