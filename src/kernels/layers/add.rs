//! x ← x + y: the sum of a residual connection (He et al. 2016), in Z forward and in ∂E/∂A backward.

use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};

uniform! {
    /// The shape: `rows` 0 means the current batch.
    Uniform { rows: u32, cols: u32 }
}

/// x ← x + y: (B, n).
pub static ADD: Kernel = Kernel {
    entry: "add",
    source: &[COMMON, include_str!("../../../shaders/layers/add.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("y"), read_write("x")],
    workgroup_size: 64,
};

/// Launches [`ADD`] on y and x: (B, cols).
#[must_use]
pub fn launch(y: TensorId, x: TensorId, cols: usize) -> Launch {
    Launch {
        kernel: &ADD,
        overrides: vec![],
        uniform: Uniform { rows: 0, cols: cols as u32 }.bytes(),
        args: vec![Arg::Tensor(y), Arg::Tensor(x)],
        grid: Grid::Elements(Extent::Batch, cols),
    }
}
