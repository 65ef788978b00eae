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

/// A pending operation of a backend. Nothing happens before it is polled; a thread that may block
/// can block on it, for example with `pollster`. Dropping it halfway leaves the backend in an intermediate
/// state: load the program again.
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
    /// The number of values.
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
    /// The number of values.
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

/// The device of a backend, as shown to users.
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

/// The traffic between host and device since the backend was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes read back by the host.
    pub bytes_read: u64,
    /// Kernel launches.
    pub dispatches: u64,
    /// Submissions to the device's queue.
    pub submissions: u64,
}

/// Runs programs. It can be moved to another thread, and several can run at a time. No method blocks: those
/// that take a device time return a future.
#[auto_impl(&mut, Box)]
pub trait Backend: Send {
    /// Its device.
    fn info(&self) -> &DeviceInfo;

    /// Its traits, which decide how the plain program is fused for it.
    fn traits(&self) -> Traits {
        Traits::Plain
    }

    /// Prepares for mixed-precision programs, before programs and rows are loaded; existing ones may be
    /// dropped. Returns the available multipliers.
    ///
    /// # Errors
    /// When it supports only f32, with the reason.
    fn open_mixed(&mut self) -> Pending<'_, Vec<Multiplier>> {
        let error = Error::device(format!("{} trains in f32 only", self.info()))
            .help("f16 is for GPUs: choose one with --device, or omit --precision f16");
        Box::pin(async { Err(error) })
    }

    /// Uses `multiplier`, one of those returned by [`Backend::open_mixed`], from the next mixed-precision
    /// program on.
    fn multiply_by(&mut self, multiplier: Multiplier) {
        let _ = multiplier;
    }

    /// Uses the block at this index of [`mixed::BLOCKS`](crate::kernels::mixed::BLOCKS) for all products of
    /// mixed precision that can use it, from the next program on; none for the fastest known. All blocks of a
    /// multiplier give the same bits, which this makes testable.
    fn multiply_in(&mut self, block: Option<usize>) {
        let _ = block;
    }

    /// Reopens the device for mixed precision without cooperative matrices, as an error with those may
    /// have lost the device. Programs and rows are dropped.
    ///
    /// # Errors
    /// When it can't be reopened.
    fn without_matrices(&mut self) -> Pending<'_> {
        Box::pin(async { Ok(()) })
    }

    /// Loads a program: allocates its tensors, all zero except constants. The previous program is
    /// dropped afterwards: after an error it is still loaded, with the contents of its tensors.
    ///
    /// # Errors
    /// When the device can't hold both it and the previous one.
    fn load(&mut self, program: Arc<Program>) -> Pending<'_>;

    /// Frees the program, so that the next one has its memory too. Rows stay.
    fn unload(&mut self) {}

    /// Uploads rows, which stay until [`Backend::forget`].
    ///
    /// # Errors
    /// When scaling, targets or weights don't match the numbers of columns and rows, or the device can't
    /// hold them.
    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId>;

    /// The approximate fraction of the first layer's operations that training steps of the loaded program skip
    /// on these rows, because their features are 0.
    fn left_out(&self, samples: &Samples) -> f64 {
        let _ = samples;
        0.0
    }

    /// Frees uploaded rows.
    fn forget(&mut self, data: DataId);

    /// Writes the first `values.len()` elements of a tensor, of several nets one after the other.
    ///
    /// # Errors
    /// When the program has no such tensor, there are more values than it has elements, or the device
    /// was lost.
    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a>;

    /// Prepares to run any of the program's ops on these rows: compiles their kernels, if there
    /// are any.
    ///
    /// # Errors
    /// When a kernel can't be compiled, the rows were forgotten, or the device was lost.
    fn prepare(&mut self, data: DataId) -> Pending<'_> {
        let _ = data;
        Box::pin(async { Ok(()) })
    }

    /// Runs a range of the program's ops once for each step. The future completes when the device has accepted
    /// them, which may be before they are done: a few submissions can be in flight.
    ///
    /// # Errors
    /// When the program has no such ops, these read other columns or targets than the rows have, a step
    /// has more rows than a batch or goes beyond the last row, or the device was lost.
    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a>;

    /// Runs ops as [`Backend::run`] and waits; returns the seconds of each op in each of the steps, by the
    /// device's own clock. Empty if the device has no such clock.
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

    /// Reads the first `values.len()` elements of a tensor, of several nets one after the other, when everything before
    /// is done.
    ///
    /// # Errors
    /// When the program has no such tensor, there are more values than it has elements, or the device
    /// was lost.
    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a>;

    /// All elements of a tensor in place, to be read and written; none if they aren't f32 in the host's memory, or if
    /// there are several nets. Their order is that of the backend: the same for all tensors with a number for each
    /// parameter, and for all backends of a kind that run the program.
    fn host_mut(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        let _ = tensor;
        None
    }

    /// The traffic between host and device so far.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// A number of bytes, formatted.
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
