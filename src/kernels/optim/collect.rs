//! Gradient accumulation over micro-batches: total ← total + g, and after the last one of a batch
//! g ← g + total, total ← 0, so that g is the gradient of the whole batch.

use crate::kernels::common::declaration::{COMMON, Kernel, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::vector::Vector;

uniform! {
    /// The number of elements.
    Uniform { len: u32 }
}

/// g and total: (len).
pub static COLLECT: Kernel = Kernel {
    entry: "collect",
    source: &[COMMON, include_str!("../../../shaders/optim/collect.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read_write("g"), read_write("total")],
    workgroup_size: 64,
};

/// Launches [`COLLECT`] on elements `start..start + len`.
#[must_use]
pub fn launch(g: TensorId, total: TensorId, last: bool, start: usize, len: usize) -> Launch {
    Launch {
        kernel: &COLLECT,
        overrides: vec![("LAST", f64::from(u8::from(last)))],
        uniform: Uniform { len: len as u32 }.bytes(),
        args: vec![Arg::Slice(g, start, len), Arg::Slice(total, start, len)],
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// The CPU reference of [`COLLECT`]: g, total: (len).
pub fn reference<T: Vector>(last: bool, g: &mut [T], total: &mut [T]) {
    if last {
        T::add_scaled(T::one(), total, g);
        total.fill(T::zero());
    } else {
        T::add_scaled(T::one(), g, total);
    }
}
