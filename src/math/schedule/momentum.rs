//! The momentum of a one-cycle run, which falls while the learning rate rises.

use super::{Length, Schedule, Span};
use crate::base::error::{Error, Result, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// The momentum that goes with [`Schedule::OneCycle`]: from `high` down to `low` at the peak of the learning
/// rate and back up, along the same half cosines (Smith, "A disciplined approach to neural network
/// hyper-parameters", 2018, section 4.3; as `cycle_momentum` of PyTorch's `OneCycleLR`). It takes the
/// place of μ, or of β₁ in Adam's family, LAMB and Lion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentumCycle {
    /// The momentum at the ends.
    pub high: f32,
    /// The momentum at the peak of the learning rate.
    pub low: f32,
}

impl Default for MomentumCycle {
    fn default() -> Self {
        MomentumCycle { high: 0.95, low: 0.85 }
    }
}

impl MomentumCycle {
    /// The momentum at the step after `done` steps of a run; `high` during a warmup, and under any other
    /// schedule.
    #[must_use]
    pub fn momentum(self, schedule: Schedule, warmup: Span, done: u64, length: Length) -> f32 {
        let warmup = warmup.whole_steps(length).min(length.total);
        let (high, low) = (f64::from(self.high), f64::from(self.low));
        let height = match (schedule, done.checked_sub(warmup)) {
            (Schedule::OneCycle { peak, .. }, Some(t)) => {
                super::one_cycle(peak, t, length.total - warmup).height
            }
            _ => 0.0,
        };
        (high + (low - high) * height) as f32
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// For a momentum that isn't in [0, 1), and a low one above the high one.
    pub fn check(self) -> Result<()> {
        let MomentumCycle { high, low } = self;
        if (0.0..1.0).contains(&high) && (0.0..=high).contains(&low) {
            return Ok(());
        }
        Err(Error::usage(format!("a momentum from {high} down to {low}"))
            .at("--cycle-momentum")
            .help("write the higher first, both at least 0 and below 1, as in 0.95,0.85"))
    }
}

impl fmt::Display for MomentumCycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.high, self.low)
    }
}

impl FromStr for MomentumCycle {
    type Err = Error;

    /// Reads `0.95,0.85`.
    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| part.trim().parse().ok();
        let ends = text.split_once(',').and_then(|(a, b)| number(a).zip(number(b)));
        let (high, low) = ends.ok_or_else(|| {
            Error::usage(format!("{text:?} is not a pair of momentums"))
                .help("write the one at the ends and the one at the peak, as in 0.95,0.85")
        })?;
        let cycle = MomentumCycle { high, low };
        cycle.check().map(|()| cycle)
    }
}

serde_as_text!(MomentumCycle);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momentum_is_lowest_where_the_rate_is_highest() {
        let schedule: Schedule = "one-cycle(0.25,10,100)".parse().unwrap();
        let (warmup, length) = (Span::Steps(10), Length { total: 110, epoch: 10 });
        let cycle = MomentumCycle::default();
        let at = |done| cycle.momentum(schedule, warmup, done, length);
        let factor = |done| schedule.factor(warmup, done, length);
        assert_eq!([at(0), at(9), at(10), at(34), at(109)], [0.95, 0.95, 0.95, 0.85, 0.95]);
        assert_eq!(factor(34), 1.0);
        assert!((10..34).all(|done| at(done + 1) < at(done) && factor(done + 1) > factor(done)));
        assert!((34..109).all(|done| at(done + 1) > at(done)));
        assert_eq!(cycle.momentum(Schedule::Constant, warmup, 50, length), 0.95);
    }

    #[test]
    fn pairs_read_back_and_are_checked() {
        assert_eq!("0.95, 0.85".parse(), Ok(MomentumCycle::default()));
        assert_eq!(MomentumCycle::default().to_string(), "0.95,0.85");
        for text in ["0.9", "0.85,0.95", "1,0.9", "0.9,-0.1", "NaN,0.5", "0.9,0.8,0.7", ""] {
            assert!(text.parse::<MomentumCycle>().is_err(), "{text}");
        }
    }
}
