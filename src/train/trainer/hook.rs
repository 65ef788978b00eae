//! A hook between the backward pass of a batch and its update.

use super::Trainer;
use crate::backend::{Backend, Values, ValuesMut};
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::kernels::tensor::TensorId;
use crate::math::optim::Optimizer;
use crate::net::precision::Precision;
use crate::net::stopping::OnDivergence;
use crate::plan::{self, Plan, Purpose};
use std::ops::Range;

/// All gradients of a batch, and the running statistics of batch normalization, before the update.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// One slice: the gradients of all parameters, then running means and variances.
    pub values: &'a mut [f32],
    /// Their step, or its last micro-batch: rows, η, number.
    pub step: &'a Step,
    tensors: &'a [InSlice],
}

impl Gradients<'_> {
    /// The tensors by name, such as `layers.0.weight.gradient` and `layers.0.norm.running`, with their
    /// ranges in the slice, in order. The padding between them is 0, and is reset to 0 after the hook.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.range.clone()))
    }

    /// The range of a tensor in the slice.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Range<usize>> {
        self.tensors().find_map(|(of, range)| (of == name).then_some(range))
    }
}

/// A tensor in the slice.
#[derive(Debug)]
struct InSlice {
    name: String,
    range: Range<usize>,
}

/// The user's closure.
type Call = dyn FnMut(&mut Gradients<'_>) -> Result<()> + Send;

/// The seam between the gradient of a step and its update: tensors that are read and written as one slice.
pub(super) struct Seam {
    /// The tensors that are read and written as a whole, consecutive in the slice.
    read: Vec<TensorId>,
    /// All tensors, by their places in the slice.
    tensors: Vec<InSlice>,
    len: usize,
}

impl Seam {
    /// The seam of a plan for [`Purpose::TrainWithHook`]: all gradients, and running statistics.
    pub(super) fn new(plan: &Plan) -> Self {
        let p = &plan.program;
        let ids = (0..p.tensors.len()).map(TensorId);
        Self::with(plan, ids.filter(|id| p.tensor(*id).name.ends_with(".norm.running")))
    }

    /// Its gradients alone.
    pub(super) fn of_gradients(plan: &Plan) -> Self {
        Self::with(plan, std::iter::empty())
    }

    fn with(plan: &Plan, running: impl Iterator<Item = TensorId>) -> Self {
        let p = &plan.program;
        let all = plan.gradients;
        let read: Vec<TensorId> = all.into_iter().chain(running).collect();
        let (mut tensors, mut len) = (Vec::new(), 0);
        for &id in &read {
            let each: Vec<TensorId> = match Some(id) == all {
                true => p.inside(id).collect(),
                false => vec![id],
            };
            let start = p.tensor(id).offset;
            tensors.extend(each.into_iter().map(|id| {
                let Range { start: first, end } = p.range(id, 0);
                let range = len + first - start..len + end - start;
                InSlice { name: p.tensor(id).name.clone(), range }
            }));
            len += p.len(id);
        }
        tensors.sort_by_key(|tensor: &InSlice| tensor.range.start);
        Seam { read, tensors, len }
    }

    /// The tensor, if there is only one.
    pub(super) fn only(&self) -> Option<TensorId> {
        match self.read[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The length of the slice.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Reads all tensors.
    pub(super) fn read(
        &self,
        plan: &Plan,
        backend: &mut dyn Backend,
        values: &mut [f32],
    ) -> Result<()> {
        self.each(plan, values, |id, own| backend.read(id, ValuesMut::F32(own)).block_on())
    }

    /// Writes all tensors, and 0 between them: norms of all gradients include the padding.
    pub(super) fn write(
        &self,
        plan: &Plan,
        backend: &mut dyn Backend,
        values: &mut [f32],
    ) -> Result<()> {
        let mut end = 0;
        for InSlice { range, .. } in &self.tensors {
            values[end..range.start].fill(0.0);
            end = range.end;
        }
        values[end..].fill(0.0);
        self.each(plan, values, |id, own| backend.write(id, Values::F32(own)).block_on())
    }

    fn each(
        &self,
        plan: &Plan,
        values: &mut [f32],
        mut act: impl FnMut(TensorId, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let mut rest = values;
        for &id in &self.read {
            let (own, behind) = rest.split_at_mut(plan.program.len(id));
            act(id, own)?;
            rest = behind;
        }
        Ok(())
    }
}

/// A hook and its seam.
pub(super) struct Hook {
    call: Box<Call>,
    values: Vec<f32>,
    seam: Seam,
}

impl Hook {
    fn new(plan: &Plan, call: Box<Call>) -> Self {
        let seam = Seam::new(plan);
        Hook { call, values: vec![0.0; seam.len], seam }
    }

    /// Reads the gradients, calls the hook, and writes them back.
    pub(super) fn call(
        &mut self,
        plan: &Plan,
        backend: &mut dyn Backend,
        step: &Step,
    ) -> Result<()> {
        let Hook { call, values, seam } = self;
        seam.read(plan, backend, values)?;
        call(&mut Gradients { values, step, tensors: &seam.tensors })?;
        seam.write(plan, backend, values)
    }
}

impl Trainer {
    /// Calls `hook` in every step once all gradients of the batch are complete, before the update: it can read
    /// and change them, and the running statistics of batch normalization, as one slice on the host. An error
    /// of the hook ends the run. Several machines can synchronize here.
    ///
    /// A run with a hook stops when it diverges: it returns to the last good weights, and no step is replayed
    /// to find the cause. To resume a run, set the hook first.
    ///
    /// Gradients are then kept, which takes memory and a pass over them; on the CPU the weights are
    /// bit-identical if the hook changes nothing.
    ///
    /// # Errors
    /// After the first step, in mixed precision, for L-BFGS, whose steps have no such point, for a run that
    /// doesn't stop on divergence, and when the device can't hold the program that keeps gradients beside the
    /// previous one.
    pub fn set_hook(
        &mut self,
        hook: impl FnMut(&mut Gradients<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.check_seam("a hook")?;
        let weights = self.session.weights()?;
        let (batch, traits) = (self.session.plan().program.batch, self.session.backend().traits());
        let plan = plan::plan(&self.spec, batch, Purpose::TrainWithHook, traits);
        let hook = Hook::new(&plan, Box::new(hook));
        self.session.replace(plan)?;
        self.session.set_weights(&self.spec.net, &weights)?;
        self.hook = Some(hook);
        Ok(())
    }

    /// Refuses settings without a point between gradient and update for `what`.
    pub(super) fn check_seam(&self, what: &str) -> Result<()> {
        if self.at.step > 0 {
            return Err(Error::usage(format!("{what} must be set before the first step")));
        }
        if self.spec.precision != Precision::F32 || self.spec.optimizer == Optimizer::Lbfgs {
            let what = format!(
                "{what} cannot be used in mixed precision or with lbfgs, whose steps have no point between gradient and update"
            );
            return Err(Error::usage(what).help("train in f32, with another --optimizer"));
        }
        if self.spec.stopping.on_divergence != OnDivergence::Stop {
            let what = format!("a run with {what} stops when it diverges");
            return Err(Error::usage(what).help("leave on_divergence at its default"));
        }
        Ok(())
    }

    /// Runs a step whose last micro-batch is `last`: to the gradients, then the hook, then the update.
    pub(super) fn run_with_hook(&mut self, hook: &mut Hook, last: Step) -> Result<()> {
        let routines = self.session.plan().program.routines.clone();
        let (data, before) = (self.training.id, routines.step.start..routines.update.start);
        self.session.backend_mut().run(before, data, &[last]).block_on()?;
        let (plan, backend) = self.session.plan_and_backend();
        hook.call(plan, backend, &last)?;
        backend.run(routines.update, data, &[last]).block_on()
    }
}
