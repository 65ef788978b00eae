//! The training rows on the device of a rank: all of them, a window of them, or one data set for each of its shards.

use super::of_rows;
use crate::backend::DataId;
use crate::base::error::{Error, Result};
use crate::kernels::Step;
use crate::train::ranks::{Parts, Shards};
use std::ops::Range;

/// The rows that steps read.
pub(in crate::train::trainer) struct LocalRows {
    /// The data set with all rows of a batch, or with this rank's first shard.
    pub data: DataId,
    /// The shards, and what is on the device of each of this rank's.
    pub shards: Option<(Shards, Vec<LocalShard>)>,
}

/// The rows of a shard on the device.
pub(in crate::train::trainer) struct LocalShard {
    pub data: DataId,
    /// The words of the permutation in whose order steps take them.
    pub order: [u32; 5],
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
            Some((shards, _)) => shards.blocks(rows, of),
        }
    }

    /// Rows `rows` of the batch of a step, all of them in one part: their data set, and the step on it.
    pub(in crate::train::trainer) fn of(
        &self,
        step: &Step,
        rows: &Range<usize>,
    ) -> Result<(DataId, Step)> {
        let part = of_rows(step, rows);
        let Some((shards, sets)) = &self.shards else { return Ok((self.data, part)) };
        for (shard, LocalShard { data, order }) in shards.own().zip(sets) {
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
