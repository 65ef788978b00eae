//! Changes to the gradient before the optimizer's step: see
//! [`crate::math::optim::GradientEdits`].

use crate::kernels::common::declaration::{
    COMMON, FUNCTIONS, Kernel, RANDOM_FUNCTIONS, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::vector::Vector;

/// A change to elements of a gradient g.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edit {
    /// g ← g + λ₁ sign(w).
    SignPenalty {
        /// λ₁.
        strength: f32,
        /// w: as long as g.
        w: TensorId,
    },
    /// g ← min(max(g, −c), c).
    ClipValue {
        /// c.
        limit: f32,
    },
    /// g ← g · min(1, c / (‖g‖ + 10⁻⁶)).
    ClipNorm {
        /// c.
        limit: f32,
        /// ‖g‖, by an op before: (1, 1).
        norm: TensorId,
    },
    /// g ← g / (‖g‖ + 10⁻⁷).
    Unit {
        /// ‖g‖, by an op before: (1, 1).
        norm: TensorId,
    },
    /// g ← g + σ √(−2 ln u₁) cos(2π u₂) with σ² = η / (1 + t)^0.55 (Box, Muller 1958), where u₁ in
    /// (0, 1] and u₂ in [0, 1) are drawn by key from the element's place and t.
    Noise {
        /// η.
        variance: f32,
        /// The key of the random numbers.
        key: [u32; 2],
        /// The place of the first element among those that have the key.
        first: usize,
    },
}

uniform! {
    /// The number of elements, the value of the edit, the place of the first element, and the key.
    Uniform { len: u32, value: f32, first: u32, key0: u32, key1: u32 }
}

/// [`Edit`] on the device, one variant for each.
pub static EDIT: Kernel = Kernel {
    entry: "edit",
    source: &[
        COMMON,
        FUNCTIONS,
        RANDOM_FUNCTIONS,
        include_str!("../../../shaders/optim/edits.wgsl"),
    ],
    uniform: Uniform::FIELDS,
    bindings: &[read("other"), read_write("g")],
    workgroup_size: 64,
};

/// Prevents division by a norm of 0.
const TINY: f64 = 1e-6;
/// The same for a vector that is scaled to norm 1.
const TINIER: f64 = 1e-7;
/// How fast the variance of the noise falls.
const FALL: f64 = 0.55;

impl Edit {
    /// What it reads besides g.
    #[must_use]
    pub fn reads(self) -> Option<TensorId> {
        match self {
            Edit::SignPenalty { w, .. } => Some(w),
            Edit::ClipNorm { norm, .. } | Edit::Unit { norm } => Some(norm),
            Edit::ClipValue { .. } | Edit::Noise { .. } => None,
        }
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Edit::SignPenalty { .. } => "sign penalty",
            Edit::ClipValue { .. } => "clip by value",
            Edit::ClipNorm { .. } => "clip by norm",
            Edit::Unit { .. } => "unit norm",
            Edit::Noise { .. } => "noise",
        }
    }
}

/// Launches [`EDIT`] on elements `start..start + len` of g.
#[must_use]
pub fn launch(edit: Edit, g: TensorId, start: usize, len: usize) -> Launch {
    let (code, value, [key0, key1], first, other) = match edit {
        Edit::SignPenalty { strength, w } => (0, strength, [0; 2], 0, Arg::Slice(w, start, len)),
        Edit::ClipValue { limit } => (1, limit, [0; 2], 0, Arg::Unused),
        Edit::ClipNorm { limit, norm } => (2, limit, [0; 2], 0, Arg::Tensor(norm)),
        Edit::Unit { norm } => (3, 0.0, [0; 2], 0, Arg::Tensor(norm)),
        Edit::Noise { variance, key, first } => (4, variance, key, first, Arg::Unused),
    };
    let first = (first + start) as u32;
    Launch {
        kernel: &EDIT,
        overrides: vec![("EDIT", f64::from(code))],
        uniform: Uniform { len: len as u32, value, first, key0, key1 }.bytes(),
        args: vec![other, Arg::Slice(g, start, len)],
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// The CPU reference of [`EDIT`] on the elements from `start` on: `other` is w for these
/// elements, or the norm; g: (len).
pub fn reference<T: Vector>(edit: Edit, step: &Step, start: usize, other: &[T], g: &mut [T]) {
    match edit {
        Edit::SignPenalty { strength, .. } => {
            T::add_signs(T::of(strength.into()), other, g);
        }
        Edit::ClipValue { limit } => {
            T::clip(T::of(limit.into()), g);
        }
        Edit::ClipNorm { limit, .. } => {
            let factor = T::of(limit.into()) / (other[0] + T::of(TINY));
            if factor >= T::one() {
                return;
            }
            T::scale(factor, g);
        }
        Edit::Unit { .. } => {
            let norm = other[0] + T::of(TINIER);
            g.iter_mut().for_each(|g| *g = *g / norm);
        }
        Edit::Noise { variance, key, first } => {
            let counter = [(first + start) as u32, step.t];
            T::add_normals(noise_deviation(variance, step), key, counter, g);
        }
    }
}

/// The standard deviation of [`Edit::Noise`] at a step.
pub fn noise_deviation<T: Vector>(variance: f32, step: &Step) -> T {
    let log = T::of(f64::from(variance)).ln() - T::of(FALL) * T::of(f64::from(step.t)).ln_1p();
    (T::of(0.5) * log).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neelakantan et al. 2015, equation 1, with γ = 0.55.
    #[test]
    fn noise_has_the_variance_of_the_paper_and_is_drawn_anew_at_each_step() {
        const COUNT: usize = 200_000;
        let noise = |t: u32, first: usize, len: usize| {
            let edit = Edit::Noise { variance: 0.3, key: [1, 2], first };
            let mut g = vec![0.0f64; len];
            reference(edit, &Step { t, ..Step::default() }, 0, &[], &mut g);
            g
        };
        for t in [0, 1, 1000] {
            let g = noise(t, 0, COUNT);
            let mean = g.iter().sum::<f64>() / COUNT as f64;
            let variance = g.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / COUNT as f64;
            let expected = 0.3 / (1.0 + f64::from(t)).powf(0.55);
            assert!(mean.abs() < 0.01 * expected.sqrt(), "mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.02, "{variance} for {expected}");
        }
        assert_ne!(
            noise(0, 0, 9),
            noise(1, 0, 9).iter().map(|x| x * 2f64.powf(0.275)).collect::<Vec<_>>()
        );
        // Element 5 has the same noise wherever its tensor begins.
        assert_eq!(noise(3, 5, 4), noise(3, 0, 9)[5..]);
    }

    #[test]
    fn nan_stays_nan() {
        let norm = TensorId(0);
        for edit in [
            Edit::ClipValue { limit: 1.0 },
            Edit::ClipNorm { limit: 1.0, norm },
            Edit::SignPenalty { strength: 1.0, w: norm },
        ] {
            let mut g = [f32::NAN];
            reference(edit, &Step::default(), 0, &[f32::NAN], &mut g);
            assert!(g[0].is_nan(), "{edit:?}");
        }
    }
}
