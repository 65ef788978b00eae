//! Sums by a fixed binary tree over the blocks of a batch, whichever rank computed a block.
//!
//! Node i of level l is the sum of blocks 2ˡ i to 2ˡ (i + 1) − 1: that of its left child plus that of its right child.
//! A rank has a range of blocks, so it has whole nodes, a single one where ranks and blocks are powers of two. Every
//! rank then sums the nodes of all ranks for its own chunk of the elements (a reduce-scatter), and the chunks
//! are exchanged (an all-gather). Each rank sends and receives about twice the bytes of a gradient, in 2 log₂ N messages
//! if the number of ranks N is a power of two, else in 2 (N − 1).

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
        // One that is long enough needn't be zeroed.
        let fits = self.spare.iter().position(|spare| spare.capacity() >= len);
        let mut buffer = fits.map_or_else(Vec::new, |place| self.spare.swap_remove(place));
        buffer.resize(len, 0.0);
        buffer
    }

    /// Takes back an array that [`Tree::buffer`] gave.
    pub fn give(&mut self, values: Vec<f32>) {
        self.spare.push(values);
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
            add(&mut sum.values, &right.values);
            self.spare.push(right.values);
            right = Node { level: sum.level + 1, index: sum.index / 2, values: sum.values };
        }
        self.nodes.push(right);
    }
}

impl Tree {
    /// As [`Tree::push`], copying the values.
    pub fn push_copy(&mut self, block: usize, values: &[f32]) {
        let left = self.nodes.pop_if(|left| left.level == 0 && is_pair(left.index, block));
        match left {
            Some(mut left) => {
                add(&mut left.values, values);
                self.push_node(1, left.index / 2, left.values);
            }
            None => {
                let mut copy = self.buffer(values.len());
                copy.copy_from_slice(values);
                self.push_node(0, block, copy);
            }
        }
    }

    /// As [`Tree::push`] for the last block of a rank that has one node: `values` are then that node, and the
    /// tree is empty. x + y has the bits of y + x.
    pub fn push_last(&mut self, values: &mut [f32]) {
        while let Some(left) = self.nodes.pop() {
            add(values, &left.values);
            self.give(left.values);
        }
    }

    /// As [`Tree::push_last`] for elements `range` of the last block alone, of which `values` are the node then. The
    /// tree stays as it is.
    pub fn add_to_last(&self, range: &Range<usize>, values: &mut [f32]) {
        self.nodes.iter().rev().for_each(|left| add(values, &left.values[range.clone()]));
    }

    /// Removes all blocks.
    pub fn clear(&mut self) {
        self.spare.extend(self.nodes.drain(..).map(|node| node.values));
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, x)| *sum += x);
}

fn is_pair(left: usize, right: usize) -> bool {
    left.is_multiple_of(2) && right == left + 1
}

/// Levels and indices of the nodes that a range of blocks consists of, in order.
fn nodes(blocks: Range<usize>) -> Vec<(u32, usize)> {
    let mut nodes: Vec<(u32, usize)> = Vec::new();
    for block in blocks {
        let mut right = (0, block);
        while let Some(left) = nodes.pop_if(|left| left.0 == right.0 && is_pair(left.1, right.1)) {
            right = (left.0 + 1, left.1 / 2);
        }
        nodes.push(right);
    }
    nodes
}

/// The sum of all blocks, on every rank: `len` elements, to be given back to the tree. `tree` holds this rank's share of
/// `blocks`, a power of two not below the number of ranks; afterwards it is empty.
///
/// # Errors
/// When another rank is gone, or has failed.
pub fn reduce(
    ranks: &mut dyn Ranks,
    blocks: usize,
    tree: &mut Tree,
    len: usize,
) -> Result<Vec<f32>> {
    let size = ranks.size();
    let mut own = std::mem::take(&mut tree.nodes);
    let chunks = Chunks { len, size };
    let total = match own.pop() {
        Some(node) if size == 1 => node.values,
        Some(node) if size.is_power_of_two() => {
            let mut total = node.values;
            reduce_in_place(ranks, tree, &mut total)?;
            total
        }
        last => {
            own.extend(last);
            let mut total = tree.buffer(len);
            add_nodes(ranks, blocks, tree, own, &mut total, chunks)?;
            all_gather(ranks, &mut total, chunks)?;
            total
        }
    };
    Ok(total)
}

/// Replaces the only node of each rank by the sum of all, for numbers of ranks that are powers of two.
///
/// # Errors
/// When another rank is gone, or has failed.
pub fn reduce_in_place(ranks: &mut dyn Ranks, tree: &mut Tree, total: &mut [f32]) -> Result<()> {
    reduce_scatter_in_place(ranks, tree, total)?;
    all_gather_in_place(ranks, total)
}

/// The elements of `len` that [`reduce_scatter_in_place`] leaves with rank `rank` of `size`, a power of two.
#[must_use]
pub fn own_part(len: usize, rank: usize, size: usize) -> Range<usize> {
    halvings(len, rank, size).pop().unwrap_or(0..len)
}

/// Replaces this rank's [`own_part`] of its only node by the sum over all ranks, for numbers of ranks that are powers of
/// two: by recursive halving (Thakur, Rabenseifner, Gropp 2005), in log₂ N messages. Neighbors halve first, so that
/// every rank adds up subtree by subtree. The other elements are of no use then.
///
/// # Errors
/// When another rank is gone, or has failed.
pub fn reduce_scatter_in_place(
    ranks: &mut dyn Ranks,
    tree: &mut Tree,
    total: &mut [f32],
) -> Result<()> {
    let (rank, size) = (ranks.rank(), ranks.size());
    if size == 1 {
        return Ok(());
    }
    let mut into = tree.buffer(total.len().div_ceil(2));
    for (level, pair) in halvings(total.len(), rank, size).windows(2).enumerate() {
        let partner = rank ^ (1 << level);
        let [own, other] = halves(total, &pair[0], &pair[1]);
        let into = &mut into[..own.len()];
        ranks.exchange(partner, other, partner, into)?;
        // The right child is added to the left one, or the left one to the right one: the bits are the same.
        add(own, into);
    }
    tree.give(into);
    Ok(())
}

/// Gives every rank the [`own_part`] of all others, by recursive doubling, in log₂ N messages.
///
/// # Errors
/// When another rank is gone, or has failed.
pub fn all_gather_in_place(ranks: &mut dyn Ranks, total: &mut [f32]) -> Result<()> {
    let (rank, size) = (ranks.rank(), ranks.size());
    for (level, pair) in halvings(total.len(), rank, size).windows(2).enumerate().rev() {
        let partner = rank ^ (1 << level);
        let [own, other] = halves(total, &pair[0], &pair[1]);
        ranks.exchange(partner, own, partner, other)?;
    }
    Ok(())
}

/// Gives all ranks the chunks of the others.
fn all_gather(ranks: &mut dyn Ranks, total: &mut [f32], chunks: Chunks) -> Result<()> {
    let (rank, size) = (ranks.rank(), ranks.size());
    for round in 1..size {
        let (to, from) = ((rank + round) % size, (rank + size - round) % size);
        let [mine, theirs] = chunks.two(total, rank, from);
        ranks.exchange(to, mine, from, theirs)?;
    }
    Ok(())
}

/// The elements that each rank sums.
#[derive(Clone, Copy)]
struct Chunks {
    len: usize,
    size: usize,
}

impl Chunks {
    fn of(self, rank: usize) -> Range<usize> {
        share(self.len, rank, self.size)
    }

    /// The chunks of two different ranks.
    fn two(self, values: &mut [f32], a: usize, b: usize) -> [&mut [f32]; 2] {
        let [first, second] = [self.of(a.min(b)), self.of(a.max(b))];
        let (before, behind) = values.split_at_mut(second.start);
        let (first, second) = (&mut before[first], &mut behind[..second.len()]);
        if a < b { [first, second] } else { [second, first] }
    }
}

/// The elements that a rank has left after each halving among 1, 2, 4, … ranks: all of them first, its chunk last.
fn halvings(len: usize, rank: usize, size: usize) -> Vec<Range<usize>> {
    let mut left = Vec::from([Range { start: 0, end: len }]);
    let mut distance = 1;
    while distance < size {
        let Range { start, end } = left[left.len() - 1].clone();
        let middle = start + (end - start) / 2;
        left.push(if rank & distance == 0 { start..middle } else { middle..end });
        distance *= 2;
    }
    left
}

/// The two parts of `of`: `own`, which is one half of it, and the other.
fn halves<'a>(total: &'a mut [f32], of: &Range<usize>, own: &Range<usize>) -> [&'a mut [f32]; 2] {
    let whole = &mut total[of.clone()];
    match own.start == of.start {
        true => whole.split_at_mut(own.len()).into(),
        false => {
            let (other, own) = whole.split_at_mut(own.start - of.start);
            [own, other]
        }
    }
}

/// Puts the sum of all nodes into the own chunk of `total`, whatever number of nodes the ranks have.
fn add_nodes(
    ranks: &mut dyn Ranks,
    blocks: usize,
    tree: &mut Tree,
    own: Vec<Node>,
    total: &mut [f32],
    chunks: Chunks,
) -> Result<()> {
    let (rank, size) = (ranks.rank(), ranks.size());
    let width = chunks.of(rank).len();
    // The nodes of every rank for the own chunk, one after the other.
    let mut found: Vec<Vec<f32>> = Vec::with_capacity(size);
    found.resize_with(size, Vec::new);
    let mut out = Vec::new();
    for round in 0..size {
        let (to, from) = ((rank + round) % size, (rank + size - round) % size);
        out.clear();
        own.iter().for_each(|node| out.extend_from_slice(&node.values[chunks.of(to)]));
        let count = nodes(share(blocks, from, size)).len();
        let mut into = tree.buffer(count * width);
        match to == rank {
            true => into.copy_from_slice(&out),
            false => ranks.exchange(to, &out, from, &mut into)?,
        }
        found[from] = into;
    }
    own.into_iter().for_each(|node| tree.give(node.values));
    for (from, values) in found.into_iter().enumerate() {
        for (i, (level, index)) in nodes(share(blocks, from, size)).into_iter().enumerate() {
            let mut part = tree.buffer(width);
            part.copy_from_slice(&values[i * width..(i + 1) * width]);
            tree.push_node(level, index, part);
        }
        tree.give(values);
    }
    if let Some(sum) = tree.nodes.pop() {
        total[chunks.of(rank)].copy_from_slice(&sum.values);
        tree.give(sum.values);
    }
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
        let mut total = Vec::new();
        // Twice, as arrays are used again.
        for _ in 0..2 {
            for number in share(BLOCKS, ranks.rank(), ranks.size()) {
                let mut values = tree.buffer(LEN);
                values.copy_from_slice(&block(number));
                tree.push(number, values);
            }
            total = reduce(ranks, BLOCKS, &mut tree, LEN).unwrap();
            assert!(tree.nodes.is_empty());
        }
        total.into_iter().map(f32::to_bits).collect()
    }

    fn sum_in_place(ranks: &mut dyn Ranks) -> Vec<u32> {
        let (mut tree, mut total) = (Tree::default(), vec![0.0; LEN]);
        for _ in 0..2 {
            let own = share(BLOCKS, ranks.rank(), ranks.size());
            for number in own.clone() {
                total.copy_from_slice(&block(number));
                match number + 1 == own.end {
                    true => tree.push_last(&mut total),
                    false => tree.push_copy(number, &total),
                }
            }
            assert!(tree.nodes.is_empty());
            reduce_in_place(ranks, &mut tree, &mut total).unwrap();
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
        for size in [1, 2, 4, 8] {
            let running: Vec<_> = threads(size)
                .into_iter()
                .map(|mut ranks| std::thread::spawn(move || sum_in_place(&mut ranks)))
                .collect();
            for rank in running {
                assert_eq!(rank.join().unwrap(), expected, "{size} ranks in place");
            }
        }
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
