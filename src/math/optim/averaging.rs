//! Averages of the weights over the steps of a run, which often predict better than the last weights.

use crate::base::error::{Error, Result};

/// Which weights are evaluated and saved.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Averaging {
    /// Those of the last step.
    #[default]
    None,
    /// Their exponential moving average: a ← d a + (1 − d) w after every step, a = w after the
    /// first (Polyak, Juditsky 1992; the exponential form as in TensorFlow and PyTorch).
    Ema {
        /// d.
        decay: f32,
    },
    /// Their mean after each of the last epochs (stochastic weight averaging: Izmailov et al. 2018,
    /// algorithm 1).
    Swa {
        /// The fraction of the epochs that is averaged.
        fraction: f32,
    },
}

impl Averaging {
    /// The first epoch of `epochs`, from 0, whose weights are averaged; at least the last epoch is averaged.
    #[must_use]
    pub fn first_epoch(self, epochs: usize) -> usize {
        let Averaging::Swa { fraction } = self else { return 0 };
        let averaged = (epochs as f64 * f64::from(fraction)).round().max(1.0);
        epochs.saturating_sub(averaged as usize)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// For a decay that isn't in (0, 1), and a fraction that isn't in (0, 1].
    pub fn check(self) -> Result<()> {
        match self {
            Averaging::Ema { decay } if !(decay > 0.0 && decay < 1.0) => {
                Err(Error::usage(format!("invalid decay of the weight average: {decay}"))
                    .at("--ema")
                    .help("give a number between 0 and 1, usually 0.99 to 0.9999"))
            }
            Averaging::Swa { fraction } if !(fraction > 0.0 && fraction <= 1.0) => {
                Err(Error::usage(format!(
                    "invalid fraction of the run for the weight average: {fraction}"
                ))
                .at("--swa")
                .help("give a number above 0 and at most 1, usually 0.25"))
            }
            _ => Ok(()),
        }
    }
}
