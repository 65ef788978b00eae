//! The rules of gradients and updates.

use super::{OptimizerStep, Refused, Routine, ensure, no_update_rule};
use crate::kernels::fused::gradient::SumUpdate;
use crate::kernels::optim::gradient_update::ParameterGradient;
use crate::kernels::products::backward::{Backward, BatchParts, part_rows_of_layers};
use crate::kernels::products::dense::TERMS;
use crate::kernels::products::matmul::Form;
use crate::kernels::tensor::{ALIGNMENT, Extent, Role, Tensor, TensorId};
use crate::plan::program::{Op, Slice};
use std::ops::Range;

/// The gradient of a layer's parameters, with the ops that compute it.
struct Layer {
    gradient: ParameterGradient,
    /// The product, and the sums of a bias.
    ops: Vec<usize>,
}

impl Routine {
    /// The update of a step whose gradients nothing else reads.
    pub(super) fn step(&self) -> Option<OptimizerStep> {
        self.nodes.iter().find_map(|node| match node.op {
            Op::Update { rule, state, .. } => Some(OptimizerStep { rule, state }),
            _ => None,
        })
    }

    /// δᵀ A, Σ_rows δ and their part of the update → one op for each layer, where nothing but the update
    /// reads gradients. Gradients that other ops write are updated by separate ops.
    ///
    /// Returns the step if all parameters are updated this way; the reason if gradients are kept.
    pub(super) fn updates(&mut self) -> Result<Option<OptimizerStep>, Option<Refused>> {
        let g = self.gradients.ok_or(None)?;
        let all = 0..self.program.len(self.parameters);
        let at = self.nodes.iter().position(
            |node| matches!(&node.op, Op::Update { g: of, range, .. } if *of == g && *range == all),
        );
        let at = at.ok_or(Some("no update of all parameters follows"))?;
        let Op::Update { rule, w, state, .. } = *self.op(at) else { return Err(None) };
        ensure(rule.optimizer.state_slots() <= 2, "the optimizer has three states")?;
        ensure(self.program.batch <= TERMS, "sums of more than 65,536 terms")?;
        let others: Vec<_> =
            (0..self.nodes.len()).filter(|&i| i != at && self.touches(i, g)).collect();
        // Batch normalization reads its own gradients again, which are kept.
        let only_written =
            |&i: &usize| !self.reads(i, g) || matches!(self.op(i), Op::NormalizeGradient(_));
        ensure(others.iter().all(only_written), "gradients are read before the update")?;
        let layers: Vec<Layer> = others.iter().filter_map(|&i| self.layer(i)).collect();
        let mut taken: Vec<usize> = layers.iter().flat_map(|layer| layer.ops.clone()).collect();
        let left = others.iter().filter(|i| !taken.contains(i));
        let left = left.flat_map(|&i| self.nodes[i].writes.iter());
        let whole = self.whole(g);
        let left = merged(left.filter(|slice| self.overlap(slice, &whole)));
        let updates = layers.into_iter().map(|layer| {
            self.backward_by_weights(layer.gradient, OptimizerStep { rule, state }, None)
        });
        let mut ops: Vec<Op> = updates.collect();
        let all_taken = left.is_empty();
        ops.extend(left.into_iter().map(|range| Op::Update { rule, w, g, state, range }));
        self.remove(at);
        ops.into_iter().rev().for_each(|op| self.insert(at, op));
        taken.sort_unstable();
        taken.into_iter().rev().for_each(|i| drop(self.remove(i)));
        Ok(all_taken.then_some(OptimizerStep { rule, state }))
    }

    /// δᵀ A, Σ_rows δ → one op for each layer that keeps gradients: a single part, of the whole
    /// batch.
    pub(super) fn kept_gradients(&mut self) {
        let (Some(g), Some(state)) = (self.gradients, self.state) else { return };
        if self.program.batch > TERMS {
            return;
        }
        let step = OptimizerStep { rule: no_update_rule(), state };
        let parts = BatchParts { sums: g, rows: self.program.batch, count: 1 };
        self.each("kept gradients", |r, i| {
            let Layer { gradient, mut ops } = r.layer(i).ok_or(None)?;
            let backward = r.backward_by_weights(gradient, step, Some(parts));
            r.set(i, backward);
            ops.retain(|&k| k != i);
            ops.into_iter().for_each(|k| drop(r.remove(k)));
            Ok(())
        });
    }

    /// The layer whose ∂E/∂W op `i` computes.
    fn layer(&self, i: usize) -> Option<Layer> {
        let Op::Matmul { form: Form::Tn, a: delta, b: input, c, .. } = *self.op(i) else {
            return None;
        };
        let weight = self.parameter(c)?;
        let sums = (i + 1..self.nodes.len()).find_map(|k| match *self.op(k) {
            Op::ColumnSums { delta: of, sign, out } if of == delta => Some((k, sign, out)),
            _ => None,
        });
        let mut ops = vec![i];
        let mut bias = None;
        if let Some((k, sign, out)) = sums {
            // Between them δ stays as it is.
            (i..k).all(|between| !self.writes(between, delta)).then_some(())?;
            bias = Some((self.parameter(out)?, sign));
            ops.push(k);
        }
        Some(Layer { gradient: ParameterGradient { delta, input, weight, bias }, ops })
    }

    /// The parameter whose gradient is `gradient`: it has the same offset.
    pub(super) fn parameter(&self, gradient: TensorId) -> Option<TensorId> {
        let p = &self.program;
        let (of, all) = (p.tensor(gradient), p.tensor(self.parameters));
        (of.role == Role::Gradient).then_some(())?;
        let place = |t: &Tensor| (t.offset, t.rows, t.cols);
        let is_it = |t: &Tensor| t.buffer == all.buffer && place(t) == place(of);
        p.tensors.iter().position(is_it).map(TensorId)
    }

    fn backward_by_weights(
        &self,
        update: ParameterGradient,
        step: OptimizerStep,
        parts: Option<BatchParts>,
    ) -> Op {
        let [first, second, _] = step.state;
        Op::Backward(Box::new(Backward {
            delta: None,
            updates: vec![update],
            rule: step.rule,
            state: [first, second],
            parameters: self.parameters,
            parts,
            scaled: None,
        }))
    }

    /// Moves an update beside the first δ or other update where this is allowed: from there on
    /// nothing touches what it writes, nor writes what it reads.
    pub(super) fn beside(&mut self) {
        let mut i = 0;
        while i < self.nodes.len() {
            match self.move_beside(i) {
                Some(()) => self.note("beside", Ok(())),
                None => i += 1,
            }
        }
    }

    fn move_beside(&mut self, i: usize) -> Option<()> {
        let Op::Backward(op) = self.op(i) else { return None };
        (op.delta.is_none() && op.updates.len() == 1).then_some(())?;
        let op = (**op).clone();
        let first = (0..i).rev().find(|&k| self.is_in_the_way(i, k)).map_or(0, |k| k + 1);
        let to = (first..i).find(|&k| match self.op(k) {
            Op::Backward(b) => {
                let room = b.updates.len() < if b.delta.is_some() { 1 } else { 2 };
                room && (b.updates.is_empty() || b.parts == op.parts)
            }
            _ => false,
        })?;
        let Op::Backward(joined) = self.op(to) else { return None };
        let mut joined = (**joined).clone();
        joined.updates.extend(op.updates);
        (joined.rule, joined.state, joined.parts) = (op.rule, op.state, op.parts);
        self.set(to, Op::Backward(Box::new(joined)));
        self.remove(i);
        Some(())
    }

    /// Gradients over parts of a long batch, which the step sums, with the scores beside, where that is
    /// worth a launch ([`part_rows_of_layers`]).
    pub(super) fn parts(&mut self, OptimizerStep { rule, state }: OptimizerStep) {
        let (mut shapes, mut last) = (Vec::new(), None);
        for (i, node) in self.nodes.iter().enumerate() {
            if let Op::Backward(b) = &node.op {
                let of = |u: &ParameterGradient| {
                    [self.cols(u.delta), self.cols(u.input) + usize::from(u.bias.is_some())]
                };
                shapes.extend(b.updates.iter().map(|u| (u.weight, of(u))));
                last = Some(i);
            }
        }
        // In the order of the layers, which is that of their weights.
        shapes.sort_by_key(|(weight, _)| self.program.tensor(*weight).offset);
        let shapes: Vec<_> = shapes.into_iter().map(|(_, shape)| shape).collect();
        let batch = self.program.batch;
        let rows = part_rows_of_layers(&shapes, batch);
        let count = batch.div_ceil(rows);
        let accumulate = self.nodes.iter().position(|n| matches!(n.op, Op::Accumulate { .. }));
        let (Some(last), Some(accumulate), true) = (last, accumulate, count > 1) else { return };
        let len = self.program.len(self.parameters);
        let sums = self.program.add("gradients.parts", Role::Gradient, Extent::Fixed(count), len);
        for i in 0..self.nodes.len() {
            if let Op::Backward(b) = self.op(i) {
                let parts = Some(BatchParts { sums, rows, count });
                self.set(i, Op::Backward(Box::new(Backward { parts, ..(**b).clone() })));
            }
        }
        let Op::Accumulate { scores, sums: total } = *self.op(accumulate) else { return };
        let parameters = self.parameters;
        let scores = Some([scores, total]);
        let sum = SumUpdate { parts: sums, rule, parameters, state, scores };
        self.insert(last + 1, Op::SumUpdate(Box::new(sum)));
        self.remove(accumulate);
        self.note("parts", Ok(()));
    }
}

/// Slices of one buffer, merged where only padding is between them.
fn merged<'a>(slices: impl Iterator<Item = &'a Slice>) -> Vec<Range<usize>> {
    let mut ranges: Vec<_> = slices.map(|slice| slice.range.clone()).collect();
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.next_multiple_of(ALIGNMENT) => {
                last.end = range.end.max(last.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}
