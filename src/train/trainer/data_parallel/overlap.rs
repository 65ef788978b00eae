//! Sums of gradients that overlap with the backward pass: the ops up to the gradients are cut into pieces, and a
//! second thread sums the bucket of each piece over all ranks while this one computes the next.
//!
//! It is used where [`Ranks::bucket`] asks for it. A bucket is summed in the same order as all gradients at once by the
//! tree of [`Reduction::Reproducible`](crate::train::ranks::Reduction), so that the bits are the same.

use super::sync_batch_norm::Place;
use super::{DataParallel, SUMS, lost, micro_batches_of};
use crate::backend::{Values, ValuesMut};
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::kernels::tensor::TensorId;
use crate::plan::{Piece, Plan};
use crate::train::ranks::{Parts, Ranks, Tree, own_part, reduce_in_place, reduce_scatter_in_place};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The pieces of the ops up to the gradients, and the memory for sums.
pub(in crate::train::trainer) struct Overlap {
    buckets: Vec<Bucket>,
    scratch: Tree,
}

/// The gradients of a piece, in the host's memory.
struct Bucket {
    piece: Piece,
    /// Its tensors, with their elements of the row of all gradients.
    tensors: Vec<(TensorId, Range<usize>)>,
    values: Vec<f32>,
}

impl Overlap {
    /// Cuts the ops of a plan into pieces; none where all gradients are computed before they are summed: if the ranks
    /// ask for no buckets or there is only one, for several nodes of the tree on a rank, and with batch normalization,
    /// where ranks wait for each other in the middle of the ops.
    pub(in crate::train::trainer) fn new(plan: &mut Plan, parallel: &DataParallel) -> Option<Self> {
        let is_single = match parallel.parts {
            Parts::Blocks(_) => parallel.ranks.size().is_power_of_two(),
            Parts::Ends(_) => true,
        };
        let least = parallel.ranks.bucket().filter(|_| is_single && parallel.norms.is_none())?;
        let pieces = plan.cut(least);
        let program = &plan.program;
        let each: Vec<_> = plan.gradients.into_iter().flat_map(|all| program.inside(all)).collect();
        let bucket = |piece: Piece| {
            let with_range = each.iter().map(|&id| (id, program.range(id, 0)));
            let tensors =
                with_range.filter(|(_, range)| piece.bucket.contains(&range.start)).collect();
            Bucket { tensors, values: vec![0.0; piece.bucket.len()], piece }
        };
        let buckets: Vec<_> = pieces.into_iter().map(bucket).collect();
        (!buckets.is_empty()).then(|| Overlap { buckets, scratch: Tree::default() })
    }

    /// The elements of each bucket.
    pub(in crate::train::trainer) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.buckets.iter().map(|bucket| bucket.piece.bucket.clone())
    }

    /// Writes the gradients of the whole batch of a step, as [`DataParallel::gradients`].
    pub(super) fn gradients(
        &mut self,
        parallel: &mut DataParallel,
        at: &mut Place<'_>,
        parts: Vec<(usize, Range<usize>)>,
        multiple: usize,
    ) -> Result<[f32; SUMS]> {
        let in_place = parallel.in_place(at.backend);
        let by_blocks = matches!(parallel.parts, Parts::Blocks(_));
        let mut parts = if by_blocks { parts } else { micro_batches_of(parts, at.plan, multiple) };
        // −0 adds nothing to a sum, not even the sign of 0.
        let nothing = if by_blocks { -0.0 } else { 0.0 };
        let (_, last) = parts.pop().unwrap_or((0, 0..0));
        let len = parallel.seam.len();
        for (block, rows) in parts {
            let mut values = parallel.tree.buffer(len + SUMS);
            match rows.is_empty() {
                true => values.fill(nothing),
                false => {
                    let Place { plan, backend, local, step } = &mut *at;
                    let place = local.of(step, &rows)?;
                    parallel.part(plan, *backend, place, in_place, &mut values)?;
                }
            }
            parallel.tree.push(block, values);
        }
        let is_shared = parallel.shared_update.is_some();
        let Overlap { buckets, scratch } = self;
        let ranks = parallel.ranks.as_mut();
        let own = [ranks.rank(), ranks.size()];
        let mut last = Last {
            at,
            in_place,
            rows: last,
            nothing,
            tree: &parallel.tree,
            own: is_shared.then_some(own),
        };
        let result = thread::scope(|scope| {
            let (give, given) = channel();
            let (done, summed) = channel();
            let (ranks, scratch) = (&mut *ranks, &mut *scratch);
            let reduction = scope.spawn(move || {
                for bucket in given {
                    let bucket: &mut Bucket = bucket;
                    let values = &mut bucket.values[..];
                    match is_shared {
                        true => reduce_scatter_in_place(ranks, scratch, values)?,
                        false => sum(ranks, scratch, by_blocks, values)?,
                    }
                    if done.send(bucket).is_err() {
                        break;
                    }
                }
                Ok(())
            });
            let computed = last.run(buckets, give, summed);
            let reduced = reduction.join().unwrap_or_else(|panic| resume_unwind(panic));
            computed.and_then(|sums| reduced.map(|()| sums))
        });
        let mut sums = result?;
        parallel.tree.add_to_last(&(len..len + SUMS), &mut sums);
        parallel.tree.clear();
        sum(parallel.ranks.as_mut(), &mut self.scratch, by_blocks, &mut sums)?;
        Ok(sums)
    }
}

/// Replaces values by their sums over all ranks.
fn sum(
    ranks: &mut dyn Ranks,
    scratch: &mut Tree,
    by_blocks: bool,
    values: &mut [f32],
) -> Result<()> {
    match by_blocks {
        true => reduce_in_place(ranks, scratch, values),
        false => ranks.sum(values),
    }
}

/// The last rows of a rank's part of a batch: their gradients complete the rank's sums.
struct Last<'a, 'b> {
    at: &'a mut Place<'b>,
    /// The tensor of all gradients, if it is read and written where it lies.
    in_place: Option<TensorId>,
    rows: Range<usize>,
    /// The gradients of no rows.
    nothing: f32,
    /// The gradients of the earlier rows.
    tree: &'a Tree,
    /// Number and count of the ranks, if each has the sums of its own part only.
    own: Option<[usize; 2]>,
}

impl Last<'_, '_> {
    /// Computes piece by piece and gives each bucket to the thread that sums it; then writes the sums. The sums of the losses
    /// and scores of these rows.
    fn run<'c>(
        &mut self,
        buckets: &'c mut [Bucket],
        give: Sender<&'c mut Bucket>,
        summed: Receiver<&'c mut Bucket>,
    ) -> Result<[f32; SUMS]> {
        let mut sums = [self.nothing; SUMS];
        let sums_of_plan = self.at.plan.sums;
        if !self.rows.is_empty() {
            self.at.backend.write(sums_of_plan, Values::F32(&[0.0; SUMS])).block_on()?;
        }
        for bucket in buckets {
            self.compute(bucket)?;
            self.tree.add_to_last(&bucket.piece.bucket, &mut bucket.values);
            if give.send(bucket).is_err() {
                // The other thread has an error.
                return Ok(sums);
            }
        }
        drop(give);
        if !self.rows.is_empty() {
            self.at.backend.read(sums_of_plan, ValuesMut::F32(&mut sums)).block_on()?;
        }
        summed.into_iter().try_for_each(|bucket| self.write(bucket)).map(|()| sums)
    }

    fn compute(&mut self, bucket: &mut Bucket) -> Result<()> {
        if self.rows.is_empty() {
            bucket.values.fill(self.nothing);
            return Ok(());
        }
        let Place { plan: _, backend, local, step } = &mut *self.at;
        if !bucket.piece.ops.is_empty() {
            let (data, step) = local.of(step, &self.rows)?;
            backend.run(bucket.piece.ops.clone(), data, &[step]).block_on()?;
        }
        let all = &bucket.piece.bucket;
        if let Some(id) = self.in_place {
            let gradients = backend.host_mut(id).ok_or_else(lost)?;
            bucket.values.copy_from_slice(&gradients[all.clone()]);
            return Ok(());
        }
        for (id, range) in &bucket.tensors {
            let values = &mut bucket.values[range.start - all.start..range.end - all.start];
            backend.read(*id, ValuesMut::F32(values)).block_on()?;
        }
        Ok(())
    }

    fn write(&mut self, bucket: &Bucket) -> Result<()> {
        let (all, backend) = (&bucket.piece.bucket, &mut self.at.backend);
        if let Some(id) = self.in_place {
            let part =
                self.own.map_or(0..all.len(), |[rank, size]| own_part(all.len(), rank, size));
            let gradients = &mut backend.host_mut(id).ok_or_else(lost)?[all.clone()];
            gradients[part.clone()].copy_from_slice(&bucket.values[part]);
            return Ok(());
        }
        for (id, range) in &bucket.tensors {
            let values = &bucket.values[range.start - all.start..range.end - all.start];
            backend.write(*id, Values::F32(values)).block_on()?;
        }
        Ok(())
    }
}
