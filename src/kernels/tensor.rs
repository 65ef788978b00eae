//! Tensors of a program: what they are called, their shape, and where they lie.

use crate::net::precision::Precision;

/// A tensor of a program, by its place in [`crate::plan::program::Program::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// A number of rows that is either fixed or that of the batch at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The rows of the batch, different for a ragged last one.
    Batch,
    /// Always as many.
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

    /// As the shaders get it: 0 stands for the batch.
    #[must_use]
    pub fn word(self) -> u32 {
        self.rows(0) as u32
    }
}

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Weights and biases.
    Parameter,
    /// Their gradients.
    Gradient,
    /// What is kept from step to step: the optimizer's moments, running averages.
    State,
    /// What a step computes on its way: inputs, pre-activations, activations, δ.
    Transient,
    /// Weights a second time, in f16: they follow from the parameters.
    Shadow,
    /// What is read by the host: sums of losses.
    Metric,
    /// Gradients that go on from one micro-batch to the next.
    Total,
    /// What the host writes once.
    Constant,
}

/// A row-major tensor of floats of shape (rows, cols), lying in a buffer from `offset` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, as in `layers.0.weight`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The number of rows.
    pub rows: Extent,
    /// The number of columns.
    pub cols: usize,
    /// The buffer it lies in.
    pub buffer: usize,
    /// Its first element in that buffer, a multiple of [`ALIGNMENT`].
    pub offset: usize,
    /// What its elements are on a device, the same for all tensors in a buffer. The CPU backend
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
    /// Its values, as the device has them.
    pub values: Vec<f32>,
}
