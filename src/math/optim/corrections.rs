//! What a rule needs for a step besides η, such as bias corrections: the same for every parameter, so it is
//! computed once, in f64.

use super::{MUON_ADAMW, MUON_ADAMW_SHARE, Optimizer};

impl Optimizer {
    /// The corrections at step `t`, counted from 1, the same for every parameter; ones where
    /// a rule needs none.
    ///
    /// Adam, AdamW, AMSGrad, LAMB: 1 − β₁ᵗ, 1 − β₂ᵗ. Muon: those of its AdamW, the first divided by
    /// [`MUON_ADAMW_SHARE`], which multiplies the step by that share. NAdam: the factors of m and of g, and
    /// 1 − β₂ᵗ. RAdam: the factors of m / (√v + ε) and of m, one of which is 0.
    #[must_use]
    pub fn corrections(self, t: u64) -> [f32; 4] {
        self.corrections_along(t, |_| 0.0)
    }

    /// As [`Optimizer::corrections`], where `change` was added to μ or β₁ at each step, counted
    /// from 1. As in PyTorch, 1 − β₁ᵗ uses the current β₁, but NAdam's Mₜ is the product of
    /// all past μᵢ.
    #[must_use]
    pub fn corrections_along(self, t: u64, change: impl Fn(u64) -> f64) -> [f32; 4] {
        // 1 − βᵗ
        let correction = |beta: f64| -(t as f64 * beta.ln()).exp_m1();
        let beta1_at = |beta1: f32, i: u64| f64::from(beta1) + change(i);
        let first = |beta1: f32| correction(beta1_at(beta1, t));
        let second = |beta2: f32| correction(beta2.into());
        let corrections = match self {
            Optimizer::Adam { beta1, beta2, .. }
            | Optimizer::AdamW { beta1, beta2, .. }
            | Optimizer::AmsGrad { beta1, beta2, .. }
            | Optimizer::Lamb { beta1, beta2, .. } => [first(beta1), second(beta2), 1.0, 1.0],
            Optimizer::NAdam { beta1, beta2, .. } => {
                let [of_m, of_g] = nadam_factors(|i| beta1_at(beta1, i), t);
                [of_m, of_g, second(beta2), 1.0]
            }
            Optimizer::RAdam { beta1, beta2, .. } => {
                let [of_ratio, of_m] = radam_factors(f64::from(beta2), t, second(beta2));
                [of_ratio / first(beta1), of_m / first(beta1), 1.0, 1.0]
            }
            Optimizer::Muon { .. } => {
                let [beta1, beta2, _] = MUON_ADAMW.constants();
                let share = f64::from(MUON_ADAMW_SHARE);
                [correction(beta1.into()) / share, second(beta2), 1.0, 1.0]
            }
            _ => [1.0; 4],
        };
        corrections.map(|c| c as f32)
    }
}

/// μₜ₊₁ / (1 − Mₜ₊₁) and (1 − μₜ) / (1 − Mₜ) of NAdam, with β₁ at each step.
fn nadam_factors(beta1: impl Fn(u64) -> f64, t: u64) -> [f64; 2] {
    let decay = |i: u64| 1.0 - 0.5 * 0.96f64.powf(0.004 * i as f64);
    let mu = |i: u64| beta1(i) * decay(i);
    // The product soon is so small that 1 − M is 1.
    let mut product = 1.0;
    for i in 1..=t {
        product *= mu(i);
        if product < 1e-30 {
            product = 0.0;
            break;
        }
    }
    let next = beta1(t) * decay(t + 1);
    [next / (1.0 - product * next), (1.0 - mu(t)) / (1.0 - product)]
}

/// The factors of RAdam for m / (√v + ε) and m, without 1 − β₁ᵗ: r √(1 − β₂ᵗ) and 0, or 0 and 1.
fn radam_factors(beta2: f64, t: u64, correction2: f64) -> [f64; 2] {
    let longest = 2.0 / (1.0 - beta2) - 1.0;
    let length = longest - 2.0 * t as f64 * (1.0 - correction2) / correction2;
    if length <= 5.0 {
        return [0.0, 1.0];
    }
    let part = |length: f64| (length - 4.0) * (length - 2.0) / length;
    [(part(length) / part(longest) * correction2).sqrt(), 0.0]
}
