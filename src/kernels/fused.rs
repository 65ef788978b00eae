//! Fused ops: several of the plain ops at once, on rows that stay in cache.
//!
//! They compute what the plain ops compute, in the same order within each row; only sums over the
//! batch are cut elsewhere.

use super::activation::UnitFunctions;
use crate::loss::Loss;
use crate::optim::Optimizer;
use crate::tensor::TensorId;

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
    /// Rows of a block.
    pub block: usize,
}

/// The gradient of a layer's parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterGradient {
    /// δ_l: (B, n_l).
    pub delta: TensorId,
    /// A_{l−1}: (B, n_{l−1}).
    pub input: TensorId,
    /// W, ∂E/∂W: (n_l, n_{l−1}).
    pub weight: [TensorId; 2],
    /// b, ∂E/∂b: (1, n_l), and the sign.
    pub bias: Option<([TensorId; 2], f32)>,
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
    /// The pieces of work: the layer, and the first of its units. The largest come first.
    pub pieces: Vec<(usize, usize)>,
}

/// Units of a layer of `units` whose gradients are one piece of work.
#[must_use]
pub fn piece_units(units: usize) -> usize {
    units.div_ceil(16).next_multiple_of(16).clamp(32, 256)
}
