//! The effects of ops: what they read, write and change in place, and which parts run concurrently.

use super::{Op, Program};
use crate::kernels::optim::gradient_update::ParameterGradient;
use crate::kernels::tensor::TensorId;
use crate::math::optim::UpdateRule;
use std::ops::Range;

/// Elements of a tensor, counted in the buffer that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The tensor.
    pub tensor: TensorId,
    /// The elements for a full batch.
    pub range: Range<usize>,
}

/// A part of an op that runs concurrently with its other parts, in no order: a GPU has no barrier between
/// workgroups of a launch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// What it reads and doesn't write.
    pub reads: Vec<Slice>,
    /// What it overwrites.
    pub writes: Vec<Slice>,
    /// What it changes in place: each element is read and written by one invocation or workgroup.
    pub changes: Vec<Slice>,
}

impl Task {
    /// All that the task writes or changes.
    pub fn written(&self) -> impl Iterator<Item = &Slice> {
        self.writes.iter().chain(&self.changes)
    }

    /// All that the task's results depend on.
    pub fn read(&self) -> impl Iterator<Item = &Slice> {
        self.reads.iter().chain(&self.changes)
    }

    /// All that it touches.
    pub fn touched(&self) -> impl Iterator<Item = &Slice> {
        self.reads.iter().chain(self.written())
    }
}

impl Program {
    /// What `op` does to tensors for a full batch, in one or more tasks that run concurrently. For what it
    /// reads of the data set see [`Program::reads`].
    #[must_use]
    pub fn effects(&self, op: &Op) -> Vec<Task> {
        op.effects(self)
    }

    /// A whole tensor.
    pub(crate) fn whole(&self, tensor: TensorId) -> Slice {
        Slice { tensor, range: self.range(tensor, self.batch) }
    }

    /// Elements `range` of a tensor.
    pub(super) fn slice(&self, tensor: TensorId, range: Range<usize>) -> Slice {
        // Saturates, like sizes beyond any machine.
        let at = |i: usize| self.tensor(tensor).offset.saturating_add(i);
        Slice { tensor, range: at(range.start)..at(range.end) }
    }

    /// The one task of an op that reads, writes and changes whole tensors.
    pub(super) fn task(
        &self,
        reads: &[TensorId],
        writes: &[TensorId],
        changes: &[TensorId],
    ) -> Vec<Task> {
        let whole = |ids: &[TensorId]| ids.iter().map(|&id| self.whole(id)).collect();
        vec![Task { reads: whole(reads), writes: whole(writes), changes: whole(changes) }]
    }

    /// The optimizer's step on elements `range` of all parameters in one row.
    pub(super) fn step(
        &self,
        rule: UpdateRule,
        w: TensorId,
        g: TensorId,
        states: &[TensorId],
        range: &Range<usize>,
    ) -> Vec<Task> {
        let slice = |id: TensorId| self.slice(id, range.clone());
        let changed = [&[w], kept(rule, states)].concat();
        vec![Task {
            reads: vec![slice(g)],
            writes: vec![],
            changes: changed.into_iter().map(slice).collect(),
        }]
    }

    /// The sums of the scores.
    pub(super) fn accumulate(&self, [scores, sums]: [TensorId; 2]) -> Task {
        let [scores, sums] = [scores, sums].map(|id| self.whole(id));
        Task { reads: vec![scores], writes: vec![], changes: vec![sums] }
    }

    /// The update of a layer's parameters by its gradient, which isn't kept.
    pub(super) fn update(&self, layer: &ParameterGradient, states: &[TensorId]) -> Task {
        let mut changes = Vec::new();
        for w in layer.parameters() {
            changes.push(self.whole(w));
            let place = self.range(w, 0);
            changes.extend(states.iter().map(|&state| self.slice(state, place.clone())));
        }
        let reads = [layer.delta, layer.input].map(|id| self.whole(id)).to_vec();
        Task { reads, writes: vec![], changes }
    }

    /// The gradient of a layer over each of `count` parts of the batch, in rows of `sums`.
    pub(super) fn parts(&self, layer: &ParameterGradient, sums: TensorId, count: usize) -> Task {
        let row = self.tensor(sums).cols;
        let places = layer.parameters().map(|w| self.range(w, 0));
        let writes = places.flat_map(|place| {
            let at = move |part: usize, i: usize| part.saturating_mul(row).saturating_add(i);
            (0..count).map(move |part| at(part, place.start)..at(part, place.end))
        });
        let writes = writes.map(|range| self.slice(sums, range)).collect();
        let reads = [layer.delta, layer.input].map(|id| self.whole(id)).to_vec();
        Task { reads, writes, changes: vec![] }
    }
}

/// The states that a rule uses, of those that are allocated.
pub(super) fn kept(rule: UpdateRule, states: &[TensorId]) -> &[TensorId] {
    &states[..rule.optimizer.state_slots().min(states.len())]
}
