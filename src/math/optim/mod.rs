//! Optimizers: how a parameter w is updated from its gradient g. One step counter t, from 1.
//!
//! Rules that PyTorch has are written as in PyTorch. The equations are in the docs of the
//! variants of [`Optimizer`], and as code in [`rules`].

mod averaging;
mod constants;
mod corrections;
mod edits;
pub mod lbfgs;
pub mod rules;
#[cfg(test)]
mod tests;

pub use averaging::Averaging;
pub use edits::GradientEdits;

use crate::base::error::{Error, Result, unknown};
use std::fmt;
use std::str::FromStr;

/// An update rule with its constants. η is the learning rate, λ the weight decay. `"adam".parse()` gives the one of this
/// name with its usual constants.
// To add one: a variant here with its name and state slots, its constants in `constants.rs`, its
// equations in `rules`, and the same in `shaders/optim/optimizer_functions.wgsl` under its code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// g ← g + λw; w ← w − η g.
    Sgd,
    /// g ← g + λw; v ← μ v + g; w ← w − η v (Polyak 1964, as PyTorch writes it).
    Momentum {
        /// μ.
        momentum: f32,
    },
    /// g ← g + λw; v ← μ v + g; w ← w − η (g + μ v) (Nesterov 1983; Sutskever et al. 2013).
    Nesterov {
        /// μ.
        momentum: f32,
    },
    /// g ← g + λw; m ← β₁ m + (1−β₁) g; v ← β₂ v + (1−β₂) g²;
    /// w ← w − η (m / (1−β₁ᵗ)) / (√(v / (1−β₂ᵗ)) + ε) (Kingma, Ba 2015).
    Adam {
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// ε.
        epsilon: f32,
    },
    /// w ← w − η λ w, then Adam without λ (Loshchilov, Hutter 2019).
    AdamW {
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// ε.
        epsilon: f32,
    },
    /// g ← g + λw; v ← v + g²; w ← w − η g / (√v + ε) (Duchi, Hazan, Singer 2011).
    Adagrad {
        /// ε.
        epsilon: f32,
    },
    /// g ← g + λw; v ← α v + (1−α) g²; u ← μ u + g / (√v + ε); w ← w − η u (Hinton 2012, lecture
    /// 6e; the momentum as PyTorch adds it). With μ = 0 no u is kept.
    RmsProp {
        /// α.
        alpha: f32,
        /// ε.
        epsilon: f32,
        /// μ.
        momentum: f32,
    },
    /// Adam with Nesterov's momentum: with μₜ = β₁ (1 − ½ · 0.96^(0.004 t)) and Mₜ = Π_{i≤t} μᵢ,
    /// w ← w − η (μₜ₊₁ m / (1−Mₜ₊₁) + (1−μₜ) g / (1−Mₜ)) / (√(v / (1−β₂ᵗ)) + ε) (Dozat 2016).
    NAdam {
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// ε.
        epsilon: f32,
    },
    /// Adam with the largest v so far in place of v (Reddi, Kale, Kumar 2018; corrected for the
    /// bias as in PyTorch).
    AmsGrad {
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// ε.
        epsilon: f32,
    },
    /// Adam whose step is rectified by r while v is estimated from few gradients: with ρ∞ = 2/(1−β₂) − 1 and
    /// ρ = ρ∞ − 2tβ₂ᵗ/(1−β₂ᵗ), r = √((ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ)); where ρ ≤ 5,
    /// w ← w − η m / (1−β₁ᵗ) (Liu et al. 2020).
    RAdam {
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// ε.
        epsilon: f32,
    },
    /// w ← w − η (sign(β₁ m + (1−β₁) g) + λ w); m ← β₂ m + (1−β₂) g (Chen et al. 2023, algorithm 2).
    Lion {
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
    },
    /// g ← g + λw; each parameter has a step size s, at first η, which is multiplied by η⁺ where g
    /// keeps its sign and by η⁻ where it changes, within [10⁻⁶, 50]; w ← w − s sign(g), but where
    /// the sign changed g ← 0 (Riedmiller, Braun 1993; iRprop⁻ of Igel, Hüsken 2000). Only signs of
    /// gradients over the full batch are meaningful.
    Rprop {
        /// η⁻.
        shrink: f32,
        /// η⁺.
        grow: f32,
    },
    /// u = m̂ / (√v̂ + ε) + λ w with the moments of Adam, and for each weight matrix and each bias
    /// w ← w − η (‖w‖ / ‖u‖) u, the ratio being 1 where a norm is 0 (You et al. 2020, algorithm 2,
    /// with φ the identity).
    Lamb {
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// ε.
        epsilon: f32,
    },
    /// For the weight matrices of all layers but the output: m ← μ m + (1−μ) g; u = (1−μ) g + μ m;
    /// W ← (1 − η λ) W − η √max(1, n_l / n_{l−1}) O, where O is u with its singular values brought
    /// near 1 by [`MUON_ITERATIONS`] Newton–Schulz iterations, X ← a X + (b A + c A²) X with
    /// A = X Xᵀ, from X = u / (‖u‖ + 10⁻⁷) (Jordan et al. 2024). For all other parameters: AdamW
    /// ([`MUON_ADAMW`]) at η times [`MUON_ADAMW_SHARE`], as in the reference implementation.
    Muon {
        /// μ.
        momentum: f32,
    },
    /// Steps along −H g, with H from the last changes of w and g and a length found by line search;
    /// η is the first length that it tries, usually 1. Full batches only ([`lbfgs`]).
    Lbfgs,
}

/// a, b, c of the Newton–Schulz iteration of Muon.
pub const MUON_COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// The number of iterations in a step of Muon.
pub const MUON_ITERATIONS: usize = 5;
/// The rule for the parameters that Muon doesn't apply to.
pub const MUON_ADAMW: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-10 };
/// Their learning rate as a fraction of Muon's: 0.0003 where that is 0.02.
pub const MUON_ADAMW_SHARE: f32 = 0.015;

/// An optimizer and its weight decay, as an op applies them to a row of parameters, in which those that are
/// decayed come first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateRule {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// λ of the parameters that are decayed; for the others it is 0.
    pub decay: f32,
    /// How many elements of the row are decayed.
    pub decayed: usize,
}

impl UpdateRule {
    /// λ of the parameters from element `offset` of the row on.
    #[must_use]
    pub fn decay_at(self, offset: usize) -> f32 {
        if offset < self.decayed { self.decay } else { 0.0 }
    }
}

impl Optimizer {
    /// Adam with the constants of its paper.
    pub const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// Every optimizer once, constants at their defaults, in the order of [`Optimizer::code`].
    pub const ALL: [Optimizer; 15] = [
        Optimizer::Sgd,
        Optimizer::Momentum { momentum: 0.9 },
        Optimizer::Nesterov { momentum: 0.9 },
        Optimizer::ADAM,
        Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Optimizer::Adagrad { epsilon: 1e-10 },
        Optimizer::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.0 },
        Optimizer::NAdam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Optimizer::AmsGrad { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Optimizer::RAdam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Optimizer::Lion { beta1: 0.9, beta2: 0.99 },
        Optimizer::Rprop { shrink: 0.5, grow: 1.2 },
        Optimizer::Lamb { beta1: 0.9, beta2: 0.999, epsilon: 1e-6 },
        Optimizer::Muon { momentum: 0.95 },
        Optimizer::Lbfgs,
    ];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Optimizer::Sgd => "sgd",
            Optimizer::Momentum { .. } => "momentum",
            Optimizer::Nesterov { .. } => "nesterov",
            Optimizer::Adam { .. } => "adam",
            Optimizer::AdamW { .. } => "adamw",
            Optimizer::Adagrad { .. } => "adagrad",
            Optimizer::RmsProp { .. } => "rmsprop",
            Optimizer::NAdam { .. } => "nadam",
            Optimizer::AmsGrad { .. } => "amsgrad",
            Optimizer::RAdam { .. } => "radam",
            Optimizer::Lion { .. } => "lion",
            Optimizer::Rprop { .. } => "rprop",
            Optimizer::Lamb { .. } => "lamb",
            Optimizer::Muon { .. } => "muon",
            Optimizer::Lbfgs => "lbfgs",
        }
    }

    /// The code of this rule in the shaders: its index in [`Optimizer::ALL`].
    #[must_use]
    pub fn code(self) -> u32 {
        let place = Self::ALL.iter().position(|o| o.name() == self.name());
        place.unwrap_or_default() as u32
    }

    /// The number of state values kept for each parameter between steps: at most three.
    #[must_use]
    pub fn state_slots(self) -> usize {
        match self {
            Optimizer::Sgd | Optimizer::Lbfgs => 0,
            Optimizer::Momentum { .. }
            | Optimizer::Nesterov { .. }
            | Optimizer::Adagrad { .. }
            | Optimizer::Lion { .. } => 1,
            Optimizer::RmsProp { momentum, .. } => 1 + usize::from(momentum > 0.0),
            Optimizer::Adam { .. }
            | Optimizer::AdamW { .. }
            | Optimizer::NAdam { .. }
            | Optimizer::RAdam { .. }
            | Optimizer::Rprop { .. }
            | Optimizer::Lamb { .. }
            | Optimizer::Muon { .. } => 2,
            Optimizer::AmsGrad { .. } => 3,
        }
    }

    /// The default learning rate.
    #[must_use]
    pub fn default_lr(self) -> f32 {
        match self {
            Optimizer::Lbfgs => 1.0,
            Optimizer::Sgd => 0.1,
            Optimizer::Momentum { .. } | Optimizer::Nesterov { .. } | Optimizer::Muon { .. } => {
                0.02
            }
            Optimizer::Adagrad { .. } | Optimizer::Rprop { .. } | Optimizer::Lamb { .. } => 0.01,
            Optimizer::NAdam { .. } => 2e-3,
            Optimizer::Lion { .. } => 1e-4,
            Optimizer::Adam { .. }
            | Optimizer::AdamW { .. }
            | Optimizer::RmsProp { .. }
            | Optimizer::AmsGrad { .. }
            | Optimizer::RAdam { .. } => 1e-3,
        }
    }

    /// Whether each parameter is updated from its own gradient and state alone: the rules of [`rules`].
    #[must_use]
    pub fn is_element_wise(self) -> bool {
        !matches!(self, Optimizer::Lamb { .. } | Optimizer::Muon { .. } | Optimizer::Lbfgs)
    }

    /// Whether the rule needs the gradient over all rows.
    #[must_use]
    pub fn needs_full_batch(self) -> bool {
        matches!(self, Optimizer::Rprop { .. } | Optimizer::Lbfgs)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Optimizer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|o| o.name() == name)
            .ok_or_else(|| unknown("optimizer", name, &Self::ALL.map(Self::name)))
    }
}
