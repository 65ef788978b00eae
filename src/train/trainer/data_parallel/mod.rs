//! Data-parallel steps: every rank computes the gradient of its part of a batch, the gradients are summed over all
//! ranks, and every rank takes the same update.

pub(super) mod overlap;
pub(super) mod rows;
mod shared_update;
pub(super) mod sync_batch_norm;

use super::hook::Seam;
use crate::backend::session::{Loaded, Session};
use crate::backend::{Backend, DataId, Values, ValuesMut};
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::kernels::tensor::TensorId;
use crate::net::spec::Spec;
use crate::plan::Plan;
use crate::train::ranks::{
    Parts, Ranks, Shards, Tree, micro_batches, multiple, reduce, reduce_in_place,
    reduce_scatter_in_place,
};
use overlap::Overlap;
use rows::LocalRows;
use shared_update::SharedUpdate;
use std::ops::Range;
use sync_batch_norm::{Blocks, Place, SyncBatchNorm};

/// The number of sums of losses and scores, which are appended to the gradients.
pub(super) const SUMS: usize = 4;

/// The state of data-parallel steps besides the session.
pub(super) struct DataParallel {
    pub ranks: Box<dyn Ranks>,
    pub parts: Parts,
    pub seam: Seam,
    pub tree: Tree,
    /// Of a net with batch normalization.
    pub norms: Option<SyncBatchNorm>,
    /// Where sums overlap with the backward pass.
    pub overlap: Option<Overlap>,
    /// Where ranks share the optimizer's step.
    pub shared_update: Option<SharedUpdate>,
    /// Whether the weights may differ in their last bits between ranks, as their devices are of different kinds.
    pub drifts: bool,
}

impl DataParallel {
    /// The rows of this rank's largest part of a batch.
    pub(super) fn most_rows(&self, spec: &Spec, shards: Option<&Shards>) -> usize {
        let of = [self.ranks.rank(), self.ranks.size()];
        let parts = match shards {
            None => self.parts.of(spec.batch_size, multiple(spec), of),
            Some(shards) => shards.blocks(spec.batch_size, of),
        };
        let most = parts.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
        match self.parts {
            // The same program on all ranks.
            Parts::Blocks(blocks) => {
                spec.batch_size.div_ceil(blocks).next_multiple_of(multiple(spec))
            }
            Parts::Ends(_) => most,
        }
        .max(1)
    }

    /// Runs a step together with the other ranks.
    pub(super) fn step(
        &mut self,
        session: &mut Session,
        spec: &Spec,
        local: &LocalRows,
        step: &Step,
    ) -> Result<()> {
        let (plan, backend) = session.plan_and_backend();
        let mut before = [0.0; SUMS];
        backend.read(plan.sums, ValuesMut::F32(&mut before)).block_on()?;
        let sums = self.gradients(plan, backend, spec, local, step)?;
        let after: [f32; SUMS] = std::array::from_fn(|i| before[i] + sums[i]);
        backend.write(plan.sums, Values::F32(&after)).block_on()?;
        let update = plan.program.routines.update.clone();
        // The update is for the whole batch, though the program holds only some of its rows.
        let rows = step.rows.min(plan.program.batch as u32);
        backend.run(update, local.data, &[Step { rows, ..*step }]).block_on()?;
        match &mut self.shared_update {
            Some(shared) => shared.gather(backend, self.ranks.as_mut()),
            None => Ok(()),
        }
    }

    /// Writes the gradients of the whole batch of a step; returns the sums of its losses and scores.
    fn gradients(
        &mut self,
        plan: &Plan,
        backend: &mut dyn Backend,
        spec: &Spec,
        local: &LocalRows,
        step: &Step,
    ) -> Result<[f32; SUMS]> {
        let of = [self.ranks.rank(), self.ranks.size()];
        let parts = local.parts(&self.parts, step.rows as usize, multiple(spec), of);
        if let Some(mut overlap) = self.overlap.take() {
            let mut at = Place { plan, backend, local, step };
            let sums = overlap.gradients(self, &mut at, parts, multiple(spec));
            self.overlap = Some(overlap);
            return sums;
        }
        if let Some(gradients) = self.in_place(backend) {
            let multiple = multiple(spec);
            return self.gradients_in_place(
                plan,
                backend,
                local,
                step,
                multiple,
                (gradients, parts),
            );
        }
        // Gradients, and then the sums of losses and scores.
        let len = self.seam.len() + SUMS;
        let mut norms = self.norms.take();
        let total = match (&mut norms, &self.parts) {
            (Some(norms), _) => self.synchronized(norms, plan, backend, spec, local, step),
            (None, Parts::Blocks(blocks)) => {
                let blocks = *blocks;
                for (block, rows) in parts {
                    let mut values = self.tree.buffer(len);
                    match rows.is_empty() {
                        // −0 adds nothing to a sum, not even the sign of 0.
                        true => values.fill(-0.0),
                        false => {
                            let place = local.of(step, &rows)?;
                            self.part(plan, backend, place, None, &mut values)?
                        }
                    }
                    self.tree.push(block, values);
                }
                reduce(self.ranks.as_mut(), blocks, &mut self.tree, len)
            }
            (None, Parts::Ends(_)) => {
                let parts = micro_batches_of(parts, plan, multiple(spec));
                let mut total = self.add_up(plan, backend, local, step, parts)?;
                self.ranks.sum(&mut total).map(|()| total)
            }
        };
        self.norms = norms;
        let mut total = total?;
        let (gradients, sums) = total.split_at_mut(self.seam.len());
        self.seam.write(plan, backend, gradients)?;
        let sums = std::array::from_fn(|i| sums[i]);
        self.tree.give(total);
        Ok(sums)
    }

    /// The gradients, losses and scores of the whole batch for a net with batch normalization.
    fn synchronized(
        &mut self,
        norms: &mut SyncBatchNorm,
        plan: &Plan,
        backend: &mut dyn Backend,
        spec: &Spec,
        local: &LocalRows,
        step: &Step,
    ) -> Result<Vec<f32>> {
        let [rank, size] = [self.ranks.rank(), self.ranks.size()];
        let (rows, multiple) = (step.rows as usize, multiple(spec));
        let parts = |rank| local.parts(&self.parts, rows, multiple, [rank, size]);
        let own = parts(rank);
        let before: usize = (0..rank).map(|rank| parts(rank).len()).sum();
        let all = (0..size).flat_map(parts).map(|(_, rows)| rows).collect();
        let blocks = Blocks { all, own: before..before + own.len() };
        let mut at = Place { plan, backend, local, step };
        norms.begin(&mut at, self.ranks.as_mut(), &blocks)?;
        let len = self.seam.len() + SUMS;
        let mut last = Vec::new();
        for (i, (block, rows)) in own.into_iter().enumerate() {
            let mut values = self.tree.buffer(len);
            // What adds nothing to a sum, not even the sign of 0.
            values.fill(-0.0);
            if !rows.is_empty() {
                let sums = norms.end(&mut at, &blocks, i)?;
                let (gradients, of_rows) = values.split_at_mut(self.seam.len());
                self.seam.read(plan, at.backend, gradients)?;
                of_rows.copy_from_slice(&sums);
            }
            match self.parts {
                Parts::Blocks(_) => self.tree.push(block, values),
                Parts::Ends(_) if last.is_empty() => last = values,
                Parts::Ends(_) => {
                    last.iter_mut().zip(&values).for_each(|(sum, x)| *sum += x);
                    self.tree.give(values);
                }
            }
        }
        match self.parts {
            Parts::Blocks(blocks) => reduce(self.ranks.as_mut(), blocks, &mut self.tree, len),
            Parts::Ends(_) => self.ranks.sum(&mut last).map(|()| last),
        }
    }

    /// The sums of losses and scores over held-out rows.
    pub(super) fn scores(&mut self, session: &mut Session, data: &Loaded) -> Result<[f32; SUMS]> {
        let parts = self.parts.of(data.rows, 1, [self.ranks.rank(), self.ranks.size()]);
        let mut tree = Tree::default();
        let mut last = [0.0; SUMS];
        for (block, rows) in parts {
            session.clear_sums()?;
            if !rows.is_empty() {
                session.add_scores_of(data, rows)?;
            }
            last = session.sums()?;
            tree.push(block, last.to_vec());
        }
        match self.parts {
            Parts::Blocks(blocks) => {
                let sums = reduce(self.ranks.as_mut(), blocks, &mut tree, SUMS)?;
                Ok(std::array::from_fn(|i| sums[i]))
            }
            Parts::Ends(_) => {
                self.ranks.sum(&mut last)?;
                Ok(last)
            }
        }
    }

    /// The tensor of all gradients, if it can be summed in place.
    pub(super) fn in_place(&self, backend: &mut dyn Backend) -> Option<TensorId> {
        let is_single = match self.parts {
            Parts::Blocks(_) => self.ranks.size().is_power_of_two(),
            Parts::Ends(_) => true,
        };
        let gradients =
            self.seam.only().filter(|_| is_single && self.norms.is_none() && !self.drifts)?;
        backend.host_mut(gradients).map(|_| gradients)
    }

    /// As [`DataParallel::gradients`], summed in place.
    fn gradients_in_place(
        &mut self,
        plan: &Plan,
        backend: &mut dyn Backend,
        local: &LocalRows,
        step: &Step,
        multiple: usize,
        (gradients, parts): (TensorId, Vec<(usize, Range<usize>)>),
    ) -> Result<[f32; SUMS]> {
        let parts = match self.parts {
            Parts::Blocks(_) => parts,
            Parts::Ends(_) => micro_batches_of(parts, plan, multiple),
        };
        let (last, mut sums_tree) = (parts.len().saturating_sub(1), Tree::default());
        let (mut sums, by_blocks) = ([0.0; SUMS], matches!(self.parts, Parts::Blocks(_)));
        for (i, (block, rows)) in parts.into_iter().enumerate() {
            let mut own = [if by_blocks { -0.0 } else { 0.0 }; SUMS];
            if !rows.is_empty() {
                backend.write(plan.sums, Values::F32(&[0.0; SUMS])).block_on()?;
                let (data, step) = local.of(step, &rows)?;
                backend.run(gradient(plan), data, &[step]).block_on()?;
                backend.read(plan.sums, ValuesMut::F32(&mut own)).block_on()?;
            }
            let values = backend.host_mut(gradients).ok_or_else(lost)?;
            if rows.is_empty() {
                values.fill(own[0]);
            }
            match i == last {
                true => {
                    self.tree.push_last(values);
                    sums_tree.push_last(&mut own);
                    sums = own;
                }
                false => {
                    self.tree.push_copy(block, values);
                    sums_tree.push_copy(block, &own);
                }
            }
        }
        let values = backend.host_mut(gradients).ok_or_else(lost)?;
        let (ranks, tree) = (self.ranks.as_mut(), &mut self.tree);
        match (&self.shared_update, &self.parts) {
            (Some(_), _) => reduce_scatter_in_place(ranks, tree, values)?,
            (None, Parts::Blocks(_)) => reduce_in_place(ranks, tree, values)?,
            (None, Parts::Ends(_)) => ranks.sum(values)?,
        }
        match self.parts {
            Parts::Blocks(_) => reduce_in_place(ranks, &mut sums_tree, &mut sums)?,
            Parts::Ends(_) => ranks.sum(&mut sums)?,
        }
        Ok(sums)
    }

    /// The gradients, losses and scores of this rank's rows of a step, which are in these parts.
    fn add_up(
        &mut self,
        plan: &Plan,
        backend: &mut dyn Backend,
        local: &LocalRows,
        step: &Step,
        parts: Vec<(usize, Range<usize>)>,
    ) -> Result<Vec<f32>> {
        let mut total = self.tree.buffer(self.seam.len() + SUMS);
        for (i, rows) in parts {
            if rows.is_empty() {
                total.fill(0.0);
                break;
            }
            let place = local.of(step, &rows)?;
            if i == 0 {
                self.part(plan, backend, place, None, &mut total)?;
                continue;
            }
            let mut values = self.tree.buffer(total.len());
            self.part(plan, backend, place, None, &mut values)?;
            total.iter_mut().zip(&values).for_each(|(sum, x)| *sum += x);
            self.tree.give(values);
        }
        Ok(total)
    }

    /// The gradients, losses and scores of some rows; those of a tensor that is summed in place in the backend's order.
    fn part(
        &self,
        plan: &Plan,
        backend: &mut dyn Backend,
        (data, step): (DataId, Step),
        in_place: Option<TensorId>,
        values: &mut [f32],
    ) -> Result<()> {
        backend.write(plan.sums, Values::F32(&[0.0; SUMS])).block_on()?;
        backend.run(gradient(plan), data, &[step]).block_on()?;
        let (gradients, sums) = values.split_at_mut(self.seam.len());
        match in_place {
            Some(id) => gradients.copy_from_slice(backend.host_mut(id).ok_or_else(lost)?),
            None => self.seam.read(plan, backend, gradients)?,
        }
        backend.read(plan.sums, ValuesMut::F32(sums)).block_on()
    }
}

fn lost() -> Error {
    Error::failed("the gradients are no longer in memory")
}

/// The rows of a rank's parts, in micro-batches that fit the program and have a multiple of rows.
fn micro_batches_of(
    parts: Vec<(usize, Range<usize>)>,
    plan: &Plan,
    multiple: usize,
) -> Vec<(usize, Range<usize>)> {
    micro_batches(parts, (plan.program.batch / multiple * multiple).max(1))
}

/// The ops up to the gradients.
pub(super) fn gradient(plan: &Plan) -> Range<usize> {
    plan.program.routines.step.start..plan.program.routines.update.start
}

/// Some rows of a step.
pub(super) fn of_rows(step: &Step, rows: &Range<usize>) -> Step {
    Step { rows: rows.len() as u32, ..step.from_row(rows.start as u32) }
}
