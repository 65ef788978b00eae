//! ‖x‖₂ = √Σ x², the sum in a fixed order: first over chunks of [`CHUNK`] elements, then over
//! those.

use crate::kernels::common::declaration::{
    Binding, COMMON, Kernel, REDUCE, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::TensorId;
use crate::math::real::Real;
use crate::math::vector::Vector;

uniform! {
    /// The elements, and the place of the first chunk among the partial sums; or their
    /// number.
    Uniform { len: u32, first: u32 }
}

const SOURCE: &[&str] = &[COMMON, REDUCE, include_str!("../../../shaders/optim/vector_norm.wgsl")];
const BINDINGS: &[Binding] = &[read("x"), read_write("partial_sums"), read_write("norm")];

/// The sum of squares of every chunk: x: (len) → partial: (chunks).
pub static SQUARE_SUMS: Kernel = Kernel {
    entry: "square_sums",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: BINDINGS,
    workgroup_size: 64,
};

/// The root of their sum: partial: (chunks) → norm: (1).
pub static NORM: Kernel = Kernel {
    entry: "root_of_sum",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: BINDINGS,
    workgroup_size: 64,
};

/// Elements that a workgroup sums.
pub const CHUNK: usize = 4096;

/// Launches [`SQUARE_SUMS`] on x: (len), of which a binding has up to `largest` elements, and
/// [`NORM`]; partial: a number for each chunk, norm: (1).
#[must_use]
pub fn launches([x, partial, norm]: [TensorId; 3], len: usize, largest: usize) -> Vec<Launch> {
    let launch = |kernel, x, uniform: Uniform, groups| Launch {
        kernel,
        overrides: vec![],
        uniform: uniform.bytes(),
        args: vec![x, Arg::Tensor(partial), Arg::Tensor(norm)],
        grid: Grid::Groups(groups),
    };
    let piece = (largest / CHUNK * CHUNK).max(CHUNK);
    let mut launches: Vec<Launch> = (0..len)
        .step_by(piece)
        .map(|start| {
            let len = piece.min(len - start);
            let uniform = Uniform { len: len as u32, first: (start / CHUNK) as u32 };
            launch(&SQUARE_SUMS, Arg::Slice(x, start, len), uniform, len.div_ceil(CHUNK))
        })
        .collect();
    let uniform = Uniform { len: len.div_ceil(CHUNK) as u32, first: 0 };
    launches.push(launch(&NORM, Arg::Unused, uniform, 1));
    launches
}

/// The CPU reference of [`SQUARE_SUMS`] for one chunk: x: (up to [`CHUNK`]).
pub fn square_sum<T: Vector>(x: &[T]) -> T {
    T::square_sum(x)
}

/// The CPU reference of [`NORM`].
pub fn root_of_sum<T: Real>(partial: &[T]) -> T {
    lanes(partial.iter().copied()).sqrt()
}

/// A sum of 64 sums.
fn lanes<T: Real>(terms: impl Iterator<Item = T>) -> T {
    let mut sums = [T::zero(); 64];
    terms.enumerate().for_each(|(i, x)| sums[i % 64] += x);
    sums.into_iter().sum()
}
