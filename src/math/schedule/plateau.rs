//! A learning rate that falls when the loss no longer does.

use super::Schedule;
use serde::{Deserialize, Serialize};

/// The state of [`Schedule::Plateau`]: plain data, kept in checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// The lowest loss so far.
    best: Option<f64>,
    /// The number of epochs since then, or since the last reduction.
    waited: u32,
    /// How often the rate was reduced.
    reductions: u32,
}

/// A loss counts as lower if it is so by more than this fraction of the best one.
const THRESHOLD: f64 = 1e-4;

impl Plateau {
    /// The factor on the learning rate under `schedule`: 1 for any schedule but a plateau.
    #[must_use]
    pub fn factor(&self, schedule: Schedule) -> f64 {
        match schedule {
            Schedule::Plateau { factor, .. } => f64::from(factor).powf(self.reductions.into()),
            _ => 1.0,
        }
    }

    /// Updates with the loss of an epoch. As PyTorch's `ReduceLROnPlateau` with its default threshold,
    /// except that 10⁻⁴ of a negative loss also counts downward.
    pub fn take(&mut self, schedule: Schedule, loss: f64) {
        let Schedule::Plateau { patience, .. } = schedule else { return };
        let is_lower = |best: f64| loss < best - THRESHOLD * best.abs();
        if loss.is_finite() && self.best.is_none_or(is_lower) {
            (self.best, self.waited) = (Some(loss), 0);
            return;
        }
        self.waited += 1;
        if self.waited > patience {
            (self.waited, self.reductions) = (0, self.reductions + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_after_more_than_patience_epochs_without_a_lower_loss() {
        let schedule = Schedule::Plateau { factor: 0.5, patience: 1 };
        let mut plateau = Plateau::default();
        let factors = [3.0, 2.0, 2.0, 1.9999, 1.5, 1.6, 1.5, 1.6, 1.6].map(|loss| {
            plateau.take(schedule, loss);
            plateau.factor(schedule)
        });
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]);
        assert_eq!(plateau.factor(Schedule::Cosine), 1.0);
        let text = serde_json::to_string(&plateau).unwrap();
        assert_eq!(serde_json::from_str::<Plateau>(&text).unwrap(), plateau);
    }

    #[test]
    fn a_negative_loss_must_fall_too() {
        let schedule = Schedule::Plateau { factor: 0.5, patience: 0 };
        let mut plateau = Plateau::default();
        [-1.0, -0.99999].into_iter().for_each(|loss| plateau.take(schedule, loss));
        assert_eq!(plateau.factor(schedule), 0.5);
    }
}
