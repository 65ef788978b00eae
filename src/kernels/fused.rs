//! Fused ops: several of the plain ops at once, on rows that stay in cache.
//!
//! They compute what the plain ops compute, in the same order within each row; only sums over the
//! batch are cut elsewhere.

use super::activation::{ACTIVATION_FUNCTIONS, UnitFunctions};
use super::loss::{LOSS_FUNCTIONS, threshold};
use super::optimizer::OPTIMIZER_FUNCTIONS;
use super::{
    Arg, COMMON, FUNCTIONS, Grid, Kernel, Launch, Place, RANDOM_FUNCTIONS, read, read_write,
    uniform,
};
use crate::data::Storage;
use crate::loss::Loss;
use crate::optim::Optimizer;
use crate::spec::{Spec, Units};
use crate::tensor::{Extent, TensorId};
use std::ops::Range;

/// A layer of a fused op.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedLayer {
    /// W: (n_l, n_{l−1}).
    pub weight: TensorId,
    /// b: (1, n_l), and its sign.
    pub bias: Option<(TensorId, f32)>,
    /// σ_l; none for softmax.
    pub functions: Option<UnitFunctions>,
    /// Z: (B, n_l); the same tensor as A where σ′ follows from the sign of A.
    pub z: TensorId,
    /// A: (B, n_l).
    pub a: TensorId,
    /// δ: (B, n_l); none where no gradient is wanted.
    pub delta: Option<TensorId>,
}

/// How far a fused pass goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// To the outputs.
    Outputs,
    /// To the losses and scores of the rows.
    Loss,
    /// Back to the δ of all layers.
    Deltas,
}

/// The forward pass, the loss and the backward pass to all δ, a block of rows at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Features to where.
    pub reach: Reach,
    /// X: (B, n_0).
    pub x: TensorId,
    /// The layers, from the input on.
    pub layers: Vec<FusedLayer>,
    /// The loss.
    pub loss: Loss,
    /// T: (B, n_L).
    pub t: TensorId,
    /// Users' units in one of ours: (1, n_L).
    pub unit: TensorId,
    /// ∂E/∂A_L: (B, n_L), which becomes δ_L in place.
    pub gradient: TensorId,
    /// (B, 4).
    pub scores: TensorId,
    /// Rows of a block, on the CPU.
    pub block: usize,
    /// The buffer in which all of these lie that have a row for each row of the batch, but the
    /// scores.
    pub arena: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
}

/// The gradient of a layer's parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterGradient {
    /// δ_l: (B, n_l).
    pub delta: TensorId,
    /// A_{l−1}: (B, n_{l−1}).
    pub input: TensorId,
    /// W: (n_l, n_{l−1}).
    pub weight: TensorId,
    /// b: (1, n_l), and its sign.
    pub bias: Option<(TensorId, f32)>,
}

/// All gradients of all parameters, each part followed at once by the optimiser's step on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientUpdate {
    /// The layers.
    pub layers: Vec<ParameterGradient>,
    /// The rule.
    pub optimizer: Optimizer,
    /// λ.
    pub decay: f32,
    /// What the rule keeps, for all parameters in one row.
    pub state: [TensorId; 2],
    /// The buffer in which δ and A lie.
    pub arena: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
}

/// Into how many pieces the units of a layer of `n` are cut.
#[must_use]
pub fn unit_pieces(n: usize) -> usize {
    n.div_ceil(unit_block(n))
}

/// The units of piece `i` of a layer of `n`.
#[must_use]
pub fn units_of(n: usize, i: usize) -> Range<usize> {
    let block = unit_block(n);
    i * block..((i + 1) * block).min(n)
}

/// Units of a piece: whole panels of packed weights.
fn unit_block(n: usize) -> usize {
    n.div_ceil(16).next_multiple_of(32).clamp(32, 128)
}

/// The most rows of a block on the CPU.
pub const LARGEST_BLOCK: usize = 128;

/// The most layers that the tables of the two kernels hold.
const LAYERS: usize = 16;
/// Rows of a workgroup of [`ROWS`], and columns of the tiles that it multiplies.
const TILE_ROWS: usize = 16;
const TILE_COLS: usize = 64;
/// Rows and columns of the tile of a gradient that a workgroup of [`GRADIENT_UPDATE`] computes.
const TILE: usize = 32;
/// The inner dimension of a tile's product.
const DEPTH: usize = 16;
/// Stands for softmax among the codes of activations.
const SOFTMAX: u32 = 255;

uniform! {
    /// How far to go, where everything lies in the arena, and the table of the layers.
    RowsUniform {
        layers: u32,
        reach: u32,
        inputs: u32,
        outputs: u32,
        x: u32,
        t: u32,
        y: u32,
        gradient: u32,
        parameter: f32,
        threshold: f32,
        padding0: u32,
        padding1: u32,
        table: [[u32; 4]; 3 * LAYERS],
    }
}

uniform! {
    /// The rule's constants and the table of the layers.
    GradientUpdateUniform {
        layers: u32,
        decay: f32,
        constant0: f32,
        constant1: f32,
        constant2: f32,
        padding0: u32,
        padding1: u32,
        padding2: u32,
        table: [[u32; 4]; 2 * LAYERS],
    }
}

/// [`Rows`] on the device.
pub static ROWS: Kernel = Kernel {
    entry: "rows",
    source: &[
        COMMON,
        FUNCTIONS,
        RANDOM_FUNCTIONS,
        ACTIVATION_FUNCTIONS,
        LOSS_FUNCTIONS,
        include_str!("../../shaders/rows.wgsl"),
    ],
    uniform: RowsUniform::FIELDS,
    bindings: &[
        read("data"),
        read("affine"),
        read("labels"),
        read("w"),
        read("unit"),
        read_write("arena"),
        read_write("scores"),
    ],
    workgroup_size: 256,
};

/// [`GradientUpdate`] on the device.
pub static GRADIENT_UPDATE: Kernel = Kernel {
    entry: "gradient_update",
    source: &[COMMON, OPTIMIZER_FUNCTIONS, include_str!("../../shaders/gradient_update.wgsl")],
    uniform: GradientUpdateUniform::FIELDS,
    bindings: &[read("arena"), read_write("w"), read_write("first"), read_write("second")],
    workgroup_size: 64,
};

/// Whether the two kernels take `spec` with batches of up to `batch` rows, on a device whose
/// bindings have up to `largest` bytes: one activation for each layer, a table that is long
/// enough, loops that no driver cuts short, and a net so small that a workgroup for 16 rows of it
/// is not slower than a product for each layer.
#[must_use]
pub fn fits(spec: &Spec, batch: usize, largest: u64) -> bool {
    /// Some drivers end a loop after 65,535 rounds without a word; these are well below.
    const ROUNDS: usize = 50_000;
    const WEIGHTS: usize = 150_000;
    let net = &spec.net;
    let one_each = net.layers.iter().all(|l| !matches!(l.activation, Units::Each(_)));
    let tiles = |a: usize, b: usize| a.div_ceil(TILE_COLS) * b.div_ceil(DEPTH) * 13;
    let rounds: usize = net.shapes().map(|(n, k)| tiles(n, k) + tiles(k, n)).sum();
    let rows_rounds = rounds + TILE_ROWS * net.inputs / 256;
    let update_rounds = batch.div_ceil(DEPTH) * 28;
    let units: usize = net.layers.iter().map(|l| l.units).sum();
    let arena = 4 * batch as u64 * (net.inputs + 4 * units) as u64;
    one_each
        && net.layers.len() <= LAYERS
        && net.parameters() <= WEIGHTS
        && rows_rounds.max(update_rounds) <= ROUNDS
        && arena.max(4 * net.parameters() as u64) <= largest
}

/// Launches [`ROWS`].
#[must_use]
pub fn launch_rows(op: &Rows, storage: Storage, place: Place<'_>) -> Launch {
    let at = |id: TensorId| place(id).0;
    let mut table = [[0; 4]; 3 * LAYERS];
    let mut input = op.x;
    for (layer, rows) in op.layers.iter().zip(table.chunks_exact_mut(3)) {
        let (code, parameter) = match &layer.functions {
            None => (SOFTMAX, 0.0),
            Some(functions) => (functions.of(0).code(), functions.of(0).parameter()),
        };
        let (bias, sign) = layer.bias.map_or((0, 0.0), |(b, sign)| (at(b), sign));
        let delta = layer.delta.map_or(0, at);
        rows[0] = [place(layer.z).1, place(input).1, at(layer.weight), bias];
        rows[1] = [at(layer.z), at(layer.a), delta, code];
        rows[2] = [f32::to_bits(sign), f32::to_bits(parameter), 0, 0];
        input = layer.a;
    }
    let flag = |set: bool| f64::from(u8::from(set));
    Launch {
        kernel: &ROWS,
        overrides: vec![
            ("BYTES", flag(storage.bytes)),
            ("CLASSES", flag(storage.classes)),
            ("LOSS", f64::from(op.loss.code())),
        ],
        uniform: RowsUniform {
            layers: op.layers.len() as u32,
            reach: op.reach as u32,
            inputs: place(op.x).1,
            outputs: place(input).1,
            x: at(op.x),
            t: at(op.t),
            y: at(input),
            gradient: at(op.gradient),
            parameter: op.loss.parameter(),
            threshold: threshold(op.loss),
            padding0: 0,
            padding1: 0,
            table,
        }
        .bytes(),
        args: vec![
            Arg::Features,
            Arg::Affine,
            Arg::Targets,
            Arg::Tensor(op.parameters),
            Arg::Tensor(op.unit),
            Arg::Tensor(op.arena),
            Arg::Tensor(op.scores),
        ],
        grid: Grid::Tiles(Extent::Batch, TILE_ROWS, 1),
    }
}

/// Launches [`GRADIENT_UPDATE`].
#[must_use]
pub fn launch_gradient_update(op: &GradientUpdate, place: Place<'_>) -> Launch {
    let at = |id: TensorId| place(id).0;
    let mut table = [[0; 4]; 2 * LAYERS];
    let mut groups = 0;
    for (layer, rows) in op.layers.iter().zip(table.chunks_exact_mut(2)) {
        let (n, k) = (place(layer.delta).1, place(layer.input).1);
        let (bias, sign) = layer.bias.map_or((0, 0.0), |(b, sign)| (at(b), sign));
        rows[0] = [n, k, at(layer.delta), at(layer.input)];
        rows[1] = [at(layer.weight), bias, groups as u32, f32::to_bits(sign)];
        groups += (n as usize).div_ceil(TILE) * (k as usize).div_ceil(TILE);
    }
    let [constant0, constant1, constant2] = op.optimizer.constants();
    Launch {
        kernel: &GRADIENT_UPDATE,
        overrides: vec![("RULE", f64::from(op.optimizer.code()))],
        uniform: GradientUpdateUniform {
            layers: op.layers.len() as u32,
            decay: op.decay,
            constant0,
            constant1,
            constant2,
            padding0: 0,
            padding1: 0,
            padding2: 0,
            table,
        }
        .bytes(),
        args: [op.arena, op.parameters, op.state[0], op.state[1]].map(Arg::Tensor).to_vec(),
        grid: Grid::Rows(Extent::Fixed(groups)),
    }
}
