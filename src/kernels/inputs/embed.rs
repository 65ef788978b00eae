//! Embeddings: the index of a category becomes its row of a table that is learned (Bengio et al. 2003,
//! A neural probabilistic language model; for categories in tables Guo, Berkhahn 2016, Entity
//! embeddings of categorical variables).
//!
//! With x the batch's feature columns, k the one of them that holds indices, and E the table:
//! X\[r, at + j\] = E\[i(r), j\], i(r) = x\[r, k\], and ∂E/∂E\[v, j\] = Σ_{r: i(r) = v} ∂E/∂X\[r, at + j\].
//! An index outside of the table, or NaN, counts as 0.

use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::real::Real;
use std::ops::Range;

/// The lookup of an embedding: the feature column that it reads, and the net's inputs that it
/// writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup {
    /// The number of feature columns.
    pub features: usize,
    /// The feature column of the indices.
    pub column: usize,
    /// The number of the net's inputs, n_0.
    pub inputs: usize,
    /// The first input that it writes.
    pub at: usize,
    /// Rows of the table.
    pub values: usize,
    /// Columns of the table, and the number of inputs that it writes.
    pub dims: usize,
    /// Whether the feature columns before `at` are copied in the same launch.
    pub copies: bool,
}

uniform! {
    /// The lookup of an embedding; `start` is the first input that is written.
    Uniform { features: u32, column: u32, inputs: u32, at: u32, values: u32, dims: u32, start: u32 }
}

/// The largest number of tables of a launch of [`EMBED_GRADIENT`].
pub const TABLES: usize = 32;

uniform! {
    /// The rows of this part of the batch, and the tables.
    GradientUniform {
        features: u32,
        inputs: u32,
        first: u32,
        count: u32,
        tables: u32,
        padding0: u32,
        padding1: u32,
        padding2: u32,
        table: [[u32; 4]; 2 * TABLES],
    }
}

/// Copies rows of the table to their inputs, and the columns that aren't embedded: (B, features) → (B, n_0).
pub static EMBED: Kernel = Kernel {
    entry: "embed",
    source: &[COMMON, include_str!("../../../shaders/inputs/embed.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("features"), read("table"), read_write("x")],
    workgroup_size: 64,
};

/// The gradients of tables: features: (B, features), gradient: (B, n_0) → (values, dims) each.
pub static EMBED_GRADIENT: Kernel = Kernel {
    entry: "embed_gradient",
    source: &[COMMON, include_str!("../../../shaders/inputs/embed_gradient.wgsl")],
    uniform: GradientUniform::FIELDS,
    bindings: &[read("features"), read("gradient"), read_write("table_gradients")],
    workgroup_size: TILE as u32,
};

/// Rows of the batch that a workgroup reads at a time, and its invocations.
const TILE: usize = 256;

/// Rows of the batch that one launch of [`EMBED_GRADIENT`] sums, a multiple of the chunk: some drivers
/// silently end loops after 65,535 iterations, nested loops counted together.
const ROWS_PER_LAUNCH: usize = 1 << 15;

/// The gradients of tables that one op computes.
#[derive(Debug, Clone, PartialEq)]
pub struct TableGradients {
    /// Each embedding's lookup, and the gradient of its table: (values, dims).
    pub each: Vec<(Lookup, TensorId)>,
    /// The tensor that contains them, if there are several.
    pub within: Option<TensorId>,
}

impl TableGradients {
    /// The gradients.
    pub fn tensors(&self) -> impl Iterator<Item = TensorId> {
        self.each.iter().map(|(_, out)| *out)
    }
}

/// Launches [`EMBED`]: features: (B, features), table: (values, dims), x: (B, n_0).
#[must_use]
pub fn launch(lookup: Lookup, [features, table, x]: [TensorId; 3]) -> Launch {
    let Lookup { column, inputs, at, values, dims, .. } = lookup;
    let start = lookup.start();
    Launch {
        kernel: &EMBED,
        overrides: vec![],
        uniform: Uniform {
            features: lookup.features as u32,
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

/// Launches [`EMBED_GRADIENT`]: features: (B, features), gradient = ∂E/∂X: (B, n_0), in parts of many rows for
/// a batch of `batch`. At most [`TABLES`] tables; `at`: the first element of a tensor in its buffer.
#[must_use]
pub fn launches_gradient(
    tables: &TableGradients,
    [features, gradient]: [TensorId; 2],
    batch: usize,
    at: impl Fn(TensorId) -> u32,
) -> Vec<Launch> {
    /// Workgroups that fill a large GPU.
    const ENOUGH: usize = 512;
    let Some(&(Lookup { features: columns, inputs, .. }, first)) = tables.each.first() else {
        return Vec::new();
    };
    let whole = tables.within.unwrap_or(first);
    let elements = |lookup: &Lookup| lookup.values * lookup.dims;
    let all: usize = tables.each.iter().map(|(lookup, _)| elements(lookup)).sum();
    // Fewer workgroups read the batch if tables are large and the batch is short.
    let most = (ROWS_PER_LAUNCH / batch.max(1)).clamp(1, 8);
    let slots = (all / (TILE * ENOUGH)).clamp(1, most);
    let (mut table, mut groups) = ([[0; 4]; 2 * TABLES], 0);
    for ((lookup, out), words) in tables.each.iter().zip(table.chunks_exact_mut(2)) {
        words[0] = [lookup.column, lookup.at, lookup.values, lookup.dims].map(|x| x as u32);
        words[1] = [at(*out) - at(whole), groups as u32, 0, 0];
        groups += elements(lookup).div_ceil(TILE * slots);
    }
    let part = |first: usize| Launch {
        kernel: &EMBED_GRADIENT,
        overrides: vec![("SLOTS", slots as f64)],
        uniform: GradientUniform {
            features: columns as u32,
            inputs: inputs as u32,
            first: first as u32,
            count: ROWS_PER_LAUNCH as u32,
            tables: tables.each.len() as u32,
            padding0: 0,
            padding1: 0,
            padding2: 0,
            table,
        }
        .bytes(),
        args: [features, gradient, whole].map(Arg::Tensor).to_vec(),
        grid: Grid::Groups(groups),
    };
    (0..batch).step_by(ROWS_PER_LAUNCH).map(part).collect()
}

impl Lookup {
    /// The first input that [`EMBED`] writes.
    fn start(self) -> usize {
        if self.copies { 0 } else { self.at }
    }

    /// The row of the table for a row of features.
    fn index<T: Real>(self, features: &[T]) -> usize {
        let index = features[self.column].double();
        if index >= 0.0 && index < self.values as f64 { index as usize } else { 0 }
    }
}

/// The CPU reference of [`EMBED`]: features: (rows, features), table: (values, dims), x: (rows, n_0).
pub fn reference<T: Real>(lookup: Lookup, features: &[T], table: &[T], x: &mut [T]) {
    let Lookup { at, dims, .. } = lookup;
    let rows = features.chunks_exact(lookup.features);
    for (features, x) in rows.zip(x.chunks_exact_mut(lookup.inputs)) {
        if lookup.copies {
            x[..at].copy_from_slice(&features[..at]);
        }
        let row = lookup.index(features) * dims;
        x[at..at + dims].copy_from_slice(&table[row..row + dims]);
    }
}

/// The CPU reference of [`EMBED_GRADIENT`] for the rows `which` of a table: features: (rows, features),
/// gradient: (rows, n_0), out: (as many as `which`, dims).
///
/// The rows of one category are summed in chunks, so that the rounding errors of a long sum don't
/// grow with its length.
pub fn gradient<T: Real>(
    lookup: Lookup,
    which: Range<usize>,
    features: &[T],
    gradient: &[T],
    out: &mut [T],
) {
    out.fill(T::zero());
    let indices = features.chunks_exact(lookup.features).map(|row| lookup.index(row));
    let asks = indices.zip(0..).filter(|(index, _)| which.contains(index));
    let mut order: Vec<(usize, usize)> = asks.collect();
    // Stable: the rows of one index keep their order.
    order.sort_by_key(|&(index, _)| index);
    for same in order.chunk_by(|(a, _), (b, _)| a == b) {
        let start = (same[0].0 - which.start) * lookup.dims;
        sum_rows(lookup, same, gradient, &mut out[start..start + lookup.dims]);
    }
}

/// out += the sum of the rows of a gradient with one index, in chunks.
fn sum_rows<T: Real>(lookup: Lookup, rows: &[(usize, usize)], gradient: &[T], out: &mut [T]) {
    const CHUNK: usize = 64;
    let mut sums = vec![T::zero(); lookup.dims];
    for chunk in rows.chunks(CHUNK) {
        sums.fill(T::zero());
        for (_, row) in chunk {
            let first = row * lookup.inputs + lookup.at;
            let row = &gradient[first..first + lookup.dims];
            sums.iter_mut().zip(row).for_each(|(s, &g)| *s += g);
        }
        out.iter_mut().zip(&sums).for_each(|(o, &s)| *o += s);
    }
}
