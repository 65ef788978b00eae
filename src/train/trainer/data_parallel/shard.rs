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

/// What a rank needs for its part of the optimizer's step.
pub(in crate::train::trainer) struct Shard {
    parameters: TensorId,
    /// What the optimizer keeps, a number for each parameter.
    states: Vec<TensorId>,
    /// Whether this rank has all of the state, not only what belongs to its part.
    pub is_whole: bool,
}

impl Shard {
    /// Gives every rank the parameters that the others have updated.
    pub(in crate::train::trainer) fn gather(
        &mut self,
        backend: &mut dyn Backend,
        ranks: &mut dyn Ranks,
    ) -> Result<()> {
        self.is_whole = false;
        gather(backend, ranks, self.parameters)
    }
}

fn gather(backend: &mut dyn Backend, ranks: &mut dyn Ranks, tensor: TensorId) -> Result<()> {
    let lost = || Error::failed("the parameters are no longer in memory");
    all_gather_in_place(ranks, backend.host_mut(tensor).ok_or_else(lost)?)
}

/// The plan whose update is that of this rank's part alone; none where the update is more than a step of an optimizer
/// that takes each parameter by itself, or the tensors don't lie in the host's memory.
fn sharded(session: &mut Session, parallel: &DataParallel) -> Option<(Plan, Shard)> {
    let size = parallel.ranks.size();
    let mut plan = session.plan().clone();
    let update = plan.program.routines.update.clone();
    let len = plan.program.len(plan.parameters);
    let [Op::Update { rule, w, state, range, .. }] = &mut plan.program.ops[update] else {
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
    *range = own_part(len, parallel.ranks.rank(), size);
    let states = state[..rule.optimizer.state_slots()].to_vec();
    let backend = session.backend_mut();
    let mut in_memory =
        |id: &TensorId| backend.host_mut(*id).is_some_and(|values| values.len() == len);
    if !in_memory(&plan.parameters) || !states.iter().all(in_memory) {
        return None;
    }
    let parameters = plan.parameters;
    Some((plan, Shard { parameters, states, is_whole: true }))
}

impl Trainer {
    /// Shares the optimizer's step between the ranks, where that can be done: the program that was loaded for ranks is
    /// loaded once more.
    pub(in crate::train::trainer) fn share_update(
        &mut self,
        parallel: &mut DataParallel,
    ) -> Result<()> {
        parallel.shard = None;
        let Some((plan, shard)) = sharded(&mut self.session, parallel) else { return Ok(()) };
        let weights = self.session.weights()?;
        self.session.replace(plan)?;
        self.session.set_weights(&self.spec.net, &weights)?;
        parallel.shard = Some(shard);
        Ok(())
    }

    /// Whether ranks share the optimizer's step.
    pub(in crate::train::trainer) fn shares_update(&self) -> bool {
        self.parallel.as_ref().is_some_and(|parallel| parallel.shard.is_some())
    }

    /// Gives every rank all of the optimizer's state, of which each has updated a part. All ranks call it.
    pub(in crate::train::trainer) fn gather_state(&mut self) -> Result<()> {
        let Some(parallel) = &mut self.parallel else { return Ok(()) };
        let DataParallel { ranks, shard: Some(shard), .. } = parallel else { return Ok(()) };
        if shard.is_whole {
            return Ok(());
        }
        for &state in &shard.states {
            gather(self.session.backend_mut(), ranks.as_mut(), state)?;
        }
        shard.is_whole = true;
        Ok(())
    }
}
