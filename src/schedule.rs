//! The learning rate as a pure function of the step.

use crate::error::{Error, Result, serde_as_text, unknown};
use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

/// A factor on the learning rate, from the steps done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// 1 − t/T.
    Linear,
    /// (1 + cos(π t/T)) / 2 (Loshchilov, Hutter 2017, without restarts).
    Cosine,
}

impl Schedule {
    /// Every schedule once.
    pub const ALL: [Schedule; 3] = [Schedule::Constant, Schedule::Linear, Schedule::Cosine];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Schedule::Constant => "constant",
            Schedule::Linear => "linear",
            Schedule::Cosine => "cosine",
        }
    }

    /// The factor after `done` of `total` steps.
    #[must_use]
    pub fn factor(self, done: u64, total: u64) -> f64 {
        let progress = (done as f64 / total.max(1) as f64).min(1.0);
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - progress,
            Schedule::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
        }
    }
}

serde_as_text!(Schedule);

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .ok_or_else(|| unknown("schedule", name, &Self::ALL.map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_start_at_one_and_end_at_their_floor() {
        for (schedule, end) in
            [(Schedule::Constant, 1.0), (Schedule::Linear, 0.0), (Schedule::Cosine, 0.0)]
        {
            assert_eq!(schedule.factor(0, 100), 1.0);
            assert!((schedule.factor(100, 100) - end).abs() < 1e-12);
        }
    }
}
