//! The optimizer's step shared between ranks, as ZeRO-1 shares it (Rajbhandari et al. 2020): each rank has the sum of all
//! gradients for its part of the parameters only, updates these by its part of the optimizer's state, and then all ranks
//! get all parameters. It carries the same bytes as a sum of the gradients, the update takes a fraction of the time, and
//! the rest of the state is never touched, so that the system gives no memory for it.

use super::DataParallel;
use crate::backend::Backend;
use crate::backend::session::Session;
use crate::base::error::{Error, Result};
use crate::kernels::tensor::{ALIGNMENT, TensorId};
use crate::plan::Plan;
use crate::plan::program::Op;
use crate::train::ranks::{Ranks, all_gather_in_place, own_part};
use crate::train::trainer::Trainer;
use std::ops::Range;

/// What a rank needs for its part of the optimizer's step.
pub(in crate::train::trainer) struct SharedUpdate {
    parameters: TensorId,
    /// What the optimizer keeps, a number for each parameter.
    states: Vec<TensorId>,
    /// The elements that are shared at a time: all, or the buckets in which gradients are summed.
    buckets: Vec<Range<usize>>,
    /// Whether this rank has all of the state, not only what belongs to its part.
    pub is_whole: bool,
}

impl SharedUpdate {
    /// Gives every rank the parameters that the others have updated.
    pub(in crate::train::trainer) fn gather(
        &mut self,
        backend: &mut dyn Backend,
        ranks: &mut dyn Ranks,
    ) -> Result<()> {
        self.is_whole = false;
        self.gather_tensor(backend, ranks, self.parameters)
    }

    fn gather_tensor(
        &self,
        backend: &mut dyn Backend,
        ranks: &mut dyn Ranks,
        tensor: TensorId,
    ) -> Result<()> {
        let lost = || Error::failed("the parameters are no longer in memory");
        let all = backend.host_mut(tensor).ok_or_else(lost)?;
        let mut buckets = self.buckets.iter();
        buckets.try_for_each(|bucket| all_gather_in_place(ranks, &mut all[bucket.clone()]))
    }
}

/// The plan whose update is that of this rank's part alone; none where the update is more than a step of an optimizer
/// that takes each parameter by itself, or the tensors don't lie in the host's memory.
fn shared(session: &mut Session, parallel: &DataParallel) -> Option<(Plan, SharedUpdate)> {
    let size = parallel.ranks.size();
    let mut plan = session.plan().clone();
    let update = plan.program.routines.update.clone();
    let len = plan.program.len(plan.parameters);
    let [op @ Op::Update { rule, w, state, range, .. }] = &plan.program.ops[update.clone()] else {
        return None;
    };
    let fits = size > 1
        && size.is_power_of_two()
        // No rank has nothing but the space between two tensors.
        && len / size >= ALIGNMENT
        && *w == plan.parameters
        && *range == (0..len)
        && parallel.in_place(session.backend_mut()).is_some();
    if !fits {
        return None;
    }
    let buckets: Vec<_> = match &parallel.overlap {
        Some(overlap) => overlap.ranges().collect(),
        None => Vec::from([Range { start: 0, end: len }]),
    };
    let own = buckets.iter().map(|bucket| {
        let Range { start, end } = own_part(bucket.len(), parallel.ranks.rank(), size);
        bucket.start + start..bucket.start + end
    });
    // A small bucket may leave a rank nothing but the space between two tensors.
    let tensors = || plan.program.inside(*w).map(|id| plan.program.range(id, 0));
    let is_used = |own: &Range<usize>| tensors().any(|t| t.start < own.end && own.start < t.end);
    let updates = own.filter(is_used).map(|own| {
        let mut op = op.clone();
        if let Op::Update { range, .. } = &mut op {
            *range = own;
        }
        op
    });
    let updates = updates.collect();
    let states = state[..rule.optimizer.state_slots()].to_vec();
    plan.program.replace(update.start, updates);
    let backend = session.backend_mut();
    let mut in_memory =
        |id: &TensorId| backend.host_mut(*id).is_some_and(|values| values.len() == len);
    if !in_memory(&plan.parameters) || !states.iter().all(in_memory) {
        return None;
    }
    let parameters = plan.parameters;
    Some((plan, SharedUpdate { parameters, states, buckets, is_whole: true }))
}

impl Trainer {
    /// Shares the optimizer's step between the ranks, where that can be done: the program that was loaded for ranks is
    /// loaded once more.
    pub(in crate::train::trainer) fn share_update(
        &mut self,
        parallel: &mut DataParallel,
    ) -> Result<()> {
        parallel.shared_update = None;
        let Some((plan, shared)) = shared(&mut self.session, parallel) else { return Ok(()) };
        let weights = self.session.weights()?;
        self.session.replace(plan)?;
        self.session.set_weights(&self.spec.net, &weights)?;
        parallel.shared_update = Some(shared);
        Ok(())
    }

    /// Whether ranks share the optimizer's step.
    pub(in crate::train::trainer) fn shares_update(&self) -> bool {
        self.parallel.as_ref().is_some_and(|parallel| parallel.shared_update.is_some())
    }

    /// Gives every rank all of the optimizer's state, of which each has updated a part. All ranks call it.
    pub(in crate::train::trainer) fn gather_state(&mut self) -> Result<()> {
        let Some(parallel) = &mut self.parallel else { return Ok(()) };
        let DataParallel { ranks, shared_update: Some(shared), .. } = parallel else {
            return Ok(());
        };
        if shared.is_whole {
            return Ok(());
        }
        for &state in &shared.states {
            shared.gather_tensor(self.session.backend_mut(), ranks.as_mut(), state)?;
        }
        shared.is_whole = true;
        Ok(())
    }
}
