//! The directions of LAMB and Muon, which a later op scales for the whole tensor. The
//! equations are in [`crate::math::optim::Optimizer`].

use super::optimizer::{constants, decayed_word, scalars};
use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::optim::{Optimizer, UpdateRule};
use crate::math::vector::Vector;

uniform! {
    /// The number of parameters, the weight decay, how many of them are decayed, and the rule's
    /// constants.
    Uniform { len: u32, decay: f32, decayed: u32, constant0: f32, constant1: f32, constant2: f32 }
}

/// The directions of parameters, one variant for each rule: w, g, state, u: (len).
pub static DIRECTION: Kernel = Kernel {
    entry: "direction",
    source: &[COMMON, include_str!("../../../shaders/optim/direction.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("w"), read("g"), read_write("first"), read_write("second"), read_write("u")],
    workgroup_size: 64,
};

/// Launches [`DIRECTION`] on elements `start..start + len` of w, g and u, whose states start at
/// element `at` of the state tensors.
#[must_use]
pub fn launch(
    rule: UpdateRule,
    [w, g, u]: [TensorId; 3],
    [first, second]: [TensorId; 2],
    at: usize,
    start: usize,
    len: usize,
) -> Launch {
    let part = |t| Arg::Slice(t, start, len);
    let state = |t| Arg::Slice(t, at + start, len);
    let is_lamb = matches!(rule.optimizer, Optimizer::Lamb { .. });
    let [constant0, constant1, constant2] = rule.optimizer.constants();
    let (decay, decayed) = (rule.decay, decayed_word(rule.decayed.saturating_sub(at + start)));
    Launch {
        kernel: &DIRECTION,
        overrides: vec![("LAMB", f64::from(u8::from(is_lamb)))],
        uniform: Uniform { len: len as u32, decay, decayed, constant0, constant1, constant2 }
            .bytes(),
        args: vec![part(w), part(g), state(first), state(second), part(u)],
        grid: Grid::Elements(Extent::Fixed(len), 1),
    }
}

/// The CPU reference of [`DIRECTION`] on the elements from `place` on, among all parameters: w, g, states, u:
/// (len).
pub fn reference<T: Vector>(
    rule: UpdateRule,
    step: &Step,
    place: usize,
    [w, g]: [&[T]; 2],
    [first, second]: [&mut [T]; 2],
    u: &mut [T],
) {
    if !matches!(rule.optimizer, Optimizer::Lamb { .. }) {
        let [beta, ..] = constants(rule, step);
        let rest = T::one() - beta;
        T::combine(beta, rest, g, first);
        for ((u, &m), &g) in u.iter_mut().zip(first.iter()).zip(g) {
            *u = rest * g + beta * m;
        }
        return;
    }
    // Decayed and undecayed parameters, each in a separate loop.
    let decayed = rule.decayed.saturating_sub(place).min(w.len());
    let (first, other_first) = first.split_at_mut(decayed);
    let (second, other_second) = second.split_at_mut(decayed);
    let (u, other_u) = u.split_at_mut(decayed);
    let ([w, other_w], [g, other_g]) = (split(w, decayed), split(g, decayed));
    let scalars = |decay: f32| scalars::<T>(rule, step, decay);
    T::lamb_direction(&scalars(rule.decay), w, g, [first, second], u);
    T::lamb_direction(&scalars(0.0), other_w, other_g, [other_first, other_second], other_u);
}

fn split<T>(x: &[T], at: usize) -> [&[T]; 2] {
    x.split_at(at).into()
}
