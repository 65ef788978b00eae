//! Fused programs, derived from the plain one.
//!
//! A rule looks at a few ops of a routine and at what else touches their tensors, never at the spec; it
//! replaces them with a fused op. An op that no rule matches remains unchanged, next to fused
//! ones. In this order:
//!
//! | rule | takes | gives | where |
//! | --- | --- | --- | --- |
//! | dense | Z = A Wᵀ ± b, A = σ(Z) | `Dense` | the next op that touches Z is its activation |
//! | gather | X gathered, `Dense` | `Dense` that gathers | the next op that touches X is that `Dense` |
//! | tables | gradients of tables | one `EmbedGradient` | they are consecutive |
//! | dropout after σ′ | dropout of δ, δ ⊙ σ′ | the same in the other order | nothing writes Z between |
//! | output | T, loss, δ_L ⊙ σ′ | `Output` | only the loss reads T |
//! | δ | δ W, ⊙ σ′ | `Backward` by data (δ_l from δ_{l+1}) | W is a parameter |
//! | updates | δᵀ A, Σ δ, update | `Backward` by weights (an update) | nothing but the update reads gradients |
//! | kept gradients | δᵀ A, Σ δ | `Backward` by weights, without an update | otherwise |
//! | beside | two `Backward` | one | neither touches what the other writes, nor does an op between |
//! | parts | updates over a long batch | `Backward` of parts, `SumUpdate` | all parameters have an update |
//! | split k | the last `Dense`, `Output` | both with partial sums | the sums are long, and blocks of Z few |
//! | A in the place of Z | `Dense` | `Dense` with one tensor | all that read Z need σ′, which follows from A |
//!
//! Before these, `whole net` and the rules after it ([`whole_net`]; [`whole_update`] on a CPU, [`whole_net_gpu`] on a
//! GPU) fuse a whole routine, if [`Traits`] allow it. On a GPU that is for nets of up to 150,000 multiplied parameters
//! ([`fits`](crate::kernels::fused::whole_net::fits)): larger ones continue at `fuse`, with the rules of this table.
//!
//! In mixed precision ([`half`]) tensors become f16 after the rules that its kernels support.

mod backward;
mod forward;
pub(super) mod half;
mod in_place;
mod place;
#[cfg(test)]
mod tests;
mod updates;
mod whole_net;
mod whole_net_gpu;
mod whole_update;

use super::Plan;
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::tensor::{Role, TensorId};
use crate::math::optim::{Optimizer, UpdateRule};
use crate::net::precision::MixedPrecision;
use crate::plan::program::{Op, Program, Slice, Task};
use half::LossScaling;
use place::Lists;
use std::convert::Infallible;
use std::fmt;

/// The traits of a device, which decide which rules are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traits {
    /// It has no kernels for fused ops.
    Plain,
    /// Threads that keep a block of rows in cache: whole nets of every kind; fused layers gain
    /// nothing there.
    Cpu,
    /// Launches and memory dominate the cost: small nets whole, others layer by layer.
    Gpu {
        /// The size of its largest binding in bytes, which all parameters must fit.
        largest_binding: u64,
        /// Whether the kernel of whole nets is compiled in reasonable time: FXC takes 9 s for it, and a few
        /// seconds for each kernel of fused layers.
        compiles_whole_nets: bool,
    },
}

impl Traits {
    /// A GPU without limits that runs small nets whole.
    pub const GPU: Traits = Traits::Gpu { largest_binding: u64::MAX, compiles_whole_nets: true };
    /// A GPU without limits that runs all nets layer by layer.
    pub const LAYERS: Traits =
        Traits::Gpu { largest_binding: u64::MAX, compiles_whole_nets: false };
}

/// The fused program that follows from a plain one in f32: the only place that decides which rules are on.
/// `with_hook`: gradients are kept, and the update is a separate routine.
pub(super) fn derive(plain: Plan, traits: Traits, with_hook: bool) -> Plan {
    let refused = match traits {
        Traits::Plain => return plain,
        Traits::Gpu { compiles_whole_nets: false, .. } => "the kernel takes too long to compile",
        _ => match whole_nets(plain.clone(), traits, with_hook) {
            Ok(plan) => return plan,
            Err(refused) => refused,
        },
    };
    let refused = Verdict { rule: WHOLE_NET, refused: Some(refused), times: 1 };
    let bytes = plain.program.len(plain.parameters).saturating_mul(4) as u64;
    match traits {
        Traits::Gpu { largest_binding, .. } if bytes <= largest_binding => {
            let mut plan = layers(plain, with_hook);
            plan.rules.insert(0, refused);
            plan
        }
        _ => Plan { rules: vec![refused], ..plain },
    }
}

/// The rule of whole nets and those after it; the reason if a routine isn't that of a net.
fn whole_nets(plain: Plan, traits: Traits, with_hook: bool) -> Result<Plan, Refused> {
    if Lists::is_led_by_host(&plain.program) {
        return Err("the host leads the step");
    }
    rewrite(plain, with_hook, |routine, trains| {
        routine.whole_net(trains)?;
        routine.note(WHOLE_NET, Ok(()));
        match traits {
            Traits::Gpu { largest_binding, .. } => routine.whole_net_on_gpu(largest_binding),
            _ => {
                routine.whole_update();
                Ok(())
            }
        }
    })
}

const WHOLE_NET: &str = "whole net";

/// The plan with all its routines rewritten by the rules of fused layers.
fn layers(plain: Plan, with_hook: bool) -> Plan {
    let Ok(plan) = rewrite::<Infallible>(plain, with_hook, |routine, trains| {
        routine.fuse(trains);
        Ok(())
    });
    plan
}

/// The program of fused layers in mixed precision.
pub(super) fn derive_in_half(plain: Plan, mixed: &MixedPrecision) -> Plan {
    let mut plan = plain;
    let trains = !plan.program.routines.step.is_empty();
    let loss_scale = trains.then(|| LossScaling::new(&mut plan.program, mixed));
    plan.loss_scale = loss_scale.map(|scaling| scaling.tensor);
    let Ok(mut plan) = rewrite::<Infallible>(plan, false, |routine, trains| {
        routine.fuse_in_half(loss_scale.filter(|_| trains));
        Ok(())
    });
    for layer in &mut plan.layers {
        layer.shadow = half::shadow(&plan.program, layer.weight);
    }
    plan
}

/// The plan with `rules` applied to the ops of each routine, which may train or not, and with unused ops and
/// tensors dropped; the error of `rules`, if a routine is refused. A separate update stays as it is.
fn rewrite<E>(
    mut plan: Plan,
    with_hook: bool,
    mut rules: impl FnMut(&mut Routine, bool) -> Result<(), E>,
) -> Result<Plan, E> {
    // The ops of each routine, as lists.
    let mut lists = Lists::of(&plan.program, with_hook);
    for (ops, trains) in lists.each().into_iter().filter(|(ops, _)| !ops.is_empty()) {
        let mut routine = Routine::new(&plan, std::mem::take(ops));
        rules(&mut routine, trains)?;
        if !routine.verdicts.is_empty() && trains {
            plan.rules = routine.verdicts.clone();
        }
        (*ops, plan.program) = routine.end();
    }
    Ok(lists.place(plan))
}

/// The outcome of a rule in the routine of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The rule.
    pub rule: &'static str,
    /// Why it left candidates unchanged; none if it fired.
    pub refused: Option<&'static str>,
    /// The number of times.
    pub times: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { rule, refused, times } = self;
        let times = match times {
            1 => "once".to_string(),
            times => format!("{times} times"),
        };
        match refused {
            None => write!(f, "{rule:<20} fired {times}"),
            Some(why) => write!(f, "{rule:<20} didn't fire, {times}: {why}"),
        }
    }
}

/// The outcome of a rule at an op: it fired, or the reason why not; none if the op isn't a candidate.
type Outcome = Result<(), Option<Refused>>;

/// Why ops stay as they are.
type Refused = &'static str;

fn ensure(holds: bool, otherwise: Refused) -> Result<(), Refused> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// An op with its reads and writes; what it changes in place is in both.
struct Node {
    op: Op,
    reads: Vec<Slice>,
    writes: Vec<Slice>,
}

/// The optimizer's step on all parameters.
#[derive(Clone, Copy)]
struct OptimizerStep {
    rule: UpdateRule,
    state: [TensorId; 3],
}

/// The ops of a routine on which rules work.
struct Routine {
    program: Program,
    nodes: Vec<Node>,
    /// All parameters in one row, and all their gradients, in the same places.
    parameters: TensorId,
    gradients: Option<TensorId>,
    /// The state of the optimizer.
    state: Option<[TensorId; 3]>,
    verdicts: Vec<Verdict>,
}

impl Routine {
    fn new(plan: &Plan, ops: Vec<Op>) -> Self {
        let (program, parameters) = (plan.program.clone(), plan.parameters);
        let (gradients, state) = (plan.gradients, plan.state);
        let (nodes, verdicts) = (Vec::new(), Vec::new());
        let mut routine = Routine { program, nodes, parameters, gradients, state, verdicts };
        routine.nodes = ops.into_iter().map(|op| routine.node(op)).collect();
        routine
    }

    fn end(self) -> (Vec<Op>, Program) {
        (self.nodes.into_iter().map(|node| node.op).collect(), self.program)
    }

    /// Applies the rules of the table to one routine, in order.
    fn fuse(&mut self, trains: bool) {
        self.dense();
        self.gathered();
        self.tables();
        self.dropout_behind();
        self.output();
        if trains {
            self.deltas();
            let updated = self.updates();
            self.note("updates", updated.map(|_| ()));
            if updated.is_err() {
                self.kept_gradients();
            }
            self.beside();
            if let Ok(Some(step)) = updated {
                self.parts(step);
            }
            self.split_k();
        }
        self.a_for_z();
    }

    fn node(&self, op: Op) -> Node {
        let tasks = self.program.effects(&op);
        let reads = tasks.iter().flat_map(Task::read).cloned().collect();
        let writes = tasks.iter().flat_map(Task::written).cloned().collect();
        Node { op, reads, writes }
    }

    fn op(&self, i: usize) -> &Op {
        &self.nodes[i].op
    }

    fn set(&mut self, i: usize, op: Op) {
        self.nodes[i] = self.node(op);
    }

    fn remove(&mut self, i: usize) -> Op {
        self.nodes.remove(i).op
    }

    fn insert(&mut self, i: usize, op: Op) {
        let node = self.node(op);
        self.nodes.insert(i, node);
    }

    /// Applies `rule` once to every op, and records the outcome.
    fn each(&mut self, name: &'static str, rule: impl Fn(&mut Self, usize) -> Outcome) {
        let mut i = 0;
        while i < self.nodes.len() {
            let outcome = rule(self, i);
            self.note(name, outcome);
            i += 1;
        }
    }

    fn note(&mut self, name: &'static str, outcome: Outcome) {
        let found = match outcome {
            Err(None) => return,
            Err(why) => why,
            Ok(()) => None,
        };
        let verdict = Verdict { rule: name, refused: found, times: 1 };
        let same = |v: &&mut Verdict| v.rule == verdict.rule && v.refused == verdict.refused;
        match self.verdicts.iter_mut().find(same) {
            Some(verdict) => verdict.times += 1,
            None => self.verdicts.push(verdict),
        }
    }

    fn overlap(&self, a: &Slice, b: &Slice) -> bool {
        self.program.overlap(a, b)
    }

    fn whole(&self, tensor: TensorId) -> Slice {
        self.program.whole(tensor)
    }

    fn reads(&self, i: usize, tensor: TensorId) -> bool {
        let whole = self.whole(tensor);
        self.nodes[i].reads.iter().any(|slice| self.overlap(slice, &whole))
    }

    fn writes(&self, i: usize, tensor: TensorId) -> bool {
        let whole = self.whole(tensor);
        self.nodes[i].writes.iter().any(|slice| self.overlap(slice, &whole))
    }

    fn touches(&self, i: usize, tensor: TensorId) -> bool {
        self.reads(i, tensor) || self.writes(i, tensor)
    }

    /// Whether ops `i` and `k` can't be exchanged.
    fn is_in_the_way(&self, i: usize, k: usize) -> bool {
        let [a, b] = [&self.nodes[i], &self.nodes[k]];
        let meet =
            |x: &[Slice], y: &[Slice]| x.iter().any(|x| y.iter().any(|y| self.overlap(x, y)));
        meet(&a.writes, &b.writes) || meet(&a.writes, &b.reads) || meet(&a.reads, &b.writes)
    }

    /// The next op after `i` that touches a tensor.
    fn next(&self, i: usize, tensor: TensorId) -> Option<usize> {
        (i + 1..self.nodes.len()).find(|&k| self.touches(k, tensor))
    }

    /// The last op before `i` that touches a tensor.
    fn previous(&self, i: usize, tensor: TensorId) -> Option<usize> {
        (0..i).rev().find(|&k| self.touches(k, tensor))
    }

    fn is_parameter(&self, tensor: TensorId) -> bool {
        self.program.tensor(tensor).role == Role::Parameter
    }

    fn cols(&self, tensor: TensorId) -> usize {
        self.program.tensor(tensor).cols
    }
}

/// The kernels have one function for each layer.
fn is_same(functions: &UnitFunctions) -> bool {
    matches!(functions, UnitFunctions::Same(_))
}

/// The placeholder for an update rule if gradients are kept: nothing is updated.
fn no_update_rule() -> UpdateRule {
    UpdateRule { optimizer: Optimizer::Sgd, decay: 0.0, decayed: 0 }
}
