//! Max-norm: a unit's incoming weights are scaled back to norm c where they exceed it, after each
//! step (Srebro, Shraibman 2005; Srivastava et al. 2014, section 5.1): w ← w · min(1, c / ‖w‖₂).

use crate::kernels::common::declaration::{COMMON, Kernel, REDUCE, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::vector::Vector;

uniform! {
    /// The shape of W, and c.
    Uniform { rows: u32, cols: u32, limit: f32 }
}

/// W: (n_l, n_{l−1}), in place.
pub static MAX_NORM: Kernel = Kernel {
    entry: "max_norm",
    source: &[COMMON, REDUCE, include_str!("../../../shaders/optim/max_norm.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read_write("w")],
    workgroup_size: 64,
};

/// Launches [`MAX_NORM`] on w: (rows, cols).
#[must_use]
pub fn launch(w: TensorId, [rows, cols]: [usize; 2], limit: f32) -> Launch {
    Launch {
        kernel: &MAX_NORM,
        overrides: vec![],
        uniform: Uniform { rows: rows as u32, cols: cols as u32, limit }.bytes(),
        args: vec![Arg::Tensor(w)],
        grid: Grid::Rows(Extent::Fixed(rows)),
    }
}

/// The CPU reference of [`MAX_NORM`] on some units, and whether any was scaled: w: (units, cols).
pub fn reference<T: Vector>(limit: f32, cols: usize, w: &mut [T]) -> bool {
    let limit = T::of(limit.into());
    let scaled = w.chunks_exact_mut(cols).map(|w| T::limit_norm(limit, w));
    scaled.filter(|&scaled| scaled).count() > 0
}
