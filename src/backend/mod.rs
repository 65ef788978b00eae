//! Backends run programs: `gpu` on wgpu, `cpu` in f32 or f64.

pub(crate) mod check;
pub mod cpu;
pub mod device;
pub mod gpu;
pub mod session;

use crate::base::error::{Error, Result};
use crate::data::Samples;
use crate::kernels::Step;
use crate::kernels::mixed::Multiplier;
use crate::kernels::tensor::TensorId;
use crate::plan::Traits;
use crate::plan::program::Program;
use auto_impl::auto_impl;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

/// What a backend was asked for and may not have done yet. Nothing happens before it is polled; a thread that may wait
/// blocks on it, by `pollster` for instance. One that is dropped halfway leaves the backend as it is then: load the
/// program again.
pub type Pending<'a, T = ()> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Rows that were uploaded to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataId(pub usize);

/// Host values that a backend reads.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision; rounded by a backend that computes in single.
    F64(&'a [f64]),
}

impl Values<'_> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Host values that a backend writes.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Double precision.
    F64(&'a mut [f64]),
}

impl ValuesMut<'_> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            ValuesMut::F32(v) => v.len(),
            ValuesMut::F64(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a backend runs on, as shown to users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name: the processor's, or the adapter's.
    pub name: String,
    /// `cpu`, `vulkan`, `metal`, `dx12`, `gl`.
    pub backend: String,
    /// Driver and version; or the threads of the CPU backend.
    pub detail: String,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.backend, self.detail)
    }
}

/// What went between host and device since the backend was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes read back by the host.
    pub bytes_read: u64,
    /// Kernel launches.
    pub dispatches: u64,
    /// Submissions to the device's queue.
    pub submissions: u64,
}

/// Runs programs. It may go to another thread, and several may run at a time. No method blocks: those
/// that a device takes time for give a future.
#[auto_impl(&mut, Box)]
pub trait Backend: Send {
    /// What it runs on.
    fn info(&self) -> &DeviceInfo;

    /// What it says of itself, from which follows how the plain program is fused for it.
    fn traits(&self) -> Traits {
        Traits::Plain
    }

    /// Makes itself ready for programs of mixed precision, before programs and rows are taken in, which
    /// may be gone: what can multiply in them.
    ///
    /// # Errors
    /// When it computes in f32 only: why.
    fn open_mixed(&mut self) -> Pending<'_, Vec<Multiplier>> {
        let error = Error::device(format!("{} trains in f32 only", self.info()))
            .help("f16 is for GPUs: choose one with --device, or leave --precision f16 out");
        Box::pin(async { Err(error) })
    }

    /// Multiplies by `multiplier`, one of those that [`Backend::open_mixed`] gave, from the next
    /// program of mixed precision on.
    fn multiply_by(&mut self, multiplier: Multiplier) {
        let _ = multiplier;
    }

    /// Takes a place in [`mixed::BLOCKS`](crate::kernels::mixed::BLOCKS) for all products of mixed
    /// precision that may take it, from the next program on; none for the fastest known. All blocks of a
    /// multiplier give the same bits, which can be tested by this.
    fn multiply_in(&mut self, block: Option<usize>) {
        let _ = block;
    }

    /// Opens itself anew for mixed precision, without cooperative matrices: what went wrong with those may
    /// have lost the device. Programs and rows are gone.
    ///
    /// # Errors
    /// When it can't be opened any more.
    fn without_matrices(&mut self) -> Pending<'_> {
        Box::pin(async { Ok(()) })
    }

    /// Takes a program in: allocates its tensors, all zero but for the constants. The one before it
    /// goes when this is done: after an error it is there as it was, with all that its tensors hold.
    ///
    /// # Errors
    /// When the device can't hold it beside the one before.
    fn load(&mut self, program: Arc<Program>) -> Pending<'_>;

    /// Frees the program, so that the next one has its memory too. Rows stay.
    fn unload(&mut self) {}

    /// Takes rows in, which stay there until they are to be forgotten.
    ///
    /// # Errors
    /// When scaling, targets or weights are not those of so many columns and rows, or the device can't
    /// hold them.
    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId>;

    /// About what part of the first layer's operations in training steps of the program at hand is left
    /// out on these rows, because their features are 0 there.
    fn left_out(&self, samples: &Samples) -> f64 {
        let _ = samples;
        0.0
    }

    /// Frees rows that were taken in.
    fn forget(&mut self, data: DataId);

    /// Writes the first `values.len()` elements of a tensor.
    ///
    /// # Errors
    /// When the program has no such tensor, there are more values than it has elements, or the device
    /// was lost.
    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a>;

    /// Makes itself ready to run any of the program's ops on these rows: compiles their kernels, where it
    /// does.
    ///
    /// # Errors
    /// When a kernel can't be compiled, the rows were forgotten, or the device was lost.
    fn prepare(&mut self, data: DataId) -> Pending<'_> {
        let _ = data;
        Box::pin(async { Ok(()) })
    }

    /// Runs a stretch of the program's ops once for each step. The future ends when the device has taken them
    /// in, which may be before they are done: it takes a few submissions at a time.
    ///
    /// # Errors
    /// When the program has no such ops, the rows have other columns or targets than these read, a step
    /// has more rows than a batch or leads beyond the last row, or the device was lost.
    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a>;

    /// Runs them as [`Backend::run`] does and waits: the seconds of each op in each of the steps, by the
    /// device's own clock. Nothing where it has none that programs can read.
    ///
    /// # Errors
    /// As for [`Backend::run`].
    fn op_seconds<'a>(
        &'a mut self,
        ops: Range<usize>,
        data: DataId,
        steps: &'a [Step],
    ) -> Pending<'a, Vec<Vec<f64>>> {
        let _ = (ops, data, steps);
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Reads the first `values.len()` elements of a tensor, when everything before is done.
    ///
    /// # Errors
    /// When the program has no such tensor, there are more values than it has elements, or the device
    /// was lost.
    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a>;

    /// All elements of a tensor where they lie, to be read and written: none where they aren't f32 in the host's memory.
    /// Their order is that of the backend: the same for all tensors with a number for each parameter, and for all
    /// backends of a kind that run the program.
    fn host_mut(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        let _ = tensor;
        None
    }

    /// What went between host and device so far.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// Bytes as people read them.
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
