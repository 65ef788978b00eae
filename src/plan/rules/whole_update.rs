//! The rules of a step on a CPU after a pass through the whole net, whose gradients are kept: the ops that follow, up
//! to the optimizer's step, are applied to each part of them while it is in cache.

use super::{Node, Routine, ensure};
use crate::kernels::fused::gradient::GradientParts;
use crate::kernels::optim::edits::Edit;
use crate::kernels::optim::gradient_update::{Companions, GradientUpdate};
use crate::kernels::tensor::TensorId;
use crate::math::optim::UpdateRule;
use crate::plan::program::Op;
use std::ops::Range;

impl Routine {
    /// On a CPU: sums over micro-batches, edits of single elements, the step and a moving average, each if
    /// nothing else is in between; tables of embeddings have their own step.
    pub(super) fn whole_update(&mut self) {
        let Some((at, parts)) = self.kept_of_net() else { return };
        let outcome = self.take_step(at, &parts);
        if outcome.is_err() {
            self.collect_in_place(at, parts);
        } else {
            self.average_beside();
        }
        self.note("step of a whole net", outcome);
    }

    /// The op that keeps the gradients of a whole net.
    pub(super) fn kept_of_net(&self) -> Option<(usize, GradientParts)> {
        self.nodes.iter().enumerate().find_map(|(i, node)| match &node.op {
            Op::GradientParts(parts) => Some((i, (**parts).clone())),
            _ => None,
        })
    }

    /// The gradients of tables, which other ops compute from ∂E/∂X.
    pub(super) fn gradients_of_tables(&self) -> Vec<TensorId> {
        let of = |node: &Node| match &node.op {
            Op::EmbedGradient { tables, .. } => Vec::from_iter(tables.tensors()),
            _ => Vec::new(),
        };
        self.nodes.iter().flat_map(of).collect()
    }

    /// The gradients kept by op `at`, with all that follows → `GradientUpdate`.
    fn take_step(&mut self, at: usize, parts: &GradientParts) -> super::Outcome {
        let (g, tables) = (parts.parts, self.gradients_of_tables());
        let Some(state) = self.state else { return Err(None) };
        let (mut with, mut taken) = (Companions::default(), vec![at]);
        let (mut penalized, mut noisy) = (0, 0);
        // The op that reads all gradients, and its rule.
        let mut end = None;
        for k in (at + 1..self.nodes.len()).filter(|&k| self.touches(k, g)) {
            match *self.op(k) {
                Op::EmbedGradient { .. } => continue,
                Op::Collect { total, last: true, .. } if tables.is_empty() => {
                    with.collected = Some(total);
                }
                Op::Edit { edit: Edit::SignPenalty { strength, w }, g: of }
                    if self.parameter(of) == Some(w) =>
                {
                    (with.l1, penalized) = (strength, penalized + 1);
                }
                Op::Edit { edit: Edit::ClipValue { limit }, g: of } if of == g => {
                    with.clip_value = Some(limit);
                }
                Op::Edit { edit: Edit::Noise { variance, key, first }, g: of }
                    if self.program.tensor(of).offset == first =>
                {
                    (with.noise, noisy) = (Some((variance, key)), noisy + 1);
                }
                Op::Update { rule, ref range, .. } if *range == self.all() => {
                    end = Some((k, rule));
                    break;
                }
                Op::Direction { rule, g: of, u, at: 0, .. } if of == g && tables.is_empty() => {
                    with.direction = Some(u);
                    end = Some((k, rule));
                    break;
                }
                _ => return Err(Some("the step begins when all gradients are there")),
            }
            taken.push(k);
        }
        let (place, rule) = end.ok_or(None)?;
        ensure(penalized == 0 || penalized == parts.layers.len(), "L1 of some layers alone")?;
        // Tables aren't included.
        let of_layers = parts.layers.iter().map(|layer| layer.parameters().count()).sum::<usize>();
        let all = of_layers + 2 * parts.norms.len();
        ensure(noisy == 0 || noisy == all, "noise of some parameters alone")?;
        let of_tables = self.step_of_tables(&tables, with.clip_value, rule, state);
        for id in parts.norms.iter().flat_map(|norm| norm.sums.given()) {
            // Alone, so that the others need no memory.
            self.program.own_buffer(id);
        }
        let GradientParts { layers, arena, norms, .. } = parts.clone();
        let (parameters, scores) = (self.parameters, None);
        let update = GradientUpdate { layers, rule, state, arena, parameters, scores, norms, with };
        self.set(place, Op::GradientUpdate(Box::new(update)));
        of_tables.into_iter().rev().for_each(|op| self.insert(place + 1, op));
        taken.into_iter().rev().for_each(|k| drop(self.remove(k)));
        Ok(())
    }

    /// The elements of all parameters.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.program.len(self.parameters)
    }

    /// The clipping of tables' gradients and the step on the tables, which are contiguous.
    pub(super) fn step_of_tables(
        &self,
        tables: &[TensorId],
        clip_value: Option<f32>,
        rule: UpdateRule,
        state: [TensorId; 3],
    ) -> Vec<Op> {
        let places = tables.iter().map(|id| self.program.range(*id, 0));
        let range = places.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end));
        let (Some(range), Some(g)) = (range, self.gradients) else { return Vec::new() };
        let clip = clip_value.map(|limit| Edit::ClipValue { limit });
        let clips = tables.iter().filter_map(|&g| clip.map(|edit| Op::Edit { edit, g }));
        clips.chain([Op::Update { rule, w: self.parameters, g, state, range }]).collect()
    }

    /// Fuses the accumulation over micro-batches with the gradients that op `at` keeps, if it is the next op
    /// that touches these.
    fn collect_in_place(&mut self, at: usize, parts: GradientParts) {
        let Some(k) = self.next(at, parts.parts) else { return };
        let Op::Collect { total, last, .. } = *self.op(k) else { return };
        let parts = match last {
            true => GradientParts { collected: Some(total), ..parts },
            false => GradientParts { parts: total, adds: true, ..parts },
        };
        self.set(at, Op::GradientParts(Box::new(parts)));
        self.remove(k);
    }

    /// Fuses the moving average of the parameters with their step, if it is the next op and no table has its
    /// own step.
    fn average_beside(&mut self) {
        let is_update = |op: &Op| matches!(op, Op::GradientUpdate(_));
        let Some(i) = self.nodes.iter().position(|node| is_update(&node.op)) else { return };
        let Some(Op::Average { share, w, average }) = self.nodes.get(i + 1).map(|n| &n.op) else {
            return;
        };
        let Op::GradientUpdate(update) = self.op(i) else { return };
        if *w != self.parameters || update.with.direction.is_some() {
            return;
        }
        let mut update = update.clone();
        update.with.average = Some((*share, *average));
        self.set(i, Op::GradientUpdate(update));
        self.remove(i + 1);
    }
}
