//! A training step as a list of ops over tensors. Backends run it, `inspect` prints it, parity
//! replays it op by op.

mod check;
mod composite;
mod effects;
mod launches;
mod op;
mod operand;
mod reads;

pub use effects::{Slice, Task};
pub use op::Op;
pub use reads::Reads;

use crate::kernels::inputs::embed::Place;
pub use crate::kernels::layers::norm::NormTensors;
use crate::kernels::tensor::{ALIGNMENT, Extent, Role, Tensor, TensorId};
use crate::net::precision::Precision;
use operand::OpText;
use std::ops::Range;

/// The tensors of a layer.
#[derive(Debug, Clone, Copy)]
pub struct LayerTensors {
    /// W: (n_l, n_{l−1}).
    pub weight: TensorId,
    /// W in f16, in mixed precision.
    pub shadow: Option<TensorId>,
    /// b: (1, n_l).
    pub bias: Option<TensorId>,
    /// Z: (B, n_l).
    pub z: TensorId,
    /// A: (B, n_l); the same tensor as Z under the identity.
    pub a: TensorId,
    /// δ: (B, n_l), in training.
    pub delta: Option<TensorId>,
    /// Where the gradients are, in programs that keep them.
    pub gradients: Option<LayerGradients>,
    /// What its normalisation has.
    pub norm: Option<NormTensors>,
}

/// The tensors of an embedding.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingTensors {
    /// Which feature column it takes, and which inputs it makes.
    pub place: Place,
    /// E: (values, dims).
    pub table: TensorId,
    /// ∂E/∂table: (values, dims), in programs that keep gradients.
    pub gradient: Option<TensorId>,
}

/// The tensors of a layer's gradients.
#[derive(Debug, Clone, Copy)]
pub struct LayerGradients {
    /// ∂E/∂W: (n_l, n_{l−1}).
    pub weight: TensorId,
    /// ∂E/∂b: (1, n_l).
    pub bias: Option<TensorId>,
}

/// Stretches of a program's ops that are run as one.
#[derive(Debug, Clone, Default)]
pub struct Routines {
    /// Features to outputs.
    pub predict: Range<usize>,
    /// The same, then the loss and the sums.
    pub evaluate: Range<usize>,
    /// The same as training does it: with dropout.
    pub forward: Range<usize>,
    /// The same, then back to the gradients of all parameters.
    pub gradient: Range<usize>,
    /// The gradients, collected: a micro-batch that is not the last of its batch.
    pub part: Range<usize>,
    /// The gradients and the update.
    pub step: Range<usize>,
    /// The update alone, with which a step ends, where it begins when all gradients of the batch are in their
    /// places; else empty.
    pub update: Range<usize>,
    /// The weights of an epoch taken into their average, where epochs are averaged.
    pub average: Range<usize>,
    /// The averaged weights in the place of the trained ones, or back, where there are such.
    pub swap: Range<usize>,
}

/// Ops over tensors, with the buffers that these lie in.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Largest batch size.
    pub batch: usize,
    /// The tensors, by [`TensorId`].
    pub tensors: Vec<Tensor>,
    /// The length of each buffer in elements, for a full batch.
    pub buffers: Vec<usize>,
    /// The ops, in order.
    pub ops: Vec<Op>,
    /// Which ops do what.
    pub routines: Routines,
    /// Tensors that are written once, when the program is loaded.
    pub constants: Vec<(TensorId, Vec<f32>)>,
}

impl Program {
    /// An empty program for batches of up to `batch` rows.
    #[must_use]
    pub fn new(batch: usize) -> Self {
        Program { batch, ..Program::default() }
    }

    /// The tensor `id`.
    #[must_use]
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name).map(TensorId)
    }

    /// The elements that `id` takes up when the batch has `batch` rows.
    #[must_use]
    pub fn range(&self, id: TensorId, batch: usize) -> Range<usize> {
        let t = self.tensor(id);
        t.offset..t.offset.saturating_add(t.rows.rows(batch).saturating_mul(t.cols))
    }

    /// The number of elements of `id` in a full batch.
    #[must_use]
    pub fn len(&self, id: TensorId) -> usize {
        self.range(id, self.batch).len()
    }

    /// The bytes of all buffers, with elements of `element` bytes.
    #[must_use]
    pub fn bytes(&self, element: usize) -> u64 {
        let bytes = self.buffers.iter().map(|&len| (len as u64).saturating_mul(element as u64));
        bytes.fold(0, u64::saturating_add)
    }

    /// A new tensor in a buffer of its own.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        role: Role,
        rows: Extent,
        cols: usize,
    ) -> TensorId {
        self.buffers.push(0);
        self.add_to(self.buffers.len() - 1, name, role, rows, cols)
    }

    /// A new tensor behind those that are in `buffer` already.
    pub fn add_to(
        &mut self,
        buffer: usize,
        name: impl Into<String>,
        role: Role,
        rows: Extent,
        cols: usize,
    ) -> TensorId {
        let (name, precision) = (name.into(), Precision::F32);
        self.tensors.push(Tensor { name, role, rows, cols, buffer, offset: 0, precision });
        let id = TensorId(self.tensors.len() - 1);
        self.place(id, buffer);
        id
    }

    /// Moves tensors into one buffer, which is the tensor `name` as one row; more each time.
    pub(crate) fn share_buffer(&mut self, name: &str, tensors: &[TensorId]) -> TensorId {
        let whole = self.find(name).unwrap_or_else(|| {
            self.buffers.push(0);
            self.add_whole(self.buffers.len() - 1, name, Role::Transient)
        });
        let buffer = self.tensor(whole).buffer;
        for &id in tensors.iter().filter(|id| **id != whole) {
            if self.tensor(id).buffer != buffer {
                self.place(id, buffer);
            }
        }
        self.tensors[whole.0].cols = self.buffers[buffer];
        whole
    }

    /// Moves a tensor into a buffer of its own.
    pub(crate) fn own_buffer(&mut self, id: TensorId) {
        self.buffers.push(0);
        self.place(id, self.buffers.len() - 1);
    }

    /// Puts a tensor behind those that are in `buffer` already.
    fn place(&mut self, id: TensorId, buffer: usize) {
        let offset = self.buffers[buffer];
        let t = &mut self.tensors[id.0];
        (t.buffer, t.offset) = (buffer, offset);
        // Saturates, so that a device refuses what no machine could count.
        let len = t.rows.rows(self.batch).saturating_mul(t.cols);
        let padded = len.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        self.buffers[buffer] = offset.saturating_add(padded);
    }

    /// All of `buffer` as one row.
    pub fn add_whole(&mut self, buffer: usize, name: impl Into<String>, role: Role) -> TensorId {
        let cols = self.buffers[buffer];
        let rows = Extent::Fixed(1);
        let (name, precision) = (name.into(), Precision::F32);
        self.tensors.push(Tensor { name, role, rows, cols, buffer, offset: 0, precision });
        TensorId(self.tensors.len() - 1)
    }

    /// Whether a tensor is all of its buffer as one row: [`Program::add_whole`].
    pub(crate) fn spans_buffer(&self, t: &Tensor) -> bool {
        t.rows == Extent::Fixed(1) && t.offset == 0 && t.cols == self.buffers[t.buffer]
    }

    /// Stores a tensor that has a buffer of its own in f16.
    pub fn store_in_half(&mut self, id: TensorId) {
        self.tensors[id.0].precision = Precision::F16;
    }

    /// The same program with all tensors in f32: where it runs on the CPU, nothing is rounded to
    /// f16.
    #[must_use]
    pub fn unrounded(&self) -> Self {
        let mut program = self.clone();
        program.tensors.iter_mut().for_each(|t| t.precision = Precision::F32);
        program
    }

    /// What the elements of a buffer are on a device.
    #[must_use]
    pub fn precision(&self, buffer: usize) -> Precision {
        let first = self.tensors.iter().find(|t| t.buffer == buffer);
        first.map_or(Precision::F32, |t| t.precision)
    }

    /// In what an op multiplies and stores: f16 where one of its tensors is f16.
    #[must_use]
    pub fn precision_of(&self, op: &Op) -> Precision {
        let tasks = self.effects(op);
        let mut touched = tasks.iter().flat_map(Task::touched);
        let is_half = touched.any(|slice| self.tensor(slice.tensor).precision == Precision::F16);
        if is_half { Precision::F16 } else { Precision::F32 }
    }

    /// `op` as a line to read: what it computes, with shapes.
    #[must_use]
    pub fn describe(&self, op: &Op) -> String {
        OpText(self, op).to_string()
    }
}
