//! ∂E/∂b = ± Σ_rows δ: column sums, with the sign of the bias convention.

use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::TensorId;
use crate::math::vector::Vector;

uniform! {
    /// The shape of δ, `rows` 0 means the current batch, the sign, and the rows of this part.
    Uniform { rows: u32, cols: u32, sign: f32, first: u32, count: u32 }
}

/// The sums of the columns of δ: (B, n_l) → (n_l).
pub static COLUMN_SUMS: Kernel = Kernel {
    entry: "column_sums",
    source: &[COMMON, include_str!("../../../shaders/products/sums.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("delta"), read_write("out")],
    workgroup_size: 256,
};

/// Columns that one workgroup sums.
const COLUMNS: usize = 16;

/// The most rows that one launch sums, 16 in an iteration of its loop: some drivers silently end a loop after
/// 65,535 iterations.
const ROWS_PER_LAUNCH: usize = 1 << 19;

/// Launches [`COLUMN_SUMS`]: delta: (B, cols), out: (cols), in parts of many rows
/// for a batch of `batch`.
#[must_use]
pub fn launches(
    delta: TensorId,
    out: TensorId,
    cols: usize,
    sign: f32,
    batch: usize,
) -> Vec<Launch> {
    let part = |first: usize| Launch {
        kernel: &COLUMN_SUMS,
        overrides: vec![("ADD", f64::from(u8::from(first > 0)))],
        uniform: Uniform {
            rows: 0,
            cols: cols as u32,
            sign,
            first: first as u32,
            count: ROWS_PER_LAUNCH as u32,
        }
        .bytes(),
        args: vec![Arg::Tensor(delta), Arg::Tensor(out)],
        grid: Grid::Groups(cols.div_ceil(COLUMNS)),
    };
    (0..batch).step_by(ROWS_PER_LAUNCH).map(part).collect()
}

/// The CPU reference of [`COLUMN_SUMS`]: delta: (rows, cols), out: (cols).
pub fn reference<T: Vector>(cols: usize, sign: T, delta: &[T], out: &mut [T]) {
    T::sum_columns(cols, 0, sign, delta, out);
}
