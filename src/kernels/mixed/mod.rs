//! Training in mixed precision (Micikevicius et al. 2018, arXiv:1710.03740): the kernels of ops whose tensors
//! are f16.
//!
//! X, A, Z, δ and a second copy of the weights are stored in f16; a value is computed in f32 and
//! rounded once, when it is stored. Products are accumulated in f32. Master weights, biases, the
//! optimizer's state, the last layer's Z and A, and the loss are f32.
//!
//! **Loss scaling.** Every δ is S times its value in f32, and gradients are divided by S
//! before the optimizer's step. In training, each op that stores f16 records an overflow in the
//! tensor `loss_scale`: (1, 4), which holds S, the steps without an overflow since S last changed,
//! the steps skipped so far, and 1 after an overflow in this step. An update after an overflow
//! changes nothing. The last op of a step ([`SCALE`]) then halves S, and doubles it after
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
pub use block::{BLOCKS, Block, Choice, MixedTuning};
pub use cooperative::{Cooperative, SUBGROUP};
pub use delta::DELTA;
pub use dense::{DENSE, DENSE_LAST, launch_dense};
pub use element::{
    GATHER, RESCALE, SCALE, launch_gather, launch_rescale, launch_scale, next_scale,
};
pub use texts::SCALE_STATE;
pub use update::UPDATE;

use super::common::declaration::Kernel;
use super::common::launch::{Launch, Layout};
use super::products::backward::Backward;
use std::sync::LazyLock;

/// Every kernel of mixed precision, of which those of cooperative matrices need more than f16.
pub static ALL: LazyLock<Vec<&'static Kernel>> = LazyLock::new(|| {
    let mut all = vec![&GATHER, &RESCALE, &SCALE];
    let products = [&DENSE, &DENSE_LAST, &DELTA, &UPDATE];
    all.extend(products.into_iter().flat_map(|kernels| kernels.iter()));
    all
});

/// Launches [`DELTA`] or [`UPDATE`] on `op`, which has one of either, in f16.
#[must_use]
pub fn launch_backward(op: &Backward, block: Choice, layout: Layout<'_>) -> Launch {
    match &op.delta {
        Some(delta) => delta::launch(delta, op.scaled, block, layout),
        None => update::launch(op, block, layout),
    }
}
