//! The end of a forward pass in one launch: the loss of each row with its scores, and
//! δ_L = ∂E/∂A_L ⊙ σ_L′(Z_L), or Jᵀ ∂E/∂A_L for softmax, straight from the data set's targets.

use super::{LOSS_FUNCTIONS, LOSS_LANES, LOSS_ROW};
use crate::data::Storage;
use crate::kernels::common::declaration::{
    COMMON, FUNCTIONS, Kernel, RANDOM_FUNCTIONS, REDUCE, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::layers::activation::{self, ACTIVATION_FUNCTIONS, UnitFunctions};
use crate::kernels::layers::softmax;
use crate::kernels::loss;
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::loss::Loss;
use crate::math::vector::Vector;

/// The loss of a batch and the δ of its outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The loss.
    pub loss: Loss,
    /// σ_L; none for softmax.
    pub functions: Option<UnitFunctions>,
    /// Z_L: (B, n_L).
    pub z: TensorId,
    /// A_L: (B, n_L).
    pub y: TensorId,
    /// The partial sums from which Z_L and A_L are computed, if the last layer stores them.
    pub partial_sums: Option<PartialSums>,
    /// The unit of each target, in the caller's units: (1, targets).
    pub unit: TensorId,
    /// δ_L: (B, n_L), if it is needed.
    pub delta: Option<TensorId>,
    /// (B, 4).
    pub scores: TensorId,
}

/// The sums of the segments of k, with Z_L = Σ_segments sums ± b_L, of which A_L = σ_L(Z_L) is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartialSums {
    /// (B, segments · n_L).
    pub sums: TensorId,
    /// b_L: (1, n_L), and its sign.
    pub bias: Option<(TensorId, f32)>,
}

uniform! {
    /// Outputs, the loss's parameter, the value above which a single output is positive, the number of
    /// segments of which Z is the sum, and the sign of its bias.
    Uniform { cols: u32, loss_parameter: f32, threshold: f32, segments: u32, bias_sign: f32 }
}

/// The texts of a kernel of [`Output`], with `entry`, which finds Z and A.
const fn source(entry: &'static str) -> [&'static str; 10] {
    [
        COMMON,
        FUNCTIONS,
        RANDOM_FUNCTIONS,
        ACTIVATION_FUNCTIONS,
        LOSS_FUNCTIONS,
        REDUCE,
        LOSS_LANES,
        LOSS_ROW,
        include_str!("../../../shaders/loss/output.wgsl"),
        entry,
    ]
}

/// [`Output`] on the device.
pub static OUTPUT: Kernel = Kernel {
    entry: "output",
    source: &source(include_str!("../../../shaders/loss/output_whole.wgsl")),
    uniform: Uniform::FIELDS,
    bindings: &[
        read("labels"),
        read("y"),
        read("z"),
        read("unit"),
        read("weights"),
        read_write("delta"),
        read_write("scores"),
    ],
    workgroup_size: 64,
};

/// [`Output`] on the device, with Z and A computed from partial sums.
pub static OUTPUT_PARTIAL_SUMS: Kernel = Kernel {
    entry: "output_partial_sums",
    source: &source(include_str!("../../../shaders/loss/output_partial_sums.wgsl")),
    uniform: Uniform::FIELDS,
    bindings: &[
        read("labels"),
        read_write("y"),
        read("partial_sums"),
        read("unit"),
        read("weights"),
        read_write("delta"),
        read_write("scores"),
        read("bias"),
    ],
    workgroup_size: 64,
};

/// Launches [`OUTPUT`] or [`OUTPUT_PARTIAL_SUMS`] on `cols` outputs, which are sums of `segments` segments.
#[must_use]
pub fn launch(op: &Output, cols: usize, segments: usize, storage: Storage) -> Launch {
    let flag = |set: bool| f64::from(u8::from(set));
    let activation = op.functions.as_ref().map(|f| f.of(0));
    let mut overrides = vec![
        ("CLASSES", flag(storage.classes)),
        ("WEIGHTED", flag(storage.weighted)),
        ("LOSS", op.loss.code().into()),
        ("GRADIENT", flag(op.delta.is_some())),
        ("SOFTMAX", flag(activation.is_none())),
        ("ACTIVATION", activation.map_or(0.0, |f| f.code().into())),
        ("PARAMETER", activation.map_or(0.0, |f| f.parameter().into())),
    ];
    let mut args = vec![
        Arg::Targets,
        Arg::Tensor(op.y),
        Arg::Tensor(op.partial_sums.map_or(op.z, |partial| partial.sums)),
        Arg::Tensor(op.unit),
        loss::weights(storage.weighted),
        op.delta.map_or(Arg::Unused, Arg::Tensor),
        Arg::Tensor(op.scores),
    ];
    let mut kernel = &OUTPUT;
    let bias = op.partial_sums.and_then(|partial| partial.bias);
    if op.partial_sums.is_some() {
        kernel = &OUTPUT_PARTIAL_SUMS;
        overrides.push(("BIAS", flag(bias.is_some())));
        args.push(bias.map_or(Arg::Unused, |(bias, _)| Arg::Tensor(bias)));
    }
    Launch {
        kernel,
        overrides,
        uniform: Uniform {
            cols: cols as u32,
            loss_parameter: op.loss.parameter(),
            threshold: op.loss.link().threshold(),
            segments: segments as u32,
            bias_sign: bias.map_or(0.0, |(_, sign)| sign),
        }
        .bytes(),
        args,
        grid: Grid::Rows(Extent::Batch),
    }
}

/// The CPU reference of the first part of [`OUTPUT_PARTIAL_SUMS`]: sums: (rows, segments · n_L), bias: (n_L),
/// z, y: (rows, n_L).
pub fn add_up<T: Vector>(
    functions: &UnitFunctions,
    n: usize,
    sums: &[T],
    bias: Option<(&[T], T)>,
    z: &mut [T],
    y: &mut [T],
) {
    let of_row = sums.len() / (z.len() / n).max(1);
    for (z, sums) in z.chunks_exact_mut(n).zip(sums.chunks_exact(of_row.max(1))) {
        z.fill(T::zero());
        for segment in sums.chunks_exact(n) {
            z.iter_mut().zip(segment).for_each(|(z, &x)| *z += x);
        }
        if let Some((bias, sign)) = bias {
            z.iter_mut().zip(bias).for_each(|(z, &b)| *z += sign * b);
        }
    }
    activation::value(functions, n, z, y);
}

/// The CPU reference of [`OUTPUT`]: z, y, delta: (rows, n_L), t: (rows, targets), unit: (targets),
/// scores: (rows, 4).
#[allow(clippy::too_many_arguments, reason = "one for each tensor of the op")]
pub fn reference<T: Vector>(
    op: &Output,
    step: &Step,
    z: &[T],
    y: &[T],
    t: &[T],
    unit: &[T],
    delta: &mut [T],
    scores: &mut [T],
) {
    loss::rows(op.loss, step, y, t, unit, delta, scores);
    match &op.functions {
        None => softmax::gradient(op.loss.outputs(unit.len()), y, delta),
        Some(functions) => {
            activation::gradient(functions, 0..op.loss.outputs(unit.len()), z, delta);
        }
    }
}
