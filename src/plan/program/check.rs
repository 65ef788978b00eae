//! The checks that backends rely on: concurrent parts of an op don't conflict, and a routine only
//! reads what an earlier op wrote.

use super::{Op, Program, Slice, Task};
use crate::base::error::{Error, Result};
use crate::kernels::fused::whole_net;
use crate::kernels::fused::whole_net::{NetLayer, WholeNet};
use crate::kernels::tensor::{ALIGNMENT, Role, TensorId};
use crate::math::optim::UpdateRule;
use std::ops::Range;

impl Program {
    /// Checks what backends rely on:
    ///
    /// - no op writes what it also reads, as the same tensor or as another, or writes it twice, except what
    ///   it changes in place; none of its concurrent tasks touches what another writes;
    /// - no op goes beyond the end of a tensor;
    /// - what a routine reads was written before by an op of the same routine, as the same tensor, or is
    ///   kept between steps;
    /// - sizes are within what kernels can count;
    /// - of several nets, none draws random numbers: all would draw the same.
    ///
    /// # Errors
    /// For the first op that breaks a rule, with its place.
    pub fn check(&self) -> Result<()> {
        if self.nets == 0 {
            return Err(Error::usage("a program of no nets"));
        }
        for (i, op) in self.ops.iter().enumerate() {
            self.check_op(op).map_err(|error| error.at(self.place_of(i)))?;
        }
        let r = &self.routines;
        let ends_step = r.step.start <= r.update.start && r.update.end == r.step.end;
        if !ends_step && !r.update.is_empty() {
            return Err(Error::usage("an update that isn't the end of a step"));
        }
        let passes = [&r.predict, &r.evaluate, &r.forward, &r.gradient, &r.micro_batch, &r.step];
        passes.into_iter().chain([&r.average, &r.swap]).try_for_each(|ops| self.check_routine(ops))
    }

    fn place_of(&self, i: usize) -> String {
        format!("op {i}: {}", self.describe(&self.ops[i]))
    }

    fn check_op(&self, op: &Op) -> Result<()> {
        let tasks = self.effects(op);
        let mut touched = tasks.iter().flat_map(Task::touched);
        if let Some(slice) = touched.find(|slice| !self.is_inside(slice)) {
            let name = &self.tensor(slice.tensor).name;
            return Err(Error::usage(format!("an op goes beyond the end of {name}")));
        }
        if tasks.iter().any(|task| self.is_in_its_own_way(task)) {
            return Err(Error::usage(
                "an op writes a tensor that overlaps another one of its tensors",
            ));
        }
        let pairs = tasks.iter().enumerate();
        let mut pairs = pairs.flat_map(|(n, a)| tasks[n + 1..].iter().map(move |b| (a, b)));
        if pairs.any(|(a, b)| self.is_in_the_way(a, b) || self.is_in_the_way(b, a)) {
            return Err(Error::usage("an op writes what it reads or writes side by side"));
        }
        match op {
            op if self.nets > 1 && op.draws() => Err(Error::usage(format!(
                "an op that draws the same random numbers in all of {} nets",
                self.nets
            ))
            .help("train these nets one by one")),
            Op::WholeNet(net) if !(1..=whole_net::LARGEST_BLOCK).contains(&net.block) => {
                Err(Error::usage("a block of too few or too many rows"))
            }
            Op::WholeNet(net) if !net.layers.iter().all(NetLayer::is_consistent) => {
                Err(Error::usage("a normalization of other tensors than its layer's"))
            }
            Op::WholeNet(net) if !self.connects_equals(net) => Err(Error::usage(
                "a residual connection from what is not an output of a layer below of the same width",
            )),
            Op::Backward(op) if op.parts.is_none() && !op.updates.is_empty() => {
                has_room(op.rule, op.state.len())
            }
            // The direction of LAMB needs both of its states.
            Op::GradientUpdate(op)
                if op.with.direction.is_some() && op.rule.optimizer.state_slots() < 2 =>
            {
                Err(Error::usage("the direction of an optimizer without two states"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the residual connections of a pass start at X or at the A of earlier layers of the same width.
    fn connects_equals(&self, net: &WholeNet) -> bool {
        let cols = |id: TensorId| self.tensor(id).cols;
        net.layers.iter().enumerate().all(|(l, layer)| {
            let below = net.layers[..l].iter().map(|below| below.a);
            let mut below = [net.x].into_iter().chain(below);
            layer.skip.is_none_or(|skip| below.any(|a| a == skip) && cols(skip) == cols(layer.z))
        })
    }

    fn is_inside(&self, slice: &Slice) -> bool {
        let tensor = self.range(slice.tensor, self.batch);
        tensor.start <= slice.range.start && slice.range.end <= tensor.end
    }

    /// Whether two slices have an element in common.
    pub(crate) fn overlap(&self, a: &Slice, b: &Slice) -> bool {
        let same = self.tensor(a.tensor).buffer == self.tensor(b.tensor).buffer;
        same && a.range.start < b.range.end && b.range.start < a.range.end
    }

    /// Whether a task writes something twice, or writes what it reads other than in place.
    fn is_in_its_own_way(&self, task: &Task) -> bool {
        let written: Vec<_> = task.written().collect();
        written.iter().enumerate().any(|(n, a)| {
            let others = written[n + 1..].iter().copied().chain(&task.reads);
            others.into_iter().any(|b| self.overlap(a, b))
        })
    }

    /// Whether `a` writes what `b` touches.
    fn is_in_the_way(&self, a: &Task, b: &Task) -> bool {
        a.written().any(|written| b.touched().any(|touched| self.overlap(written, touched)))
    }

    /// Checks the definitions and uses in a routine.
    fn check_routine(&self, ops: &Range<usize>) -> Result<()> {
        let mut contents = Contents::kept(self);
        for i in ops.clone() {
            let Some(op) = self.ops.get(i) else {
                return Err(Error::usage(format!("a routine to op {i} of {}", self.ops.len())));
            };
            let tasks = self.effects(op);
            for slice in tasks.iter().flat_map(Task::read) {
                contents.check(slice).map_err(|error| error.at(self.place_of(i)))?;
            }
            tasks.iter().flat_map(Task::written).for_each(|slice| contents.write(slice));
        }
        Ok(())
    }
}

/// Checks that an op with that many states can take the step of `rule`.
fn has_room(rule: UpdateRule, states: usize) -> Result<()> {
    match rule.optimizer.state_slots() {
        slots if slots > states => {
            Err(Error::usage(format!("an optimizer of {slots} states, and room for {states}")))
        }
        _ => Ok(()),
    }
}

/// The contents of each buffer at a point of a routine: ranges, with the tensor as which they were
/// written.
struct Contents<'a> {
    program: &'a Program,
    buffers: Vec<Vec<(Range<usize>, TensorId)>>,
}

impl<'a> Contents<'a> {
    /// The contents when a routine begins: what is kept between steps or was written by the host.
    fn kept(program: &'a Program) -> Self {
        let mut contents = Contents { program, buffers: vec![Vec::new(); program.buffers.len()] };
        for (i, tensor) in program.tensors.iter().enumerate() {
            if !matches!(tensor.role, Role::Transient | Role::Gradient) {
                let id = TensorId(i);
                contents.write(&Slice { tensor: id, range: program.range(id, program.batch) });
            }
        }
        contents
    }

    /// The parts of tensors that a slice covers; for a tensor that spans a buffer, those of the tensors
    /// inside.
    fn members(&self, slice: &Slice) -> Vec<Slice> {
        let p = self.program;
        let inside = p.inside(slice.tensor).filter(|id| !p.spans_buffer(p.tensor(*id)));
        let common = |id| {
            let Range { start, end } = p.range(id, p.batch);
            let range = start.max(slice.range.start)..end.min(slice.range.end);
            (range.start < range.end).then_some(Slice { tensor: id, range })
        };
        let members: Vec<_> = inside.filter_map(common).collect();
        if members.is_empty() { vec![slice.clone()] } else { members }
    }

    fn write(&mut self, slice: &Slice) {
        for Slice { tensor, range } in self.members(slice) {
            let buffer = &mut self.buffers[self.program.tensor(tensor).buffer];
            let mut left = vec![(range.clone(), tensor)];
            for (old, of) in buffer.drain(..) {
                let outside =
                    [old.start..old.end.min(range.start), old.start.max(range.end)..old.end];
                left.extend(outside.into_iter().filter(|r| r.start < r.end).map(|r| (r, of)));
            }
            *buffer = left;
        }
    }

    /// Refuses a slice that nothing wrote, or that was written last as another tensor.
    fn check(&self, slice: &Slice) -> Result<()> {
        for Slice { tensor, range } in self.members(slice) {
            let name = |id: TensorId| &self.program.tensor(id).name;
            let buffer = &self.buffers[self.program.tensor(tensor).buffer];
            let there = buffer.iter().filter(|(r, _)| r.start < range.end && range.start < r.end);
            let mut there: Vec<_> = there.collect();
            there.sort_by_key(|(r, _)| r.start);
            if let Some((_, other)) = there.iter().find(|(_, of)| *of != tensor) {
                let (read, held) = (name(tensor), name(*other));
                return Err(Error::usage(format!(
                    "{read} is read where {held} was written over it"
                )));
            }
            // The padding between the tensors of a buffer is never written.
            let ends = there.iter().map(|(r, _)| r.end);
            let ends = [range.start].into_iter().chain(ends);
            let starts = there.iter().map(|(r, _)| r.start).chain([range.end]);
            let largest = ends.zip(starts).map(|(end, start)| start.saturating_sub(end)).max();
            if range.start < range.end
                && (there.is_empty() || largest.is_some_and(|gap| gap >= ALIGNMENT))
            {
                return Err(Error::usage(format!("{} is read before it is written", name(tensor))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
