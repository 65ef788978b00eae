//! Seeded random numbers and the epoch's order, written out. The functions are in
//! [`crate::math::random`]; on the device they are bit-equal.

use super::declaration::{COMMON, Kernel, RANDOM_FUNCTIONS, read_write, uniform};
use super::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::random::{permute, threefry};
use crate::math::real::Real;

uniform! {
    /// The shape, `rows` 0 means the current batch, and the key.
    Uniform { rows: u32, cols: u32, key0: u32, key1: u32 }
}

const SOURCE: &[&str] =
    &[COMMON, RANDOM_FUNCTIONS, include_str!("../../../shaders/common/random.wgsl")];

/// Uniform random numbers in [0, 1): (B, cols).
pub static UNIFORM: Kernel = Kernel {
    entry: "uniform_numbers",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read_write("out")],
    workgroup_size: 64,
};

/// The row of the data set at each position of the batch: (B).
pub static PERMUTATION: Kernel = Kernel {
    entry: "permutation",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read_write("out")],
    workgroup_size: 64,
};

/// Launches [`UNIFORM`] or [`PERMUTATION`] into out: (B, cols).
#[must_use]
pub fn launch(
    kernel: &'static Kernel,
    out: TensorId,
    cols: usize,
    [key0, key1]: [u32; 2],
) -> Launch {
    Launch {
        kernel,
        overrides: vec![],
        uniform: Uniform { rows: 0, cols: cols as u32, key0, key1 }.bytes(),
        args: vec![Arg::Tensor(out)],
        grid: Grid::Elements(Extent::Batch, cols),
    }
}

/// The CPU reference of [`UNIFORM`]: the top 24 bits of each number, so that f32 holds it exactly.
pub fn uniform_numbers<T: Real>(step: &Step, key: [u32; 2], out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        let bits = threefry(key, [i as u32, step.first])[0];
        *out = T::of(f64::from(bits >> 8) * 2f64.powi(-24));
    }
}

/// The CPU reference of [`PERMUTATION`].
pub fn permutation<T: Real>(step: &Step, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = T::of(permute(step.order, step.first + i as u32).into());
    }
}
