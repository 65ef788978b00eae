//! δ of a layer from that of the layer above: δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l), all in f16.

use super::texts::STORED;
use super::{BLOCKS, Block};
use crate::kernels::common::declaration::{COMMON, FUNCTIONS, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::layers::activation::ACTIVATION_FUNCTIONS;
use crate::kernels::products::backward::Delta;
use crate::kernels::products::tile::Along;
use crate::kernels::tensor::{Extent, TensorId};
use std::sync::LazyLock;

uniform! {
    /// δ_l is (B, n), δ_{l+1} is (B, k).
    Uniform { n: u32, k: u32 }
}

/// δ of a layer, for each of [`BLOCKS`].
pub static DELTA: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[crate::kernels::common::declaration::Binding] =
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
    loss_scale: TensorId,
    [n, k]: [usize; 2],
    choice: usize,
    mut overrides: Vec<(&'static str, f64)>,
) -> Launch {
    let activation = op.functions.of(0);
    overrides.extend([
        ("WATCH", 1.0),
        ("ACTIVATION", activation.code().into()),
        ("PARAMETER", activation.parameter().into()),
    ]);
    let [rows, cols] = BLOCKS[choice].sides();
    Launch {
        kernel: &DELTA[choice],
        overrides,
        uniform: Uniform { n: n as u32, k: k as u32 }.bytes(),
        args: [op.above, op.weight, op.z, op.out, loss_scale].map(Arg::Tensor).to_vec(),
        grid: Grid::Tiles(Extent::Batch, rows, n.div_ceil(cols)),
    }
}
