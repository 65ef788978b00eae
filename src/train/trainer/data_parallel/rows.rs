//! The training rows on the device of a rank: all of them, a window of them, or one data set for each of its shards.

use super::of_rows;
use crate::backend::DataId;
use crate::base::error::{Error, Result};
use crate::kernels::Step;
use crate::train::ranks::{Parts, Shards};
use std::ops::Range;

/// The rows that steps read.
pub(in crate::train::trainer) struct LocalRows {
    /// All rows of a batch; of shards the first of this rank's.
    pub data: DataId,
    /// The shards that the batches are taken from.
    pub shards: Option<LocalShards>,
}

/// The shards of a rank on its device.
pub(in crate::train::trainer) struct LocalShards {
    /// All shards.
    pub of: Shards,
    /// Of each of this rank's the data set, and the words of its order.
    pub sets: Vec<(DataId, [u32; 5])>,
}

impl LocalRows {
    /// The parts of a batch of `rows` rows that rank `rank` of `size` computes.
    pub(super) fn parts(
        &self,
        parts: &Parts,
        rows: usize,
        multiple: usize,
        of: [usize; 2],
    ) -> Vec<(usize, Range<usize>)> {
        match &self.shards {
            None => parts.of(rows, multiple, of),
            Some(shards) => shards.of.blocks(rows, of),
        }
    }

    /// Rows `rows` of the batch of a step, all of them in one part: their data set, and the step on it.
    pub(in crate::train::trainer) fn of(
        &self,
        step: &Step,
        rows: &Range<usize>,
    ) -> Result<(DataId, Step)> {
        let part = of_rows(step, rows);
        let Some(LocalShards { of: shards, sets }) = &self.shards else {
            return Ok((self.data, part));
        };
        for (shard, (data, order)) in shards.own().zip(sets) {
            let block = shards.block(step.rows as usize, shard);
            if block.start <= rows.start && rows.end <= block.end && !block.is_empty() {
                // Each batch before this one took a whole block of the shard.
                let before = step.first as usize / shards.batch();
                let before = before * shards.block(shards.batch(), shard).len();
                let first = (before + rows.start - block.start) as u32;
                return Ok((*data, Step { first, order: *order, ..part }));
            }
        }
        Err(Error::failed("a step needs rows that this rank doesn't hold"))
    }
}
