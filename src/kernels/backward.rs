//! The backward pass of a layer in one launch, with the updates of parameters that nothing needs
//! any more merged into it.
//!
//! δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l), beside ∂E/∂W = δᵀ A and ∂E/∂b = ± Σ_rows δ of the layer
//! above with the optimiser's step on them: while δ_l is computed from W_{l+1}, W_{l+2} can change.
//! The last launch of a step has two updates and no δ. Gradients are not kept.

use super::activation::{ACTIVATION_FUNCTIONS, UnitFunctions};
use super::fused::ParameterGradient;
use super::optimizer::{OPTIMIZER_FUNCTIONS, decayed_word};
use super::tile::{Along, TILES, Tile, Tiling};
use super::{Arg, COMMON, FUNCTIONS, Grid, Kernel, Launch, Place, read, read_write, uniform};
use crate::optim::Rule;
use crate::tensor::{Extent, TensorId};
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

/// Up to two of: a δ, and the updates of one or two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Backward {
    /// The δ, beside one update at most.
    pub delta: Option<Delta>,
    /// The updates.
    pub updates: Vec<ParameterGradient>,
    /// The rule, which keeps two numbers for each parameter at most.
    pub rule: Rule,
    /// What the rule keeps, for all parameters in one row.
    pub state: [TensorId; 2],
    /// All parameters in one row.
    pub parameters: TensorId,
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
        sign0: f32,
        sign1: f32,
        update0: [u32; 4],
        update1: [u32; 4],
        delta: [u32; 4],
    }
}

/// [`Backward`] with a δ, for each of [`TILES`].
pub static BACKWARD: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[super::Binding] = &[
        read_write("w"),
        read_write("first"),
        read_write("second"),
        read("d0"),
        read("a0"),
        read("above"),
        read("z"),
        read_write("out"),
    ];
    let delta = |tile: &Tile| tile.product("delta", [Along::Depth, Along::Side]);
    kernels("backward", include_str!("../../shaders/backward_delta.wgsl"), BINDINGS, delta)
});

/// [`Backward`] without one, for each of [`TILES`].
pub static UPDATES: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[super::Binding] = &[
        read_write("w"),
        read_write("first"),
        read_write("second"),
        read("d0"),
        read("a0"),
        read("d1"),
        read("a1"),
    ];
    let none = |_: &Tile| String::new();
    kernels("updates", include_str!("../../shaders/backward_updates.wgsl"), BINDINGS, none)
});

fn kernels(
    name: &str,
    own: &'static str,
    bindings: &'static [super::Binding],
    delta: impl Fn(&Tile) -> String,
) -> Vec<Kernel> {
    let kernel = |tile: &Tile| {
        let update = tile.product("update", [Along::Side, Along::Side]);
        tile.kernel(
            name,
            name,
            Uniform::FIELDS,
            bindings,
            &[
                COMMON,
                FUNCTIONS,
                ACTIVATION_FUNCTIONS,
                OPTIMIZER_FUNCTIONS,
                include_str!("../../shaders/backward.wgsl"),
                own,
                &update,
                &delta(tile),
            ],
        )
    };
    TILES.iter().map(kernel).collect()
}

impl Backward {
    /// The products of the launch for a batch of `batch` rows: (m, n, k) each.
    #[must_use]
    pub fn products(&self, batch: usize, cols: impl Fn(TensorId) -> usize) -> Vec<[usize; 3]> {
        let delta = self.delta.iter().map(|d| [batch, cols(d.out), cols(d.above)]);
        let updates = self
            .updates
            .iter()
            .map(|u| [cols(u.delta), cols(u.input) + usize::from(u.bias.is_some()), batch]);
        updates.chain(delta).collect()
    }
}

/// Launches [`BACKWARD`] or [`UPDATES`].
#[must_use]
pub fn launch(op: &Backward, tiling: &Tiling, place: Place<'_>) -> Launch {
    let at = |id: TensorId| place(id).0;
    let cols = |id: TensorId| place(id).1;
    let tile = tiling.tile();
    let mut parts = [([0; 4], 0.0, 0); 2];
    for (update, part) in op.updates.iter().zip(&mut parts) {
        let (n, k) = (cols(update.delta), cols(update.input));
        let (bias, sign) = update.bias.map_or((0, 0.0), |(b, sign)| (at(b), sign));
        let covered = k as usize + usize::from(update.bias.is_some());
        let groups = (n as usize).div_ceil(tile.rows) * covered.div_ceil(tile.cols);
        *part = ([n, k, at(update.weight), bias], sign, groups);
    }
    let [(update0, sign0, groups0), (update1, sign1, groups1)] = parts;
    let [constant0, constant1, constant2] = op.rule.optimizer.constants();
    let tensors = |u: Option<&ParameterGradient>| {
        u.map_or([Arg::Unused; 2], |u| [u.delta, u.input].map(Arg::Tensor))
    };
    let mut overrides = tiling.overrides();
    overrides.push(("RULE", op.rule.optimizer.code().into()));
    let mut args = [op.parameters, op.state[0], op.state[1]].map(Arg::Tensor).to_vec();
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
            let grid = Grid::Rows(Extent::Fixed(groups0 + groups1));
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
            sign0,
            sign1,
            update0,
            update1,
            delta,
        }
        .bytes(),
        args,
        grid,
    }
}
