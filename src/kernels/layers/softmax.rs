//! Softmax over the rows, y = exp(z − max z) / Σ exp(z − max z), and its Jacobian-vector product
//! δ ← Jᵀ δ = y ⊙ (δ − Σ_j δ_j y_j).

use crate::kernels::common::declaration::{
    COMMON, FUNCTIONS, Kernel, REDUCE, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::loss;
use crate::math::real::Real;
use crate::math::vector::Vector;

uniform! {
    /// The shape: `rows` 0 means the current batch.
    Uniform { rows: u32, cols: u32 }
}

const SOURCE: &[&str] =
    &[COMMON, FUNCTIONS, REDUCE, include_str!("../../../shaders/layers/softmax.wgsl")];

/// Y = softmax(Z): (B, n_L).
pub static SOFTMAX: Kernel = Kernel {
    entry: "softmax",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read("input"), read_write("out")],
    workgroup_size: 64,
};

/// δ ← Jᵀ δ: (B, n_L), from Y.
pub static SOFTMAX_GRADIENT: Kernel = Kernel {
    entry: "softmax_gradient",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read("input"), read_write("out")],
    workgroup_size: 64,
};

/// Launches one of the two kernels on input and out: (B, cols).
#[must_use]
pub fn launch(kernel: &'static Kernel, input: TensorId, out: TensorId, cols: usize) -> Launch {
    Launch {
        kernel,
        overrides: vec![],
        uniform: Uniform { rows: 0, cols: cols as u32 }.bytes(),
        args: vec![Arg::Tensor(input), Arg::Tensor(out)],
        grid: Grid::Rows(Extent::Batch),
    }
}

/// The CPU reference of [`SOFTMAX`]: z, y: (rows, cols).
pub fn value<T: Vector>(cols: usize, z: &[T], y: &mut [T]) {
    y.copy_from_slice(z);
    loss::softmax(cols, y);
}

/// The CPU reference of [`SOFTMAX_GRADIENT`]: y, delta: (rows, cols).
pub fn gradient<T: Real>(cols: usize, y: &[T], delta: &mut [T]) {
    for (delta, y) in delta.chunks_exact_mut(cols).zip(y.chunks_exact(cols)) {
        let along: T = delta.iter().zip(y).map(|(&d, &y)| d * y).sum();
        delta.iter_mut().zip(y).for_each(|(d, &y)| *d = y * (*d - along));
    }
}
