//! ∂E/∂b = ± Σ_rows δ: column sums, with the sign of the bias convention.

use super::{Arg, COMMON, Grid, Kernel, Launch, read, read_write, uniform};
use crate::real::Real;
use crate::tensor::{Extent, TensorId};

uniform! {
    /// The shape of δ, `rows` 0 standing for the batch at hand, and the sign.
    Uniform { rows: u32, cols: u32, sign: f32 }
}

/// The sums of the columns of δ: (B, n_l) → (n_l).
pub static COLUMN_SUMS: Kernel = Kernel {
    entry: "column_sums",
    source: &[COMMON, include_str!("../../shaders/sums.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("delta"), read_write("out")],
    workgroup_size: 256,
};

/// Columns that one workgroup sums.
const COLUMNS: usize = 16;

/// Launches [`COLUMN_SUMS`]: delta: (B, cols), out: (cols).
#[must_use]
pub fn launch(delta: TensorId, out: TensorId, cols: usize, sign: f32) -> Launch {
    Launch {
        kernel: &COLUMN_SUMS,
        overrides: vec![],
        uniform: Uniform { rows: 0, cols: cols as u32, sign }.bytes(),
        args: vec![Arg::Tensor(delta), Arg::Tensor(out)],
        grid: Grid::Rows(Extent::Fixed(cols.div_ceil(COLUMNS))),
    }
}

/// The CPU reference of [`COLUMN_SUMS`]: delta: (rows, cols), out: (cols).
pub fn reference<T: Real>(cols: usize, sign: T, delta: &[T], out: &mut [T]) {
    out.fill(T::zero());
    for row in delta.chunks_exact(cols) {
        out.iter_mut().zip(row).for_each(|(o, &d)| *o += d);
    }
    out.iter_mut().for_each(|o| *o = sign * *o);
}
