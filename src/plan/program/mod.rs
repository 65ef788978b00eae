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

use crate::kernels::inputs::embed::Lookup;
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
    /// First ∂E/∂A, then δ in its place: (B, n_l), in training.
    pub delta: Option<TensorId>,
    /// Where the gradients are, in programs that keep them.
    pub gradients: Option<LayerGradients>,
    /// The tensors of its normalization.
    pub norm: Option<NormTensors>,
}

/// The tensors of an embedding.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingTensors {
    /// The feature column that it reads, and the inputs that it writes.
    pub lookup: Lookup,
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

/// Ranges of a program's ops that are run together.
#[derive(Debug, Clone, Default)]
pub struct Routines {
    /// Features to outputs.
    pub predict: Range<usize>,
    /// The same, then the loss and the sums.
    pub evaluate: Range<usize>,
    /// The forward pass as in training: with dropout. Empty in fused programs.
    pub forward: Range<usize>,
    /// The same and the backward pass, to the gradients of all parameters. Empty in fused programs, unless the host
    /// takes the step, as for L-BFGS.
    pub gradient: Range<usize>,
    /// The gradients, accumulated: for a micro-batch that isn't the last of its batch.
    pub micro_batch: Range<usize>,
    /// The gradients and the update.
    pub step: Range<usize>,
    /// The update alone, the end of a step, if it starts when all gradients of the batch are in their
    /// places; else empty.
    pub update: Range<usize>,
    /// Adds the weights of an epoch to their average, if epochs are averaged.
    pub average: Range<usize>,
    /// Exchanges the averaged weights with the trained ones, if weights are averaged.
    pub swap: Range<usize>,
}

/// Ops over tensors, and the buffers that hold the tensors.
#[derive(Debug, Clone)]
pub struct Program {
    /// Largest batch size.
    pub batch: usize,
    /// The number of nets of the same shape that are trained at the same time. Each has all tensors, with the
    /// net as the leading dimension: (nets, rows, cols). The data set, the order of its rows and the steps are
    /// shared by all.
    pub nets: usize,
    /// The tensors, by [`TensorId`].
    pub tensors: Vec<Tensor>,
    /// The length of each buffer in elements, for a full batch and one net.
    pub buffers: Vec<usize>,
    /// The ops, in order.
    pub ops: Vec<Op>,
    /// The routines, as ranges of the ops.
    pub routines: Routines,
    /// Tensors that are written once, when the program is loaded.
    pub constants: Vec<(TensorId, Vec<f32>)>,
}

impl Default for Program {
    fn default() -> Self {
        Program::new(0)
    }
}

impl Program {
    /// An empty program of one net for batches of up to `batch` rows.
    #[must_use]
    pub fn new(batch: usize) -> Self {
        Program {
            batch,
            nets: 1,
            tensors: Vec::new(),
            buffers: Vec::new(),
            ops: Vec::new(),
            routines: Routines::default(),
            constants: Vec::new(),
        }
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

    /// The number of elements of `id` in a full batch, in one net.
    #[must_use]
    pub fn len(&self, id: TensorId) -> usize {
        self.range(id, self.batch).len()
    }

    /// Elements of `buffer` from one net to the next, an even number of alignments: elements of f16 have half the
    /// bytes.
    fn stride(&self, buffer: usize) -> usize {
        self.buffers[buffer].checked_next_multiple_of(2 * ALIGNMENT).unwrap_or(usize::MAX)
    }

    /// The length of `buffer` in elements, for all nets.
    #[must_use]
    pub fn storage(&self, buffer: usize) -> usize {
        let others = self.stride(buffer).saturating_mul(self.nets.saturating_sub(1));
        others.saturating_add(self.buffers[buffer])
    }

    /// The first element of `id` in its buffer, in the net with number `net`.
    #[must_use]
    pub fn place_in(&self, net: usize, id: TensorId) -> usize {
        let t = self.tensor(id);
        net * self.stride(t.buffer) + t.offset
    }

    /// The bytes of all buffers, with elements of `element` bytes.
    #[must_use]
    pub fn bytes(&self, element: usize) -> u64 {
        let lengths = (0..self.buffers.len()).map(|buffer| self.storage(buffer) as u64);
        lengths.map(|len| len.saturating_mul(element as u64)).fold(0, u64::saturating_add)
    }

    /// A new tensor in its own buffer.
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

    /// A new tensor after those in `buffer`.
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

    /// Moves tensors into one buffer, which is the tensor `name` as one row; each call adds more.
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

    /// Moves a tensor into its own buffer.
    pub(crate) fn own_buffer(&mut self, id: TensorId) {
        self.buffers.push(0);
        self.place(id, self.buffers.len() - 1);
    }

    /// Places a tensor after those in `buffer`.
    fn place(&mut self, id: TensorId, buffer: usize) {
        let offset = self.buffers[buffer];
        let t = &mut self.tensors[id.0];
        (t.buffer, t.offset) = (buffer, offset);
        // Saturates, so that a device refuses sizes that overflow.
        let len = t.rows.rows(self.batch).saturating_mul(t.cols);
        let padded = len.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        self.buffers[buffer] = offset.saturating_add(padded);
    }

    /// Replaces op `at` by others in all routines.
    pub(crate) fn replace(&mut self, at: usize, ops: Vec<Op>) {
        let r = &mut self.routines;
        let passes = [&mut r.predict, &mut r.evaluate, &mut r.forward, &mut r.gradient];
        let steps = [&mut r.micro_batch, &mut r.step, &mut r.update];
        for routine in passes.into_iter().chain(steps).chain([&mut r.average, &mut r.swap]) {
            for bound in [&mut routine.start, &mut routine.end] {
                if *bound > at {
                    *bound = *bound + ops.len() - 1;
                }
            }
        }
        self.ops.splice(at..=at, ops);
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

    /// The tensors inside `whole`, if that spans a buffer of several.
    pub fn inside(&self, whole: TensorId) -> impl Iterator<Item = TensorId> {
        let outer = self.tensor(whole);
        let spans = self.spans_buffer(outer);
        let ids = (0..self.tensors.len()).map(TensorId);
        ids.filter(move |&id| spans && id != whole && self.tensor(id).buffer == outer.buffer)
    }

    /// Stores a tensor that has its own buffer in f16.
    pub fn store_in_half(&mut self, id: TensorId) {
        self.tensors[id.0].precision = Precision::F16;
    }

    /// The same program with all tensors in f32, so that nothing is rounded to f16 when it runs on
    /// the CPU.
    #[must_use]
    pub fn unrounded(&self) -> Self {
        let mut program = self.clone();
        program.tensors.iter_mut().for_each(|t| t.precision = Precision::F32);
        program
    }

    /// The type of a buffer's elements on a device.
    #[must_use]
    pub fn precision(&self, buffer: usize) -> Precision {
        let first = self.tensors.iter().find(|t| t.buffer == buffer);
        first.map_or(Precision::F32, |t| t.precision)
    }

    /// The precision of an op: f16 if one of its tensors is f16.
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
