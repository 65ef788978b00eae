//! The operations that programs are made of.

use crate::kernels::fused::gradient::{GradientParts, SumUpdate};
use crate::kernels::fused::whole_net::WholeNet;
use crate::kernels::inputs::embed::Place;
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::layers::dropout::Dropout;
use crate::kernels::layers::norm::{Normalized, NormalizedGradient};
use crate::kernels::loss::output::Output;
use crate::kernels::mixed::Mixed;
use crate::kernels::optim::average::Share;
use crate::kernels::optim::combine::Factors;
use crate::kernels::optim::edits::Edit;
use crate::kernels::optim::update::{Companions, GradientUpdate};
use crate::kernels::products::backward::Backward;
use crate::kernels::products::dense::Dense;
use crate::kernels::products::matmul::Form;
use crate::kernels::tensor::TensorId;
use crate::math::loss::Loss;
use crate::math::optim::Rule;
use crate::net::augment::Augmentation;
use crate::net::precision::Precision;
use std::ops::Range;

/// One operation of a program.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are named as in the equation above each op")]
pub enum Op {
    /// x = the features of the batch's rows, scaled: (B, n_0).
    Gather { x: TensorId },
    /// x = each row's index replaced by its row of a table, and the columns before it: (B, n_0).
    Embed { place: Place, features: TensorId, table: TensorId, x: TensorId },
    /// order = the rows sorted by their index, each behind it: (B, 2); spare: as large.
    SortIndices { place: Place, features: TensorId, order: TensorId, spare: TensorId },
    /// out = ∂E/∂table: (values, dims), from gradient = ∂E/∂x by the rows of each index.
    EmbedGradient { place: Place, order: TensorId, gradient: TensorId, out: TensorId },
    /// out = the same of a small table, from the feature columns that hold the indices.
    TableGradient { place: Place, features: TensorId, gradient: TensorId, out: TensorId },
    /// x = the same of images, each augmented.
    Augment { augmentation: Augmentation, x: TensorId },
    /// t = the targets of the batch's rows: (B, n_L).
    Targets { t: TensorId },
    /// c = a·b, a·bᵀ or aᵀ·b, ± bias.
    Matmul { form: Form, a: TensorId, b: TensorId, bias: Option<(TensorId, f32)>, c: TensorId },
    /// a = σ(z): (B, n_l).
    Activation { functions: UnitFunctions, z: TensorId, a: TensorId },
    /// δ ← δ ⊙ σ′(z): (B, n_l).
    ActivationGradient { functions: UnitFunctions, z: TensorId, delta: TensorId },
    /// y = softmax(z): (B, n_L).
    Softmax { z: TensorId, y: TensorId },
    /// δ ← Jᵀ δ with the Jacobian of softmax at y: (B, n_L).
    SoftmaxGradient { y: TensorId, delta: TensorId },
    /// gradient = ∂E/∂y: (B, n_L), and the scores of each row: (B, 4).
    Loss {
        loss: Loss,
        y: TensorId,
        t: TensorId,
        unit: TensorId,
        gradient: TensorId,
        scores: TensorId,
    },
    /// sums += Σ_rows scores: (1, 4).
    Accumulate { scores: TensorId, sums: TensorId },
    /// out = ± Σ_rows δ: (1, n_l).
    ColumnSums { delta: TensorId, sign: f32, out: TensorId },
    /// norm = ‖x‖₂: (1, 1); partial: a number for each stretch of x.
    VectorNorm { x: TensorId, partial: TensorId, norm: TensorId },
    /// g ← g changed, before the optimiser sees it.
    Edit { edit: Edit, g: TensorId },
    /// The optimiser's step on elements `range` of all parameters in one row, which begin at a multiple of
    /// [`ALIGNMENT`](crate::kernels::tensor::ALIGNMENT).
    Update { rule: Rule, w: TensorId, g: TensorId, state: [TensorId; 3], range: Range<usize> },
    /// u = the direction of LAMB or Muon; its states stand from element `at` on.
    Direction { rule: Rule, w: TensorId, g: TensorId, state: [TensorId; 2], at: usize, u: TensorId },
    /// x ← α x + β y.
    Combine { factors: Factors, x: TensorId, y: TensorId },
    /// average ← average + ρ (w − average), for all parameters in one row.
    Average { share: Share, w: TensorId, average: TensorId },
    /// a and b exchanged.
    Swap { a: TensorId, b: TensorId },
    /// total += g, or behind the last micro-batch of a batch g += total, total = 0: (1, len).
    Collect { g: TensorId, total: TensorId, last: bool },
    /// x ← (1 − m) x + m x′ with x′ the other row of a pair: (B, n).
    Mixup { x: TensorId },
    /// x ← x ⊙ m / (1 − p): (B, n).
    Dropout { dropout: Dropout, x: TensorId },
    /// w ← w · min(1, limit / ‖w‖) for each unit: (n_l, n_{l−1}).
    MaxNorm { w: TensorId, limit: f32 },
    /// x += y: (B, n_l).
    Add { y: TensorId, x: TensorId },
    /// statistics = mean and variance of each unit over the batch: (2, n_l), and their running
    /// averages: (2, n_l).
    BatchStatistics { z: TensorId, statistics: TensorId, running: TensorId },
    /// normal = (z − mean) / deviation, out = scale · normal + shift: (B, n_l).
    Normalize(Box<Normalized>),
    /// The gradients of scale and shift: (1, n_l).
    NormalizeSums(Box<NormalizedGradient>),
    /// delta = ∂E/∂z from ∂E/∂out: (B, n_l).
    NormalizeGradient(Box<NormalizedGradient>),
    /// Gather, forward, loss and backward to all δ, a block of rows at a time.
    WholeNet(Box<WholeNet>),
    /// All gradients of all parameters, each followed at once by the optimiser's step; and
    /// sums += Σ_rows scores.
    GradientUpdate(Box<GradientUpdate>),
    /// The same without the step, for each part of the batch on its own.
    GradientParts(Box<GradientParts>),
    /// The parts of all gradients added up, each followed at once by the optimiser's step.
    SumUpdate(Box<SumUpdate>),
    /// z = input·weightᵀ ± bias, a = σ(z); the first layer gathers its input.
    Dense(Box<Dense>),
    /// The loss with its scores, and δ_L from the targets of the data set.
    Output(Box<Output>),
    /// δ_l from δ_{l+1}, beside the updates of layers that nothing needs any more.
    Backward(Box<Backward>),
    /// An op of mixed precision, which reads or writes f16.
    Mixed(Box<Mixed>),
    /// found = the first column of each row in which x is NaN or infinite, −1 where there is none:
    /// (B, 1) or (rows, 1).
    Nonfinite { x: TensorId, found: TensorId },
    /// out = uniform random numbers in [0, 1).
    Uniform { key: [u32; 2], out: TensorId },
    /// out = the rows of the data set at the batch's positions: (B, 1).
    Permutation { out: TensorId },
}

impl Op {
    /// Whether GPUs have a kernel for it: the CPU's pass and update take more in one op than theirs.
    #[must_use]
    pub fn runs_on_gpus(&self) -> bool {
        match self {
            Op::WholeNet(op) => op.runs_on_gpus(),
            Op::GradientUpdate(op) => op.norms.is_empty() && op.with == Companions::default(),
            Op::GradientParts(op) => op.norms.is_empty() && !op.adds && op.collected.is_none(),
            _ => true,
        }
    }

    /// What it reads and writes besides f32.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self {
            Op::Mixed(_) => Precision::F16,
            _ => Precision::F32,
        }
    }
}
