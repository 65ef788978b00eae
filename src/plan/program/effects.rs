//! What an op reads, writes and changes in place, and what of it runs side by side.

use super::{Op, Program};
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::layers::norm::NormalizedGradient;
use crate::kernels::loss::output::Output;
use crate::kernels::mixed::Mixed;
use crate::kernels::optim::combine::Factors;
use crate::kernels::optim::update::ParameterGradient;
use crate::kernels::products::backward::Delta;
use crate::kernels::products::dense::Dense;
use crate::kernels::tensor::TensorId;
use crate::math::optim::Rule;
use std::ops::Range;

/// Elements of a tensor, counted in the buffer that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The tensor.
    pub tensor: TensorId,
    /// The elements for a full batch.
    pub range: Range<usize>,
}

/// A part of an op that runs beside its other parts, in no order: a GPU has no barrier between
/// workgroups of a launch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// What it reads and doesn't write.
    pub reads: Vec<Slice>,
    /// What it writes, whatever stood there.
    pub writes: Vec<Slice>,
    /// What it changes in place: each element is read and written by one invocation or workgroup.
    pub changes: Vec<Slice>,
}

impl Task {
    /// What the task leaves other than it was.
    pub fn written(&self) -> impl Iterator<Item = &Slice> {
        self.writes.iter().chain(&self.changes)
    }

    /// What the task's results depend on.
    pub fn read(&self) -> impl Iterator<Item = &Slice> {
        self.reads.iter().chain(&self.changes)
    }

    /// All that it touches.
    pub fn touched(&self) -> impl Iterator<Item = &Slice> {
        self.reads.iter().chain(self.written())
    }
}

impl Program {
    /// What `op` does to tensors for a full batch, in one or more tasks that run concurrently. What it reads of
    /// the data set, [`Program::reads`] says.
    #[must_use]
    pub fn effects(&self, op: &Op) -> Vec<Task> {
        match op {
            Op::Gather { x } | Op::Augment { x, .. } => self.task(&[], &[*x], &[]),
            Op::Embed { place, features, table, x } => match place.copies {
                true => self.task(&[*features, *table], &[*x], &[]),
                false => self.task(&[*features, *table], &[], &[*x]),
            },
            Op::SortIndices { features, order, spare, .. } => {
                self.task(&[*features], &[*spare, *order], &[])
            }
            Op::EmbedGradient { order, gradient, out, .. } => {
                self.task(&[*order, *gradient], &[*out], &[])
            }
            Op::TableGradient { features, gradient, out, .. } => {
                self.task(&[*features, *gradient], &[*out], &[])
            }
            Op::Targets { t } => self.task(&[], &[*t], &[]),
            Op::Matmul { a, b, bias, c, .. } => {
                let bias = bias.map(|(bias, _)| bias);
                self.task(&Vec::from_iter([*a, *b].into_iter().chain(bias)), &[*c], &[])
            }
            Op::Activation { functions, z, a } => {
                self.task(&Vec::from_iter([*z].into_iter().chain(table(functions))), &[*a], &[])
            }
            Op::ActivationGradient { functions, z, delta } => {
                self.task(&Vec::from_iter([*z].into_iter().chain(table(functions))), &[], &[*delta])
            }
            Op::Softmax { z, y } => self.task(&[*z], &[*y], &[]),
            Op::SoftmaxGradient { y, delta } => self.task(&[*y], &[], &[*delta]),
            Op::Loss { y, t, unit, gradient, scores, .. } => {
                self.task(&[*y, *t, *unit], &[*gradient, *scores], &[])
            }
            Op::Accumulate { scores, sums } => self.task(&[*scores], &[], &[*sums]),
            Op::ColumnSums { delta, out, .. } => self.task(&[*delta], &[*out], &[]),
            Op::VectorNorm { x, partial, norm } => self.task(&[*x], &[*partial, *norm], &[]),
            Op::Edit { edit, g } => self.task(&Vec::from_iter(edit.reads()), &[], &[*g]),
            Op::Update { rule, w, g, state, range } => {
                let stretch = |id: &TensorId| self.stretch(*id, range.clone());
                let states = kept(*rule, state).iter();
                vec![Task {
                    reads: vec![stretch(g)],
                    writes: vec![],
                    changes: [w].into_iter().chain(states).map(stretch).collect(),
                }]
            }
            Op::Direction { w, g, state, at, u, .. } => {
                let len = self.len(*w);
                let stretch = |id: &TensorId| self.stretch(*id, *at..at.saturating_add(len));
                vec![Task {
                    reads: vec![self.whole(*w), self.whole(*g)],
                    writes: vec![self.whole(*u)],
                    changes: state.iter().map(stretch).collect(),
                }]
            }
            Op::Combine { factors, x, y } => {
                let norms = match factors {
                    Factors::Trust { norms } => &norms[..],
                    Factors::Fixed(_) | Factors::Step { .. } => &[],
                };
                self.task(&[&[*y], norms].concat(), &[], &[*x])
            }
            Op::Average { w, average, .. } => self.task(&[*w], &[], &[*average]),
            Op::Swap { a, b } => self.task(&[], &[], &[*a, *b]),
            Op::Collect { g, total, .. } => self.task(&[], &[], &[*g, *total]),
            Op::Mixup { x } | Op::Dropout { x, .. } => self.task(&[], &[], &[*x]),
            Op::MaxNorm { w, .. } => self.task(&[], &[], &[*w]),
            Op::Add { y, x } => self.task(&[*y], &[], &[*x]),
            Op::BatchStatistics { z, statistics, running } => {
                self.task(&[*z], &[*statistics], &[*running])
            }
            Op::Normalize(n) => {
                let read = [n.z, n.scale, n.shift].into_iter().chain(n.statistics);
                self.task(&Vec::from_iter(read), &[n.normal, n.out], &[])
            }
            Op::NormalizeSums(n) => self.task(&[n.gradient, n.of.normal], &[n.scale, n.shift], &[]),
            Op::NormalizeGradient(n) => self.normalize_gradient(n),
            Op::WholeNet(op) => self.whole_net(op),
            Op::GradientUpdate(op) => {
                let states = kept(op.rule, &op.state);
                let steps = op.layers.iter().map(|layer| self.update(layer, states));
                let norms = op.norms.iter().map(|norm| self.update_norm(norm, states));
                let steps = steps.chain(norms).map(|step| self.with(step, op));
                steps.chain(op.scores.map(|scores| self.accumulate(scores))).collect()
            }
            Op::GradientParts(op) => {
                let count = self.tensor(op.parts).rows.rows(self.batch);
                let layers = op.layers.iter().map(|layer| self.parts(layer, op.parts, count));
                let norms = op.norms.iter().map(|norm| self.parts_of_norm(norm, op.parts));
                let parts = layers.chain(norms).map(|mut task| {
                    if let Some(collected) = op.collected {
                        let places = task.writes.iter().map(|s| s.range.clone());
                        let collected = places.map(|place| self.stretch(collected, place));
                        task.changes.extend(collected);
                    }
                    if op.adds {
                        task.changes.append(&mut task.writes);
                    }
                    task
                });
                parts.chain(op.scores.map(|scores| self.accumulate(scores))).collect()
            }
            Op::SumUpdate(op) => {
                let states = kept(op.rule, &op.state);
                let changed = [&[op.parameters], states].concat();
                let step = self.task(&[op.parts], &[], &changed).into_iter();
                step.chain(op.scores.map(|scores| self.accumulate(scores))).collect()
            }
            Op::Dense(op) => vec![self.dense(op)],
            Op::Output(op) => vec![self.output(op)],
            Op::Backward(op) => {
                let states = kept(op.rule, &op.state);
                let updates = op.updates.iter().map(|layer| match op.parts {
                    None => self.update(layer, states),
                    Some(parts) => self.parts(layer, parts.sums, parts.count),
                });
                op.delta.iter().map(|d| self.delta(d)).chain(updates).collect()
            }
            Op::Mixed(op) => self.mixed(op),
            Op::Nonfinite { x, found } => self.task(&[*x], &[*found], &[]),
            Op::Uniform { out, .. } | Op::Permutation { out } => self.task(&[], &[*out], &[]),
        }
    }

    /// All of a tensor.
    pub(crate) fn whole(&self, tensor: TensorId) -> Slice {
        Slice { tensor, range: self.range(tensor, self.batch) }
    }

    /// Elements `range` of a tensor.
    pub(super) fn stretch(&self, tensor: TensorId, range: Range<usize>) -> Slice {
        // Saturates, as sizes do that no machine can hold.
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

    /// The sums of the scores.
    fn accumulate(&self, [scores, sums]: [TensorId; 2]) -> Task {
        let [scores, sums] = [scores, sums].map(|id| self.whole(id));
        Task { reads: vec![scores], writes: vec![], changes: vec![sums] }
    }

    /// The update of a layer's parameters by its gradient, which isn't kept.
    fn update(&self, layer: &ParameterGradient, states: &[TensorId]) -> Task {
        let mut changes = Vec::new();
        for w in layer.parameters() {
            changes.push(self.whole(w));
            let place = self.range(w, 0);
            changes.extend(states.iter().map(|&state| self.stretch(state, place.clone())));
        }
        let reads = [layer.delta, layer.input].map(|id| self.whole(id)).to_vec();
        Task { reads, writes: vec![], changes }
    }

    /// The gradient of a layer over each of `count` parts of the batch, in rows of `sums`.
    fn parts(&self, layer: &ParameterGradient, sums: TensorId, count: usize) -> Task {
        let row = self.tensor(sums).cols;
        let places = layer.parameters().map(|w| self.range(w, 0));
        let writes = places.flat_map(|place| {
            let at = move |part: usize, i: usize| part.saturating_mul(row).saturating_add(i);
            (0..count).map(move |part| at(part, place.start)..at(part, place.end))
        });
        let writes = writes.map(|range| self.stretch(sums, range)).collect();
        let reads = [layer.delta, layer.input].map(|id| self.whole(id)).to_vec();
        Task { reads, writes, changes: vec![] }
    }

    fn delta(&self, d: &Delta) -> Task {
        let reads = [d.above, d.weight, d.z].into_iter().chain(table(&d.functions));
        let reads = reads.map(|id| self.whole(id)).collect();
        Task { reads, writes: vec![self.whole(d.out)], changes: vec![] }
    }

    fn dense(&self, d: &Dense) -> Task {
        let mut reads = vec![d.weight];
        let mut writes = Vec::new();
        if d.gathers { &mut writes } else { &mut reads }.push(d.input);
        match (d.parts, &d.functions) {
            (Some(parts), _) => writes.push(parts),
            (None, functions) => {
                reads.extend(d.bias.map(|(bias, _)| bias));
                reads.extend(functions.iter().filter_map(table));
                writes.push(d.z);
                writes.extend(functions.as_ref().filter(|_| d.a != d.z).map(|_| d.a));
            }
        }
        let [reads, writes] = [reads, writes].map(|ids| ids.into_iter().map(|id| self.whole(id)));
        Task { reads: reads.collect(), writes: writes.collect(), changes: vec![] }
    }

    fn output(&self, o: &Output) -> Task {
        let mut reads = vec![o.unit];
        reads.extend(o.functions.iter().filter_map(table));
        let mut writes = Vec::new();
        match o.parts {
            Some(parts) => {
                reads.push(parts.sums);
                reads.extend(parts.bias.map(|(bias, _)| bias));
                writes.push(o.y);
            }
            None => {
                reads.push(o.y);
                reads.extend((o.z != o.y).then_some(o.z));
            }
        }
        writes.extend(o.delta.into_iter().chain([o.scores]));
        let [reads, writes] = [reads, writes].map(|ids| ids.into_iter().map(|id| self.whole(id)));
        Task { reads: reads.collect(), writes: writes.collect(), changes: vec![] }
    }

    fn normalize_gradient(&self, n: &NormalizedGradient) -> Vec<Task> {
        let mut read = vec![n.gradient, n.of.normal, n.of.scale];
        match n.of.statistics {
            // By the sums of an op before.
            Some(statistics) => read.extend([statistics, n.scale, n.shift]),
            None => read.push(n.of.z),
        }
        self.task(&read, &[n.delta], &[])
    }

    fn mixed(&self, op: &Mixed) -> Vec<Task> {
        // Every invocation that sees an overflow notes it by the same value.
        let notes = |mut task: Task, loss_scale: Option<TensorId>| {
            task.changes.extend(loss_scale.map(|id| self.whole(id)));
            vec![task]
        };
        match op {
            Mixed::Gather { x } => self.task(&[], &[*x], &[]),
            Mixed::Dense { dense, loss_scale } => notes(self.dense(dense), *loss_scale),
            Mixed::Rescale { x, y, loss_scale } => self.task(&[*x], &[*y], &[*loss_scale]),
            Mixed::Delta { delta, loss_scale } => notes(self.delta(delta), Some(*loss_scale)),
            Mixed::Update(op) => {
                let mut task = self.update(&op.gradient, kept(op.rule, &op.state));
                task.reads.push(self.whole(op.loss_scale));
                task.writes.push(self.whole(op.shadow));
                vec![task]
            }
            Mixed::Scale { loss_scale, .. } => self.task(&[], &[], &[*loss_scale]),
        }
    }
}

/// The states that a rule keeps, of those that there is room for.
fn kept(rule: Rule, states: &[TensorId]) -> &[TensorId] {
    &states[..rule.optimizer.state_slots().min(states.len())]
}

/// The table of functions that differ from unit to unit.
pub(super) fn table(functions: &UnitFunctions) -> Option<TensorId> {
    match functions {
        UnitFunctions::Same(_) => None,
        UnitFunctions::Each(_, table) => Some(*table),
    }
}
