//! The order in which an epoch goes through rows in a file: slabs of neighboring rows, shuffled.

use crate::data::StoredSet;
use crate::math::random::{Permutation, Stream, stream_key};
use std::ops::Range;

/// The approximate number of bytes of a slab: enough for efficient reads, few enough that a window has many.
const SLAB: usize = 256 << 10;

/// The rows of a set in an epoch's order of slabs.
#[derive(Debug, Clone)]
pub struct SlabOrder {
    rows: usize,
    /// The slabs in order.
    slabs: Vec<u32>,
    /// The position of the first row of each.
    starts: Vec<usize>,
}

impl SlabOrder {
    /// The order of epoch `epoch` under `seed`; without a seed, the order of the file.
    #[must_use]
    pub fn new(set: &StoredSet, seed: Option<u64>, epoch: u64) -> Self {
        Self::of(set.rows(), set.row_bytes(), seed, epoch)
    }

    fn of(rows: usize, row_bytes: usize, seed: Option<u64>, epoch: u64) -> Self {
        let count = (rows * row_bytes).div_ceil(SLAB).clamp(1, rows.max(1)) as u32;
        let key = seed.map(|seed| stream_key(seed, Stream::Slabs, epoch));
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

    /// The rows in the file of the slab at position `i`: the sizes of slabs differ by at
    /// most one row.
    fn slab(&self, i: usize) -> Range<usize> {
        let (slab, count) = (self.slabs[i] as usize, self.slabs.len());
        slab * self.rows / count..(slab + 1) * self.rows / count
    }

    /// The index in the file of the row at a position.
    #[must_use]
    pub fn row(&self, position: usize) -> usize {
        self.pieces(position, 1).first().map_or(position, |piece| piece.start)
    }

    /// The ranges in the file of at most `rows` rows from position `first` on.
    pub(in crate::data) fn pieces(&self, first: usize, rows: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let (mut position, end) = (first, (first + rows).min(self.rows));
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
        let order = |seed, epoch| SlabOrder::of(rows, 40, seed, epoch);
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
    }
}
