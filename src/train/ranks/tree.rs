//! Sums by a fixed binary tree over the blocks of a batch, whichever rank computed a block.
//!
//! Node i of level l is the sum of blocks 2ˡ i to 2ˡ (i + 1) − 1: that of its left child plus that of its right child.
//! A rank has a range of blocks, so it has whole nodes, a single one where ranks and blocks are powers of two. Every
//! rank then adds up the nodes of all ranks for its own chunk of the elements (a reduce-scatter), and the chunks are
//! exchanged (an all-gather). Each rank sends and receives about two times the bytes of a gradient.

use super::{Ranks, share};
use crate::base::error::Result;
use std::ops::Range;

/// A node: its level, its index within the level, and its values.
struct Node {
    level: u32,
    index: usize,
    values: Vec<f32>,
}

/// The nodes of consecutive blocks, merged as far as the tree allows.
#[derive(Default)]
pub struct Tree {
    nodes: Vec<Node>,
    spare: Vec<Vec<f32>>,
}

impl Tree {
    /// An array of `len` elements to fill for the next block; their values are arbitrary.
    pub fn buffer(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(len, 0.0);
        buffer
    }

    /// Adds block `block`, the next of the range.
    pub fn push(&mut self, block: usize, values: Vec<f32>) {
        self.push_node(0, block, values);
    }

    fn push_node(&mut self, level: u32, index: usize, values: Vec<f32>) {
        let mut right = Node { level, index, values };
        while let Some(left) =
            self.nodes.pop_if(|left| left.level == right.level && is_pair(left.index, right.index))
        {
            let mut sum = left;
            sum.values.iter_mut().zip(&right.values).for_each(|(sum, x)| *sum += x);
            self.spare.push(right.values);
            right = Node { level: sum.level + 1, index: sum.index / 2, values: sum.values };
        }
        self.nodes.push(right);
    }

    /// The sum, once all blocks were added; the array goes back by [`Tree::give`].
    fn take(&mut self) -> Option<Vec<f32>> {
        self.nodes.pop().map(|node| node.values)
    }

    /// Takes back an array that [`Tree::buffer`] gave.
    pub fn give(&mut self, values: Vec<f32>) {
        self.spare.push(values);
    }
}

fn is_pair(left: usize, right: usize) -> bool {
    left.is_multiple_of(2) && right == left + 1
}

/// Levels and indices of the nodes that a range of blocks consists of, in order.
fn nodes(blocks: Range<usize>) -> Vec<(u32, usize)> {
    let mut nodes: Vec<(u32, usize)> = Vec::new();
    for block in blocks {
        let mut right = (0, block);
        while let Some(left) =
            nodes.pop_if(|left| left.0 == right.0 && is_pair(left.1, right.1))
        {
            right = (left.0 + 1, left.1 / 2);
        }
        nodes.push(right);
    }
    nodes
}

/// The sum of all blocks, on every rank. `tree` holds this rank's share of `blocks`, a power of two not below the number
/// of ranks, each of `total.len()` elements; then it is empty.
///
/// # Errors
/// When another rank is gone, or has failed.
pub fn reduce(
    ranks: &mut dyn Ranks,
    blocks: usize,
    tree: &mut Tree,
    total: &mut [f32],
) -> Result<()> {
    let (rank, size, len) = (ranks.rank(), ranks.size(), total.len());
    if size == 1 {
        if let Some(sum) = tree.take() {
            total.copy_from_slice(&sum);
            tree.give(sum);
        }
        return Ok(());
    }
    let own = std::mem::take(&mut tree.nodes);
    let chunk = |of: usize| share(len, of, size);
    let width = chunk(rank).len();
    // The nodes of every rank for the own chunk, one behind the other.
    let mut found: Vec<Vec<f32>> = Vec::with_capacity(size);
    found.resize_with(size, Vec::new);
    let mut out = tree.buffer(0);
    for round in 0..size {
        let (to, from) = ((rank + round) % size, (rank + size - round) % size);
        out.clear();
        own.iter().for_each(|node| out.extend_from_slice(&node.values[chunk(to)]));
        let count = nodes(share(blocks, from, size)).len();
        let mut into = tree.buffer(count * width);
        match to == rank {
            true => into.copy_from_slice(&out),
            false => ranks.exchange(to, &out, from, &mut into)?,
        }
        found[from] = into;
    }
    own.into_iter().for_each(|node| tree.give(node.values));
    tree.give(out);
    for (from, values) in found.into_iter().enumerate() {
        for (i, (level, index)) in nodes(share(blocks, from, size)).into_iter().enumerate() {
            let mut part = tree.buffer(width);
            part.copy_from_slice(&values[i * width..(i + 1) * width]);
            tree.push_node(level, index, part);
        }
        tree.give(values);
    }
    if let Some(sum) = tree.take() {
        total[chunk(rank)].copy_from_slice(&sum);
        tree.give(sum);
    }
    let mut own = tree.buffer(width);
    own.copy_from_slice(&total[chunk(rank)]);
    for round in 1..size {
        let (to, from) = ((rank + round) % size, (rank + size - round) % size);
        ranks.exchange(to, &own, from, &mut total[chunk(from)])?;
    }
    tree.give(own);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Alone, threads};
    use super::*;

    const BLOCKS: usize = 8;
    const LEN: usize = 13;

    /// Numbers of very different magnitudes, so that another order gives other bits.
    fn block(number: usize) -> Vec<f32> {
        let value = |i: usize| {
            let x = ((number * 7919 + i * 104_729 + 13) % 1009) as f32 / 1009.0 - 0.5;
            x * 10.0_f32.powi((number as i32 * 5 + i as i32) % 7)
        };
        (0..LEN).map(value).collect()
    }

    fn sum(ranks: &mut dyn Ranks) -> Vec<u32> {
        let mut tree = Tree::default();
        let mut total = vec![0.0; LEN];
        // Twice, as arrays are used again.
        for _ in 0..2 {
            for number in share(BLOCKS, ranks.rank(), ranks.size()) {
                let mut values = tree.buffer(LEN);
                values.copy_from_slice(&block(number));
                tree.push(number, values);
            }
            reduce(ranks, BLOCKS, &mut tree, &mut total).unwrap();
            assert!(tree.nodes.is_empty());
        }
        total.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn any_number_of_ranks_gives_the_bits_of_the_tree() {
        let b: Vec<Vec<f32>> = (0..BLOCKS).map(block).collect();
        let tree = |i: usize| {
            let of = |k: usize| b[k][i];
            ((of(0) + of(1)) + (of(2) + of(3))) + ((of(4) + of(5)) + (of(6) + of(7)))
        };
        let expected: Vec<u32> = (0..LEN).map(|i| tree(i).to_bits()).collect();
        let in_order: Vec<u32> =
            (0..LEN).map(|i| b.iter().map(|b| b[i]).sum::<f32>().to_bits()).collect();
        assert_ne!(expected, in_order, "the order of these numbers must matter");
        assert_eq!(sum(&mut Alone), expected);
        for size in 2..=BLOCKS {
            let running: Vec<_> = threads(size)
                .into_iter()
                .map(|mut ranks| std::thread::spawn(move || sum(&mut ranks)))
                .collect();
            for rank in running {
                assert_eq!(rank.join().unwrap(), expected, "{size} ranks");
            }
        }
    }
}
