//! Tensors of a program: their names, shapes and places.

use crate::net::precision::Precision;

/// A tensor of a program, by its index in [`crate::plan::program::Program::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// A number of rows that is either fixed or that of the current batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The rows of the batch, fewer in a last, partial batch.
    Batch,
    /// Always this many.
    Fixed(usize),
}

impl Extent {
    /// The number of rows when the batch has `batch`.
    #[must_use]
    pub fn rows(self, batch: usize) -> usize {
        match self {
            Extent::Batch => batch,
            Extent::Fixed(rows) => rows,
        }
    }

    /// As passed to shaders: 0 means the batch.
    #[must_use]
    pub fn word(self) -> u32 {
        self.rows(0) as u32
    }
}

/// The role of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Weights and biases.
    Parameter,
    /// Their gradients.
    Gradient,
    /// State that is kept between steps: the optimizer's moments, running averages.
    State,
    /// Intermediate results of a step: inputs, pre-activations, activations, δ.
    Transient,
    /// A copy of the weights in f16, derived from the parameters.
    Shadow,
    /// Values that the host reads: sums of losses.
    Metric,
    /// Gradients accumulated over micro-batches.
    Total,
    /// Values that the host writes once.
    Constant,
}

/// A row-major tensor of floats of shape (rows, cols), in a buffer from `offset` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, as in `layers.0.weight`.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The number of rows.
    pub rows: Extent,
    /// The number of columns.
    pub cols: usize,
    /// The buffer it lies in.
    pub buffer: usize,
    /// Its first element in that buffer, a multiple of [`ALIGNMENT`].
    pub offset: usize,
    /// The type of its elements on a device, the same for all tensors in a buffer. The CPU backend
    /// rounds to it.
    pub precision: Precision,
}

/// Tensors in a shared buffer start at multiples of this many elements: 256 bytes on a GPU, the
/// alignment that every adapter accepts.
pub const ALIGNMENT: usize = 64;

/// A tensor in host memory: row-major, (rows, cols).
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Its name in the program, as in `layers.0.weight`.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Its values, as on the device.
    pub values: Vec<f32>,
}
