//! The kernels: for each family its equations, uniform, CPU reference and declaration.
//!
//! The WGSL of `kernels/<family>/<kernel>.rs` is in `shaders/<family>/<kernel>.wgsl`. A test parses
//! every composed shader and compares it with the declarations here.

pub mod common;
pub mod fused;
pub mod inputs;
pub mod layers;
pub mod loss;
pub mod mixed;
pub mod optim;
pub mod products;
pub mod tensor;

use std::sync::LazyLock;

pub use common::declaration::{Access, Binding, Kernel, REDUCE};
pub use common::launch::{Arg, Grid, Launch, Layout, Step};

/// Every kernel in f32; those in f16 are in [`mixed::ALL`].
pub static ALL: LazyLock<Vec<&'static Kernel>> = LazyLock::new(|| {
    let mut all = vec![
        &inputs::gather::GATHER,
        &inputs::gather::TARGETS,
        &inputs::augment::AUGMENT,
        &layers::activation::ACTIVATION,
        &layers::activation::ACTIVATION_GRADIENT,
        &layers::softmax::SOFTMAX,
        &layers::softmax::SOFTMAX_GRADIENT,
        &loss::LOSS,
        &loss::ACCUMULATE,
        &products::sums::COLUMN_SUMS,
        &optim::edits::EDIT,
        &optim::vector_norm::SQUARE_SUMS,
        &optim::vector_norm::NORM,
        &optim::optimizer::OPTIMIZER,
        &optim::average::AVERAGE,
        &optim::average::SWAP,
        &optim::combine::COMBINE,
        &optim::direction::DIRECTION,
        &layers::dropout::DROPOUT,
        &inputs::embed::EMBED,
        &inputs::embed::EMBED_GRADIENT,
        &layers::add::ADD,
        &optim::collect::COLLECT,
        &layers::norm::BATCH_STATISTICS,
        &layers::norm::BATCH_NORM,
        &layers::norm::LAYER_NORM,
        &layers::norm::NORM_SUMS,
        &layers::norm::BATCH_NORM_GRADIENT,
        &layers::norm::LAYER_NORM_GRADIENT,
        &optim::max_norm::MAX_NORM,
        &inputs::mixup::MIXUP,
        &fused::gradient::SUM_UPDATE,
        &loss::output::OUTPUT,
        &loss::output::OUTPUT_PARTIAL_SUMS,
        &layers::nonfinite::NONFINITE,
        &common::random::UNIFORM,
        &common::random::PERMUTATION,
    ];
    let tiled = [
        &products::matmul::MATMUL,
        &fused::whole_net::WHOLE_NET,
        &products::dense::DENSE,
        &products::dense::DENSE_GATHER,
        &products::backward::BACKWARD,
        &products::backward::UPDATES,
        &fused::gradient::GRADIENT_UPDATE,
        &fused::gradient::GRADIENT_PARTS,
    ];
    all.extend(tiled.into_iter().flat_map(|kernels| kernels.iter()));
    all
});
