//! Where a tensor holds NaN or infinite values, by their exponent bits.

use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::real::Real;

uniform! {
    /// The shape, `rows` 0 means the current batch.
    Uniform { rows: u32, cols: u32 }
}

/// The first column of each row in which x is NaN or infinite, −1 if there is none:
/// (rows, cols) → (rows).
pub static NONFINITE: Kernel = Kernel {
    entry: "nonfinite",
    source: &[COMMON, include_str!("../../../shaders/layers/nonfinite.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("x"), read_write("found")],
    workgroup_size: 256,
};

/// Launches [`NONFINITE`]: x: (rows, cols), found: (rows, 1).
#[must_use]
pub fn launch(x: TensorId, found: TensorId, rows: Extent, cols: usize) -> Launch {
    Launch {
        kernel: &NONFINITE,
        overrides: vec![],
        uniform: Uniform { rows: rows.word(), cols: cols as u32 }.bytes(),
        args: vec![Arg::Tensor(x), Arg::Tensor(found)],
        grid: Grid::Rows(rows),
    }
}

/// The CPU reference of [`NONFINITE`]: x: (rows, cols), found: (rows).
pub fn reference<T: Real>(cols: usize, x: &[T], found: &mut [T]) {
    for (row, found) in x.chunks_exact(cols).zip(found) {
        let first = row.iter().position(|x| !x.double().is_finite());
        *found = T::of(first.map_or(-1.0, |col| col as f64));
    }
}
