//! The GPU backend on wgpu: Vulkan, Metal and DX12.
//!
//! Programs, data sets and parameters live on the device. Many steps are encoded into one compute
//! pass and one submission; what differs between them lies in a buffer of steps, one slot each,
//! chosen by a dynamic offset. Nothing is read back unless [`Backend::read`] asks for it.
//!
//! In the order in which a run meets them: `adapter` finds devices and `open` opens one, `load` takes a
//! program in and `tune` measures its tiles, `data` takes rows in, `bind` makes launches of ops with
//! the pipelines of `pipeline`, `submit` sends steps, `timestamps` times their ops, `transfer` (with `half` for f16) writes and reads
//! tensors. `memory` has buffers, `answers` tells when a submission is done, `cache` has what stays on disk, `scopes` what
//! goes wrong on a device that is not its own.

mod adapter;
mod answers;
mod bind;
mod cache;
mod data;
mod half;
mod load;
mod memory;
mod open;
mod pipeline;
mod scopes;
mod submit;
mod timestamps;
mod transfer;
mod tune;

pub use adapter::{AdapterSummary, HlslCompiler, adapters};

use super::{Backend, DataId, DeviceInfo, Pending, Traffic, Values, ValuesMut, check};
use crate::base::error::Result;
use crate::data::Samples;
use crate::kernels::Step;
use crate::kernels::mixed::{MixedTuning, Multiplier};
use crate::kernels::products::tile::Tuning;
use crate::kernels::tensor::TensorId;
use crate::plan::Traits;
use crate::plan::program::Program;
use adapter::{Health, Wanted};
use answers::Answers;
use cache::Cache;
use data::DeviceData;
use pipeline::{Bound, Pipelines};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use submit::UnderWay;
use wgpu::Limits;

/// Words that are written at a time.
const PIECE_WORDS: usize = 1 << 24;

/// Runs programs on a wgpu device.
pub struct Gpu {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: Limits,
    health: Health,
    answers: Answers,
    pipelines: Pipelines,
    steps: wgpu::Buffer,
    steps_bound: wgpu::BindGroup,
    /// What bindings that a variant doesn't touch refer to: one to read, one to write.
    unused: [wgpu::Buffer; 2],
    /// The tiles that were measured, in this run and before.
    tuning: Tuning,
    cache: Option<Cache>,
    /// Whether tiles are measured: for programs with much work, or for all.
    measures: bool,
    measures_all: bool,
    /// How long they were measured in this run.
    measured_for: Duration,
    /// The adapter's number, and whether shaders are checked, where the backend opened it itself.
    opened_as: Option<(usize, bool)>,
    /// What can multiply in f16, if the device was made for that.
    multipliers: Vec<Multiplier>,
    program: Arc<Program>,
    buffers: Vec<wgpu::Buffer>,
    data: HashMap<DataId, DeviceData>,
    /// Uploads so far.
    uploads: usize,
    /// The launches of an op on a data set.
    bound: HashMap<(usize, DataId), Vec<Bound>>,
    under_way: UnderWay,
    traffic: Traffic,
    /// See [`Traits::Gpu`].
    compiles_whole_nets: bool,
    /// Whether the device is the program's, whose handlers of errors are its own.
    is_guest: bool,
}

impl Backend for Gpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn traits(&self) -> Traits {
        Traits::Gpu {
            largest_binding: self.largest_binding(),
            compiles_whole_nets: self.compiles_whole_nets,
        }
    }

    fn open_mixed(&mut self) -> Pending<'_, Vec<Multiplier>> {
        Box::pin(async {
            if self.multipliers.is_empty() {
                self.open_again(Wanted::Matrices).await?;
            }
            match self.multipliers.is_empty() {
                true => Err(adapter::no_f16(&self.info.name)),
                false => Ok(self.multipliers.clone()),
            }
        })
    }

    fn multiply_by(&mut self, multiplier: Multiplier) {
        self.tuning.mixed.multiplier = multiplier;
    }

    fn multiply_in(&mut self, block: Option<usize>) {
        self.tuning.mixed.forced = block;
    }

    fn without_matrices(&mut self) -> Pending<'_> {
        Box::pin(async {
            self.open_again(Wanted::Half).await?;
            self.tuning.mixed = MixedTuning {
                multiplier: Multiplier::Fma,
                forced: None,
                ..std::mem::take(&mut self.tuning.mixed)
            };
            Ok(())
        })
    }

    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        self.guest().scoped(self.load_program(program))
    }

    fn unload(&mut self) {
        self.program = Arc::default();
        self.buffers.clear();
        self.bound.clear();
    }

    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId> {
        self.guest().scoped(async move {
            let data = self.upload_samples(&samples).await?;
            let id = DataId(self.uploads);
            self.uploads += 1;
            self.data.insert(id, data);
            Ok(id)
        })
    }

    fn forget(&mut self, data: DataId) {
        self.data.remove(&data);
        self.bound.retain(|(_, bound), _| *bound != data);
    }

    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
        self.guest().scoped(self.write_tensor(tensor, values))
    }

    fn prepare(&mut self, data: DataId) -> Pending<'_> {
        self.guest().scoped(async move {
            let bound = self.bind(0..self.program.ops.len(), data).await;
            // What the device itself said tells more.
            self.health.check()?;
            bound
        })
    }

    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        self.guest().scoped(async move {
            self.make_ready(ops.clone(), data, steps).await?;
            self.submit_all(ops, data, steps).await?;
            self.health.check()
        })
    }

    fn op_seconds<'a>(
        &'a mut self,
        ops: Range<usize>,
        data: DataId,
        steps: &'a [Step],
    ) -> Pending<'a, Vec<Vec<f64>>> {
        self.guest().scoped(self.timed_steps(ops, data, steps))
    }

    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
        self.guest().scoped(self.read_tensor(tensor, values))
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

impl Gpu {
    /// Checks what is to be run, and binds it.
    async fn make_ready(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) -> Result<()> {
        let Some(DeviceData { shape, .. }) = self.data.get(&data) else {
            return Err(check::forgotten());
        };
        check::run(&self.program, &ops, *shape, steps)?;
        let bound = self.bind(ops, data).await;
        // What the device itself said tells more.
        self.health.check()?;
        bound.map(|_| ())
    }
}
