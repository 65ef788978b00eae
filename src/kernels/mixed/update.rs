//! The update of a layer: its gradient from δ and A in f16, the optimizer's step on its master
//! weights and biases in f32, and the weights again in f16.

use super::{BLOCKS, Block, Choice};
use crate::kernels::common::declaration::{Binding, COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch, Layout};
use crate::kernels::optim::optimizer::{OPTIMIZER_FUNCTIONS, decayed_word};
use crate::kernels::products::backward::Backward;
use crate::kernels::products::tile::Along;
use std::sync::LazyLock;

uniform! {
    /// The rule's constants, the layer's shape and the offsets of its parameters.
    Uniform {
        decay: f32,
        decayed: u32,
        constant0: f32,
        constant1: f32,
        constant2: f32,
        n: u32,
        k: u32,
        weight: u32,
        bias: u32,
        sign: f32,
    }
}

/// The update of a layer, for each of [`BLOCKS`].
pub static UPDATE: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] = &[
        read_write("w"),
        read_write("first"),
        read_write("second"),
        read("delta"),
        read("input"),
        read_write("shadow"),
        read("loss_scale"),
    ];
    let kernel = |block: &Block| {
        let product = block.product("update", [Along::Side, Along::Side]);
        let texts = [
            COMMON,
            OPTIMIZER_FUNCTIONS,
            include_str!("../../../shaders/mixed/mixed_update.wgsl"),
            &product,
        ];
        block.kernel("mixed_update", "update_layer", Uniform::FIELDS, BINDINGS, &texts)
    };
    BLOCKS.iter().map(kernel).collect()
});

/// Launches [`UPDATE`] on the one update of `op`.
pub(super) fn launch(op: &Backward, block: Choice, layout: Layout<'_>) -> Launch {
    let Choice { place: choice, mut overrides } = block;
    let (mut n, mut k, mut weight, mut bias, mut sign) = (0, 0, 0, 0, 0.0);
    let mut args = [op.parameters, op.state[0], op.state[1]].map(Arg::Tensor).to_vec();
    if let Some(gradient) = op.updates.first() {
        (n, k) = (layout(gradient.delta).1, layout(gradient.input).1);
        weight = layout(gradient.weight).0;
        (bias, sign) = gradient.bias.map_or((0, 0.0), |(bias, sign)| (layout(bias).0, sign));
        args.extend([gradient.delta, gradient.input].map(Arg::Tensor));
    }
    let scaled = op.scaled.map(|scaled| (scaled.shadow, scaled.loss_scale));
    let (shadow, loss_scale) = scaled.unzip();
    args.extend([shadow.flatten(), loss_scale].map(|id| id.map_or(Arg::Unused, Arg::Tensor)));
    let [constant0, constant1, constant2] = op.rule.optimizer.constants();
    overrides.push(("RULE", op.rule.optimizer.code().into()));
    let [rows, cols] = BLOCKS[choice].sides();
    let covered = k as usize + usize::from(sign != 0.0);
    let groups = (n as usize).div_ceil(rows) * covered.div_ceil(cols);
    let (decay, decayed) = (op.rule.decay, decayed_word(op.rule.decayed));
    Launch {
        kernel: &UPDATE[choice],
        overrides,
        uniform: Uniform {
            decay,
            decayed,
            constant0,
            constant1,
            constant2,
            n,
            k,
            weight,
            bias,
            sign,
        }
        .bytes(),
        args,
        grid: Grid::Groups(groups),
    }
}
