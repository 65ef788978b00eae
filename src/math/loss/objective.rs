//! The training objective: a loss, and how the losses of rows and outputs are reduced to one number.

use super::Loss;
use crate::base::error::{Error, Result, serde_as_text, unknown};
use std::fmt;
use std::str::FromStr;

/// How the losses of rows and outputs are reduced to one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// The sum over the batch and the outputs (TSE, TCE of source 001).
    Total,
    /// The sum over the outputs, mean over the batch (sources 001, 002).
    MeanBatch,
    /// The mean over the batch and the outputs (source 003, PyTorch's `MSELoss`).
    Mean,
}

impl Reduction {
    /// Every reduction once.
    pub const ALL: [Reduction; 3] = [Reduction::Total, Reduction::MeanBatch, Reduction::Mean];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Total => "total",
            Reduction::MeanBatch => "mean-batch",
            Reduction::Mean => "mean",
        }
    }

    /// The divisor of the sum over `rows` rows of `outputs` outputs.
    #[must_use]
    pub fn divisor(self, rows: usize, outputs: usize) -> f64 {
        match self {
            Reduction::Total => 1.0,
            Reduction::MeanBatch => rows.max(1) as f64,
            Reduction::Mean => rows.max(1) as f64 * outputs.max(1) as f64,
        }
    }
}

/// A loss with its reduction: what training minimizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The loss of one row.
    pub loss: Loss,
    /// How rows and outputs are reduced.
    pub reduction: Reduction,
}

impl Objective {
    /// The divisor of the sum over `rows` rows of a net with `outputs` outputs; where a target
    /// has a mean and a variance, these count as one output.
    #[must_use]
    pub fn divisor(&self, rows: usize, outputs: usize) -> f64 {
        self.reduction.divisor(rows, self.loss.targets(outputs))
    }
}

impl From<Loss> for Objective {
    fn from(loss: Loss) -> Self {
        Objective { loss, reduction: loss.default_reduction() }
    }
}

serde_as_text!(Objective);

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.loss, self.reduction.name())
    }
}

impl FromStr for Objective {
    type Err = Error;

    /// Reads `squared-error`, `squared-error:total` or `huber(0.5):mean`; `_` is read as `-`.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim().replace('_', "-");
        let Some((loss, reduction)) = text.split_once(':') else {
            return text.parse::<Loss>().map(Objective::from);
        };
        let loss = loss.parse()?;
        match Reduction::ALL.into_iter().find(|r| r.name() == reduction) {
            Some(reduction) => Ok(Objective { loss, reduction }),
            None => Err(unknown("reduction", reduction, &Reduction::ALL.map(Reduction::name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_reads_back() {
        for loss in Loss::ALL {
            assert_eq!(Loss::ALL[loss.code() as usize], loss);
            for reduction in Reduction::ALL {
                let objective = Objective { loss, reduction };
                assert_eq!(objective.to_string().parse(), Ok(objective));
            }
        }
    }
}
