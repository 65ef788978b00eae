//! The data that a device needs for a step, and for each launch in it.

use crate::kernels::common::declaration::Kernel;
use crate::kernels::tensor::{Extent, TensorId};

/// The values that differ between steps; the uniform of bind group 0, `now` in the shaders.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// The rows of this batch.
    pub rows: u32,
    /// The position of its first row in the epoch's order.
    pub first: u32,
    /// The epoch's order: [`crate::math::random::Permutation::words`].
    pub order: [u32; 5],
    /// η.
    pub lr: f32,
    /// 1 / divisor of the loss's reduction ([`crate::math::loss::Reduction`]), which kernels apply to the gradient; the
    /// host divides the sums. The loss scale of mixed precision is a tensor.
    pub reduction_factor: f32,
    /// The optimizer's corrections for this step: [`crate::math::optim::Optimizer::corrections`].
    pub corrections: [f32; 4],
    /// Steps done before this one.
    pub t: u32,
    /// The epoch, from 0.
    pub epoch: u32,
    /// ε of label smoothing; 0 in evaluation.
    pub smoothing: f32,
    /// The position of its first row in the whole epoch: equal to `first`, unless only a window of
    /// the rows is on the device. Random numbers of a row depend on it.
    pub position: u32,
    /// The mixing weight of mixup ([`crate::kernels::inputs::mixup`]); 0 in evaluation.
    pub mixing: f32,
    /// What is added to μ, or β₁: [`crate::math::schedule::MomentumCycle`].
    pub momentum_change: f32,
}

impl Step {
    /// The size of the uniform in bytes: a multiple of 16.
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
    Slice(TensorId, usize, usize),
    /// The feature rows of the current data set.
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

/// Where tensors are: the offset of each in its buffer, and its number of columns.
pub type Layout<'a> = &'a dyn Fn(TensorId) -> (u32, u32);

/// The number of workgroups of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// An invocation for each element of a (rows, cols) tensor.
    Elements(Extent, usize),
    /// This many workgroups.
    Groups(usize),
    /// A workgroup for each row.
    Rows(Extent),
    /// A workgroup for each tile of `tile` rows, times `across`.
    Tiles(Extent, usize, usize),
    /// This many workgroups, followed by those of [`Grid::Tiles`].
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
            Grid::Groups(groups) => groups,
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
    /// The kernel, one of [`ALL`](crate::kernels::ALL) or [`mixed::ALL`](crate::kernels::mixed::ALL).
    pub kernel: &'static Kernel,
    /// `override` constants: the variant of the kernel.
    pub overrides: Vec<(&'static str, f64)>,
    /// The bytes of its uniform.
    pub uniform: Vec<u8>,
    /// An argument for each of its bindings.
    pub args: Vec<Arg>,
    /// The number of workgroups.
    pub grid: Grid,
}
