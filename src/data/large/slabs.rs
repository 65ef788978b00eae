//! The order in which an epoch goes through rows in a file: slabs of neighboring rows, shuffled.

use crate::data::StoredSet;
use crate::math::random::{Permutation, Stream, stream_key};
use std::ops::Range;

/// The approximate number of bytes of a slab: enough for efficient reads, few enough that a window has many.
const SLAB: usize = 256 << 10;

/// The rows of a set, or a range of them, in an epoch's order of slabs.
#[derive(Debug, Clone)]
pub struct SlabOrder {
    rows: Range<usize>,
    /// The slabs in order.
    slabs: Vec<u32>,
    /// The position of the first row of each.
    starts: Vec<usize>,
}

impl SlabOrder {
    /// The order of epoch `epoch` under `seed`; without a seed, the order of the file.
    #[must_use]
    pub fn new(set: &StoredSet, seed: Option<u64>, epoch: u64) -> Self {
        Self::of_rows(set, 0..set.rows(), seed, epoch)
    }

    /// The order of some rows of a set; orders of other numbers differ.
    #[must_use]
    pub fn of_rows(set: &StoredSet, rows: Range<usize>, seed: Option<u64>, number: u64) -> Self {
        Self::of(rows, set.row_bytes(), seed, number)
    }

    fn of(rows: Range<usize>, row_bytes: usize, seed: Option<u64>, number: u64) -> Self {
        let count = (rows.len() * row_bytes).div_ceil(SLAB).clamp(1, rows.len().max(1)) as u32;
        let key = seed.map(|seed| stream_key(seed, Stream::Slabs, number));
        let order = Permutation::new(count, key);
        let slabs: Vec<u32> = (0..count).map(|position| order.at(position)).collect();
        let mut order = SlabOrder { rows, slabs, starts: Vec::with_capacity(count as usize) };
        let mut start = 0;
        for i in 0..order.slabs.len() {
            order.starts.push(start);
            start += order.slab(i).len();
        }
        order
    }

    /// The number of rows.
    pub(in crate::data) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The rows in the set of the slab at position `i`: the sizes of slabs differ by at
    /// most one row.
    fn slab(&self, i: usize) -> Range<usize> {
        let (slab, count) = (self.slabs[i] as usize, self.slabs.len());
        let start = |slab: usize| self.rows.start + slab * self.rows.len() / count;
        start(slab)..start(slab + 1)
    }

    /// The index in the set of the row at a position.
    #[must_use]
    pub fn row(&self, position: usize) -> usize {
        self.pieces(position, 1).first().map_or(position, |piece| piece.start)
    }

    /// The ranges in the set of at most `rows` rows from position `first` on.
    pub(in crate::data) fn pieces(&self, first: usize, rows: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let (mut position, end) = (first, (first + rows).min(self.rows.len()));
        while position < end {
            let i = self.starts.partition_point(|&start| start <= position) - 1;
            let (slab, within) = (self.slab(i), position - self.starts[i]);
            let count = (slab.len() - within).min(end - position);
            pieces.push(slab.start + within..slab.start + within + count);
            position += count;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_every_row_once_in_an_order_of_its_own() {
        let rows = 100_003;
        let order = |seed, epoch| SlabOrder::of(0..rows, 40, seed, epoch);
        let all = |order: &SlabOrder| -> Vec<usize> {
            (0..rows).step_by(1000).flat_map(|first| order.pieces(first, 1000)).flatten().collect()
        };
        let first = all(&order(Some(1), 0));
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..rows).collect::<Vec<_>>());
        assert_eq!(all(&order(None, 3)), sorted);
        assert_eq!(all(&order(Some(1), 0)), first);
        assert_ne!(all(&order(Some(1), 1)), first);
        assert_ne!(all(&order(Some(2), 0)), first);
        let part = SlabOrder::of(20_000..90_000, 40, Some(1), 0);
        let mut of_part: Vec<usize> = part.pieces(0, rows).into_iter().flatten().collect();
        assert_eq!(of_part[123], part.row(123));
        of_part.sort_unstable();
        assert_eq!(of_part, (20_000..90_000).collect::<Vec<_>>());
    }
}
