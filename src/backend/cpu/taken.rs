//! The use of gradients, part by part.

use super::memory::Shared;
use crate::kernels::Step;
use crate::kernels::fused::gradient::GradientParts;
use crate::kernels::optim::gradient_update::GradientUpdate;
use crate::kernels::optim::optimizer::RuleStep;
use crate::kernels::optim::{average, collect, direction, edits};
use crate::kernels::tensor::TensorId;
use crate::math::gemm::Gemm;
use std::ops::Range;

/// The consumer of an op's gradients, part by part.
pub(super) struct Taker<'a, T> {
    step: &'a Step,
    way: Way<'a, T>,
    /// Tensors with a number for each parameter that are read or written with each part.
    needs: Vec<TensorId>,
}

/// The destination of gradients.
enum Way<'a, T> {
    /// Into the optimizer's step, with the standard deviation and the key of the gradient noise.
    Step(&'a GradientUpdate, RuleStep<T>, Option<(T, [u32; 2])>),
    /// Into the places where they are kept.
    Keep(&'a GradientParts),
}

impl<'a, T: Gemm> Taker<'a, T> {
    /// The optimizer's step of `op`.
    pub(super) fn step(op: &'a GradientUpdate, step: &'a Step) -> Self {
        let used = &op.state[..op.rule.optimizer.state_slots()];
        let mut needs = vec![op.parameters];
        needs.extend(used);
        needs.extend(op.with.collected);
        needs.extend(op.with.average.map(|(_, average)| average));
        let noise =
            op.with.noise.map(|(variance, key)| (edits::noise_deviation(variance, step), key));
        Taker { step, way: Way::Step(op, RuleStep::new(op.rule, step), noise), needs }
    }

    /// The tensor in which `op` keeps its only part.
    pub(super) fn keep(op: &'a GradientParts, step: &'a Step) -> Self {
        let needs = [op.adds.then_some(op.parts), op.collected];
        Taker { step, way: Way::Keep(op), needs: needs.into_iter().flatten().collect() }
    }

    /// Tensors with a number for each parameter that are read or written with each part.
    pub(super) fn needs(&self) -> &[TensorId] {
        &self.needs
    }

    /// Whether parameters change.
    pub(super) fn steps(&self) -> bool {
        matches!(self.way, Way::Step(op, ..) if op.with.direction.is_none())
    }

    /// Takes the gradient of elements `range` of the parameter tensor `w`, which it may change.
    ///
    /// # Safety
    /// No other piece of the current op reads or writes this part of the parameters, nor what goes
    /// with it number by number.
    pub(super) unsafe fn take(
        &self,
        memory: &Shared<'_, T>,
        w: TensorId,
        range: Range<usize>,
        g: &mut [T],
    ) {
        let offset = memory.program().tensor(w).offset;
        // Everything with one number per parameter is at the same offsets.
        let place = offset + range.start..offset + range.end;
        match &self.way {
            Way::Keep(op) => {
                // SAFETY: the place of these parameters, which is the caller's alone.
                let kept = unsafe { memory.write(op.parts, place.clone()) };
                if op.adds {
                    T::add_scaled(T::one(), g, kept);
                } else {
                    kept.copy_from_slice(g);
                }
                if let Some(collected) = op.collected {
                    // SAFETY: the same place of another tensor (`Program::check`).
                    let collected = unsafe { memory.write(collected, place) };
                    collect::reference(true, kept, collected);
                }
            }
            Way::Step(op, rule, noise) => {
                let with = &op.with;
                if let Some(collected) = with.collected {
                    // SAFETY: the place of these parameters, which is the caller's alone; the reference ends
                    // before the step.
                    let collected = unsafe { memory.write(collected, place.clone()) };
                    collect::reference(true, g, collected);
                }
                // In the order of `plan/update.rs`, by the same equations.
                if with.l1 != 0.0 && op.layers.iter().any(|layer| layer.weight == w) {
                    // SAFETY: no other piece writes the caller's parameters, and this one does so later.
                    let weights = unsafe { memory.read(w, range.clone()) };
                    T::add_signs(T::of(with.l1.into()), weights, g);
                }
                if let Some(limit) = with.clip_value {
                    T::clip(T::of(limit.into()), g);
                }
                if let Some((deviation, key)) = *noise {
                    T::add_normals(deviation, key, [place.start as u32, self.step.t], g);
                }
                // SAFETY: the contract is the same, and no reference to these elements is left.
                unsafe { self.take_step(op, rule, memory, w, range, g) };
            }
        }
    }

    /// The optimizer's step by the gradient of a part of a parameter tensor, or its direction, and
    /// the average that follows.
    ///
    /// # Safety
    /// As [`Self::take`].
    unsafe fn take_step(
        &self,
        op: &GradientUpdate,
        rule: &RuleStep<T>,
        memory: &Shared<'_, T>,
        w: TensorId,
        range: Range<usize>,
        g: &[T],
    ) {
        let offset = memory.program().tensor(w).offset;
        let place = offset + range.start..offset + range.end;
        if let Some(u) = op.with.direction {
            // SAFETY: these places are the caller's alone; w is only read, and the states, of which rules
            // with a direction keep two, and u are different tensors (`Program::check`).
            let (w, first, second, u) = unsafe {
                let state = |slot: usize| memory.write(op.state[slot], place.clone());
                (memory.read(w, range), state(0), state(1), memory.write(u, place.clone()))
            };
            direction::reference(op.rule, self.step, place.start, [w, g], [first, second], u);
            return;
        }
        // SAFETY: no other piece has these parameters or their state, and no reference to them is left.
        unsafe { take_step(rule, op.state, memory, w, range.clone(), g) };
        if let Some((share, average)) = op.with.average {
            // SAFETY: these places are the caller's alone, of two tensors, and the step is over.
            let (w, average) = unsafe { (memory.read(w, range), memory.write(average, place)) };
            average::reference(share, self.step, w, average);
        }
    }
}

/// The optimizer's step on a part of a parameter tensor, by its gradient.
///
/// # Safety
/// No other piece of the current op reads or writes this part of the parameters or its state.
pub(super) unsafe fn take_step<T: Gemm>(
    step: &RuleStep<T>,
    state: [TensorId; 3],
    memory: &Shared<'_, T>,
    w: TensorId,
    range: Range<usize>,
    g: &[T],
) {
    // The state is at the same offsets as the parameters.
    let offset = memory.program().tensor(w).offset;
    let state = |slot: usize| {
        let used = step.state_slots() > slot;
        let range = if used { offset + range.start..offset + range.end } else { 0..0 };
        // SAFETY: the caller has this part of the states to itself; those that are used are different
        // tensors (`Program::check`), and of the others it is nothing.
        unsafe { memory.write(state[slot], range) }
    };
    // SAFETY: the caller has this part of the parameters to itself; g isn't part of a state or of them.
    let w = unsafe { memory.write(w, range.clone()) };
    step.apply(offset + range.start, w, g, [state(0), state(1), state(2)]);
}
