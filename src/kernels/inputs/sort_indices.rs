//! The batch sorted by their index, so that the rows of a category are consecutive.
//!
//! order: (B, 2) holds the pairs (i(r), r) in ascending order: the sort is stable, so that its result doesn't
//! depend on the algorithm. Tiles of [`TILE`] rows are sorted in workgroup memory; then sorted runs are merged
//! in pairs, each row finding its place by binary search in the other run. That takes O(B log² B) comparisons
//! in 1 + log₂(B / [`TILE`]) launches, without atomics.

use super::embed::Place;
use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::real::Real;
use std::ops::Range;

uniform! {
    /// Where the indices are.
    SortUniform { features: u32, column: u32, values: u32 }
}

uniform! {
    /// The rows of a sorted run.
    MergeUniform { run: u32 }
}

/// Sorts each tile of rows: features: (B, features) → order: (B, 2).
pub static SORT_INDICES: Kernel = Kernel {
    entry: "sort_indices",
    source: &[COMMON, include_str!("../../../shaders/inputs/sort_indices.wgsl")],
    uniform: SortUniform::FIELDS,
    bindings: &[read("features"), read_write("order")],
    workgroup_size: TILE as u32,
};

/// Merges sorted runs in pairs: (B, 2) → (B, 2).
pub static MERGE_INDICES: Kernel = Kernel {
    entry: "merge_indices",
    source: &[COMMON, include_str!("../../../shaders/inputs/merge_indices.wgsl")],
    uniform: MergeUniform::FIELDS,
    bindings: &[read("runs"), read_write("merged")],
    workgroup_size: 64,
};

/// Rows that are sorted at once.
pub const TILE: usize = 256;

/// Rows are kept as f32, which holds whole numbers exactly up to here.
pub const MOST_ROWS: usize = 1 << 24;

/// The number of merges that sort a batch of up to `batch` rows.
#[must_use]
pub fn merges(batch: usize) -> usize {
    batch.div_ceil(TILE).next_power_of_two().trailing_zeros() as usize
}

/// The destination of the sorted tiles and of the first merge, which alternate so that the last merge writes
/// `order`.
#[must_use]
pub fn alternating<T>(merges: usize, order: T, spare: T) -> [T; 2] {
    if merges.is_multiple_of(2) { [order, spare] } else { [spare, order] }
}

/// Launches [`SORT_INDICES`] and [`MERGE_INDICES`] for batches of up to `batch` rows: features:
/// (B, features), order and spare: (B, 2).
#[must_use]
pub fn launches(
    place: Place,
    [features, order, spare]: [TensorId; 3],
    batch: usize,
) -> Vec<Launch> {
    let merges = merges(batch);
    let [mut from, mut to] = alternating(merges, order, spare);
    let uniform = SortUniform {
        features: place.features as u32,
        column: place.column as u32,
        values: place.values as u32,
    };
    let mut launches = vec![Launch {
        kernel: &SORT_INDICES,
        overrides: vec![],
        uniform: uniform.bytes(),
        args: vec![Arg::Tensor(features), Arg::Tensor(from)],
        grid: Grid::Tiles(Extent::Batch, TILE, 1),
    }];
    for merge in 0..merges {
        launches.push(Launch {
            kernel: &MERGE_INDICES,
            overrides: vec![],
            uniform: MergeUniform { run: (TILE << merge) as u32 }.bytes(),
            args: vec![Arg::Tensor(from), Arg::Tensor(to)],
            grid: Grid::Elements(Extent::Batch, 1),
        });
        std::mem::swap(&mut from, &mut to);
    }
    launches
}

/// The number of comparisons that sort a batch of `rows` rows.
#[must_use]
pub fn comparisons(rows: usize) -> f64 {
    let searched = (0..merges(rows)).map(|merge| (TILE << merge).ilog2() as usize).sum::<usize>();
    rows as f64 * (TILE + searched) as f64
}

/// The CPU reference of [`SORT_INDICES`] for one tile, which begins with row `first`: features:
/// (rows, features), order: (rows, 2).
pub fn sort_tile<T: Real>(place: Place, first: usize, features: &[T], order: &mut [T]) {
    let indices = features.chunks_exact(place.features).map(|row| place.index(row));
    let mut pairs = [(0, 0); TILE];
    let pairs = &mut pairs[..order.len() / 2];
    pairs.iter_mut().zip(indices.zip(first..)).for_each(|(pair, found)| *pair = found);
    pairs.sort_unstable();
    for (to, &(index, row)) in order.chunks_exact_mut(2).zip(&*pairs) {
        to.copy_from_slice(&[index, row].map(|x| T::of(x as f64)));
    }
}

/// The CPU reference of [`MERGE_INDICES`] for the places `piece` of a merged pair of runs: runs:
/// (B, 2), of which each run has `run` rows, merged: (places, 2).
pub fn merge<T: Real>(run: usize, runs: &[T], piece: Range<usize>, merged: &mut [T]) {
    let (runs, _) = runs.as_chunks::<2>();
    let pair = piece.start / (2 * run) * 2 * run;
    let (middle, end) = ((pair + run).min(runs.len()), (pair + 2 * run).min(runs.len()));
    let (left, right) = (&runs[pair..middle], &runs[middle..end]);
    // With equal indices, rows of the left run come first.
    let goes_left = |[l, _]: [T; 2], [r, _]: [T; 2]| l <= r;
    // How many rows of the left run come before the piece.
    let skipped = piece.start - pair;
    let (mut low, mut high) = (skipped.saturating_sub(right.len()), skipped.min(left.len()));
    while low < high {
        let i = (low + high) / 2;
        if goes_left(left[i], right[skipped - 1 - i]) { low = i + 1 } else { high = i }
    }
    let (mut left, mut right) = (&left[low..], &right[skipped - low..]);
    for to in merged.chunks_exact_mut(2) {
        let next = match (left, right) {
            ([l, rest @ ..], []) => (l, &mut left, rest),
            ([l, rest @ ..], [r, ..]) if goes_left(*l, *r) => (l, &mut left, rest),
            (_, [r, rest @ ..]) => (r, &mut right, rest),
            ([], []) => break,
        };
        to.copy_from_slice(next.0);
        *next.1 = next.2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::random::{Random, Stream};
    use rand::RngExt;

    #[test]
    fn merged_tiles_are_the_stable_sort() {
        let mut random = Random::new(4, Stream::Check, 0);
        for (rows, values) in [(1, 1), (255, 9), (257, 1), (600, 3), (1537, 5000), (2048, 40)] {
            let place =
                Place { features: 2, column: 1, inputs: 1, at: 0, values, dims: 1, copies: false };
            let features: Vec<f32> =
                (0..2 * rows).map(|_| random.random_range(0..values) as f32).collect();
            let [mut from, mut to] = [vec![-1.0; 2 * rows], vec![-1.0; 2 * rows]];
            let tiles = features.chunks(2 * TILE).zip(from.chunks_mut(2 * TILE)).enumerate();
            tiles.for_each(|(i, (features, to))| sort_tile(place, i * TILE, features, to));
            for i in 0..merges(rows) {
                // Pieces that end inside of runs.
                for first in (0..rows).step_by(128) {
                    let piece = first..(first + 128).min(rows);
                    merge(
                        TILE << i,
                        &from,
                        piece,
                        &mut to[2 * first..(2 * first + 256).min(2 * rows)],
                    );
                }
                std::mem::swap(&mut from, &mut to);
            }
            let mut sorted: Vec<usize> = (0..rows).collect();
            sorted.sort_by_key(|row| features[2 * row + 1] as usize);
            let expected: Vec<f32> =
                sorted.iter().flat_map(|&row| [features[2 * row + 1], row as f32]).collect();
            assert_eq!(from, expected, "{rows} rows");
        }
    }
}
