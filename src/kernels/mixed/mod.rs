//! Training in mixed precision (Micikevicius et al. 2018, arXiv:1710.03740): the ops that read and
//! write f16.
//!
//! X, A, Z, δ and a second copy of the weights are stored in f16; a value is computed in f32 and
//! rounded once, when it is stored. Products are accumulated in f32. Master weights, biases, the
//! optimizer's state, the last layer's Z and A, and the loss are f32.
//!
//! **Loss scaling.** Every δ is S times its value in f32, and gradients are divided by S
//! before the optimizer's step. In training, each op that stores f16 records an overflow in the
//! tensor `loss_scale`: (1, 4), which holds S, the steps without an overflow since S last changed,
//! the steps skipped so far, and 1 after an overflow in this step. An update after an overflow
//! changes nothing. The last op of a step ([`Mixed::Scale`]) then halves S, and doubles it after
//! enough steps without one. Nothing is read back to the host for it. A gradient, accumulated in f32, is
//! finite if all stored values are.

mod block;
mod cooperative;
mod delta;
mod dense;
mod element;
mod texts;
mod update;

pub use crate::net::precision::Multiplier;
pub use block::{BLOCKS, Block, MixedTuning};
pub use cooperative::{Cooperative, SUBGROUP};
pub use delta::DELTA;
pub use dense::{DENSE, DENSE_LAST};
pub use element::{GATHER, RESCALE, SCALE, next_scale};
pub use texts::SCALE_STATE;
pub use update::{UPDATE, Update};

use super::common::declaration::Kernel;
use super::common::launch::{Launch, Place};
use super::products::backward::Delta;
use super::products::dense::Dense;
use super::products::tile::Tuning;
use crate::data::Storage;
use crate::kernels::tensor::TensorId;
use crate::net::precision::Precision;
use std::sync::LazyLock;

/// An op that reads or writes f16.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are named as in the equation above each op")]
pub enum Mixed {
    /// x = the features of the batch's rows, scaled: (B, n_0) in f16.
    Gather { x: TensorId },
    /// z = input·weightᵀ ± bias, a = σ(z): (B, n_l) in f16, or f32 in the last layer; `input` and
    /// `weight` are f16. Overflows are recorded in training.
    Dense { dense: Dense, loss_scale: Option<TensorId> },
    /// y = S x: (B, n_L), x in f32, y in f16.
    Rescale { x: TensorId, y: TensorId, loss_scale: TensorId },
    /// δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l): (B, n_l), all in f16.
    Delta { delta: Delta, loss_scale: TensorId },
    /// W and b of a layer by the optimizer with ∂E/∂W = δᵀ A / S and ∂E/∂b = ± Σ_rows δ / S, and W
    /// again in f16; no change after an overflow.
    Update(Update),
    /// S and its counts at the end of a step.
    Scale { loss_scale: TensorId, interval: u32 },
}

/// Every kernel of mixed precision, of which those of cooperative matrices need more than f16.
pub static ALL: LazyLock<Vec<&'static Kernel>> = LazyLock::new(|| {
    let mut all = vec![&GATHER, &RESCALE, &SCALE];
    let products = [&DENSE, &DENSE_LAST, &DELTA, &UPDATE];
    all.extend(products.into_iter().flat_map(|kernels| kernels.iter()));
    all
});

impl Mixed {
    /// The product that the op computes for a batch of `batch` rows, (m, n, k), if it is one.
    #[must_use]
    pub fn product(&self, batch: usize, cols: impl Fn(TensorId) -> usize) -> Option<[usize; 3]> {
        match self {
            Mixed::Dense { dense, .. } => Some([batch, cols(dense.z), cols(dense.input)]),
            Mixed::Delta { delta, .. } => Some([batch, cols(delta.out), cols(delta.above)]),
            Mixed::Update(Update { gradient, .. }) => {
                let ones = usize::from(gradient.bias.is_some());
                Some([cols(gradient.delta), cols(gradient.input) + ones, batch])
            }
            Mixed::Gather { .. } | Mixed::Rescale { .. } | Mixed::Scale { .. } => None,
        }
    }
}

/// What a GPU launches for `op` of a batch of up to `batch` rows; `precision` is that of a tensor.
#[must_use]
pub fn launch(
    op: &Mixed,
    batch: usize,
    storage: Storage,
    tuning: &Tuning,
    place: Place<'_>,
    precision: impl Fn(TensorId) -> Precision,
) -> Launch {
    let cols = |id: TensorId| place(id).1 as usize;
    let product = op.product(batch, cols).unwrap_or_default();
    let (choice, overrides) = tuning.mixed.take(product, tuning.registers);
    match op {
        Mixed::Gather { x } => element::launch_gather(*x, cols(*x), storage.bytes),
        Mixed::Dense { dense, loss_scale } => {
            let shape = [cols(dense.z), cols(dense.input)];
            let is_last = precision(dense.z) == Precision::F32;
            dense::launch(dense, *loss_scale, shape, is_last, choice, overrides)
        }
        Mixed::Rescale { x, y, loss_scale } => {
            element::launch_rescale([*x, *y, *loss_scale], cols(*x))
        }
        Mixed::Delta { delta, loss_scale } => delta::launch(
            delta,
            *loss_scale,
            [cols(delta.out), cols(delta.above)],
            choice,
            overrides,
        ),
        Mixed::Update(op) => update::launch(op, place, choice, overrides),
        Mixed::Scale { loss_scale, interval } => element::launch_scale(*loss_scale, *interval),
    }
}
