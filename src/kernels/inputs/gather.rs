//! Gathers the batch from the data set on the device, by shuffled index.
//!
//! X\[r, c\] = (D\[π(r), c\] − shift\[c\]) · scale\[c\] and T\[r, ·\] = the numbers of row π(r), or a one
//! at its class; π is the epoch's permutation.

use crate::data::{Affine, Features, Targets};
use crate::kernels::common::declaration::{
    COMMON, Kernel, RANDOM_FUNCTIONS, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::matrix::Matrix;
use crate::math::random::permute_all;
use crate::math::real::Real;
use crate::math::vector::{Vector, prefetch, prefetch_to_write};

uniform! {
    /// The shape of the batch: `rows` 0 means the current batch.
    Uniform { rows: u32, cols: u32 }
}

const SOURCE: &[&str] =
    &[COMMON, RANDOM_FUNCTIONS, include_str!("../../../shaders/inputs/gather.wgsl")];

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

/// The rows of the data set at the batch's positions: which, from `step.first` on.
pub fn rows(step: &Step, rows: &mut [u32]) {
    permute_all(step.order, step.first, rows);
}

/// How far ahead rows are prefetched, in bytes.
const AHEAD: usize = 1 << 12;

/// Calls `take` with each part of `out`, of `cols` numbers, and its row of the data set, for which
/// `ask` was called some rows earlier to prefetch it: rows are scattered in memory.
fn each_row<T>(
    rows: &[u32],
    cols: usize,
    out: &mut [T],
    ask: impl Fn(usize),
    take: impl Fn(usize, &mut [T]),
) {
    let ahead = (AHEAD / (cols.max(1) * size_of::<T>())).clamp(4, 32);
    rows.iter().take(ahead).for_each(|&row| ask(row as usize));
    for (i, (out, &row)) in out.chunks_exact_mut(cols).zip(rows).enumerate() {
        if let Some(&next) = rows.get(i + ahead) {
            prefetch_to_write(out.as_ptr().wrapping_add(ahead * cols), cols);
            ask(next as usize);
        }
        take(row as usize, out);
    }
}

/// The CPU reference of [`GATHER`] for the given rows of the data set; x: (rows, cols).
pub fn features<T: Vector>(rows: &[u32], data: &Features, affine: &Affine, x: &mut [T]) {
    let (shift, scale) = (&affine.shift, &affine.scale);
    let cols = data.cols();
    match data {
        Features::U8(m) => each_row(
            rows,
            cols,
            x,
            |row| prefetch(m.row(row)),
            |row, x| T::scale_bytes(m.row(row), shift, scale, x),
        ),
        Features::F32(m) => each_row(
            rows,
            cols,
            x,
            |row| prefetch(m.row(row)),
            |row, x| T::scale_floats(m.row(row), shift, scale, x),
        ),
    }
}

/// The CPU reference of [`TARGETS`] for the given rows of the data set; t: (rows, cols).
pub fn targets<T: Real>(rows: &[u32], targets: &Targets, cols: usize, t: &mut [T]) {
    match targets {
        Targets::Classes { labels, .. } => {
            for (t, &row) in t.chunks_exact_mut(cols).zip(rows) {
                let label = labels[row as usize];
                if cols == 1 {
                    t[0] = T::of(label.into());
                } else {
                    t.fill(T::zero());
                    t[label as usize] = T::one();
                }
            }
        }
        Targets::Numbers(m) => numbers(rows, m, cols, t),
        Targets::Labels { values, .. } => numbers(rows, values, cols, t),
    }
}

/// The rows of a matrix. t: (rows, cols).
fn numbers<T: Real, S: Copy + Into<f64>>(rows: &[u32], m: &Matrix<S>, cols: usize, t: &mut [T]) {
    let take = |row: usize, t: &mut [T]| {
        t.iter_mut().zip(m.row(row)).for_each(|(t, &number)| *t = T::of(number.into()));
    };
    each_row(rows, cols, t, |row| prefetch(m.row(row)), take);
}
