//! The constants of the rules: μ, β₁, β₂, ε.

use super::Optimizer;
use crate::base::error::{Error, Result};

impl Optimizer {
    /// μ, or β₁ of Adam's family and Lion, where the rule has a single one, which may differ from step to step:
    /// Muon has two, its own and that of its AdamW, and RMSprop without momentum has none.
    #[must_use]
    pub fn momentum(self) -> Option<f32> {
        let [momentum, ..] = self.constants();
        match self {
            Optimizer::Sgd
            | Optimizer::Adagrad { .. }
            | Optimizer::Rprop { .. }
            | Optimizer::Muon { .. }
            | Optimizer::Lbfgs => None,
            Optimizer::RmsProp { .. } if momentum == 0.0 => None,
            _ => Some(momentum),
        }
    }

    /// The same rule with momentum μ; for Adam's family and Lion that is β₁.
    ///
    /// # Errors
    /// When the rule has no momentum, or μ is not in [0, 1).
    pub fn with_momentum(mut self, mu: f32) -> Result<Self> {
        if !(0.0..1.0).contains(&mu) {
            return Err(Error::usage(format!("momentum {mu} is not in [0, 1)")));
        }
        let place = match &mut self {
            Optimizer::Momentum { momentum }
            | Optimizer::Nesterov { momentum }
            | Optimizer::RmsProp { momentum, .. }
            | Optimizer::Muon { momentum }
            | Optimizer::Lamb { beta1: momentum, .. }
            | Optimizer::Adam { beta1: momentum, .. }
            | Optimizer::AdamW { beta1: momentum, .. }
            | Optimizer::NAdam { beta1: momentum, .. }
            | Optimizer::AmsGrad { beta1: momentum, .. }
            | Optimizer::RAdam { beta1: momentum, .. }
            | Optimizer::Lion { beta1: momentum, .. } => momentum,
            Optimizer::Sgd
            | Optimizer::Adagrad { .. }
            | Optimizer::Rprop { .. }
            | Optimizer::Lbfgs => {
                return Err(Error::usage(format!("{self} has no momentum"))
                    .help("choose --optimizer momentum or nesterov"));
            }
        };
        *place = mu;
        Ok(self)
    }

    /// The same rule with β₁.
    ///
    /// # Errors
    /// When the rule has no β₁, or it is not in [0, 1).
    pub fn with_beta1(self, value: f32) -> Result<Self> {
        let error = |help: &str| {
            Err(Error::usage(format!("{} has no β₁", self.name())).help(help.to_string()))
        };
        match self {
            Optimizer::Momentum { .. }
            | Optimizer::Nesterov { .. }
            | Optimizer::RmsProp { .. }
            | Optimizer::Muon { .. } => error("give --momentum instead of --beta1"),
            Optimizer::Sgd
            | Optimizer::Adagrad { .. }
            | Optimizer::Rprop { .. }
            | Optimizer::Lbfgs => error("omit --beta1, or choose --optimizer adam"),
            _ if !(0.0..1.0).contains(&value) => {
                Err(Error::usage(format!("a β₁ of {value} is not in [0, 1)")))
            }
            _ => self.with_momentum(value),
        }
    }

    /// The same rule with β₂, which for RMSprop is α.
    ///
    /// # Errors
    /// When the rule keeps no second moment, or β₂ is not in [0, 1).
    pub fn with_beta2(mut self, value: f32) -> Result<Self> {
        if !(0.0..1.0).contains(&value) {
            return Err(Error::usage(format!("a β₂ of {value} is not in [0, 1)")));
        }
        let place = match &mut self {
            Optimizer::Adam { beta2, .. }
            | Optimizer::AdamW { beta2, .. }
            | Optimizer::NAdam { beta2, .. }
            | Optimizer::AmsGrad { beta2, .. }
            | Optimizer::RAdam { beta2, .. }
            | Optimizer::Lion { beta2, .. }
            | Optimizer::Lamb { beta2, .. }
            | Optimizer::RmsProp { alpha: beta2, .. } => beta2,
            Optimizer::Sgd
            | Optimizer::Momentum { .. }
            | Optimizer::Nesterov { .. }
            | Optimizer::Adagrad { .. }
            | Optimizer::Muon { .. }
            | Optimizer::Lbfgs
            | Optimizer::Rprop { .. } => {
                return Err(Error::usage(format!("{self} has no β₂"))
                    .help("omit --beta2, or choose --optimizer adam"));
            }
        };
        *place = value;
        Ok(self)
    }

    /// The same rule with ε.
    ///
    /// # Errors
    /// When the rule has no denominator that could be 0, or ε is not a number above 0.
    pub fn with_epsilon(mut self, value: f32) -> Result<Self> {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Error::usage(format!("invalid ε: {value}")).help("it must be above 0"));
        }
        let place = match &mut self {
            Optimizer::Adam { epsilon, .. }
            | Optimizer::AdamW { epsilon, .. }
            | Optimizer::Adagrad { epsilon }
            | Optimizer::RmsProp { epsilon, .. }
            | Optimizer::NAdam { epsilon, .. }
            | Optimizer::AmsGrad { epsilon, .. }
            | Optimizer::Lamb { epsilon, .. }
            | Optimizer::RAdam { epsilon, .. } => epsilon,
            Optimizer::Sgd
            | Optimizer::Momentum { .. }
            | Optimizer::Nesterov { .. }
            | Optimizer::Lion { .. }
            | Optimizer::Muon { .. }
            | Optimizer::Lbfgs
            | Optimizer::Rprop { .. } => {
                return Err(Error::usage(format!("{self} has no ε"))
                    .help("omit --epsilon, or choose --optimizer adam"));
            }
        };
        *place = value;
        Ok(self)
    }

    /// μ or β₁; β₂ or α; ε. RPROP: η⁻, η⁺. Zeros if a rule has fewer.
    #[must_use]
    pub fn constants(self) -> [f32; 3] {
        match self {
            Optimizer::Sgd | Optimizer::Lbfgs => [0.0; 3],
            Optimizer::Momentum { momentum }
            | Optimizer::Nesterov { momentum }
            | Optimizer::Muon { momentum } => [momentum, 0.0, 0.0],
            Optimizer::Adam { beta1, beta2, epsilon }
            | Optimizer::AdamW { beta1, beta2, epsilon }
            | Optimizer::NAdam { beta1, beta2, epsilon }
            | Optimizer::AmsGrad { beta1, beta2, epsilon }
            | Optimizer::RAdam { beta1, beta2, epsilon }
            | Optimizer::Lamb { beta1, beta2, epsilon } => [beta1, beta2, epsilon],
            Optimizer::Adagrad { epsilon } => [0.0, 0.0, epsilon],
            Optimizer::RmsProp { alpha, epsilon, momentum } => [momentum, alpha, epsilon],
            Optimizer::Lion { beta1, beta2 } => [beta1, beta2, 0.0],
            Optimizer::Rprop { shrink, grow } => [shrink, grow, 0.0],
        }
    }
}
