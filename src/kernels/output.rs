//! The end of a forward pass in one launch: the loss of each row with its scores, and
//! δ_L = ∂E/∂A_L ⊙ σ_L′(Z_L), or Jᵀ ∂E/∂A_L for softmax, straight from the data set's targets.

use super::activation::{self, ACTIVATION_FUNCTIONS, UnitFunctions};
use super::loss::{self, LOSS_FUNCTIONS, LOSS_LANES, LOSS_ROW};
use super::{
    Arg, COMMON, FUNCTIONS, Grid, Kernel, Launch, RANDOM_FUNCTIONS, REDUCE, Step, read, read_write,
    softmax, uniform,
};
use crate::data::Storage;
use crate::loss::Loss;
use crate::tensor::{Extent, TensorId};
use crate::vector::Vector;

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
    /// Users' units in one of ours: (1, n_L).
    pub unit: TensorId,
    /// δ_L: (B, n_L), where it is wanted.
    pub delta: Option<TensorId>,
    /// (B, 4).
    pub scores: TensorId,
}

uniform! {
    /// Outputs, the loss's parameter, and the value above which a single output says yes.
    Uniform { cols: u32, loss_parameter: f32, threshold: f32 }
}

/// [`Output`] on the device.
pub static OUTPUT: Kernel = Kernel {
    entry: "output",
    source: &[
        COMMON,
        FUNCTIONS,
        RANDOM_FUNCTIONS,
        ACTIVATION_FUNCTIONS,
        LOSS_FUNCTIONS,
        REDUCE,
        LOSS_LANES,
        LOSS_ROW,
        include_str!("../../shaders/output.wgsl"),
    ],
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

/// Launches [`OUTPUT`] on `cols` outputs.
#[must_use]
pub fn launch(op: &Output, cols: usize, storage: Storage) -> Launch {
    let flag = |set: bool| f64::from(u8::from(set));
    let activation = op.functions.as_ref().map(|f| f.of(0));
    Launch {
        kernel: &OUTPUT,
        overrides: vec![
            ("CLASSES", flag(storage.classes)),
            ("WEIGHTED", flag(storage.weighted)),
            ("LOSS", op.loss.code().into()),
            ("GRADIENT", flag(op.delta.is_some())),
            ("SOFTMAX", flag(activation.is_none())),
            ("ACTIVATION", activation.map_or(0.0, |f| f.code().into())),
            ("PARAMETER", activation.map_or(0.0, |f| f.parameter().into())),
        ],
        uniform: Uniform {
            cols: cols as u32,
            loss_parameter: op.loss.parameter(),
            threshold: op.loss.link().threshold(),
        }
        .bytes(),
        args: vec![
            Arg::Targets,
            Arg::Tensor(op.y),
            Arg::Tensor(op.z),
            Arg::Tensor(op.unit),
            loss::weights(storage.weighted),
            op.delta.map_or(Arg::Unused, Arg::Tensor),
            Arg::Tensor(op.scores),
        ],
        grid: Grid::Rows(Extent::Batch),
    }
}

/// The CPU reference of [`OUTPUT`]: z, y, delta: (rows, n_L), t: (rows, targets), unit: (targets), scores: (rows, 4).
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
