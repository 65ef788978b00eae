//! Gradients of parameters that are followed at once by the optimizer's step. The kernels stand in
//! [`crate::kernels::fused::gradient`].

use super::average::Share;
use crate::kernels::layers::norm::NormalizedGradient;
use crate::kernels::tensor::TensorId;
use crate::math::optim::Rule;

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

impl ParameterGradient {
    /// W, and b where there is one.
    pub fn parameters(&self) -> impl Iterator<Item = TensorId> {
        [self.weight].into_iter().chain(self.bias.map(|(bias, _)| bias))
    }

    /// δᵀ A over so many rows, with ∂E/∂b as its last column: its shape (m, n, k), and the elements
    /// of a row of δ and of A.
    #[must_use]
    pub fn product(
        &self,
        rows: usize,
        cols: impl Fn(TensorId) -> usize,
    ) -> ([usize; 3], [usize; 2]) {
        let (n, k) = (cols(self.delta), cols(self.input));
        ([n, k + usize::from(self.bias.is_some()), rows], [n, k])
    }
}

/// All gradients of all parameters, each part followed at once by the optimiser's step on it; on a
/// GPU, the scores of the batch are added to the running sums beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientUpdate {
    /// The layers.
    pub layers: Vec<ParameterGradient>,
    /// The rule.
    pub rule: Rule,
    /// What the rule keeps, for all parameters in one row.
    pub state: [TensorId; 3],
    /// The buffer in which δ and A lie.
    pub arena: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
    /// (B, 4), and their running sums (1, 4), where the op adds them up too.
    pub scores: Option<[TensorId; 2]>,
    /// The normalizations whose scale and shift take their steps too; on the CPU only.
    pub norms: Vec<NormParameters>,
    /// What the CPU does with each part of the gradients while it is in cache.
    pub with: Companions,
}

/// The scale and shift of a normalization, and what their gradients come from.
#[derive(Debug, Clone, PartialEq)]
pub struct NormParameters {
    /// γ: (1, n).
    pub scale: TensorId,
    /// β: (1, n).
    pub shift: TensorId,
    /// Their gradients, or what these are the sums of.
    pub sums: NormSums,
}

/// The gradients of scale and shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormSums {
    /// An op before has added them up: ∂E/∂γ and ∂E/∂β, (1, n) each.
    Given([TensorId; 2]),
    /// ∂E/∂γ = Σ_rows g x̂ and ∂E/∂β = Σ_rows g, of tensors of (B, n).
    Of {
        /// g = ∂E/∂u.
        gradient: TensorId,
        /// x̂.
        normal: TensorId,
    },
}

impl NormSums {
    /// The gradients that an op before has added up.
    pub fn given(&self) -> impl Iterator<Item = TensorId> + use<> {
        match *self {
            NormSums::Given(sums) => Some(sums),
            NormSums::Of { .. } => None,
        }
        .into_iter()
        .flatten()
    }
}

impl NormParameters {
    /// Those of a normalization: batch normalization adds its sums up on the way back.
    #[must_use]
    pub fn new(norm: &NormalizedGradient) -> Self {
        let sums = match norm.of.statistics {
            Some(_) => NormSums::Given([norm.scale, norm.shift]),
            None => NormSums::Of { gradient: norm.gradient, normal: norm.of.normal },
        };
        NormParameters { scale: norm.of.scale, shift: norm.of.shift, sums }
    }
}

/// What happens to each part of the gradients and the parameters beside the optimizer's step, while
/// the part is in cache; on the CPU only. In this order:
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Companions {
    /// The gradients of the batch's earlier micro-batches, which are added and cleared: (1, len).
    pub collected: Option<TensorId>,
    /// The strength of the L1 penalty, whose sign each weight's gradient gets; 0 for none.
    pub l1: f32,
    /// The limit that each element of the gradients is clipped to.
    pub clip_value: Option<f32>,
    /// The variance and the key of the noise that is added: [`Edit::Noise`](super::edits::Edit::Noise).
    pub noise: Option<(f32, [u32; 2])>,
    /// Where the direction of LAMB goes, in the places of the parameters, in place of a step.
    pub direction: Option<TensorId>,
    /// The moving average of the parameters, which follows the step: (1, len).
    pub average: Option<(Share, TensorId)>,
}
