//! Training rows split over the ranks, so that each holds only some of them.
//!
//! The rows are split into shards, ranges of about the same size. Each epoch shuffles every shard by itself, and a batch
//! takes its first block from the first shard, its second block from the second one, and so on. So the blocks of a
//! batch don't depend on the number of ranks, which hold one or several shards each. A shard has as many rows as its
//! blocks take in an epoch, whatever the batch size: every row is used exactly once.

use super::{Reduction, share};
use crate::base::error::{Error, Result};
use crate::base::words::count as words;
use crate::net::spec::Spec;
use std::ops::Range;

/// The number that rows of a part must be a multiple of: mixup mixes pairs of neighbors.
pub(crate) fn multiple(spec: &Spec) -> usize {
    if spec.mixup.is_some() { 2 } else { 1 }
}

/// The shards of a training set, and those of them that a rank holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    rows: usize,
    batch: usize,
    multiple: usize,
    count: usize,
    own: Range<usize>,
}

impl Shards {
    /// All rows as one shard, which every rank holds.
    #[must_use]
    pub fn whole(spec: &Spec, rows: usize) -> Self {
        let batch = spec.batch_size.min(rows).max(1);
        Shards { rows, batch, multiple: multiple(spec), count: 1, own: 0..1 }
    }

    /// `rows` rows in `count` shards, as rank `rank` of `size` holds them.
    ///
    /// # Errors
    /// For more ranks than shards, and for batches that don't have rows of every shard.
    pub fn new(spec: &Spec, rows: usize, count: usize, [rank, size]: [usize; 2]) -> Result<Self> {
        let whole = Shards::whole(spec, rows);
        if count < size {
            let what = format!("{} for {}", words(size, "rank"), words(count, "shard"));
            return Err(Error::usage(what).help(
                "start at most as many ranks as shards; a run keeps the number of shards that it was started with",
            ));
        }
        let least = count.saturating_mul(whole.multiple);
        if whole.batch < least {
            let what =
                format!("a batch of {} for {}", words(whole.batch, "row"), words(count, "shard"));
            return Err(Error::usage(what).help(match least <= rows {
                true => {
                    format!("a batch has rows of every shard: use --batch-size {least} or more")
                }
                false => "there are too few rows to split them: omit --shard".into(),
            }));
        }
        Ok(Shards { count, own: share(count, rank, size), ..whole })
    }

    /// Refuses shards that aren't the blocks whose gradients are summed in a fixed order.
    ///
    /// # Errors
    /// For another number of blocks.
    pub fn check_blocks(&self, reduction: Reduction) -> Result<()> {
        match reduction {
            Reduction::Reproducible { blocks } if blocks != self.count => {
                let what = format!("{} for {blocks} blocks of a batch", words(self.count, "shard"));
                Err(Error::usage(what).help(
                    "with --reproducible each block has the rows of one shard: give --shard without a number",
                ))
            }
            _ => Ok(()),
        }
    }

    /// The number of shards.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The shards of this rank.
    #[must_use]
    pub fn own(&self) -> Range<usize> {
        self.own.clone()
    }

    /// The number of training rows, of all ranks together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The batch size.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The rows of a shard's block in a batch of `rows` rows.
    #[must_use]
    pub fn block(&self, rows: usize, shard: usize) -> Range<usize> {
        let units = share(rows.div_ceil(self.multiple), shard, self.count);
        (units.start * self.multiple).min(rows)..(units.end * self.multiple).min(rows)
    }

    /// The blocks of rank `rank` of `size` in a batch of `rows` rows, each with the number of its shard.
    #[must_use]
    pub fn blocks(&self, rows: usize, [rank, size]: [usize; 2]) -> Vec<(usize, Range<usize>)> {
        share(self.count, rank, size).map(|shard| (shard, self.block(rows, shard))).collect()
    }

    /// The training rows of a shard: those that its blocks take in an epoch.
    #[must_use]
    pub fn range(&self, shard: usize) -> Range<usize> {
        let (whole, rest) = (self.rows / self.batch, self.rows % self.batch);
        let [full, last] = [self.batch, rest].map(|rows| self.block(rows, shard));
        whole * full.start + last.start..whole * full.end + last.end
    }

    /// The training rows of rank `rank` of `size`.
    #[must_use]
    pub fn held_by(&self, [rank, size]: [usize; 2]) -> Range<usize> {
        self.range_of(&share(self.count, rank, size))
    }

    /// The training rows of this rank.
    #[must_use]
    pub fn held(&self) -> Range<usize> {
        self.range_of(&self.own)
    }

    fn range_of(&self, shards: &Range<usize>) -> Range<usize> {
        match shards.is_empty() {
            true => 0..0,
            false => self.range(shards.start).start..self.range(shards.end - 1).end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::net::spec::Net;

    fn spec(batch_size: usize, mixup: bool) -> Spec {
        let net = Net::new(1).layer(1, Activation::Identity);
        let mixup = mixup.then_some(0.2);
        Spec { batch_size, mixup, ..Spec::new(net, Loss::SquaredError) }
    }

    #[test]
    fn shards_are_what_their_blocks_take_in_an_epoch() {
        for mixup in [false, true] {
            for (rows, batch, count) in [
                (1000, 64, 8),
                (1003, 64, 8),
                (999, 48, 4),
                (77, 24, 8),
                (100, 33, 3),
                (50, 1000, 8),
                (24, 24, 8),
            ] {
                let name = format!("{rows} rows, batches of {batch}, {count} shards, {mixup}");
                let shards = Shards::new(&spec(batch, mixup), rows, count, [0, 1]).unwrap();
                let batch = batch.min(rows);
                let mut taken = vec![0; count];
                for first in (0..rows).step_by(batch) {
                    let of_batch = batch.min(rows - first);
                    let blocks = shards.blocks(of_batch, [0, 1]);
                    let mut end = 0;
                    for (shard, block) in blocks {
                        assert_eq!(block.start, end, "{name}");
                        end = block.end;
                        assert!(!mixup || end == of_batch || block.len() % 2 == 0, "{name}");
                        taken[shard] += block.len();
                    }
                    assert_eq!(end, of_batch, "{name}");
                }
                let sizes: Vec<usize> = (0..count).map(|shard| shards.range(shard).len()).collect();
                assert_eq!(sizes, taken, "{name}");
                let mut end = 0;
                for shard in 0..count {
                    assert_eq!(shards.range(shard).start, end, "{name}");
                    end = shards.range(shard).end;
                }
                assert_eq!(end, rows, "{name}");
            }
        }
    }

    #[test]
    fn ranks_hold_all_rows_between_them_in_about_equal_parts() {
        for (count, size) in [(8, 1), (8, 2), (8, 3), (8, 8), (3, 3)] {
            let of = |rank| Shards::new(&spec(64, false), 10_007, count, [rank, size]).unwrap();
            let mut end = 0;
            for rank in 0..size {
                let held = of(rank).held();
                assert_eq!(held, of(0).held_by([rank, size]));
                assert_eq!(held.start, end);
                end = held.end;
                let shards = count.div_ceil(size);
                assert!(held.len() <= 10_007 * shards / count + 200, "{size} ranks: {held:?}");
            }
            assert_eq!(end, 10_007);
        }
        assert_eq!(Shards::whole(&spec(64, false), 500).held(), 0..500);
    }

    #[test]
    fn too_many_ranks_and_too_small_batches_are_refused() {
        let error = |batch, rows, count, size| {
            Shards::new(&spec(batch, true), rows, count, [0, size]).unwrap_err().to_string()
        };
        assert!(error(64, 1000, 2, 3).contains("3 ranks for 2 shards"));
        assert!(error(8, 1000, 8, 2).contains("--batch-size 16"));
        assert!(error(8, 10, 8, 2).contains("omit --shard"));
        let shards = Shards::new(&spec(64, false), 1000, 4, [0, 1]).unwrap();
        shards.check_blocks(Reduction::Fastest).unwrap();
        shards.check_blocks(Reduction::Reproducible { blocks: 4 }).unwrap();
        assert!(shards.check_blocks(Reduction::Reproducible { blocks: 8 }).is_err());
    }
}
