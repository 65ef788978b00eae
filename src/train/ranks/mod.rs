//! Data-parallel training: several processes, called ranks, train one net together. Each computes the gradient of its
//! part of every batch; the gradients are summed over all ranks between the backward pass and the update.
//!
//! [`Ranks`] is the transport that a trainer uses: [`Alone`] for a single process, [`threads()`]
//! for threads of this process, and `mpi` (feature `mpi`) for the processes started by `mpirun` or
//! `srun`.

mod parts;
mod shards;
mod threads;
mod tree;

#[cfg(feature = "mpi")]
pub mod mpi;

pub use parts::{Parts, micro_batches};
pub use shards::Shards;
pub(crate) use shards::multiple;
pub use threads::{Threads, threads};
pub use tree::{
    Tree, all_gather_in_place, own_part, reduce, reduce_in_place, reduce_scatter_in_place,
};

use crate::base::error::Result;
use std::ops::Range;

/// The default number of blocks of a batch whose gradients are summed in a fixed order.
pub const BLOCKS: usize = 8;

/// The order in which the gradients of a batch are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Over this many blocks of rows, a power of two, by a binary tree: the weights are bit-identical for every
    /// number of ranks up to the number of blocks.
    Reproducible {
        /// The number of blocks.
        blocks: usize,
    },
    /// Over one part of the rows for each rank, in the fastest order. The sizes of the parts follow the speed
    /// of the ranks.
    Fastest,
}

/// The ranks of a run, as one of them sees them. All ranks make the same calls in the same order.
pub trait Ranks: Send {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// Sends `out` to rank `to` and receives `into` from rank `from` at the same time. Nothing is sent for an empty
    /// slice.
    ///
    /// # Errors
    /// When another rank is gone, or has failed.
    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<()>;

    /// Replaces `values` by their sums over all ranks, in the fastest order. All ranks get the same bits.
    ///
    /// # Errors
    /// When another rank is gone, or has failed.
    fn sum(&mut self, values: &mut [f32]) -> Result<()>;

    /// Replaces `values` by those of rank 0.
    ///
    /// # Errors
    /// When another rank is gone, or has failed.
    fn broadcast(&mut self, values: &mut [f64]) -> Result<()>;

    /// The bytes of all ranks, in their order, on every rank.
    ///
    /// # Errors
    /// When another rank is gone, or has failed.
    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// The fewest elements of a bucket of gradients that is summed while others are still computed, the same on all
    /// ranks; none if sums are so fast that all gradients are computed first.
    fn bucket(&self) -> Option<usize> {
        None
    }
}

/// A single process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn exchange(&mut self, _: usize, out: &[f32], _: usize, into: &mut [f32]) -> Result<()> {
        into.copy_from_slice(out);
        Ok(())
    }

    fn sum(&mut self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn broadcast(&mut self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![bytes.to_vec()])
    }
}

/// Part `part` of `count` items that are split into `parts` parts as evenly as possible, in order.
#[must_use]
pub fn share(count: usize, part: usize, parts: usize) -> Range<usize> {
    let start = |part: usize| (count as u128 * part as u128 / parts.max(1) as u128) as usize;
    start(part)..start(part + 1)
}
