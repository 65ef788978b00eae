//! The ops between the products: the batch's rows in f16, δ_L times the loss scale, and the update of that
//! scale at the end of a step.

use super::SCALE_STATE;
use super::texts::{NOTE, STORED};
use crate::kernels::common::declaration::{
    COMMON, Kernel, RANDOM_FUNCTIONS, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::inputs::gather;
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::real::Real;
use crate::net::precision::LARGEST_SCALE;

const ENABLE: &str = "enable f16;";

uniform! {
    /// The columns of x and y.
    RescaleUniform { cols: u32 }
}

uniform! {
    /// Steps until S is doubled, and its largest value.
    ScaleUniform { interval: f32, largest: f32 }
}

/// Gathers features: (N, n_0) → (B, n_0) in f16.
pub static GATHER: Kernel = Kernel {
    entry: "mixed_gather",
    source: &[
        ENABLE,
        COMMON,
        RANDOM_FUNCTIONS,
        include_str!("../../../shaders/mixed/mixed_gather.wgsl"),
    ],
    uniform: gather::Uniform::FIELDS,
    bindings: &[read("data"), read("affine"), read_write("out")],
    workgroup_size: 64,
};

/// y = S x: (B, n_L), x in f32, y in f16.
pub static RESCALE: Kernel = Kernel {
    entry: "mixed_rescale",
    source: &[
        ENABLE,
        COMMON,
        NOTE,
        STORED,
        include_str!("../../../shaders/mixed/mixed_rescale.wgsl"),
    ],
    uniform: RescaleUniform::FIELDS,
    bindings: &[read("x"), read_write("y"), read_write("loss_scale")],
    workgroup_size: 64,
};

/// S and its counts at the end of a step: (1, 4).
pub static SCALE: Kernel = Kernel {
    entry: "mixed_scale",
    source: &[COMMON, include_str!("../../../shaders/mixed/mixed_scale.wgsl")],
    uniform: ScaleUniform::FIELDS,
    bindings: &[read_write("loss_scale")],
    workgroup_size: 1,
};

/// Launches [`GATHER`] into `x`: (B, cols).
#[must_use]
pub fn launch_gather(x: TensorId, cols: usize, bytes: bool) -> Launch {
    Launch { kernel: &GATHER, ..gather::launch_features(x, cols, bytes) }
}

/// Launches [`RESCALE`] on x and y: (B, cols).
#[must_use]
pub fn launch_rescale(tensors: [TensorId; 3], cols: usize) -> Launch {
    Launch {
        kernel: &RESCALE,
        overrides: vec![("WATCH", 1.0)],
        uniform: RescaleUniform { cols: cols as u32 }.bytes(),
        args: tensors.map(Arg::Tensor).to_vec(),
        grid: Grid::Elements(Extent::Batch, cols),
    }
}

/// Launches [`SCALE`].
#[must_use]
pub fn launch_scale(loss_scale: TensorId, interval: u32) -> Launch {
    Launch {
        kernel: &SCALE,
        overrides: vec![],
        uniform: ScaleUniform { interval: interval as f32, largest: LARGEST_SCALE }.bytes(),
        args: vec![Arg::Tensor(loss_scale)],
        grid: Grid::Groups(1),
    }
}

/// The CPU reference of [`SCALE`]: S, steps without an overflow, steps skipped, and 1 after an
/// overflow.
pub fn next_scale<T: Real>(interval: u32, state: [T; SCALE_STATE]) -> [T; SCALE_STATE] {
    let [scale, good, skipped, overflow] = state;
    let (zero, one, two) = (T::zero(), T::one(), T::of(2.0));
    if overflow != zero {
        return [(scale / two).max(one), zero, skipped + one, zero];
    }
    match good + one {
        good if good >= T::of(interval.into()) => {
            [(scale * two).min(T::of(LARGEST_SCALE.into())), zero, skipped, zero]
        }
        good => [scale, good, skipped, zero],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_halved_behind_an_overflow_and_doubled_after_good_steps() {
        let mut state = [8.0, 0.0, 0.0, 0.0];
        let mut after = |overflow: f64| {
            state[3] = overflow;
            state = next_scale(3, state);
            state
        };
        assert_eq!(after(1.0), [4.0, 0.0, 1.0, 0.0]);
        assert_eq!(after(0.0), [4.0, 1.0, 1.0, 0.0]);
        assert_eq!(after(0.0), [4.0, 2.0, 1.0, 0.0]);
        assert_eq!(after(0.0), [8.0, 0.0, 1.0, 0.0]);
        for _ in 0..9 {
            after(1.0);
        }
        assert_eq!(after(1.0), [1.0, 0.0, 11.0, 0.0], "it stays at 1");
    }
}
