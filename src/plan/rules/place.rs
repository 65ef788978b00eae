//! From the ops of routines to a program: unused tensors are removed.

use crate::kernels::tensor::{Role, TensorId};
use crate::plan::Plan;
use crate::plan::program::{Op, Program, Routines};
use std::collections::BTreeSet;
use std::ops::Range;

/// The ops of each routine.
pub(super) struct Lists {
    predict: Vec<Op>,
    evaluate: Vec<Op>,
    micro_batch: Vec<Op>,
    step: Vec<Op>,
    /// The end of `step`, after the hook if there is one.
    update: Vec<Op>,
    average: Vec<Op>,
    swap: Vec<Op>,
    /// The gradient alone, if the host takes the step.
    gradient: Vec<Op>,
}

impl Lists {
    pub(super) fn of(program: &Program, with_hook: bool) -> Self {
        let r = &program.routines;
        let end = if with_hook { r.update.start } else { r.step.end };
        let ops = |range: &Range<usize>| program.ops[range.clone()].to_vec();
        let is_led_by_host = Self::is_led_by_host(program);
        Lists {
            predict: ops(&r.predict),
            evaluate: ops(&r.evaluate),
            micro_batch: ops(&r.micro_batch),
            step: ops(&(r.step.start..end)),
            update: ops(&(end..r.step.end)),
            average: ops(&r.average),
            swap: ops(&r.swap),
            gradient: if is_led_by_host { ops(&r.gradient) } else { Vec::new() },
        }
    }

    /// Whether a step computes only the gradient, as for L-BFGS.
    pub(super) fn is_led_by_host(program: &Program) -> bool {
        let r = &program.routines;
        !r.gradient.is_empty() && r.gradient == r.step
    }

    /// Each list on which rules work, and whether it trains.
    pub(super) fn each(&mut self) -> [(&mut Vec<Op>, bool); 5] {
        [
            (&mut self.predict, false),
            (&mut self.evaluate, false),
            (&mut self.micro_batch, true),
            (&mut self.step, true),
            (&mut self.gradient, true),
        ]
    }

    /// The plan with these ops, and without the tensors that they don't need.
    pub(super) fn place(mut self, mut plan: Plan) -> Plan {
        self.keep_live(&mut plan);
        let p = &mut plan.program;
        p.ops.clear();
        let mut put = |list: Vec<Op>| put(&mut p.ops, list);
        // A prefix of another routine needs no ops of its own.
        let evaluate = put(self.evaluate);
        let predict = put(self.predict);
        let micro_batch = put(self.micro_batch);
        let updates = self.update.len();
        let step = put([self.step, self.update].concat());
        let update = step.end - updates..step.end;
        let gradient = put(self.gradient);
        let [average, swap] = [self.average, self.swap].map(put);
        p.routines = Routines {
            predict,
            evaluate,
            gradient,
            micro_batch,
            step,
            update,
            average,
            swap,
            ..Routines::default()
        };
        plan
    }

    fn lists(&mut self) -> impl Iterator<Item = &mut Op> {
        let lists = [&mut self.predict, &mut self.evaluate, &mut self.micro_batch, &mut self.step];
        let others = [&mut self.update, &mut self.gradient, &mut self.average, &mut self.swap];
        lists.into_iter().chain(others).flatten()
    }

    /// Drops tensors of a single step that no op uses, and buffers without tensors.
    fn keep_live(&mut self, plan: &mut Plan) {
        let mut live = BTreeSet::new();
        self.lists().for_each(|op| live.extend(op.tensors_mut().into_iter().map(|id| *id)));
        let p = &mut plan.program;
        let of_step = |role| matches!(role, Role::Transient | Role::Gradient | Role::Total);
        let ids = || (0..p.tensors.len()).map(TensorId);
        live.extend(ids().filter(|id| !of_step(p.tensor(*id).role)));
        live.insert(plan.output);
        // Where tensors share a buffer, their offsets matter.
        let buffers: BTreeSet<usize> = live.iter().map(|id| p.tensor(*id).buffer).collect();
        let shared = |buffer| ids().filter(|id| p.tensor(*id).buffer == buffer).count() > 1;
        let stays = |id: TensorId| {
            let buffer = p.tensor(id).buffer;
            live.contains(&id) || (buffers.contains(&buffer) && shared(buffer))
        };
        let kept: BTreeSet<usize> = ids().filter(|id| stays(*id)).map(|id| id.0).collect();
        let tensor_places = keep(&mut p.tensors, &kept);
        let buffer_places = keep(&mut p.buffers, &buffers);
        for tensor in &mut p.tensors {
            tensor.buffer = buffer_places[tensor.buffer].unwrap_or_default();
        }
        let place = |id: TensorId| tensor_places[id.0].map(TensorId);
        self.lists().for_each(|op| {
            op.tensors_mut().into_iter().for_each(|id| *id = place(*id).unwrap_or(*id));
        });
        plan.renumber(&place);
    }
}

/// Keeps these elements of a list; returns the new place of each, if it is kept.
fn keep<T>(list: &mut Vec<T>, kept: &BTreeSet<usize>) -> Vec<Option<usize>> {
    let mut next = 0..;
    let place = |i| if kept.contains(&i) { next.next() } else { None };
    let places: Vec<_> = (0..list.len()).map(place).collect();
    let mut of_each = places.iter();
    list.retain(|_| of_each.next().is_some_and(Option::is_some));
    places
}

/// The range of a list of ops in `ops`: where it already exists, or appended.
fn put(ops: &mut Vec<Op>, list: Vec<Op>) -> Range<usize> {
    if list.is_empty() {
        return 0..0;
    }
    let found = ops.windows(list.len()).position(|some| some == list);
    let start = found.unwrap_or(ops.len());
    let end = start + list.len();
    if found.is_none() {
        ops.extend(list);
    }
    start..end
}
