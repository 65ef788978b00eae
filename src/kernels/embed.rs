//! Embeddings: the index of a category becomes its row of a table that is learnt (Bengio et al. 2003,
//! A neural probabilistic language model; of categories in tables Guo, Berkhahn 2016, Entity
//! embeddings of categorical variables).
//!
//! With x the batch's feature columns, k the one of them that holds indices, and E the table:
//! X\[r, at + j\] = E\[i(r), j\], i(r) = x\[r, k\], and ∂E/∂E\[v, j\] = Σ_{r: i(r) = v} ∂E/∂X\[r, at + j\].
//! An index that no row of the table has, or NaN, counts as 0.

use super::{Arg, COMMON, Grid, Kernel, Launch, read, read_write, uniform};
use crate::real::Real;
use crate::tensor::{Extent, TensorId};
use std::ops::Range;

/// An embedding in its place: which of the feature columns it takes, and which of the net's inputs
/// it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of feature columns.
    pub features: usize,
    /// The feature column of the indices.
    pub column: usize,
    /// The number of the net's inputs, n_0.
    pub inputs: usize,
    /// The first input that it makes.
    pub at: usize,
    /// Rows of the table.
    pub values: usize,
    /// Columns of the table: as many inputs it makes.
    pub dims: usize,
    /// Whether the feature columns before `at` are copied in the same launch.
    pub copies: bool,
}

uniform! {
    /// An embedding in its place; `start` is the first input that is written.
    Uniform { features: u32, column: u32, inputs: u32, at: u32, values: u32, dims: u32, start: u32 }
}

uniform! {
    /// The same, with the rows of this part of the batch.
    GradientUniform {
        features: u32, column: u32, inputs: u32, at: u32, values: u32, dims: u32,
        first: u32, count: u32,
    }
}

/// Rows of the table to their inputs, with the columns that are copied: (B, features) → (B, n_0).
pub static EMBED: Kernel = Kernel {
    entry: "embed",
    source: &[COMMON, include_str!("../../shaders/embed.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("features"), read("table"), read_write("x")],
    workgroup_size: 64,
};

/// The gradient of the table: (B, n_0) → (values, dims).
pub static EMBED_GRADIENT: Kernel = Kernel {
    entry: "embed_gradient",
    source: &[COMMON, include_str!("../../shaders/embed_gradient.wgsl")],
    uniform: GradientUniform::FIELDS,
    bindings: &[read("features"), read("gradient"), read_write("table_gradient")],
    workgroup_size: 64,
};

/// The most rows that one launch of [`EMBED_GRADIENT`] sums: some drivers end loops after 65,535
/// rounds, those within others counted together, without a word.
const ROWS_PER_LAUNCH: usize = 1 << 15;

/// Launches [`EMBED`]: features: (B, features), table: (values, dims), x: (B, n_0).
#[must_use]
pub fn launch(place: Place, [features, table, x]: [TensorId; 3]) -> Launch {
    let Place { column, inputs, at, values, dims, .. } = place;
    let start = place.start();
    Launch {
        kernel: &EMBED,
        overrides: vec![],
        uniform: Uniform {
            features: place.features as u32,
            column: column as u32,
            inputs: inputs as u32,
            at: at as u32,
            values: values as u32,
            dims: dims as u32,
            start: start as u32,
        }
        .bytes(),
        args: vec![Arg::Tensor(features), Arg::Tensor(table), Arg::Tensor(x)],
        grid: Grid::Elements(Extent::Batch, at + dims - start),
    }
}

/// Launches [`EMBED_GRADIENT`]: features: (B, features), gradient = ∂E/∂X: (B, n_0), table_gradient:
/// (values, dims), in parts of many rows for a batch of `batch`.
#[must_use]
pub fn launches_gradient(place: Place, tensors: [TensorId; 3], batch: usize) -> Vec<Launch> {
    let part = |first: usize| Launch {
        kernel: &EMBED_GRADIENT,
        overrides: vec![("ADD", f64::from(u8::from(first > 0)))],
        uniform: GradientUniform {
            features: place.features as u32,
            column: place.column as u32,
            inputs: place.inputs as u32,
            at: place.at as u32,
            values: place.values as u32,
            dims: place.dims as u32,
            first: first as u32,
            count: ROWS_PER_LAUNCH as u32,
        }
        .bytes(),
        args: tensors.map(Arg::Tensor).to_vec(),
        grid: Grid::Elements(Extent::Fixed(place.values), place.dims),
    };
    (0..batch).step_by(ROWS_PER_LAUNCH).map(part).collect()
}

impl Place {
    /// The first input that [`EMBED`] writes.
    fn start(self) -> usize {
        if self.copies { 0 } else { self.at }
    }

    /// The row of the table that a row of features asks for.
    fn index<T: Real>(self, features: &[T]) -> usize {
        let index = features[self.column].double();
        if index >= 0.0 && index < self.values as f64 { index as usize } else { 0 }
    }
}

/// The CPU reference of [`EMBED`]: features: (rows, features), table: (values, dims), x: (rows, n_0).
pub fn reference<T: Real>(place: Place, features: &[T], table: &[T], x: &mut [T]) {
    let Place { at, dims, .. } = place;
    let rows = features.chunks_exact(place.features);
    for (features, x) in rows.zip(x.chunks_exact_mut(place.inputs)) {
        if place.copies {
            x[..at].copy_from_slice(&features[..at]);
        }
        let row = place.index(features) * dims;
        x[at..at + dims].copy_from_slice(&table[row..row + dims]);
    }
}

/// The CPU reference of [`EMBED_GRADIENT`] for the rows `which` of the table: features:
/// (rows, features), gradient: (rows, n_0), out: (as many as `which`, dims).
///
/// The rows of one category are summed in stretches, so that the rounding errors of a long sum don't
/// grow with its length.
pub fn gradient<T: Real>(
    place: Place,
    which: Range<usize>,
    features: &[T],
    gradient: &[T],
    out: &mut [T],
) {
    const STRETCH: usize = 64;
    let Place { at, dims, .. } = place;
    out.fill(T::zero());
    let indices = features.chunks_exact(place.features).map(|row| place.index(row));
    let mut asked: Vec<(usize, usize)> =
        indices.zip(0..).filter(|(index, _)| which.contains(index)).collect();
    asked.sort_unstable();
    let mut sums = vec![T::zero(); dims];
    for same in asked.chunk_by(|a, b| a.0 == b.0) {
        let start = (same[0].0 - which.start) * dims;
        for stretch in same.chunks(STRETCH) {
            sums.fill(T::zero());
            for (_, row) in stretch {
                let row = row * place.inputs + at;
                sums.iter_mut().zip(&gradient[row..row + dims]).for_each(|(s, &g)| *s += g);
            }
            out[start..start + dims].iter_mut().zip(&sums).for_each(|(o, &s)| *o += s);
        }
    }
}
