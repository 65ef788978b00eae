//! Optimisers: how a parameter w follows its gradient g. One step counter t, from 1.

use crate::error::{Error, Result, unknown};
use crate::real::Real;
use std::fmt;
use std::str::FromStr;

/// An update rule with its constants. η is the learning rate, λ the weight decay.
///
/// To add one: a variant here with its name, state slots, constants and `update`, and the same
/// equations in `shaders/optimizer.wgsl` under its code.
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
}

/// What a rule needs to know besides w, g and its state, the same for every parameter of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalars<T> {
    /// η of this step.
    pub lr: T,
    /// λ.
    pub decay: T,
    /// μ, or β₁, β₂, ε.
    pub constants: [T; 3],
    /// [`Optimizer::corrections`] of this step.
    pub corrections: [T; 4],
}

impl Optimizer {
    /// Every optimiser once, constants at their defaults, in the order of [`Optimizer::code`].
    pub const ALL: [Optimizer; 5] = [
        Optimizer::Sgd,
        Optimizer::Momentum { momentum: 0.9 },
        Optimizer::Nesterov { momentum: 0.9 },
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
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
        }
    }

    /// The number by which the shaders know this rule: its place in [`Optimizer::ALL`].
    #[must_use]
    pub fn code(self) -> u32 {
        let place = Self::ALL.iter().position(|o| o.name() == self.name());
        place.unwrap_or_default() as u32
    }

    /// How many numbers are kept for each parameter between steps: at most two.
    #[must_use]
    pub fn state_slots(self) -> usize {
        match self {
            Optimizer::Sgd => 0,
            Optimizer::Momentum { .. } | Optimizer::Nesterov { .. } => 1,
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => 2,
        }
    }

    /// A learning rate to start with.
    #[must_use]
    pub fn default_lr(self) -> f32 {
        match self {
            Optimizer::Sgd => 0.1,
            Optimizer::Momentum { .. } | Optimizer::Nesterov { .. } => 0.02,
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => 1e-3,
        }
    }

    /// The same rule with momentum μ; for Adam's family that is β₁.
    ///
    /// # Errors
    /// When the rule has no momentum, or μ is not in [0, 1).
    pub fn with_momentum(self, mu: f32) -> Result<Self> {
        if !(0.0..1.0).contains(&mu) {
            return Err(Error::usage(format!("momentum {mu} is not in [0, 1)")));
        }
        match self {
            Optimizer::Sgd => {
                Err(Error::usage("sgd has no momentum")
                    .help("choose --optimizer momentum or nesterov"))
            }
            Optimizer::Momentum { .. } => Ok(Optimizer::Momentum { momentum: mu }),
            Optimizer::Nesterov { .. } => Ok(Optimizer::Nesterov { momentum: mu }),
            Optimizer::Adam { beta2, epsilon, .. } => {
                Ok(Optimizer::Adam { beta1: mu, beta2, epsilon })
            }
            Optimizer::AdamW { beta2, epsilon, .. } => {
                Ok(Optimizer::AdamW { beta1: mu, beta2, epsilon })
            }
        }
    }

    /// μ, or β₁, β₂, ε; zeros where a rule has fewer.
    #[must_use]
    pub fn constants(self) -> [f32; 3] {
        match self {
            Optimizer::Sgd => [0.0; 3],
            Optimizer::Momentum { momentum } | Optimizer::Nesterov { momentum } => {
                [momentum, 0.0, 0.0]
            }
            Optimizer::Adam { beta1, beta2, epsilon }
            | Optimizer::AdamW { beta1, beta2, epsilon } => [beta1, beta2, epsilon],
        }
    }

    /// What a rule needs at step `t`, counted from 1: 1 − β₁ᵗ and 1 − β₂ᵗ; ones where it needs
    /// nothing.
    #[must_use]
    pub fn corrections(self, t: u64) -> [f32; 4] {
        let correction = |beta: f32| (-(t as f64 * f64::from(beta).ln()).exp_m1()) as f32;
        match self {
            Optimizer::Adam { beta1, beta2, .. } | Optimizer::AdamW { beta1, beta2, .. } => {
                [correction(beta1), correction(beta2), 1.0, 1.0]
            }
            _ => [1.0; 4],
        }
    }

    /// One parameter's update: w and its state in place, g its gradient.
    #[inline(always)]
    pub fn update<T: Real>(self, w: &mut T, g: T, state: [&mut T; 2], s: &Scalars<T>) {
        let [first, second] = state;
        match self {
            Optimizer::Sgd => {
                let g = g + s.decay * *w;
                *w = *w - s.lr * g;
            }
            Optimizer::Momentum { .. } => {
                let g = g + s.decay * *w;
                *first = s.constants[0] * *first + g;
                *w = *w - s.lr * *first;
            }
            Optimizer::Nesterov { .. } => {
                let g = g + s.decay * *w;
                *first = s.constants[0] * *first + g;
                *w = *w - s.lr * (g + s.constants[0] * *first);
            }
            Optimizer::Adam { .. } => {
                let g = g + s.decay * *w;
                *w = *w - adam(g, first, second, s);
            }
            Optimizer::AdamW { .. } => {
                *w = *w - s.lr * s.decay * *w;
                *w = *w - adam(g, first, second, s);
            }
        }
    }
}

/// The step of Adam from gradient g, after its two moments took g in.
#[inline(always)]
fn adam<T: Real>(g: T, m: &mut T, v: &mut T, s: &Scalars<T>) -> T {
    let [beta1, beta2, epsilon] = s.constants;
    *m = beta1 * *m + (T::one() - beta1) * g;
    *v = beta2 * *v + (T::one() - beta2) * g * g;
    // α m̂ / (√v̂ + ε) with what doesn't depend on the parameter taken out (Kingma and Ba, end of
    // section 2), which spares two divisions.
    let root = s.corrections[1].sqrt();
    s.lr * root / s.corrections[0] * *m / (v.sqrt() + epsilon * root)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn minimise(
        optimizer: Optimizer,
        lr: f64,
        steps: u64,
        slope: impl Fn([f64; 2]) -> [f64; 2],
    ) -> [f64; 2] {
        let (mut w, mut state) = ([-1.0, 2.0], [[0.0; 2]; 2]);
        for t in 1..=steps {
            let g = slope(w);
            let scalars = Scalars {
                lr,
                decay: 0.0,
                constants: optimizer.constants().map(f64::from),
                corrections: optimizer.corrections(t).map(f64::from),
            };
            for i in 0..2 {
                let [a, b] = &mut state;
                optimizer.update(&mut w[i], g[i], [&mut a[i], &mut b[i]], &scalars);
            }
        }
        w
    }

    #[test]
    fn every_optimizer_finds_the_bottom_of_a_parabola_and_of_rosenbrock() {
        for optimizer in Optimizer::ALL {
            let w = minimise(optimizer, 0.02, 3000, |[x, y]| [2.0 * (x - 3.0), 20.0 * (y + 1.0)]);
            assert!((w[0] - 3.0).abs() < 1e-3 && (w[1] + 1.0).abs() < 1e-3, "{optimizer}: {w:?}");
            let lr = if optimizer.state_slots() == 2 { 0.02 } else { 5e-4 };
            let w = minimise(optimizer, lr, 60_000, |[x, y]| {
                [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)]
            });
            assert!((w[0] - 1.0).abs() < 1e-2 && (w[1] - 1.0).abs() < 1e-2, "{optimizer}: {w:?}");
        }
    }

    #[test]
    fn every_name_reads_back() {
        for optimizer in Optimizer::ALL {
            assert_eq!(optimizer.name().parse(), Ok(optimizer));
            assert_eq!(Optimizer::ALL[optimizer.code() as usize], optimizer);
        }
    }
}
