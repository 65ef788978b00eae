//! A layer forward: Z = X Wᵀ ± b and A = σ(Z), from X and W in f16.

use super::texts::STORED;
use super::{BLOCKS, Block, Choice};
use crate::kernels::common::declaration::{Binding, COMMON, FUNCTIONS, Kernel, read, read_write};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::layers::activation::ACTIVATION_FUNCTIONS;
use crate::kernels::products::dense::{Dense, Uniform};
use crate::kernels::products::tile::Along;
use crate::kernels::tensor::Extent;
use crate::net::precision::Precision;
use std::sync::LazyLock;

/// A hidden layer forward, with Z and A in f16, for each of [`BLOCKS`].
pub static DENSE: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    kernels("mixed_dense", include_str!("../../../shaders/mixed/mixed_dense_hidden.wgsl"))
});

/// The last layer forward, with Z and A in f32, for each of [`BLOCKS`].
pub static DENSE_LAST: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    kernels("mixed_dense_last", include_str!("../../../shaders/mixed/mixed_dense_last.wgsl"))
});

fn kernels(name: &str, result: &str) -> Vec<Kernel> {
    const BINDINGS: &[Binding] = &[
        read("x"),
        read("w"),
        read("bias"),
        read_write("z"),
        read_write("a"),
        read_write("loss_scale"),
    ];
    let kernel = |block: &Block| {
        let product = block.product("dense", [Along::Depth, Along::Depth]);
        let texts = [
            COMMON,
            FUNCTIONS,
            ACTIVATION_FUNCTIONS,
            block.note(),
            STORED,
            result,
            include_str!("../../../shaders/mixed/mixed_dense.wgsl"),
            &product,
        ];
        block.kernel(name, "dense", Uniform::FIELDS, BINDINGS, &texts)
    };
    BLOCKS.iter().map(kernel).collect()
}

/// Launches [`DENSE`], or [`DENSE_LAST`] where the `result` is f32, on `op`, whose Z is (B, n) and W (n, k).
#[must_use]
pub fn launch_dense(op: &Dense, [n, k]: [usize; 2], result: Precision, block: Choice) -> Launch {
    let Choice { place, mut overrides } = block;
    let flag = |set: bool| f64::from(u8::from(set));
    let activation = op.functions.as_ref().map(|f| f.of(0));
    let store_z = op.z != op.a || op.functions.is_none();
    let kernels = match result {
        Precision::F32 => &DENSE_LAST,
        Precision::F16 => &DENSE,
    };
    overrides.extend([
        ("WATCH", flag(op.overflows.is_some())),
        ("BIAS", flag(op.bias.is_some())),
        ("STORE_Z", flag(store_z)),
        ("STORE_A", flag(activation.is_some())),
        ("ACTIVATION", activation.map_or(0.0, |f| f.code().into())),
        ("PARAMETER", activation.map_or(0.0, |f| f.parameter().into())),
    ]);
    let [rows, cols] = BLOCKS[place].sides();
    let bias_sign = op.bias.map_or(0.0, |(_, sign)| sign);
    Launch {
        kernel: &kernels[place],
        overrides,
        uniform: Uniform { n: n as u32, k: k as u32, segments: 1, bias_sign }.bytes(),
        args: vec![
            Arg::Tensor(op.input),
            Arg::Tensor(op.weight),
            op.bias.map_or(Arg::Unused, |(bias, _)| Arg::Tensor(bias)),
            if store_z { Arg::Tensor(op.z) } else { Arg::Unused },
            if activation.is_some() { Arg::Tensor(op.a) } else { Arg::Unused },
            op.overflows.map_or(Arg::Unused, Arg::Tensor),
        ],
        grid: Grid::Tiles(Extent::Batch, rows, n.div_ceil(cols)),
    }
}
