//! The update of a layer: its gradient from δ and A in f16, the optimizer's step on its master
//! weights and biases in f32, and the weights again in f16.

use super::{BLOCKS, Block};
use crate::kernels::common::declaration::{COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch, Place};
use crate::kernels::optim::optimizer::{OPTIMIZER_FUNCTIONS, decayed_word};
use crate::kernels::optim::update::ParameterGradient;
use crate::kernels::products::tile::Along;
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::optim::Rule;
use std::sync::LazyLock;

/// The update of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// S δ_l: (B, n_l), A_{l−1}: (B, n_{l−1}), both in f16, and the layer's W and b.
    pub gradient: ParameterGradient,
    /// W in f16: (n_l, n_{l−1}).
    pub shadow: TensorId,
    /// The rule, which keeps two numbers for each parameter at most.
    pub rule: Rule,
    /// The state of the rule, for all parameters in one row.
    pub state: [TensorId; 2],
    /// All parameters in one row.
    pub parameters: TensorId,
    /// S and whether there was an overflow: (1, 4).
    pub loss_scale: TensorId,
}

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
    const BINDINGS: &[crate::kernels::common::declaration::Binding] = &[
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

/// Launches [`UPDATE`].
pub(super) fn launch(
    op: &Update,
    place: Place<'_>,
    choice: usize,
    mut overrides: Vec<(&'static str, f64)>,
) -> Launch {
    let Update { gradient, shadow, rule, state, parameters, loss_scale } = op;
    let (n, k) = (place(gradient.delta).1, place(gradient.input).1);
    let (bias, sign) = gradient.bias.map_or((0, 0.0), |(bias, sign)| (place(bias).0, sign));
    let [constant0, constant1, constant2] = rule.optimizer.constants();
    overrides.push(("RULE", rule.optimizer.code().into()));
    let [rows, cols] = BLOCKS[choice].sides();
    let covered = k as usize + usize::from(gradient.bias.is_some());
    let groups = (n as usize).div_ceil(rows) * covered.div_ceil(cols);
    let [first, second] = *state;
    let tensors =
        [*parameters, first, second, gradient.delta, gradient.input, *shadow, *loss_scale];
    Launch {
        kernel: &UPDATE[choice],
        overrides,
        uniform: Uniform {
            decay: rule.decay,
            decayed: decayed_word(rule.decayed),
            constant0,
            constant1,
            constant2,
            n,
            k,
            weight: place(gradient.weight).0,
            bias,
            sign,
        }
        .bytes(),
        args: tensors.map(Arg::Tensor).to_vec(),
        grid: Grid::Rows(Extent::Fixed(groups)),
    }
}
