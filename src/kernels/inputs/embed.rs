//! Embeddings: the index of a category becomes its row of a table that is learned (Bengio et al. 2003,
//! A neural probabilistic language model; for categories in tables Guo, Berkhahn 2016, Entity
//! embeddings of categorical variables).
//!
//! With x the batch's feature columns, k the one of them that holds indices, and E the table:
//! X\[r, at + j\] = E\[i(r), j\], i(r) = x\[r, k\], and ∂E/∂E\[v, j\] = Σ_{r: i(r) = v} ∂E/∂X\[r, at + j\].
//! An index outside of the table, or NaN, counts as 0.

use crate::kernels::common::declaration::{Binding, COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::real::Real;
use std::ops::Range;

/// The place of an embedding: the feature column that it reads, and the net's inputs that it
/// writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
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
    /// The place of an embedding; `start` is the first input that is written.
    Uniform { features: u32, column: u32, inputs: u32, at: u32, values: u32, dims: u32, start: u32 }
}

uniform! {
    /// The elements of the table, where the inputs from it are, and the rows of this part of the batch.
    GradientUniform { inputs: u32, at: u32, len: u32, dims: u32, first: u32, count: u32 }
}

/// Copies rows of the table to their inputs, and the columns that aren't embedded: (B, features) → (B, n_0).
pub static EMBED: Kernel = Kernel {
    entry: "embed",
    source: &[COMMON, include_str!("../../../shaders/inputs/embed.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("features"), read("table"), read_write("x")],
    workgroup_size: 64,
};

const GRADIENT: &[&str] = &[COMMON, include_str!("../../../shaders/inputs/embed_gradient.wgsl")];
const GRADIENT_BINDINGS: &[Binding] =
    &[read("order"), read("gradient"), read_write("table_gradient")];

/// Sets the gradient of the table to 0: (values, dims).
pub static CLEAR_TABLE_GRADIENT: Kernel = Kernel {
    entry: "clear_table_gradient",
    source: GRADIENT,
    uniform: GradientUniform::FIELDS,
    bindings: GRADIENT_BINDINGS,
    workgroup_size: 64,
};

/// Adds the gradients of those rows of the table that the batch uses: order: (B, 2), gradient:
/// (B, n_0) → (values, dims).
pub static EMBED_GRADIENT: Kernel = Kernel {
    entry: "embed_gradient",
    source: GRADIENT,
    uniform: GradientUniform::FIELDS,
    bindings: GRADIENT_BINDINGS,
    workgroup_size: 64,
};

uniform! {
    /// The place of an embedding.
    TableUniform { features: u32, column: u32, inputs: u32, at: u32, values: u32, dims: u32 }
}

/// The gradient of a small table, each element of which scans the batch: features:
/// (B, features), gradient: (B, n_0) → (values, dims), with the bits of [`EMBED_GRADIENT`].
pub static TABLE_GRADIENT: Kernel = Kernel {
    entry: "table_gradient_of",
    source: &[COMMON, include_str!("../../../shaders/inputs/table_gradient.wgsl")],
    uniform: TableUniform::FIELDS,
    bindings: &[read("features"), read("gradient"), read_write("table_gradient")],
    workgroup_size: 64,
};

/// Rows of the batch that one launch of [`EMBED_GRADIENT`] sums, a multiple of the stretch: some drivers
/// silently end loops after 65,535 iterations, nested loops counted together.
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

/// Launches [`CLEAR_TABLE_GRADIENT`] and [`EMBED_GRADIENT`]: order: (B, 2) as
/// [`super::sort_indices`] makes it, gradient = ∂E/∂X: (B, n_0), table_gradient: (values, dims), in parts
/// of many rows for a batch of `batch`.
#[must_use]
pub fn launches_gradient(
    place: Place,
    [order, gradient, out]: [TensorId; 3],
    batch: usize,
) -> Vec<Launch> {
    let Place { inputs, at, values, dims, .. } = place;
    let launch = |kernel, first: usize, args: [Arg; 3], rows| Launch {
        kernel,
        overrides: vec![],
        uniform: GradientUniform {
            inputs: inputs as u32,
            at: at as u32,
            len: (values * dims) as u32,
            dims: dims as u32,
            first: first as u32,
            count: ROWS_PER_LAUNCH as u32,
        }
        .bytes(),
        args: args.to_vec(),
        grid: Grid::Elements(rows, dims),
    };
    let unused = [Arg::Unused, Arg::Unused, Arg::Tensor(out)];
    let clear = launch(&CLEAR_TABLE_GRADIENT, 0, unused, Extent::Fixed(values));
    let all = [order, gradient, out].map(Arg::Tensor);
    let parts = (0..batch).step_by(ROWS_PER_LAUNCH);
    let parts = parts.map(|first| launch(&EMBED_GRADIENT, first, all, Extent::Batch));
    std::iter::once(clear).chain(parts).collect()
}

/// Launches [`TABLE_GRADIENT`]: features: (B, features), gradient = ∂E/∂X: (B, n_0),
/// table_gradient: (values, dims).
#[must_use]
pub fn launch_table_gradient(place: Place, tensors: [TensorId; 3]) -> Launch {
    let Place { features, column, inputs, at, values, dims, .. } = place;
    Launch {
        kernel: &TABLE_GRADIENT,
        overrides: vec![],
        uniform: TableUniform {
            features: features as u32,
            column: column as u32,
            inputs: inputs as u32,
            at: at as u32,
            values: values as u32,
            dims: dims as u32,
        }
        .bytes(),
        args: tensors.map(Arg::Tensor).to_vec(),
        grid: Grid::Elements(Extent::Fixed(values), dims),
    }
}

impl Place {
    /// Whether a table is so small that scanning batches of `batch` rows for each of its elements
    /// takes less time than sorting them first.
    #[must_use]
    pub fn is_small(self, batch: usize) -> bool {
        /// The number of reads of a kernel that takes no longer than a launch.
        const MOST: usize = 1 << 18;
        let reads = self.values.saturating_mul(self.dims).saturating_mul(batch);
        reads <= MOST && batch <= ROWS_PER_LAUNCH
    }

    /// The first input that [`EMBED`] writes.
    fn start(self) -> usize {
        if self.copies { 0 } else { self.at }
    }

    /// The row of the table for a row of features.
    pub(super) fn index<T: Real>(self, features: &[T]) -> usize {
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

/// The CPU reference of [`EMBED_GRADIENT`] for the rows `which` of the table: order: (rows, 2) as
/// [`super::sort_indices`] makes it, gradient: (rows, n_0), out: (as many as `which`, dims).
///
/// The rows of one category are summed in stretches, so that the rounding errors of a long sum don't
/// grow with its length.
pub fn gradient<T: Real>(
    place: Place,
    which: Range<usize>,
    order: &[T],
    gradient: &[T],
    out: &mut [T],
) {
    out.fill(T::zero());
    let (order, _) = order.as_chunks::<2>();
    let number = |x: T| x.double() as usize;
    let [first, end] = [which.start, which.end]
        .map(|row| order.partition_point(|&[index, _]| number(index) < row));
    for same in order[first..end].chunk_by(|[a, _], [b, _]| a == b) {
        let start = (number(same[0][0]) - which.start) * place.dims;
        let rows: Vec<usize> = same.iter().map(|&[_, row]| number(row)).collect();
        sum_rows(place, &rows, gradient, &mut out[start..start + place.dims]);
    }
}

/// The CPU reference of [`TABLE_GRADIENT`] for the rows `which` of the table: features: (rows,
/// features), gradient: (rows, n_0), out: (as many as `which`, dims).
pub fn table_gradient<T: Real>(
    place: Place,
    which: Range<usize>,
    features: &[T],
    gradient: &[T],
    out: &mut [T],
) {
    out.fill(T::zero());
    let indices: Vec<usize> =
        features.chunks_exact(place.features).map(|row| place.index(row)).collect();
    for (value, out) in which.zip(out.chunks_exact_mut(place.dims)) {
        let rows: Vec<usize> = (0..indices.len()).filter(|&row| indices[row] == value).collect();
        sum_rows(place, &rows, gradient, out);
    }
}

/// out += the sum of some rows of a gradient, in stretches.
fn sum_rows<T: Real>(place: Place, rows: &[usize], gradient: &[T], out: &mut [T]) {
    const STRETCH: usize = 64;
    let mut sums = vec![T::zero(); place.dims];
    for stretch in rows.chunks(STRETCH) {
        sums.fill(T::zero());
        for row in stretch {
            let first = row * place.inputs + place.at;
            let row = &gradient[first..first + place.dims];
            sums.iter_mut().zip(row).for_each(|(s, &g)| *s += g);
        }
        out.iter_mut().zip(&sums).for_each(|(o, &s)| *o += s);
    }
}
