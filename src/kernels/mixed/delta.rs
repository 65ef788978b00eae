//! δ of a layer from that of the layer above: δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l), all in f16.

use super::texts::STORED;
use super::{BLOCKS, Block, Choice};
use crate::kernels::common::declaration::{
    Binding, COMMON, FUNCTIONS, Kernel, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Layout};
use crate::kernels::layers::activation::ACTIVATION_FUNCTIONS;
use crate::kernels::products::backward::{Delta, Scaled};
use crate::kernels::products::tile::Along;
use crate::kernels::tensor::Extent;
use std::sync::LazyLock;

uniform! {
    /// δ_l is (B, n), δ_{l+1} is (B, k).
    Uniform { n: u32, k: u32 }
}

/// δ of a layer, for each of [`BLOCKS`].
pub static DELTA: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] =
        &[read("above"), read("w"), read("z"), read_write("out"), read_write("loss_scale")];
    let kernel = |block: &Block| {
        let product = block.product("delta", [Along::Depth, Along::Side]);
        let texts = [
            COMMON,
            FUNCTIONS,
            ACTIVATION_FUNCTIONS,
            block.note(),
            STORED,
            include_str!("../../../shaders/mixed/mixed_delta.wgsl"),
            &product,
        ];
        block.kernel("mixed_delta", "delta", Uniform::FIELDS, BINDINGS, &texts)
    };
    BLOCKS.iter().map(kernel).collect()
});

/// Launches [`DELTA`] on `op`, whose δ_l is (B, n) and δ_{l+1} (B, k).
pub(super) fn launch(
    op: &Delta,
    scaled: Option<Scaled>,
    block: Choice,
    layout: Layout<'_>,
) -> Launch {
    let Choice { place: choice, mut overrides } = block;
    let [n, k] = [op.out, op.above].map(|id| layout(id).1);
    let activation = op.functions.of(0);
    overrides.extend([
        ("WATCH", f64::from(u8::from(scaled.is_some()))),
        ("ACTIVATION", activation.code().into()),
        ("PARAMETER", activation.parameter().into()),
    ]);
    let [rows, cols] = BLOCKS[choice].sides();
    Launch {
        kernel: &DELTA[choice],
        overrides,
        uniform: Uniform { n, k }.bytes(),
        args: [op.above, op.weight, op.z, op.out]
            .map(Arg::Tensor)
            .into_iter()
            .chain([scaled.map_or(Arg::Unused, |scaled| Arg::Tensor(scaled.loss_scale))])
            .collect(),
        grid: Grid::Tiles(Extent::Batch, rows, (n as usize).div_ceil(cols)),
    }
}
