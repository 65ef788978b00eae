//! One step of the optimiser for every parameter. The rules stand in [`crate::optim`].

use super::{Arg, COMMON, Grid, Kernel, Launch, Step, read, read_write, uniform};
use crate::optim::{Optimizer, Scalars};

use crate::tensor::{Extent, TensorId};
use crate::vector::Vector;

uniform! {
    /// The number of parameters, the weight decay and the rule's constants.
    Uniform { len: u32, decay: f32, constant0: f32, constant1: f32, constant2: f32 }
}

/// The text of the update rules for shaders.
pub const OPTIMIZER_FUNCTIONS: &str = include_str!("../../shaders/optimizer_functions.wgsl");

/// The update of all parameters: w, g, state: (len).
pub static OPTIMIZER: Kernel = Kernel {
    entry: "optimizer",
    source: &[COMMON, OPTIMIZER_FUNCTIONS, include_str!("../../shaders/optimizer.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read_write("w"), read("g"), read_write("first"), read_write("second")],
    workgroup_size: 64,
};

/// Launches [`OPTIMIZER`] on elements `start..start + len` of w, g and the two states, which the
/// rule may not use.
#[must_use]
pub fn launch(
    optimizer: Optimizer,
    decay: f32,
    [w, g, first, second]: [TensorId; 4],
    start: usize,
    len: usize,
) -> Launch {
    let part = |used: bool, t| if used { Arg::Part(t, start, len) } else { Arg::Tensor(t) };
    let [constant0, constant1, constant2] = optimizer.constants();
    Launch {
        kernel: &OPTIMIZER,
        overrides: vec![("RULE", f64::from(optimizer.code()))],
        uniform: Uniform { len: len as u32, decay, constant0, constant1, constant2 }.bytes(),
        args: vec![
            Arg::Part(w, start, len),
            Arg::Part(g, start, len),
            part(optimizer.state_slots() > 0, first),
            part(optimizer.state_slots() > 1, second),
        ],
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// The CPU reference of [`OPTIMIZER`]: w, g: (len), states: (len) where the rule has them.
pub fn reference<T: Vector>(
    optimizer: Optimizer,
    decay: f32,
    step: &Step,
    w: &mut [T],
    g: &[T],
    state: [&mut [T]; 2],
) {
    let scalars = Scalars {
        lr: T::of(step.lr.into()),
        decay: T::of(decay.into()),
        constants: optimizer.constants().map(|c| T::of(c.into())),
        corrections: step.corrections.map(|c| T::of(c.into())),
    };
    T::update(optimizer, &scalars, w, g, state);
}
