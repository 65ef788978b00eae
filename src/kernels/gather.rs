//! The rows of a batch, from the data set on the device by shuffled index.
//!
//! X\[r, c\] = (D\[π(r), c\] − shift\[c\]) · scale\[c\] and T\[r, ·\] = the numbers of row π(r), or a one
//! at its class; π is the epoch's permutation.

use super::{Arg, COMMON, Grid, Kernel, Launch, RANDOM_FUNCTIONS, Step, read, read_write, uniform};
use crate::data::{Affine, Features, Targets};
use crate::random::permute;
use crate::real::Real;
use crate::tensor::{Extent, TensorId};

uniform! {
    /// The shape of the batch: `rows` 0 stands for the batch at hand.
    Uniform { rows: u32, cols: u32 }
}

const SOURCE: &[&str] = &[COMMON, RANDOM_FUNCTIONS, include_str!("../../shaders/gather.wgsl")];

/// Gathers features: (N, n_0) → (B, n_0).
pub static GATHER: Kernel = Kernel {
    entry: "gather",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read("data"), read("affine"), read_write("out")],
    workgroup_size: 64,
};

/// Gathers targets: (N) classes or (N, n_L) numbers → (B, n_L).
pub static TARGETS: Kernel = Kernel {
    entry: "targets",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read("data"), read("affine"), read_write("out")],
    workgroup_size: 64,
};

/// Launches [`GATHER`] into `x`: (B, cols).
#[must_use]
pub fn launch_features(x: TensorId, cols: usize, bytes: bool) -> Launch {
    Launch {
        kernel: &GATHER,
        overrides: vec![("BYTES", f64::from(u8::from(bytes)))],
        uniform: Uniform { rows: 0, cols: cols as u32 }.bytes(),
        args: vec![Arg::Features, Arg::Affine, Arg::Tensor(x)],
        grid: Grid::Elements(Extent::Batch, cols),
    }
}

/// Launches [`TARGETS`] into `t`: (B, cols).
#[must_use]
pub fn launch_targets(t: TensorId, cols: usize, classes: bool) -> Launch {
    Launch {
        kernel: &TARGETS,
        overrides: vec![("CLASSES", f64::from(u8::from(classes)))],
        uniform: Uniform { rows: 0, cols: cols as u32 }.bytes(),
        args: vec![Arg::Targets, Arg::Unused, Arg::Tensor(t)],
        grid: Grid::Elements(Extent::Batch, cols),
    }
}

/// The CPU reference of [`GATHER`]: x: (rows, cols).
pub fn features<T: Real>(step: &Step, data: &Features, affine: &Affine, x: &mut [T]) {
    let cols = data.cols();
    for (r, x) in x.chunks_exact_mut(cols).enumerate() {
        let row = permute(step.order, step.first + r as u32) as usize;
        let scaled = |c: usize, raw: f32| T::of(((raw - affine.shift[c]) * affine.scale[c]).into());
        match data {
            Features::U8(m) => {
                for (c, (x, &raw)) in x.iter_mut().zip(m.row(row)).enumerate() {
                    *x = scaled(c, raw.into());
                }
            }
            Features::F32(m) => {
                for (c, (x, &raw)) in x.iter_mut().zip(m.row(row)).enumerate() {
                    *x = scaled(c, raw);
                }
            }
        }
    }
}

/// The CPU reference of [`TARGETS`]: t: (rows, cols).
pub fn targets<T: Real>(step: &Step, targets: &Targets, cols: usize, t: &mut [T]) {
    for (r, t) in t.chunks_exact_mut(cols).enumerate() {
        let row = permute(step.order, step.first + r as u32) as usize;
        match targets {
            Targets::Classes { labels, .. } if cols == 1 => t[0] = T::of(labels[row].into()),
            Targets::Classes { labels, .. } => {
                t.fill(T::zero());
                t[labels[row] as usize] = T::one();
            }
            Targets::Numbers(m) => {
                t.iter_mut().zip(m.row(row)).for_each(|(t, &number)| *t = T::of(number.into()));
            }
        }
    }
}
