//! Averages of weights, and their exchange with the weights: see
//! [`crate::math::optim::Averaging`].

use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::real::Real;
use crate::math::vector::Vector;

/// The fraction of the new weights: average ← average + ρ (w − average).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// ρ at every step, but 1 at the first.
    Constant(f32),
    /// ρ = 1 / (n + 1) after n epochs, counted from this one.
    Equal(u32),
}

impl Share {
    /// ρ.
    #[must_use]
    pub fn at<T: Real>(self, step: &Step) -> T {
        match self {
            Share::Constant(_) if step.t == 0 => T::one(),
            Share::Constant(share) => T::of(share.into()),
            Share::Equal(since) => {
                T::one() / T::of(f64::from(step.epoch.saturating_sub(since) + 1))
            }
        }
    }
}

uniform! {
    /// The number of parameters, and the two kinds of [`Share`], of which one is used.
    Uniform { len: u32, share: f32, since: u32 }
}

/// average ← average + ρ (w − average): (len).
pub static AVERAGE: Kernel = Kernel {
    entry: "average_weights",
    source: &[COMMON, include_str!("../../../shaders/optim/average.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("w"), read_write("average")],
    workgroup_size: 64,
};

uniform! {
    /// The number of elements.
    SwapUniform { len: u32 }
}

/// Exchanges a and b: (len).
pub static SWAP: Kernel = Kernel {
    entry: "swap",
    source: &[COMMON, include_str!("../../../shaders/optim/swap.wgsl")],
    uniform: SwapUniform::FIELDS,
    bindings: &[read_write("a"), read_write("b")],
    workgroup_size: 64,
};

/// Launches [`AVERAGE`] on elements `start..start + len`.
#[must_use]
pub fn launch(share: Share, w: TensorId, average: TensorId, start: usize, len: usize) -> Launch {
    let (share, since, equal) = match share {
        Share::Constant(share) => (share, 0, 0.0),
        Share::Equal(since) => (0.0, since, 1.0),
    };
    Launch {
        kernel: &AVERAGE,
        overrides: vec![("EQUAL", equal)],
        uniform: Uniform { len: len as u32, share, since }.bytes(),
        args: vec![Arg::Slice(w, start, len), Arg::Slice(average, start, len)],
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// Launches [`SWAP`] on elements `start..start + len`.
#[must_use]
pub fn launch_swap(a: TensorId, b: TensorId, start: usize, len: usize) -> Launch {
    Launch {
        kernel: &SWAP,
        overrides: vec![],
        uniform: SwapUniform { len: len as u32 }.bytes(),
        args: vec![Arg::Slice(a, start, len), Arg::Slice(b, start, len)],
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// The CPU reference of [`AVERAGE`]: w, average: (len).
pub fn reference<T: Vector>(share: Share, step: &Step, w: &[T], average: &mut [T]) {
    T::follow(share.at::<T>(step), w, average);
}
