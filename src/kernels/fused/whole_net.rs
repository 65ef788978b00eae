//! The pass of rows through a whole net in one op, forward and backward, while they stay in cache.
//!
//! It computes what the plain ops compute, in the same order within each row; only sums over the
//! batch are split differently.

use crate::data::Storage;
use crate::kernels::common::declaration::{
    Binding, COMMON, FUNCTIONS, Kernel, RANDOM_FUNCTIONS, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Layout};
use crate::kernels::inputs::embed::{self, TABLES};
use crate::kernels::layers::activation::{ACTIVATION_FUNCTIONS, UnitFunctions};
use crate::kernels::layers::dropout::Dropout;
use crate::kernels::layers::norm::{NormTensors, NormalizedGradient};
use crate::kernels::loss::{self, LOSS_FUNCTIONS, LOSS_ROW};
use crate::kernels::products::tile::{Along, At, Operand, Tile, tile};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::loss::Loss;
use crate::net::augment::Augmentation;
use std::ops::Range;
use std::sync::LazyLock;

/// A layer of the net.
#[derive(Debug, Clone, PartialEq)]
pub struct NetLayer {
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
    /// δ: (B, n_l); none if no gradient is needed.
    pub delta: Option<TensorId>,
    /// The dropout of A, in passes up to the δ.
    pub dropout: Option<Dropout>,
    /// The normalization between Z and σ; on the CPU only.
    pub norm: Option<NormTensors>,
    /// X or the A of an earlier layer, which a residual connection adds before σ; on the CPU only.
    pub skip: Option<TensorId>,
}

impl NetLayer {
    /// The argument of σ: Z, or Z normalized.
    #[must_use]
    pub fn before_activation(&self) -> TensorId {
        self.norm.map_or(self.z, |norm| norm.forward.out)
    }

    /// ∂E/∂Z: δ, or its gradient through the normalization.
    #[must_use]
    pub fn delta_of_z(&self) -> Option<TensorId> {
        match self.norm.and_then(|norm| norm.backward) {
            Some(backward) => Some(backward.delta),
            None => self.delta,
        }
    }

    /// Whether its normalization uses the layer's own tensors, forward and backward.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.norm.is_none_or(|norm| {
            let back = |back: NormalizedGradient| {
                back.of == norm.forward && Some(back.gradient) == self.delta
            };
            norm.forward.z == self.z && norm.backward.is_none_or(back)
        })
    }

    /// Whether the normalization is over the whole batch.
    #[must_use]
    pub fn has_batch_norm(&self) -> bool {
        self.norm.is_some_and(|norm| norm.running.is_some())
    }
}

/// How far a pass goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// To the outputs.
    Outputs,
    /// To the losses and scores of the rows.
    Loss,
    /// To the δ of all layers, backward.
    Deltas,
}

/// The forward pass, the loss and the backward pass to all δ, a block of rows at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeNet {
    /// The first layer to compute: 1 if another op has computed the first layer.
    pub from: usize,
    /// X: (B, n_0).
    pub x: TensorId,
    /// Image augmentation, in passes up to the δ.
    pub augmentation: Option<Augmentation>,
    /// The dropout of X, in passes up to the δ.
    pub input_dropout: Option<Dropout>,
    /// The last feature columns, looked up in tables.
    pub embedded: Option<Embedded>,
    /// Whether pairs of rows of X and T are mixed, in passes up to the δ; on the CPU only.
    pub mixup: bool,
    /// The layers, from the input on.
    pub layers: Vec<NetLayer>,
    /// The loss, if the pass includes it.
    pub loss: Option<NetLoss>,
    /// Rows of a block, on the CPU.
    pub block: usize,
    /// The buffer of all tensors with a row for each row of the batch, except the
    /// scores.
    pub arena: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
}

/// The loss of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct NetLoss {
    /// The loss.
    pub loss: Loss,
    /// T: (B, targets).
    pub t: TensorId,
    /// The unit of each target, in the caller's units: (1, targets).
    pub unit: TensorId,
    /// ∂E/∂A_L: (B, n_L), which becomes δ_L in place.
    pub gradient: TensorId,
    /// (B, 4).
    pub scores: TensorId,
}

impl WholeNet {
    /// How far it goes: to the δ if layers have them.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self.loss {
            None => Reach::Outputs,
            Some(_) if self.layers.iter().any(|layer| layer.delta.is_some()) => Reach::Deltas,
            Some(_) => Reach::Loss,
        }
    }

    /// Whether there is dropout in passes up to the δ.
    #[must_use]
    pub fn drops(&self) -> bool {
        self.input_dropout.is_some() || self.layers.iter().any(|layer| layer.dropout.is_some())
    }

    /// Whether the kernel supports all of it.
    #[must_use]
    pub fn runs_on_gpus(&self) -> bool {
        let is_plain = |layer: &NetLayer| layer.norm.is_none() && layer.skip.is_none();
        let gathers = self.augmentation.is_none() && !self.mixup;
        let embeds = self.embedded.as_ref().is_none_or(|of| of.tables.len() <= TABLES);
        gathers && embeds && self.layers.iter().all(is_plain)
    }
}

/// Feature columns that are looked up in tables to become part of X.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The feature columns: (B, features).
    pub features: TensorId,
    /// Each embedding's lookup, and its table.
    pub tables: Vec<(embed::Lookup, TensorId)>,
    /// ∂E/∂X: (B, n_0), of which only columns from [`Self::first`] on are computed; none if no
    /// gradient is needed.
    pub gradient: Option<TensorId>,
}

impl Embedded {
    /// The first column of ∂E/∂X that is computed: at most that of the first embedding, and a
    /// multiple of 32, as dropout draws masks for 32 columns at a time.
    #[must_use]
    pub fn first(&self) -> usize {
        let first = self.tables.iter().map(|(lookup, _)| lookup.at).min();
        first.unwrap_or(0) / 32 * 32
    }
}

/// The number of pieces into which the units of a layer of `n` are split.
#[must_use]
pub fn unit_pieces(n: usize) -> usize {
    n.div_ceil(unit_block(n))
}

/// The units of some consecutive pieces of a layer of `n`.
#[must_use]
pub fn units_of(n: usize, pieces: Range<usize>) -> Range<usize> {
    let block = unit_block(n);
    pieces.start * block..(pieces.end * block).min(n)
}

/// Units of a piece: whole panels of packed weights.
fn unit_block(n: usize) -> usize {
    n.div_ceil(16).next_multiple_of(32).clamp(32, 128)
}

/// The most rows of a block on the CPU.
pub const LARGEST_BLOCK: usize = 128;

/// The most layers that the tables of the two kernels hold.
pub(super) const LAYERS: usize = 16;
/// The code of softmax among those of activations.
const SOFTMAX: u32 = 255;

uniform! {
    /// How far to go, the offsets in the arena, and the table of the layers.
    WholeNetUniform {
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
        first_layer: u32,
        targets: u32,
        features: u32,
        raw: u32,
        copied: u32,
        tables: u32,
        input_gradient: u32,
        first_column: u32,
        padding0: u32,
        padding1: u32,
        table: [[u32; 4]; 3 * LAYERS],
        drops: [[u32; 4]; LAYERS + 1],
        embeddings: [[u32; 4]; 2 * TABLES],
    }
}

/// The blocks of [`WHOLE_NET`], each with all of its rows: many workgroups for a short batch, and the
/// fastest products for a long one.
const BLOCKS: [Tile; 2] = [tile(16, 32, 8, [4, 4], 4), tile(64, 64, 16, [4, 4], 1)];

/// The batch size from which the larger block fills a GPU.
const LONG_BATCH: usize = 8192;

/// [`WholeNet`] on the device, for each of the blocks.
pub static WHOLE_NET: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] = &[
        read("data"),
        read("affine"),
        read("labels"),
        read("w"),
        read("unit"),
        read("weights"),
        read_write("arena"),
        read_write("scores"),
    ];
    let input = Operand {
        source: "arena",
        place: At::From("input + side * shape.x"),
        len: "now.rows",
        row: "shape.x",
        along: Along::Depth,
        ones: false,
        in_fours: true,
    };
    let forward = Operand {
        source: "w",
        place: At::From("weight + side * shape.x"),
        len: "shape.y",
        ..input
    };
    let backward =
        Operand { place: At::From("weight + side"), row: "shape.y", along: Along::Side, ..forward };
    let kernel = |block: &Tile| {
        let products = block.product("forward", [input, forward])
            + &block.product("backward", [input, backward]);
        let texts = [
            COMMON,
            FUNCTIONS,
            RANDOM_FUNCTIONS,
            ACTIVATION_FUNCTIONS,
            LOSS_FUNCTIONS,
            LOSS_ROW,
            include_str!("../../../shaders/fused/whole_net.wgsl"),
            &products,
        ];
        block.kernel(["whole_net"; 2], WholeNetUniform::FIELDS, BINDINGS, &["w"], &texts)
    };
    BLOCKS.iter().map(kernel).collect()
});

/// Whether the kernel can run a pass of `op` with batches of up to `batch` rows, in a net of `parameters`, on a
/// device whose bindings have up to `largest` bytes: one activation for each layer, a table that is long
/// enough, loops that no driver cuts short, and a net so small that a workgroup for 16 rows isn't slower
/// than a separate product for each layer. `cols`: the columns of a tensor.
#[must_use]
pub fn fits(
    op: &WholeNet,
    batch: usize,
    parameters: usize,
    largest: u64,
    cols: impl Fn(TensorId) -> usize,
) -> bool {
    /// Some drivers silently end a loop after 65,535 iterations; this is well below.
    const ROUNDS: usize = 50_000;
    const PARAMETERS: usize = 150_000;
    let one_each = |l: &NetLayer| !matches!(l.functions, Some(UnitFunctions::Each(..)));
    let tiles = |a: usize, b: usize| a.div_ceil(32) * (b.div_ceil(8) + 2);
    let inputs = cols(op.x);
    // Tables are looked up, not multiplied.
    let embedded = op.embedded.as_ref();
    let tables = embedded.into_iter().flat_map(|of| &of.tables).map(|(of, _)| of.values * of.dims);
    let multiplied = parameters - tables.sum::<usize>().min(parameters);
    let features = embedded.map_or(0, |of| cols(of.features) + inputs);
    let (mut rounds, mut units, mut below) = (inputs + features, 0, inputs);
    for layer in &op.layers {
        let n = cols(layer.z);
        rounds += tiles(n, below) + tiles(below, n);
        (units, below) = (units + n, n);
    }
    let update_rounds = batch / 8;
    let arena = 4 * batch as u64 * (inputs + features + 4 * units) as u64;
    op.layers.iter().all(one_each)
        && op.layers.len() <= LAYERS
        && multiplied <= PARAMETERS
        && rounds.max(update_rounds) <= ROUNDS
        && arena.max(4 * parameters as u64) <= largest
}

/// Launches [`WHOLE_NET`] for batches of up to `batch` rows.
#[must_use]
pub fn launch(op: &WholeNet, batch: usize, storage: Storage, layout: Layout<'_>) -> Launch {
    assert!(op.runs_on_gpus(), "the kernel has no part in what the CPU's pass does more");
    let size = usize::from(batch >= LONG_BATCH);
    let at = |id: TensorId| layout(id).0;
    let mut table = [[0; 4]; 3 * LAYERS];
    let mut drops = [[0; 4]; LAYERS + 1];
    let dropouts = op.layers.iter().map(|layer| layer.dropout);
    let dropouts = [op.input_dropout].into_iter().chain(dropouts);
    for (dropout, words) in dropouts.zip(&mut drops) {
        if let Some(dropout) = dropout {
            let [key0, key1] = dropout.key;
            *words = [dropout.threshold(), dropout.scale().to_bits(), key0, key1];
        }
    }
    let mut input = op.x;
    let mut output = SOFTMAX;
    for (layer, rows) in op.layers.iter().zip(table.chunks_exact_mut(3)) {
        let (code, parameter) = match &layer.functions {
            None => (SOFTMAX, 0.0),
            Some(functions) => (functions.of(0).code(), functions.of(0).parameter()),
        };
        let (bias, sign) = layer.bias.map_or((0, 0.0), |(b, sign)| (at(b), sign));
        let delta = layer.delta.map_or(0, at);
        rows[0] = [layout(layer.z).1, layout(input).1, at(layer.weight), bias];
        rows[1] = [at(layer.z), at(layer.a), delta, code];
        rows[2] = [f32::to_bits(sign), f32::to_bits(parameter), 0, 0];
        input = layer.a;
        output = code;
    }
    let mut embeddings = [[0; 4]; 2 * TABLES];
    let embedded = op.embedded.as_ref();
    let tables = embedded.map_or(&[][..], |of| &of.tables);
    for ((of, table), words) in tables.iter().zip(embeddings.chunks_exact_mut(2)) {
        words[0] = [of.column, of.at, of.values, of.dims].map(|x| x as u32);
        words[1] = [at(*table), 0, 0, 0];
    }
    let inputs = layout(op.x).1;
    let flag = |set: bool| f64::from(u8::from(set));
    let (loss, outputs) = (op.loss.as_ref(), layout(input).1);
    let mut overrides = BLOCKS[size].short_overrides();
    overrides.extend([
        ("BYTES", flag(storage.bytes)),
        ("CLASSES", flag(storage.classes)),
        ("WEIGHTED", flag(storage.weighted)),
        ("LOSS", f64::from(loss.map_or(0, |of| of.loss.code()))),
        ("OUTPUT", f64::from(output)),
        ("DROPS", flag(op.drops())),
        ("EMBEDS", flag(embedded.is_some())),
    ]);
    Launch {
        kernel: &WHOLE_NET[size],
        overrides,
        uniform: WholeNetUniform {
            layers: op.layers.len() as u32,
            reach: op.reach() as u32,
            inputs,
            outputs,
            x: at(op.x),
            t: loss.map_or(0, |of| at(of.t)),
            y: at(input),
            gradient: loss.map_or(0, |of| at(of.gradient)),
            parameter: loss.map_or(0.0, |of| of.loss.parameter()),
            threshold: loss.map_or(0.0, |of| of.loss.link().threshold()),
            first_layer: op.from as u32,
            targets: loss.map_or(0, |of| of.loss.targets(outputs as usize) as u32),
            features: embedded.map_or(inputs, |of| layout(of.features).1),
            raw: embedded.map_or(0, |of| at(of.features)),
            copied: tables.first().map_or(inputs, |(first, _)| first.at as u32),
            tables: tables.len() as u32,
            input_gradient: embedded.and_then(|of| of.gradient).map_or(0, at),
            first_column: embedded.map_or(0, |of| of.first() as u32),
            padding0: 0,
            padding1: 0,
            table,
            drops,
            embeddings,
        }
        .bytes(),
        args: vec![
            Arg::Features,
            Arg::Affine,
            Arg::Targets,
            Arg::Tensor(op.parameters),
            loss.map_or(Arg::Unused, |of| Arg::Tensor(of.unit)),
            loss::weights(storage.weighted),
            Arg::Tensor(op.arena),
            loss.map_or(Arg::Unused, |of| Arg::Tensor(of.scores)),
        ],
        grid: Grid::Tiles(Extent::Batch, BLOCKS[size].rows, 1),
    }
}
