//! Gradients of all parameters of a small net in one launch, and the optimizer's step on them.
//!
//! If the blocks of ∂E/∂W = δᵀ A are many, or the batch is short, [`GradientUpdate`] computes each
//! gradient and immediately takes the step. Otherwise the batch is split into parts, which depend on
//! the shape alone: [`GradientParts`] sums each part separately, and [`SumUpdate`] sums the parts in
//! order. One more workgroup of the first launch sums the scores of the batch.

use super::whole_net::LAYERS;
use crate::kernels::common::declaration::{
    Binding, COMMON, Kernel, REDUCE, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Layout, Step};
use crate::kernels::loss::SCORES_SUM;
use crate::kernels::optim::gradient_update::{
    Companions, GradientUpdate, NormParameters, ParameterGradient,
};
use crate::kernels::optim::optimizer::{OPTIMIZER_FUNCTIONS, RuleStep, THIRD_STATE, decayed_word};
use crate::kernels::products::tile::{Along, At, Operand, Products, TILES, Tile, Tiling};
use crate::kernels::tensor::TensorId;
use crate::math::optim::UpdateRule;
use crate::math::vector::Vector;
use std::sync::LazyLock;

/// All gradients of all parameters over each part of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientParts {
    /// The layers.
    pub layers: Vec<ParameterGradient>,
    /// The buffer in which δ and A lie.
    pub arena: TensorId,
    /// The sums: (parts, all parameters).
    pub parts: TensorId,
    /// Rows of each part.
    pub rows: usize,
    /// The scores, (B, 4), and their running sums, (1, 4), if the op sums them too.
    pub scores: Option<[TensorId; 2]>,
    /// The normalizations whose scale and shift have gradients too; on the CPU only.
    pub norms: Vec<NormParameters>,
    /// Whether the sums are added to the values in `parts`; on the CPU only, with one part.
    pub adds: bool,
    /// The gradients of the batch's earlier micro-batches, which are added and cleared: (1, len);
    /// on the CPU only, with one part.
    pub collected: Option<TensorId>,
}

/// The sums over the parts of all gradients, each immediately followed by the optimizer's step.
#[derive(Debug, Clone, PartialEq)]
pub struct SumUpdate {
    /// The sums: (parts, all parameters).
    pub parts: TensorId,
    /// The rule.
    pub rule: UpdateRule,
    /// All parameters in one row.
    pub parameters: TensorId,
    /// The state of the rule, for all parameters in one row.
    pub state: [TensorId; 3],
    /// The scores, (B, 4), and their running sums, (1, 4), if the op sums them too.
    pub scores: Option<[TensorId; 2]>,
}

uniform! {
    /// The rule's constants, the parts of the batch, and the table of the layers.
    Uniform {
        decay: f32,
        decayed: u32,
        constant0: f32,
        constant1: f32,
        constant2: f32,
        layers: u32,
        blocks: u32,
        parts: u32,
        rows: u32,
        len: u32,
        padding0: u32,
        padding1: u32,
        table: [[u32; 4]; 2 * LAYERS],
    }
}

uniform! {
    /// The rule's constants, and the shape of the parts.
    SumUniform {
        decay: f32,
        decayed: u32,
        constant0: f32,
        constant1: f32,
        constant2: f32,
        len: u32,
        parts: u32,
    }
}

/// [`GradientUpdate`] on the device, for each of [`TILES`].
pub static GRADIENT_UPDATE: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] = &[
        read("arena"),
        read("scores"),
        read_write("sums"),
        read_write("w"),
        read_write("first"),
        read_write("second"),
        read_write("third"),
    ];
    let own = [
        OPTIMIZER_FUNCTIONS,
        THIRD_STATE,
        include_str!("../../../shaders/fused/gradient_update.wgsl"),
    ];
    kernels("gradient_update", BINDINGS, &own)
});

/// [`GradientParts`] on the device, for each of [`TILES`].
pub static GRADIENT_PARTS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] =
        &[read("arena"), read("scores"), read_write("sums"), read_write("parts")];
    kernels(
        "gradient_parts",
        BINDINGS,
        &[include_str!("../../../shaders/fused/gradient_parts.wgsl")],
    )
});

fn kernels(name: &str, bindings: &'static [Binding], own: &[&str]) -> Vec<Kernel> {
    let delta = Operand {
        source: "arena",
        place: At::From("shape.z + part.y * shape.x + side"),
        len: "shape.x",
        row: "shape.x",
        along: Along::Side,
        ones: false,
        in_fours: true,
    };
    let input = Operand {
        place: At::From("shape.w + part.y * shape.y + side"),
        len: "shape.y",
        row: "shape.y",
        ones: true,
        in_fours: true,
        ..delta
    };
    let kernel = |tile: &Tile| {
        let product = tile.product("gradient", [delta, input]);
        let mut texts = vec![COMMON, REDUCE, SCORES_SUM];
        texts.extend([include_str!("../../../shaders/fused/gradient.wgsl"), &product]);
        texts.extend(own);
        tile.kernel([name, "gradient"], Uniform::FIELDS, bindings, &["arena"], &texts)
    };
    TILES.iter().map(kernel).collect()
}

/// [`SumUpdate`] on the device.
pub static SUM_UPDATE: Kernel = Kernel {
    entry: "sum_update",
    source: &[
        COMMON,
        REDUCE,
        SCORES_SUM,
        OPTIMIZER_FUNCTIONS,
        THIRD_STATE,
        include_str!("../../../shaders/fused/sum_update.wgsl"),
    ],
    uniform: SumUniform::FIELDS,
    bindings: &[
        read("parts"),
        read_write("w"),
        read_write("first"),
        read_write("second"),
        read_write("third"),
        read("scores"),
        read_write("sums"),
    ],
    workgroup_size: 64,
};

/// Rows of each part of a batch of `batch` rows: all of them, unless blocks are few and the batch
/// is long; `shapes`: the (units, inputs) of each layer's gradient, a bias being one input more.
#[must_use]
pub fn part_rows_of_net(shapes: &[[usize; 2]], batch: usize) -> usize {
    /// Workgroups that fill a large GPU.
    const ENOUGH: usize = 512;
    const SHORTEST: usize = 256;
    let blocks: usize = shapes.iter().map(|[n, k]| n.div_ceil(32) * k.div_ceil(32)).sum();
    let parts = ENOUGH.div_ceil(blocks.max(1)).min(batch / SHORTEST).max(1);
    // Whole segments.
    batch.div_ceil(parts).next_multiple_of(64)
}

/// The products of a launch over `rows` rows.
#[must_use]
pub fn products(
    layers: &[ParameterGradient],
    rows: usize,
    cols: impl Fn(TensorId) -> usize,
) -> Products {
    let products: Vec<_> = layers.iter().map(|layer| layer.product(rows, &cols)).collect();
    Products::new(&products)
}

/// The table of the layers, and the blocks of all of them.
fn table(
    layers: &[ParameterGradient],
    tile: &Tile,
    layout: Layout<'_>,
) -> ([[u32; 4]; 2 * LAYERS], usize) {
    let at = |id: TensorId| layout(id).0;
    let mut table = [[0; 4]; 2 * LAYERS];
    let mut blocks = 0;
    for (layer, rows) in layers.iter().zip(table.chunks_exact_mut(2)) {
        let (n, k) = (layout(layer.delta).1, layout(layer.input).1);
        let (bias, sign) = layer.bias.map_or((0, 0.0), |(b, sign)| (at(b), sign));
        rows[0] = [n, k, at(layer.delta), at(layer.input)];
        rows[1] = [at(layer.weight), bias, blocks as u32, f32::to_bits(sign)];
        let (product, _) = layer.product(0, |id| layout(id).1 as usize);
        blocks += tile.blocks(product);
    }
    (table, blocks)
}

/// Launches [`GRADIENT_UPDATE`] for batches of up to `batch` rows.
#[must_use]
pub fn launch_update(
    op: &GradientUpdate,
    batch: usize,
    tiling: &Tiling,
    layout: Layout<'_>,
) -> Launch {
    let has_more = !op.norms.is_empty() || op.with != Companions::default();
    assert!(!has_more, "the kernel has no part in what the CPU does beside an update");
    let (table, blocks) = table(&op.layers, tiling.tile(), layout);
    let [constant0, constant1, constant2] = op.rule.optimizer.constants();
    let mut overrides = tiling.overrides();
    overrides.push(("RULE", f64::from(op.rule.optimizer.code())));
    let [scores, sums] = op.scores.map_or([Arg::Unused; 2], |scores| scores.map(Arg::Tensor));
    let [first, second, third] = op.state.map(Arg::Tensor);
    let (arena, parameters) = (Arg::Tensor(op.arena), Arg::Tensor(op.parameters));
    Launch {
        kernel: &GRADIENT_UPDATE[tiling.choice],
        overrides,
        uniform: Uniform {
            decay: op.rule.decay,
            decayed: decayed_word(op.rule.decayed),
            constant0,
            constant1,
            constant2,
            layers: op.layers.len() as u32,
            blocks: blocks as u32,
            parts: 1,
            rows: batch as u32,
            len: 0,
            padding0: 0,
            padding1: 0,
            table,
        }
        .bytes(),
        args: vec![arena, scores, sums, parameters, first, second, third],
        grid: Grid::Groups(1 + blocks),
    }
}

/// Launches [`GRADIENT_PARTS`]; `parts` and `len`: the shape of the sums.
#[must_use]
pub fn launch_parts(
    op: &GradientParts,
    [parts, len]: [usize; 2],
    tiling: &Tiling,
    layout: Layout<'_>,
) -> Launch {
    let has_more = !op.norms.is_empty() || op.adds || op.collected.is_some();
    assert!(!has_more, "the kernel has no part in what the CPU does beside the sums");
    let (table, blocks) = table(&op.layers, tiling.tile(), layout);
    let [scores, sums] = op.scores.map_or([Arg::Unused; 2], |scores| scores.map(Arg::Tensor));
    let (arena, of_parts) = (Arg::Tensor(op.arena), Arg::Tensor(op.parts));
    Launch {
        kernel: &GRADIENT_PARTS[tiling.choice],
        overrides: tiling.overrides(),
        uniform: Uniform {
            decay: 0.0,
            decayed: 0,
            constant0: 0.0,
            constant1: 0.0,
            constant2: 0.0,
            layers: op.layers.len() as u32,
            blocks: blocks as u32,
            parts: parts as u32,
            rows: op.rows as u32,
            len: len as u32,
            padding0: 0,
            padding1: 0,
            table,
        }
        .bytes(),
        args: vec![arena, scores, sums, of_parts],
        grid: Grid::Groups(1 + parts * blocks),
    }
}

/// Launches [`SUM_UPDATE`]; `parts` and `len`: the shape of the sums.
#[must_use]
pub fn launch_sum(op: &SumUpdate, [parts, len]: [usize; 2]) -> Launch {
    let [constant0, constant1, constant2] = op.rule.optimizer.constants();
    Launch {
        kernel: &SUM_UPDATE,
        overrides: vec![
            ("RULE", f64::from(op.rule.optimizer.code())),
            ("SCORES", f64::from(u8::from(op.scores.is_some()))),
        ],
        uniform: SumUniform {
            decay: op.rule.decay,
            decayed: decayed_word(op.rule.decayed),
            constant0,
            constant1,
            constant2,
            len: len as u32,
            parts: parts as u32,
        }
        .bytes(),
        args: [op.parts, op.parameters]
            .into_iter()
            .chain(op.state)
            .map(Arg::Tensor)
            .chain(op.scores.map_or([Arg::Unused; 2], |scores| scores.map(Arg::Tensor)))
            .collect(),
        grid: Grid::Groups(len.div_ceil(64) + usize::from(op.scores.is_some())),
    }
}

/// The CPU reference of [`SUM_UPDATE`]: parts: (some, len), w: (len), states: (len) where the rule
/// has them.
pub fn sum_update<T: Vector>(
    op: &SumUpdate,
    step: &Step,
    parts: &[T],
    w: &mut [T],
    state: [&mut [T]; 3],
) {
    let mut g = vec![T::zero(); w.len()];
    for part in parts.chunks_exact(w.len()) {
        g.iter_mut().zip(part).for_each(|(g, &part)| *g += part);
    }
    RuleStep::new(op.rule, step).apply(0, w, &g, state);
}
