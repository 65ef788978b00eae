//! The backward pass of a layer in one launch: backward by data, which is δ, and backward by weights, which is the
//! gradients of parameters that no later op reads, with their updates.
//!
//! δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l), beside ∂E/∂W = δᵀ A and ∂E/∂b = ± Σ_rows δ of layer
//! l + 2 with the optimizer's step on them: while δ_l is computed from W_{l+1}, W_{l+2} can change.
//! The last launch of a step has two updates and no δ. Gradients are not kept.
//!
//! With a long batch, the blocks of an update are few and their sums long, while the δ beside them finishes
//! early. Then each update gives its gradient over parts of the batch, which one more launch sums
//! in order and uses for the step ([`crate::kernels::fused::gradient::SumUpdate`]): see [`part_rows_of_layers`].

use super::tile::{Along, At, Operand, Products, TILES, Tile, Tiling};
use crate::kernels::common::declaration::{
    Binding, COMMON, FUNCTIONS, Kernel, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Layout};
use crate::kernels::layers::activation::{ACTIVATION_FUNCTIONS, UnitFunctions};
use crate::kernels::optim::gradient_update::ParameterGradient;
use crate::kernels::optim::optimizer::{OPTIMIZER_FUNCTIONS, decayed_word};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::optim::UpdateRule;
use std::sync::LazyLock;

/// δ of one layer from that of the layer above.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// δ_{l+1}: (B, n_{l+1}).
    pub above: TensorId,
    /// W_{l+1}: (n_{l+1}, n_l).
    pub weight: TensorId,
    /// σ_l.
    pub functions: UnitFunctions,
    /// Z_l: (B, n_l), or A_l where σ′ follows from it.
    pub z: TensorId,
    /// δ_l: (B, n_l).
    pub out: TensorId,
}

/// Backward by data and by weights of different layers in one launch, or one of them, or by weights of two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Backward {
    /// By data: δ, beside at most one update.
    pub delta: Option<Delta>,
    /// By weights: at most two.
    pub updates: Vec<ParameterGradient>,
    /// The rule, with at most two states for each parameter.
    pub rule: UpdateRule,
    /// The state of the rule, for all parameters in one row.
    pub state: [TensorId; 2],
    /// All parameters in one row.
    pub parameters: TensorId,
    /// The gradients over parts of the batch, instead of the optimizer's step.
    pub parts: Option<BatchParts>,
    /// The loss scaling in f16, where the op is one δ or one update.
    pub scaled: Option<Scaled>,
}

/// Loss scaling, and the f16 copy of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaled {
    /// S, by which every δ is multiplied and gradients are divided, and whether there was an overflow, after
    /// which nothing is updated: (1, 4).
    pub loss_scale: TensorId,
    /// W in f16 of the layer that is updated: (n_l, n_{l−1}).
    pub shadow: Option<TensorId>,
}

/// Gradients over parts of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchParts {
    /// The sums: (parts, all parameters).
    pub sums: TensorId,
    /// Rows of each part.
    pub rows: usize,
    /// Their number.
    pub count: usize,
}

/// Rows of each part of a batch of `batch` rows: all of them, unless the blocks of some update are
/// so few that it takes longer than all else in its launch. That depends on the shape alone.
///
/// `shapes`: (n, inputs of the product) of each layer, a column for the bias included.
#[must_use]
pub fn part_rows_of_layers(shapes: &[[usize; 2]], batch: usize) -> usize {
    /// Workgroups that fill a large GPU.
    const ENOUGH: usize = 512;
    const SHORTEST: usize = 256;
    /// Elements of the sums: what a large GPU has in its cache.
    const MOST: usize = 1 << 22;
    let blocks = |rows: usize, cols: usize| rows.div_ceil(32).saturating_mul(cols.div_ceil(32));
    let update = |l: usize| shapes.get(l).map_or(0, |[n, k]| blocks(*n, *k).saturating_mul(batch));
    let delta = |l: usize| blocks(batch, shapes[l][0]).saturating_mul(shapes[l + 1][0]);
    // The terms that each workgroup sums in a launch, if all have equally many.
    let hidden = shapes.len().saturating_sub(1);
    let merged = (0..hidden).filter(|l| l + 2 < shapes.len()).map(|l| delta(l) + update(l + 2));
    let terms = merged.chain([update(0) + update(1)]).map(|work| work / ENOUGH);
    let wanted = batch / terms.min().unwrap_or(batch).max(SHORTEST);
    let parameters = shapes.iter().map(|[n, k]| n.saturating_mul(*k));
    let parameters = parameters.fold(0, usize::saturating_add);
    let parts = wanted.min(MOST / parameters.max(1));
    match parts {
        0 | 1 => batch,
        // A multiple of the segment.
        parts => batch.div_ceil(parts).next_multiple_of(64),
    }
}

uniform! {
    /// The rule's constants, and what each part of the launch works on.
    Uniform {
        decay: f32,
        decayed: u32,
        constant0: f32,
        constant1: f32,
        constant2: f32,
        groups0: u32,
        parts: u32,
        rows: u32,
        len: u32,
        sign0: f32,
        sign1: f32,
        padding0: u32,
        update0: [u32; 4],
        update1: [u32; 4],
        delta: [u32; 4],
    }
}

/// [`Backward`] by data, with at most one update beside, for each of [`TILES`].
pub static BACKWARD: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] = &[
        read_write("w"),
        read_write("first"),
        read_write("second"),
        read("d0"),
        read("a0"),
        read("above"),
        read("z"),
        read_write("out"),
    ];
    let above = Operand {
        source: "above",
        place: At::From("side * p.delta.y"),
        len: "now.rows",
        row: "p.delta.y",
        along: Along::Depth,
        ones: false,
        in_fours: true,
    };
    let w = Operand {
        source: "w",
        place: At::From("p.delta.z + side"),
        len: "p.delta.x",
        row: "p.delta.x",
        along: Along::Side,
        ones: false,
        in_fours: false,
    };
    let own = Own {
        name: "backward",
        text: include_str!("../../../shaders/products/backward_delta.wgsl"),
        update: ["d0", "a0"],
        delta: Some([above, w]),
        declared: &["d0", "a0", "above"],
    };
    own.kernels(BINDINGS)
});

/// [`Backward`] by weights alone, for each of [`TILES`].
pub static UPDATES: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] = &[
        read_write("w"),
        read_write("first"),
        read_write("second"),
        read("d0"),
        read("a0"),
        read("d1"),
        read("a1"),
    ];
    let own = Own {
        name: "updates",
        text: include_str!("../../../shaders/products/backward_updates.wgsl"),
        update: ["delta", "input"],
        delta: None,
        declared: &["d0", "a0", "d1", "a1"],
    };
    own.kernels(BINDINGS)
});

/// The differences between the two kernels.
struct Own {
    name: &'static str,
    text: &'static str,
    /// The sources of the operands of an update.
    update: [&'static str; 2],
    /// The operands of δ_l.
    delta: Option<[Operand<'static>; 2]>,
    /// The bindings that are operands.
    declared: &'static [&'static str],
}

impl Own {
    fn kernels(&self, bindings: &'static [Binding]) -> Vec<Kernel> {
        let [delta, input] = self.update;
        // `task` and `part` are variables of backward.wgsl.
        let a = Operand {
            source: delta,
            place: At::From("part.y * task.x + side"),
            len: "task.x",
            row: "task.x",
            along: Along::Side,
            ones: false,
            in_fours: true,
        };
        let b = Operand {
            source: input,
            place: At::From("part.y * task.y + side"),
            len: "task.y",
            row: "task.y",
            ones: true,
            in_fours: true,
            ..a
        };
        let kernel = |tile: &Tile| {
            let update = tile.product("update", [a, b]);
            let delta = self.delta.map_or_else(String::new, |of| tile.product("delta", of));
            tile.kernel(
                [self.name; 2],
                Uniform::FIELDS,
                bindings,
                self.declared,
                &[
                    COMMON,
                    FUNCTIONS,
                    ACTIVATION_FUNCTIONS,
                    OPTIMIZER_FUNCTIONS,
                    include_str!("../../../shaders/products/backward.wgsl"),
                    self.text,
                    &update,
                    &delta,
                ],
            )
        };
        TILES.iter().map(kernel).collect()
    }
}

impl Backward {
    /// The products of the launch for a batch of `batch` rows.
    #[must_use]
    pub fn products(&self, batch: usize, cols: impl Fn(TensorId) -> usize) -> Products {
        let delta = self.delta.iter().map(|d| {
            let (n, k) = (cols(d.out), cols(d.above));
            ([batch, n, k], [k, n])
        });
        let (rows, count) = self.parts.map_or((batch, 1), |parts| (parts.rows, parts.count));
        let updates = self.updates.iter().map(|u| u.product(rows, &cols));
        let updates = updates.flat_map(|product| std::iter::repeat_n(product, count));
        Products::new(&updates.chain(delta).collect::<Vec<_>>())
    }
}

/// Launches [`BACKWARD`] or [`UPDATES`].
#[must_use]
pub fn launch(op: &Backward, tiling: &Tiling, layout: Layout<'_>) -> Launch {
    let at = |id: TensorId| layout(id).0;
    let cols = |id: TensorId| layout(id).1;
    let tile = tiling.tile();
    // Without parts, the one part has all rows.
    let (rows, count) = op.parts.map_or((u32::MAX, 1), |parts| (parts.rows as u32, parts.count));
    let mut tasks = [([0; 4], 0.0, 0); 2];
    for (update, task) in op.updates.iter().zip(&mut tasks) {
        let (n, k) = (cols(update.delta), cols(update.input));
        let (bias, sign) = update.bias.map_or((0, 0.0), |(b, sign)| (at(b), sign));
        let (product, _) = update.product(0, |id| cols(id) as usize);
        let groups = count * tile.blocks(product);
        *task = ([n, k, at(update.weight), bias], sign, groups);
    }
    let [(update0, sign0, groups0), (update1, sign1, groups1)] = tasks;
    let [constant0, constant1, constant2] = op.rule.optimizer.constants();
    let tensors = |u: Option<&ParameterGradient>| {
        u.map_or([Arg::Unused; 2], |u| [u.delta, u.input].map(Arg::Tensor))
    };
    let mut overrides = tiling.overrides();
    overrides.extend([
        ("RULE", op.rule.optimizer.code().into()),
        ("PARTS", f64::from(u8::from(op.parts.is_some()))),
    ]);
    let [first, second] = op.state;
    let first = op.parts.map_or(first, |parts| parts.sums);
    let mut args = [op.parameters, first, second].map(Arg::Tensor).to_vec();
    args.extend(tensors(op.updates.first()));
    let (kernel, delta, grid) = match &op.delta {
        Some(d) => {
            let activation = d.functions.of(0);
            overrides.extend([
                ("ACTIVATION", activation.code().into()),
                ("PARAMETER", activation.parameter().into()),
            ]);
            args.extend([d.above, d.z, d.out].map(Arg::Tensor));
            let (n, k) = (cols(d.out), cols(d.above));
            let across = (n as usize).div_ceil(tile.cols);
            let grid = Grid::TilesBehind(groups0, Extent::Batch, tile.rows, across);
            (&BACKWARD[tiling.choice], [n, k, at(d.weight), 0], grid)
        }
        None => {
            args.extend(tensors(op.updates.get(1)));
            let grid = Grid::Groups(groups0 + groups1);
            (&UPDATES[tiling.choice], [0; 4], grid)
        }
    };
    Launch {
        kernel,
        overrides,
        uniform: Uniform {
            decay: op.rule.decay,
            decayed: decayed_word(op.rule.decayed),
            constant0,
            constant1,
            constant2,
            groups0: groups0 as u32,
            parts: count as u32,
            rows,
            len: cols(op.parameters),
            sign0,
            sign1,
            padding0: 0,
            update0,
            update1,
            delta,
        }
        .bytes(),
        args,
        grid,
    }
}
