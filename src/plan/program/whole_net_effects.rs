//! The effects of ops that do much at once: passes over rows, and what goes with updates.

use super::effects::table;
use super::{Program, Slice, Task};
use crate::kernels::fused::whole_net::{NetLayer, Reach, WholeNet};
use crate::kernels::optim::update::{GradientUpdate, NormParameters, NormSums};
use crate::kernels::tensor::TensorId;

impl Program {
    /// The same of the scale and shift of a normalization.
    pub(super) fn update_norm(&self, norm: &NormParameters, states: &[TensorId]) -> Task {
        let mut changes = Vec::new();
        for w in [norm.scale, norm.shift] {
            changes.push(self.whole(w));
            let place = self.range(w, 0);
            changes.extend(states.iter().map(|&state| self.stretch(state, place.clone())));
        }
        Task { reads: self.sums_of(norm), writes: vec![], changes }
    }

    /// What the gradients of scale and shift are made from: those of batch normalization are there.
    fn sums_of(&self, norm: &NormParameters) -> Vec<Slice> {
        let read = match norm.sums {
            NormSums::Given(sums) => sums,
            NormSums::Of { gradient, normal } => [gradient, normal],
        };
        read.map(|id| self.whole(id)).to_vec()
    }

    /// The gradients of scale and shift in their places in `sums`.
    pub(super) fn parts_of_norm(&self, norm: &NormParameters, sums: TensorId) -> Task {
        let mut reads = self.sums_of(norm);
        let places = [norm.scale, norm.shift].map(|w| self.stretch(sums, self.range(w, 0)));
        let mut task = Task { writes: places.to_vec(), ..Task::default() };
        // Where they lie there already, they stay.
        let is_there = |slice: &Slice| places.iter().any(|place| self.overlap(place, slice));
        if reads.iter().any(is_there) {
            (task.changes, task.writes) = (std::mem::take(&mut reads), vec![]);
        }
        task.reads = reads;
        task
    }

    /// A step on some parameters with what happens beside it, at the same places.
    pub(super) fn with(&self, mut task: Task, op: &GradientUpdate) -> Task {
        let with = &op.with;
        let home = self.tensor(op.parameters).buffer;
        let (of_parameters, of_state): (Vec<_>, Vec<_>) =
            task.changes.into_iter().partition(|s| self.tensor(s.tensor).buffer == home);
        let places = || of_parameters.iter().map(|slice| slice.range.clone());
        let all = |id: TensorId| places().map(move |place| self.stretch(id, place));
        let collected = with.collected.into_iter().flat_map(all);
        let average = with.average.into_iter().flat_map(|(_, average)| all(average));
        let mut changes = Vec::from_iter(of_state.into_iter().chain(collected).chain(average));
        task.writes.extend(with.direction.into_iter().flat_map(all));
        match with.direction {
            // Parameters stay.
            Some(_) => task.reads.extend(of_parameters),
            None => changes.extend(of_parameters),
        }
        Task { changes, ..task }
    }

    /// A pass over rows: A may take the place of Z, and the last δ that of the loss's gradient.
    pub(super) fn whole_net(&self, op: &WholeNet) -> Vec<Task> {
        let (computed, layers) = op.layers.split_at(op.from.min(op.layers.len()));
        let trains = op.reach() == Reach::Deltas;
        let (mut reads, mut writes, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        match computed.last() {
            None => writes.push(op.x),
            Some(below) => {
                reads.push(below.a);
                reads.extend((trains && below.z != below.a).then_some(below.z));
            }
        }
        if let Some(embedded) = &op.embedded {
            writes.push(embedded.features);
            reads.extend(embedded.tables.iter().map(|(_, table)| *table));
            writes.extend(embedded.gradient.filter(|_| trains));
        }
        let in_place = |l: &NetLayer| l.a == l.before_activation() && l.functions.is_some();
        for layer in layers {
            reads.push(layer.weight);
            reads.extend(layer.bias.map(|(bias, _)| bias));
            reads.extend(layer.functions.iter().filter_map(table));
            writes.push(layer.z);
            writes.extend((!in_place(layer)).then_some(layer.a));
            let Some(norm) = &layer.norm else { continue };
            reads.extend([norm.forward.scale, norm.forward.shift]);
            writes.extend([norm.forward.normal, norm.forward.out]);
            match (norm.running, norm.forward.statistics) {
                (Some(running), Some(statistics)) if trains => {
                    writes.push(statistics);
                    changes.push(running);
                }
                (running, _) => reads.extend(running),
            }
            let Some(backward) = norm.backward.filter(|_| trains) else { continue };
            writes.push(backward.delta);
            if layer.has_batch_norm() {
                writes.extend([backward.scale, backward.shift]);
            }
        }
        if let Some(loss) = &op.loss {
            reads.push(loss.unit);
            writes.extend([loss.t, loss.gradient, loss.scores]);
        }
        if trains {
            let last = op.layers.len().saturating_sub(1);
            let deltas =
                op.layers.iter().enumerate().filter_map(|(l, layer)| Some((l, layer.delta?)));
            let gradient = op.loss.as_ref().map(|loss| loss.gradient);
            let deltas = deltas.filter(|(l, delta)| *l != last || Some(*delta) != gradient);
            writes.extend(deltas.map(|(_, delta)| delta));
        }
        self.task(&reads, &writes, &changes)
    }
}
