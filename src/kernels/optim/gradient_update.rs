//! Gradients of parameters that are immediately followed by the optimizer's step. The kernels are in
//! [`crate::kernels::fused::gradient`].

use super::average::Share;
use crate::kernels::layers::norm::NormalizedGradient;
use crate::kernels::tensor::TensorId;
use crate::math::optim::UpdateRule;

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

    /// δᵀ A over `rows` rows, with ∂E/∂b as its last column: its shape (m, n, k), and the elements
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

/// All gradients of all parameters, each part immediately followed by the optimizer's step on it; on a
/// GPU, the scores of the batch are added to the running sums beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientUpdate {
    /// The layers.
    pub layers: Vec<ParameterGradient>,
    /// The rule.
    pub rule: UpdateRule,
    /// The state of the rule, for all parameters in one row.
    pub state: [TensorId; 3],
    /// The buffer in which δ and A lie.
    pub arena: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
    /// The scores, (B, 4), and their running sums, (1, 4), if the op sums them too.
    pub scores: Option<[TensorId; 2]>,
    /// The normalizations whose scale and shift take their steps too; on the CPU only.
    pub norms: Vec<NormParameters>,
    /// What the CPU also does with each part of the gradients while it is in cache.
    pub with: Companions,
}

/// The scale and shift of a normalization, and the source of their gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct NormParameters {
    /// γ: (1, n).
    pub scale: TensorId,
    /// β: (1, n).
    pub shift: TensorId,
    /// Their gradients, or the tensors from which these are summed.
    pub sums: NormSums,
}

/// The gradients of scale and shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormSums {
    /// An earlier op has summed them: ∂E/∂γ and ∂E/∂β, (1, n) each.
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
    /// The gradients that an earlier op has summed.
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
    /// Those of a normalization: batch normalization sums them in the backward pass.
    #[must_use]
    pub fn new(norm: &NormalizedGradient) -> Self {
        let sums = match norm.of.statistics {
            Some(_) => NormSums::Given([norm.scale, norm.shift]),
            None => NormSums::Of { gradient: norm.gradient, normal: norm.of.normal },
        };
        NormParameters { scale: norm.of.scale, shift: norm.of.shift, sums }
    }
}

/// What is done with each part of the gradients and parameters besides the optimizer's step, while
/// the part is in cache; on the CPU only, in this order:
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Companions {
    /// The gradients of the batch's earlier micro-batches, which are added and cleared: (1, len).
    pub collected: Option<TensorId>,
    /// The strength of the L1 penalty, added to each weight's gradient with the weight's sign; 0 for none.
    pub l1: f32,
    /// The limit that each element of the gradients is clipped to.
    pub clip_value: Option<f32>,
    /// The variance and the key of the gradient noise: [`Edit::Noise`](super::edits::Edit::Noise).
    pub noise: Option<(f32, [u32; 2])>,
    /// The tensor for the direction of LAMB, at the offsets of the parameters, instead of a step.
    pub direction: Option<TensorId>,
    /// The moving average of the parameters, which follows the step: (1, len).
    pub average: Option<(Share, TensorId)>,
}
