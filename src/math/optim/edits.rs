//! Changes to the gradient before the optimizer's step: penalty, clipping and noise.

use crate::base::error::{Error, Result};

/// Changes to the gradient, in this order; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GradientEdits {
    /// λ₁ of the L1 penalty λ₁ Σ|w| over all weights, not biases: g ← g + λ₁ sign(w).
    pub l1: f32,
    /// c: every element of g is clamped to [−c, c].
    pub clip_value: Option<f32>,
    /// c: the g of each weight matrix and each bias is multiplied by min(1, c / (‖g‖ + 10⁻⁶)).
    pub clip_norm: Option<f32>,
    /// The same with the norm over all parameters (Pascanu, Mikolov, Bengio 2013; as PyTorch's
    /// `clip_grad_norm_`).
    pub clip_global_norm: Option<f32>,
    /// η of normal noise: g ← g + N(0, η / (1 + t)^0.55) after t steps (Neelakantan et al. 2015).
    pub noise: f32,
}

impl GradientEdits {
    /// Whether the gradient is left unchanged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// For a negative penalty or noise, a limit that isn't above 0, and NaN.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("L1 penalty", self.l1), ("gradient noise", self.noise)] {
            if !value.is_finite() || value < 0.0 {
                return Err(
                    Error::usage(format!("invalid {name}: {value}")).help("it must be 0 or more")
                );
            }
        }
        for (name, limit) in [
            ("--clip-value", self.clip_value),
            ("--clip-norm", self.clip_norm),
            ("--clip-global-norm", self.clip_global_norm),
        ] {
            if let Some(limit) = limit.filter(|limit| !limit.is_finite() || *limit <= 0.0) {
                return Err(Error::usage(format!("invalid gradient limit: {limit}"))
                    .at(name)
                    .help("it must be above 0; omit it for no clipping"));
            }
        }
        Ok(())
    }
}
