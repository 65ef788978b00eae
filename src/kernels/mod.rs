//! The kernels: for each family its equations, parameter struct, CPU reference and declaration.
//!
//! The WGSL of `kernels/<family>.rs` stands in `shaders/<family>.wgsl`. A test parses every
//! composed shader and holds it against the declarations here.

pub mod activation;
pub mod add;
pub mod augment;
pub mod average;
pub mod backward;
pub mod collect;
pub mod combine;
pub mod dense;
pub mod direction;
pub mod dropout;
pub mod edits;
pub mod embed;
pub mod gather;
pub mod gradient;
pub mod loss;
pub mod matmul;
pub mod max_norm;
pub mod mixed;
pub mod mixup;
pub mod nonfinite;
pub mod norm;
pub mod optimizer;
pub mod output;
pub mod random;
pub mod softmax;
pub mod sort_indices;
pub mod sums;
pub mod tile;
pub mod update;
pub mod vector_norm;
pub mod whole_net;

use crate::tensor::{Extent, TensorId};
use std::sync::LazyLock;

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// A storage binding: its name in the shader and its access. Binding numbers count from 1 in the
/// order of the declaration; binding 0 of the group is the kernel's uniform.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The variable's name.
    pub name: &'static str,
    /// Read or read and write.
    pub access: Access,
}

/// A binding that is read.
#[must_use]
pub const fn read(name: &'static str) -> Binding {
    Binding { name, access: Access::Read }
}

/// A binding that is read and written.
#[must_use]
pub const fn read_write(name: &'static str) -> Binding {
    Binding { name, access: Access::ReadWrite }
}

/// A kernel's declaration.
#[derive(Debug)]
pub struct Kernel {
    /// The entry point; unique among all kernels.
    pub entry: &'static str,
    /// The WGSL texts that make up its module, in order.
    pub source: &'static [&'static str],
    /// The fields of its uniform with their byte offsets.
    pub uniform: &'static [(&'static str, usize)],
    /// Its storage bindings.
    pub bindings: &'static [Binding],
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
}

impl Kernel {
    /// The composed WGSL module.
    #[must_use]
    pub fn wgsl(&self) -> String {
        self.source.join("\n")
    }

    /// The same where all subgroups have `size` invocations, which add up what a workgroup has: the
    /// same bits with fewer barriers. It needs the optional feature of subgroups.
    #[must_use]
    pub fn wgsl_for_subgroups(&self, size: u32) -> String {
        let by_subgroups = include_str!("../../shaders/reduce_subgroups.wgsl");
        let text = format!("const SUBGROUP = {size}u;\n{by_subgroups}");
        self.wgsl().replace(REDUCE, &text)
    }
}

/// Every kernel.
pub static ALL: LazyLock<Vec<&'static Kernel>> = LazyLock::new(|| {
    let mut all = vec![
        &gather::GATHER,
        &gather::TARGETS,
        &augment::AUGMENT,
        &activation::ACTIVATION,
        &activation::ACTIVATION_GRADIENT,
        &softmax::SOFTMAX,
        &softmax::SOFTMAX_GRADIENT,
        &loss::LOSS,
        &loss::ACCUMULATE,
        &sums::COLUMN_SUMS,
        &edits::EDIT,
        &vector_norm::SQUARE_SUMS,
        &vector_norm::NORM,
        &optimizer::OPTIMIZER,
        &average::AVERAGE,
        &average::SWAP,
        &combine::COMBINE,
        &direction::DIRECTION,
        &dropout::DROPOUT,
        &embed::EMBED,
        &embed::CLEAR_TABLE_GRADIENT,
        &embed::EMBED_GRADIENT,
        &embed::TABLE_GRADIENT,
        &sort_indices::SORT_INDICES,
        &sort_indices::MERGE_INDICES,
        &add::ADD,
        &collect::COLLECT,
        &norm::BATCH_STATISTICS,
        &norm::BATCH_NORM,
        &norm::LAYER_NORM,
        &norm::NORM_SUMS,
        &norm::BATCH_NORM_GRADIENT,
        &norm::LAYER_NORM_GRADIENT,
        &max_norm::MAX_NORM,
        &mixup::MIXUP,
        &gradient::SUM_UPDATE,
        &output::OUTPUT,
        &output::OUTPUT_PARTS,
        &nonfinite::NONFINITE,
        &random::UNIFORM,
        &random::PERMUTATION,
    ];
    let tiled = [
        &matmul::MATMUL,
        &whole_net::WHOLE_NET,
        &dense::DENSE,
        &dense::DENSE_GATHER,
        &backward::BACKWARD,
        &backward::UPDATES,
        &gradient::GRADIENT_UPDATE,
        &gradient::GRADIENT_PARTS,
    ];
    all.extend(tiled.into_iter().flat_map(|kernels| kernels.iter()));
    all
});

/// The text in front of every kernel: the step's uniform and the flat workgroup index.
pub const COMMON: &str = include_str!("../../shaders/common.wgsl");
/// Elementary functions that are accurate on every device.
pub const FUNCTIONS: &str = include_str!("../../shaders/functions.wgsl");

/// Random numbers and permutations.
pub const RANDOM_FUNCTIONS: &str = include_str!("../../shaders/random_functions.wgsl");
/// Sums and maxima over the first 64 of a workgroup.
pub const REDUCE: &str = include_str!("../../shaders/reduce.wgsl");

/// What differs from step to step; the uniform of bind group 0, `now` in the shaders.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// The rows of this batch.
    pub rows: u32,
    /// The position of its first row in the epoch's order.
    pub first: u32,
    /// The epoch's order: [`crate::random::Permutation::words`].
    pub order: [u32; 5],
    /// η.
    pub lr: f32,
    /// What the gradient of the sum over rows and outputs is multiplied by.
    pub loss_scale: f32,
    /// What the optimiser needs at this step: [`crate::optim::Optimizer::corrections`].
    pub corrections: [f32; 4],
    /// Steps done before this one.
    pub t: u32,
    /// The epoch, from 0.
    pub epoch: u32,
    /// ε of label smoothing; 0 where rows are only measured.
    pub smoothing: f32,
    /// The position of its first row in the whole epoch: that of `first`, but where only a window of
    /// the rows is on the device. What is drawn for a row is drawn by it.
    pub position: u32,
    /// What a row of a pair takes of the other: [`mixup`]. 0 where rows are only measured.
    pub mixing: f32,
    /// What is added to μ, or β₁: [`crate::schedule::MomentumCycle`].
    pub momentum_change: f32,
}

impl Step {
    /// Bytes as a device binds them: a multiple of 16.
    pub const BYTES: usize = size_of::<Step>().next_multiple_of(16);

    /// The same step from row `row` of its batch on.
    #[must_use]
    pub fn from_row(&self, row: u32) -> Self {
        let [first, position] = [self.first, self.position].map(|at| at.wrapping_add(row));
        Step { first, position, ..*self }
    }
}

/// A binding's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arg {
    /// A whole tensor.
    Tensor(TensorId),
    /// Elements `start..start + len` of a tensor.
    Part(TensorId, usize, usize),
    /// The feature rows of the data set at hand.
    Features,
    /// The shift and scale of its columns.
    Affine,
    /// Its targets.
    Targets,
    /// The weights of its rows.
    Weights,
    /// Nothing: the kernel doesn't touch this binding in this variant.
    Unused,
}

/// Where a tensor lies in its buffer, and its columns.
pub type Place<'a> = &'a dyn Fn(TensorId) -> (u32, u32);

/// How many workgroups a launch needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// An invocation for each element of a (rows, cols) tensor.
    Elements(Extent, usize),
    /// A workgroup for each row.
    Rows(Extent),
    /// A workgroup for each tile of `tile` rows, times `across`.
    Tiles(Extent, usize, usize),
    /// So many workgroups, and behind them those of [`Grid::Tiles`].
    TilesBehind(usize, Extent, usize, usize),
}

impl Grid {
    /// The number of workgroups of `workgroup_size` when the batch has `batch` rows.
    #[must_use]
    pub fn groups(self, batch: usize, workgroup_size: u32) -> usize {
        match self {
            Grid::Elements(rows, cols) => {
                (rows.rows(batch) * cols).div_ceil(workgroup_size as usize)
            }
            Grid::Rows(rows) => rows.rows(batch),
            Grid::Tiles(rows, tile, across) => rows.rows(batch).div_ceil(tile) * across,
            Grid::TilesBehind(before, rows, tile, across) => {
                before + rows.rows(batch).div_ceil(tile) * across
            }
        }
    }
}

/// A kernel with its constants and arguments: what a GPU runs for an op.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The kernel, one of [`ALL`].
    pub kernel: &'static Kernel,
    /// `override` constants: the variant of the kernel.
    pub overrides: Vec<(&'static str, f64)>,
    /// The bytes of its uniform.
    pub uniform: Vec<u8>,
    /// An argument for each of its bindings.
    pub args: Vec<Arg>,
    /// How many workgroups.
    pub grid: Grid,
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

/// Defines a kernel's uniform: a `repr(C)` struct of 4-byte fields, padded to 16 bytes, and the
/// table of its fields that a test holds against the shader's.
macro_rules! uniform {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $(#[allow(missing_docs, reason = "named as in the equations")] pub $field: $type),+ }
        impl $name {
            /// The fields and their byte offsets.
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),+];
            /// The bytes as a device gets them, padded to 16.
            #[must_use]
            pub fn bytes(&self) -> Vec<u8> {
                let mut bytes = bytemuck::bytes_of(self).to_vec();
                bytes.resize(bytes.len().next_multiple_of(16), 0);
                bytes
            }
        }
    };
}
pub(crate) use uniform;
