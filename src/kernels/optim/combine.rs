//! x ← α x + β y: the steps along the directions of whole tensors, and the sums in the iterations of
//! Muon.

use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::vector::Vector;

/// α and β.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Factors {
    /// These constants.
    Fixed([f32; 2]),
    /// 1 − η λ and −η s: a step with decoupled weight decay.
    Step {
        /// λ.
        decay: f32,
        /// s.
        scale: f32,
    },
    /// 1 and −η r, with r = ‖x‖ / ‖y‖, or 1 where one of them is 0: the trust ratio of LAMB.
    Trust {
        /// ‖x‖ and ‖y‖, by ops before: (1, 1).
        norms: [TensorId; 2],
    },
}

uniform! {
    /// The number of elements; α and β, or λ and s.
    Uniform { len: u32, alpha: f32, beta: f32 }
}

/// x ← α x + β y, one variant for each of [`Factors`]: x, y: (len).
pub static COMBINE: Kernel = Kernel {
    entry: "combine",
    source: &[COMMON, include_str!("../../../shaders/optim/combine.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("y"), read("x_norm"), read("y_norm"), read_write("x")],
    workgroup_size: 64,
};

/// Launches [`COMBINE`] on elements `start..start + len`.
#[must_use]
pub fn launch(factors: Factors, x: TensorId, y: TensorId, start: usize, len: usize) -> Launch {
    let unused = [Arg::Unused; 2];
    let (code, alpha, beta, [x_norm, y_norm]) = match factors {
        Factors::Fixed([alpha, beta]) => (0, alpha, beta, unused),
        Factors::Step { decay, scale } => (1, decay, scale, unused),
        Factors::Trust { norms } => (2, 0.0, 0.0, norms.map(Arg::Tensor)),
    };
    Launch {
        kernel: &COMBINE,
        overrides: vec![("FACTORS", f64::from(code))],
        uniform: Uniform { len: len as u32, alpha, beta }.bytes(),
        args: vec![Arg::Slice(y, start, len), x_norm, y_norm, Arg::Slice(x, start, len)],
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// The CPU reference of [`COMBINE`]: y, x: (len); `norms` are ‖x‖ and ‖y‖ if the factors need
/// them.
pub fn reference<T: Vector>(factors: Factors, step: &Step, norms: [T; 2], y: &[T], x: &mut [T]) {
    let lr = T::of(step.lr.into());
    let [alpha, beta] = match factors {
        Factors::Fixed(factors) => factors.map(|f| T::of(f.into())),
        Factors::Step { decay, scale } => {
            [T::one() - lr * T::of(decay.into()), -lr * T::of(scale.into())]
        }
        Factors::Trust { .. } => {
            let [x, y] = norms;
            let is_there = x > T::zero() && y > T::zero();
            [T::one(), -lr * if is_there { x / y } else { T::one() }]
        }
    };
    T::combine(alpha, beta, y, x);
}
