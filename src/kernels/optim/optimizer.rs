//! One step of the optimizer for every parameter, the op `Update`. The rules are in [`crate::math::optim::rules`].

use crate::kernels::common::declaration::{Binding, COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::optim::UpdateRule;
use crate::math::optim::rules::Scalars;
use crate::math::real::Real;
use crate::math::vector::Vector;

uniform! {
    /// The number of parameters, the weight decay, how many of them are decayed, and the rule's
    /// constants.
    Uniform { len: u32, decay: f32, decayed: u32, constant0: f32, constant1: f32, constant2: f32 }
}

/// The WGSL of the update rules.
pub const OPTIMIZER_FUNCTIONS: &str =
    include_str!("../../../shaders/optim/optimizer_functions.wgsl");
/// Their addition in kernels with a binding for a third state.
pub const THIRD_STATE: &str = include_str!("../../../shaders/optim/third_state.wgsl");

/// The update of all parameters: w, g, state: (len).
pub static OPTIMIZER: Kernel = Kernel {
    entry: "optimizer",
    source: &[
        COMMON,
        OPTIMIZER_FUNCTIONS,
        THIRD_STATE,
        include_str!("../../../shaders/optim/optimizer.wgsl"),
    ],
    uniform: Uniform::FIELDS,
    bindings: BINDINGS,
    workgroup_size: 64,
};

const BINDINGS: &[Binding] =
    &[read_write("w"), read("g"), read_write("first"), read_write("second"), read_write("third")];

/// The number of decayed parameters, as passed to shaders.
#[must_use]
pub fn decayed_word(decayed: usize) -> u32 {
    u32::try_from(decayed).unwrap_or(u32::MAX)
}

/// Launches [`OPTIMIZER`] on elements `start..start + len` of w, g and the states, of which the
/// rule may not use all.
#[must_use]
pub fn launch(
    rule: UpdateRule,
    [w, g]: [TensorId; 2],
    state: [TensorId; 3],
    start: usize,
    len: usize,
) -> Launch {
    let slots = rule.optimizer.state_slots();
    let part = |t| Arg::Slice(t, start, len);
    let mut args = vec![part(w), part(g)];
    args.extend((0..).zip(state).map(|(i, t)| if i < slots { part(t) } else { Arg::Tensor(t) }));
    let [constant0, constant1, constant2] = rule.optimizer.constants();
    let (decay, decayed) = (rule.decay, decayed_word(rule.decayed.saturating_sub(start)));
    Launch {
        kernel: &OPTIMIZER,
        overrides: vec![("RULE", f64::from(rule.optimizer.code()))],
        uniform: Uniform { len: len as u32, decay, decayed, constant0, constant1, constant2 }
            .bytes(),
        args,
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// The inputs of the rule in a step, for parameters with this decay.
pub(super) fn scalars<T: Real>(rule: UpdateRule, step: &Step, decay: f32) -> Scalars<T> {
    Scalars {
        lr: T::of(step.lr.into()),
        decay: T::of(decay.into()),
        constants: constants(rule, step),
        corrections: step.corrections.map(|c| T::of(c.into())),
    }
}

/// [`crate::math::optim::Optimizer::constants`] with the μ or β₁ of the step.
pub(in crate::kernels) fn constants<T: Real>(rule: UpdateRule, step: &Step) -> [T; 3] {
    let [momentum, others @ ..] = rule.optimizer.constants().map(|c| T::of(c.into()));
    [momentum + T::of(step.momentum_change.into()), others[0], others[1]]
}

/// The CPU reference of [`OPTIMIZER`]: a rule with its inputs from a step.
#[derive(Debug, Clone, Copy)]
pub struct RuleStep<T> {
    rule: UpdateRule,
    /// For decayed parameters, and for the others.
    scalars: [Scalars<T>; 2],
}

impl<T: Vector> RuleStep<T> {
    /// The update of a step.
    #[must_use]
    pub fn new(rule: UpdateRule, step: &Step) -> Self {
        RuleStep { rule, scalars: [rule.decay, 0.0].map(|decay| scalars(rule, step, decay)) }
    }

    /// The states that the rule has.
    #[must_use]
    pub fn state_slots(&self) -> usize {
        self.rule.optimizer.state_slots()
    }

    /// The step on the elements from `start` on of the row of parameters: w, g: (len), states: (len)
    /// where the rule has them.
    pub fn apply(&self, start: usize, w: &mut [T], g: &[T], state: [&mut [T]; 3]) {
        // Decayed and undecayed parameters, each in a separate loop.
        let decayed = self.rule.decayed.saturating_sub(start).min(w.len());
        let (w, other_w) = w.split_at_mut(decayed);
        let (g, other_g) = g.split_at(decayed);
        let [a, b, c] = state.map(|s| s.split_at_mut(decayed.min(s.len())));
        if !w.is_empty() {
            T::update(self.rule.optimizer, &self.scalars[0], w, g, [a.0, b.0, c.0]);
        }
        if !other_w.is_empty() {
            T::update(self.rule.optimizer, &self.scalars[1], other_w, other_g, [a.1, b.1, c.1]);
        }
    }
}
